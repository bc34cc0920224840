"""Gateways in any condition, for tests of what is said about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.alert_rules import Alert, AlertKind, Cause, Finding, Scope, Severity, Thresholds
from ingest.fleet import GatewayStanding, standings
from ingest.store.fleet import GatewayChain
from metering.clock import ClockQuality, ClockState
from metering.envelope import Algorithm
from metering.identity import GatewayId, KeyId, SiteId

NOW = datetime(2026, 8, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
THRESHOLDS = Thresholds()


def chain(gateway: str = "gw-a", site: str = "park", epoch: int = 1, **changes: Any) -> GatewayChain:
    """A chain that is well: it sent a minute ago, and nothing is missing."""
    well = GatewayChain(
        gateway=GatewayId(gateway),
        site=SiteId(site),
        epoch=epoch,
        is_newest=True,
        enrolled_at=NOW - timedelta(days=40),
        key_id=KeyId(bytes(8)),
        algorithm=Algorithm.EDDSA,
        contiguous_seq=10,
        highest_seq=10,
        newest_mark=NOW - 2 * MINUTE,
        envelopes=10,
        repeats=0,
        received_at=NOW - MINUTE,
        refused=0,
        gap_since=None,
        waiting=0,
        clock=ClockState(ClockQuality.SYNCHRONISED, 5),
        sealed_at=NOW - MINUTE,
        sealed_received_at=NOW - MINUTE,
        alerts=(),
    )
    return replace(well, **changes)


def gapped(minutes: int = 90, **changes: Any) -> GatewayChain:
    """A chain that lacks 11 and 12 of 13."""
    return chain(highest_seq=13, waiting=1, gap_since=NOW - minutes * MINUTE, **changes)


def silent(gateway: str = "gw-a", site: str = "park", minutes: int = 60) -> GatewayChain:
    """A chain from which nothing has come for a while."""
    return chain(gateway, site, received_at=NOW - minutes * MINUTE)


def standing(*chains: GatewayChain, now: datetime = NOW, thresholds: Thresholds = THRESHOLDS) -> GatewayStanding:
    """How one gateway stands."""
    (found,) = standings(chains, now, thresholds)
    return found


def cause(subject: str = "gw-a", kind: AlertKind = AlertKind.GATEWAY_SILENT, scope: Scope = Scope.GATEWAY) -> Cause:
    """A cause."""
    return Cause(kind, scope, subject)


def finding(subject: str = "gw-a", *, firm: bool = True, **changes: Any) -> Finding:
    """A gateway found silent."""
    return replace(Finding(cause(subject), Severity.WARNING, firm, {"site": "park"}), **changes)


def alert(number: int = 1, **changes: Any) -> Alert:
    """An open alert about a silent gateway."""
    opened_at = NOW - 30 * MINUTE
    detail = {"site": "park", "since": (NOW - 75 * MINUTE).isoformat(), "never": False}
    blank = Alert(number, cause(), Severity.WARNING, opened_at, NOW - MINUTE, None, 1, detail, None, None, "", number)
    return replace(blank, **changes)
