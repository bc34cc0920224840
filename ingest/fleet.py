"""How each gateway stands: pure judgements over what the books hold of it, against a clock and thresholds.

A gateway that sends is not well by that alone: its chain may have a gap, its clock may be off, its marks may lie hours
behind. Each such condition is named, and the worst one is its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from ingest.alert_rules import AlertKind, Thresholds
from ingest.store.fleet import LOOKED_MAX, GatewayChain
from metering.clock import ClockQuality
from metering.identity import GatewayId, SiteId


class Condition(StrEnum):
    """What is not as it should be at a gateway, the worst first."""

    CLONED = "cloned"
    REVOKED = "revoked"
    SILENT = "silent"
    NEVER_SENT = "never-sent"
    GAP = "gap"
    CLOCK = "clock"
    QUARANTINE = "quarantine"
    LATE = "late"


WELL = "well"
STATES = (*(str(one) for one in Condition), WELL)
"""Every state a gateway can be filtered by."""
LATE_AFTER = timedelta(hours=2)
"""A newest mark so far behind means a backlog on its way, or a clock that runs behind: both look the same from here."""


@dataclass(frozen=True, slots=True)
class GatewayStanding:
    """One gateway now: its newest chain, the earlier ones, and what is wrong.

    lag           how far its newest mark lies behind now; None before the first
    silent_for    how long nothing has come (since its enrolment, if nothing ever came)
    clock_ahead   how far its clock was ahead of ours at the newest envelope; a clock behind cannot be told from delay
    """

    newest: GatewayChain
    earlier: tuple[GatewayChain, ...]
    lag: timedelta | None
    silent_for: timedelta
    clock_ahead: timedelta
    conditions: tuple[Condition, ...]

    @property
    def gateway(self) -> GatewayId:
        """Its id."""
        return self.newest.gateway

    @property
    def site(self) -> SiteId:
        """Its site."""
        return self.newest.site

    @property
    def chains(self) -> tuple[GatewayChain, ...]:
        """All its chains, the newest epoch first."""
        return (self.newest, *self.earlier)

    @property
    def state(self) -> str:
        """The worst condition, or that it is well."""
        return str(self.conditions[0]) if self.conditions else WELL

    @property
    def received_at(self) -> datetime | None:
        """When anything last came from it, in whichever epoch."""
        return max((one.received_at for one in self.chains if one.received_at is not None), default=None)

    @property
    def refused(self) -> int:
        """Its messages in quarantine."""
        return sum(one.refused for one in self.chains)

    @property
    def missing(self) -> int:
        """Envelopes that are missing in its chains."""
        return sum(one.missing for one in self.chains)

    @property
    def waiting(self) -> int:
        """Envelopes that arrived behind a gap and wait for a receipt."""
        return sum(one.waiting for one in self.chains)

    @property
    def counts_end(self) -> bool:
        """Say whether `missing` and `waiting` are exact."""
        return all(one.waiting < LOOKED_MAX for one in self.chains)

    @property
    def gap_since(self) -> datetime | None:
        """Since when the oldest gap has been open."""
        return min((one.gap_since for one in self.chains if one.gap_open and one.gap_since is not None), default=None)


def standings(chains: Iterable[GatewayChain], now: datetime, thresholds: Thresholds) -> tuple[GatewayStanding, ...]:
    """Judge every gateway of `chains`, which come by gateway, the newest epoch first."""
    return tuple(_standing(tuple(own), now, thresholds) for _, own in groupby(chains, key=lambda chain: chain.gateway))


def clock_fault(standing: GatewayStanding, limit_ms: int) -> str | None:
    """Name what is wrong with a gateway's clock: `unknown`, `error`, `ahead`; None where nothing shows."""
    clock = standing.newest.clock
    if clock is None:
        return None
    if clock.quality is ClockQuality.UNKNOWN:
        return "unknown"
    if clock.error_ms is not None and clock.error_ms > limit_ms:
        return "error"
    return "ahead" if standing.clock_ahead > timedelta(milliseconds=limit_ms) else None


def choose(
    found: Iterable[GatewayStanding], *, site: str | None = None, state: str | None = None, text: str = ""
) -> tuple[GatewayStanding, ...]:
    """Keep those of a site, in a state (`not-well`: in any but well), and with `text` in their id or site."""
    wanted = text.strip().lower()
    return tuple(
        one
        for one in found
        if site in (None, one.site)
        and (state is None or state in (one.state, *one.conditions) or (state == NOT_WELL and one.conditions))
        and (wanted in one.gateway or wanted in one.site)
    )


NOT_WELL = "not-well"


def worst_first(found: Sequence[GatewayStanding]) -> tuple[GatewayStanding, ...]:
    """Order by how bad the state is, then by id."""
    rank = {state: place for place, state in enumerate(STATES)}
    return tuple(sorted(found, key=lambda one: (rank[one.state], one.gateway)))


def _standing(chains: tuple[GatewayChain, ...], now: datetime, thresholds: Thresholds) -> GatewayStanding:
    newest, earlier = chains[0], chains[1:]
    came = [one.received_at for one in chains if one.received_at is not None]
    mark = max((one.newest_mark for one in chains if one.newest_mark is not None), default=None)
    ahead = timedelta(0)
    if newest.sealed_at is not None and newest.sealed_received_at is not None:
        ahead = max(ahead, newest.sealed_at - newest.sealed_received_at)
    bare = GatewayStanding(
        newest=newest,
        earlier=earlier,
        lag=None if mark is None else now - mark,
        silent_for=now - max(came, default=newest.enrolled_at),
        clock_ahead=ahead,
        conditions=(),
    )
    return GatewayStanding(
        newest, earlier, bare.lag, bare.silent_for, ahead, tuple(_conditions(bare, bool(came), thresholds))
    )


def _conditions(one: GatewayStanding, has_sent: bool, thresholds: Thresholds) -> Iterable[Condition]:
    if AlertKind.EQUIVOCATION in one.newest.alerts:
        yield Condition.CLONED
    if one.newest.is_revoked:
        # Nothing is expected of it: that it is silent, late or unset is as it should be.
        yield Condition.REVOKED
        return
    if has_sent and one.silent_for > thresholds.silent:
        yield Condition.SILENT
    if not has_sent:
        yield Condition.NEVER_SENT
    if any(chain.gap_open for chain in one.chains):
        yield Condition.GAP
    if clock_fault(one, thresholds.clock_ms) is not None:
        yield Condition.CLOCK
    if one.refused:
        yield Condition.QUARANTINE
    if one.lag is not None and one.lag > LATE_AFTER:
        yield Condition.LATE
