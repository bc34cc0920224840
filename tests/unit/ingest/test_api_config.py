"""Settings: flag before environment before default; what is missing or malformed is named with its mend."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ingest.config import (
    ADMIN_TOKEN_FILE,
    DSN,
    PORT,
    SERVE_SETTINGS,
    SETTLE_EVERY_S,
    SettingInvalid,
    SettingMissing,
    Settings,
    add_settings,
    read_broker_config,
    read_serve_config,
)


def settings(argv: list[str], environment: dict[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    add_settings(parser, *SERVE_SETTINGS)
    return Settings(parser.parse_args(argv), environment or {})


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    assert settings(["--port", "81"], {"METERTREE_PORT": "82"}).port(PORT) == 81
    assert settings([], {"METERTREE_PORT": "82"}).port(PORT) == 82
    assert settings([]).port(PORT) == 8080


def test_a_missing_setting_names_its_flag_and_its_variable() -> None:
    with pytest.raises(SettingMissing, match=r"--dsn or set METERTREE_DSN"):
        settings([]).text(DSN)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "８０"])
def test_a_malformed_port_is_refused(port: str) -> None:
    with pytest.raises(SettingInvalid, match="is not a port"):
        settings([f"--port={port}"]).port(PORT)


@pytest.mark.parametrize("pause", ["0", "-1", "nan", "4000", "soon"])
def test_a_malformed_pause_is_refused(pause: str) -> None:
    with pytest.raises(SettingInvalid, match="settle-every-s"):
        settings([f"--settle-every-s={pause}"]).seconds(SETTLE_EVERY_S)


def test_a_secret_is_read_from_its_file_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t0ken\n", encoding="utf-8")
    assert settings(["--admin-token-file", str(secret)]).secret(ADMIN_TOKEN_FILE) == "t0ken"
    secret.write_text("\n", encoding="utf-8")
    with pytest.raises(SettingInvalid, match="is empty"):
        settings(["--admin-token-file", str(secret)]).secret(ADMIN_TOKEN_FILE)
    with pytest.raises(SettingInvalid, match="cannot be read"):
        settings(["--admin-token-file", str(tmp_path / "absent")]).secret(ADMIN_TOKEN_FILE)


def test_the_serve_configuration_is_read_whole(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    config = read_serve_config(
        settings(
            ["--dsn", "postgresql:///x", "--centre-key", "/k", "--admin-token-file", str(token)],
            {"METERTREE_BROKER_PORT": "1884"},
        )
    )
    assert (config.dsn, config.broker.port, config.port, config.profiles) == ("postgresql:///x", 1884, 8080, None)
    assert config.admin_token == "secret"


def test_a_file_with_certificates_turns_tls_on() -> None:
    assert read_broker_config(settings([])).tls is None
    tls = read_broker_config(settings(["--broker-ca-file", "/ca.crt"])).tls
    assert tls is not None
    assert (tls.ca, tls.certificate, tls.key) == (Path("/ca.crt"), None, None)
    tls = read_broker_config(settings(["--broker-ca-file", "system"])).tls
    assert tls is not None
    assert tls.ca is None
    names = {"METERTREE_BROKER_CERTIFICATE_FILE": "/c.crt", "METERTREE_BROKER_KEY_FILE": "/c.key"}
    tls = read_broker_config(settings(["--broker-ca-file", "/ca.crt"], names)).tls
    assert tls is not None
    assert (tls.certificate, tls.key) == (Path("/c.crt"), Path("/c.key"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--broker-key-file", "/c.key"], "--broker-ca-file: must be given with a certificate"),
        (["--broker-ca-file", "/ca.crt", "--broker-key-file", "/c.key"], "both or neither"),
    ],
)
def test_half_of_what_tls_needs_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(SettingInvalid, match=said):
        read_broker_config(settings(given))
