"""Configuration of the central service: read once, frozen, passed down.

Each setting is a flag (`--dsn`) or an environment variable (`METERTREE_DSN`); the flag wins. Secrets are only ever
named by the path of a file, so that they show neither in a process list nor in an environment dump.
"""

from __future__ import annotations

import argparse
import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from metering.errors import MeteringError

if TYPE_CHECKING:
    from ingest.caller import Caller
    from ingest.store.layout import Storage
    from provisioning.broker_tls import BrokerTls

PREFIX = "METERTREE_"


class SettingMissing(MeteringError):
    """A setting that this command cannot do without was not given."""


class SettingInvalid(MeteringError):
    """A setting does not have the form it must have."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its flag name, what it means, its default (None: must be given)."""

    name: str
    meaning: str
    default: str | None = None

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper().replace("-", "_")


DSN = Setting("dsn", "PostgreSQL connection string, e.g. postgresql://metertree@127.0.0.1/metertree")
BROKER_HOST = Setting("broker-host", "host of the MQTT broker", "127.0.0.1")
BROKER_PORT = Setting("broker-port", "port of the MQTT broker", "1883")
BROKER_USER = Setting("broker-user", "user name at the MQTT broker", "")
BROKER_PASSWORD_FILE = Setting("broker-password-file", "file that holds the password at the MQTT broker", "")
CENTRE_KEY = Setting(
    "centre-key", "file with the private key that signs receipts and statements; salt.key is kept beside it"
)
ADMIN_TOKEN_FILE = Setting("admin-token-file", "file with the token that API writes must carry")
HOST = Setting("host", "address the API and the console listen on", "127.0.0.1")
PORT = Setting("port", "port the API and the console listen on", "8080")
PROFILES = Setting("profiles", "further folder of meter profiles beside the shipped ones", "")
SETTLE_EVERY_S = Setting("settle-every-s", "pause between two settlement passes [s]", "5")
CHUNK_DAYS = Setting("chunk-days", "span of a chunk of a hypertable [days]", "7")
COMPRESS_AFTER_DAYS = Setting("compress-after-days", "age at which readings go into the columnstore [days]", "14")
LATE_DAYS = Setting("late-days", "how late readings may come and still show in the aggregates [days]", "35")
MONTHS_AHEAD = Setting("months-ahead", "months to come that have a partition", "3")
KEEP_READINGS_MONTHS = Setting("keep-readings-months", "readings are dropped when older [months]", "36")
KEEP_ENVELOPES_MONTHS = Setting(
    "keep-envelopes-months", "envelopes are dropped when older, unless a statement rests on them [months]", "36"
)
KEEP_STATEMENTS_MONTHS = Setting(
    "keep-statements-months", "how long after its issue a statement must stay provable [months]", "120"
)

STORAGE_SETTINGS = (
    *(CHUNK_DAYS, COMPRESS_AFTER_DAYS, LATE_DAYS, MONTHS_AHEAD),
    *(KEEP_READINGS_MONTHS, KEEP_ENVELOPES_MONTHS, KEEP_STATEMENTS_MONTHS),
)
BROKER_MQTT = Setting("broker-mqtt", "version of MQTT to speak with the broker, 3.1.1 or 5", "3.1.1")
INTAKE_SHARE = Setting("intake-share", "which share of the gateways this process takes, k/n: 1/2 and 2/2", "1/1")
MACHINES_OWN = "system"
BROKER_CA_FILE = Setting(
    "broker-ca-file", f"PEM file the broker's certificate must come from, or {MACHINES_OWN}; without it no TLS", ""
)
BROKER_CERTIFICATE_FILE = Setting("broker-certificate-file", "our certificate at the MQTT broker, PEM", "")
BROKER_KEY_FILE = Setting("broker-key-file", "private key of that certificate, PEM", "")
BROKER_SETTINGS = (
    *(BROKER_HOST, BROKER_PORT, BROKER_USER, BROKER_PASSWORD_FILE, BROKER_MQTT),
    *(BROKER_CA_FILE, BROKER_CERTIFICATE_FILE, BROKER_KEY_FILE),
)
SERVE_SETTINGS = (
    *(DSN, *BROKER_SETTINGS, CENTRE_KEY, ADMIN_TOKEN_FILE, HOST, PORT, PROFILES, SETTLE_EVERY_S, INTAKE_SHARE),
)
INTAKE_SETTINGS = (DSN, *BROKER_SETTINGS, CENTRE_KEY, PROFILES, INTAKE_SHARE)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """How to reach the MQTT broker; without `tls` nothing is encrypted."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    mqtt5: bool = False
    tls: BrokerTls | None = None


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Everything `metertree serve` needs to know. `settle_every_s` is a pause [s]."""

    dsn: str = field(repr=False)
    broker: BrokerConfig
    centre_key: Path
    admin_token: str = field(repr=False)
    host: str
    port: int
    profiles: Path | None
    settle_every_s: float
    intake_share: str = "1/1"


def add_settings(parser: argparse.ArgumentParser, *settings: Setting) -> None:
    """Give `parser` a flag for each setting; its help names the variable and the default."""
    for setting in settings:
        default = f"; default {setting.default}" if setting.default else ""
        parser.add_argument(setting.flag, metavar="X", help=f"{setting.meaning} [{setting.variable}{default}]")


