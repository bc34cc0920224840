"""Which mistakes would make a display and the bus agree: each computed exactly, in base units, with its tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

from device_profiles.profile import ChannelKind
from metering.obis import POWER_NET, Obis
from metering.quantity import Shown
from provisioning.display_readout import Readout
from provisioning.finding_words import finding
from provisioning.installation import Finding
from provisioning.meter_snapshot import MeterSnapshot, exact_base, step_of
from provisioning.other_forms import read_otherwise
from provisioning.ratios import is_usual_ratio

SIGNIFICANT_STEPS = 100
"""Below three significant digits a display fits some explanation by chance more often than not."""
_STEPS_PER_CANDIDATE = 20
"""Among n registers the nearest is met by chance; each must be told apart twentyfold."""
_SCALES = tuple(power for power in range(-6, 7) if power)
_RATIO_MAX = 1_000_000
_ODD_RATIO_WINDOW = Fraction(1, 20)
"""A ratio that no plate bears is believed only where a whole number is hit this closely."""
_PLACES_MIN = 4
"""Displays of fewer digits before the point do not roll over within a meter's life at the site."""
_LOOSE = Fraction(1, 10)
"""Gauges move while they are typed: amperes and power by a tenth, voltage and frequency by a fiftieth."""
_STEADY = Fraction(1, 50)
_STEADY_BASES = ("mV", "mHz", "m°C")
_POWERS = (POWER_NET, Obis.parse("1-0:1.7.0"), Obis.parse("1-0:2.7.0"))
_TYPING_S = 120
"""So long ago a display may have been looked at when its register was read on the bus once only [s]."""
_RISING = Fraction(3, 2)
"""Load may have been higher than at the moment of reading."""
_ENERGIES = ("Wh", "varh", "VAh")


class Verdict(StrEnum):
    """What the comparison of one register came to."""

    EQUAL = "equal"
    WEAK = "equal-weak"
    """They agree, with too few digits to prove anything."""
    PRIMARY = "primary-display"
    """The display counts the primary side, the bus the secondary, and the ratio is the planned one."""
    SECONDARY = "secondary-display"
    """The display counts the secondary side, the bus the primary, by a ratio set in the meter."""
    ROLLED = "rolled-display"
    OTHER_METER = "other-meter"
    OTHER_REGISTER = "other-register"
    WORD_ORDER = "word-order"
    NUMBER_FORM = "number-form"
    SCALE = "scale"
    RATIO_MISSING = "ratio-missing"
    RATIO_OTHER = "ratio-other"
    RATIO_TWICE = "ratio-twice"
    UNEXPLAINED = "unexplained"
    FEW_DIGITS = "too-few-digits"
    UNREADABLE = "unreadable"
    NO_BUS = "no-bus-register"

    @property
    def agrees(self) -> bool:
        """Say whether display and bus agree."""
        return self in _AGREEING


