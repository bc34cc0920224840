"""Settled days laid into the matrices of a period: energies in 32 bits while they fit, those given back by rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

import numpy as np
import numpy.typing as npt

from allocation_engine.inputs import Int64Array, UInt8Array
from allocation_engine.intervals import SlotException, SlotQuality
from allocation_engine.kernels import IntArray
from allocation_engine.sparse_rows import SparseRows
from ingest.energy_rows import RowFiller, sparse_rows
from ingest.store.settled import Settled, SettledPoint
from ingest.store.wired_days import DaySlots
from metering.identity import NodeId
from metering.interval import SLOT, Interval, SiteCalendar
from metering.obis import ENERGY_EXPORT, Obis


class SlotMatrix:
    """Rows of nodes, columns of slots, filled one metering point after the other.

    `counted`: the points that matter; what is not settled of one of them is MISSING.
    """

    def __init__(
        self, calendar: SiteCalendar, period: Interval, nodes: Iterable[NodeId], counted: Iterable[tuple[NodeId, Obis]]
    ) -> None:
        self._row = {node: row for row, node in enumerate(nodes)}
        self._slots = {day: _within(calendar.day(day), period) for day in calendar.days(period)}
        self._taken = RowFiller(len(self._row), period.slot_count)
        self.exceptions: list[tuple[NodeId, SlotException]] = []
        self._given: dict[int, Int64Array] = {}
        self._worst = np.zeros((len(self._row), period.slot_count), np.uint8)
        self._counted = frozenset(point for point in counted if point[0] in self._row)
        self._unsettled = set(self._counted)
        self._in_part: dict[tuple[NodeId, Obis], UInt8Array] = {}
        # Nearly all points have the same days.
        self._known_places: dict[tuple[date, ...], tuple[Int64Array, Int64Array] | None] = {}

    def lay(self, settled: Settled) -> None:
        """Lay what is settled of one point."""
        self.exceptions += ((settled.node, _told(exception, settled.obis)) for exception in settled.exceptions)
        point = settled.node, settled.obis
        places = self._places(settled.days)
        inside = len(settled.days) if places is not None else sum(day in self._slots for day in settled.days)
        if point not in self._counted or not inside:
            return
        self._unsettled.discard(point)
        row = self._row[settled.node]
        self._lay_energy(row, settled)
        if inside == len(self._slots) and point not in self._in_part:
            for first, numbers in self._spans(settled.qualities()):
                slots = self._worst[row, first : first + numbers.size]
                np.maximum(slots, numbers.astype(np.uint8), out=slots)
            return
        quality = self._in_part.get(point)
        if quality is None:
            quality = self._in_part[point] = np.full(self._worst.shape[1], SlotQuality.MISSING, np.uint8)
        for day in settled.days:
            first, end = self._slots.get(day, (0, 0))
            quality[first:end] = SlotQuality.MEASURED
        for first, numbers in self._spans(settled.qualities()):
            quality[first : first + numbers.size] = numbers

    @property
    def taken(self) -> IntArray:
        """Energy from the grid."""
        return self._taken.rows

    @property
    def given(self) -> SparseRows:
        """Energy to the grid."""
        return sparse_rows(*self._worst.shape, self._given)

    def quality(self) -> UInt8Array:
        """Give the worse of what is counted at each node; call when everything is laid."""
        for node, _ in self._unsettled:
            slots = self._worst[self._row[node]]
            np.maximum(slots, np.uint8(SlotQuality.MISSING), out=slots)
        for (node, _), slots in self._in_part.items():
            np.maximum(self._worst[self._row[node]], slots, out=self._worst[self._row[node]])
        return self._worst

    def _lay_energy(self, row: int, settled: Settled) -> None:
        if settled.obis != ENERGY_EXPORT and isinstance(settled, SettledPoint):
            places = self._places(settled.energy_wh.days)
            if places is not None:
                self._taken.put_days(row, settled.energy_wh, *places)
                return
        for first, numbers in self._spans(settled.energies()):
            if settled.obis == ENERGY_EXPORT:
                into = self._given.setdefault(row, np.zeros(self._worst.shape[1], np.int64))
                into[first : first + numbers.size] = numbers
            else:
                self._taken.put(row, first, numbers)

    def _places(self, days: tuple[date, ...]) -> tuple[Int64Array, Int64Array] | None:
        """Give the first slot of each day and how many it has; None where one of them is not in the period."""
        if days not in self._known_places:
            spans = [self._slots.get(day) for day in days]
            inside = [span for span in spans if span is not None]
            firsts = np.array([first for first, _ in inside], np.int64)
            lengths = np.array([end - first for first, end in inside], np.int64)
            self._known_places[days] = (firsts, lengths) if len(inside) == len(days) else None
        return self._known_places[days]

    def _spans(self, blocks: Iterable[DaySlots]) -> Iterator[tuple[int, npt.NDArray[np.integer]]]:
        """Give the first slot of each block, or of each of its days where they do not follow one another."""
        for days, numbers in blocks:
            known = [self._slots.get(day) for day in days]
            spans = [one for one in known if one is not None]
            length = numbers.shape[1]
            if len(spans) == len(days) and all(
                span == (spans[0][0] + index * length, spans[0][0] + (index + 1) * length)
                for index, span in enumerate(spans)
            ):
                yield spans[0][0], numbers.reshape(-1)
                continue
            for span, row in zip(known, numbers, strict=True):
                if span is not None and span[0] + length <= self._worst.shape[1]:
                    yield span[0], row


def _told(exception: SlotException, obis: Obis) -> SlotException:
    """Say of which register an exception is, where it is not the one that every node has."""
    is_given = obis == ENERGY_EXPORT
    return replace(exception, basis=f"energy given back: {exception.basis}") if is_given else exception


def _within(day: Interval, period: Interval) -> tuple[int, int]:
    """Give the first slot of a day in the period, and the one after its last."""
    return (day.start - period.start) // SLOT, (day.end - period.start) // SLOT
