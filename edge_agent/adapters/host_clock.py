"""The machine's clock, shared by all ports: judged by the timekeeper, stoppable, never stepping within a sweep.

The kernel is asked with `ntp_adjtime` without changing anything: NTP daemons (chrony, systemd-timesyncd, ntpd) keep
its status and its error bound. The time since boot counts sleep as well (CLOCK_BOOTTIME), and boots have a random id.
"""

from __future__ import annotations

import ctypes
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from edge_agent.ports import Stopped
from edge_agent.timekeeping import HostTime, Timekeeper, Timing
from metering.clock import ClockState, SystemClock
from metering.errors import MeteringError
from metering.receipt import Receipt
from metering.report import Anchor

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
STEP = timedelta(seconds=2)
"""A clock that moved by more than this while a mark was waited for was set: what was waited for may be wrong."""
WAIT_STEP_S = 1.0
_STATUS_UNSYNCHRONISED = 0x0040
_TIME_ERROR = 5
_TIMEX_SPARE = 256


class ClockChanged(MeteringError):
    """The clock was set, or became known, while a mark was waited for: choose the next one anew."""


class _Timex(ctypes.Structure):
    """The beginning of `struct timex` (adjtimex(2)); the kernel writes further, into `spare`."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("spare", ctypes.c_byte * _TIMEX_SPARE),
    )


def read_host_time() -> HostTime:
    """Ask the machine; where the kernel does not answer (some containers), nothing is synchronised."""
    is_synchronised, error_ms = _kernel_word()
    return HostTime(SystemClock().now(), read_since_boot_ms(), is_synchronised, error_ms)


def read_since_boot_ms() -> int:
    """Give the time since the machine's boot, sleep included [ms]."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def read_boot() -> bytes | None:
    """Give the 16 octets of this boot of the machine; None where the kernel has none."""
    try:
        return uuid.UUID(BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return None


def _kernel_word() -> tuple[bool, int | None]:
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None).ntp_adjtime(ctypes.byref(timex))
    except (OSError, AttributeError):
        return False, None
    if answer < 0 or answer == _TIME_ERROR or timex.status & _STATUS_UNSYNCHRONISED:
        return False, None
    return True, -(-int(timex.maxerror) // 1000)


class HostClock:
    """A gateway's clock. All threads share it; `settle` is what moves it, between sweeps.

    read, since_boot_ms   what the machine says
    beat                  called whenever time is asked for or waited for: the gateway is at work
    """

    def __init__(
        self,
        stop: threading.Event,
        keeper: Timekeeper,
        *,
        read: Callable[[], HostTime] = read_host_time,
        since_boot_ms: Callable[[], int] = read_since_boot_ms,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._keeper = keeper
        self._read = read
        self._since_boot_ms = since_boot_ms
        self._beat = beat
        self._lock = threading.Lock()
        self.boot = keeper.boot
        self.timing: Timing
        self.settle()

    def now(self) -> datetime:
        """Give the present instant; while the time is unknown, it counts from 1970."""
        self._beat()
        return self.timing.zero + timedelta(milliseconds=self._since_boot_ms())

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds` [s]."""
        self._beat()
        SystemClock().sleep(seconds)

    def sleep_until(self, instant: datetime) -> None:
        """Block until `instant`, noticing within a second that the clock was set; raises Stopped or ClockChanged."""
        began = self.timing
        while (left_s := (instant - self.now()).total_seconds()) > 0:
            if self._stop.wait(min(left_s, WAIT_STEP_S)):
                raise Stopped("told to stop")
            timing = self.settle()
            if abs(timing.zero - began.zero) > STEP:
                raise ClockChanged(f"the clock moved by {timing.zero - began.zero} while {instant} was waited for")

    def state(self) -> ClockState:
        """Say how far this clock may be trusted now."""
        return self.timing.state

    def settle(self) -> Timing:
        """Judge anew what time it is."""
        with self._lock:
            self.timing = self._keeper.judge(self._read())
            return self.timing

    def sealed(self, epoch: int, seq: int) -> None:
        """Note that batches up to `seq` are sealed and about to be sent."""
        with self._lock:
            self._keeper.sealed(epoch, seq, self._since_boot_ms())

    def receipted(self, receipt: Receipt) -> None:
        """Learn from a proven receipt that arrived just now."""
        with self._lock:
            self._keeper.receipted(receipt, self._since_boot_ms())

    def anchor(self) -> Anchor | None:
        """Give what dates this boot, if it is known."""
        with self._lock:
            return self._keeper.anchor(self.timing, self._since_boot_ms())
