"""A meter that does not say what it measured gives no number: never 0, never the one before. The reading says so."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.read_plan import ReadRequest
from edge_agent.ports import BusTimeout
from edge_agent.sweep import PortReader
from metering.clock import ManualClock
from metering.reading import MeterReading, ReadQuality
from tests.doubles.edge import LINE, QUARTER, START, ScriptedBus, Turn, asked, serial_port


class Meter:
    """One meter on a line, which answers zeros until a test says otherwise."""

    def __init__(self) -> None:
        self.turn: Exception | None = None
        self.clock = ManualClock(START)
        bus = ScriptedBus(self.clock, self._answer, seconds=0.05)
        self._reader = PortReader(serial_port("line"), bus, self.clock, asked(LINE[6:7]), threading.Event())

    def _answer(self, address: str, request: ReadRequest) -> Turn:
        del address
        return self.turn or bytes(2 * request.count)  # type: ignore[union-attr]

    def read(self, mark: int) -> MeterReading:
        """Read it at the mark of that number."""
        (reading,) = self._reader.sweep(START + mark * QUARTER).readings
        return reading


@pytest.mark.parametrize(
    ("turn", "quality"),
    [
        (ExceptionReply(6, "Modbus exception"), ReadQuality.REFUSED),
        (FrameError("no frame"), ReadQuality.INVALID),
        (BusTimeout("silent"), ReadQuality.NO_ANSWER),
    ],
    ids=["busy", "garbled", "silent"],
)
def test_what_was_not_measured_is_no_number(turn: Exception, quality: ReadQuality) -> None:
    meter = Meter()
    before = meter.read(0)
    assert before.quality is ReadQuality.MEASURED
    assert before.mantissas
    meter.turn = turn
    reading = meter.read(1)
    assert reading.quality is quality
    assert reading.mantissas == ()
    assert reading.started_at >= START + QUARTER
    meter.turn = None
    again = meter.read(3)
    assert again.quality is ReadQuality.MEASURED
    assert again.started_at - before.started_at >= 3 * QUARTER - timedelta(seconds=1)
