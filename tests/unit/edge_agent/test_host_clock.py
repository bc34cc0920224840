"""The machine's clock as the gateway has it: judged between sweeps, never stepping within one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.adapters import host_clock
from edge_agent.adapters.host_clock import ClockChanged, HostClock, read_boot, read_host_time, read_since_boot_ms
from edge_agent.ports import Stopped
from edge_agent.timekeeping import HostTime, Timekeeper
from metering.clock import ClockQuality

BOOTED = datetime(2026, 7, 1, 8, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Machine:
    """A machine whose clock a test sets; every wait passes at once."""

    def __init__(self) -> None:
        self.since_ms = 1000
        self.off = timedelta(0)
        self.error_ms: int | None = None
        self.told_to_stop = False
        self.waited_s: list[float] = []
        self.while_waiting: Callable[[], None] = lambda: None

    def read(self) -> HostTime:
        """What the machine says."""
        wall = BOOTED + self.since_ms * MS + self.off
        return HostTime(wall, self.since_ms, self.error_ms is not None, self.error_ms)

    def is_set(self) -> bool:
        """Whether the gateway is to stop."""
        return self.told_to_stop

    def wait(self, seconds: float) -> bool:
        """Let time pass."""
        self.waited_s.append(seconds)
        self.since_ms += round(1000 * seconds)
        self.while_waiting()
        return self.told_to_stop

    def clock(self, *, undated: bool = False, beat: Callable[[], None] = lambda: None) -> HostClock:
        """A clock on this machine."""
        keeper = Timekeeper(boot=bytes(16), known_at=BOOTED - timedelta(days=1), undated_until_synchronised=undated)
        stop: threading.Event = self  # type: ignore[assignment]
        return HostClock(stop, keeper, read=self.read, since_boot_ms=lambda: self.since_ms, beat=beat)


def test_a_step_of_the_wall_clock_is_not_seen_within_a_sweep() -> None:
    machine = Machine()
    clock = machine.clock()
    began = clock.now()
    machine.off = timedelta(hours=3)
    machine.since_ms += 250
    assert clock.now() - began == 250 * MS
    clock.settle()
    assert clock.now() - began == 250 * MS + timedelta(hours=3)


def test_waiting_for_a_mark_takes_steps_of_a_second() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.sleep_until(clock.now() + timedelta(seconds=2.5))
    assert machine.waited_s == [1.0, 1.0, 0.5]


def test_a_clock_that_is_set_ends_the_wait() -> None:
    machine = Machine()
    clock = machine.clock()

    def set_back() -> None:
        machine.off = timedelta(minutes=-10)

    machine.while_waiting = set_back
    with pytest.raises(ClockChanged):
        clock.sleep_until(clock.now() + timedelta(minutes=10))
    assert len(machine.waited_s) == 1


def test_a_time_that_becomes_known_ends_the_wait_for_what_counted_from_the_boot() -> None:
    machine = Machine()
    clock = machine.clock(undated=True)
    assert clock.state().quality is ClockQuality.UNKNOWN
    assert clock.now().year == 1970

    def synchronise() -> None:
        machine.error_ms = 20

    machine.while_waiting = synchronise
    with pytest.raises(ClockChanged):
        clock.sleep_until(clock.now() + timedelta(minutes=5))
    assert clock.state().quality is ClockQuality.SYNCHRONISED
    assert clock.now() == BOOTED + machine.since_ms * MS


def test_a_slewing_clock_does_not_end_the_wait() -> None:
    machine = Machine()
    clock = machine.clock()

    def slew() -> None:
        machine.off += timedelta(milliseconds=0.5)

    machine.while_waiting = slew
    clock.sleep_until(clock.now() + timedelta(seconds=60))
    assert len(machine.waited_s) == 60


def test_being_told_to_stop_ends_the_wait() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.told_to_stop = True
    with pytest.raises(Stopped):
        clock.sleep_until(clock.now() + timedelta(seconds=60))


def test_a_mark_that_has_passed_is_not_waited_for() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.sleep_until(clock.now() - timedelta(seconds=1))
    assert machine.waited_s == []


def test_whoever_asks_for_the_time_is_at_work() -> None:
    beats: list[int] = []
    clock = Machine().clock(beat=lambda: beats.append(1))
    before = len(beats)
    clock.now()
    assert len(beats) == before + 1


def test_this_machine_says_something_of_its_clock() -> None:
    first, second = read_host_time(), read_since_boot_ms()
    assert 0 < first.since_boot_ms <= second
    assert (first.error_ms is None) is (not first.is_synchronised)
    assert first.wall.tzinfo is UTC
    boot = read_boot()
    assert boot is None or len(boot) == 16


def test_a_machine_that_does_not_say_is_not_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> object:
        raise OSError("no such call")

    monkeypatch.setattr(host_clock.ctypes, "CDLL", refuse)
    assert not read_host_time().is_synchronised


def test_a_machine_without_boot_ids_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(host_clock, "BOOT_ID", tmp_path / "none")  # type: ignore[operator]
    assert read_boot() is None


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [(0, 0x2001, (True, 16)), (5, 0x2001, (False, None)), (0, 0x40, (False, None)), (-1, 0, (False, None))],
)
def test_the_kernels_word_is_read_as_adjtimex_says(
    monkeypatch: pytest.MonkeyPatch, answer: int, status: int, expected: tuple[bool, int | None]
) -> None:
    class Kernel:
        """A C library that answers by the test."""

        def ntp_adjtime(self, timex: object) -> int:
            """Fill in the structure."""
            timex._obj.status = status  # type: ignore[attr-defined]
            timex._obj.maxerror = 15_001  # type: ignore[attr-defined]
            return answer

    monkeypatch.setattr(host_clock.ctypes, "CDLL", lambda _: Kernel())
    found = read_host_time()
    assert (found.is_synchronised, found.error_ms) == expected
