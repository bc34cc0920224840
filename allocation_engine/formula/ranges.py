"""Between which bounds a term lies, for all facts that rules allow: the arithmetic of the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

_Bound = tuple[int, Fraction]
"""-1 for below everything, 0 and a number, 1 for above everything."""
_ZERO = Fraction(0)
_BELOW, _ABOVE = (-1, _ZERO), (1, _ZERO)


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds, both included; None for no bound. `is_never_zero` where 0 is known to be left out."""

    low: Fraction | None
    high: Fraction | None
    is_never_zero: bool = False

    @classmethod
    def only(cls, number: Fraction) -> Range:
        """A single number."""
        return cls(number, number, number != 0)

    @classmethod
    def over(cls, numbers: Iterable[Fraction]) -> Range:
        """The numbers a table holds; 0 alone where it holds none."""
        known = set(numbers) or {_ZERO}
        return cls(min(known), max(known), 0 not in known)

    @property
    def may_be_zero(self) -> bool:
        """Say whether 0 is possible."""
        return not self.is_never_zero and not self.is_positive and (self.high is None or self.high >= 0)

    @property
    def is_positive(self) -> bool:
        """Say whether it is always above 0."""
        return self.low is not None and (self.low > 0 or (self.low == 0 and self.is_never_zero))

    @property
    def may_be_negative(self) -> bool:
        """Say whether numbers below 0 are possible."""
        return self.low is None or self.low < 0

    def __neg__(self) -> Range:
        return Range(None if self.high is None else -self.high, None if self.low is None else -self.low, _never(self))

    def __add__(self, other: Range) -> Range:
        low = None if self.low is None or other.low is None else self.low + other.low
        high = None if self.high is None or other.high is None else self.high + other.high
        both = not self.may_be_negative and not other.may_be_negative
        return Range(low, high, both and (self.is_positive or other.is_positive))

    def __sub__(self, other: Range) -> Range:
        return self + -other

    def __mul__(self, other: Range) -> Range:
        ends = [_times(one, two) for one in self._ends() for two in other._ends()]
        return _between(min(ends), max(ends), is_never_zero=_never(self) and _never(other))

    def __truediv__(self, other: Range) -> Range:
        return self * other.turned_over()

    def turned_over(self) -> Range:
        """Give 1 divided by it; everything where it may be 0."""
        low, high = self._ends()
        if self.is_positive:
            return _between(_one_by(high), _ABOVE if low[1] == 0 else _one_by(low), is_never_zero=True)
        if (-self).is_positive:
            return -((-self).turned_over())
        return Range(None, None, _never(self))

    def shown(self, scale: Fraction, language: str) -> str:
        """Say the bounds in units of `scale`."""
        zh = language == "zh"
        low, high = (None if one is None else decimal_or_quotient(one / scale) for one in (self.low, self.high))
        if low is None and high is None:
            return "任意数" if zh else "any number"
        if low is not None and low == high:
            return f"恒为 {low}" if zh else f"always {low}"
        if high is None:
            above = low == "0" and self.is_never_zero
            return f"{'大于' if above else '不小于'} {low}" if zh else f"{low} or more" if not above else f"above {low}"
        if low is None:
            return f"不大于 {high}" if zh else f"{high} or less"
        return f"{low} 至 {high}" if zh else f"{low} to {high}"

    def _ends(self) -> tuple[_Bound, _Bound]:
        return _BELOW if self.low is None else (0, self.low), _ABOVE if self.high is None else (0, self.high)


ANY = Range(None, None)
NOT_NEGATIVE = Range(_ZERO, None)
POSITIVE = Range(_ZERO, None, is_never_zero=True)


def smallest(ranges: Iterable[Range]) -> Range:
    """Bounds of the smallest of some terms."""
    return -largest(-one for one in ranges)


def largest(ranges: Iterable[Range]) -> Range:
    """Bounds of the largest of some terms."""
    return reduce(_larger, ranges)


def decimal_or_quotient(number: Fraction) -> str:
    """Write a number for people."""
    scale = 0
    while 10**scale % number.denominator and scale < 9:
        scale += 1
    if 10**scale % number.denominator:
        return str(number)
    text = str(abs(number.numerator) * (10**scale // number.denominator)).rjust(scale + 1, "0")
    return ("-" if number < 0 else "") + (f"{text[:-scale]}.{text[-scale:]}" if scale else text)


def _larger(one: Range, two: Range) -> Range:
    low, high = (pick(one._ends()[end], two._ends()[end]) for end, pick in _MAX_OF)
    return _between(low, high, is_never_zero=one.is_positive or two.is_positive or (_never(one) and _never(two)))


_MAX_OF: tuple[tuple[int, Callable[[_Bound, _Bound], _Bound]], ...] = ((0, max), (1, max))


def _never(one: Range) -> bool:
    return not one.may_be_zero


def _between(low: _Bound, high: _Bound, *, is_never_zero: bool) -> Range:
    return Range(None if low[0] else low[1], None if high[0] else high[1], is_never_zero)


def _times(one: _Bound, two: _Bound) -> _Bound:
    if not one[0] and not two[0]:
        return 0, one[1] * two[1]
    return _sign(one) * _sign(two), _ZERO


def _sign(one: _Bound) -> int:
    return one[0] or (one[1] > 0) - (one[1] < 0)


def _one_by(one: _Bound) -> _Bound:
    return (0, _ZERO) if one[0] else (0, 1 / one[1])
