"""Stored readings to settled days, again whenever something arrived: incremental, idempotent, safe to kill.

Theory of operation. The intake lists each meter day that got readings, in the transaction that stores them. A pass
takes the list of one node, settles every local day whose result those readings can change, writes the days and strikes
the list off, all in one transaction: killed before its commit, it has done nothing. A day's result depends only on the
site and on its `around` readings, never on when or in which order they arrived, so every way of arriving ends in the
same books.

Which days a reading can change: those between the last register known before it and the first known after it, because
a gap is bridged by a straight line between the two.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, product

from allocation_engine.evidence import PointReading
from allocation_engine.intervals import settle_point
from allocation_engine.ladder import settle_plain
from device_profiles.catalogue import Catalogue
from ingest.metering_points import MeteringPoint, decode, metering_points, register_places
from ingest.store.database import Connection, Database
from ingest.store.readings import readings_due
from ingest.store.settled import (
    SettledDay,
    UnsettledDay,
    anything_waits,
    forget_unsettled_days,
    known_after,
    known_before,
    put_settled_day,
    settled_hashes,
    unsettled_days,
)
from ingest.store.sites import lock_site, newest_version, newest_versions
from metering.envelope import encode, to_ms
from metering.identity import MeterId, NodeId, SiteId
from metering.interval import SLOT, Interval
from metering.obis import Obis
from provisioning.site import Site

SETTLEMENT_VERSION = 1
"""Rises when the same readings would settle to something else: then every day is settled again."""


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
    """SHA-256 over everything a settled day depends on."""
    installations = [
        (
            *(one.meter, one.start and to_ms(one.start), one.end and to_ms(one.end)),
            *(one.multiplier, one.modulus_wh, one.power_max_w, one.initial_wh, one.final_wh),
        )
        for one in point.installations
    ]
    # A set: a sweep that was sealed twice says nothing new.
    registers = sorted({(to_ms(reading.mark), reading.meter, reading.register_wh) for reading in readings})
    content = [SETTLEMENT_VERSION, to_ms(day.start), to_ms(day.end), installations, registers]
    return hashlib.sha256(encode(content)).digest()


@dataclass(frozen=True, slots=True)
class Settlement:
    """Keeps the settled days of every imported site up to what has arrived."""

    database: Database
    catalogue: Catalogue

    def settle_pending(self) -> int:
        """Settle whatever waits, in every site; give the number of settled days that changed."""
        with self.database.transaction() as connection:
            sites = [version.site.id for version in newest_versions(connection)]
        return sum(self.settle_site(site) for site in sites)

    def settle_site(self, site: SiteId) -> int:
        """Settle whatever waits in one site, one transaction per node; give the number of days that changed."""
        with self.database.transaction() as connection:
            version = newest_version(connection, site) if anything_waits(connection) else None
            if version is None:
                return 0
            waiting = unsettled_days(connection, [meter.id for meter in version.site.meters])
        nodes = sorted({version.site.meter(day.meter).node for day in waiting})
        return sum(self._settle_node(site, node) for node in nodes)

    def _settle_node(self, site_id: SiteId, node: NodeId) -> int:
        with self.database.transaction() as connection:
            lock_site(connection, site_id)
            version = newest_version(connection, site_id)
            if version is None:
                return 0
            return settle_node(connection, version.site, self.catalogue, node)


def settle_waiting(connection: Connection, site: Site, catalogue: Catalogue) -> int:
    """Settle what waits anywhere in a site inside the caller's transaction; give the number of days that changed."""
    waiting = unsettled_days(connection, [meter.id for meter in site.meters])
    nodes = sorted({site.meter(day.meter).node for day in waiting})
    return sum(settle_node(connection, site, catalogue, node) for node in nodes)


def settle_node(connection: Connection, site: Site, catalogue: Catalogue, node: NodeId) -> int:
    """Settle what waits at one node inside the caller's transaction; give the number of days that changed."""
    points = metering_points(site, catalogue, (node,))
    meters = tuple(meter.id for meter in site.meters_at(node))
    shelf = Shelf(connection, catalogue, meters, tuple(point.obis for point in points))
    waiting = unsettled_days(connection, meters)
    days = _touched_days(shelf, site, waiting)
    known = settled_hashes(connection, site.id, node, days)
    changed = 0
    for run in _consecutive(days):
        whole = Interval(site.calendar.day(run[0]).start, site.calendar.day(run[-1]).end)
        registers = shelf.registers(shelf.widen(whole))
        for point, day in product(points, run):
            span = site.calendar.day(day)
            readings = around(registers[point.obis], span)
            digest = inputs_hash(point, readings, span)
            if known.get((point.obis, day)) != digest:
                put_settled_day(connection, site.id, _settle_day(point, readings, span, day), digest)
                changed += 1
    forget_unsettled_days(connection, waiting)
    return changed


def _settle_day(point: MeteringPoint, readings: Sequence[PointReading], span: Interval, day: date) -> SettledDay:
    plain = settle_plain(readings, span, point.installations)
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
    for run in _consecutive(sorted({day.day for day in waiting})):
        first, last = (datetime.combine(day, time(), UTC) for day in (run[0], run[-1]))
        # The last mark of a UTC day is a slot before its end.
        span = shelf.widen(Interval(first, last + timedelta(days=1) - SLOT))
        touched.update(site.calendar.days(span))
    return sorted(touched)


def _consecutive(days: Sequence[date]) -> list[list[date]]:
    """Cut sorted days into runs without a hole."""
    keyed = groupby(enumerate(days), key=lambda item: item[1] - timedelta(days=item[0]))
    return [[day for _, day in run] for _, run in keyed]
