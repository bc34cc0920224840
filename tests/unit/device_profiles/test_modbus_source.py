"""Channels that are more than one plain number: from the file to the decoder and the simulated meter."""

from __future__ import annotations

import struct
from functools import partial

import pytest

from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families.modbus import options_of
from device_profiles.families.modbus_plan import RegisterRange
from device_profiles.framing import codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.errors import ExceptionReply
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Profile, Protocol
from device_profiles.profile_file import profile_from_canonical, profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import DocumentError
from metering.identity import MeterId
from metering.obis import Obis
from metering.toml_source import TomlSource

RTU = Protocol.MODBUS_RTU

HEAD = """\
schema = 1
id = "maker/model"
rev = 1
medium = "electricity"
side = "primary"
evidence = "documents"
names = { zh = "表", en = "Meter" }
sources = [{ title = "Manual", version = "2.1", page = "17" }]
[links.modbus-rtu]
bauds = [9600]
parity = "N"
stop_bits = 1
registers_max = 60
hole_max = 8
reply_ms_max = 300
"""


def profile_of(*channels: str, link: str = "") -> Profile:
    """A profile whose one group has `channels`, each as what follows its OBIS code."""
    tables = [f'[[groups.channels]]\nobis = "1-0:{at}.8.0"\n{text}' for at, text in enumerate(channels, start=1)]
    name = "billing" if any("counter" in text for text in channels) else "status"
    text = HEAD + link + f'[[groups]]\nname = "{name}"\n' + "\n".join(tables)
    return profile_from_toml(TomlSource.parse(text, "model.toml"))


def counter(source: str, *, unit: str = "kWh", exponent: int = -2, more: str = "") -> str:
    """A counter by `source`."""
    return f'unit = "{unit}"\nexponent = {exponent}\nkind = "counter"\n{more}\nmodbus = {{ function = 3, {source} }}\n'


def gauge(source: str, *, unit: str = "V", exponent: int = -1) -> str:
    """A gauge by `source`."""
    return f'unit = "{unit}"\nexponent = {exponent}\nkind = "gauge"\nmodbus = {{ function = 3, {source} }}\n'


def state(source: str) -> str:
    """Some bits."""
    return f'unit = "1"\nexponent = 0\nkind = "state"\nmodbus = {{ function = 3, {source} }}\n'


def decoded(profile: Profile, *bodies: bytes) -> tuple[int | None, ...]:
    """Decode the one group."""
    return decode_group(profile, RTU, profile.groups[0], bodies)


class World:
    """Registers in the order of the channels."""

    def __init__(self, *registers: int) -> None:
        self.registers = registers

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers[obis.c - 1]


def through_frames(profile: Profile, *registers: int) -> tuple[int | None, ...]:
    """Read a simulated meter over frames."""
    meter = SimulatedMeter(MeterId("m-1"), profile, RTU, "5")
    group = profile.groups[0]

    def carry(exchange: Exchange) -> bytes:
        reply = meter.answer(exchange.request, World(*registers))
        assert reply is not None
        return reply

    bodies = [drive(codec_of(RTU).converse("5", read), carry) for read in plan_reads(profile, RTU, group)]
    return decode_group(profile, RTU, group, bodies)


SUM = profile_of(counter('address = 801, type = "f64", added = [805]', unit="Wh", exponent=0))


def test_registers_of_each_tariff_are_added_up() -> None:
    assert plan_reads(SUM, RTU, SUM.groups[0]) == (ModbusRead(3, 801, 8),)
    assert decoded(SUM, struct.pack(">dd", 1000.4, 234.0)) == (1234,)
    assert through_frames(SUM, 987_654_321) == (987_654_321,)


def test_a_sum_with_a_part_that_is_no_number_is_none() -> None:
    assert decoded(SUM, struct.pack(">dd", 1000.0, float("nan"))) == (None,)


DECIMALS = profile_of(counter('address = 0x10, type = "u32", decimals = 0x14, digits = 2, invalid = ["FFFFFFFF"]'))


def test_a_whole_and_a_decimal_part_make_one_number() -> None:
    assert plan_reads(DECIMALS, RTU, DECIMALS.groups[0]) == (ModbusRead(3, 0x10, 5),)
    assert decoded(DECIMALS, struct.pack(">I4xH", 123456, 7)) == (12_345_607,)
    assert decoded(DECIMALS, struct.pack(">I4xH", 0xFFFFFFFF, 7)) == (None,)
    assert through_frames(DECIMALS, 123_456_070) == (12_345_607,)


def test_a_decimal_part_with_too_many_digits_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="a decimal part of 100, where 99 is the most"):
        decoded(DECIMALS, struct.pack(">I4xH", 1, 100))


BITS = profile_of(
    counter('address = 0, type = "u16"', exponent=0),
    state('address = 1, type = "u16", bits = [0, 0]'),
    state('address = 1, type = "u16", bits = [4, 7]'),
)


def test_channels_may_be_bits_of_one_register() -> None:
    assert decoded(BITS, bytes.fromhex("0005 FFA1")) == (5, 1, 0xA)
    assert through_frames(BITS, 5000, 1000, 9000) == (5, 1, 9)


GAUGES = profile_of(
    gauge('address = 0, type = "s16", scale = 3', exponent=-1),
    gauge('address = 1, type = "s16", scale = 3', exponent=-1),
)


