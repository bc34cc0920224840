"""Settles many nodes at once: their registers as a matrix, and whatever needs no explaining by one compiled loop.

Nodes whose unsettled days are the same are settled together, from the local days that those days touch. A node that is
not plain (a profile nobody knows, a number out of range, two registers at one mark, a gap that reaches out of these
days) is left to `node_settlement.settle_node`; a day that is not plain to `settle_day`, from the same matrix. What
comes out is the same either way, to the octet: tests hold the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import groupby

import numpy as np

from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from allocation_engine.kernels import BoolArray, Int64Array, UInt8Array
from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.profile import ChannelKind, Profile
from ingest.metering_points import MeteringPoint
from ingest.node_settlement import around, day_octets, inputs_hash, meter_octets, point_digest, settle_day, utc_spans
from ingest.settlement_kernels import LACKING, ODD, UNKNOWN, grade_days, lay_mark, reach_all
from ingest.store.readings import ShownSweep
from ingest.store.settled import UnsettledDay
from ingest.store.settled_rows import DayKey, DayRows
from metering.identity import MeterId, NodeId
from metering.interval import SLOT, SLOT_S, Interval, SiteCalendar
from metering.obis import SETTLED_QUANTITIES, Obis
from provisioning.site import Site

PART_DAYS = 8_192
"""Days of registers that are worked on together: some 20 MB on the way from the database."""
KnownHashes = Mapping[tuple[NodeId, Obis], Mapping[date, bytes]]


@dataclass(frozen=True, slots=True)
class LocalDays:
    """Local days without a hole, and the unsettled UTC days that touch them.

    days           in order
    opens, closes  shape (days,): the first and the last mark of each, in quarter hours from the first mark of all
    waiting        the first and the last mark of each run of UTC days, likewise
    """

    days: tuple[date, ...]
    spans: tuple[Interval, ...]
    opens: Int64Array
    closes: Int64Array
    waiting: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> Interval:
        """All of them."""
        return Interval(self.spans[0].start, self.spans[-1].end)


@dataclass(frozen=True, slots=True)
class NodeMeters:
    """A node with something to settle: its metering points, and all meters that ever hung there."""

    node: NodeId
    points: tuple[MeteringPoint, ...]
    meters: tuple[MeterId, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that are settled together, over the same days."""

    days: LocalDays
    nodes: tuple[NodeMeters, ...]

    @property
    def meters(self) -> list[MeterId]:
        """All their meters."""
        return [meter for node in self.nodes for meter in node.meters]


