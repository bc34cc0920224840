"""Link frames, records and numbers of M-Bus: what is right is read exactly, what is not raises FrameError."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from device_profiles.framing.errors import CrcError, ExceptionReply, FrameError
from device_profiles.framing.mbus_frame import (
    REQ_UD2,
    MbusFrame,
    acknowledge_octets,
    answer_octets,
    request_end,
    require_acknowledge,
    scan,
    telegram_in,
    without_echo,
)
from device_profiles.framing.mbus_numbers import bits_in, number_in, octets_of, seconds_in, text_in, time_octets
from device_profiles.framing.mbus_records import (
    Function,
    MbusRecord,
    MbusTelegram,
    manufacturer_letters,
    manufacturer_octets,
    record_of_header,
    telegram_from_user,
)

HEADER = "72 78 56 34 12 B5 35 01 07 55 00 00 00"


def telegram(records: str) -> MbusTelegram:
    """Take a telegram of records apart."""
    return telegram_from_user(bytes.fromhex(HEADER + records))


def record(text: str) -> MbusRecord:
    """Take the one record of a telegram apart."""
    (only,) = telegram(text).records
    return only


def test_the_three_kinds_of_frames_are_written_and_found() -> None:
    short, long = MbusFrame(REQ_UD2, 1), MbusFrame(8, 1, b"\x72\x00")
    assert short.to_wire().hex() == "105b015c16"
    assert long.to_wire().hex() == "68040468080172007b16"
    assert scan(b"\xfe" + short.to_wire() + b"\x00" + long.to_wire()) == ([short, long], b"")


def test_a_checksum_of_16_is_not_taken_for_the_end() -> None:
    frame = MbusFrame(8, 1, bytes((0x72, 0x16 - 8 - 1 - 0x72 & 0xFF)))
    assert frame.to_wire()[-2:] == b"\x16\x16"
    assert telegram_in(frame.to_wire()) == frame


def test_a_frame_that_is_still_arriving_says_how_long_it_will_be() -> None:
    wire = MbusFrame(8, 1, bytes(20)).to_wire()
    for upto in range(4, len(wire)):
        assert answer_octets(wire[:upto]) == len(wire)
    assert answer_octets(wire) == len(wire)
    assert answer_octets(b"") > 0


def test_a_whole_frame_wins_over_noise_that_looks_like_a_start() -> None:
    frame = MbusFrame(8, 1, b"\x72\x01")
    assert telegram_in(b"\x68\x68" + frame.to_wire()) == frame


def test_an_echo_is_left_aside() -> None:
    echo, answer = MbusFrame(REQ_UD2, 1).to_wire(), MbusFrame(8, 1, b"\x72\x01")
    assert telegram_in(echo + answer.to_wire()) == answer
    assert without_echo(echo + b"\xe5") == b"\xe5"
    assert acknowledge_octets(echo) == len(echo) + 1
    assert acknowledge_octets(echo + b"\xe5") == len(echo) + 1
    require_acknowledge(echo + b"\xe5")


@pytest.mark.parametrize("wrong", ["", "e5e5", "e4", "00e5", "105b015c16"])
def test_only_one_lone_acknowledge_is_one(wrong: str) -> None:
    with pytest.raises(FrameError, match="acknowledge"):
        require_acknowledge(bytes.fromhex(wrong))


def test_two_answers_leave_no_doubt_about_which_to_take() -> None:
    wire = MbusFrame(8, 1, b"\x72\x01").to_wire()
    with pytest.raises(FrameError, match="2 answers"):
        telegram_in(wire + wire)


def test_what_is_no_telegram_is_refused() -> None:
    with pytest.raises(CrcError):
        telegram_in(bytes.fromhex("68040468080172007c16"))
    with pytest.raises(FrameError, match="no answer"):
        telegram_in(b"")
    with pytest.raises(FrameError, match="no telegram"):
        telegram_in(MbusFrame(0, 1, b"\x72").to_wire())


def test_the_meters_end_finds_requests_and_not_answers() -> None:
    request = MbusFrame(REQ_UD2, 1).to_wire()
    assert request_end(request + b"\x00", 0) == len(request)
    assert request_end(MbusFrame(8, 1, b"\x72\x01").to_wire(), 0) is None


def test_a_header_is_read() -> None:
    found = telegram("")
    assert (found.identification, found.manufacturer, found.version, found.medium) == ("12345678", "MMU", 1, 7)
    assert (found.access, found.status, found.records, found.more_follows) == (0x55, 0, (), False)


def test_manufacturer_letters_are_written_as_they_are_read() -> None:
    for letters in ("ACW", "KAM", "ZZZ", "AAA"):
        assert manufacturer_letters(manufacturer_octets(letters)) == letters
    assert manufacturer_octets("ACW").hex() == "7704"


def test_extensions_give_storage_tariff_and_subunit() -> None:
    found = record("C4 B1 52 03 01 00 00 00")
    assert (found.function, found.storage, found.tariff, found.subunit) == (Function.INSTANTANEOUS, 67, 7, 2)
    assert str(found) == "energy storage 67 tariff 7 subunit 2"


@pytest.mark.parametrize(
    ("text", "function"),
    [("04", Function.INSTANTANEOUS), ("14", Function.MAXIMUM), ("24", Function.MINIMUM), ("34", Function.DURING_ERROR)],
)
def test_the_function_is_read(text: str, function: Function) -> None:
    assert record(f"{text} 13 01 00 00 00").function is function


UNITS = [
    ("04 03", "energy", "Wh", Fraction(1)),
    ("04 00", "energy", "Wh", Fraction(1, 1000)),
    ("04 07", "energy", "Wh", Fraction(10_000)),
    ("04 08", "energy", "kJ", Fraction(1, 1000)),
    ("04 0E", "energy", "kJ", Fraction(1000)),
    ("04 FB 00", "energy", "Wh", Fraction(100_000)),
    ("04 FB 09", "energy", "kJ", Fraction(1_000_000)),
    ("04 13", "volume", "mL", Fraction(1000)),
    ("04 16", "volume", "mL", Fraction(1_000_000)),
    ("04 FB 10", "volume", "mL", Fraction(100_000_000)),
    ("04 2B", "power", "W", Fraction(1)),
    ("04 33", "power", "W", Fraction(1000, 3600)),
    ("04 3B", "flow", "mL/h", Fraction(1000)),
    ("04 44", "flow", "mL/h", Fraction(60_000)),
    ("04 4C", "flow", "mL/h", Fraction(36_000)),
    ("04 5B", "flow-temperature", "m°C", Fraction(1000)),
    ("04 21", "on-time", "s", Fraction(60)),
    ("04 FD 48", "voltage", "mV", Fraction(100)),
    ("04 FD 59", "amperage", "mA", Fraction(1)),
    ("04 83 70", "energy", "Wh", Fraction(1, 10**6)),
    ("04 83 77", "energy", "Wh", Fraction(10)),
    ("04 83 7D", "energy", "Wh", Fraction(1000)),
]


@pytest.mark.parametrize(("header", "quantity", "base", "factor"), UNITS)
def test_a_unit_is_an_exact_factor(header: str, quantity: str, base: str, factor: Fraction) -> None:
    measure = record(header + " 01 00 00 00").measure
    assert (measure.quantity, measure.base, measure.factor) == (quantity, base, factor)


def test_qualifiers_make_another_register_and_powers_of_ten_do_not() -> None:
    assert record("04 83 3C 01 00 00 00").vib.qualifiers == b"\x3c"
    assert record("04 83 F4 3C 01 00 00 00").vib.qualifiers == b"\x3c"
    assert record("04 83 74 01 00 00 00").vib.qualifiers == b""
    assert record("04 94 FF 74 01 00 00 00").vib.qualifiers == b"\x7f\x74"


def test_a_unit_spelt_as_text_stands_before_its_extensions() -> None:
    found = record("02 FC 03 48 52 25 74 D4 11")
    assert (found.vib.text, found.measure.factor, number_in(found)) == ("%RH", Fraction(1, 100), 4564)


def test_a_record_in_error_says_so() -> None:
    assert record("04 93 15 00 00 00 00").vib.record_error == 0x15
    assert record("04 93 3C 00 00 00 00").vib.record_error == 0
    assert record("04 93 00 07 00 00 00").vib.qualifiers == b""
    assert record("04 93 FF 15 00 00 00 00").vib.record_error == 0


def test_fillers_are_skipped_and_the_makers_own_octets_kept_apart() -> None:
    found = telegram("2F 2F 04 13 01 00 00 00 2F 0F AA BB")
    assert len(found.records) == 1
    assert (found.manufacturer_octets, found.more_follows) == (b"\xaa\xbb", False)
    assert telegram("1F").more_follows


BROKEN = [
    ("04", "ends inside a record"),
    ("04 13 01 00 00", "ends inside a record"),
    ("84", "ends inside a record"),
    ("04 93", "ends inside a record"),
    ("0D 13", "ends inside a record"),
    ("0D 78 05 41", "ends inside a record"),
    ("0D 78 FB 00", "reserved"),
    ("3F", "reserved"),
    ("04 FC 20 41", "ends inside a record"),
    ("84" + " 80" * 11 + " 01 13", "more than 10 extensions"),
    ("04 93" + " 80" * 11 + " 01", "more than"),
]


@pytest.mark.parametrize(("records", "problem"), BROKEN)
def test_a_telegram_that_breaks_off_is_refused_as_a_whole(records: str, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        telegram("04 13 01 00 00 00" + records)


@pytest.mark.parametrize("user", ["72 78 56", "73 00", "7A 00", "51 00"])
def test_a_header_that_is_short_or_unknown_is_refused(user: str) -> None:
    with pytest.raises(FrameError):
        telegram_from_user(bytes.fromhex(user))


@pytest.mark.parametrize("user", [HEADER[:-5] + "00 05 04 13 01 00 00 00", "7A 55 00 10 05 04 13 01 00 00 00"])
def test_an_encrypted_telegram_is_never_read_as_if_it_were_plain(user: str) -> None:
    with pytest.raises(FrameError, match="encrypted"):
        telegram_from_user(bytes.fromhex(user))


def test_an_application_error_is_a_refusal_with_its_meaning() -> None:
    with pytest.raises(ExceptionReply, match="too many records"):
        telegram_from_user(b"\x70\x03")
    with pytest.raises(ExceptionReply, match="does not name"):
        telegram_from_user(b"\x70\x44")
    with pytest.raises(ExceptionReply, match="unspecified"):
        telegram_from_user(b"\x70")


FIXED = "73 78 56 34 12 0A {status} E9 7E 01 00 00 00 35 01 00 00"


def test_the_fixed_structure_gives_two_counters() -> None:
    """The example of the M-Bus documentation: a water meter with 1 L now and 135 L at the fixed date."""
    found = telegram_from_user(bytes.fromhex(FIXED.format(status="00")))
    assert (found.identification, found.medium, found.access) == ("12345678", 7, 10)
    now, stored = found.records
    assert (now.measure.quantity, now.storage, number_in(now)) == ("volume", 0, 1)
    assert (stored.measure.quantity, stored.storage, number_in(stored)) == ("volume", 1, 135)
    assert now.measure.factor == 1000


def test_the_fixed_structure_may_be_binary_and_stored() -> None:
    found = telegram_from_user(bytes.fromhex(FIXED.format(status="03")))
    assert [(each.storage, number_in(each)) for each in found.records] == [(1, 1), (2, 0x135)]


@pytest.mark.parametrize("unit", ["0D", "0E"])
def test_a_unit_on_which_sources_disagree_by_ten_is_not_read(unit: str) -> None:
    found = telegram_from_user(bytes.fromhex(f"73 78 56 34 12 0A 00 {unit} 69 01 00 00 00 35 01 00 00"))
    assert [each.measure.quantity for each in found.records] == ["unknown", "volume"]


def test_numbers_may_come_high_octet_first() -> None:
    user = "76 12 34 56 78 35 B5 01 07 55 00 00 00 04 13 00 00 01 02"
    found = telegram_from_user(bytes.fromhex(user))
    assert (found.identification, found.manufacturer, number_in(found.records[0])) == ("12345678", "MMU", 258)
    fixed = telegram_from_user(bytes.fromhex("77 12 34 56 78 0A 00 E9 7E 00 00 00 01 00 00 01 35"))
    assert [number_in(each) for each in fixed.records] == [1, 135]


def test_telegrams_without_or_with_a_short_header_are_read() -> None:
    assert number_in(telegram_from_user(bytes.fromhex("78 01 13 05")).records[0]) == 5
    found = telegram_from_user(bytes.fromhex("7A 55 04 00 00 01 13 05"))
    assert (found.access, found.status, found.identification, len(found.records)) == (0x55, 4, "", 1)


NUMBERS = [
    ("01 13 FF", -1),
    ("01 13 80", None),
    ("02 13 34 12", 0x1234),
    ("03 13 15 31 00", 0x3115),
    ("04 13 00 00 00 80", None),
    ("06 13 01 00 00 00 00 00", 1),
    ("07 13 FF FF FF FF FF FF FF 7F", 2**63 - 1),
    ("09 13 42", 42),
    ("0C 13 78 56 34 12", 12345678),
    ("0C 13 78 56 34 F2", -2345678),
    ("0C 13 FF FF FF FF", None),
    ("0E 13 12 90 78 56 34 12", 123456789012),
    ("00 13", None),
    ("08 13", None),
    ("05 13 00 00 C0 3F", Fraction(3, 2)),
    ("05 13 00 00 C0 7F", None),
    ("0D 13 C4 78 56 34 12", 12345678),
    ("0D 13 D2 34 12", -1234),
    ("0D 13 E2 FE FF", -2),
    ("0D 13 C0", 0),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_a_number_is_read_exactly(text: str, number: Fraction | int | None) -> None:
    assert number_in(record(text)) == number


@pytest.mark.parametrize(
    "text", ["0C 13 7A 56 34 12", "05 13 00 00 80 7F", "0D 13 02 41 42", "0D 13 C1 1A", "0C 13 DD B4 EB DD"]
)
def test_what_is_no_number_is_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(FrameError):
        number_in(record(text))


@pytest.mark.parametrize(
    ("count", "field"), [(0, 4), (-1, 4), (2**31 - 1, 4), (12345678, 12), (-2345678, 12), (2**40, 6)]
)
def test_a_number_is_written_as_it_is_read(count: int, field: int) -> None:
    header = bytes((field, 0x13))
    assert number_in(record((header + octets_of(count, field)).hex())) == count


@pytest.mark.parametrize(("count", "field"), [(2**31, 4), (10**8, 12), (-12345678, 12), (1, 5), (256, 9)])
def test_a_number_that_does_not_fit_is_refused(count: int, field: int) -> None:
    with pytest.raises(FrameError, match="does not fit"):
        octets_of(count, field)


def seconds(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Give the seconds of a wall-clock moment."""
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


