"""Units and what they measure. A dimension is a vector of powers; a temperature is a point or a difference of points.

Numbers are computed in base units: Wh, cm2, mL, hours, kelvin, persons, and 10^-9 of a currency unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

_SHOWN = {
    "money": ("money", "金额"),
    "energy": ("kWh", "kWh"),
    "area": ("m2", "m2"),
    "volume": ("m3", "m3"),
    "time": ("h", "h"),
    "temperature": ("K", "K"),
    "persons": ("persons", "人"),
}
_SCALES = {"money": Fraction(10**9), "energy": Fraction(1000), "area": Fraction(10**4), "volume": Fraction(10**6)}
_PLAIN = ("a plain number", "纯数")


@dataclass(frozen=True, slots=True)
class Dimension:
    """Powers of bases, sorted by base, none of them 0. A base that nobody knows is a unit of its own."""

    powers: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, powers: Mapping[str, int]) -> Dimension:
        """Take powers by base."""
        return cls(tuple(sorted((base, power) for base, power in powers.items() if power)))

    def times(self, other: Dimension, sign: int = 1) -> Dimension:
        """Give the dimension of a product, or (with `sign` -1) of a quotient."""
        powers = dict(self.powers)
        for base, power in other.powers:
            powers[base] = powers.get(base, 0) + sign * power
        return Dimension.of(powers)

    def power_of(self, base: str) -> int:
        """Give the power of one base."""
        return dict(self.powers).get(base, 0)

    @property
    def scale(self) -> Fraction:
        """How many base units the unit has in which it is shown."""
        scale = Fraction(1)
        for base, power in self.powers:
            scale *= _SCALES.get(base, Fraction(1)) ** power
        return scale

    def shown(self, language: str) -> str:
        """Write it in the units people know: `kWh / m2`."""
        powers = dict(self.powers)
        place = 1 if language == "zh" else 0
        while powers.get("energy", 0) > 0 and powers.get("time", 0) < 0:
            powers["energy"] -= 1
            powers["time"] += 1
            powers["kW"] = powers.get("kW", 0) + 1
        above, below = (
            " ".join(
                _SHOWN.get(base, (base, base))[place] + (str(abs(power)) if abs(power) > 1 else "")
                for base, power in sorted(powers.items())
                if power * sign > 0
            )
            for sign in (1, -1)
        )
        if not above and not below:
            return _PLAIN[place]
        return f"{above or '1'} / {below}" if below else above


PLAIN = Dimension()
MONEY = Dimension((("money", 1),))
ENERGY = Dimension((("energy", 1),))
TIME = Dimension((("time", 1),))
AREA = Dimension((("area", 1),))
TEMPERATURE = Dimension((("temperature", 1),))
POWER = ENERGY.times(TIME, -1)


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `scale` base units; `is_point` for a temperature, as against a difference of two."""

    symbol: str
    dimension: Dimension
    scale: Fraction
    is_point: bool = False


def _units() -> Iterable[Unit]:
    yield Unit("C", TEMPERATURE, Fraction(1), is_point=True)
    yield Unit("K", TEMPERATURE, Fraction(1))
    for prefix, factor in (("", 1), ("k", 1000), ("M", 10**6)):
        yield Unit(f"{prefix}W", POWER, Fraction(factor))
        yield Unit(f"{prefix}Wh", ENERGY, Fraction(factor))
    yield Unit("m2", AREA, Fraction(10**4))
    yield Unit("m3", Dimension((("volume", 1),)), Fraction(10**6))
    yield Unit("L", Dimension((("volume", 1),)), Fraction(10**3))
    yield Unit("h", TIME, Fraction(1))
    yield Unit("persons", Dimension((("persons", 1),)), Fraction(1))
    yield Unit("%", PLAIN, Fraction(1, 100))


UNITS = {unit.symbol: unit for unit in _units()}
ALIASES = {
    "°C": "C",
    "℃": "C",
    "摄氏度": "C",
    "千瓦": "kW",
    "千瓦时": "kWh",
    "㎡": "m2",
    "m²": "m2",
    "平方米": "m2",
    "m³": "m3",
    "立方米": "m3",
    "升": "L",
    "小时": "h",
    "person": "persons",
    "人": "persons",
}
"""Other writings of the same units."""
IN_CHINESE = {"C": "℃", "persons": "人"}
"""How Chinese text writes some units; the others are the same."""
_WITHOUT_UNIT = {"", "1", "ratio", "coefficient", "part", "系数", "比例"}
_PARTS = re.compile(r"\s*([*/·])\s*")


def unit_named(symbol: str) -> Unit | None:
    """Give the unit that is so written; None if there is none."""
    return UNITS.get(ALIASES.get(symbol, symbol))


def measured_in(text: str) -> Unit:
    """Read the unit of a table or series, such as `kW`, `kWh/m2` or `shares`; unknown ones are bases of their own."""
    whole = _one(text.strip())
    if whole.dimension == PLAIN or ("/" not in text and "*" not in text and "·" not in text):
        return whole
    pieces = _PARTS.split(text.strip())
    dimension, scale = PLAIN, Fraction(1)
    for operator, piece in zip(["*", *pieces[1::2]], pieces[::2], strict=True):
        unit, sign = _one(piece), -1 if operator == "/" else 1
        dimension, scale = dimension.times(unit.dimension, sign), scale * unit.scale**sign
    return Unit(text, dimension, scale)


def _one(text: str) -> Unit:
    if text.lower() in _WITHOUT_UNIT:
        return Unit(text, PLAIN, Fraction(1))
    return unit_named(text) or Unit(text, Dimension(((text, 1),)), Fraction(1))
