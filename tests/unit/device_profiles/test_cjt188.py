"""CJ/T 188: frames between noise, answers that fit their request, units that win over the profile, layouts as data."""

from __future__ import annotations

from calendar import timegm
from dataclasses import replace

import pytest

from device_profiles.catalogue import SHIPPED_DIR, Catalogue
from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families.cjt188_units import factor_of, unit_told
from device_profiles.framing import broadcasts_of, cjt188, codec_of
from device_profiles.framing.cjt188 import Cjt188Frame, Cjt188Read, Cjt188ReadAddress
from device_profiles.framing.cjt188_frame import ANY_METER, WAKE_UP
from device_profiles.framing.conversation import drive
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    CrcError,
    ExceptionReply,
    FrameError,
)
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.profile import Profile, Protocol
from device_profiles.profile_file import profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import DocumentError
from metering.identity import MeterId
from metering.obis import Obis
from metering.toml_source import TomlSource

CATALOGUE = Catalogue.shipped()
METER = "78330011223344"
MOMENT = timegm((2026, 7, 1, 12, 0, 0))
NOW = Cjt188Read(bytes.fromhex("901F"), 0x10, serial=0)
REPLY = bytes.fromhex(
    "68 10 44 33 22 11 00 33 78 81 16 1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84 13 16"
)
BODY = REPLY[14:-2]


def test_a_reply_gives_what_follows_identifier_and_number() -> None:
    assert cjt188.parse_reply(METER, NOW, REPLY) == BODY
    low_first = replace(NOW, di=bytes.fromhex("1F90"))
    assert cjt188.build_reply(METER, low_first, BODY) == WAKE_UP + REPLY


def test_the_identifier_is_asked_as_the_profile_says_and_taken_in_either_order() -> None:
    high, low = cjt188.build_request(METER, NOW), cjt188.build_request(METER, replace(NOW, is_low_first=True))
    assert (high[15:17], low[15:17]) == (bytes.fromhex("901F"), bytes.fromhex("1F90"))
    for identifier in ("901F", "1F90"):
        reply = cjt188.build_reply(METER, replace(NOW, di=bytes.fromhex(identifier)), BODY)
        assert cjt188.parse_reply(METER, NOW, reply) == BODY
    with pytest.raises(AnswerMismatch, match="answer for d120"):
        cjt188.parse_reply(METER, NOW, cjt188.build_reply(METER, replace(NOW, di=bytes.fromhex("D120")), BODY))


def test_each_request_has_the_next_number_and_its_answer_repeats_it() -> None:
    asked = [cjt188.parse_request(next(cjt188.converse(METER, replace(NOW, serial=None))).request)[1] for _ in range(3)]
    first, second, third = (each.serial for each in asked)
    assert first is not None
    assert (second, third) == ((first + 1) & 0xFF, (first + 2) & 0xFF)
    late = cjt188.build_reply(METER, asked[0], BODY)
    with pytest.raises(AnswerMismatch, match=f"answer to request {first}, asked was {second}"):
        cjt188.parse_reply(METER, asked[1], late)
    assert isinstance(asked[1], Cjt188Read)
    assert cjt188.parse_reply(METER, replace(asked[1], repeats_serial=False), late) == BODY


def test_the_answer_of_another_type_is_taken_and_of_another_meter_is_not() -> None:
    assert cjt188.parse_reply(METER, replace(NOW, meter_type=0x20), REPLY) == BODY
    with pytest.raises(AddressMismatch, match="meter 78330011223344"):
        cjt188.parse_reply("78330011223345", NOW, REPLY)
    with pytest.raises(AnswerMismatch, match="2 answers"):
        cjt188.parse_reply(METER, NOW, REPLY + REPLY)
    with pytest.raises(AnswerMismatch, match="0x84"):
        cjt188.parse_reply(METER, NOW, Cjt188Frame(0x10, METER, 0x84, bytes(3)).to_wire())


