"""Settles one node, reading by reading: the plain way, which takes whatever arrives and which any other must equal.

Which days a reading can change: those between the last register known before it and the first known after it, because
a gap is bridged by a straight line between the two.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, product

from allocation_engine.evidence import PointReading
from allocation_engine.intervals import settle_point
from allocation_engine.ladder import settle_plain
from device_profiles.catalogue import Catalogue
from ingest.metering_points import MeteringPoint, decode, metering_points, register_places
from ingest.store.database import Connection
from ingest.store.readings import readings_due
from ingest.store.run_changes import OpenRuns, noted
from ingest.store.settled import (
    SettledDay,
    UnsettledDay,
    known_after,
    known_before,
    put_settled_day,
    settled_hashes,
)
from ingest.store.settled_rows import DayKey
from metering.envelope import encode, to_ms
from metering.identity import MeterId, NodeId
from metering.interval import SLOT, Interval
from metering.obis import Obis
from provisioning.site import Site

SETTLEMENT_VERSION = 2
"""Rises when the same readings would settle to something else, or are hashed otherwise: then a day is settled again
when next a reading touches it."""


def around(readings: Sequence[PointReading], span: Interval) -> Sequence[PointReading]:
    """Give the readings (in time order) that bear on `span`: those at its marks, and the next one beyond an end that
    was not read itself."""
    marks = [reading.mark for reading in readings]
    first, end = bisect_left(marks, span.start), bisect_right(marks, span.end)
    if first > 0 and (first == len(marks) or marks[first] != span.start):
        first = bisect_left(marks, marks[first - 1])
    if end < len(marks) and (end == 0 or marks[end - 1] != span.end):
        end = bisect_right(marks, marks[end])
    return readings[first:end]


def inputs_hash(point: MeteringPoint, readings: Sequence[PointReading], day: Interval) -> bytes:
    """SHA-256 over everything a settled day depends on; knows neither order nor repeats of readings."""
    digest = point_digest(point)
    digest.update(day_octets(day))
    shown: dict[MeterId, set[tuple[int, int]]] = {}
    for reading in readings:
        shown.setdefault(reading.meter, set()).add((int(reading.mark.timestamp()), reading.register_wh))
    for meter, registers in sorted(shown.items()):
        marks_s, registers_wh = zip(*sorted(registers), strict=True)
        digest.update(meter_octets(meter, len(registers)))
        digest.update(struct.pack(f"<{len(marks_s)}q", *marks_s))
        digest.update(struct.pack(f"<{len(registers_wh)}q", *registers_wh))
    if by_hand := sorted({(int(one.mark.timestamp()), one.meter) for one in readings if one.by_hand}):
        digest.update(encode([list(one) for one in by_hand]))
    return digest.digest()


def point_digest(point: MeteringPoint) -> hashlib._Hash:
    """Begin the hash of a day of this point."""
    installations = [
        (
            *(one.meter, one.start and to_ms(one.start), one.end and to_ms(one.end)),
            *(one.multiplier, one.modulus_wh, one.power_max_w, one.initial_wh, one.final_wh),
        )
        for one in point.installations
    ]
    content = encode([SETTLEMENT_VERSION, installations])
    return hashlib.sha256(struct.pack("<I", len(content)) + content)


def day_octets(day: Interval) -> bytes:
    """Say which day, in the hash of its inputs."""
    return struct.pack("<2q", to_ms(day.start), to_ms(day.end))


def meter_octets(meter: MeterId, count: int) -> bytes:
    """Say whose `count` registers follow: first their marks [s since 1970], then what they showed [Wh]."""
    name = meter.encode()
    return struct.pack("<2I", len(name), count) + name


def settle_node(
    connection: Connection,
    site: Site,
    catalogue: Catalogue,
    node: NodeId,
    waiting: Sequence[UnsettledDay],
    runs: OpenRuns,
) -> int:
    """Settle what waits at one node inside the caller's transaction; give the number of days that changed.

    waiting   the days of its meters on the list, seen in this transaction; to strike them off is the caller's
    runs      whom to tell
    """
    points = metering_points(site, catalogue, (node,))
    meters = tuple(meter.id for meter in site.meters_at(node))
    shelf = Shelf(connection, catalogue, meters, tuple(point.obis for point in points))
    days = _touched_days(shelf, site, waiting)
    known = settled_hashes(connection, site.id, node, days)
    settled: list[tuple[SettledDay, bytes]] = []
    for run in _consecutive(days):
        whole = Interval(site.calendar.day(run[0]).start, site.calendar.day(run[-1]).end)
        registers = shelf.registers(shelf.widen(whole))
        for point, day in product(points, run):
            span = site.calendar.day(day)
            readings = around(registers[point.obis], span)
            digest = inputs_hash(point, readings, span)
            if known.get((point.obis, day)) != digest:
                settled.append((settle_day(point, readings, span, day), digest))
    with noted(connection, site.id, runs, [DayKey(node, one.obis, one.day) for one, _ in settled]):
        for one, digest in settled:
            put_settled_day(connection, site.id, one, digest)
    return len(settled)


def settle_day(point: MeteringPoint, readings: Sequence[PointReading], span: Interval, day: date) -> SettledDay:
    """Settle one day of one point from the readings `around` it."""
    plain = None if any(one.by_hand for one in readings) else settle_plain(readings, span, point.installations)
    settled = plain or settle_point(readings, span, point.installations)
    return SettledDay(point.node, point.obis, day, settled.energy_wh, settled.quality, settled.exceptions)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The stored readings of one node's meters: where to look, and how to understand them."""

    connection: Connection
    catalogue: Catalogue
    meters: tuple[MeterId, ...]
    quantities: tuple[Obis, ...]

    def widen(self, span: Interval) -> Interval:
        """Widen a span to the registers known next to it, of whichever quantity reaches farther."""
        start, end = span.start, span.end
        for obis in self.quantities:
            places = register_places(self.catalogue, obis)
            start = min(start, known_before(self.connection, self.meters, places, span.start) or start)
            end = max(end, known_after(self.connection, self.meters, places, span.end) or end)
        return Interval(start, end)

    def registers(self, span: Interval) -> dict[Obis, list[PointReading]]:
        """Load every register at a mark from the start to the end of `span`, both included."""
        return decode(readings_due(self.connection, self.meters, span.start, span.end), self.catalogue)


def _touched_days(shelf: Shelf, site: Site, waiting: Sequence[UnsettledDay]) -> list[date]:
    """Give the local days that readings of the waiting UTC days can change."""
    touched: set[date] = set()
    for span in utc_spans(day.day for day in waiting):
        touched.update(site.calendar.days(shelf.widen(span)))
    return sorted(touched)


def utc_spans(days: Iterable[date]) -> list[Interval]:
    """Give the spans from the first to the last mark of UTC days without a hole between them."""
    spans = []
    for run in _consecutive(sorted(set(days))):
        first, last = (datetime.combine(day, time(), UTC) for day in (run[0], run[-1]))
        # The last mark of a UTC day is a slot before its end.
        spans.append(Interval(first, last + timedelta(days=1) - SLOT))
    return spans


def _consecutive(days: Sequence[date]) -> list[list[date]]:
    """Cut sorted days into runs without a hole."""
    keyed = groupby(enumerate(days), key=lambda item: item[1] - timedelta(days=item[0]))
    return [[day for _, day in run] for _, run in keyed]
