"""Settings of webhooks: where deliveries may go, and whose certificates are believed. As `ingest/config.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.config import Setting, SettingInvalid, Settings

if TYPE_CHECKING:
    from ingest.webhooks.guard import Guard, Network

NETWORKS = Setting(
    "webhook-networks", "private networks that webhooks may reach all the same, e.g. 10.1.2.0/24,127.0.0.0/8", ""
)
PORTS = Setting("webhook-ports", "ports that webhooks may go to, with , between them", "443,8443")
AUTHORITIES = Setting("webhook-authorities", "PEM file of authorities believed beside the system's by webhooks", "")
GUARD_SETTINGS = (NETWORKS, PORTS)
SENDING_SETTINGS = (*GUARD_SETTINGS, AUTHORITIES)


@dataclass(frozen=True, slots=True)
class Sending:
    """What deliveries are sent by. authorities: PEM file; None: the system's alone."""

    guard: Guard
    authorities: Path | None = field(default=None)


def read_guard(settings: Settings) -> Guard:
    """Read where webhooks may go; raises SettingInvalid."""
    from ingest.webhooks.guard import Guard

    networks = tuple(_network(one) for one in _parts(settings.text(NETWORKS)))
    return Guard(networks, frozenset(_port(one) for one in _parts(settings.text(PORTS))))


def read_sending(settings: Settings) -> Sending:
    """Read what deliveries are sent by; raises SettingInvalid."""
    authorities = settings.text(AUTHORITIES)
    if authorities and not Path(authorities).is_file():
        raise SettingInvalid(f"{AUTHORITIES.flag}: there is no file {authorities}")
    return Sending(read_guard(settings), Path(authorities) if authorities else None)


def _parts(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingInvalid(f"{NETWORKS.flag}: {text!r} is no network such as 10.1.2.0/24: {error}") from error


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingInvalid(f"{PORTS.flag}: {text!r} is not a port; give numbers from 1 to 65535")
    return int(text)