def test_an_echo_and_noise_before_a_frame_are_skipped() -> None:
    request = cjt188.build_request(METER, NOW)
    for noise in (b"", b"\x00\xff", b"\x68", request, b"\x68" + bytes(9) + b"\xff"):
        assert cjt188.parse_reply(METER, NOW, noise + REPLY) == BODY
    with pytest.raises(FrameError, match="no answer"):
        cjt188.parse_reply(METER, NOW, request)


@pytest.mark.parametrize("at", range(len(REPLY)))
def test_each_changed_octet_is_noticed(at: int) -> None:
    spoilt = bytearray(REPLY)
    spoilt[at] ^= 0x01
    with pytest.raises(FrameError):
        cjt188.parse_reply(METER, NOW, bytes(spoilt))


def test_a_wrong_checksum_is_named() -> None:
    with pytest.raises(CrcError, match="right checksum"):
        cjt188.parse_reply(METER, NOW, REPLY[:-2] + b"\x08\x16")


def test_the_length_of_a_reply_is_predicted_from_what_came() -> None:
    stream = b"\xfe\xfe" + cjt188.build_request(METER, NOW) + b"\xfe" + REPLY
    for received in range(len(stream)):
        assert cjt188.octets_expected(NOW, stream[:received]) > received
    assert cjt188.octets_expected(NOW, stream) == len(stream)


def test_a_refusal_tells_the_status_in_both_languages() -> None:
    for status, told in ((0, "valve open (阀门开)"), (0x05, "valve closed (阀门关), battery low (电池欠压)")):
        with pytest.raises(ExceptionReply) as caught:
            cjt188.parse_reply(METER, NOW, cjt188.build_exception(METER, NOW, status))
        assert caught.value.code == status
        assert str(caught.value).endswith(told)
    with pytest.raises(ExceptionReply, match=r"valve faulty .* maker's bits 0x2200"):
        cjt188.parse_reply(METER, NOW, cjt188.build_exception(METER, NOW, 0x2203))
    with pytest.raises(FrameError, match="number and a status word"):
        cjt188.parse_reply(METER, NOW, Cjt188Frame(0x10, METER, 0xC1, b"\0").to_wire())


def test_an_address_has_fourteen_digits() -> None:
    assert cjt188.check_address("20691530F1FFFF") == "20691530F1FFFF"
    for wrong in (ANY_METER, "7833001122334", "783300112233441", "78330011223g44", "20691530f1ffff", ""):
        with pytest.raises(AddressInvalid):
            cjt188.check_address(wrong)


def test_what_the_meters_end_does_not_know_is_no_request() -> None:
    for frame in (
        REPLY,
        b"",
        Cjt188Frame(0x10, METER, 0x04, bytes(3)).to_wire(),
        Cjt188Frame(0x10, METER, 1, b"").to_wire(),
    ):
        with pytest.raises(FrameError):
            cjt188.parse_request(frame)


def test_a_request_is_found_on_a_shared_line() -> None:
    request = cjt188.build_request(METER, NOW).lstrip(b"\xfe")
    ends = request_ends((Protocol.CJT188_2004, Protocol.MODBUS_RTU))
    assert split_requests(b"\xfe\xfe" + request + b"\x00", ends) == ([request], b"\x00")


def test_there_is_no_broadcast_in_this_protocol() -> None:
    assert broadcasts_of(Protocol.CJT188_2004) is None
    assert codec_of(Protocol.CJT188_2004) is codec_of(Protocol.CJT188_2018)


class World:
    """Registers by OBIS code [base units]; the moment for clocks."""

    def __init__(self, registers: dict[str, int]) -> None:
        self.registers = {Obis.parse(obis): register for obis, register in registers.items()}

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers.get(obis, MOMENT if str(obis) == "0-0:1.0.0" else 0)


