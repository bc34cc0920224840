"""IEC 62056-21 mode C: the session, its checks, and printed numbers as exact mantissas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.iec62056_21 import IEC62056_21, Iec62056Options, Mode, options_of
from device_profiles.families.iec62056_21_source import Form, Iec62056Source
from device_profiles.forms import NotReadable
from device_profiles.framing.conversation import Exchange, SecretMissing, drive
from device_profiles.framing.errors import AddressInvalid, AnswerMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.framing.iec62056_21 import (
    ACK,
    ETX,
    NAK,
    SOH,
    STX,
    BlockCheck,
    Iec62056Read,
    acknowledge_octets,
    block_in,
    block_octets,
    check_address,
    converse,
    identification_in,
    line_octets,
    named,
    request_end,
    with_check,
)
from device_profiles.framing.iec62056_lines import TEXT_OCTETS_MAX, Entry, data_sets
from device_profiles.profile import Channel, ChannelKind, Profile, Protocol, ReadRequest
from device_profiles.profile_file import profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import DocumentError
from metering.identity import MeterId
from metering.obis import Obis
from metering.quantity import Unit
from metering.toml_source import TomlSource

ENERGY = Obis.parse("1-0:1.8.0")
IDENTIFICATION = b"/MTR5METER\r\n"


def block(content: bytes, check: BlockCheck = BlockCheck.XOR) -> bytes:
    """Give a data block."""
    return with_check(STX + content + ETX, check)


def held(read: Iec62056Read, *replies: bytes) -> tuple[bytes, list[Exchange]]:
    """Hold a session with fixed replies; gives the body and the exchanges."""
    at: Iterator[bytes] = iter(replies)
    exchanges: list[Exchange] = []

    def carry(exchange: Exchange) -> bytes:
        exchanges.append(exchange)
        return next(at) if exchange.expects_reply else b""

    return drive(converse("12345678", read), carry), exchanges


def test_a_read_out_signs_on_changes_speed_and_reads_one_block() -> None:
    body, exchanges = held(Iec62056Read(), IDENTIFICATION, block(b"1.8.0(1*kWh)\r\n!\r\n"))
    assert body == b"1.8.0(1*kWh)\r\n!\r\n"
    assert [exchange.request for exchange in exchanges] == [b"/?12345678!\r\n", b"\x06050\r\n"]
    assert [exchange.baud for exchange in exchanges] == [None, 9600]
    assert [exchange.pause_ms for exchange in exchanges] == [0, 200]
    assert [exchange.octet_pause_ms for exchange in exchanges] == [1500, 1500]


def test_a_meter_may_stay_at_one_speed_and_react_fast() -> None:
    _, exchanges = held(Iec62056Read(switches=False), b"/MTr3X\r\n", block(b"!"))
    assert [exchange.baud for exchange in exchanges] == [None, None]
    assert exchanges[1].request == b"\x06030\r\n"
    assert exchanges[1].pause_ms == 20


def test_names_are_asked_one_after_another_and_the_meter_is_released() -> None:
    read = Iec62056Read(("1.8.0", "2.8.0"))
    p0 = with_check(SOH + b"P0" + STX + b"(0)" + ETX, BlockCheck.XOR)
    body, exchanges = held(read, IDENTIFICATION, p0, block(b"1.8.0(1*kWh)"), block(b"2.8.0(2*kWh)"))
    assert [entry.text for each in data_sets(body) for entry in each.entries] == ["1", "2"]
    assert exchanges[1].request == b"\x06051\r\n"
    assert exchanges[-1].request == b"\x01B0\x03q"
    assert not exchanges[-1].expects_reply


def test_a_password_comes_from_the_key_folder_and_nowhere_else() -> None:
    p0 = with_check(SOH + b"P0" + STX + b"(0)" + ETX, BlockCheck.XOR)
    with pytest.raises(SecretMissing, match="password"):
        held(Iec62056Read(("1.8.0",), password=True), IDENTIFICATION, p0)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ((b"MTR5METER\r\n",), FrameError),
        ((b"/MTRxMETER\r\n",), AnswerMismatch),
        ((IDENTIFICATION, NAK), ExceptionReply),
        ((IDENTIFICATION, block(b"!")[:-1] + b"\x00"), CrcError),
        ((IDENTIFICATION, b"1.8.0(1)"), FrameError),
        ((IDENTIFICATION, b""), FrameError),
    ],
)
def test_a_session_that_goes_wrong_is_an_error(replies: tuple[bytes, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        held(Iec62056Read(), *replies)


def test_programming_mode_begins_with_p0_and_answers_by_name() -> None:
    p0 = with_check(SOH + b"P0" + STX + b"(0)" + ETX, BlockCheck.XOR)
    with pytest.raises(AnswerMismatch, match="P0"):
        held(Iec62056Read(("1.8.0",)), IDENTIFICATION, block(b"1.8.0(1)"))
    with pytest.raises(AnswerMismatch, match=r"answer for 2\.8\.0"):
        held(Iec62056Read(("1.8.0",)), IDENTIFICATION, p0, block(b"2.8.0(1)"))
    with pytest.raises(ExceptionReply, match=r"refuses 1\.8\.0: \(01\)"):
        held(Iec62056Read(("1.8.0",)), IDENTIFICATION, p0, block(b"(01)"))
    with pytest.raises(FrameError, match="no number"):
        named("1.8.0", b"ERROR")


@pytest.mark.parametrize("text", ["*", "12345678", "A 1", "0" * 32])
def test_an_address_is_letters_and_digits(text: str) -> None:
    assert check_address(text) == text


@pytest.mark.parametrize("text", ["", "0" * 33, "1!", "ü", "1\r\n"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        check_address(text)


def test_the_end_of_a_line_and_of_a_block_is_known_as_it_arrives() -> None:
    assert [line_octets(IDENTIFICATION[:at]) for at in (0, 5, 11)] == [1, 6, 12]
    assert line_octets(IDENTIFICATION) == len(IDENTIFICATION)
    wire = block(b"1.8.0(1)")
    assert block_octets(wire[:-1]) == len(wire)
    assert block_octets(wire) == len(wire)
    assert block_octets(NAK) == acknowledge_octets(ACK) == acknowledge_octets(b"") == 1
    assert acknowledge_octets(wire) == len(wire)
    with pytest.raises(FrameError):
        line_octets(bytes(65))
    with pytest.raises(FrameError):
        block_octets(bytes(TEXT_OCTETS_MAX + 1))


def test_the_two_check_octets_differ() -> None:
    assert block(b"1.8.0(1)") != block(b"1.8.0(1)", BlockCheck.SUM)
    with pytest.raises(CrcError):
        block_in(block(b"1.8.0(1)"), BlockCheck.SUM)


def test_an_identification_is_maker_speed_and_text() -> None:
    found = identification_in(b"/LGZ4\\2ZMD310\r\n")
    assert (found.maker, found.baud, found.text) == ("LGZ", 4800, "\\2ZMD310")
    assert identification_in(b"/ABCA\r\n").baud is None


def test_the_meters_end_finds_its_requests() -> None:
    for request in (b"/?!\r\n", b"/?12!\r\n", b"\x06050\r\n", b"\x01B0\x03q"):
        assert request_end(b"\x00" + request + b"\x00", 1) == 1 + len(request)
        assert request_end(request[:-1], 0) is None


def test_data_sets_stand_as_printed() -> None:
    found = data_sets(b"6.8(0255.987*GJ)6.26(02458.16*m3)\r\n9.4(098.5*C&096.1*C)\r\nX(1)\r\n(2)\r\n(3.0,4.0)\r\n!\r\n")
    assert [(each.name, [(entry.text, entry.unit) for entry in each.entries]) for each in found] == [
        ("6.8", [("0255.987", "GJ")]),
        ("6.26", [("02458.16", "m3")]),
        ("9.4", [("098.5", "C"), ("096.1", "C")]),
        ("X", [("1", ""), ("2", ""), ("3.0", ""), ("4.0", "")]),
    ]
    assert data_sets(b"") == ()
    assert data_sets(b"(01)")[0].name == ""


@pytest.mark.parametrize(
    ("printed", "texts"),
    [
        (b"(00123,4*kWh)", ["00123,4"]),
        (b"(-3,4)", ["-3,4"]),
        (b"(1,2,3)", ["1", "2", "3"]),
        (b"(1.5,2)", ["1.5", "2"]),
        (b"(1*kWh,2*kWh)", ["1", "2"]),
    ],
)
def test_a_comma_that_may_be_a_decimal_one_parts_nothing(printed: bytes, texts: list[str]) -> None:
    """Read as a list, 00123,4 kWh would be billed as 123 kWh."""
    assert [entry.text for entry in data_sets(b"1.8.0" + printed)[0].entries] == texts


def channel(
    unit: Unit = Unit.KWH, exponent: int = -3, kind: ChannelKind = ChannelKind.COUNTER, **source: Any
) -> Channel:
    """Give a channel on a line."""
    return Channel(ENERGY, unit, exponent, kind, None, Iec62056Source(**({"name": "1.8.0"} | source)))


def read(lines: bytes, of: Channel) -> int | None:
    """Read a channel from a read-out."""
    return IEC62056_21.reader(Iec62056Read(), of)(lines)


@pytest.mark.parametrize(
    ("lines", "mantissa"),
    [
        (b"1.8.0(0012345.678*kWh)", 12_345_678),
        (b"1.8.0(0012345.678)", 12_345_678),
        (b"1.8.0(12*MWh)", 12_000_000),
        (b"1.8.0(12*wh)", 12),
        (b"1.8.0(12.*kWh)", 12_000),
        (b"1.8.0(-1.5*kWh)", -1500),
        (b"1.8.0(0.0010*kWh)", 1),
        (b"1.8.0()", None),
        (b"1.8.0(----)", None),
    ],
)
def test_a_printed_number_is_read_exactly(lines: bytes, mantissa: int | None) -> None:
    assert read(lines, channel()) == mantissa


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (b"1.8.0(0.0001*kWh)", "not a whole mantissa"),
        (b"1.8.0(1*kvarh)", "prints kvarh, the profile reads kWh"),
        (b"1.8.0(1*furlong)", "unit 'furlong' is not known"),
        (b"1.8.0(1e3*kWh)", "is not a number"),
        (b"1.8.0(1 2*kWh)", "is not a number"),
        (b"1.8.0(00123,4*kWh)", "is not a number"),
        (b"1.8.0*01(1*kWh)", "stands 0 times"),
        (b"1.8.0(1*kWh)\r\n1.8.0(2*kWh)", "stands 2 times"),
        (b"", "stands 0 times in the read-out, which has nothing"),
    ],
)
def test_what_is_in_doubt_is_refused(lines: bytes, problem: str) -> None:
    with pytest.raises(NotReadable, match=problem.replace("(", r"\(")):
        read(lines, channel())


def test_an_entry_is_taken_by_its_index() -> None:
    lines = b"ET0PE(68.42)\r\n(45.54)\r\n(22.88)\r\n"
    assert [read(lines, channel(name="ET0PE", index=at)) for at in (0, 1, 2)] == [68_420, 45_540, 22_880]
    with pytest.raises(NotReadable, match="none at index 3"):
        read(lines, channel(name="ET0PE", index=3))


def test_heat_counts_in_watt_hours_or_joules() -> None:
    assert read(b"6.8(0255.987*GJ)", channel(Unit.GJ, -3, name="6.8")) == 255_987
    assert read(b"6.8(0029.055*MWh)", channel(Unit.HEAT_KWH, 0, name="6.8")) == 29_055
    assert read(b"6.8(1*kWh)", channel(Unit.KJ, 0, name="6.8")) == 3600
    with pytest.raises(NotReadable, match="prints GJ"):
        read(b"1.8.0(1*GJ)", channel(Unit.KWH, 0))


def test_states_and_times_are_read() -> None:
    state = channel(Unit.ONE, 0, ChannelKind.STATE, name="F", form=Form.HEX)
    assert read(b"F(1A)", state) == 26
    for wrong in (b"F(XY)", b"F(1_A)", b"F(-1)", b"F(0x1)", b"F(0123456789ABCDEF)"):
        with pytest.raises(NotReadable, match="not hex"):
            read(wrong, state)
    time = channel(Unit.S, 0, ChannelKind.TIME, name="9.36", form=Form.TIME)
    for printed in (b"9.36(2012-01-24&13:29:00)", b"9.36(120124132900)", b"9.36(1201241329)"):
        lines = printed.replace(b"&", b" ")
        assert read(lines, time) == 1_327_411_740
    for wrong in (b"9.36(99)", b"9.36(20121324132900)"):
        with pytest.raises(NotReadable):
            read(wrong, time)


def test_a_session_covers_the_names_it_asked() -> None:
    asked = channel()
    assert IEC62056_21.covers(Iec62056Read(), asked)
    assert IEC62056_21.covers(Iec62056Read(("1.8.0",)), asked)
    assert not IEC62056_21.covers(Iec62056Read(("2.8.0",)), asked)
    assert not IEC62056_21.covers(ReadRequest(), asked)


PROFILE = """schema = 1
id = "maker/model"
rev = 1
medium = "electricity"
side = "primary"
evidence = "documents"
[names]
zh = "表"
en = "meter"
[[sources]]
title = "a document"
[links.iec62056-21]
bauds = [300]
parity = "E"
stop_bits = 1
data_bits = 7
reply_ms_max = 1500
mode = "names"
check = "sum"
[[groups]]
name = "billing"
[[groups.channels]]
obis = "1-0:1.8.0"
unit = "kWh"
exponent = -2
kind = "counter"
iec62056-21 = { name = "ET0PE" }
[[groups.channels]]
obis = "1-0:1.8.1"
unit = "kWh"
exponent = -2
kind = "counter"
iec62056-21 = { name = "ET0PE", index = 1 }
"""


def profile_of(tmp_path: Path, old: str = "", new: str = "") -> Profile:
    """Read the profile, changed in one place."""
    assert old in PROFILE
    path = tmp_path / "model.toml"
    path.write_text(PROFILE.replace(old, new, 1), encoding="utf-8")
    return profile_from_toml(TomlSource.read(path))


def test_a_profile_in_programming_mode_asks_each_name_once(tmp_path: Path) -> None:
    profile = profile_of(tmp_path)
    link = profile.link(Protocol.IEC62056_21)
    assert options_of(link) == Iec62056Options(Mode.NAMES, BlockCheck.SUM, switches=True, password=False)
    assert link.serial is not None
    assert link.serial.data_bits == 7
    assert plan_reads(profile, Protocol.IEC62056_21, profile.groups[0]) == (
        Iec62056Read(("ET0PE",), BlockCheck.SUM, switches=True, password=False),
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ('mode = "names"', 'mode = "all"', 18, "is not known here"),
        ('check = "sum"', 'check = "crc"', 19, "is not known here"),
        ('mode = "names"', "password = true", 12, "a read-out takes no password"),
        ('name = "ET0PE" }', "index = 1 }", 27, "'name' is missing"),
        ('name = "ET0PE" }', 'name = "ET0PE", form = "hex" }', 22, "form hex does not give a counter"),
        ('name = "ET0PE" }', 'name = "ET0PE", form = "time" }', 22, "form time does not give a counter"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        profile_of(tmp_path, old, new)
    assert [(fault.line, problem in fault.problem) for fault in caught.value.faults] == [(line, True)]


class World:
    """Registers that are all alike; None while the meter is off the line."""

    def __init__(self, register: int | None) -> None:
        self.register_now = register

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        del meter, obis
        return self.register_now


def simulated(profile: Profile, address: str = "12345678") -> SimulatedMeter:
    """Give the meter's end."""
    return SimulatedMeter(MeterId("m"), profile, Protocol.IEC62056_21, address)


