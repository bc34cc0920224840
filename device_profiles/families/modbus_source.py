"""Where a channel stands in a Modbus map, how its table is written, and how it is taken out of a block of registers.

Beyond a plain number a channel may be: some bits of one; a whole part and a decimal part in two places; the sum of
several registers of one type (a meter that counts each tariff alone has no total); a number with its power of ten in
a register beside it (SunSpec). All parts stand in one block, because they must be of one instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader
from device_profiles.families.fixed_layout import fixed_reader
from device_profiles.forms import BitsForm, FloatForm, Form, NotReadable, RegisterType, WordOrder, register_form
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.framing.sunspec import HEADER_REGISTERS, SunSpecRead
from device_profiles.profile import Channel, ChannelKind, Source

Block = ModbusRead | SunSpecRead

SCALE_MAX = 10
"""Largest power of ten a scale register may state (SunSpec: -10 to 10)."""
_SCALE_ABSENT = 0x8000
_BIT_TYPES = (RegisterType.U16, RegisterType.U32, RegisterType.U48, RegisterType.U64)


@dataclass(frozen=True, slots=True)
class ModbusSource(Source):
    """Where a channel stands in the Modbus map.

    function  3 holding registers, 4 input registers
    address   register number on the wire, from 0; under `model` counted from the model's id, which is 0
    exponent  floats, and numbers with a scale register: the register counts 10^exponent of the channel's unit
    invalid   octets as read that mean "no value"
    model     SunSpec model in which the address counts
    scale     address of the s16 register that holds the number's power of ten
    added     addresses of further numbers of the same form, to be added
    decimals  address of a u16 register that holds `digits` more decimal digits
    bits      first and last bit of a state, 0 the least significant
    """

    function: int
    address: int
    type: RegisterType
    order: WordOrder = WordOrder.ABCD
    exponent: int = 0
    invalid: tuple[bytes, ...] = ()
    model: int | None = None
    scale: int | None = None
    added: tuple[int, ...] = ()
    decimals: int | None = None
    digits: int = 0
    bits: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        """Number of 16-bit registers of the number itself."""
        return self.type.bits // 16

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Address and number of registers of every part."""
        numbers = tuple((address, self.count) for address in (self.address, *self.added))
        singles = tuple((address, 1) for address in (self.scale, self.decimals) if address is not None)
        return numbers + singles

    @property
    def first(self) -> int:
        """Lowest address of any part."""
        return min(address for address, _ in self.places)

    @property
    def end(self) -> int:
        """Address of the register after the last of any part."""
        return max(address + count for address, count in self.places)


def read_source(table: CheckedTable) -> ModbusSource:
    """Read a `modbus` table."""
    kind = RegisterType(table.choice("type", tuple(RegisterType)))
    source = ModbusSource(
        function=table.integer("function", 3, 4),
        address=table.integer("address", 0, 0xFFFF),
        type=kind,
        order=WordOrder(table.choice("order", tuple(WordOrder), WordOrder.ABCD)),
        exponent=table.integer("exponent", -9, 9, 0),
        invalid=tuple(table.hexadecimals("invalid")),
        model=table.integer("model", 1, 0xFFFE) if "model" in table else None,
        scale=table.integer("scale", 0, 0xFFFF) if "scale" in table else None,
        added=tuple(table.integers("added", 0, 0xFFFF)) if "added" in table else (),
        decimals=table.integer("decimals", 0, 0xFFFF) if "decimals" in table else None,
        digits=table.integer("digits", 1, 4) if "decimals" in table else 0,
        bits=_bits(table, kind) if "bits" in table else None,
    )
    table.done()
    _check(table, source)
    return source


def _bits(table: CheckedTable, kind: RegisterType) -> tuple[int, int] | None:
    bounds = table.integers("bits", 0, kind.bits - 1)
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        table.fault("bits", f"{bounds} are no bits", "write [first, last], 0 the least significant")
        return None
    return bounds[0], bounds[1]


