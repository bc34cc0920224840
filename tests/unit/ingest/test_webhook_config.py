"""Settings of webhooks: nothing private is reachable unless the owner says so."""

from __future__ import annotations

import argparse
from ipaddress import ip_network
from pathlib import Path

import pytest

from ingest.config import SettingInvalid, Settings
from ingest.program_config import API_PROGRAM, JOBS_PROGRAM, SERVE_PROGRAM
from ingest.webhooks.config import AUTHORITIES, GUARD_SETTINGS, NETWORKS, PORTS, Sending, read_guard, read_sending
from ingest.webhooks.guard import Guard


def settings(**given: str) -> Settings:
    return Settings(argparse.Namespace(**given), {})


def test_without_a_word_only_public_addresses_and_the_usual_ports_are_reached() -> None:
    assert read_sending(settings()) == Sending(Guard((), frozenset({443, 8443})), None)


def test_the_owner_may_allow_networks_and_ports() -> None:
    guard = read_guard(settings(webhook_networks="10.1.2.0/24, fd00::/8", webhook_ports="443, 9443"))
    assert guard == Guard((ip_network("10.1.2.0/24"), ip_network("fd00::/8")), frozenset({443, 9443}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"webhook_networks": "10.1.2.3/8"}, "--webhook-networks: '10.1.2.3/8' is no network"),
        ({"webhook_networks": "corp"}, "--webhook-networks: 'corp' is no network"),
        ({"webhook_ports": "443,https"}, "--webhook-ports: 'https' is not a port"),
        ({"webhook_ports": "0"}, "--webhook-ports: '0' is not a port"),
        ({"webhook_ports": "65536"}, "--webhook-ports: '65536' is not a port"),
        ({"webhook_authorities": "/nowhere.pem"}, "--webhook-authorities: there is no file /nowhere.pem"),
    ],
)
def test_a_setting_in_another_form_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingInvalid, match=told):
        read_sending(settings(**given))


def test_authorities_are_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    file.write_text("")
    assert read_sending(settings(webhook_authorities=str(file))).authorities == file


def test_programs_that_judge_urls_and_those_that_deliver_have_the_settings() -> None:
    assert set(GUARD_SETTINGS) == {NETWORKS, PORTS} <= set(API_PROGRAM)
    for program in (JOBS_PROGRAM, SERVE_PROGRAM):
        assert {NETWORKS, PORTS, AUTHORITIES} <= set(program)
