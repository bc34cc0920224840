"""Settled days, and which days wait for settlement. A settled day is a projection: readings can make it again."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
from psycopg.types.json import Jsonb

from allocation_engine.intervals import SlotException
from ingest.metering_points import RegisterPlace
from ingest.store.database import Connection, load_queries
from ingest.store.settled_rows import DayKey, DayRows
from ingest.store.wired_days import ENERGY_FORM, QUALITY_FORM, DaySlots, WiredDays, wired_dates
from metering.identity import MeterId, NodeId, SiteId
from metering.obis import Obis

_obis = cache(Obis.parse)


@dataclass(frozen=True, slots=True)
class UnsettledDay:
    """A UTC day of a meter with readings that no settlement has seen; `arrivals` rises with each batch of them."""

    meter: MeterId
    day: date
    arrivals: int


@dataclass(frozen=True, slots=True)
class SettledDay:
    """One node, quantity and local day: energy [Wh] and SlotQuality per 15-minute slot, and what was not normal."""

    node: NodeId
    obis: Obis
    day: date
    energy_wh: tuple[int, ...]
    quality: tuple[int, ...]
    exceptions: tuple[SlotException, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """The one day."""
        return (self.day,)

    def energies(self) -> Iterator[DaySlots]:
        """Give the energy of its slots."""
        yield self.days, np.array([self.energy_wh], np.int64)

    def qualities(self) -> Iterator[DaySlots]:
        """Give the quality of its slots."""
        yield self.days, np.array([self.quality], np.int64)


@dataclass(frozen=True, slots=True)
class SettledPoint:
    """The settled days of one node and quantity, as they came over the wire.

    days        every day that is settled
    energy_wh   of the days on which anything flowed
    quality     of the days that are not plainly measured throughout
    """

    node: NodeId
    obis: Obis
    days: tuple[date, ...]
    energy_wh: WiredDays
    quality: WiredDays
    exceptions: tuple[SlotException, ...]

    def energies(self) -> Iterator[DaySlots]:
        """Give the energy [Wh] of the days on which anything flowed; 0 on the other days."""
        return self.energy_wh.blocks()

    def qualities(self) -> Iterator[DaySlots]:
        """Give SlotQuality of the days that are not plainly measured throughout."""
        return self.quality.blocks()


class Settled(Protocol):
    """Settled days of one node and quantity."""

    @property
    def node(self) -> NodeId:
        """Whose they are."""

    @property
    def obis(self) -> Obis:
        """Of what."""

    @property
    def days(self) -> tuple[date, ...]:
        """Every day that is settled."""

    @property
    def exceptions(self) -> tuple[SlotException, ...]:
        """What was not normal."""

    def energies(self) -> Iterator[DaySlots]:
        """Give energy [Wh] by day and slot; 0 on days that are not given."""

    def qualities(self) -> Iterator[DaySlots]:
        """Give SlotQuality by day and slot; measured on days that are not given."""


def known_before(
    connection: Connection, meters: Sequence[MeterId], places: Sequence[RegisterPlace], instant: datetime
) -> datetime | None:
    """Give the newest mark before `instant` at which a meter of the list showed the register; None if none did."""
    return _nearest(connection, "known_before", meters, places, instant)


def known_after(
    connection: Connection, meters: Sequence[MeterId], places: Sequence[RegisterPlace], instant: datetime
) -> datetime | None:
    """Give the oldest mark after `instant` at which a meter of the list showed the register; None if none did."""
    return _nearest(connection, "known_after", meters, places, instant)


def _nearest(
    connection: Connection, query: str, meters: Sequence[MeterId], places: Sequence[RegisterPlace], instant: datetime
) -> datetime | None:
    wanted = {
        "meters": list(meters),
        "profiles": [place.profile_hash for place in places],
        "groups": [place.group for place in places],
        "positions": [place.position + 1 for place in places],
        "instant": instant,
    }
    row = connection.execute(load_queries("settled")[query], wanted).fetchone()
    found: datetime | None = None if row is None else row[0]
    return found


def waiting_meters(connection: Connection) -> frozenset[MeterId]:
    """Give every meter with a day that waits for settlement."""
    rows = connection.execute(load_queries("settled")["waiting_meters"])
    return frozenset(MeterId(meter) for (meter,) in rows)


def waiting_spans(connection: Connection) -> tuple[tuple[MeterId, int, date, date], ...]:
    """Give each meter that waits, how many days of it do, and the first and the last of them."""
    rows = connection.execute(load_queries("settled")["waiting_spans"])
    return tuple((MeterId(meter), int(days), first, last) for meter, days, first, last in rows)


def settled_day(connection: Connection, site: SiteId, key: DayKey) -> SettledDay | None:
    """Give one settled day, or None where it is not settled."""
    wanted = {"site": site, "node": key.node, "obis": str(key.obis), "day": key.day}
    row = connection.execute(load_queries("settled")["settled_day"], wanted).fetchone()
    if row is None:
        return None
    exceptions = tuple(SlotException.from_document(document) for document in row[2])
    return SettledDay(key.node, key.obis, key.day, tuple(row[0]), tuple(row[1]), exceptions)


def anything_waits(connection: Connection) -> bool:
    """Say whether any day of any meter waits for settlement."""
    return connection.execute(load_queries("settled")["anything_waits"]).fetchone() == (True,)


def unsettled_days(connection: Connection, meters: Sequence[MeterId]) -> tuple[UnsettledDay, ...]:
    """List the days of `meters` that wait for settlement."""
    rows = connection.execute(load_queries("settled")["unsettled_days"], {"meters": list(meters)})
    return tuple(UnsettledDay(MeterId(meter), day, arrivals) for meter, day, arrivals in rows)


def forget_unsettled_days(connection: Connection, days: Sequence[UnsettledDay]) -> None:
    """Strike settled days off the list, but for those on which something arrived since they were listed."""
    columns = {
        "meters": [day.meter for day in days],
        "days": [day.day for day in days],
        "arrivals": [day.arrivals for day in days],
    }
    connection.execute(load_queries("settled")["forget_unsettled_days"], columns)


def settled_hashes(connection: Connection, site: SiteId, node: NodeId, days: Iterable[date]) -> dict[Any, bytes]:
    """Give the hash of what each (obis, day) of a node was settled from, where it was."""
    wanted = {"site": site, "node": node, "days": list(days)}
    rows = connection.execute(load_queries("settled")["settled_hashes"], wanted)
    return {(Obis.parse(obis), day): bytes(inputs_hash) for obis, day, inputs_hash in rows}


def put_settled_day(connection: Connection, site: SiteId, settled: SettledDay, inputs_hash: bytes) -> None:
    """Store a settled day in place of an earlier settlement of it."""
    connection.execute(
        load_queries("settled")["put_settled_day"],
        {
            "site": site,
            "node": settled.node,
            "obis": str(settled.obis),
            "day": settled.day,
            "energy": list(settled.energy_wh),
            "quality": list(settled.quality),
            "exceptions": Jsonb([exception.to_document() for exception in settled.exceptions]),
            "inputs_hash": inputs_hash,
        },
    )


def settled_hashes_of(
    connection: Connection, site: SiteId, nodes: Sequence[NodeId], first: date, last: date
) -> dict[tuple[NodeId, Obis], dict[date, bytes]]:
    """Give, by node and quantity, the hash of what each day from `first` to `last` was settled from, where it was."""
    wanted = {"site": site, "nodes": list(nodes), "first": first, "last": last}
    known: dict[tuple[NodeId, Obis], dict[date, bytes]] = {}
    rows = connection.execute(load_queries("settled")["settled_hashes_of"], wanted, binary=True)
    for (node, obis), days in groupby(rows, key=itemgetter(0, 1)):
        of_point = known.setdefault((NodeId(node), _obis(obis)), {})
        of_point.update((day, inputs_hash) for _, _, day, inputs_hash in days)
    return known


def put_settled_days(connection: Connection, rows: DayRows, replaced: Sequence[DayKey]) -> None:
    """Store settled days; `replaced` names those that were settled before."""
    queries = load_queries("settled")
    if replaced:
        old = {
            "site": rows.site,
            "nodes": [key.node for key in replaced],
            "quantities": [str(key.obis) for key in replaced],
            "days": [key.day for key in replaced],
        }
        connection.execute(queries["drop_settled_days"], old)
    with connection.cursor() as cursor, cursor.copy(queries["copy_settled_days"]) as copy:
        copy.write(rows.to_copy())


def forget_settled_days(connection: Connection, site: SiteId, nodes: Sequence[NodeId] | None = None) -> None:
    """Drop every settled day of some nodes (None: of all), because meters are wired differently from now on."""
    wanted = {"site": site, "nodes": None if nodes is None else list(nodes)}
    connection.execute(load_queries("settled")["forget_settled_days"], wanted)


def middle_node(connection: Connection, nodes: Sequence[NodeId]) -> NodeId | None:
    """Give the last node of the first half, in the order of the database; None if there is none."""
    row = connection.execute(load_queries("settled")["middle_node"], {"nodes": list(nodes)}).fetchone()
    return None if row is None else row[0]


def settled_points(
    connection: Connection,
    site: SiteId,
    first: date,
    last: date,
    *,
    after: NodeId | None = None,
    until: NodeId | None = None,
) -> Generator[SettledPoint, None, None]:
    """Give the settled days of a site from local day `first` to `last`, both included, by node and quantity.

    after, until   only nodes after this one, and up to this one included, in the order of the database
    They come while they are read: until the last is taken, the connection serves nothing else.
    """
    wanted = {"site": site, "first": first, "last": last, "after": after, "until": until}
    with connection.cursor() as cursor:
        for node, obis, days, *columns, exceptions in cursor.stream(
            load_queries("settled")["settled_points"], wanted, binary=True
        ):
            yield SettledPoint(
                node=NodeId(node),
                obis=_obis(obis),
                days=wired_dates(days),
                energy_wh=WiredDays(ENERGY_FORM, wired_dates(columns[0]), columns[1] or b""),
                quality=WiredDays(QUALITY_FORM, wired_dates(columns[2]), columns[3] or b""),
                exceptions=tuple(SlotException.from_document(one) for each in exceptions or () for one in each),
            )


def settled_days(connection: Connection, site: SiteId, first: date, last: date) -> tuple[SettledDay, ...]:
    """Give the settled days of a site from local day `first` to `last`, both included, by node, quantity, day."""
    wanted = {"site": site, "first": first, "last": last}
    return tuple(
        SettledDay(
            node=NodeId(node),
            obis=Obis.parse(obis),
            day=day,
            energy_wh=tuple(energy),
            quality=tuple(quality),
            exceptions=tuple(SlotException.from_document(document) for document in exceptions),
        )
        for node, obis, day, energy, quality, exceptions in connection.execute(
            load_queries("settled")["settled_days"], wanted
        )
    )
