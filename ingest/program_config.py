"""Configuration of the programs that the central service is made of: all in one, or intake, settle, api and jobs.

As `config.py`: each setting is a flag or a variable, read once, frozen, passed down.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingest.alert_config import (
    ALERT_SETTINGS,
    AUTHORITY_FOLDER,
    THRESHOLD_SETTINGS,
    WATCH_CERTIFICATES,
    authority_folder,
    read_alerting,
    read_thresholds,
    watched_certificates,
)
from ingest.config import (
    ADMIN_TOKEN_FILE,
    CENTRE_KEY,
    DSN,
    HOST,
    INTAKE_SETTINGS,
    INTAKE_SHARE,
    PORT,
    PROFILES,
    SERVE_SETTINGS,
    SETTLE_EVERY_S,
    STORAGE_SETTINGS,
    BrokerConfig,
    ServeConfig,
    Setting,
    SettingInvalid,
    Settings,
    is_loopback,
    read_broker_config,
    read_serve_config,
    read_storage,
)
from ingest.webhooks.config import GUARD_SETTINGS, SENDING_SETTINGS, read_guard, read_sending

if TYPE_CHECKING:
    from ingest.alerts import Alerting
    from ingest.store.layout import Storage
    from ingest.webhooks.config import Sending
    from ingest.webhooks.guard import Guard

WORKERS_MAX = 64
"""As many as there are partitions."""
_SMALL_PORT = "port for /healthz, /readyz and /metrics, 0 for none"
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")

LOG_FORMAT = Setting("log-format", "how log lines are written: text, or json for one object a line", "text")
OTLP_ENDPOINT = Setting(
    "otlp-endpoint", "where traces go, OTLP over HTTP, e.g. http://127.0.0.1:4318; empty: nowhere", ""
)
PROBE_HOST = Setting("probe-host", "address of the small port for probes and metrics", "127.0.0.1")
SETTLE_PROBE_PORT = Setting("probe-port", _SMALL_PORT, "8081")
JOBS_PROBE_PORT = Setting("probe-port", _SMALL_PORT, "8082")
INTAKE_PROBE_PORT = Setting("probe-port", f"{_SMALL_PORT}; worker k of n listens k - 1 ports above it", "8091")
INTAKE_WORKERS = Setting("intake-workers", "take envelopes in this many processes of their own; 0: in this one", "0")
JOBS = Setting("jobs", "do the jobs of now and then here too: on, or off where metertree jobs runs", "on")
OPEN_READS = Setting(
    "open-reads", "who calls from this machine without a token may read: on or off; for a loopback --host only", "off"
)
MAP_TILES = Setting(
    "map-tiles", "https address of a tile server to lay below maps, with {z}, {x} and {y}; without it none is asked", ""
)
CALLS_PER_SECOND = Setting(
    "calls-per-second", "how many calls one client, operator or unknown address may make in the long run", "200"
)
NIGHTLY_AT = Setting("nightly-at", "when the nightly jobs begin, HH:MM in UTC", "18:00")

INTAKE_PROGRAM = (*INTAKE_SETTINGS, PROBE_HOST, INTAKE_PROBE_PORT, OTLP_ENDPOINT)
SETTLE_PROGRAM = (DSN, PROFILES, SETTLE_EVERY_S, PROBE_HOST, SETTLE_PROBE_PORT, OTLP_ENDPOINT)
API_PROGRAM = (
    *(DSN, CENTRE_KEY, ADMIN_TOKEN_FILE, HOST, PORT, OPEN_READS, CALLS_PER_SECOND, MAP_TILES, PROFILES),
    *(*THRESHOLD_SETTINGS, WATCH_CERTIFICATES, AUTHORITY_FOLDER, *GUARD_SETTINGS, OTLP_ENDPOINT),
)
JOBS_PROGRAM = (
    *(DSN, CENTRE_KEY, NIGHTLY_AT, *STORAGE_SETTINGS, *ALERT_SETTINGS, *SENDING_SETTINGS),
    *(PROBE_HOST, JOBS_PROBE_PORT, OTLP_ENDPOINT),
)
SERVE_PROGRAM = (
    *(*SERVE_SETTINGS, OPEN_READS, CALLS_PER_SECOND, MAP_TILES, INTAKE_WORKERS, PROBE_HOST, INTAKE_PROBE_PORT),
    *(JOBS, NIGHTLY_AT, *STORAGE_SETTINGS, *ALERT_SETTINGS, *SENDING_SETTINGS, OTLP_ENDPOINT),
)


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """How a program is watched: its small port (0: none), and where its traces go (empty: nowhere)."""

    host: str = "127.0.0.1"
    port: int = 0
    otlp_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """Everything `metertree intake` needs to know. `share` is k/n."""

    dsn: str = field(repr=False)
    broker: BrokerConfig
    centre_key: Path
    profiles: Path | None
    share: str
    watch: WatchConfig


@dataclass(frozen=True, slots=True)
class SettleConfig:
    """Everything `metertree settle` needs to know. `every_s` is a pause [s]."""

    dsn: str = field(repr=False)
    profiles: Path | None
    every_s: float
    watch: WatchConfig


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Everything `metertree api` needs to know. `alerting`: what gateways are judged by on pages.

    guard        where webhooks may go
    open_reads   who calls from this machine and shows nothing may read
    map_tiles    address of a tile server; empty: none
    calls_per_second   of one client, operator or unknown address
    """

    dsn: str = field(repr=False)
    centre_key: Path
    admin_token: str = field(repr=False)
    host: str
    port: int
    profiles: Path | None
    alerting: Alerting
    watch: WatchConfig
    guard: Guard
    open_reads: bool = False
    map_tiles: str = ""
    calls_per_second: int = 0


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """Everything `metertree jobs` needs to know. `nightly_at` is a time of day, UTC.

    centre_key   signs for the audit log every hour, and its salt key opens secrets of webhooks; None: nobody does
    sending      what webhooks are sent by
    """

    dsn: str = field(repr=False)
    storage: Storage
    nightly_at: time
    alerting: Alerting
    watch: WatchConfig
    sending: Sending
    centre_key: Path | None = None


