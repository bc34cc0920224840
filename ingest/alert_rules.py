"""What an alert is, when one opens and when it closes: pure decisions over findings. No alarm flood.

Theory of operation. A look finds causes. A *firm* finding (past its threshold) opens an alert; a lingering one (between
the threshold and the lower one at which it is well again) keeps it open and opens none. So a measure that trembles at
its threshold opens one alert. A cause has one open alert, however often it is found. An alert closes when its cause was
not found for a while; if it comes back within the hour the same alert opens again and closes twice as slowly, so that
what flaps all day is told a handful of times. Where many gateways fall silent together, the cause is not in them: they
are folded into one alert of their site, or of the fleet; so are many within the hour, whatever part of it they are.
What is told already stays told one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

FOLD_MIN = 3
"""Gateways of a site that must share a fault before it is told as one."""
FOLD_SHARE = 2
"""One in so many of them: half. Told as one, it stays so down to half of that."""
FOLD_MANY = 20
"""So many new alerts of a kind within the hour are told as one, whatever part of the gateways they are."""
NAMED_MAX = 20
"""Gateways named in an alert that stands for many."""
REOPENS_WITHIN = timedelta(hours=1)
QUIET_MAX = timedelta(days=1)


class AlertKind(StrEnum):
    """What a person must look at."""

    GATEWAY_SILENT = "gateway-silent"
    CHAIN_GAP = "chain-gap"
    EQUIVOCATION = "equivocation"
    BATCHES_LOST = "batches-lost"
    CLAIM_MISUSED = "claim-misused"
    CLOCK_OFF = "clock-off"
    QUARANTINE_GROWING = "quarantine-growing"
    SETTLEMENT_STUCK = "settlement-stuck"
    PARTITIONS_MISSING = "partitions-missing"
    DISK_FULL = "disk-full"
    BACKUP_OLD = "backup-old"
    CERTIFICATE_ENDING = "certificate-ending"
    METER_SWAPPED = "meter-swapped"
    COUNTER_BROKEN = "counter-broken"
    READINGS_WAIT = "readings-wait"
    ENDPOINT_DEAD = "endpoint-dead"


class Scope(StrEnum):
    """What an alert is about."""

    GATEWAY = "gateway"
    SITE = "site"
    FLEET = "fleet"
    SERVICE = "service"
    NODE = "node"


class Severity(StrEnum):
    """How soon somebody should look: a warning within the day, a critical one now."""

    WARNING = "warning"
    CRITICAL = "critical"


HELD = frozenset({AlertKind.EQUIVOCATION, AlertKind.BATCHES_LOST, AlertKind.CLAIM_MISUSED})
"""Kinds that only a person closes, by acknowledging.

Two contents under one seq, a loss, a claim in wrong hands do not mend themselves.
"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a finding is firm.

    silent_min        a gateway from which nothing has come for so long [min]
    gap_min           a gap in a chain that has been open for so long [min]
    clock_ms          error bound of a gateway's clock, or how far it is ahead [ms]: 9 s are 1 % of a quarter hour
    quarantine_hour   messages that came into quarantine for one reason within an hour
    settlement_min    readings that wait so long to be settled [min]
    disk_percent      how full a watched disk is [%]
    backup_hours      age of the newest good backup [h]
    certificate_days  how long a watched certificate still holds [days]
    clear_min         how long a cause must be gone before its alert closes [min]
    """

    silent_min: int = 45
    gap_min: int = 60
    clock_ms: int = 9000
    quarantine_hour: int = 20
    settlement_min: int = 30
    disk_percent: int = 90
    backup_hours: int = 26
    certificate_days: int = 14
    clear_min: int = 10

    @property
    def silent(self) -> timedelta:
        """Longest silence."""
        return timedelta(minutes=self.silent_min)


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """What an alert is told by: one open alert for each."""

    kind: AlertKind
    scope: Scope
    subject: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause that a look has found; `detail` holds what stays true while it lasts: instants, counts, names."""

    cause: Cause
    severity: Severity
    firm: bool = True
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of a cause, as it is kept.

    seen_at   when a look last found the cause; `times`: how often the alert was opened, again within the hour
    change    rises with every opening, closing, acknowledgement and change of severity, of whichever alert
    """

    alert: int
    cause: Cause
    severity: Severity
    opened_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    times: int
    detail: Mapping[str, Any]
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str
    change: int

    @property
    def is_open(self) -> bool:
        """Say whether the cause is there still, as far as is known."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look does to the alerts: causes told for the first time, told again, still there, gone."""

    opened: tuple[Finding, ...]
    reopened: tuple[tuple[Alert, Finding], ...]
    seen: tuple[tuple[Alert, Finding], ...]
    closed: tuple[Alert, ...]


