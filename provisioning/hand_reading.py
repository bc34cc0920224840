"""What a person read off a display: as a register of its meter's profile, and against what is known. Pure.

Nothing is guessed. How many decimals a display has is the profile's to say, for neither a person's pen nor a photo can
be trusted with the point. A reading that does not fit what is known before and after it is not refused and not
counted: it waits for a second person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from device_profiles.families.hand import DisplaySource
from device_profiles.profile import BILLING, Channel, ChannelKind, Profile
from metering.errors import BooksError
from metering.interval import SLOT
from metering.obis import SETTLED_QUANTITIES, Obis
from provisioning.photo_reading.reader import SeenDigits

_TEXT = re.compile(r"\d{1,15}(?:\.\d{1,6})?\Z", re.ASCII)
MANY_TIMES = 5
"""A reading that tells of five times the consumption of before is as likely a slip of the pen as a new machine."""
SURE_PM = 900
"""Digits of which the least sure one is below this are not taken from a photo (docs/photo-reading.md)."""
STEPS_ALWAYS = 200
"""So many steps of the last digit are never much, whatever was before."""


class TextNotRead(BooksError):
    """What was written down is no register of this meter. The text says how to write it."""


class Doubt(StrEnum):
    """Why a reading waits for a second person."""

    FELL = "register-fell"
    ABOVE_NEXT = "above-the-next"
    ROLLED_OVER = "rolled-over"
    MUCH_MORE = "much-more-than-before"
    PHOTO_DIFFERS = "photo-differs"
    PHOTO_UNSURE = "photo-unsure"
    DIFFERS_FROM_BUS = "differs-from-bus"


@dataclass(frozen=True, slots=True)
class Display:
    """One register as a display shows it: where the profile has it, and how it is written down.

    digits   how many the display has, decimals included; None where the profile is that of a bus
    step     base units of the last digit
    """

    obis: Obis
    channel: Channel
    group: int
    position: int
    width: int
    digits: int | None

    @property
    def step(self) -> Fraction:
        """Base units of one mantissa."""
        return Fraction(10) ** self.channel.exponent * self.channel.unit.factor

    @property
    def modulus(self) -> int | None:
        """First register that it cannot show [base units]."""
        return None if self.channel.modulus is None else int(self.channel.modulus * self.step)

    def mantissas(self, mantissa: int) -> tuple[int | None, ...]:
        """Give the mantissas of the group: this one, and nothing of the other channels."""
        return tuple(mantissa if place == self.position else None for place in range(self.width))


def displays_of(profile: Profile) -> tuple[Display, ...]:
    """Give every register of a model that is settled, as a person would read it."""
    group = next((group for group in profile.groups if group.name == BILLING), None)
    if group is None:
        return ()
    return tuple(
        Display(
            obis=channel.obis,
            channel=channel,
            group=group.index,
            position=place,
            width=len(group.channels),
            digits=channel.source.digits if isinstance(channel.source, DisplaySource) else None,
        )
        for place, channel in enumerate(group.channels)
        if channel.kind is ChannelKind.COUNTER and channel.obis in SETTLED_QUANTITIES
    )


def read_text(text: str, display: Display) -> int:
    """Read what was written down into a mantissa; raises TextNotRead."""
    channel = display.channel
    if not _TEXT.match(text):
        raise TextNotRead(f"{text!r} is no register: write digits, and a point before the decimals, e.g. 12345.6")
    decimals = len(text.partition(".")[2])
    if display.digits is not None and decimals != -channel.exponent:
        raise TextNotRead(
            f"{text!r} has {decimals} decimals, the display has {-channel.exponent}: write all its digits, "
            f"{'with' if channel.exponent else 'without'} a point"
        )
    exact = Fraction(text) / Fraction(10) ** channel.exponent
    if exact.denominator != 1:
        raise TextNotRead(
            f"{text!r} {channel.unit.symbol} is finer than this meter's register: leave out the last digits"
        )
    least, most = channel.limits
    if not least <= exact.numerator <= most:
        raise TextNotRead(f"{text!r} {channel.unit.symbol} is more than this meter can show: look for the point")
    return exact.numerator


def typed_step(text: str, display: Display) -> int:
    """Give the base units of the last digit that was written down; at least 1."""
    exponent = -len(text.partition(".")[2])
    return max(1, int(Fraction(10) ** exponent * display.channel.unit.factor))


def text_of(digits: str, display: Display) -> str | None:
    """Put the point into digits that were read off a photo; None where their number is not the display's."""
    if display.digits is None or len(digits) != display.digits:
        return None
    decimals = -display.channel.exponent
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