def _check(table: CheckedTable, source: ModbusSource) -> None:
    kind = source.type
    if "exponent" in table and not kind.is_float and source.scale is None:
        table.fault("exponent", "an integer register counts in the channel's exponent", "leave it out here")
    if source.end > 0x10000:
        table.fault("address", "the register ends beyond FFFF", "mend the address")
    if any(len(pattern) != 2 * source.count for pattern in source.invalid):
        table.fault("invalid", f"a pattern of {kind} has {4 * source.count} hex digits", "write it whole")
    if source.scale is not None and kind.is_float:
        table.fault("scale", "a float has its power of ten in itself", "leave `scale` out")
    if source.decimals is not None and (kind.is_signed or kind.is_float):
        table.fault("decimals", f"{kind} has no decimal part beside it", "make `type` an unsigned integer or digits")
    if source.bits is not None and kind not in _BIT_TYPES:
        table.fault("bits", f"{kind} is no pattern of bits", f"make `type` one of {', '.join(_BIT_TYPES)}")
    several = [key for key in ("scale", "added", "decimals", "bits") if key in table]
    if len(several) > 1 and several != ["scale", "added"]:
        table.fault(several[1], f"{' and '.join(several)} in one channel", "keep one of them")
    if source.model is not None and source.first < HEADER_REGISTERS:
        table.fault("address", "registers 0 and 1 of a model are its id and length", "count from the model's id")


def mantissa_limit(source: ModbusSource) -> int | None:
    """Give the first mantissa that the registers cannot show; None when they set no bound of their own."""
    if source.scale is not None or source.added or source.type.mantissa_limit is None:
        return None
    if source.bits is not None:
        return int(1 << source.bits[1] - source.bits[0] + 1)
    return int(source.type.mantissa_limit * 10**source.digits)


def form_of(channel: Channel) -> Form:
    """Give the form in which the meter keeps the number of `channel`, or each of its numbers."""
    source = own(channel.source)
    if source.type.is_float:
        return FloatForm(source.type, source.order, source.invalid, power=source.exponent - channel.exponent)
    whole = register_form(source.type, source.order, source.invalid)
    return whole if source.bits is None else BitsForm(whole, *source.bits)


def reader(block: Block, channel: Channel) -> MantissaReader:
    """Compile how `channel` is taken out of the register octets of `block`."""
    source = own(channel.source)
    octets = 2 * block.count
    form = form_of(channel)
    numbers = [fixed_reader(form, 2 * (at - block.address), octets) for at in (source.address, *source.added)]
    whole = numbers[0] if len(numbers) == 1 else _sum(numbers)
    if source.decimals is not None:
        return _with_decimals(whole, _register(source.decimals, block), 10**source.digits)
    if source.scale is not None:
        power = source.exponent - channel.exponent
        return _scaled(whole, _register(source.scale, block), power, exact=channel.kind is not ChannelKind.GAUGE)
    return whole


def own(source: Source) -> ModbusSource:
    """Give `source` as this family's; anything else is our own mistake."""
    if not isinstance(source, ModbusSource):
        raise TypeError(f"{type(source).__name__} is not a Modbus source")
    return source


def _register(address: int, block: Block) -> MantissaReader:
    form = register_form(RegisterType.U16, WordOrder.ABCD, ())
    return fixed_reader(form, 2 * (address - block.address), 2 * block.count)


def _sum(numbers: list[MantissaReader]) -> MantissaReader:
    def read(body: bytes) -> int | None:
        mantissas = [number(body) for number in numbers]
        return None if None in mantissas else sum(mantissa for mantissa in mantissas if mantissa is not None)

    return read


def _with_decimals(whole: MantissaReader, decimals: MantissaReader, unit: int) -> MantissaReader:
    def read(body: bytes) -> int | None:
        number, part = whole(body), decimals(body)
        if number is None or part is None:
            return None
        if part >= unit:
            raise NotReadable(f"a decimal part of {part}, where {unit - 1} is the most")
        return number * unit + part

    return read


def _scaled(number: MantissaReader, scale: MantissaReader, power: int, *, exact: bool) -> MantissaReader:
    """Apply the power of ten in a register. `exact` refuses what is finer than the channel; gauges round to even."""

    def read(body: bytes) -> int | None:
        mantissa, stated = number(body), scale(body)
        if mantissa is None or stated is None or stated == _SCALE_ABSENT:
            return None
        shift = (stated - 0x10000 if stated & 0x8000 else stated) + power
        if abs(shift - power) > SCALE_MAX:
            raise NotReadable(f"a scale register of {shift - power}, where {-SCALE_MAX} to {SCALE_MAX} belong")
        if shift >= 0:
            return int(mantissa * 10**shift)
        scaled = Fraction(mantissa, 10**-shift)
        if exact and scaled.denominator != 1:
            raise NotReadable(f"{mantissa} x 10^{shift - power} is finer than the profile's exponent")
        return round(scaled)

    return read
