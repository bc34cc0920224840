"""What a look finds: one function for each rule, pure, over facts that the store or the machine has told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from ingest.alert_rules import NAMED_MAX, AlertKind, Cause, Finding, Scope, Severity, Thresholds
from ingest.fleet import GatewayStanding, clock_fault

CRITICAL_CERTIFICATE_DAYS = 3
DISK_EASED_PERCENT = 3
"""A disk is well again when it is so much emptier than the threshold [%]."""


@dataclass(frozen=True, slots=True)
class Clones:
    """Second contents under one seq of a gateway: how many the books know, and how many a person has acknowledged."""

    gateway: str
    count: int
    covered: int
    epoch: int
    seq: int
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Losses:
    """What a gateway has told as lost: how many runs, how many a person has acknowledged, batches in all.

    first_mark   earliest mark among them, `last_mark` the latest; None where no run says it
    """

    gateway: str
    count: int
    covered: int
    batches: int
    first_mark: datetime | None
    last_mark: datetime | None
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class FailingEndpoint:
    """An endpoint of webhooks turned off by what it answered, that fails for a while, or has `dead` letters."""

    endpoint: str
    owner: str
    url: str
    state: str
    since: datetime
    fails: bool
    dead: int


@dataclass(frozen=True, slots=True)
class Misuses:
    """Machines that presented claims given for `gateway` and not to them: how many, how many a person has acknowledged.

    Of the newest: the order, where it called from, its key, how it named itself, and the key that the claim had
    registered; None if it had not served yet.
    """

    gateway: str
    count: int
    covered: int
    order: str
    address: str
    key_id: bytes
    named: str
    winner: bytes | None
    noted_at: datetime


@dataclass(frozen=True, slots=True)
class Swapped:
    """A meter whose number is not the one the site has; `before`: what it told earlier, None if never another."""

    site: str
    node: str
    gateway: str
    meter: str
    written: str
    read: str
    before: str | None
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Broken:
    """A node whose counter broke between `start` and `end`, for these reasons."""

    site: str
    node: str
    reasons: tuple[str, ...]
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Refusals:
    """Messages that came into quarantine for one reason within the last hour, and some gateways that sent them."""

    reason: str
    count: int
    gateways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """A disk or certificate that is watched; `fault` says why it could not be looked at.

    full_percent   how full the disk is [%]
    ends_at        when the certificate, or the list of revoked ones, ends
    """

    name: str
    full_percent: int | None = None
    ends_at: datetime | None = None
    fault: str = ""


def silent_gateways(found: Iterable[GatewayStanding], thresholds: Thresholds, now: datetime) -> Iterator[Finding]:
    """Gateways from which nothing comes; well again when anything came within two thirds of the time."""
    for one in found:
        if one.silent_for > thresholds.silent * 2 / 3 and not one.newest.is_revoked:
            came = one.received_at
            detail = {"site": one.site, "since": _iso(now - one.silent_for), "never": came is None}
            yield _of_gateway(AlertKind.GATEWAY_SILENT, one, detail, firm=one.silent_for > thresholds.silent)


def open_gaps(found: Iterable[GatewayStanding], thresholds: Thresholds, now: datetime) -> Iterator[Finding]:
    """Gateways whose chain lacks something for long; well again when nothing is missing."""
    for one in found:
        since = one.gap_since
        if since is not None:
            epochs = [chain.epoch for chain in one.chains if chain.gap_open]
            detail = {"site": one.site, "since": _iso(since), "epochs": epochs}
            is_firm = now - since > timedelta(minutes=thresholds.gap_min)
            yield _of_gateway(AlertKind.CHAIN_GAP, one, detail, firm=is_firm)


def clocks_off(found: Iterable[GatewayStanding], thresholds: Thresholds) -> Iterator[Finding]:
    """Gateways whose clock cannot be trusted; well again below half of the limit."""
    for one in found:
        fault = clock_fault(one, thresholds.clock_ms) or clock_fault(one, thresholds.clock_ms // 2)
        if fault is not None and not one.newest.is_revoked:
            clock = one.newest.clock
            detail = {"site": one.site, "fault": fault, "error_ms": None if clock is None else clock.error_ms}
            is_firm = clock_fault(one, thresholds.clock_ms) is not None
            yield _of_gateway(AlertKind.CLOCK_OFF, one, detail, firm=is_firm)


def equivocations(found: Iterable[Clones], sites: Mapping[str, str]) -> Iterator[Finding]:
    """Gateways of which two contents came under one seq that nobody has acknowledged; `sites` by gateway."""
    for one in found:
        if one.count > one.covered:
            place = {"site": sites.get(one.gateway, ""), "epoch": one.epoch, "seq": one.seq}
            detail = {**place, "count": one.count, "raised_at": _iso(one.raised_at)}
            yield Finding(Cause(AlertKind.EQUIVOCATION, Scope.GATEWAY, one.gateway), Severity.CRITICAL, True, detail)


def batches_lost(found: Iterable[Losses], sites: Mapping[str, str]) -> Iterator[Finding]:
    """Gateways that told of batches as lost which nobody has acknowledged; `sites` by gateway."""
    for one in found:
        if one.count > one.covered:
            detail = {
                "site": sites.get(one.gateway, ""),
                "count": one.count,
                "batches": one.batches,
                "first_mark": None if one.first_mark is None else _iso(one.first_mark),
                "last_mark": None if one.last_mark is None else _iso(one.last_mark),
                "raised_at": _iso(one.raised_at),
            }
            yield Finding(Cause(AlertKind.BATCHES_LOST, Scope.GATEWAY, one.gateway), Severity.CRITICAL, True, detail)


def claims_misused(found: Iterable[Misuses], sites: Mapping[str, str]) -> Iterator[Finding]:
    """Gateways whose claim somebody else had, which nobody has acknowledged; `sites` by gateway."""
    for one in found:
        if one.count > one.covered:
            detail = {
                "site": sites.get(one.gateway, ""),
                "count": one.count,
                "order": one.order,
                "address": one.address,
                "named": one.named,
                "key": one.key_id.hex(),
                "winner": "–" if one.winner is None else one.winner.hex(),
                "noted_at": _iso(one.noted_at),
            }
            yield Finding(Cause(AlertKind.CLAIM_MISUSED, Scope.GATEWAY, one.gateway), Severity.CRITICAL, True, detail)


def meters_swapped(found: Iterable[Swapped]) -> Iterator[Finding]:
    """Meters whose serial number is not the site's: critical where it was another one before."""
    for one in found:
        detail = {
            "site": one.site,
            "meter": one.meter,
            "gateway": one.gateway,
            "written": one.written,
            "read": one.read,
            "before": one.before,
            "since": _iso(one.read_at),
        }
        severity = Severity.WARNING if one.before is None else Severity.CRITICAL
        yield Finding(Cause(AlertKind.METER_SWAPPED, Scope.NODE, f"{one.site}/{one.node}"), severity, True, detail)


