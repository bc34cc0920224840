"""What a chart is made of: the settled days of one metering point, and what one register of a meter showed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.intervals import SlotException
from ingest.metering_points import RegisterPlace
from ingest.store.database import Connection, load_queries
from ingest.store.settled import SettledPoint
from ingest.store.wired_days import ENERGY_FORM, QUALITY_FORM, WiredDays, wired_dates, wired_numbers
from metering.identity import MeterId, NodeId, SiteId
from metering.obis import Obis

Int64Array = npt.NDArray[np.int64]
_EPOCH_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_MICROSECONDS = timedelta(seconds=1) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Standings:
    """What one register of a meter showed, in mantissas of one channel of a profile.

    at_s       shape (readings,), when [s since 1970], in no order
    mantissas  shape (readings,)
    """

    place: RegisterPlace
    at_s: Int64Array
    mantissas: Int64Array


def settled_point(
    connection: Connection, site: SiteId, node: NodeId, obis: Obis, first: date, last: date
) -> SettledPoint | None:
    """Give the settled days of one point from local day `first` to `last`, both included; None if there are none."""
    wanted = {"site": site, "node": node, "obis": str(obis), "first": first, "last": last}
    row = connection.execute(load_queries("series")["settled_point"], wanted).fetchone()
    if row is None or row[0] is None:
        return None
    days, *columns, exceptions = row
    return SettledPoint(
        node=node,
        obis=obis,
        days=wired_dates(bytes(days)),
        energy_wh=WiredDays(ENERGY_FORM, wired_dates(columns[0]), columns[1] or b""),
        quality=WiredDays(QUALITY_FORM, wired_dates(columns[2]), columns[3] or b""),
        exceptions=tuple(SlotException.from_document(one) for each in exceptions or () for one in each),
    )


def newest_settled_day(connection: Connection, site: SiteId, node: NodeId) -> date | None:
    """Give the newest local day of a node of which anything is settled."""
    row = connection.execute(load_queries("series")["newest_settled_day"], {"site": site, "node": node}).fetchone()
    found: date | None = None if row is None else row[0]
    return found


def shown_between(
    connection: Connection, meter: MeterId, places: Sequence[RegisterPlace], first: datetime, last: datetime
) -> tuple[Standings, ...]:
    """Give what a register of a meter showed at the marks from `first` to `last`, both included, wherever it stands."""
    wanted = {"meter": meter, "first": first, "last": last, **place_columns(places)}
    return _standings(connection.execute(load_queries("series")["shown_between"], wanted))


def shown_at(
    connection: Connection, meter: MeterId, places: Sequence[RegisterPlace], marks: Sequence[datetime]
) -> tuple[Standings, ...]:
    """Give what a register of a meter showed at these marks, in ascending order, wherever it stands."""
    wanted = {"meter": meter, "first": marks[0], "last": marks[-1], "marks": list(marks), **place_columns(places)}
    return _standings(connection.execute(load_queries("series")["shown_at"], wanted))


def _standings(rows: Iterable[tuple[Any, ...]]) -> tuple[Standings, ...]:
    found = []
    for profile_hash, group, position, at, mantissas in rows:
        instants, numbers = wired_numbers("i8", bytes(at)), wired_numbers("i8", bytes(mantissas))
        assert instants is not None, "a mark is never NULL"
        assert numbers is not None, "the query leaves NULL out"
        place = RegisterPlace(bytes(profile_hash), group, position - 1)
        # Every mark is a whole second: `aligned` says that it is a quarter hour.
        found.append(Standings(place, instants // _MICROSECONDS + _EPOCH_S, numbers))
    return tuple(found)


def place_columns(places: Sequence[RegisterPlace]) -> dict[str, list[bytes] | list[int]]:
    """Give places as columns for a query; positions count from 1 there."""
    return {
        "profiles": [place.profile_hash for place in places],
        "groups": [place.group for place in places],
        "positions": [place.position + 1 for place in places],
    }
