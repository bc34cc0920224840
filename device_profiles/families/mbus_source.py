"""Which record of an M-Bus meter a channel is kept in, and how its counts become the channel's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from device_profiles.framing.mbus_records import Function, MbusRecord
from device_profiles.framing.mbus_vib import Measure
from device_profiles.profile import Channel, Source

FUNCTIONS = {function.name.lower().replace("_", "-"): function for function in Function}
STATUS = "status"
"""Not a record: the status octet of the telegram's header."""

_MEDIA = {"electricity": (2,), "gas": (3,), "heat": (4, 10, 11, 12, 13), "water": (7, 21, 22, 6, 5)}
_KJ_PER_WH = Fraction(18, 5)


@dataclass(frozen=True, slots=True)
class MbusSource(Source):
    """A record, named by what it is or, with `header`, to the octet.

    qualifiers  VIFEs that are no powers of ten, without extension bits (3B forward, 3C backward ...)
    nth         which of several such records, from 0; None where there is one
    header      DIF, DIFEs, VIF and VIFEs as on the wire; empty to take any width and unit
    tariffs     the sum of these tariffs' registers, for a meter without a total; no other tariff may be there
    """

    quantity: str
    function: Function = Function.INSTANTANEOUS
    storage: int = 0
    tariff: int = 0
    subunit: int = 0
    qualifiers: bytes = b""
    nth: int | None = None
    header: bytes = b""
    tariffs: tuple[int, ...] = ()

    @property
    def parts(self) -> tuple[MbusSource, ...]:
        """The registers that are summed, or this one alone."""
        return tuple(replace(self, tariff=tariff, tariffs=()) for tariff in self.tariffs) or (self,)

    def leaves_out(self, record: MbusRecord) -> bool:
        """Say whether `record` is a tariff that the sum does not have: a rate whose energy would not be billed."""
        beside = replace(self, tariff=record.tariff, tariffs=())
        return bool(self.tariffs) and record.tariff not in (0, *self.tariffs) and beside.names(record)

    def names(self, record: MbusRecord) -> bool:
        """Say whether `record` is the one meant (or one of those, where `nth` tells them apart)."""
        if self.header:
            return record.header == self.header
        error = record.vib.record_error
        qualifiers = bytes(code for code in record.vib.qualifiers if code != error) if error else record.vib.qualifiers
        return (
            record.measure.quantity == self.quantity
            and record.function is self.function
            and (record.storage, record.tariff, record.subunit) == (self.storage, self.tariff, self.subunit)
            and qualifiers == self.qualifiers
        )

    def __str__(self) -> str:
        if self.header:
            return f"with header {self.header.hex()}"
        tariff = "+".join(map(str, self.tariffs)) or self.tariff
        place = f"storage {self.storage}, tariff {tariff}, subunit {self.subunit}"
        return f"{self.quantity} ({self.function.name.lower()}, {place}, qualifiers {self.qualifiers.hex() or 'none'})"


def own_source(source: Source) -> MbusSource:
    """Give `source` as one of this family."""
    if not isinstance(source, MbusSource):
        raise TypeError(f"{type(source).__name__} is not an M-Bus source")
    return source


def count_size(measure: Measure, channel: Channel) -> Fraction | None:
    """Give how many mantissas of `channel` one count of `measure` is; None when the units do not convert.

    Watt-hours and joules of heat convert exactly: 1 Wh is 3.6 kJ.
    """
    base = channel.unit.base_symbol
    size = measure.factor * channel.scale
    if measure.base == base:
        return size
    if (measure.base, base) == ("Wh", "kJ"):
        return size * _KJ_PER_WH
    if (measure.base, base) == ("kJ", "Wh"):
        return size / _KJ_PER_WH
    return None


def usual_media(medium: str) -> tuple[int, ...]:
    """Give the medium octets of a profile's `medium` (EN 13757-3, table 3)."""
    return _MEDIA.get(medium, ())
