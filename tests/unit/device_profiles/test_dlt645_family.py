"""DL/T 645 profiles: demand with its moment, clock, words, freezes; and what a wrong source table is told."""

from __future__ import annotations

from calendar import timegm
from fractions import Fraction
from pathlib import Path

import pytest

from device_profiles.catalogue import SHIPPED_DIR, Catalogue
from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families import dlt645 as family
from device_profiles.families.dlt645_end import Dlt645Cell, Dlt645End
from device_profiles.families.dlt645_words import STATUS_WORDS, status_told
from device_profiles.families.fixed_layout import Cell
from device_profiles.forms import BcdForm
from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import drive
from device_profiles.framing.dlt645 import (
    ANY_METER,
    CODEC_2007,
    Dlt645Frame,
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
)
from device_profiles.framing.errors import ExceptionReply
from device_profiles.profile import ChannelKind, Profile, Protocol
from device_profiles.profile_file import profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import DocumentError
from metering.identity import MeterId
from metering.obis import Obis
from metering.toml_source import TomlSource

FULL = Catalogue.shipped().by_id("dlt645/three-phase-full")
OLD = Catalogue.shipped().by_id("dlt645-1997/three-phase")
ADDRESS = "202607010001"
MOMENT = timegm((2026, 7, 1, 12, 0, 0))
IMPORT = Obis.parse("1-0:1.8.0")
MOMENTS = {
    channel.obis
    for profile in (FULL, OLD)
    for group in profile.groups
    for channel in group.channels
    if channel.kind is ChannelKind.TIME
}


class World:
    """What the meters truly count, by OBIS code; 0 elsewhere, and None while they are off the bus."""

    def __init__(self) -> None:
        self.registers: dict[Obis, int] = {}
        self.is_off = False

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        if self.is_off:
            return None
        return self.registers.get(obis, MOMENT if obis in MOMENTS else 0)


def meter_of(profile: Profile, protocol: Protocol) -> SimulatedMeter:
    """A simulated meter of a profile."""
    return SimulatedMeter(MeterId("m-1"), profile, protocol, ADDRESS)


def read(meter: SimulatedMeter, group_name: str, world: World) -> dict[str, int | None]:
    """Read a group over real frames, by OBIS code."""
    group = meter.profile.group(group_name)
    bodies = []
    for each in plan_reads(meter.profile, meter.protocol, group):
        conversation = codec_of(meter.protocol).converse(ADDRESS, each)
        bodies.append(drive(conversation, lambda exchange: meter.answer(exchange.request, world) or b""))
    mantissas = decode_group(meter.profile, meter.protocol, group, bodies)
    return {str(channel.obis): mantissa for channel, mantissa in zip(group.channels, mantissas, strict=True)}


@pytest.mark.parametrize(
    ("profile", "protocol"), [(FULL, Protocol.DLT645_2007), (OLD, Protocol.DLT645_1997)], ids=["2007", "1997"]
)
def test_every_group_comes_through_frames(profile: Profile, protocol: Protocol) -> None:
    world = World()
    for at, channel in enumerate(channel for group in profile.groups for channel in group.channels):
        if channel.obis not in MOMENTS:
            least, most = channel.limits
            world.registers[channel.obis] = int((min(max(least, 0) + at, most) + Fraction(1, 2)) / channel.scale)
    meter = meter_of(profile, protocol)
    for group in profile.groups:
        if group.after_freeze:
            meter.answer(next(CODEC_2007.freeze()).request, world)
        shown = read(meter, group.name, world)
        for channel in group.channels:
            register = world.register(MeterId("m-1"), channel.obis)
            assert register is not None
            assert shown[str(channel.obis)] == channel.mantissa_at(register), (group.name, channel.obis)


def test_a_maximum_demand_comes_with_its_moment() -> None:
    world = World()
    world.registers[Obis.parse("1-0:1.6.0")] = 12345
    world.registers[Obis.parse("1-0:1.134.0")] = MOMENT
    shown = read(meter_of(FULL, Protocol.DLT645_2007), "demand", world)
    assert (shown["1-0:1.6.0"], shown["1-0:1.134.0"]) == (123450, MOMENT)