@dataclass(frozen=True, slots=True)
class AllInOneConfig:
    """Everything `metertree serve` needs to know.

    intake_workers  how many processes take envelopes; 0: this one does
    worker_words    command line of such a process, but for its share
    jobs            None: another program does them
    alerting        what gateways are judged by on pages
    watch           its port is the small port of the first intake worker
    guard           where webhooks may go
    open_reads      who calls from this machine and shows nothing may read
    map_tiles       address of a tile server; empty: none
    calls_per_second   of one client, operator or unknown address
    """

    core: ServeConfig
    intake_workers: int
    worker_words: tuple[str, ...]
    jobs: JobsConfig | None
    alerting: Alerting
    watch: WatchConfig
    guard: Guard
    open_reads: bool = False
    map_tiles: str = ""
    calls_per_second: int = 0

    @property
    def web(self) -> ApiConfig:
        """The part that answers calls."""
        core = self.core
        places = (core.dsn, core.centre_key, core.admin_token, core.host, core.port, core.profiles)
        pages = (self.open_reads, self.map_tiles, self.calls_per_second)
        return ApiConfig(*places, self.alerting, self.watch, self.guard, *pages)


def given_flags(args: argparse.Namespace, settings: Sequence[Setting]) -> tuple[str, ...]:
    """Give what of `settings` was said by flag, for the command line of another program in the same environment."""
    given = ((setting, getattr(args, setting.name.replace("-", "_"), None)) for setting in settings)
    return tuple(f"{setting.flag}={text}" for setting, text in given if text is not None)


def read_intake_config(settings: Settings) -> IntakeConfig:
    """Read what an intake worker needs; raises SettingMissing, SettingInvalid or ShareInvalid."""
    from ingest.intake_worker import Worker

    share = settings.text(INTAKE_SHARE)
    watch = _watch(settings, INTAKE_PROBE_PORT, above=Worker.parse(share).number - 1)
    return IntakeConfig(
        dsn=settings.text(DSN),
        broker=read_broker_config(settings),
        centre_key=Path(settings.text(CENTRE_KEY)),
        profiles=_folder(settings),
        share=share,
        watch=watch,
    )


def read_settle_config(settings: Settings) -> SettleConfig:
    """Read what settlement needs; raises SettingMissing or SettingInvalid."""
    return SettleConfig(
        dsn=settings.text(DSN),
        profiles=_folder(settings),
        every_s=settings.seconds(SETTLE_EVERY_S),
        watch=_watch(settings, SETTLE_PROBE_PORT),
    )


def read_api_config(settings: Settings) -> ApiConfig:
    """Read what the API and the console need; raises SettingMissing or SettingInvalid."""
    return ApiConfig(
        dsn=settings.text(DSN),
        centre_key=Path(settings.text(CENTRE_KEY)),
        admin_token=settings.secret(ADMIN_TOKEN_FILE),
        host=settings.text(HOST),
        port=settings.port(PORT),
        profiles=_folder(settings),
        alerting=_judged_by(settings),
        watch=WatchConfig(otlp_endpoint=settings.text(OTLP_ENDPOINT)),
        guard=read_guard(settings),
        open_reads=_open_reads(settings),
        map_tiles=_map_tiles(settings),
        calls_per_second=settings.count(CALLS_PER_SECOND),
    )


