"""Thresholds and what is watched come from flags and variables, and nonsense is refused."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from ingest.alert_config import (
    ALERT_SETTINGS,
    THRESHOLD_SETTINGS,
    read_alerting,
    read_thresholds,
    watched_certificates,
)
from ingest.alert_rules import Thresholds
from ingest.config import SettingInvalid, Settings


def settings(**environment: str) -> Settings:
    """Settings from an environment alone."""
    return Settings(argparse.Namespace(), {f"METERTREE_{name}": text for name, text in environment.items()})


def test_without_settings_the_defaults_are_those_of_the_rules() -> None:
    assert read_thresholds(settings()) == Thresholds()
    assert len(THRESHOLD_SETTINGS) == len(fields(Thresholds))


def test_each_threshold_has_a_setting_of_its_own() -> None:
    for setting in THRESHOLD_SETTINGS:
        found = read_thresholds(settings(**{setting.variable.removeprefix("METERTREE_"): "77"}))
        changed = [
            one.name for one in fields(Thresholds) if getattr(found, one.name) != getattr(Thresholds(), one.name)
        ]
        assert changed == [setting.name.removeprefix("alert-").replace("-", "_")]


@pytest.mark.parametrize("text", ["0", "-1", "many", "10000", "1.5", ""])
def test_a_threshold_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid, match="alert-silent-min"):
        read_thresholds(settings(ALERT_SILENT_MIN=text))


def test_no_disk_is_fuller_than_full() -> None:
    with pytest.raises(SettingInvalid, match="1 to 100"):
        read_thresholds(settings(ALERT_DISK_PERCENT="101"))


def test_what_is_watched_is_a_list_of_folders() -> None:
    found = read_alerting(settings(WATCH_DISKS="/data:/backup:", WATCH_CERTIFICATES="/etc/tls", CHUNK_DAYS="3"))
    assert found.disks == (Path("/data"), Path("/backup"))
    assert (found.certificates, found.storage.chunk_days) == (Path("/etc/tls"), 3)
    assert watched_certificates(settings()) is None
    assert len({one.name for one in ALERT_SETTINGS}) == len(ALERT_SETTINGS)