def test_a_gauge_by_scale_register_is_rounded_to_its_exponent() -> None:
    assert decoded(GAUGES, struct.pack(">hh2xh", 2305, -2305, -1)) == (2305, -2305)
    assert decoded(GAUGES, struct.pack(">hh2xh", 23055, 23065, -2)) == (2306, 2306)
    assert decoded(GAUGES, struct.pack(">hh2xh", 230, 231, 0)) == (2300, 2310)
    assert through_frames(GAUGES, 230_500, 229_900) == (2305, 2299)


@pytest.mark.parametrize(
    ("kind", "order", "wire", "mantissa"),
    [
        ("u48", "ABCD", "0000 0012 D687", 1_234_567),
        ("u48", "CDAB", "D687 0012 0000", 1_234_567),
        ("bcd32", "ABCD", "0123 4567", 1_234_567),
        ("bcd64", "ABCD", "0000 0000 0123 4567", 1_234_567),
        ("m10k32", "ABCD", "007B 11D7", 1_234_567),
        ("m10k32", "CDAB", "11D7 007B", 1_234_567),
        ("m10k48", "CDAB", "11D7 007B 0000", 1_234_567),
        ("mag32", "ABCD", "0012 D687", 1_234_567),
    ],
)
def test_further_types_are_read_and_simulated(kind: str, order: str, wire: str, mantissa: int) -> None:
    profile = profile_of(counter(f'address = 0, type = "{kind}", order = "{order}"'))
    assert decoded(profile, bytes.fromhex(wire)) == (mantissa,)
    assert through_frames(profile, 10 * mantissa) == (mantissa,)


def test_the_older_canonical_form_stands_for_every_new_key() -> None:
    for profile in (SUM, DECIMALS, BITS, GAUGES):
        again = profile_from_canonical(profile.canonical)
        assert again.groups == profile.groups
        assert again.links == profile.links


FORBID = "forbid = [{ function = 3, first = 0x04, last = 0x05 }]\nshorter = [30, 10]\n"


def test_forbidden_registers_are_not_read_along() -> None:
    channels = (counter('address = 0, type = "u32"'), counter('address = 6, type = "u32"'))
    open_map, closed = profile_of(*channels), profile_of(*channels, link=FORBID)
    assert plan_reads(open_map, RTU, open_map.groups[0]) == (ModbusRead(3, 0, 8),)
    assert plan_reads(closed, RTU, closed.groups[0]) == (ModbusRead(3, 0, 2), ModbusRead(3, 6, 2))
    options = options_of(closed.link(RTU))
    assert (options.forbid, options.shorter) == ((RegisterRange(3, 4, 5),), (30, 10))


def test_the_simulated_meter_refuses_forbidden_registers() -> None:
    profile = profile_of(counter('address = 0, type = "u32"'), link=FORBID)
    meter = SimulatedMeter(MeterId("m-1"), profile, RTU, "5")
    codec = codec_of(RTU)

    def carry(world: World, exchange: Exchange) -> bytes:
        return meter.answer(exchange.request, world) or b""

    assert drive(codec.converse("5", ModbusRead(3, 0, 4)), partial(carry, World(10))) == bytes.fromhex(
        "0000000100000000"
    )
    with pytest.raises(ExceptionReply, match="illegal register address"):
        drive(codec.converse("5", ModbusRead(3, 0, 6)), partial(carry, World(10)))


WRONG = [
    (counter('address = 0, type = "f32", scale = 4'), "", "a float has its power of ten in itself"),
    (counter('address = 0, type = "s32", decimals = 4, digits = 2'), "", "s32 has no decimal part beside it"),
    (counter('address = 0, type = "u32", decimals = 4'), "", "'digits' is missing"),
    (counter('address = 0, type = "u32", digits = 2'), "", "unknown key 'digits'"),
    (
        counter('address = 0, type = "u32", decimals = 4, digits = 2, scale = 5'),
        "",
        "scale and decimals in one channel",
    ),
    (state('address = 0, type = "s16", bits = [0, 3]'), "", "s16 is no pattern of bits"),
    (state('address = 0, type = "u16", bits = [3, 0]'), "", "are no bits"),
    (state('address = 0, type = "u16", bits = [0, 16]'), "", "not only integers from 0 to 15"),
    (counter('address = 1, type = "u32", model = 203'), "", "are its id and length"),
    (counter('address = 0, type = "u32", added = [0xFFFF]'), "", "ends beyond FFFF"),
    (counter('address = 0, type = "u32", added = [90]'), "", "too many for one read"),
    (counter('address = 4, type = "u32"'), FORBID, "are forbidden by the link"),
    (counter('address = 0, type = "u32"'), "shorter = [10, 30]\n", "does not descend from 60"),
    (counter('address = 0, type = "u32"'), "shorter = [60]\n", "does not descend from 60"),
    (counter('address = 0, type = "u32"'), "bases = []\n", "no base address"),
    (counter('address = 0, type = "u32"'), "forbid = [{ function = 3, first = 9, last = 8 }]\n", "8 comes before 9"),
    (counter('address = 0, type = "bcd32"', more="modulus = 100000001"), "", "below 100000000"),
    (counter('address = 0, type = "m10k48"', more="modulus = 1000000000001"), "", "below 1000000000000"),
]


@pytest.mark.parametrize(("channel", "link", "problem"), WRONG, ids=[row[2] for row in WRONG])
def test_a_mistake_is_explained(channel: str, link: str, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        profile_of(channel, link=link)
    assert any(problem in fault.problem for fault in caught.value.faults), caught.value


def test_channels_of_one_scale_register_share_one_exponent() -> None:
    with pytest.raises(DocumentError, match="serves another power of ten above"):
        profile_of(
            gauge('address = 0, type = "s16", scale = 3', exponent=-1),
            gauge('address = 1, type = "s16", scale = 3', exponent=-2),
        )