def plan_parts(
    calendar: SiteCalendar, waiting: Mapping[NodeId, Sequence[UnsettledDay]], nodes: Mapping[NodeId, NodeMeters]
) -> Iterator[Part]:
    """Put nodes together that have the same days to settle; a node whose days lie far apart is in several parts."""
    alike: dict[tuple[Interval, ...], list[NodeMeters]] = {}
    listed: dict[frozenset[date], tuple[tuple[Interval, ...], ...]] = {}
    for node, unsettled in waiting.items():
        if not nodes[node].points:
            continue
        days = frozenset(one.day for one in unsettled)
        if days not in listed:
            listed[days] = tuple(_near_spans(calendar, utc_spans(days)))
        for spans in listed[days]:
            alike.setdefault(spans, []).append(nodes[node])
    for spans, group in alike.items():
        local = _local_days(calendar, spans)
        size = max(1, PART_DAYS // len(local.days))
        ends = np.cumsum([len(one.points) for one in group]) // size
        for _, places in groupby(range(len(group)), key=ends.__getitem__):
            yield Part(local, tuple(group[place] for place in places))


def _near_spans(calendar: SiteCalendar, spans: Sequence[Interval]) -> Iterator[tuple[Interval, ...]]:
    """Keep spans together whose local days touch or follow one another."""
    near: list[Interval] = []
    for span in spans:
        if near and _days_of(calendar, span)[0] > _days_of(calendar, near[-1])[-1] + timedelta(days=1):
            yield tuple(near)
            near = []
        near.append(span)
    yield tuple(near)


def _days_of(calendar: SiteCalendar, span: Interval) -> list[date]:
    """Give the local days that registers between two marks can change, if the marks beside them were read."""
    return calendar.days(Interval(span.start - SLOT, span.end + SLOT))


@lru_cache(maxsize=256)
def _local_days(calendar: SiteCalendar, spans: tuple[Interval, ...]) -> LocalDays:
    first, last = _days_of(calendar, spans[0])[0], _days_of(calendar, spans[-1])[-1]
    days = tuple(first + timedelta(days=offset) for offset in range((last - first).days + 1))
    local = tuple(calendar.day(day) for day in days)
    start = local[0].start
    return LocalDays(
        days=days,
        spans=local,
        opens=np.array([(day.start - start) // SLOT for day in local], np.int64),
        closes=np.array([(day.end - start) // SLOT for day in local], np.int64),
        waiting=tuple(((span.start - start) // SLOT, (span.end - start) // SLOT) for span in spans),
    )


class Registers:
    """The registers of a part as a matrix: rows by node, quantity and meter, columns by quarter hour.

    odd   nodes of which something is not plain
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.points = [point for node in part.nodes for point in node.points]
        self.homes = [node for node in part.nodes for _ in node.points]
        meters = [len(node.meters) for node in self.homes]
        self.row_ends: Int64Array = np.cumsum(meters, dtype=np.int64)
        self.row_firsts: Int64Array = self.row_ends - np.array(meters, np.int64)
        self.columns = int(part.days.closes[-1]) + 1
        self.shown: Int64Array = np.full((sum(meters), self.columns), UNKNOWN, np.int64)
        start_s = int(part.days.whole.start.timestamp())
        self.marks_s: Int64Array = start_s + SLOT_S * np.arange(self.columns, dtype=np.int64)
        # Where midnight is off the quarter hour, no mark is ever the first of a day.
        self.odd: set[NodeId] = set() if start_s % SLOT_S == 0 else {node.node for node in part.nodes}
        self._numbers = {str(meter): number for number, meter in enumerate(part.meters)}
        self._nodes = [node.node for node in part.nodes for _ in node.meters]
        self._rows: Int64Array = np.full((len(self._nodes), len(SETTLED_QUANTITIES)), -1, np.int64)
        for point, home, first in zip(self.points, self.homes, self.row_firsts.tolist(), strict=True):
            for place, meter in enumerate(home.meters):
                self._rows[self._numbers[meter], SETTLED_QUANTITIES.index(point.obis)] = first + place

    def lay(self, catalogue: Catalogue, sweeps: Iterable[ShownSweep]) -> None:
        """Lay what was shown into the matrix; what is not plain makes its node odd."""
        odd: BoolArray = np.zeros(len(self._nodes), np.bool_)
        start = self.part.days.whole.start
        known: dict[str, Int64Array] = {}
        for sweep in sweeps:
            meters = known.get(sweep.meters)
            if meters is None:
                names = sweep.meters.split(",")
                meters = known[sweep.meters] = np.array([self._numbers[name] for name in names], np.int64)
            column, beside = divmod(sweep.mark - start, SLOT)
            form = _form_of(catalogue, sweep)
            words = np.frombuffer(sweep.mantissas, ">u4").astype(np.uint32)
            if form is None or beside or not lay_mark(words, meters, self._rows, *form, column, self.shown, odd):
                odd[meters] = True
        self.odd.update(self._nodes[number] for number in np.flatnonzero(odd).tolist())

    def open_ends(self) -> tuple[set[NodeId], set[NodeId]]:
        """Give the nodes with a quantity that is not known at the first mark, and those at the last."""
        ends = []
        for column in (0, self.columns - 1):
            known = np.logical_or.reduceat(self.shown[:, column] != UNKNOWN, self.row_firsts)
            ends.append({self.homes[point].node for point in np.flatnonzero(~known).tolist()})
        return ends[0], ends[1]

    def touched(self) -> BoolArray:
        """Say which days, by point, the unsettled readings of its node can change; shape (points, days)."""
        days = self.part.days
        firsts = np.cumsum([0] + [len(node.points) for node in self.part.nodes[:-1]])
        touched: BoolArray = np.zeros((len(self.part.nodes), len(days.days)), np.bool_)
        reached = np.empty((len(self.points), 2), np.int64)
        numbers = np.arange(len(days.days))
        for first, last in days.waiting:
            reach_all(self.shown, self.row_firsts, self.row_ends, first, last, reached)
            start = np.searchsorted(days.opens, np.minimum.reduceat(reached[:, 0], firsts), "right") - 1
            end = np.searchsorted(days.opens, np.maximum.reduceat(reached[:, 1], firsts), "left") - 1
            touched |= (numbers >= start[:, None]) & (numbers <= end[:, None])
        is_odd = np.array([node.node in self.odd for node in self.part.nodes])
        touched[is_odd] = False
        return np.repeat(touched, [len(node.points) for node in self.part.nodes], axis=0)

    def readings(self, number: int) -> list[PointReading]:
        """Give the registers of one point, in time order."""
        readings = [
            PointReading(datetime.fromtimestamp(self.marks_s[column], UTC), meter, int(slots[column]))
            for meter, slots in zip(self.homes[number].meters, self.rows_of(number), strict=True)
            for column in np.flatnonzero(slots != UNKNOWN).tolist()
        ]
        return sorted(readings, key=lambda one: (one.mark, one.meter, one.register_wh))

    def rows_of(self, number: int) -> Int64Array:
        """Give the rows of one point, by meter."""
        rows: Int64Array = self.shown[self.row_firsts[number] : self.row_ends[number]]
        return rows


_Form = tuple[Int64Array, Int64Array, Int64Array, Int64Array]
"""By channel: the number of its quantity, or -1; base units of its last digit; its least and its most mantissa."""


def _form_of(catalogue: Catalogue, sweep: ShownSweep) -> _Form | None:
    try:
        return _plain_form(catalogue.by_hash(sweep.profile_hash), sweep.group)
    except ProfileUnknown:
        return None


@lru_cache(maxsize=1024)
def _plain_form(profile: Profile, group: int) -> _Form | None:
    """Give the form of a group; None where a register is no counter of whole base units, or stands there twice."""
    if not 0 <= group < len(profile.groups):
        return None
    channels = profile.groups[group].channels
    quantities = [SETTLED_QUANTITIES.index(one.obis) if one.obis in SETTLED_QUANTITIES else -1 for one in channels]
    settled = [one for one in channels if one.obis in SETTLED_QUANTITIES]
    factors = [Fraction(10) ** one.exponent * one.unit.factor for one in channels]
    for channel in settled:
        factor = Fraction(10) ** channel.exponent * channel.unit.factor
        if channel.kind is not ChannelKind.COUNTER or factor.denominator != 1 or factor * channel.limits[1] >= 2**63:
            return None
    if len({one.obis for one in settled}) < len(settled):
        return None
    counted = [int(factor) if number >= 0 else 0 for factor, number in zip(factors, quantities, strict=True)]
    columns = (quantities, counted, *zip(*(one.limits for one in channels), strict=True))
    quantity, unit, least, most = (np.array(column, np.int64) for column in columns)
    return quantity, unit, least, most


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """What the compiled loop takes and gives; see `settlement_kernels.grade_days`."""

    homes: Int64Array
    multipliers: Int64Array
    may_lack: BoolArray
    touched: BoolArray
    energy: Int64Array
    quality: UInt8Array
    grades: UInt8Array
    windows: Int64Array

    @classmethod
    def of(cls, registers: Registers) -> _Grid:
        """Settle what is plain."""
        days = registers.part.days
        shape = len(registers.points), len(days.days)
        slots = int((days.closes - days.opens).max())
        grid = cls(
            homes=np.full(shape, -1, np.int64),
            multipliers=np.ones(shape, np.int64),
            may_lack=np.zeros(shape[0], np.bool_),
            touched=registers.touched(),
            energy=np.zeros((*shape, slots), np.int64),
            quality=np.zeros((*shape, slots), np.uint8),
            grades=np.full(shape, ODD, np.uint8),
            windows=np.zeros((*shape, 2), np.int64),
        )
        whole = days.whole
        for number, point in enumerate(registers.points):
            grid._find_homes(number, point, registers, whole)
        grade_days(
            registers.shown,
            registers.row_firsts,
            registers.row_ends,
            grid.homes,
            grid.may_lack,
            grid.multipliers,
            days.opens,
            days.closes,
            grid.touched,
            grid.energy,
            grid.quality,
            grid.grades,
            grid.windows,
        )
        return grid

    def _find_homes(self, number: int, point: MeteringPoint, registers: Registers, whole: Interval) -> None:
        """Find the one meter that hung at a point on each day, from before its first mark until after its last."""
        first, meters = int(registers.row_firsts[number]), registers.homes[number].meters
        self.may_lack[number] = not any(_is_declared(one) for one in point.installations)
        if len(point.installations) == 1 and _hung(point.installations[0], whole):
            (home,) = point.installations
            self.homes[number] = first + meters.index(home.meter)
            self.multipliers[number] = home.multiplier
            return
        self.may_lack[number] = False
        for place, day in enumerate(registers.part.days.spans):
            hung = [one for one in point.installations if _hung(one, day)]
            if len(hung) == 1:
                self.homes[number, place] = first + meters.index(hung[0].meter)
                self.multipliers[number, place] = hung[0].multiplier


def _hung(one: Installation, span: Interval) -> bool:
    return (one.start is None or one.start < span.start) and (one.end is None or span.end < one.end)


def _is_declared(one: Installation) -> bool:
    return one.initial_wh is not None or one.final_wh is not None


@dataclass(slots=True)
class _Written:
    """The days that are to be written, one a row."""

    keys: list[DayKey] = field(default_factory=list)
    replaced: list[DayKey] = field(default_factory=list)
    points: list[int] = field(default_factory=list)
    days: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    exceptions: dict[int, bytes] = field(default_factory=dict)


def settle_part(site: Site, registers: Registers, known: KnownHashes) -> tuple[DayRows, list[DayKey]]:
    """Settle the days that the unsettled readings of a part can change, but for nodes that are odd.

    known    what was settled before, by the hash of what it was settled from
    Returns  the days that are not what they were, and which of them were there before
    """
    grid = _Grid.of(registers)
    days = registers.part.days
    written = _Written()
    for number in np.flatnonzero(grid.touched.any(axis=1)).tolist():
        _settle_point(registers, grid, number, known, written)
    places = np.array(written.points, np.int64), np.array(written.days, np.int64)
    slots: Int64Array = (days.closes - days.opens)[places[1]]
    energy, quality = grid.energy[places], grid.quality[places]
    rows = DayRows(site.id, written.keys, energy, quality, slots, written.exceptions, b"".join(written.hashes))
    return rows, written.replaced


def _settle_point(registers: Registers, grid: _Grid, number: int, known: KnownHashes, written: _Written) -> None:
    """Settle the touched days of one point."""
    point, days = registers.points[number], registers.part.days
    before = known.get((point.node, point.obis), {})
    begun, first, marks_s = point_digest(point), int(registers.row_firsts[number]), registers.marks_s.data
    readings: list[PointReading] | None = None
    touched = np.flatnonzero(grid.touched[number]).tolist()
    grades, windows, homes = (part[number].tolist() for part in (grid.grades, grid.windows, grid.homes))
    for place in touched:
        if grades[place] == ODD:
            readings = registers.readings(number) if readings is None else readings
            bearing = around(readings, days.spans[place])
            digest = inputs_hash(point, bearing, days.spans[place])
        else:
            from_column, to_column = windows[place]
            running = begun.copy()
            running.update(_day_octets(days.spans[place]))
            if to_column >= from_column:
                meter = registers.homes[number].meters[homes[place] - first]
                running.update(_meter_octets(meter, to_column - from_column + 1))
                running.update(marks_s[from_column : to_column + 1])
                running.update(registers.shown[homes[place], from_column : to_column + 1].data)
            digest = running.digest()
        day = days.days[place]
        if before.get(day) == digest:
            continue
        row = len(written.keys)
        if grades[place] == ODD:
            settled = settle_day(point, bearing, days.spans[place], day)
            count = len(settled.energy_wh)
            grid.energy[number, place, :count] = settled.energy_wh
            grid.quality[number, place, :count] = settled.quality
            if settled.exceptions:
                written.exceptions[row] = _told(settled.exceptions)
        elif grades[place] == LACKING:
            opens, closes = int(days.opens[place]), int(days.closes[place])
            written.exceptions[row] = _lacking(days.spans[place], *(one - opens for one in (*windows[place], closes)))
        key = DayKey(point.node, point.obis, day)
        written.keys.append(key)
        if day in before:
            written.replaced.append(key)
        written.points.append(number)
        written.days.append(place)
        written.hashes.append(digest)


_day_octets = lru_cache(maxsize=4096)(day_octets)
_meter_octets = lru_cache(maxsize=65_536)(meter_octets)


def _told(exceptions: Iterable[SlotException]) -> bytes:
    return json.dumps([one.to_document() for one in exceptions]).encode()


@lru_cache(maxsize=4096)
def _lacking(span: Interval, first: int, last: int, count: int) -> bytes:
    """Say what `settle_point` says of a day whose registers are known from mark `first` to `last` only.

    Before 0 or after `count`: that one register lies outside the day; `last` before `first`: there is none at all.
    """
    before, after = (0, count) if last < first else (min(max(first, 0), count), count - max(min(last, count), 0))
    told = []
    for reason, missing, slot in (
        (Reason.NO_READING_BEFORE, before, 0),
        (Reason.NO_READING_AFTER, after, count - after),
    ):
        if missing:
            basis = f"{missing} slots without a register at both ends"
            interval = span.start + slot * SLOT, span.start + (slot + missing) * SLOT
            told.append(SlotException(SlotQuality.MISSING, reason, *interval, None, basis))
    return _told(told)
