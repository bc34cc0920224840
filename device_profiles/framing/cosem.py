"""What COSEM objects say of their numbers: scaler and unit, moments, rows of a profile. Sans I/O, exact.

Source: IEC 62056-6-2, 4.1.6 (dates and times), 4.3.2 (scaler_unit, table of units), 4.3.6 (profile generic).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from device_profiles.forms import NotReadable
from device_profiles.framing.axdr import NULL, Data, DataTag, integer, structure
from device_profiles.framing.xdlms import Attribute
from metering.obis import Obis
from metering.quantity import Unit

CLOCK_OCTETS = 12
_NOT_SAID_YEAR = 0xFFFF
_NOT_SAID = 0xFF
_INVALID_CLOCK = 0x01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Beginning of the count. Both sides of a difference are a meter's wall clock, which knows no zone."""
_CLOCK_CLASS = 8

_UNITS: dict[int, tuple[Unit, Fraction]] = {
    7: (Unit.S, Fraction(1)),
    5: (Unit.H, Fraction(1)),
    9: (Unit.DEG_C, Fraction(1)),
    13: (Unit.M3, Fraction(1)),
    14: (Unit.M3, Fraction(1)),
    15: (Unit.M3_PER_H, Fraction(1)),
    16: (Unit.M3_PER_H, Fraction(1)),
    19: (Unit.LITRE, Fraction(1)),
    25: (Unit.KJ, Fraction(1, 1000)),
    27: (Unit.W, Fraction(1)),
    28: (Unit.VA, Fraction(1)),
    29: (Unit.VAR, Fraction(1)),
    30: (Unit.WH, Fraction(1)),
    31: (Unit.VAH, Fraction(1)),
    32: (Unit.VARH, Fraction(1)),
    33: (Unit.A, Fraction(1)),
    35: (Unit.V, Fraction(1)),
    44: (Unit.HZ, Fraction(1)),
    255: (Unit.ONE, Fraction(1)),
}
_WATT_HOUR = 30
_HEAT_BASE = Unit.KJ.base_symbol
_KJ_PER_WH = Fraction(36, 10)


@dataclass(frozen=True, slots=True)
class ScalerUnit:
    """How a register counts: 10^`scaler` of the unit with code `unit`."""

    scaler: int
    unit: int

    @classmethod
    def from_data(cls, element: Data) -> ScalerUnit:
        """Read attribute scaler_unit; raises NotReadable."""
        parts = element.elements
        if element.tag is not DataTag.STRUCTURE or [part.tag for part in parts] != [DataTag.INTEGER, DataTag.ENUM]:
            raise NotReadable("what the meter gives as scaler and unit is none")
        return cls(parts[0].number, parts[1].number)

    def to_data(self) -> Data:
        """Give attribute scaler_unit."""
        return structure(integer(DataTag.INTEGER, self.scaler), integer(DataTag.ENUM, self.unit))

    def in_unit(self, unit: Unit, exponent: int) -> Fraction:
        """Give how many 10^`exponent` of `unit` one step is; raises NotReadable for another quantity."""
        known = _UNITS.get(self.unit)
        if known is None:
            raise NotReadable(f"the meter counts in unit {self.unit}, which is not known here")
        counted, factor = known
        base = factor * counted.factor
        if self.unit == _WATT_HOUR and unit.base_symbol == _HEAT_BASE:
            base = _KJ_PER_WH
        elif counted.base_symbol != unit.base_symbol:
            raise NotReadable(f"the meter counts in {counted.symbol}, the profile says {unit.symbol}")
        return base * Fraction(10) ** self.scaler / (unit.factor * Fraction(10) ** exponent)


def scaler_unit_for(unit: Unit, exponent: int) -> ScalerUnit:
    """Give the scaler and unit by which a register counts exactly in 10^`exponent` of `unit`; raises NotReadable."""
    for code in _UNITS:
        for scaler in range(-12, 13):
            said = ScalerUnit(scaler, code)
            try:
                if said.in_unit(unit, exponent) == 1:
                    return said
            except NotReadable:
                break
    raise NotReadable(f"no COSEM unit counts in 10^{exponent} {unit.symbol}")