def read_jobs_config(settings: Settings) -> JobsConfig:
    """Read what the jobs need; raises SettingMissing, SettingInvalid or LayoutRefused."""
    return JobsConfig(
        dsn=settings.text(DSN),
        storage=read_storage(settings),
        nightly_at=_time_of_day(settings, NIGHTLY_AT),
        alerting=read_alerting(settings),
        watch=_watch(settings, JOBS_PROBE_PORT),
        sending=read_sending(settings),
        centre_key=None if (key := settings.optional(CENTRE_KEY)) is None else Path(key),
    )


def read_all_in_one_config(args: argparse.Namespace, settings: Settings) -> AllInOneConfig:
    """Read everything `metertree serve` needs; raises SettingMissing, SettingInvalid or LayoutRefused."""
    core, workers = read_serve_config(settings), _workers(settings)
    if workers and core.intake_share != "1/1":
        mend = "leave out one of the two"
        raise SettingInvalid(f"{INTAKE_WORKERS.flag}: {INTAKE_SHARE.flag} is a share already; {mend}")
    log_format = f"{LOG_FORMAT.flag}={settings.text(LOG_FORMAT)}"
    passed_on = [setting for setting in INTAKE_PROGRAM if setting is not INTAKE_SHARE]
    return AllInOneConfig(
        core=core,
        intake_workers=workers,
        worker_words=(log_format, "intake", *given_flags(args, passed_on)),
        jobs=read_jobs_config(settings) if _is_on(settings, JOBS) else None,
        alerting=_judged_by(settings),
        watch=_watch(settings, INTAKE_PROBE_PORT),
        guard=read_guard(settings),
        open_reads=_open_reads(settings),
        map_tiles=_map_tiles(settings),
        calls_per_second=settings.count(CALLS_PER_SECOND),
    )


def _watch(settings: Settings, port: Setting, *, above: int = 0) -> WatchConfig:
    is_open = settings.text(port) != "0"
    return WatchConfig(
        host=settings.text(PROBE_HOST),
        port=settings.port(port) + above if is_open else 0,
        otlp_endpoint=settings.text(OTLP_ENDPOINT),
    )


def _judged_by(settings: Settings) -> Alerting:
    from ingest.alerts import Alerting

    return Alerting(
        thresholds=read_thresholds(settings),
        certificates=watched_certificates(settings),
        authority=authority_folder(settings),
    )


def _workers(settings: Settings) -> int:
    text = settings.text(INTAKE_WORKERS)
    if not text.isascii() or not text.isdigit() or int(text) > WORKERS_MAX:
        raise SettingInvalid(f"{INTAKE_WORKERS.flag}: {text!r} is not a number from 0 to {WORKERS_MAX}")
    return int(text)


def _is_on(settings: Settings, setting: Setting) -> bool:
    text = settings.text(setting)
    if text not in ("on", "off"):
        raise SettingInvalid(f"{setting.flag}: {text!r} is neither on nor off")
    return text == "on"


def _open_reads(settings: Settings) -> bool:
    host, is_open = settings.text(HOST), _is_on(settings, OPEN_READS)
    if is_open and not is_loopback(host):
        mend = "listen on 127.0.0.1, or leave it off and give people and programs tokens"
        raise SettingInvalid(f"{OPEN_READS.flag}: everybody who reaches {host} could read; {mend}")
    return is_open


def _map_tiles(settings: Settings) -> str:
    address = settings.text(MAP_TILES)
    if not address:
        return ""
    try:
        parts = urlsplit(address.format(z=1, x=2, y=3))
        names_all = all("{" + name + "}" in address for name in "zxy")
    except (ValueError, KeyError, IndexError):
        names_all = False
    if not names_all or parts.scheme != "https" or not re.fullmatch(r"[A-Za-z0-9.:-]+", parts.netloc):
        mend = "give an address such as https://tiles.example.com/{z}/{x}/{y}.png"
        raise SettingInvalid(f"{MAP_TILES.flag}: {address!r} is no address of tiles; {mend}")
    return address


def _time_of_day(settings: Settings, setting: Setting) -> time:
    text = settings.text(setting)
    found = _TIME.match(text)
    if found is None:
        raise SettingInvalid(f"{setting.flag}: {text!r} is no time of day; give HH:MM, e.g. 18:00")
    return time(int(found[1]), int(found[2]))


def _folder(settings: Settings) -> Path | None:
    folder = settings.text(PROFILES)
    return Path(folder) if folder else None
