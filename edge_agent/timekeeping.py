"""Which time it is, how sure that is, and when to say so: decided from what the machine and the centre say (pure).

Theory of operation. Everything is counted in the time since the machine's boot, which no step of the wall clock moves.
`zero` is the instant of that boot as far as it is known; the gateway's now is `zero` plus the time since boot, and zero
is judged anew only between sweeps, so that the times of one sweep belong together. In this order:

    the kernel says that its clock is synchronised          -> its clock, its error bound
    it was so earlier in this boot (holdover)               -> from then on by the time since boot; the bound grows
    a receipt of the centre arrived in this boot            -> as above, from the receipt's signed time
    the wall clock is before what was known already, or far behind it, or not to be
    believed without a synchronisation (a Pi has no battery)-> unknown: the time counts from the boot
    else                                                    -> the wall clock, with no bound

A receipt was signed after its newest batch was sealed and before it arrived, so at its arrival the true time lies
between its server time and that plus what passed since sealing. It cannot be wrong by more, however late it came.
What was sealed in a boot while the time was unknown is dated by an anchor (metering/report.py) once it is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metering.clock import ClockQuality, ClockState
from metering.receipt import Receipt
from metering.report import Anchor, TimeSource

BOOT_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
"""Where time counts from while it is unknown."""
DRIFT_PPM = 500
"""How fast an oscillator may be wrong [millionths]: what the kernel assumes, five times a cheap crystal's."""
FLOOR = datetime(2025, 1, 1, tzinfo=UTC)
"""A clock that shows less was never set: no gateway of this make ran before."""
AHEAD_MAX = timedelta(days=35)
"""A clock that was not synchronised is not believed further than this behind the newest instant known before."""
SEALED_MAX = 256
"""Batches whose sealing is remembered for receipts: four windows of the uplink."""
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class HostTime:
    """What the machine says: its wall clock, the time since boot [ms], and the kernel's word on synchronisation.

    error_ms   the kernel's bound while it is synchronised, else None
    """

    wall: datetime
    since_boot_ms: int
    is_synchronised: bool
    error_ms: int | None


@dataclass(frozen=True, slots=True)
class Timing:
    """What time it is: now is `zero` plus the time since boot. `source` None where nobody vouches for it."""

    zero: datetime
    state: ClockState
    source: TimeSource | None = None

    @property
    def is_dated(self) -> bool:
        """Whether `zero` is an instant of the calendar."""
        return self.state.quality is not ClockQuality.UNKNOWN


@dataclass(frozen=True, slots=True)
class _Known:
    """At `since_boot_ms` the zero lay within `error_ms` of `zero`."""

    zero: datetime
    since_boot_ms: int
    error_ms: int
    source: TimeSource

    def error_at_ms(self, since_boot_ms: int) -> int:
        """How far off it may be by now [ms]."""
        return self.error_ms + -(-abs(since_boot_ms - self.since_boot_ms) * DRIFT_PPM // 1_000_000)


class Timekeeper:
    """The gateway's knowledge of time in one boot. Not safe for several threads at once: the clock holds its lock.

    known_at                    the newest instant known from before, None on a gateway that has no past
    undated_until_synchronised  do not believe a wall clock that nobody synchronised in this boot
    """

    def __init__(self, *, boot: bytes, known_at: datetime | None, undated_until_synchronised: bool) -> None:
        self.boot = boot
        self._known_at = known_at
        self._undated = undated_until_synchronised
        self._reached = known_at
        self._known: _Known | None = None
        self._sealed: deque[tuple[int, int, int]] = deque(maxlen=SEALED_MAX)

    def sealed(self, epoch: int, seq: int, since_boot_ms: int) -> None:
        """Note that batches up to `seq` are sealed and none above was sent before now."""
        self._sealed.append((epoch, seq, since_boot_ms))

    def receipted(self, receipt: Receipt, since_boot_ms: int) -> None:
        """Learn from a receipt that was proven to be the centre's; of one for what an earlier run sealed nothing."""
        covered = [at for epoch, seq, at in self._sealed if epoch == receipt.epoch and seq <= receipt.contiguous_seq]
        passed_ms = since_boot_ms - max(covered, default=since_boot_ms + 1)
        if passed_ms < 0:
            return
        middle = receipt.server_time + (passed_ms // 2) * _MS
        self._learn(_Known(middle - since_boot_ms * _MS, since_boot_ms, passed_ms // 2 + 2, TimeSource.RECEIPT))

    def judge(self, host: HostTime) -> Timing:
        """Say what time it is."""
        if host.is_synchronised:
            error_ms = host.error_ms or 0
            known = _Known(host.wall - host.since_boot_ms * _MS, host.since_boot_ms, error_ms, TimeSource.HOST)
            self._known = known
            return Timing(known.zero, ClockState(ClockQuality.SYNCHRONISED, error_ms), known.source)
        if self._known is not None:
            return self._held(self._known, host)
        if not self._undated and self._is_plausible(host.wall):
            self._reached = max(host.wall, self._reached or host.wall)
            return Timing(host.wall - host.since_boot_ms * _MS, ClockState(ClockQuality.ESTIMATED, None))
        return Timing(BOOT_ZERO, ClockState(ClockQuality.UNKNOWN, None))

    def anchor(self, timing: Timing, since_boot_ms: int) -> Anchor | None:
        """Give what dates this boot; None while nobody vouches for the time."""
        if timing.source is None or timing.state.error_ms is None:
            return None
        instant = timing.zero + since_boot_ms * _MS
        return Anchor(self.boot, since_boot_ms, instant, timing.state.error_ms, timing.source)

    def _learn(self, known: _Known) -> None:
        """Keep whichever is the surer one now."""
        held = self._known
        if held is None or known.error_ms <= held.error_at_ms(known.since_boot_ms):
            self._known = known

    def _held(self, known: _Known, host: HostTime) -> Timing:
        """Go by the time since boot; but a wall clock within what is possible may as well be right, and is smooth."""
        error_ms = known.error_at_ms(host.since_boot_ms)
        walled = host.wall - host.since_boot_ms * _MS
        off_ms = abs(walled - known.zero) // _MS
        if off_ms <= error_ms:
            return Timing(walled, ClockState(ClockQuality.ESTIMATED, error_ms + off_ms), known.source)
        return Timing(known.zero, ClockState(ClockQuality.ESTIMATED, error_ms), known.source)

    def _is_plausible(self, wall: datetime) -> bool:
        """Say whether a clock may be right: not before what was known, not far behind the newest that was believed."""
        if self._known_at is not None and wall + timedelta(minutes=1) < self._known_at:
            return False
        return wall >= FLOOR and (self._reached is None or wall <= self._reached + AHEAD_MAX)