def read(profile: Profile, group_name: str, registers: dict[str, int], protocol: Protocol) -> dict[str, int | None]:
    """Read a group of a simulated meter over real frames, by OBIS code."""
    meter = SimulatedMeter(MeterId("m-1"), profile, protocol, METER)
    group, world = profile.group(group_name), World(registers)
    bodies = [
        drive(codec_of(protocol).converse(METER, each), lambda exchange: meter.answer(exchange.request, world) or b"")
        for each in plan_reads(profile, protocol, group)
    ]
    mantissas = decode_group(profile, protocol, group, bodies)
    return {str(channel.obis): mantissa for channel, mantissa in zip(group.channels, mantissas, strict=True)}


@pytest.mark.parametrize("protocol", [Protocol.CJT188_2004, Protocol.CJT188_2018])
@pytest.mark.parametrize(
    ("profile_id", "obis", "register", "mantissa"),
    [
        ("cjt188/cold-water", "8-0:1.0.0", 1_234_567_890_000, 123456789 - 100_000_000),
        ("cjt188/hot-water", "9-0:1.0.0", 123_456_789, 12345),
        ("cjt188/gas", "7-0:3.0.0", 123_456_789, 12345),
        ("cjt188/heat-kwh", "6-0:1.0.0", 36 * 54_427_88 + 35, 5442788),
        ("cjt188/heat-kwh-unit-first", "6-0:1.0.0", 36 * 532_819, 532819),
        ("cjt188/heat-mwh", "6-0:1.0.0", 36_000 * 127 + 35_999, 127),
        ("cjt188/heat-mwh-unit-first", "6-0:1.0.0", 36_000 * (10**8 + 2), 2),
        ("cjt188/heat-gj", "6-0:1.0.0", 10_000 * 1234, 1234),
    ],
)
def test_a_counter_comes_through_frames_as_the_model_shows_it(
    profile_id: str, obis: str, register: int, mantissa: int, protocol: Protocol
) -> None:
    profile = CATALOGUE.by_id(profile_id)
    assert read(profile, "billing", {obis: register}, protocol)[obis] == mantissa
    for group in profile.groups:
        assert set(read(profile, group.name, {}, protocol).values()) <= {0, MOMENT}


def test_a_simulated_meter_says_its_address_and_refuses_what_it_has_not() -> None:
    meter = SimulatedMeter(MeterId("m-1"), CATALOGUE.by_id("cjt188/heat-gj"), Protocol.CJT188_2004, METER)

    def ask(address: str, read: Cjt188Read | Cjt188ReadAddress) -> bytes:
        return drive(cjt188.converse(address, read), lambda exchange: meter.answer(exchange.request, World({})) or b"")

    assert ask(ANY_METER, Cjt188ReadAddress()).hex() == METER
    with pytest.raises(ExceptionReply):
        ask(METER, Cjt188Read(bytes.fromhex("D120"), 0x20))
    assert meter.answer(cjt188.build_request("78330011223345", NOW), World({})) is None
    assert len(ask(METER, Cjt188Read(bytes.fromhex("1F90"), 0x20, is_low_first=True))) == 43


HEAT = CATALOGUE.by_id("cjt188/heat-kwh")
STATUS = HEAT.group("status")
HEAT_BODY = bytearray.fromhex(
    "00000000 05 88274405 05 50120000 17 25010000 35 08567100 2C 792600 642600 664707 11521703092520 0005"
)


def status_of(at: int, unit: int) -> dict[str, int | None]:
    """Decode the status group of a heat meter with another unit octet at a place."""
    body = bytearray(HEAT_BODY)
    body[at] = unit
    mantissas = decode_group(HEAT, Protocol.CJT188_2004, STATUS, [bytes(body)])
    return {str(channel.obis): mantissa for channel, mantissa in zip(STATUS.channels, mantissas, strict=True)}


