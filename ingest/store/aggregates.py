"""First registers of hours, days and months: those TimescaleDB keeps ready, elsewhere the same out of the readings.

What is kept ready is joined by TimescaleDB with readings newer than its last refresh. A reading that comes late, below
that, shows after the next one: its policies look back `late_days`, every quarter of an hour, and `refresh_aggregates`
over everything, every night. A span of a zone's own days and months that ends at the first instant of one is not worked
out again for it (TimescaleDB 2.29), so what is not kept ready of these few edges is looked for in the readings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.metering_points import RegisterPlace
from ingest.store.database import Connection, Database, Queries
from ingest.store.layout import AGGREGATES, Layout, find_layout
from ingest.store.series import Standings, place_columns, shown_at, shown_between
from metering.identity import MeterId

Int64Array = npt.NDArray[np.int64]
_HOUR = timedelta(hours=1)


@cache
def aggregate_queries() -> Queries:
    """Load `aggregates.sql`."""
    return Queries("aggregates", resources.files(__package__).joinpath("aggregates.sql").read_text("utf-8"))


def shown_at_edges(
    connection: Connection,
    meters: Sequence[MeterId],
    places: Sequence[RegisterPlace],
    *,
    per: str,
    zone: str,
    edges: Int64Array,
) -> tuple[Mapping[MeterId, tuple[Standings, ...]], bool]:
    """Give what registers showed at `edges` [s since 1970], which begin hours, days or months, in order; or at more.

    per, zone   "hour", "day" or "month" of this zone
    Says also whether it was kept ready.
    """
    kept = _kept_ready(connection, per, zone, edges)
    if kept is None:
        marks = [_instant(edge) for edge in edges.tolist()]
        if per == "hour":  # to read every fourth mark by itself takes longer than to read them all
            return {meter: shown_between(connection, meter, places, marks[0], marks[-1]) for meter in meters}, False
        return {meter: shown_at(connection, meter, places, marks) for meter in meters}, False
    first, last = _instant(int(edges[0])), _instant(int(edges[-1]))
    wanted = {"meters": list(meters), "first": first, "last": last, **place_columns(places)}
    found: dict[MeterId, dict[RegisterPlace, list[tuple[int, int]]]] = {}
    at_edge = set(edges.tolist())
    for meter, profile_hash, group, position, shown, mantissa in connection.execute(kept, wanted):
        at_s = int(shown.timestamp())
        if mantissa is not None and at_s in at_edge:
            place = RegisterPlace(bytes(profile_hash), group, position - 1)
            found.setdefault(MeterId(meter), {}).setdefault(place, []).append((at_s, mantissa))
    kept_ready = {
        meter: tuple(_standings(place, pairs) for place, pairs in by_place.items()) for meter, by_place in found.items()
    }
    if per == "hour":
        return kept_ready, True
    shown_s = {at_s for by_place in found.values() for pairs in by_place.values() for at_s, _ in pairs}
    marks = [_instant(edge) for edge in edges.tolist() if edge not in shown_s]
    late = {meter: shown_at(connection, meter, places, marks) for meter in meters} if marks else {}
    return {meter: (*kept_ready.get(meter, ()), *late.get(meter, ())) for meter in meters}, True


def fill_new_aggregates(database: Database, done: Collection[str]) -> Iterator[str]:
    """Fill aggregates if one is among what was `done`: policies look back a part of the way only, and once one has run
    what is older would seem not to be there."""
    if any(what.startswith(AGGREGATES) for what in done):
        yield from refresh_aggregates(database)


def refresh_aggregates(database: Database) -> Iterator[str]:
    """Bring what TimescaleDB keeps ready up to date, however late readings came; tells each in words.

    Nothing on plain PostgreSQL, where nothing is kept ready.
    """
    with database.transaction() as connection:
        steps = _rows(connection, "refreshes", {}) if find_layout(connection) is Layout.HYPERTABLES else []
    with database.alone() as connection:
        for what, statement in steps:
            connection.execute(statement.encode())
            yield what


def _kept_ready(connection: Connection, per: str, zone: str, edges: Int64Array) -> bytes | None:
    """Give the query over what is kept ready, if anything is for such spans."""
    if find_layout(connection) is not Layout.HYPERTABLES:
        return None
    whole_hours = not (edges % int(_HOUR.total_seconds())).any()
    for (view,) in _rows(connection, "kept", {"per": per, "zone": zone, "whole_hours": whole_hours}):
        return aggregate_queries()["first_shown"].replace(b"registers_kept", view.encode())
    return None


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _rows(connection: Connection, query: str, arguments: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(aggregate_queries()[query], arguments).fetchall()


def _standings(place: RegisterPlace, pairs: Sequence[tuple[int, int]]) -> Standings:
    at_s, mantissas = np.array(pairs, np.int64).reshape(-1, 2).T
    return Standings(place, at_s, mantissas)
