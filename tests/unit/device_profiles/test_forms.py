"""Forms of numbers: what each reads, what it refuses, and that it writes what it reads."""

from __future__ import annotations

import struct

import pytest

from device_profiles.families.modbus import ModbusSource, form_of
from device_profiles.forms import (
    BcdForm,
    BitsForm,
    FloatForm,
    IntegerForm,
    NotReadable,
    RegisterType,
    WordOrder,
    register_form,
)
from device_profiles.profile import Channel, ChannelKind
from metering.obis import ENERGY_IMPORT
from metering.quantity import Unit

Registers = tuple[RegisterType, WordOrder, tuple[bytes, ...]]


def registers(kind: str, order: str = "ABCD", *, invalid: tuple[bytes, ...] = ()) -> Registers:
    """How a number of the given type and order is kept."""
    return RegisterType(kind), WordOrder(order), invalid


@pytest.mark.parametrize(
    ("kind", "order", "wire", "mantissa"),
    [
        ("u16", "ABCD", "FFFE", 65534),
        ("s16", "ABCD", "FFFE", -2),
        ("u16", "BADC", "FEFF", 65534),
        ("u32", "ABCD", "00010203", 0x00010203),
        ("u32", "CDAB", "02030001", 0x00010203),
        ("u32", "BADC", "01000302", 0x00010203),
        ("u32", "DCBA", "03020100", 0x00010203),
        ("s32", "CDAB", "FB2EFFFF", -1234),
        ("u64", "ABCD", "000000000012D687", 1234567),
        ("u64", "CDAB", "D687001200000000", 1234567),
        ("s64", "ABCD", "FFFFFFFFFFFFFFFF", -1),
    ],
)
def test_an_integer_is_read_in_its_word_order(kind: str, order: str, wire: str, mantissa: int) -> None:
    form = IntegerForm(*registers(kind, order))
    assert form.octets == len(wire) // 2
    assert form.to_mantissa(bytes.fromhex(wire)) == mantissa
    assert form.to_octets(mantissa) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("kind", "order", "wire", "mantissa"),
    [
        ("u48", "ABCD", "000000000102", 0x0102),
        ("s48", "CDAB", "FFFEFFFFFFFF", -2),
        ("mag16", "ABCD", "8005", -5),
        ("mag32", "CDAB", "00058000", -5),
        ("bcd16", "ABCD", "9999", 9999),
        ("bcd48", "CDAB", "567812340000", 12_345_678),
        ("m10k32", "CDAB", "270F0001", 19_999),
        ("m10k64", "ABCD", "000000000001270F", 19_999),
    ],
)
def test_further_numbers_are_read_and_written(kind: str, order: str, wire: str, mantissa: int) -> None:
    form = register_form(*registers(kind, order))
    assert form.octets == len(wire) // 2
    assert form.to_mantissa(bytes.fromhex(wire)) == mantissa
    assert form.to_octets(mantissa) == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("kind", "wire", "problem"),
    [
        ("m10k32", "27100000", "a register of 10000"),
        ("m10k32", "0000FFFF", "a register of 65535"),
        ("bcd32", "0000000A", "is not BCD"),
    ],
)
def test_registers_that_are_no_digits_are_refused(kind: str, wire: str, problem: str) -> None:
    with pytest.raises(NotReadable, match=problem):
        register_form(*registers(kind)).to_mantissa(bytes.fromhex(wire))


@pytest.mark.parametrize(
    ("kind", "mantissa"),
    [("mag16", 0x8000), ("mag16", -0x8000), ("bcd16", 10_000), ("bcd16", -1), ("m10k32", 10**8), ("u48", 2**48)],
)
def test_a_number_too_long_for_its_registers_is_not_written(kind: str, mantissa: int) -> None:
    with pytest.raises(NotReadable, match="does not fit"):
        register_form(*registers(kind)).to_octets(mantissa)


