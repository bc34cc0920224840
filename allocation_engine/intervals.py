"""Register readings to slot energy, by a ladder of reasons, for one metering point and one quantity.

Theory of operation. Readings and declared registers (what a fitter wrote down at an exchange) are *knots*: instants at
which the register of an installation is known. Two successive knots make a *link* with an exact energy:

    same installation, register rose         multiplier x (after - before)
    same installation, register fell         rolled over, if the modulus explains it within ROLLOVER_REACH
    declared exchange                        final knot of the old, initial knot of the new, at one instant
    anything else                            held: a person must say what happened

The energy of a link that spans several slots is split evenly in time, by differences of a floored straight line: whole
watt-hours whose sum is the link's energy exactly. Nothing is clipped and nothing is silently zero: a slot is either
covered by links from end to end, or MISSING.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from allocation_engine.evidence import EnvelopeRef, Installation, PointReading
from metering.interval import SLOT_S, Interval
from metering.reading import ReadQuality, RegisterReading

ROLLOVER_REACH = 100
"""A fallen register has rolled over only if it advanced by at most 1/100 of its modulus: 10,000 of 1,000,000 kWh."""


class SlotQuality(IntEnum):
    """How the energy of a slot is known; the larger, the weaker. Energy counts only below MISSING."""

    MEASURED = 0
    ROLLOVER = 1
    EXCHANGE = 2
    ESTIMATED = 3
    MISSING = 4
    HELD = 5


class Reason(StrEnum):
    """Why a slot is not plainly measured."""

    ROLLOVER = "rollover"
    EXCHANGE = "exchange"
    GAP = "gap"
    NO_READING_BEFORE = "no-reading-before"
    NO_READING_AFTER = "no-reading-after"
    REGISTER_FELL = "register-fell"
    IMPLAUSIBLE = "implausible"
    UNDECLARED_EXCHANGE = "undeclared-exchange"
    CONFLICT = "conflict"
    UNBOUND = "unbound"
    READ_BY_HAND = "read-by-hand"


@dataclass(frozen=True, slots=True)
class SlotException:
    """One thing that was not normal: which slots it touches, why, and on what its energy rests.

    start, end   instants between which it holds (slots are touched if they overlap)
    energy_wh    energy concerned [Wh]; None where there is none to speak of
    basis        the registers and the rule used, in words
    """

    quality: SlotQuality
    reason: Reason
    start: datetime
    end: datetime
    energy_wh: int | None
    basis: str

    def to_document(self) -> dict[str, Any]:
        """Give plain JSON-able content."""
        return {
            "quality": self.quality.name.lower(),
            "reason": str(self.reason),
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "energy_wh": self.energy_wh,
            "basis": self.basis,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> SlotException:
        """Read what `to_document` gave."""
        return cls(
            quality=SlotQuality[document["quality"].upper()],
            reason=Reason(document["reason"]),
            start=datetime.fromisoformat(document["start"]),
            end=datetime.fromisoformat(document["end"]),
            energy_wh=document["energy_wh"],
            basis=document["basis"],
        )


@dataclass(frozen=True, slots=True)
class SettledSpan:
    """Energy [Wh] and quality of each slot of a span; energy is a meaningless 0 where quality is MISSING or HELD."""

    energy_wh: tuple[int, ...]
    quality: tuple[SlotQuality, ...]
    exceptions: tuple[SlotException, ...]


def point_reading(
    reading: RegisterReading, envelope: EnvelopeRef | None, *, by_hand: bool = False
) -> PointReading | None:
    """Give a reading the form settlement works on, or None if it cannot bound a slot.

    Only a measured, aligned reading bounds a slot: a late one would push energy into the wrong slot.
    """
    if reading.quality != ReadQuality.MEASURED or reading.mark is None or reading.shown is None:
        return None
    return PointReading(reading.mark, reading.meter, reading.shown.to_base(), envelope, by_hand)


def settle_point(
    readings: Iterable[PointReading], span: Interval, installations: Sequence[Installation]
) -> SettledSpan:
    """Settle one metering point and quantity over `span`.

    readings        of this point, any order; those just outside `span` are needed where a gap crosses its ends
    installations   the point's register epochs in time order
    Returns         one energy and quality per slot
    Invariant       over slots that are not MISSING or HELD, energies add up to the links they were split from
    """
    slots = _Slots(span)
    knots = _knots(readings, installations, slots)
    for before, after in pairwise(knots):
        slots.add(_join(before, after))
    return slots.settled(knots)


class _Knot(NamedTuple):
    """The register of installation number `epoch` at instant `at` [s since 1970]."""

    at: int
    epoch: int
    register_wh: int
    declared: bool
    installation: Installation
    by_hand: bool = False


class _Link(NamedTuple):
    before: _Knot
    after: _Knot
    energy_wh: int
    quality: SlotQuality
    reason: Reason | None


def _knots(readings: Iterable[PointReading], installations: Sequence[Installation], slots: _Slots) -> list[_Knot]:
    knots: list[_Knot] = []
    for epoch, one in enumerate(installations):
        if one.initial_wh is not None and one.start is not None:
            knots.append(_Knot(_seconds(one.start), epoch, one.initial_wh, True, one))
        if one.final_wh is not None and one.end is not None:
            knots.append(_Knot(_seconds(one.end), epoch, one.final_wh, True, one))
    known = {(one.mark, one.meter, one.register_wh, one.by_hand) for one in readings}
    for mark, meter, register_wh, by_hand in sorted(known):
        home = _home(installations, meter, mark)
        if home is None:
            basis = f"{meter} showed {register_wh} Wh, but does not hang here at this time; not used"
            slots.note(SlotQuality.MEASURED, Reason.UNBOUND, (_seconds(mark), _seconds(mark)), None, basis)
            continue
        if by_hand:
            basis = f"{meter} was read by a person: {register_wh} Wh"
            slots.note(SlotQuality.MEASURED, Reason.READ_BY_HAND, (_seconds(mark), _seconds(mark)), None, basis)
        knots.append(_Knot(_seconds(mark), home, register_wh, False, installations[home], by_hand))
    # A declared final register closes its epoch, an initial one opens it: at one instant, order by epoch, then kind.
    return sorted(knots, key=lambda knot: (knot.epoch, knot.at, not knot.declared))


def _home(installations: Sequence[Installation], meter: str, mark: datetime) -> int | None:
    for epoch, one in enumerate(installations):
        if one.meter == meter and (one.start is None or one.start <= mark) and (one.end is None or mark < one.end):
            return epoch
    return None


def _join(before: _Knot, after: _Knot) -> _Link:
    """Find the energy between two successive knots, or why there is none."""
    if before.epoch != after.epoch:
        declared = before.declared and after.declared and before.at == after.at and after.epoch == before.epoch + 1
        if declared:
            return _Link(before, after, 0, SlotQuality.EXCHANGE, Reason.EXCHANGE)
        return _Link(before, after, 0, SlotQuality.HELD, Reason.UNDECLARED_EXCHANGE)
    if before.at == after.at and not before.declared and before.register_wh != after.register_wh:
        return _Link(before, after, 0, SlotQuality.HELD, Reason.CONFLICT)
    epoch = before.installation
    advance_wh = after.register_wh - before.register_wh
    quality, reason = SlotQuality.MEASURED, None
    if advance_wh < 0:
        if epoch.modulus_wh is None or (advance_wh + epoch.modulus_wh) * ROLLOVER_REACH > epoch.modulus_wh:
            return _Link(before, after, 0, SlotQuality.HELD, Reason.REGISTER_FELL)
        advance_wh += epoch.modulus_wh
        quality, reason = SlotQuality.ROLLOVER, Reason.ROLLOVER
    energy_wh = advance_wh * epoch.multiplier
    # Shorter than a slot, the bound of a slot applies: registers move in steps.
    if epoch.power_max_w is not None and energy_wh * 3600 > epoch.power_max_w * max(after.at - before.at, SLOT_S):
        return _Link(before, after, 0, SlotQuality.HELD, Reason.IMPLAUSIBLE)
    return _Link(before, after, energy_wh, quality, reason)


class _Slots:
    """Collects links into slots of one span."""

    def __init__(self, span: Interval) -> None:
        self._start = _seconds(span.start)
        self._count = span.slot_count
        self._energy_wh = [0] * self._count
        self._covered_s = [0] * self._count
        self._quality = [SlotQuality.MEASURED] * self._count
        self._exceptions: list[SlotException] = []

    def note(
        self, quality: SlotQuality, reason: Reason, between: tuple[int, int], energy_wh: int | None, basis: str
    ) -> None:
        """Record an exception that touches this span."""
        is_instant = between[0] == between[1]
        closes = self._start + self._count * SLOT_S
        if (between[0] < closes or is_instant) and between[0] <= closes and between[1] + is_instant > self._start:
            instants = (_instant(between[0]), _instant(between[1]))
            self._exceptions.append(SlotException(quality, reason, *instants, energy_wh, basis))

    def add(self, link: _Link) -> None:
        """Lay one link over the slots it touches."""
        if link.before.at == link.after.at:
            self._add_instant(link)
            return
        self._explain(link)
        duration_s = link.after.at - link.before.at
        first = max((link.before.at - self._start) // SLOT_S, 0)
        end = min(-((self._start - link.after.at) // SLOT_S), self._count)
        for index in range(first, end):
            opens = self._start + index * SLOT_S
            inside = max(opens, link.before.at), min(opens + SLOT_S, link.after.at)
            upto_wh = [link.energy_wh * (instant - link.before.at) // duration_s for instant in inside]
            self._energy_wh[index] += upto_wh[1] - upto_wh[0]
            self._covered_s[index] += inside[1] - inside[0]
            self._weaken(index, self._slot_quality(link, opens))

    def settled(self, knots: Sequence[_Knot]) -> SettledSpan:
        """Give the result; slots that links do not cover are MISSING."""
        for index in range(self._count):
            if self._covered_s[index] < SLOT_S:
                self._weaken(index, SlotQuality.MISSING)
            if self._quality[index] >= SlotQuality.MISSING:
                self._energy_wh[index] = 0
        self._explain_missing(knots)
        return SettledSpan(tuple(self._energy_wh), tuple(self._quality), tuple(self._exceptions))

    def _add_instant(self, link: _Link) -> None:
        """Lay a link without duration: an exchange, a doubled reading, or a new meter read at once."""
        index = (link.before.at - self._start) // SLOT_S
        for touched in {index, (link.before.at - 1 - self._start) // SLOT_S} if link.quality else {index}:
            self._weaken(touched, link.quality)
        if 0 <= index < self._count:
            self._energy_wh[index] += link.energy_wh
        if link.quality:
            self._explain(link)

    def _weaken(self, index: int, quality: SlotQuality) -> None:
        if 0 <= index < self._count:
            self._quality[index] = max(self._quality[index], quality)

    def _slot_quality(self, link: _Link, opens: int) -> SlotQuality:
        if link.quality == SlotQuality.HELD:
            return SlotQuality.HELD
        is_whole = link.before.at >= opens and link.after.at <= opens + SLOT_S
        return link.quality if is_whole else SlotQuality.ESTIMATED

    def _explain(self, link: _Link) -> None:
        before, after = link.before, link.after
        between = before.at, after.at
        # How the registers moved and how the energy fell on slots are two reasons; a link may have both.
        if link.reason is not None:
            energy_wh = None if link.quality == SlotQuality.HELD else link.energy_wh
            self.note(link.quality, link.reason, between, energy_wh, _basis(link))
        if link.quality < SlotQuality.MISSING and -(-after.at // SLOT_S) - before.at // SLOT_S >= 2:
            basis = f"{_basis(link)}; split evenly in time"
            self.note(SlotQuality.ESTIMATED, Reason.GAP, between, link.energy_wh, basis)

    def _explain_missing(self, knots: Sequence[_Knot]) -> None:
        missing = [self._start + i * SLOT_S for i in range(self._count) if self._quality[i] == SlotQuality.MISSING]
        first = knots[0].at if knots else self._start
        for reason, side in (
            (Reason.NO_READING_BEFORE, [opens for opens in missing if opens < first]),
            (Reason.NO_READING_AFTER, [opens for opens in missing if opens >= first]),
        ):
            if side:
                basis = f"{len(side)} slots without a register at both ends"
                self.note(SlotQuality.MISSING, reason, (side[0], side[-1] + SLOT_S), None, basis)


def _basis(link: _Link) -> str:
    before, after = link.before, link.after
    kinds = [_how(knot) for knot in (before, after)]
    text = (
        f"{before.installation.meter} {kinds[0]} {before.register_wh} Wh, "
        f"{after.installation.meter} {kinds[1]} {after.register_wh} Wh, multiplier {before.installation.multiplier}"
    )
    if before.installation.multiplier != after.installation.multiplier:
        text += f" then {after.installation.multiplier}"
    return text + (f", modulus {before.installation.modulus_wh} Wh" if link.reason == Reason.ROLLOVER else "")


def _how(knot: _Knot) -> str:
    if knot.declared:
        return "declared"
    return "read by a person" if knot.by_hand else "read"


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
