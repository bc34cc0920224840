"""Settings of the programs: what each needs, what it listens on, and what is passed on to its children."""

from __future__ import annotations

import argparse
from datetime import time
from pathlib import Path

import pytest

from ingest.cli import build_parser
from ingest.config import Setting, SettingInvalid, SettingMissing, Settings
from ingest.intake_worker import ShareInvalid
from ingest.program_config import (
    API_PROGRAM,
    INTAKE_PROGRAM,
    JOBS_PROGRAM,
    SERVE_PROGRAM,
    SETTLE_PROGRAM,
    AllInOneConfig,
    given_flags,
    read_all_in_one_config,
    read_api_config,
    read_intake_config,
    read_jobs_config,
    read_settle_config,
)

DSN = "--dsn=postgresql:///books"
KEY = "--centre-key=/k"
PROGRAMS = {
    "serve": SERVE_PROGRAM,
    "intake": INTAKE_PROGRAM,
    "settle": SETTLE_PROGRAM,
    "api": API_PROGRAM,
    "jobs": JOBS_PROGRAM,
}


def parsed(command: str, *argv: str) -> argparse.Namespace:
    """Read a command line."""
    return build_parser().parse_args([command, *argv])


def settings(command: str, *argv: str, **environment: str) -> Settings:
    """The settings of one call."""
    return Settings(parsed(command, *argv), environment)


@pytest.fixture
def token(tmp_path: Path) -> str:
    """The flag of a token file."""
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    return f"--admin-token-file={tmp_path / 'token'}"


def all_in_one(token: str, *argv: str, **environment: str) -> AllInOneConfig:
    """The configuration of `serve`."""
    args = parsed("serve", DSN, KEY, token, *argv)
    return read_all_in_one_config(args, Settings(args, environment))


@pytest.mark.parametrize("command", PROGRAMS)
def test_the_help_of_each_program_names_its_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for setting in PROGRAMS[command]:
        assert setting.flag in shown
        assert setting.variable in shown


@pytest.mark.parametrize("command", PROGRAMS)
def test_no_program_has_a_setting_twice(command: str) -> None:
    flags = [setting.flag for setting in PROGRAMS[command]]
    assert len(flags) == len(set(flags))


def test_each_program_listens_on_a_port_of_its_own(token: str) -> None:
    ports = [
        read_intake_config(settings("intake", DSN, KEY)).watch.port,
        read_intake_config(settings("intake", DSN, KEY, "--intake-share=3/4")).watch.port,
        read_settle_config(settings("settle", DSN)).watch.port,
        read_jobs_config(settings("jobs", DSN)).watch.port,
        read_api_config(settings("api", DSN, KEY, token)).port,
    ]
    assert ports == [8091, 8093, 8081, 8082, 8080]


def test_no_small_port_is_opened_where_none_is_wanted() -> None:
    assert read_settle_config(settings("settle", DSN, "--probe-port=0")).watch.port == 0
    assert read_intake_config(settings("intake", DSN, KEY, "--probe-port=0", "--intake-share=3/4")).watch.port == 0


def test_what_serve_does_by_default(token: str) -> None:
    config = all_in_one(token)
    assert config.intake_workers == 0
    assert config.jobs is not None
    assert config.jobs.nightly_at == time(18)
    assert config.jobs.storage.keep_readings_months == 36
    assert (config.web.port, config.web.host, config.web.admin_token) == (8080, "127.0.0.1", "secret")
    assert all_in_one(token, "--jobs=off").jobs is None


def test_pages_and_jobs_judge_alike(token: str) -> None:
    config = all_in_one(token, "--alert-silent-min=90", "--watch-certificates=/certificates")
    assert config.jobs is not None
    for alerting in (config.alerting, config.web.alerting, config.jobs.alerting):
        assert alerting.thresholds.silent_min == 90
        assert alerting.certificates == Path("/certificates")


def test_children_get_the_flags_and_share_the_environment(token: str) -> None:
    config = all_in_one(token, "--intake-workers=3", "--broker-port=1884", METERTREE_BROKER_USER="centre")
    assert config.intake_workers == 3
    assert config.worker_words == (
        *("--log-format=text", "intake", "--dsn=postgresql:///books", "--broker-port=1884", "--centre-key=/k"),
    )
    # What is passed on is a whole command line of a worker.
    worker = build_parser().parse_args([*config.worker_words, "--intake-share=2/3"])
    assert read_intake_config(Settings(worker, {})).watch.port == config.watch.port + 1


def test_the_form_of_the_log_is_passed_on(token: str) -> None:
    assert all_in_one(token, METERTREE_LOG_FORMAT="json").worker_words[0] == "--log-format=json"


def test_no_secret_is_passed_on_but_by_the_name_of_its_file(token: str) -> None:
    assert not any("secret" in word for word in all_in_one(token, "--intake-workers=2").worker_words)


@pytest.mark.parametrize("workers", ["-1", "65", "two", "", "１"])
def test_a_malformed_number_of_workers_is_refused(workers: str, token: str) -> None:
    with pytest.raises(SettingInvalid, match=r"--intake-workers.* 0 to 64"):
        all_in_one(token, f"--intake-workers={workers}")


def test_a_share_and_workers_exclude_each_other(token: str) -> None:
    with pytest.raises(SettingInvalid, match="leave out one of the two"):
        all_in_one(token, "--intake-workers=2", "--intake-share=1/2")


@pytest.mark.parametrize("at", ["24:00", "1:00", "18", "18:60", "soon"])
def test_a_malformed_time_of_day_is_refused(at: str) -> None:
    with pytest.raises(SettingInvalid, match=r"--nightly-at.*HH:MM"):
        read_jobs_config(settings("jobs", DSN, f"--nightly-at={at}"))


def test_jobs_are_on_or_off(token: str) -> None:
    with pytest.raises(SettingInvalid, match="neither on nor off"):
        all_in_one(token, "--jobs=perhaps")


def test_a_share_that_is_none_is_refused_before_anything_starts() -> None:
    with pytest.raises(ShareInvalid):
        read_intake_config(settings("intake", DSN, KEY, "--intake-share=5/4"))


@pytest.mark.parametrize(("command", "read"), [("settle", read_settle_config), ("jobs", read_jobs_config)])
def test_a_database_must_be_named(command: str, read: object) -> None:
    with pytest.raises(SettingMissing, match="--dsn"):
        read(settings(command))  # type: ignore[operator]


def test_only_what_was_said_by_flag_is_given_on() -> None:
    first, second = Setting("first", "a", "1"), Setting("second-one", "b")
    assert given_flags(argparse.Namespace(first=None, second_one="x y"), (first, second)) == ("--second-one=x y",)


def test_a_tile_server_is_an_https_address_with_its_three_places(token: str) -> None:
    address = "https://tiles.example/{z}/{x}/{y}.png"
    assert read_api_config(settings("api", DSN, KEY, token, f"--map-tiles={address}")).map_tiles == address
    assert read_api_config(settings("api", DSN, KEY, token)).map_tiles == ""
    for bad in ("http://tiles.example/{z}/{x}/{y}", "https://t.example/{z}/{x}", "https://t;x/{z}/{x}/{y}", "{z}{x}{y"):
        with pytest.raises(SettingInvalid, match="--map-tiles"):
            read_api_config(settings("api", DSN, KEY, token, f"--map-tiles={bad}"))