def moment_from_octets(octets: bytes) -> int | None:
    """Read a COSEM date-time as seconds from 1970-01-01T00:00 by the meter's own clock; None where it says none."""
    if len(octets) != CLOCK_OCTETS:
        raise NotReadable(f"a COSEM date-time has {CLOCK_OCTETS} octets, not {len(octets)}")
    year, month, day, hour, minute, second = int.from_bytes(octets[:2]), octets[2], octets[3], *octets[5:8]
    is_invalid = octets[11] != _NOT_SAID and octets[11] & _INVALID_CLOCK
    if is_invalid or year == _NOT_SAID_YEAR or _NOT_SAID in (month, day, hour, minute):
        return None
    if second == _NOT_SAID:
        second = 0
    try:
        shown = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    moment = (shown - _EPOCH) // timedelta(seconds=1)
    return moment if moment >= 0 else None


def moment_to_octets(moment: int) -> bytes:
    """Write seconds from 1970-01-01T00:00 as a COSEM date-time that says nothing of zone and state."""
    try:
        shown = _EPOCH + timedelta(seconds=moment)
    except OverflowError as error:
        raise NotReadable(f"{moment} s is no moment: {error}") from error
    date_octets = shown.year.to_bytes(2) + bytes((shown.month, shown.day, shown.isoweekday()))
    return date_octets + bytes((shown.hour, shown.minute, shown.second, 0)) + b"\x80\x00\x00"


def column_of(captured: Data, attribute: Attribute) -> int:
    """Find `attribute` among the capture objects of a profile; raises NotReadable when it is not captured."""
    named = (attribute.interface, attribute.obis.to_wire(), attribute.number)
    for at, each in enumerate(captured.elements):
        parts = each.elements
        if len(parts) == 4 and (parts[0].number, parts[1].octets, parts[2].number) == named:
            return at
    raise NotReadable(f"the meter's profile does not capture {attribute}")


def profile_rows(captured: Data, buffer: Data, period_s: int) -> tuple[tuple[Data, ...], ...]:
    """Give the rows of a profile's buffer, with what the meter left out filled in; raises NotReadable.

    A cell of null-data means "as in the row before"; in the clock's column it means "one period later".
    """
    interfaces = [each.elements[0].number if each.elements else 0 for each in captured.elements]
    clocks = [at for at, interface in enumerate(interfaces) if interface == _CLOCK_CLASS]
    rows: list[tuple[Data, ...]] = []
    for row in buffer.elements:
        cells = row.elements
        if row.tag is not DataTag.STRUCTURE or len(cells) != len(captured.elements):
            raise NotReadable(f"a row of {len(cells)} cells where {len(captured.elements)} are captured")
        rows.append(_filled(cells, rows[-1] if rows else None, clocks, period_s))
    return tuple(rows)


def _filled(cells: Sequence[Data], before: Sequence[Data] | None, clocks: list[int], period_s: int) -> tuple[Data, ...]:
    if NULL not in cells:
        return tuple(cells)
    if before is None:
        raise NotReadable("the first row leaves cells out, and there is no row before it")
    filled = [earlier if cell == NULL else cell for cell, earlier in zip(cells, before, strict=True)]
    for at in clocks:
        if cells[at] == NULL:
            moment = moment_from_octets(before[at].octets)
            if moment is None or not period_s:
                raise NotReadable("a row without moment follows one that has none, or the period is not known")
            filled[at] = Data(before[at].tag, octets=moment_to_octets(moment + period_s)[:9] + before[at].octets[9:])
    return tuple(filled)


CLOCK = Attribute(_CLOCK_CLASS, Obis.parse("0-0:1.0.0"), 2)
"""The meter's clock."""