def counters_broken(found: Iterable[Broken]) -> Iterator[Finding]:
    """Nodes whose energy is held because a register fell, jumped, or belongs to another meter."""
    for one in found:
        detail = {"site": one.site, "reasons": list(one.reasons), "since": _iso(one.start)}
        cause = Cause(AlertKind.COUNTER_BROKEN, Scope.NODE, f"{one.site}/{one.node}")
        yield Finding(cause, Severity.WARNING, True, detail)


def readings_wait(found: Iterable[tuple[str, datetime]]) -> Iterator[Finding]:
    """Sites where something that a person read waits for a second person, and since when."""
    for site, since in found:
        cause = Cause(AlertKind.READINGS_WAIT, Scope.SITE, site)
        yield Finding(cause, Severity.WARNING, True, {"since": _iso(since)})


def endpoints_dead(found: Iterable[FailingEndpoint]) -> Iterator[Finding]:
    """Endpoints of webhooks that nothing reaches: critical once one is off, or has dead letters."""
    for one in found:
        # Of the address its host only: the rest may hold what not everybody who reads alerts should.
        detail = {
            "host": urlsplit(one.url).hostname or one.url,
            "owner": one.owner,
            "state": one.state if one.state != "on" or one.fails else "dead",
            "since": _iso(one.since),
            "dead": one.dead,
        }
        severity = Severity.WARNING if one.state == "on" and not one.dead else Severity.CRITICAL
        yield _of_service(AlertKind.ENDPOINT_DEAD, one.endpoint, detail, severity)