class Settings:
    """Looks settings up: flag first, then environment, then default."""

    def __init__(self, args: argparse.Namespace, environment: Mapping[str, str] | None = None) -> None:
        self._args = args
        self._environment = os.environ if environment is None else environment

    def text(self, setting: Setting) -> str:
        """Give a setting as text; raises SettingMissing."""
        given = getattr(self._args, setting.name.replace("-", "_"), None)
        found = given if given is not None else self._environment.get(setting.variable, setting.default)
        if found is None:
            raise SettingMissing(f"{setting.meaning}: give {setting.flag} or set {setting.variable}")
        return str(found)

    def optional(self, setting: Setting) -> str | None:
        """Give a setting as text, or None where it is neither given nor has a default."""
        try:
            return self.text(setting) or None
        except SettingMissing:
            return None

    def port(self, setting: Setting) -> int:
        """Give a TCP port; raises SettingInvalid."""
        text = self.text(setting)
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
            raise SettingInvalid(f"{setting.flag}: {text!r} is not a port; give a number from 1 to 65535")
        return int(text)

    def count(self, setting: Setting) -> int:
        """Give a number from 1 to 9999; raises SettingInvalid."""
        text = self.text(setting)
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10_000:
            raise SettingInvalid(f"{setting.flag}: {text!r} is not a number from 1 to 9999")
        return int(text)

    def seconds(self, setting: Setting) -> float:
        """Give a positive duration [s]; raises SettingInvalid."""
        text = self.text(setting)
        try:
            seconds = float(text)
        except ValueError as error:
            raise SettingInvalid(f"{setting.flag}: {text!r} is not a number of seconds") from error
        if not 0 < seconds <= 3600:
            raise SettingInvalid(f"{setting.flag}: {text} s is out of range; give more than 0 and at most 3600")
        return seconds

    def secret(self, setting: Setting) -> str:
        """Read the secret that a setting's file holds, without the line end; raises SettingInvalid."""
        path = Path(self.text(setting))
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingInvalid(f"{setting.flag}: {path} cannot be read: {error}") from error
        if not secret:
            raise SettingInvalid(f"{setting.flag}: {path} is empty; write the secret into it")
        return secret


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def local_caller(name: str | None = None) -> Caller:
    """Give who runs a command at the centre: by the name he gives, else by the account it runs under."""
    from ingest.caller import Caller

    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account without a name, as in containers
        account = str(os.getuid())
    return Caller(name or f"local/{account}", socket.gethostname(), f"command, account {account}")


def read_broker_config(settings: Settings) -> BrokerConfig:
    """Read how to reach the broker."""
    return BrokerConfig(
        host=settings.text(BROKER_HOST),
        port=settings.port(BROKER_PORT),
        user=settings.text(BROKER_USER),
        password=settings.secret(BROKER_PASSWORD_FILE) if settings.text(BROKER_PASSWORD_FILE) else "",
        mqtt5=_version(settings.text(BROKER_MQTT)) == "5",
        tls=_tls(settings),
    )


def _tls(settings: Settings) -> BrokerTls | None:
    from provisioning.broker_tls import BrokerTls, BrokerTlsInvalid

    ca, certificate, key = (settings.text(one) for one in (BROKER_CA_FILE, BROKER_CERTIFICATE_FILE, BROKER_KEY_FILE))
    if not ca:
        if certificate or key:
            mend = f"name the file, or {MACHINES_OWN} for the authorities this machine believes"
            raise SettingInvalid(f"{BROKER_CA_FILE.flag}: must be given with a certificate; {mend}")
        return None
    try:
        return BrokerTls(
            ca=None if ca == MACHINES_OWN else Path(ca),
            certificate=Path(certificate) if certificate else None,
            key=Path(key) if key else None,
        )
    except BrokerTlsInvalid as error:
        raise SettingInvalid(f"{BROKER_CERTIFICATE_FILE.flag}, {BROKER_KEY_FILE.flag}: {error}") from error


def _version(text: str) -> str:
    if text not in ("3.1.1", "5"):
        raise SettingInvalid(f"{BROKER_MQTT.flag}: {text!r} is no version of MQTT; give 3.1.1 or 5")
    return text


def read_storage(settings: Settings) -> Storage:
    """Read how the store is laid out and how long it keeps what; raises SettingInvalid or LayoutRefused."""
    from ingest.store.layout import Storage

    return Storage(**{one.name.replace("-", "_"): settings.count(one) for one in STORAGE_SETTINGS})


def read_serve_config(settings: Settings) -> ServeConfig:
    """Read everything `metertree serve` needs; raises SettingMissing or SettingInvalid."""
    profiles = settings.text(PROFILES)
    return ServeConfig(
        dsn=settings.text(DSN),
        broker=read_broker_config(settings),
        centre_key=Path(settings.text(CENTRE_KEY)),
        admin_token=settings.secret(ADMIN_TOKEN_FILE),
        host=settings.text(HOST),
        port=settings.port(PORT),
        profiles=Path(profiles) if profiles else None,
        settle_every_s=settings.seconds(SETTLE_EVERY_S),
        intake_share=settings.text(INTAKE_SHARE),
    )
