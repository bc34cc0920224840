"""Settings: flag, then environment, then default, whatever is given; secrets come from files and show nowhere."""

from __future__ import annotations

import argparse
import re
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.cli import build_parser
from ingest.config import (
    ADMIN_TOKEN_FILE,
    BROKER_PASSWORD_FILE,
    BROKER_PORT,
    DSN,
    PORT,
    PREFIX,
    SERVE_SETTINGS,
    SETTLE_EVERY_S,
    Setting,
    SettingInvalid,
    SettingMissing,
    Settings,
    add_settings,
    read_broker_config,
    read_serve_config,
)

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORD = st.text(string.ascii_letters + string.digits + "./:@", min_size=1, max_size=20)
SETTINGS = st.sampled_from(SERVE_SETTINGS)


def read(argv: list[str], environment: dict[str, str]) -> Settings:
    """Settings of one call."""
    parser = argparse.ArgumentParser()
    add_settings(parser, *SERVE_SETTINGS)
    return Settings(parser.parse_args(argv), environment)


@MANY
@given(SETTINGS, st.none() | WORD, st.none() | WORD)
def test_the_flag_wins_then_the_variable_then_the_default(
    setting: Setting, flag: str | None, variable: str | None
) -> None:
    argv = [] if flag is None else [f"{setting.flag}={flag}"]
    environment = {} if variable is None else {setting.variable: variable}
    expected = next((one for one in (flag, variable, setting.default) if one is not None), None)
    if expected is None:
        with pytest.raises(SettingMissing, match=setting.variable):
            read(argv, environment).text(setting)
    else:
        assert read(argv, environment).text(setting) == expected


@MANY
@given(SETTINGS, SETTINGS, WORD)
def test_no_setting_answers_for_another(asked: Setting, given_: Setting, word: str) -> None:
    found = read([f"{given_.flag}={word}"], {})
    if asked is not given_ and asked.default is not None:
        assert found.text(asked) == asked.default


def test_an_empty_flag_is_given_and_not_left_out() -> None:
    assert read(["--broker-user="], {"METERTREE_BROKER_USER": "centre"}).text(SERVE_SETTINGS[3]) == ""


@MANY
@given(st.text(max_size=8))
def test_a_port_is_a_number_from_1_to_65535_or_refused(text: str) -> None:
    found = read([f"--port={text}"], {})
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        assert found.port(PORT) == int(text)
    else:
        with pytest.raises(SettingInvalid, match="--port"):
            found.port(PORT)


@MANY
@given(st.one_of(st.text(max_size=8), st.floats().map(str), st.integers().map(str)))
def test_a_pause_is_a_duration_up_to_an_hour_or_refused(text: str) -> None:
    found = read([f"--settle-every-s={text}"], {})
    try:
        seconds = found.seconds(SETTLE_EVERY_S)
    except SettingInvalid:
        return
    assert 0 < seconds <= 3600


@MANY
@given(octets=st.binary(max_size=40))
def test_a_secret_is_text_that_is_not_empty_or_refused(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(octets)
    found = read(["--admin-token-file", str(path)], {})
    try:
        expected = octets.decode().strip()
    except UnicodeDecodeError:
        expected = ""
    if expected:
        assert found.secret(ADMIN_TOKEN_FILE) == expected
    else:
        with pytest.raises(SettingInvalid, match=re.escape(str(path))):
            found.secret(ADMIN_TOKEN_FILE)


def test_a_folder_in_place_of_a_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="cannot be read"):
        read(["--admin-token-file", str(tmp_path)], {}).secret(ADMIN_TOKEN_FILE)


def test_a_broker_without_a_password_file_has_no_password(tmp_path: Path) -> None:
    assert read_broker_config(read([], {})).password == ""
    path = tmp_path / "password"
    path.write_text("s3cret\n", encoding="ascii")
    config = read_broker_config(read([], {BROKER_PASSWORD_FILE.variable: str(path), BROKER_PORT.variable: "1884"}))
    assert (config.password, config.port) == ("s3cret", 1884)


def test_every_setting_has_a_flag_a_variable_and_a_meaning() -> None:
    assert len({setting.flag for setting in SERVE_SETTINGS}) == len(SERVE_SETTINGS)
    for setting in SERVE_SETTINGS:
        assert setting.flag == "--" + setting.name
        assert setting.variable.startswith(PREFIX)
        assert setting.variable.isupper()
        assert setting.meaning


def test_the_help_names_every_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["serve", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for setting in SERVE_SETTINGS:
        assert setting.variable in shown
        if setting.default:
            assert f"default {setting.default}" in shown


def test_no_secret_is_a_flag_of_its_own() -> None:
    for setting in SERVE_SETTINGS:
        words = setting.name.split("-")
        if {"token", "password"} & set(words):
            assert words[-1] == "file"


@pytest.mark.parametrize("left_out", ["--dsn", "--centre-key", "--admin-token-file"])
def test_what_has_no_default_must_be_given(left_out: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken", encoding="ascii")
    whole = {"--dsn": "x", "--centre-key": "k", "--admin-token-file": str(token)}
    argv = [f"{flag}={word}" for flag, word in whole.items() if flag != left_out]
    with pytest.raises(SettingMissing, match=left_out):
        read_serve_config(read(argv, {}))
    assert read_serve_config(read([f"{flag}={word}" for flag, word in whole.items()], {})).dsn == "x"
    assert read_serve_config(read([f"{flag}={word}" for flag, word in whole.items()], {"METERTREE_PROFILES": "/p"}))


def test_the_environment_of_the_program_is_asked_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DSN.variable, "postgresql:///from-the-environment")
    parser = argparse.ArgumentParser()
    add_settings(parser, DSN)
    assert Settings(parser.parse_args([])).text(DSN) == "postgresql:///from-the-environment"
