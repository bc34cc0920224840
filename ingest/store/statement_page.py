"""What a statement's page shows beside what is signed: who shares, earlier periods, photos. Open transactions only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from allocation_engine.evidence import EnvelopeRef
from ingest.store.database import Connection, load_queries
from metering.identity import PartyId, PoolId, SiteId, UnitId

PERIODS_MAX = 24
"""Two years of months."""
SHARERS_MAX = 9
"""Places of others that are named; how many there are is said."""


@dataclass(frozen=True, slots=True)
class PaidPeriod:
    """What a party had to pay in a period [minor units], and what its own electricity meters counted [Wh]."""

    period: str
    amount_minor: int
    energy_wh: int | None


@dataclass(frozen=True, slots=True)
class Sharers:
    """The units of others that share a cost: the first of them, and how many there are."""

    units: tuple[UnitId, ...]
    count: int


def sharers_of(connection: Connection, run: str, party: PartyId, pools: Collection[PoolId]) -> Mapping[PoolId, Sharers]:
    """Give who beside `party` shares each of some pools of a run; pools without others are left out."""
    wanted = {"run": run, "party": party, "pools": list(pools), "most": SHARERS_MAX}
    found: dict[PoolId, Sharers] = {}
    for pool, unit, count in connection.execute(load_queries("statement_page")["sharers"], wanted):
        before = found.get(pool, Sharers((), int(count)))
        found[PoolId(pool)] = Sharers((*before.units, UnitId(unit)), before.count)
    return found


def paid_periods(
    connection: Connection, *, site: SiteId, party: PartyId, run: str, period: str, starts: str
) -> tuple[PaidPeriod, ...]:
    """Give what a party paid by published runs up to this one, which is last; `starts` as in the run's document."""
    wanted = {"site": site, "party": party, "run": run, "period": period, "starts": starts, "most": PERIODS_MAX}
    rows = connection.execute(load_queries("statement_page")["party_history"], wanted).fetchall()
    return tuple(PaidPeriod(*row) for row in reversed(rows))


def photos_of(connection: Connection, sealed: Collection[EnvelopeRef]) -> Mapping[tuple[str, int, int], bytes]:
    """Give the SHA-256 of the photo behind each of some readings that people sealed, where there is one."""
    if not sealed:
        return {}
    wanted = {
        "gateways": [one.gateway for one in sealed],
        "epochs": [one.epoch for one in sealed],
        "seqs": [one.seq for one in sealed],
    }
    rows = connection.execute(load_queries("statement_page")["photos_of_envelopes"], wanted)
    return {(gateway, epoch, seq): bytes(photo) for gateway, epoch, seq, photo in rows}
