"""What of the books waits for a person and no other list has: runs between two steps, disputes without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from allocation_engine.run_state import RunState
from ingest.store.database import Connection, load_queries
from metering.identity import GatewayId, SiteId


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that waits for a step.

    unexplained   findings that need a reason and have none
    estimates     spans that were estimated, are missing or held; None where the run is too large to look
    """

    run: str
    site: SiteId
    period: str
    state: RunState
    unexplained: int
    created_at: datetime
    estimates: int | None


@dataclass(frozen=True, slots=True)
class OpenDispute:
    """A dispute without an answer, with the place of its statement."""

    dispute: int
    site: SiteId
    period: str
    statement: str
    reason: str
    raised_at: datetime


def waiting_runs(connection: Connection, most: int) -> tuple[WaitingRun, ...]:
    """List the runs that wait for a step, newest first."""
    rows = connection.execute(load_queries("inbox")["inbox_runs"], {"most": most})
    found = ((run, SiteId(site), period, RunState(state), *rest) for run, site, period, state, *rest in rows)
    return tuple(WaitingRun(*row) for row in found)


def open_disputes(connection: Connection, most: int) -> tuple[OpenDispute, ...]:
    """List the disputes without an answer, oldest first."""
    rows = connection.execute(load_queries("inbox")["inbox_disputes"], {"most": most})
    return tuple(OpenDispute(dispute, SiteId(site), *rest) for dispute, site, *rest in rows)


def sites_of_gateways(connection: Connection) -> Mapping[GatewayId, SiteId]:
    """Say of which site each gateway is."""
    rows = connection.execute(load_queries("inbox")["inbox_gateways"])
    return {GatewayId(gateway): SiteId(site) for gateway, site in rows}


def waiting_counts(connection: Connection) -> tuple[tuple[str, SiteId | None, int], ...]:
    """Count what waits, by the kinds of `ingest.inbox` and site; None where it is of no site."""
    rows = connection.execute(load_queries("inbox")["inbox_counts"])
    return tuple((kind, None if site is None else SiteId(site), count) for kind, site, count in rows)