@dataclass(frozen=True, slots=True)
class Known:
    """A register that is in the books. `by_hand`: whether a person read it."""

    mark: datetime
    register: int
    by_hand: bool


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What is known around a reading: two registers before its mark, that at it, and the next one; None where none."""

    earlier: Known | None
    before: Known | None
    here: Known | None
    after: Known | None


def nearest_mark(read_at: datetime) -> datetime:
    """Give the quarter hour next to `read_at`: the one a hand reading counts for."""
    seconds = int(read_at.timestamp())
    slot_s = int(SLOT.total_seconds())
    rest = seconds % slot_s
    return read_at.replace(microsecond=0) + timedelta(seconds=slot_s - rest if 2 * rest >= slot_s else -rest)


def doubts_about(register: int, step: int, mark: datetime, known: Neighbours, modulus: int | None) -> list[Doubt]:
    """Say what does not fit. `step`: of the last digit that was read; below it a difference says nothing."""
    if known.here is not None and not known.here.by_hand:
        return [] if _agrees(register, step, known) else [Doubt.DIFFERS_FROM_BUS]
    doubts: list[Doubt] = []
    if known.before is not None and register <= known.before.register - step:
        rolled = modulus is not None and (register - known.before.register) % modulus * 100 <= modulus
        doubts.append(Doubt.ROLLED_OVER if rolled else Doubt.FELL)
    if known.after is not None and register > known.after.register:
        rolled = modulus is not None and (known.after.register - register) % modulus * 100 <= modulus
        if not rolled:
            doubts.append(Doubt.ABOVE_NEXT)
    if not doubts and _is_much(register, step, mark, known):
        doubts.append(Doubt.MUCH_MORE)
    return doubts


def bus_says_enough(register: int, known: Neighbours) -> bool:
    """Say whether a reading that fits is kept beside the bus's own and not counted.

    The bus's register of that mark is the finer one; and a display that shows less than the bus knew already, by less
    than its last digit, would make the register fall.
    """
    if known.here is not None and not known.here.by_hand:
        return True
    return known.before is not None and register < known.before.register


def _agrees(register: int, step: int, known: Neighbours) -> bool:
    """Compare with what the bus showed at this mark and beside it: the person looked up to half a slot off."""
    shown = [one.register for one in (known.before, known.here, known.after) if one is not None and not one.by_hand]
    return min(shown) - step < register < max(shown) + step


def _is_much(register: int, step: int, mark: datetime, known: Neighbours) -> bool:
    earlier, before = known.earlier, known.before
    if earlier is None or before is None or before.mark <= earlier.mark:
        return False
    counted, usual = register - before.register, before.register - earlier.register
    if counted <= STEPS_ALWAYS * step:
        return False
    # counted / (mark - before) > MANY_TIMES * usual / (before - earlier), without dividing
    now_s, then_s = (mark - before.mark).total_seconds(), (before.mark - earlier.mark).total_seconds()
    return counted * int(then_s) > MANY_TIMES * max(usual, step) * int(now_s)


def best_seen(seen: Iterable[SeenDigits], display: Display) -> SeenDigits | None:
    """Choose what a photo shows: the surest of as many digits as the display has; of any number where that is open."""
    fitting = [one for one in seen if display.digits is None or len(one.digits) == display.digits]
    return max(fitting, key=lambda one: one.confidence_pm, default=None)


def photo_doubts(text: str | None, seen: SeenDigits | None) -> list[Doubt]:
    """Compare what was written down with what a photo shows. `text` None: the photo alone speaks."""
    if seen is None or seen.confidence_pm < SURE_PM:
        return [Doubt.PHOTO_UNSURE] if text is None else []
    if text is not None and _digits(text) != seen.digits.lstrip("0"):
        return [Doubt.PHOTO_DIFFERS]
    return []


def _digits(text: str) -> str:
    return text.replace(".", "").lstrip("0")


def display_of(displays: Sequence[Display], obis: Obis | None) -> Display:
    """Find the register that is meant; raises TextNotRead where that is open."""
    found = [one for one in displays if obis in (None, one.obis)]
    if len(found) != 1:
        known = ", ".join(str(one.obis) for one in displays) or "none"
        told = f"no register {obis}" if obis else "not one register alone"
        raise TextNotRead(f"this meter has {told} to read: say which with its OBIS code; it has {known}")
    return found[0]