def quarantine_growing(found: Iterable[Refusals], thresholds: Thresholds) -> Iterator[Finding]:
    """Reasons for which much comes into quarantine; well again when less than a fourth does."""
    for one in found:
        if 4 * one.count > thresholds.quarantine_hour:
            detail = {"gateways": list(one.gateways[:NAMED_MAX]), "within_min": 60}
            cause = Cause(AlertKind.QUARANTINE_GROWING, Scope.SERVICE, one.reason)
            yield Finding(cause, Severity.WARNING, one.count >= thresholds.quarantine_hour, detail)


def settlement_stuck(since: datetime | None, thresholds: Thresholds, now: datetime) -> Iterator[Finding]:
    """Readings that wait too long; `since` is how long the oldest waits. Well again when it waits half as long."""
    if since is not None and 2 * (now - since) > timedelta(minutes=thresholds.settlement_min):
        is_firm = now - since > timedelta(minutes=thresholds.settlement_min)
        yield _of_service(AlertKind.SETTLEMENT_STUCK, "", {"since": _iso(since)}, Severity.CRITICAL, firm=is_firm)


def partitions_missing(steps: Sequence[str], fault: str = "") -> Iterator[Finding]:
    """Pieces that the big tables lack; `fault` where that could not be found out."""
    if steps or fault:
        detail = {"steps": len(steps), "first": steps[0] if steps else fault}
        yield _of_service(AlertKind.PARTITIONS_MISSING, "", detail, Severity.WARNING)


def disks_full(disks: Iterable[Watched], thresholds: Thresholds) -> Iterator[Finding]:
    """Disks that fill up, or that cannot be looked at."""
    for one in disks:
        full = 100 if one.full_percent is None else one.full_percent
        if one.fault or full > thresholds.disk_percent - DISK_EASED_PERCENT:
            is_firm = bool(one.fault) or full >= thresholds.disk_percent
            detail = {"fault": one.fault} if one.fault else {"percent": thresholds.disk_percent}
            yield _of_service(AlertKind.DISK_FULL, one.name, detail, Severity.CRITICAL, firm=is_firm)


def certificates_ending(certificates: Iterable[Watched], thresholds: Thresholds, now: datetime) -> Iterator[Finding]:
    """Certificates and lists of revoked ones that end soon, or that cannot be read."""
    for one in certificates:
        left = None if one.ends_at is None else one.ends_at - now
        if left is not None and left > timedelta(days=thresholds.certificate_days):
            continue
        is_critical = left is not None and left < timedelta(days=CRITICAL_CERTIFICATE_DAYS)
        detail = {"fault": one.fault} if one.ends_at is None else {"ends_at": _iso(one.ends_at)}
        severity = Severity.CRITICAL if is_critical else Severity.WARNING
        yield _of_service(AlertKind.CERTIFICATE_ENDING, one.name, detail, severity)


def backups_old(
    newest: datetime | None, begun: datetime | None, thresholds: Thresholds, now: datetime
) -> Iterator[Finding]:
    """The newest good backup is too old, or there is none of what began at `begun`."""
    since = newest or begun
    if since is not None and now - since > timedelta(hours=thresholds.backup_hours):
        detail = {"since": None if newest is None else _iso(newest)}
        yield _of_service(AlertKind.BACKUP_OLD, "", detail, Severity.CRITICAL)


def _of_gateway(kind: AlertKind, one: GatewayStanding, detail: Mapping[str, Any], *, firm: bool) -> Finding:
    return Finding(Cause(kind, Scope.GATEWAY, one.gateway), Severity.WARNING, firm, detail)


def _of_service(
    kind: AlertKind, subject: str, detail: Mapping[str, Any], severity: Severity, *, firm: bool = True
) -> Finding:
    return Finding(Cause(kind, Scope.SERVICE, subject), severity, firm, detail)


def _iso(instant: datetime) -> str:
    return instant.isoformat()