def decide(
    findings: Iterable[Finding], is_open: Sequence[Alert], lately_closed: Sequence[Alert], now: datetime, clear_min: int
) -> Changes:
    """Decide what becomes of the open alerts; `lately_closed` are those that closed within REOPENS_WITHIN."""
    found = {one.cause: one for one in findings}
    known = {one.cause: one for one in is_open}
    before = {one.cause: one for one in lately_closed if one.cause.kind not in HELD}
    new = [one for cause, one in found.items() if cause not in known and one.firm]
    gone = (
        one
        for cause, one in known.items()
        if cause not in found and cause.kind not in HELD and now - one.seen_at >= quiet_needed(one.times, clear_min)
    )
    return Changes(
        opened=tuple(one for one in new if one.cause not in before),
        reopened=tuple((before[one.cause], one) for one in new if one.cause in before),
        seen=tuple((known[cause], one) for cause, one in found.items() if cause in known),
        closed=tuple(gone),
    )


def quiet_needed(times: int, clear_min: int) -> timedelta:
    """How long the cause of an alert that was opened `times` times must be gone."""
    return min(timedelta(minutes=clear_min * (1 << min(times - 1, 20))), QUIET_MAX)


def fold(
    findings: Iterable[Finding],
    sites: Mapping[str, str],
    is_open: Collection[Cause],
    fresh: Collection[Cause] = (),
) -> Iterator[Finding]:
    """Tell as one what many gateways share.

    sites   the site of every gateway that could have the faults
    fresh   causes whose alerts opened within REOPENS_WITHIN: they count, so what falls one after the other folds too
    """
    given = tuple(findings)
    for kind in sorted({one.cause.kind for one in given}):
        of_kind = [one for one in given if one.cause.kind is kind]
        lately = frozenset(one for one in fresh if one.kind is kind and one.scope is not Scope.FLEET)
        yield from (one for one in of_kind if one.cause in is_open)
        yield from _Folding(of_kind, sites, is_open, lately).tell()


class _Folding:
    """The findings of one kind that are not told one by one already."""

    def __init__(
        self,
        findings: Sequence[Finding],
        sites: Mapping[str, str],
        is_open: Collection[Cause],
        lately: frozenset[Cause],
    ) -> None:
        told = {one.cause.subject for one in findings if one.cause in is_open}
        self._is_open = is_open
        self._lately = lately
        self._loose = {one.cause.subject: one for one in findings if one.cause not in is_open}
        self._fresh = told & {one.subject for one in lately if one.scope is Scope.GATEWAY}
        self._sites: dict[str, list[str]] = {}
        for gateway, site in sites.items():
            # What was told long ago is known: it makes no site look worse than it is.
            if gateway not in told or gateway in self._fresh:
                self._sites.setdefault(site, []).append(gateway)

    def tell(self) -> Iterator[Finding]:
        """Tell them as the fleet if most sites have them or too much would be told, else by site, else one by one."""
        parts = [part for site, gateways in sorted(self._sites.items()) for part in self._of_site(site, gateways)]
        whole = self._together([gateway for each in self._sites.values() for gateway in each], Scope.FLEET, "")
        hit = sum(1 for each in self._sites.values() if any(one in self._loose or one in self._fresh for one in each))
        if whole is not None and hit > 1 and (2 * hit > len(self._sites) or self._is_flood(parts, whole.cause)):
            yield whole
        else:
            yield from parts

    def _is_flood(self, parts: Sequence[Finding], whole: Cause) -> bool:
        """Say whether so much is told that it is told as one; told so already, it is down to half of it."""
        told = self._lately | {one.cause for one in parts if one.firm}
        return len(told) >= FOLD_MANY or (whole in self._is_open and FOLD_SHARE * len(parts) >= FOLD_MANY)

    def _of_site(self, site: str, gateways: Sequence[str]) -> Iterator[Finding]:
        together = self._together(gateways, Scope.SITE, site)
        if together is not None:
            yield together
        else:
            yield from (self._loose[one] for one in gateways if one in self._loose)

    def _together(self, gateways: Sequence[str], scope: Scope, subject: str) -> Finding | None:
        """Tell the findings of `gateways` as one, if they are enough for it."""
        loose = [one for one in gateways if one in self._loose]
        if not loose:
            return None
        cause = Cause(self._loose[loose[0]].cause.kind, scope, subject)
        fresh = [one for one in gateways if one in self._fresh]
        firm = [one for one in loose if self._loose[one].firm]
        is_firm = bool(firm) and len(firm) + len(fresh) >= FOLD_MIN and self._is_much(firm + fresh, gateways, 1)
        if not is_firm and not (cause in self._is_open and self._is_much(loose + fresh, gateways, 2)):
            return None
        shared = sorted(loose + fresh)
        named = {"count": len(shared), "of": len(gateways), "gateways": shared[:NAMED_MAX]}
        return Finding(cause, Severity.CRITICAL, is_firm, named)

    @staticmethod
    def _is_much(hit: Sequence[str], gateways: Sequence[str], eased: int) -> bool:
        """Say whether those hit are half of the gateways or many; `eased` 2: half as much of either."""
        return eased * FOLD_SHARE * len(hit) >= len(gateways) or eased * len(hit) >= FOLD_MANY