def test_a_clock_is_read_from_two_identifiers_in_one_conversation() -> None:
    for profile, protocol in ((FULL, Protocol.DLT645_2007), (OLD, Protocol.DLT645_1997)):
        assert len(plan_reads(profile, protocol, profile.group("clock"))) == 1
        assert read(meter_of(profile, protocol), "clock", World()) == {"0-0:1.0.0": MOMENT}


def test_a_broadcast_freeze_keeps_one_instant_until_the_next() -> None:
    world, meter = World(), meter_of(FULL, Protocol.DLT645_2007)
    broadcasts = broadcasts_of(Protocol.DLT645_2007)
    assert broadcasts is not None
    freeze = next(broadcasts.freeze()).request
    with pytest.raises(ExceptionReply, match="no such item"):
        read(meter, "frozen", world)
    world.registers[IMPORT] = 1000
    assert meter.answer(freeze, world) is None
    world.registers[IMPORT] = 9990
    assert read(meter, "frozen", world)["1-0:1.8.0"] == 100
    assert read(meter, "billing", world)["1-0:1.8.0"] == 999
    assert meter.answer(freeze, world) is None
    assert read(meter, "frozen", world)["1-0:1.8.0"] == 999


def test_a_single_freeze_is_confirmed_and_another_meters_is_not_heard() -> None:
    world, meter = World(), meter_of(FULL, Protocol.DLT645_2007)
    request = CODEC_2007.build_request(ADDRESS, Dlt645Freeze())
    assert meter.answer(request, world) == CODEC_2007.build_done(ADDRESS, Dlt645Freeze())
    assert meter.answer(CODEC_2007.build_request("202607010002", Dlt645Freeze()), world) is None


def test_a_meter_that_was_off_when_all_froze_has_nothing_new() -> None:
    world, meter = World(), meter_of(FULL, Protocol.DLT645_2007)
    world.is_off = True
    meter.answer(next(CODEC_2007.freeze()).request, world)
    assert meter.answer(CODEC_2007.build_request(ANY_METER, Dlt645ReadAddress()), world) is None
    world.is_off = False
    with pytest.raises(ExceptionReply):
        read(meter, "frozen", world)


@pytest.mark.parametrize(
    ("profile", "protocol"), [(FULL, Protocol.DLT645_2007), (OLD, Protocol.DLT645_1997)], ids=["2007", "1997"]
)
def test_a_simulated_meter_says_its_address(profile: Profile, protocol: Protocol) -> None:
    meter = meter_of(profile, protocol)
    conversation = codec_of(protocol).converse(ANY_METER, Dlt645ReadAddress())
    assert drive(conversation, lambda exchange: meter.answer(exchange.request, World()) or b"").hex() == ADDRESS


def long_end(part_octets: int) -> Dlt645End:
    """A meter with one block of 20 octets, sent in parts."""
    cells = [
        Dlt645Cell(Cell(IMPORT, 4 * at, BcdForm(octets=4, signed=False), 1, 1, None), 20, 0, is_frozen=False)
        for at in range(5)
    ]
    identifier = bytes.fromhex("0001FF00")
    return Dlt645End(CODEC_2007, ADDRESS, IMPORT, lambda _: 12345678, {identifier: cells}, part_octets=part_octets)


