"""What a value information block of M-Bus says: quantity, unit and power of ten (EN 13757-3, 6.4).

A quantity is given as an exact factor into the base unit of `metering.quantity` (or into the unit named where that has
none), so no binary float comes near a register. Codes that are not in these tables give the quantity "unknown": such a
record can be listed but never read into a channel.

Sources: EN 13757-3 tables for VIF, FDh and FBh extensions and the orthogonal VIFE, as also listed by the public M-Bus
documentation 4.8, chapter 8.4; checked against 76 public telegrams (docs/adr/0075).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

UNKNOWN = "unknown"
TEXT = "text"
MANUFACTURER = "manufacturer"

_EXTENSION = 0x80
_TEN = Fraction(10)
_DURATIONS = (Fraction(1), Fraction(60), Fraction(3600), Fraction(86_400))

VIF_FIRST_EXTENSION = 0xFB
VIF_SECOND_EXTENSION = 0xFD
VIF_TEXT = 0x7C
VIF_ANY = 0x7E
VIF_MANUFACTURER = 0x7F

SCALING_LEAST = 0x70
"""VIFE 70 to 77: times 10^(n - 6)."""
SCALING_MOST = 0x77
SCALING_THOUSAND = 0x7D
RECORD_ERROR_MOST = 0x1F
"""VIFE 01 to 1F in an answer: the record is in error (EN 13757-3, 6.4.8, table 16); 15 is "no data available"."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity with the exact size of one count: `factor` in `base` units; a plain number counts 1000 of "1/1000"."""

    quantity: str
    base: str
    factor: Fraction


NO_MEASURE = Measure(UNKNOWN, "", Fraction(1))


def _decades(
    quantity: str, base: str, first: int, count: int, power: int, unit: Fraction
) -> Iterator[tuple[int, Measure]]:
    """Give `count` codes from `first`, counting 10^power, 10^(power + 1) ... of `unit` base units."""
    for n in range(count):
        yield first + n, Measure(quantity, base, unit * _TEN ** (power + n))


def _durations(quantity: str, first: int) -> Iterator[tuple[int, Measure]]:
    for n, seconds in enumerate(_DURATIONS):
        yield first + n, Measure(quantity, "s", seconds)


def _plain(first: int, *quantities: str) -> Iterator[tuple[int, Measure]]:
    for n, quantity in enumerate(quantities):
        yield first + n, Measure(quantity, "1/1000", Fraction(1000))


PRIMARY: dict[int, Measure] = dict(
    (
        *_decades("energy", "Wh", 0x00, 8, -3, Fraction(1)),
        *_decades("energy", "kJ", 0x08, 8, -3, Fraction(1)),
        *_decades("volume", "mL", 0x10, 8, -6, Fraction(1_000_000)),
        *_decades("mass", "kg", 0x18, 8, -3, Fraction(1)),
        *_durations("on-time", 0x20),
        *_durations("operating-time", 0x24),
        *_decades("power", "W", 0x28, 8, -3, Fraction(1)),
        *_decades("power", "W", 0x30, 8, 0, Fraction(1, 3600)),
        *_decades("flow", "mL/h", 0x38, 8, -6, Fraction(1_000_000)),
        *_decades("flow", "mL/h", 0x40, 8, -7, Fraction(60_000_000)),
        *_decades("flow", "mL/h", 0x48, 8, -9, Fraction(3_600_000_000)),
        *_decades("mass-flow", "kg/h", 0x50, 8, -3, Fraction(1)),
        *_decades("flow-temperature", "m°C", 0x58, 4, -3, Fraction(1000)),
        *_decades("return-temperature", "m°C", 0x5C, 4, -3, Fraction(1000)),
        *_decades("temperature-difference", "m°C", 0x60, 4, -3, Fraction(1000)),
        *_decades("external-temperature", "m°C", 0x64, 4, -3, Fraction(1000)),
        *_decades("pressure", "bar", 0x68, 4, -3, Fraction(1)),
        *_plain(0x6C, "date", "date-time", "hca"),
        *_durations("averaging-duration", 0x70),
        *_durations("actuality-duration", 0x74),
        *_plain(0x78, "fabrication-number", "identification", "bus-address"),
    )
)

SECOND_EXTENSION: dict[int, Measure] = dict(
    (
        *_plain(0x08, "access-number", "medium", "manufacturer-code", "parameter-set", "model", "hardware-version"),
        *_plain(0x0E, "firmware-version", "software-version", "customer-location", "customer"),
        *_plain(0x17, "error-flags", "error-mask"),
        *_plain(0x1A, "digital-output", "digital-input", "baud", "response-delay", "retry"),
        *_durations("storage-interval", 0x24),
        *_durations("since-last-readout", 0x2C),
        *_plain(0x3A, "dimensionless"),
        *_decades("voltage", "mV", 0x40, 16, -9, Fraction(1000)),
        *_decades("amperage", "mA", 0x50, 16, -12, Fraction(1000)),
        *_plain(0x60, "reset-counter", "cumulation-counter"),
    )
)