@pytest.mark.parametrize(("unit", "watts"), [(0x14, "12.50"), (0x17, "12500.00"), (0x1A, "12500000.00")])
def test_the_unit_in_the_answer_wins_for_what_does_not_roll_over(unit: int, watts: str) -> None:
    assert status_of(14, unit)["6-0:8.0.0"] == int(watts.replace(".", ""))


def test_a_counter_in_another_unit_is_refused_for_it_would_roll_over_elsewhere() -> None:
    assert status_of(24, 0x2C)["6-0:2.0.0"] == 715608
    with pytest.raises(ProfileMismatch, match=r"counts in L .*, this profile in m3"):
        status_of(24, 0x29)


@pytest.mark.parametrize("unit", [0x00, 0x05, 0x2C, 0x99, 0xFF])
def test_a_unit_of_another_kind_or_unknown_is_never_guessed(unit: int) -> None:
    with pytest.raises(ProfileMismatch, match="cannot become W"):
        status_of(14, unit)


def test_a_field_of_ff_has_no_value_whatever_its_unit() -> None:
    body = bytearray(HEAT_BODY)
    body[10:15] = b"\xff" * 5
    body[25:28] = b"\xff" * 3
    mantissas = decode_group(HEAT, Protocol.CJT188_2004, STATUS, [bytes(body)])
    assert (mantissas[1], mantissas[3], mantissas[4]) == (None, None, 2664)


def test_an_answer_of_another_length_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="19 octets where 43 belong"):
        decode_group(HEAT, Protocol.CJT188_2004, STATUS, [bytes(19)])


def test_unit_octets_are_exact() -> None:
    assert factor_of(0x05, "kJ") == 3600
    assert factor_of(0x05, "Wh") == 1000
    assert factor_of(0x08, "kJ") == 3_600_000
    assert factor_of(0x02, "kJ") == factor_of(0x01, "kJ") * 3600  # type: ignore[operator]
    assert factor_of(0x13, "kJ") == 100 * factor_of(0x11, "kJ")  # type: ignore[operator]
    assert (factor_of(0x29, "mL"), factor_of(0x2C, "mL")) == (1000, 1_000_000)
    assert (factor_of(0x32, "mL/h"), factor_of(0x35, "mL/h")) == (1000, 1_000_000)
    assert factor_of(0x2C, "kJ") is None
    assert factor_of(0x05, "m°C") is None
    assert (unit_told(0x11), unit_told(0x42)) == ("GJ (0x11)", "an unknown unit (0x42)")


