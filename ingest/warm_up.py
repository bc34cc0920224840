"""Compiles the kernels of intake and of the store to disk: `python -m ingest.warm_up`.

Run once after an installation, beside `allocation_engine.warm_up`; else the first envelope waits for the compiler.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np

from ingest.series.points import Method, Slots, thin
from ingest.settlement_kernels import UNKNOWN, grade_days, lay_mark, reach_all
from ingest.store.reading_rows import reading_rows
from ingest.store.settled_rows import DayKey, DayRows
from ingest.store.wired_days import ENERGY_FORM, WiredDays
from ingest.sweeps import frame_of, open_sweeps
from metering.clock import ClockQuality, ClockState
from metering.envelope import Envelope, parse_sign1, read_head, seal
from metering.identity import GatewayId, MeterId, NodeId, SiteId
from metering.obis import ENERGY_IMPORT
from metering.reading import MeterReading, ReadQuality
from provisioning.keys import FileSigner


def warm_up() -> None:
    """Take one envelope apart as intake does, settle a day, and lay one settled day for each width of energy."""
    octets = seal(_envelope(), FileSigner.from_seed(bytes(32)))
    frame = frame_of(octets)
    if frame is not None:
        head = read_head(parse_sign1(frame.sealed_head).payload)
        reading_rows([sweep for sweep in open_sweeps([(octets, frame, head)]) if sweep is not None])
    _settle()
    _thin()
    numbers = [1, 0, 20, 1, 1, 8, 0, 7]
    day = WiredDays(ENERGY_FORM, (date(2026, 1, 1),), np.array(numbers, ">u4").tobytes())
    for into in (np.zeros(1, np.int32), np.zeros(1, np.int64)):
        day.lay(np.zeros(1, np.int64), np.ones(1, np.int64), into)


def _settle() -> None:
    """Settle two marks of one meter, and write the day as COPY takes it."""
    words = np.array([1, 0, 20, 1, 1, 8, 0, 7], np.uint32)
    registers, zero, one = np.full((1, 2), UNKNOWN, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64)
    lay_mark(words, zero, zero[:, None], zero, one, zero, 9 * one, 0, registers, np.zeros(1, np.bool_))
    reach_all(registers, zero, one, 0, 0, np.empty((1, 2), np.int64))
    here, energy, quality = np.ones((1, 1), np.bool_), np.zeros((1, 1, 1), np.int64), np.zeros((1, 1, 1), np.uint8)
    homes, ratios, windows = np.zeros((1, 1), np.int64), np.ones((1, 1), np.int64), np.zeros((1, 1, 2), np.int64)
    grades = np.zeros((1, 1), np.uint8)
    given = (homes, np.ones(1, np.bool_), ratios, zero, one, here)
    grade_days(registers, zero, one, *given, energy, quality, grades, windows)
    key = DayKey(NodeId("n"), ENERGY_IMPORT, date(2026, 1, 1))
    DayRows(SiteId("s"), [key], energy[0], quality[0], one, {}, bytes(32)).to_copy()


def _thin() -> None:
    """Choose points of a series both ways."""
    slots = Slots(0, np.zeros(5, np.int64), np.zeros(5, np.uint8))
    for method in (Method.EXTREMES, Method.TRIANGLES):
        thin(slots, 3, method)


def _envelope() -> Envelope:
    mark = datetime(2026, 1, 1, tzinfo=UTC)
    reading = MeterReading(MeterId("m"), bytes(32), 0, mark, mark, ReadQuality.MEASURED, (1,))
    clock = ClockState(ClockQuality.SYNCHRONISED, 0)
    return Envelope(GatewayId("gw"), 1, 1, bytes(32), bytes(16), mark, clock, mark, (reading,))


if __name__ == "__main__":
    warm_up()