@pytest.mark.parametrize("part_octets", [3, 7, 19, 20])
def test_a_simulated_meter_splits_long_answers(part_octets: int) -> None:
    end = long_end(part_octets)
    frames: list[bytes] = []

    def carry(request: bytes) -> bytes:
        reply = end.answer(request)
        assert reply is not None
        frames.append(reply)
        return reply

    body = drive(
        CODEC_2007.converse(ADDRESS, Dlt645Read(bytes.fromhex("0001FF00"))), lambda exchange: carry(exchange.request)
    )
    assert body == bytes.fromhex("78563412") * 5
    assert len(frames) == -(-20 // part_octets)


def test_a_part_that_was_not_announced_is_refused() -> None:
    end = long_end(7)
    follow = bytes.fromhex("0001FF00")[::-1] + b"\x01"
    request = CODEC_2007.build_request(ADDRESS, Dlt645Read(bytes.fromhex("0001FF00")))
    asked = Dlt645Frame(ADDRESS, 0x12, follow).to_wire()
    refused = end.answer(asked)
    assert refused is not None
    assert refused[-4:-2] == bytes((0x01, 0x35))
    end.answer(request)
    going_on = end.answer(asked)
    assert going_on is not None
    assert going_on[12] == 0xB2


def test_an_answer_of_another_length_is_refused_whole() -> None:
    group = FULL.group("tariffs")
    with pytest.raises(ProfileMismatch, match="an answer of 16 octets where 20 belong"):
        decode_group(FULL, Protocol.DLT645_2007, group, [bytes(16)])


def test_a_demand_without_a_moment_keeps_its_number() -> None:
    group = FULL.group("demand")
    bodies = [bytes.fromhex("563412" + "0000000000")] * len(plan_reads(FULL, Protocol.DLT645_2007, group))
    assert decode_group(FULL, Protocol.DLT645_2007, group, bodies)[:2] == (123456, None)


def test_status_bits_are_named_in_both_languages() -> None:
    assert [(bit.zh, bit.en) for bit in status_told(1, 0b100)] == [("时钟电池欠压", "clock battery low")]
    assert [bit.en for bit in status_told(2, 0b10001)] == [
        "phase A: active power reversed",
        "phase A: reactive power reversed",
    ]
    assert [bit.zh for bit in status_told(4, 0b11)] == ["A相失压", "A相欠压"]
    assert [bit.en for bit in status_told(7, 1)] == ["bit 0"]
    assert status_told(3, 0) == ()
    assert len(STATUS_WORDS) == 7
    with pytest.raises(ValueError, match="no status word 8"):
        status_told(8, 0)


TEXT = (SHIPPED_DIR / "dlt645/three-phase-full.toml").read_text(encoding="utf-8")
DEMAND = 'dlt645 = { di = "01010000", octets = 3, at = 0, length = 8 }'
MOMENT_OF_IT = 'dlt645 = { di = "01010000", at = 3, length = 8, layout = "mmhhDDMMYY" }'
CLOCK = 'also = "04000102"'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (DEMAND, DEMAND.replace("at = 0, ", ""), "needs `at` and `length`"),
        (DEMAND, DEMAND.replace("octets = 3", "octets = 3, count = 2"), "beside `index` or `count`"),
        (DEMAND, DEMAND.replace("at = 0", "at = 6"), "no such number"),
        (DEMAND, DEMAND.replace("length = 8", "length = 9"), "was 9 octets above"),
        (DEMAND, DEMAND.replace('"01010000"', '"9010"'), "a data identifier has 8 hex digits"),
        (DEMAND, DEMAND.replace('"01010000"', '"010100"'), "a data identifier has 8 hex digits"),
        (DEMAND, DEMAND.replace("octets = 3", "octets = 3, bits = true"), "a state is of bits"),
        (DEMAND, DEMAND.replace("octets = 3", "octets = 3, bits = true, signed = true"), "bits have no sign"),
        (MOMENT_OF_IT, MOMENT_OF_IT.replace("mmhhDDMMYY", "mmhh"), "is no order of"),
        (MOMENT_OF_IT, 'dlt645 = { di = "01010000", octets = 5, at = 3, length = 8 }', "a moment has a layout"),
        (CLOCK, CLOCK.replace('"04000102"', '"C011"'), "a data identifier has 8 hex digits"),
        ('layout = "WWDDMMYYssmmhh"', 'layout = "WWDDMMYYCCmmhh"', "only a date and a time of day"),
    ],
)
def test_a_wrong_source_table_is_told_with_its_line(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    changed = TEXT.replace(old, new, 1)
    line = changed[: changed.index(new)].count("\n") + 1
    with pytest.raises(DocumentError) as caught:
        profile_from_toml(TomlSource.parse(changed, "full.toml"))
    found = [fault for fault in caught.value.faults if problem in fault.problem]
    assert found, caught.value.faults
    assert any(abs(fault.line - line) <= 8 for fault in found)


def test_the_family_reads_both_editions() -> None:
    assert family.DLT645.protocols == (Protocol.DLT645_2007, Protocol.DLT645_1997)
    assert Path(SHIPPED_DIR / "dlt645-1997").is_dir()