@pytest.mark.parametrize("kind", ["u48", "mag32", "bcd32", "m10k32"])
def test_every_form_knows_its_pattern_for_no_value(kind: str) -> None:
    pattern = b"\xff" * (RegisterType(kind).bits // 8)
    assert register_form(*registers(kind, invalid=(pattern,))).to_mantissa(pattern) is None


def test_bits_are_cut_out_of_a_number() -> None:
    form = BitsForm(register_form(*registers("u16", invalid=(b"\xff\xff",))), 4, 7)
    assert form.to_mantissa(bytes.fromhex("12A4")) == 0xA
    assert form.to_mantissa(b"\xff\xff") is None
    assert form.to_octets(0xA) == bytes.fromhex("00A0")
    with pytest.raises(NotReadable, match="does not fit bits"):
        form.to_octets(16)


def test_a_type_says_what_it_cannot_show() -> None:
    limits = {kind.value: kind.mantissa_limit for kind in RegisterType}
    assert (limits["f32"], limits["u16"], limits["s16"], limits["mag16"]) == (None, 2**16, 2**15, 2**15)
    assert (limits["bcd32"], limits["m10k48"], limits["u48"]) == (10**8, 10**12, 2**48)


def test_a_declared_pattern_is_no_value_and_only_that() -> None:
    form = IntegerForm(*registers("u32", invalid=(b"\xff\xff\xff\xff",)))
    assert form.to_mantissa(b"\xff\xff\xff\xff") is None
    assert form.to_mantissa(b"\xff\xff\xff\xfe") == 0xFFFFFFFE


def test_an_integer_too_wide_for_its_register_is_not_written() -> None:
    with pytest.raises(NotReadable, match="32 bits"):
        IntegerForm(*registers("u32")).to_octets(2**32)
    with pytest.raises(NotReadable):
        IntegerForm(*registers("u16")).to_octets(-1)


@pytest.mark.parametrize(
    ("number", "power", "mantissa"),
    [
        (230.2, 1, 2302),
        (230.25, 1, 2302),
        (230.75, 1, 2308),
        (0.5, 0, 0),
        (1.5, 0, 2),
        (-1234.4, 0, -1234),
        (12345.678, 3, 12345678),
        (150000.01, 3, 150000016),
        (16777216.0, 3, 16777216000),
        (4321.0, -1, 432),
    ],
)
def test_a_float_is_rounded_once_to_the_nearest_and_ties_to_even(number: float, power: int, mantissa: int) -> None:
    assert FloatForm(*registers("f32"), power=power).to_mantissa(struct.pack(">f", number)) == mantissa


def test_a_double_is_rounded_exactly() -> None:
    form = FloatForm(*registers("f64"), power=2)
    assert form.to_mantissa(struct.pack(">d", 12345.6785)) == 1234568
    assert form.to_mantissa(struct.pack(">d", 90071992547409.91)) == 9007199254740991


def test_a_float_may_stand_in_any_word_order() -> None:
    octets = struct.pack(">f", 230.5)
    for order, wire in {"CDAB": octets[2:] + octets[:2], "DCBA": octets[::-1]}.items():
        form = FloatForm(*registers("f32", order), power=1)
        assert form.to_mantissa(wire) == 2305
        assert form.to_octets(2305) == wire


def test_not_a_number_is_no_value_and_infinity_is_refused() -> None:
    form = FloatForm(*registers("f32", invalid=(b"\x7f\x7f\xff\xff",)), power=2)
    assert form.to_mantissa(struct.pack(">f", float("nan"))) is None
    assert form.to_mantissa(b"\x7f\x7f\xff\xff") is None
    with pytest.raises(NotReadable, match="infinity"):
        form.to_mantissa(struct.pack(">f", float("-inf")))


def test_a_mantissa_beyond_any_float_is_not_written() -> None:
    with pytest.raises(NotReadable):
        FloatForm(*registers("f32"), power=0).to_octets(10**40)


@pytest.mark.parametrize(
    ("wire", "signed", "mantissa"),
    [
        ("26000000", False, 26),
        ("99999999", False, 99_999_999),
        ("67452381", False, 81_234_567),
        ("122500", True, 2512),
        ("122580", True, -2512),
        ("999979", True, 799_999),
    ],
)
def test_bcd_is_read_low_octet_first(wire: str, signed: bool, mantissa: int) -> None:
    form = BcdForm(octets=len(wire) // 2, signed=signed)
    assert form.to_mantissa(bytes.fromhex(wire)) == mantissa
    assert form.to_octets(mantissa) == bytes.fromhex(wire)


def test_the_top_bit_of_an_unsigned_register_is_a_digit() -> None:
    """Reading it as a sign would turn 812345.67 kWh into -12345.67 kWh."""
    assert BcdForm(octets=4, signed=False).to_mantissa(bytes.fromhex("67452381")) == 81_234_567
    assert BcdForm(octets=4, signed=True).to_mantissa(bytes.fromhex("67452381")) == -1_234_567


def test_an_absent_phase_is_no_value() -> None:
    assert BcdForm(octets=3, signed=True).to_mantissa(b"\xff\xff\xff") is None
    assert BcdForm(octets=2, signed=False).to_mantissa(b"\x00\x00") == 0


@pytest.mark.parametrize("wire", ["0A000000", "000000C8", "FFFFFF00"])
def test_octets_that_are_no_digits_are_refused(wire: str) -> None:
    with pytest.raises(NotReadable, match="not BCD"):
        BcdForm(octets=4, signed=False).to_mantissa(bytes.fromhex(wire))


@pytest.mark.parametrize(("mantissa", "signed"), [(100_000_000, False), (-1, False), (80_000_000, True)])
def test_digits_that_do_not_fit_are_not_written(mantissa: int, signed: bool) -> None:
    with pytest.raises(NotReadable, match="8 BCD digits"):
        BcdForm(octets=4, signed=signed).to_octets(mantissa)


def test_a_channel_gets_the_form_of_its_source() -> None:
    def channel(source: ModbusSource) -> Channel:
        return Channel(ENERGY_IMPORT, Unit.KWH, -2, ChannelKind.COUNTER, None, source)

    assert isinstance(form_of(channel(ModbusSource(3, 0, RegisterType.U32))), IntegerForm)
    as_shown = form_of(channel(ModbusSource(3, 0, RegisterType.F32, exponent=-1)))
    assert isinstance(as_shown, FloatForm)
    assert as_shown.to_mantissa(struct.pack(">f", 1234.0)) == 12340  # the register counts tenths of a kWh