_AGREEING = (Verdict.EQUAL, Verdict.WEAK, Verdict.PRIMARY, Verdict.SECONDARY, Verdict.ROLLED)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One way in which the display and the bus would agree; `finding` says what it means and how to mend it."""

    verdict: Verdict
    finding: Finding


@dataclass(frozen=True, slots=True)
class Span:
    """Between `least` and `most` a register was, in steps of `step`, in `unit` of base [base units]."""

    least: Fraction
    most: Fraction
    step: Fraction
    base: str

    def times(self, factor: Fraction | int) -> Span:
        """Give what a register of that many times would be."""
        return Span(self.least * factor, self.most * factor, self.step * factor, self.base)


def span_of(meters: Iterable[MeterSnapshot], obis: Obis) -> Span | None:
    """Give what one register was over several readings of one meter; None without any."""
    told = [meter for meter in meters if obis in meter.shown]
    if not told:
        return None
    bases = [exact_base(meter.shown[obis]) for meter in told]
    step = max(meter.step(obis) for meter in told)
    return Span(min(bases), max(bases), step, told[0].shown[obis].unit.base_symbol)


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: the readout, the meter as read before and after, and all other meters."""

    obis: Obis
    readout: Readout
    own: tuple[MeterSnapshot, ...]
    others: tuple[MeterSnapshot, ...]

    @property
    def meter(self) -> MeterSnapshot:
        """The meter as read last."""
        return self.own[-1]

    @property
    def seen(self) -> tuple[Shown, ...]:
        """What the bus said, reading by reading."""
        return tuple(one.shown[self.obis] for one in self.own if self.obis in one.shown)

    @property
    def bus(self) -> Span | None:
        """What the bus said; read only once, the register may have moved since the display was looked at."""
        span = span_of(self.own, self.obis)
        if span is None or self.is_gauge or len(self.own) > 1 or span.base != "Wh":
            return span
        powers_w = [abs(power) for one in _POWERS if (power := self.meter.base(one)) is not None]
        power_w = powers_w[0] if powers_w else Fraction(0)
        return replace(span, least=span.least - power_w * _RISING * _TYPING_S / 3600)

    @property
    def ratio(self) -> int:
        """What the bound or planned ratio makes of this register."""
        return self.meter.ratio_of(self.obis)

    @property
    def is_gauge(self) -> bool:
        """Say whether the register shows the moment, so that it moves while it is typed."""
        channel = self.meter.channel(self.obis)
        return channel is not None and channel.kind is not ChannelKind.COUNTER

    def proves(self, span: Span, candidates: int = 1) -> bool:
        """Say whether agreement with `span` means something: by its digits, and among so many `candidates`."""
        coarser = max(step_of(self.readout.shown), span.step)
        least = max(SIGNIFICANT_STEPS, _STEPS_PER_CANDIDATE * candidates)
        return abs(exact_base(self.readout.shown)) >= least * coarser

    @property
    def has_few_digits(self) -> bool:
        """Say whether what was typed is too short to claim anything by it."""
        return abs(self.readout.shown.mantissa) < SIGNIFICANT_STEPS

    def fits(self, span: Span) -> bool:
        """Say whether the display lies between, give or take both last digits."""
        if span.base != self._base_beside(span.base):
            return False
        shown = exact_base(self.readout.shown)
        tolerance = step_of(self.readout.shown) + span.step
        tolerance += max(abs(span.least), abs(span.most)) * self._looseness(span.base)
        return span.least - tolerance < shown < span.most + tolerance

    def explanations(self) -> Iterator[Explanation]:
        """Give everything that fits where display and bus differ, likeliest first."""
        if self.has_few_digits:
            return
        yield from self._rolled()
        if not self.is_gauge:
            yield from self._other_meters()
            yield from self._other_registers()
        yield from self._forms()
        factors = [*self._ratios(), *self._inverse_ratios()]
        yield from (*factors, *self._scales()) if self.ratio > 1 else (*self._scales(), *factors)

    def equal_others(self) -> list[str]:
        """List the other meters whose register agrees with the display as well."""
        return [one.meter for one in self.others if self._fits_meter(one)]

    @property
    def fits_primary(self) -> bool:
        """Say whether the display counts the primary side by the planned ratio."""
        return self.bus is not None and self.ratio > 1 and self.fits(self.bus.times(self.ratio))

    def tell(self, code: str, **parts: object) -> Finding:
        """Make a finding about this comparison."""
        bus = str(self.seen[-1]) if self.seen else "-"
        return finding(code, self.meter.meter, obis=self.obis, typed=self.readout.text, bus=bus, **parts)

    def _base_beside(self, base: str) -> str:
        """Give the display's base unit; where none was typed, any energy is meant by an energy."""
        shown = self.readout.shown.unit.base_symbol
        return base if not self.readout.is_unit_typed and base in _ENERGIES and shown in _ENERGIES else shown

    def _fits_meter(self, other: MeterSnapshot) -> bool:
        span = span_of((other,), self.obis)
        return span is not None and (self.fits(span) or self.fits(span.times(other.ratio_of(self.obis))))

    def _explains(self, span: Span, candidates: int = 1) -> bool:
        """Say whether the display agrees with `span`, or with what the ratio makes of it, and that proves something."""
        both = (span, span.times(self.ratio))
        return any(self.fits(one) and self.proves(one, candidates) for one in both)

    def _rolled(self) -> Iterator[Explanation]:
        modulus = 10**self.readout.places * self.readout.shown.unit.factor
        if self.bus is None or self.is_gauge or self.readout.places < _PLACES_MIN or self.bus.least < modulus:
            return
        turns = self.bus.least // modulus * modulus
        if self._explains(Span(self.bus.least - turns, self.bus.most - turns, self.bus.step, self.bus.base)):
            yield Explanation(Verdict.ROLLED, self.tell("display-rolled"))

    def _other_meters(self) -> Iterator[Explanation]:
        names = self.equal_others()
        spans = [span for one in self.others if (span := span_of((one,), self.obis)) is not None]
        if names and any(self.fits(span) and self.proves(span, len(self.others)) for span in spans):
            yield Explanation(Verdict.OTHER_METER, self.tell("display-other-meter", other=", ".join(names)))

    def _other_registers(self) -> Iterator[Explanation]:
        counters = [obis for obis in self.meter.shown if obis != self.obis and self._is_counter(obis)]
        spans = {obis: span for obis in counters if (span := span_of(self.own, obis)) is not None}
        found = [str(obis) for obis, span in spans.items() if self._explains(span, len(counters))]
        if found:
            yield Explanation(Verdict.OTHER_REGISTER, self.tell("display-other-register", other=", ".join(found)))

    def _is_counter(self, obis: Obis) -> bool:
        channel = self.meter.channel(obis)
        return channel is not None and channel.kind is ChannelKind.COUNTER

    def _forms(self) -> Iterator[Explanation]:
        for form in read_otherwise(self.meter, self.obis):
            base = exact_base(form.shown)
            span = Span(base, base, step_of(form.shown), form.shown.unit.base_symbol)
            if not self._explains(span):
                continue
            if form.is_same_type:
                yield Explanation(Verdict.WORD_ORDER, self.tell("display-word-order", order=form.order))
            else:
                told = self.tell("display-number-form", form=form.type, order=form.order)
                yield Explanation(Verdict.NUMBER_FORM, told)
            return

    def _scales(self) -> Iterator[Explanation]:
        for power in _SCALES:
            factor = Fraction(10) ** power
            scaled = None if self.bus is None else self.bus.times(factor)
            if scaled is not None and self.fits(scaled) and self.proves(scaled):
                yield Explanation(Verdict.SCALE, self.tell("display-scale", factor=_plain(factor), power=power))

    def _ratios(self) -> Iterator[Explanation]:
        if self.bus is None:
            return
        factor = self._whole_ratio(self._at_least(exact_base(self.readout.shown)), self.bus)
        if factor is not None and factor != self.ratio:
            verdict, code = Verdict.RATIO_OTHER, "display-ratio-other"
            if self.ratio == 1:
                verdict, code = Verdict.RATIO_MISSING, "display-ratio-missing"
            yield Explanation(verdict, self.tell(code, factor=factor, multiplier=self.ratio))

    def _inverse_ratios(self) -> Iterator[Explanation]:
        if self.bus is None:
            return
        factor = self._whole_ratio(self.bus, self._at_least(exact_base(self.readout.shown)))
        if factor is not None:
            verdict, code = Verdict.RATIO_TWICE, "display-ratio-twice"
            if self.ratio == 1:
                verdict, code = Verdict.SECONDARY, "display-secondary"
            yield Explanation(verdict, self.tell(code, factor=factor, multiplier=self.ratio))

    def _at_least(self, base: Fraction) -> Span:
        shown = self.readout.shown
        return Span(base, base, step_of(shown), shown.unit.base_symbol)

    def _looseness(self, base: str) -> Fraction:
        if not self.is_gauge:
            return Fraction(0)
        return _STEADY if base in _STEADY_BASES else _LOOSE

    def _whole_ratio(self, large: Span, small: Span) -> int | None:
        """Give how many times `small` is in `large`: the planned ratio, one of plates, or a whole one hit closely."""
        loose = self._looseness(large.base)
        smallest = small.least - small.step - small.most * loose
        if large.base != small.base or smallest <= 0:
            return None
        least = (large.least - large.step) / (small.most + small.step + small.most * loose)
        most = (large.most + large.step) / smallest
        wholes = range(max(2, ceil(least)), min(_RATIO_MAX, floor(most)) + 1)
        middle = large.most / small.most
        usual = [whole for whole in wholes[:1000] if is_usual_ratio(whole)]
        if self.ratio > 1 and self.ratio in wholes:
            return self.ratio
        if usual and most - least < (middle / 4 if self.is_gauge else 1):
            return min(usual, key=lambda whole: float(abs(whole - middle)))
        if len(wholes) == 1 and most - least < _ODD_RATIO_WINDOW:
            return wholes[0]
        return None


def _plain(factor: Fraction) -> str:
    """Write a power of ten as people do."""
    return str(factor.numerator) if factor.denominator == 1 else f"1/{factor.denominator}"
