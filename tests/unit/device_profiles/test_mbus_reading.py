"""Reading M-Bus meters: addresses, the conversation, its safeguards, and the search for secondary addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.mbus_end import MbusEnd
from device_profiles.families.mbus_source import own_source
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    ExceptionReply,
    FrameError,
)
from device_profiles.framing.mbus import MbusRead, body_of, check_address, converse, telegrams_in
from device_profiles.framing.mbus_address import MbusAddress, matches, secondary_of
from device_profiles.framing.mbus_frame import ACKNOWLEDGE, MbusFrame, scan
from device_profiles.framing.mbus_records import telegram_from_user
from device_profiles.framing.mbus_search import FoundMeters, Search, search
from device_profiles.profile import Profile
from metering.errors import MeterError
from metering.obis import Obis

WATER = Catalogue.shipped().by_id("mbus/water")
HEADER = bytes.fromhex("72 78 56 34 12 B5 35 01 07 55 00 00 00")


def end(address: str, register: int | None = 54_321_000) -> MbusEnd:
    """Give a simulated water meter."""
    return MbusEnd(WATER, address, lambda _: register, 7)


def line_of(*ends: MbusEnd) -> Callable[[bytes], bytes]:
    """Join meters to one line, where several answers at once overlay each other as currents do."""

    def carry(request: bytes) -> bytes:
        replies = [reply for each in ends if (reply := each.answer(request)) is not None]
        if not replies:
            return b""
        joined = replies[0]
        for reply in replies[1:]:
            joined = bytes(a & b for a, b in zip(joined, reply, strict=False))
        return joined

    return carry


def read(address: str, *replies: bytes, telegrams: int = 1, media: tuple[int, ...] = ()) -> bytes:
    """Hold the conversation of one read with fixed replies."""
    at: Iterator[bytes] = iter(replies)
    return drive(converse(address, MbusRead(telegrams, media)), lambda _: next(at))


def answer(records: str = "", address: int = 1, header: bytes = HEADER) -> bytes:
    """Give a telegram as octets on the line."""
    return MbusFrame(8, address, header + bytes.fromhex(records)).to_wire()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0", "0"),
        ("250", "250"),
        ("254", "254"),
        ("12345678", "12345678FFFFFFFF"),
        ("1234567fACW", None),
        ("12345678770416 07".replace(" ", ""), "1234567877041607"),
        ("FFFFFFFF", "FFFFFFFFFFFFFFFF"),
        ("251", None),
        ("253", None),
        ("255", None),
        ("01", None),
        ("", None),
        ("123456789", None),
        ("-1", None),
    ],
)
def test_an_address_is_primary_or_secondary(text: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(AddressInvalid, match="M-Bus address"):
            check_address(text)
    else:
        assert check_address(text) == written


def test_a_mask_leaves_digits_open_one_by_one_and_the_rest_only_as_a_whole() -> None:
    meter = "1234567877040E16"
    assert matches("12FFFFFFFFFFFFFF", meter)
    assert matches("123456787704FFFF", meter)
    assert matches("FFFFFFFFFFFF0EFF", meter)
    assert not matches("13FFFFFFFFFFFFFF", meter)
    assert not matches("12345678FFFF0FFF", meter)
    assert not matches("12345678F704FFFF", meter)


def test_a_header_gives_the_secondary_address() -> None:
    assert secondary_of(telegram_from_user(HEADER)) == "12345678B5350107"
    assert MbusAddress.parse("12345678B5350107").mask.hex() == "78563412b5350107"
    assert secondary_of(telegram_from_user(bytes.fromhex("78"))) == "F" * 16


def test_a_primary_read_resets_the_link_and_asks_with_the_frame_count_bit() -> None:
    sent: list[str] = []

    def carry(exchange: Exchange) -> bytes:
        sent.append(exchange.request.hex())
        reply = ACKNOWLEDGE if len(sent) == 1 else answer("01 13 05")
        assert exchange.octets_expected(reply) == len(reply)
        assert exchange.check is not None
        exchange.check(reply)
        return reply

    body = drive(converse("1", MbusRead()), carry)
    assert sent == ["1040014116", "107b017c16"]
    assert [record.octets for telegram in telegrams_in(body) for record in telegram.records] == [b"\x05"]


def test_a_secondary_read_selects_and_checks_who_answers() -> None:
    meter = end("12345678")
    line = line_of(meter, end("12345679"))
    body = drive(converse("12345678", MbusRead()), lambda exchange: line(exchange.request))
    assert [secondary_of(telegram) for telegram in telegrams_in(body)] == [meter.secondary]
    with pytest.raises(AddressMismatch, match="12345678"):
        read("12345679", ACKNOWLEDGE, answer(address=0))


def test_an_answer_from_another_address_is_refused() -> None:
    with pytest.raises(AddressMismatch, match="from address 2"):
        read("1", ACKNOWLEDGE, answer(address=2))
    assert read("254", ACKNOWLEDGE, answer(address=2))


def test_a_meter_of_another_medium_is_refused() -> None:
    with pytest.raises(AnswerMismatch, match="medium is 0x07"):
        read("1", ACKNOWLEDGE, answer(), media=(4, 12))
    assert read("1", ACKNOWLEDGE, answer(), media=(7,))


def test_a_line_without_acknowledge_is_not_read() -> None:
    with pytest.raises(FrameError, match="no acknowledge"):
        read("1", b"\x00", answer())


def test_a_busy_meter_refuses() -> None:
    busy = bytes.fromhex("68 04 04 68 08 01 70 08 81 16")
    with pytest.raises(ExceptionReply, match="busy"):
        read("1", ACKNOWLEDGE, busy)


def test_further_telegrams_are_asked_with_the_bit_changed_each_time() -> None:
    sent: list[int] = []
    replies = iter([ACKNOWLEDGE, answer("01 13 01 1F"), answer("01 13 02 1F"), answer("01 13 03")])

    def carry(exchange: Exchange) -> bytes:
        sent.append(scan(exchange.request)[0][0].control)
        return next(replies)

    body = drive(converse("1", MbusRead(9)), carry)
    assert sent == [0x40, 0x7B, 0x5B, 0x7B]
    assert [record.octets[0] for telegram in telegrams_in(body) for record in telegram.records] == [1, 2, 3]


def test_reading_ends_after_as_many_telegrams_as_the_profile_wants() -> None:
    body = read("1", ACKNOWLEDGE, answer("01 13 01 1F"), answer("01 13 02 1F"), telegrams=2)
    assert len(list(telegrams_in(body))) == 2


def test_a_telegram_that_comes_twice_is_not_taken_for_two() -> None:
    """The meter missed the change of the frame count bit and sent its last telegram again."""
    with pytest.raises(AnswerMismatch, match="twice"):
        read("1", ACKNOWLEDGE, answer("01 13 01 1F"), answer("01 13 01 1F"), telegrams=2)


@pytest.mark.parametrize("body", [b"\x05abc", b"\x00", b"\x02\x72"])
def test_a_cut_body_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        list(telegrams_in(body))
    assert body_of([b"\x78", b"\x78"]) == b"\x01\x78\x01\x78"


def test_the_meters_end_repeats_its_telegram_until_the_bit_changes() -> None:
    many = replace_source(200)
    meter = MbusEnd(many, "1", lambda _: 1, 7)
    first = meter.answer(MbusFrame(0x7B, 1).to_wire())
    assert first == meter.answer(MbusFrame(0x7B, 1).to_wire())
    assert first != meter.answer(MbusFrame(0x5B, 1).to_wire())
    assert meter.answer(MbusFrame(0x40, 1).to_wire()) == ACKNOWLEDGE


def replace_source(count: int) -> Profile:
    """Give the water profile with `count` more channels, so that it takes several telegrams."""
    group = WATER.groups[0]
    channel = group.channels[0]
    source = own_source(channel.source)
    more = tuple(
        replace(channel, obis=Obis(8, 0, 1, 0, 0, at), source=replace(source, storage=at)) for at in range(count)
    )
    return replace(WATER, groups=(replace(group, channels=more),))


def test_a_meter_with_several_telegrams_is_read_whole() -> None:
    meter = MbusEnd(replace_source(100), "1", lambda obis: 7_000_000 + obis.f, 7)
    body = drive(converse("1", MbusRead(64)), lambda exchange: meter.answer(exchange.request) or b"")
    telegrams = list(telegrams_in(body))
    assert [telegram.more_follows for telegram in telegrams] == [True] * (len(telegrams) - 1) + [False]
    assert len(telegrams) > 2
    assert [record.storage for telegram in telegrams for record in telegram.records] == list(range(100))


def test_the_meters_end_keeps_silent_where_it_is_not_meant() -> None:
    meter = end("1")
    assert meter.answer(b"") is None
    assert meter.answer(MbusFrame(0x7B, 2).to_wire()) is None
    assert meter.answer(MbusFrame(0x7B, 253).to_wire()) is None
    assert meter.answer(MbusFrame(0x53, 1, b"\x51").to_wire()) is None
    assert end("1", None).answer(MbusFrame(0x40, 1).to_wire()) is None


def outcome_of(hunt: Search, carry: Callable[[MbusFrame], bytes]) -> FoundMeters:
    """Carry a search out to its end."""
    try:
        frame = next(hunt)
        while True:
            frame = hunt.send(carry(frame))
    except StopIteration as ended:
        found: FoundMeters = ended.value
        return found


def found_on(*ends: MbusEnd, certain: bool = False) -> FoundMeters:
    """Search a line."""
    line = line_of(*ends)
    return outcome_of(search(certain=certain), lambda frame: line(frame.to_wire()))


def test_a_search_finds_every_meter_on_the_line() -> None:
    identifications = ["00000001", "12345678", "12399999", "55550000", "99999999"]
    found = found_on(*(end(each) for each in identifications))
    assert [each[:8] for each in found.meters] == identifications
    assert found.unresolved == []


def test_a_search_of_an_empty_line_takes_one_selection() -> None:
    assert found_on() == FoundMeters(selections=1)


def test_one_meter_is_found_by_one_selection() -> None:
    assert found_on(end("12345678")) == FoundMeters(["12345678B5350107"], [], 1)


def test_meters_with_one_identification_are_told_and_not_mixed() -> None:
    found = found_on(end("55550000"), end("55550000AE4C0107"), end("00000001"))
    assert [each[:8] for each in found.meters] == ["00000001"]
    assert found.unresolved == ["55550000"]


def test_a_certain_search_finds_a_meter_that_another_one_covers() -> None:
    """Two telegrams that overlay each other to one with a right checksum: the lower digits differ by one bit."""
    ends = [end("12345678"), end("12345679")]
    assert len(found_on(*ends).meters) == 1
    certain = found_on(*ends, certain=True)
    assert [each[:8] for each in certain.meters] == ["12345678", "12345679"]


def test_noise_instead_of_an_acknowledge_is_looked_into() -> None:
    """Somebody answers, but not understandably: the mask is searched digit by digit and reported."""
    asked: list[MbusFrame] = []

    def carry(frame: MbusFrame) -> bytes:
        asked.append(frame)
        return b"\x55" if len(asked) == 1 else b""

    assert outcome_of(search("1234567"), carry) == FoundMeters([], ["1234567"], 11)


def test_whatever_comes_back_the_search_ends() -> None:
    found = outcome_of(search("123456"), lambda frame: b"\xe5" if frame.user else b"\x68\x03")
    assert found.selections == 111
    assert len(found.unresolved) == 100


def test_errors_are_of_the_meters_family() -> None:
    for error in (AddressMismatch, AnswerMismatch, FrameError, ExceptionReply):
        assert issubclass(error, MeterError)