TIMES = [
    ("04 6D 1D 0D 98 11", seconds(2012, 1, 24, 13, 29)),
    ("04 6D 9D 0D 98 11", None),
    ("02 6C FF 2C", seconds(2023, 12, 31)),
    ("02 6C 00 00", None),
    ("04 6D 00 20 61 C1", seconds(2099, 1, 1)),
    ("06 6D 1E 1D 0D 98 11 00", seconds(2012, 1, 24, 13, 29, 30)),
    ("06 6D 1E 9D 0D 98 11 00", None),
]


@pytest.mark.parametrize(("text", "moment"), TIMES)
def test_a_time_is_the_meters_own_wall_clock(text: str, moment: int | None) -> None:
    assert seconds_in(record(text)) == moment


def test_no_moment_is_refused() -> None:
    with pytest.raises(FrameError, match="no moment"):
        seconds_in(record("02 6C 1F 02"))
    with pytest.raises(FrameError, match="holds no time"):
        seconds_in(record("01 6C 01"))


def test_a_time_is_written_as_it_is_read() -> None:
    for moment in (seconds(2026, 11, 23, 6, 5), seconds(2000, 1, 1), seconds(2080, 12, 31, 23, 59)):
        assert seconds_in(record("04 6D" + time_octets(moment).hex())) == moment


def test_bits_and_texts_are_read_as_such() -> None:
    assert bits_in(record("02 FD 17 01 80")) == 0x8001
    assert bits_in(record("00 FD 17")) is None
    assert text_in(record("0D 78 03 43 42 41")) == "ABC"
    with pytest.raises(FrameError, match="bits"):
        bits_in(record("05 FD 17 00 00 00 00"))
    with pytest.raises(FrameError, match="text"):
        text_in(record("01 78 01"))


def test_a_header_alone_is_read_and_nothing_may_follow_it() -> None:
    found = record_of_header(bytes.fromhex("8C 10 04"))
    assert (found.measure.quantity, found.tariff, found.field) == ("energy", 1, 12)
    with pytest.raises(FrameError, match="follows"):
        record_of_header(bytes.fromhex("0C 13 00"))