def test_the_meters_end_answers_in_either_mode(tmp_path: Path) -> None:
    world = World(12_345_670)
    for profile in (profile_of(tmp_path), Catalogue.shipped().by_id("iec62056-21/electricity-full")):
        meter, group = simulated(profile), profile.groups[0]
        (planned,) = plan_reads(profile, Protocol.IEC62056_21, group)
        body = drive(
            converse("12345678", planned), lambda exchange, meter=meter: meter.answer(exchange.request, world) or b""
        )
        per_kwh = 10 ** -group.channels[0].exponent
        assert decode_group(profile, Protocol.IEC62056_21, group, [body]) == (12_345_670 * per_kwh // 1000,) * 2


def test_the_meters_end_is_silent_until_it_is_signed_on(tmp_path: Path) -> None:
    meter, world = simulated(profile_of(tmp_path)), World(1)
    assert meter.answer(b"\x06050\r\n", world) is None
    assert meter.answer(b"/?87654321!\r\n", world) is None
    assert meter.answer(b"/?!\r\n", World(None)) is None
    assert meter.answer(b"/?!\r\n", world) == b"/MTR5SIMULATED\r\n"


def test_the_meters_end_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    meter, world = simulated(profile_of(tmp_path)), World(1)
    meter.answer(b"/?12345678!\r\n", world)
    assert meter.answer(b"\x06051\r\n", world) == with_check(b"\x01P0\x02(00000000)\x03", BlockCheck.SUM)
    assert meter.answer(with_check(b"\x01P1\x02(1)\x03", BlockCheck.SUM), world) == ACK
    assert meter.answer(with_check(b"\x01R1\x02XX()\x03", BlockCheck.SUM), world) == block(b"(01)", BlockCheck.SUM)
    assert meter.answer(b"\x01R1\x02ET0PE()\x03\x00", world) == NAK
    assert meter.answer(with_check(b"\x01W1\x02ET0PE(1)\x03", BlockCheck.SUM), world) == NAK
    assert meter.answer(with_check(b"\x01B0\x03", BlockCheck.SUM), world) is None
    assert meter.answer(b"\x06051\r\n", world) is None


def test_an_entry_keeps_text_and_unit_apart() -> None:
    assert data_sets(b"a(1*kWh)")[0].entries == (Entry("1", "kWh"),)