FIRST_EXTENSION: dict[int, Measure] = dict(
    (
        *_decades("energy", "Wh", 0x00, 2, -1, Fraction(1_000_000)),
        *_decades("energy", "kJ", 0x08, 2, -1, Fraction(1_000_000)),
        *_decades("volume", "mL", 0x10, 2, 2, Fraction(1_000_000)),
        *_decades("mass", "kg", 0x18, 2, 2, Fraction(1000)),
        *_decades("humidity", "1/1000", 0x1A, 2, -1, Fraction(10)),
        *_decades("power", "W", 0x28, 2, -1, Fraction(1_000_000)),
    )
)

# Unit codes of the fixed data structure (M-Bus documentation 4.8, 6.2): quantity, base, first code, power of ten.
_FIXED_DECADES = (
    ("energy", "Wh", 0x02, 9, 0, Fraction(1)),
    ("energy", "kJ", 0x0B, 9, 0, Fraction(1)),
    ("power", "W", 0x14, 9, 0, Fraction(1)),
    ("power", "W", 0x1D, 9, 3, Fraction(1, 3600)),
    ("volume", "mL", 0x26, 9, 0, Fraction(1)),
    ("flow", "mL/h", 0x2F, 9, 0, Fraction(1)),
)
_FIXED_DISPUTED = (0x0D, 0x0E)
"""100 kJ and 1 MJ by the order of the table, the other way round in libmbus: a factor of ten in a bill, so not read."""
FIXED: dict[int, Measure] = {
    **{code: each for decades in _FIXED_DECADES for code, each in _decades(*decades) if code not in _FIXED_DISPUTED},
    0x38: Measure("flow-temperature", "m°C", Fraction(1)),
    0x39: Measure("hca", "1/1000", Fraction(1000)),
    0x3F: Measure("dimensionless", "1/1000", Fraction(1000)),
}
FIXED_SAME_BUT_STORED = 0x3E

QUANTITIES = tuple(
    sorted(
        {
            measure.quantity
            for table in (PRIMARY, FIRST_EXTENSION, SECOND_EXTENSION, FIXED)
            for measure in table.values()
        }
    )
)


@dataclass(frozen=True, slots=True)
class Vib:
    """A value information block.

    measure     what one count is, powers of ten of VIFEs included
    qualifiers  VIFEs that are not powers of ten, without the extension bit: they make it another register
    text        the unit as the meter spells it, where the VIF is a text
    """

    measure: Measure
    qualifiers: bytes = b""
    text: str = ""

    @property
    def record_error(self) -> int:
        """The record error code among the qualifiers, 0 for none."""
        if self.measure.quantity == MANUFACTURER or VIF_MANUFACTURER in self.qualifiers:
            return 0
        return next((code for code in self.qualifiers if 0 < code <= RECORD_ERROR_MOST), 0)


def vib_from_codes(codes: bytes, text: str = "") -> Vib:
    """Read the VIF and its VIFEs, extension bits as on the wire; `text` is the spelt unit of VIF 7C."""
    first, rest = codes[0], codes[1:]
    if first & ~_EXTENSION == VIF_TEXT:
        measure = Measure(TEXT, "", Fraction(1))
    elif first & ~_EXTENSION == VIF_MANUFACTURER:
        return Vib(Measure(MANUFACTURER, "", Fraction(1)), rest)
    elif first in (VIF_FIRST_EXTENSION, VIF_SECOND_EXTENSION):
        table = FIRST_EXTENSION if first == VIF_FIRST_EXTENSION else SECOND_EXTENSION
        measure = table.get(rest[0] & ~_EXTENSION, NO_MEASURE) if rest else NO_MEASURE
        rest = rest[1:]
    else:
        measure = PRIMARY.get(first & ~_EXTENSION, NO_MEASURE)
    qualifiers = b""
    for at, code in enumerate(rest):
        plain = code & ~_EXTENSION
        if plain == VIF_MANUFACTURER:
            qualifiers += bytes((plain,)) + rest[at + 1 :]
            break
        if SCALING_LEAST <= plain <= SCALING_MOST:
            measure = Measure(measure.quantity, measure.base, measure.factor * _TEN ** (plain - SCALING_LEAST - 6))
        elif plain == SCALING_THOUSAND:
            measure = Measure(measure.quantity, measure.base, measure.factor * 1000)
        elif plain:  # 00 says that the record is not in error, and nothing else
            qualifiers += bytes((plain,))
    return Vib(measure, qualifiers, text)