TEXT = (SHIPPED_DIR / "cjt188/heat-kwh.toml").read_text(encoding="utf-8")
NUMBER = 'cjt188 = { di = "901F", length = 43, at = 5, octets = 4, unit_at = 9, unit = "05", decimals = 2 }'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (NUMBER, NUMBER.replace("at = 5", "at = 41"), "the number ends beyond the answer"),
        (NUMBER, NUMBER.replace("unit_at = 9", "unit_at = 8"), "the unit octet stands within the number"),
        (NUMBER, NUMBER.replace("unit_at = 9", "unit_at = 43"), "the unit octet stands within the number or beyond"),
        (NUMBER, NUMBER.replace('"901F"', '"90"'), "a data identifier has 4 hex digits"),
        (NUMBER, NUMBER.replace('unit = "05"', 'unit = "2C"'), "which cannot become kWh(heat)"),
        (NUMBER, NUMBER.replace("decimals = 2", "decimals = 3"), "is no whole number of the channel's steps"),
        (
            NUMBER,
            NUMBER.replace("octets = 4", "octets = 3").replace("at = 5", "at = 6"),
            "can show only mantissas below",
        ),
        (NUMBER, NUMBER.replace("length = 43", "length = 42"), "octets above"),
        (NUMBER, NUMBER.replace("octets = 4", "octets = 4, binary = true, bits = true"), "exclude each other"),
        ("octets = 2, bits = true", "octets = 2, binary = true", "a state is of bits"),
        ("octets = 3 }", "octets = 3, binary = true }", "a binary number has 2, 4, 8 octets"),
        ('layout = "ssmmhhDDMMYYCC"', "octets = 7", "a moment has a layout"),
        ('layout = "ssmmhhDDMMYYCC"', 'layout = "ssmmhhDDMMYYXX"', "is no order of"),
        ('meter_type = "20"', 'meter_type = "2020"', "a meter type is one octet"),
        ('identifier_order = "1F90"', 'identifier_order = "F901"', "'F901' is not known"),
    ],
)
def test_a_wrong_source_table_is_told_with_its_line(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    changed = TEXT.replace(old, new, 1)
    with pytest.raises(DocumentError) as caught:
        profile_from_toml(TomlSource.parse(changed, "heat.toml"))
    found = [fault for fault in caught.value.faults if problem in fault.problem]
    assert found, caught.value.faults
    assert all(fault.line > 1 for fault in found)


VENDOR = """
schema = 1
id = "maker/vendor-layout"
rev = 1
medium = "water"
side = "primary"
evidence = "documents"
names = { zh = "厂家自定义布局", en = "A maker's own layout" }
sources = [{ title = "a sheet of the maker" }]

[links.cjt188-2004]
bauds = [2400]
parity = "E"
stop_bits = 1
meter_type = "10"
identifier_order = "901F"
repeats_serial = false
reply_ms_max = 500

[[groups]]
name = "billing"

[[groups.channels]]
obis = "8-0:1.0.0"
unit = "L"
exponent = 0
kind = "counter"
modulus = 100000000
cjt188 = { di = "901F", length = 19, at = 0, octets = 4, unit_at = 4, unit = "29", decimals = 0 }

[[groups.channels]]
obis = "8-0:2.0.0"
unit = "L/h"
exponent = 0
kind = "gauge"
cjt188 = { di = "901F", length = 19, at = 5, octets = 4, binary = true }

[[groups.channels]]
obis = "0-0:1.0.0"
unit = "s"
exponent = 0
kind = "time"
cjt188 = { di = "901F", length = 19, at = 10, layout = "CCYYMMDDhhmmss" }
"""


def test_a_makers_own_layout_is_data() -> None:
    """A public answer whose unit is the litre and whose moment begins with the century; the flow is made up."""
    profile = profile_from_toml(TomlSource.parse(VENDOR, "vendor.toml"))
    reads = plan_reads(profile, Protocol.CJT188_2004, profile.groups[0])
    reply = bytes.fromhex(
        "FEFEFEFE 68 10 437632510000 00 81 16 901F 00 47700100 29 51480100 29 20200528205824 0000 A7 16"
    )
    body = drive(cjt188.converse("00000051327643", reads[0]), lambda _: reply)
    moment = timegm((2020, 5, 28, 20, 58, 24))
    assert decode_group(profile, Protocol.CJT188_2004, profile.groups[0], [body]) == (17047, 0x00014851, moment)


def test_a_number_finer_than_the_channel_is_refused_and_never_rounded() -> None:
    """Without a modulus any unit is taken, as long as it comes out whole: 17047 L are, 170.47 L are not."""
    text = VENDOR.replace("modulus = 100000000\n", "").replace(
        'unit = "29", decimals = 0', 'unit = "2C", decimals = %d'
    )
    body = bytes.fromhex("47700100 29 51480100 29 20200528205824 0000")
    litres = profile_from_toml(TomlSource.parse(text % 0, "litres.toml"))
    assert decode_group(litres, Protocol.CJT188_2004, litres.groups[0], [body])[0] == 17047
    hundredths = profile_from_toml(TomlSource.parse(text % 2, "hundredths.toml"))
    with pytest.raises(ProfileMismatch, match="no whole number of 10"):
        decode_group(hundredths, Protocol.CJT188_2004, hundredths.groups[0], [body])
