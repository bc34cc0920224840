"""What a statement's page shows beside what is signed: who shares, earlier periods, photos. Open transactions only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from allocation_engine.evidence import EnvelopeRef
from ingest.store.database import Connection, load_queries
from metering.identity import PartyId, PoolId, SiteId, UnitId

PERIODS_MAX = 24
"""Two years of months."""
SHARERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class PaidPeriod:
    """What a party had to pay in a period [minor units], and what its own electricity meters counted [Wh]."""

    period: str
    amount_minor: int
    energy_wh: int | None


@dataclass(frozen=True, slots=True)
class Sharers:
    """Who shares a cost: units with who has them, at most SHARERS_MAX of all pools together, and how many there are."""

    units: tuple[tuple[UnitId, PartyId], ...]
    count: int


def sharers_of(connection: Connection, run: str, pools: Collection[PoolId]) -> Mapping[PoolId, Sharers]:
    """Give who shares each of some pools of a run."""
    queries, wanted = load_queries("statement_page"), {"run": run, "pools": list(pools), "most": SHARERS_MAX}
    counts = {PoolId(pool): int(count) for pool, count in connection.execute(queries["count_sharers"], wanted)}
    units: dict[PoolId, list[tuple[UnitId, PartyId]]] = {}
    for pool, unit, party in connection.execute(queries["sharers"], wanted):
        units.setdefault(PoolId(pool), []).append((UnitId(unit), PartyId(party)))
    return {pool: Sharers(tuple(units.get(pool, ())), count) for pool, count in counts.items()}


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
