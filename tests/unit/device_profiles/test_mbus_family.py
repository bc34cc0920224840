"""From M-Bus records to mantissas: exact, by the unit the meter sends, refused where anything is in doubt."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families.mbus import MBUS, MbusOptions, mantissa_in
from device_profiles.families.mbus_source import MbusSource, count_size
from device_profiles.forms import NotReadable
from device_profiles.framing.mbus import MbusRead, body_of
from device_profiles.framing.mbus_records import Function, telegram_from_user
from device_profiles.framing.mbus_vib import QUANTITIES, Measure
from device_profiles.profile import Channel, ChannelKind, Profile, Protocol, ReadRequest
from device_profiles.profile_file import profile_from_toml
from device_profiles.read_plan import plan_reads
from metering.errors import DocumentError
from metering.obis import Obis
from metering.quantity import Unit
from metering.toml_source import TomlSource

HEADER = "72 78 56 34 12 B5 35 01 07 55 10 00 00"
VOLUME = Obis.parse("8-0:1.0.0")


def channel(
    unit: Unit = Unit.M3, exponent: int = -3, kind: ChannelKind = ChannelKind.COUNTER, **source: Any
) -> Channel:
    """Give a channel kept in a record."""
    return Channel(VOLUME, unit, exponent, kind, None, MbusSource(**({"quantity": "volume"} | source)))


def read(records: str, of: Channel) -> int | None:
    """Read a channel from a telegram of records."""
    body = body_of([bytes.fromhex(HEADER + records)])
    return MBUS.reader(MbusRead(), of)(body)


@pytest.mark.parametrize(
    ("records", "mantissa"),
    [
        ("0C 13 78 56 34 12", 12_345_678),
        ("04 13 39 30 00 00", 12_345),
        ("04 14 39 30 00 00", 123_450),
        ("04 16 39 30 00 00", 12_345_000),
        ("04 96 73 39 30 00 00", 12_345),
        ("04 FB 10 02 00 00 00", 200_000),
        ("04 13 00 00 00 80", None),
    ],
)
def test_the_unit_of_the_record_is_brought_to_the_channels(records: str, mantissa: int | None) -> None:
    assert read(records, channel()) == mantissa


@pytest.mark.parametrize("records", ["04 12 39 30 00 00", "04 12 00 00 00 00", "04 10 0A 00 00 00"])
def test_a_counter_finer_than_its_channel_is_refused_at_any_number(records: str) -> None:
    """A zero would fit, but the next litre would not: a profile that reads it by chance would fail in the field."""
    with pytest.raises(NotReadable, match="one count of the meter"):
        read(records, channel())


def test_a_gauge_is_rounded_once_to_its_exponent() -> None:
    flow = channel(Unit.M3_PER_H, -3, ChannelKind.GAUGE, quantity="flow")
    assert read("04 38 DC 05 00 00", flow) == 2  # 1.5 L/h, ties to even
    assert read("02 2B 01 00 02 44 01 00", channel(Unit.M3_PER_H, -3, ChannelKind.GAUGE, quantity="flow")) == 60


def test_a_float_is_rounded_once() -> None:
    assert read("05 16 00 00 C0 3F", channel()) == 1500


@pytest.mark.parametrize(
    ("unit", "exponent", "records", "mantissa"),
    [
        (Unit.HEAT_KWH, -2, "0C 06 31 52 04 00", 4_523_100),
        (Unit.GJ, -6, "0C 0E 31 52 04 00", 45_231_000),
        (Unit.GJ, -6, "0C 06 10 00 00 00", 36_000),
        (Unit.KJ, 0, "04 05 01 00 00 00", 360),
        (Unit.KWH, -3, "0C 06 01 00 00 00", 1000),
        (Unit.HEAT_KWH, 0, "04 FB 00 01 00 00 00", 100),
    ],
)
def test_heat_is_read_in_either_unit(unit: Unit, exponent: int, records: str, mantissa: int) -> None:
    assert read(records, channel(unit, exponent, quantity="energy")) == mantissa


def test_joules_are_not_forced_into_kilowatt_hours() -> None:
    with pytest.raises(NotReadable, match="one count"):
        read("0C 0E 31 52 04 00", channel(Unit.HEAT_KWH, -2, quantity="energy"))


def test_a_unit_that_does_not_convert_is_refused() -> None:
    with pytest.raises(NotReadable, match="the meter counts mL, the profile kWh"):
        read("04 13 01 00 00 00", channel(Unit.KWH, 0))
    assert count_size(Measure("energy", "kJ", Fraction(18, 5)), channel(Unit.WH, 0)) == 1


def test_only_the_record_that_is_meant_is_taken() -> None:
    records = "44 13 07 00 00 00 14 13 08 00 00 00 84 10 13 09 00 00 00 84 40 13 0A 00 00 00 04 93 3C 0B 00 00 00"
    assert read(records, channel(storage=1)) == 7
    assert read(records, channel(function=Function.MAXIMUM)) == 8
    assert read(records, channel(tariff=1)) == 9
    assert read(records, channel(subunit=1)) == 10
    assert read(records, channel(qualifiers=b"\x3c")) == 11
    with pytest.raises(NotReadable, match="no record volume"):
        read(records, channel())


def test_a_stored_register_is_never_taken_for_the_present_one() -> None:
    with pytest.raises(NotReadable, match="storage 1"):
        read("44 13 07 00 00 00", channel())


def test_two_records_that_fit_are_refused_unless_the_profile_says_which() -> None:
    records = "04 13 07 00 00 00 02 13 08 00"
    with pytest.raises(NotReadable, match="2 records"):
        read(records, channel())
    assert read(records, channel(nth=1)) == 8
    assert read(records, channel(header=bytes.fromhex("0213"))) == 8


def test_tariffs_are_summed_where_the_meter_sends_no_total() -> None:
    rates = "8C 10 04 93 02 00 00 8C 20 04 06 00 00 00"
    assert read(rates, channel(Unit.WH, 0, quantity="energy", tariffs=(1, 2))) == 2990
    assert read("04 03 FF 00 00 00" + rates, channel(Unit.WH, 0, quantity="energy", tariffs=(1, 2))) == 2990
    assert read("04 03 FF 00 00 00" + rates, channel(Unit.WH, 0, quantity="energy")) == 255


def test_a_tariff_that_the_profile_does_not_know_is_never_left_unbilled() -> None:
    rates = "8C 10 04 93 02 00 00 8C 20 04 06 00 00 00"
    with pytest.raises(NotReadable, match="counts energy tariff 2 besides"):
        read(rates, channel(Unit.WH, 0, quantity="energy", tariffs=(1,)))
    with pytest.raises(NotReadable, match="no record energy"):
        read(rates, channel(Unit.WH, 0, quantity="energy", tariffs=(1, 2, 3)))
    stored = "8C 11 04 93 02 00 00 8C 10 04 07 00 00 00"
    assert read(stored, channel(Unit.WH, 0, quantity="energy", tariffs=(1,))) == 70


def test_a_tariff_without_number_leaves_the_sum_without() -> None:
    rates = "8C 10 04 93 02 00 00 8C 20 04 FF FF FF FF"
    assert read(rates, channel(Unit.WH, 0, quantity="energy", tariffs=(1, 2))) is None


def test_a_missing_record_is_an_error_for_a_counter_and_no_value_for_the_rest() -> None:
    with pytest.raises(NotReadable, match="it sent none"):
        read("", channel())
    assert read("", channel(Unit.M3_PER_H, -3, ChannelKind.GAUGE, quantity="flow")) is None


def test_a_record_in_error_has_no_value() -> None:
    assert read("04 93 15 07 00 00 00", channel()) is None


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(NotReadable, match="not BCD"):
        read("0C 13 7A 56 34 12", channel())


def test_state_and_time_are_read_from_records_and_header() -> None:
    state = channel(Unit.ONE, 0, ChannelKind.STATE, quantity="error-flags")
    assert read("02 FD 17 01 80", state) == 0x8001
    assert read("", channel(Unit.ONE, 0, ChannelKind.STATE, quantity="status")) == 0x10
    time = channel(Unit.S, 0, ChannelKind.TIME, quantity="date-time")
    assert read("04 6D 1D 0D 98 11", time) == 1_327_411_740
    assert read("04 6D 9D 0D 98 11", time) is None


@pytest.mark.parametrize("body", [b"", b"\x02\x70\x08", b"\x05abc"])
def test_a_body_without_telegram_is_refused(body: bytes) -> None:
    with pytest.raises(NotReadable):
        MBUS.reader(MbusRead(), channel())(body)


def test_a_telegram_without_header_has_no_status() -> None:
    telegrams = (telegram_from_user(b"\x78"),)
    source = MbusSource("status")
    assert mantissa_in(telegrams, source, channel(Unit.ONE, 0, ChannelKind.STATE, quantity="status")) is None


PROFILE = """schema = 1
id = "maker/model"
rev = 1
medium = "water"
side = "primary"
evidence = "documents"
[names]
zh = "表"
en = "meter"
[[sources]]
title = "a document"
[links.mbus]
bauds = [2400]
parity = "E"
stop_bits = 1
reply_ms_max = 500
telegrams = 3
media = [7]
[[groups]]
name = "billing"
atomic = true
[[groups.channels]]
obis = "8-0:1.0.0"
unit = "m3"
exponent = -3
kind = "counter"
mbus = { quantity = "volume" }
"""


def profile_of(tmp_path: Path, old: str = "", new: str = "") -> Profile:
    """Read the profile, changed in one place."""
    assert old in PROFILE
    path = tmp_path / "model.toml"
    path.write_text(PROFILE.replace(old, new), encoding="utf-8")
    return profile_from_toml(TomlSource.read(path))


def test_a_profile_says_how_many_telegrams_and_which_media(tmp_path: Path) -> None:
    profile = profile_of(tmp_path)
    assert profile.link(Protocol.MBUS).options == MbusOptions(3, (7,))
    assert plan_reads(profile, Protocol.MBUS, profile.group("billing")) == (MbusRead(3, (7,)),)
    unnamed = profile_of(tmp_path, "telegrams = 3\nmedia = [7]\n")
    assert plan_reads(unnamed, Protocol.MBUS, unnamed.group("billing")) == (MbusRead(1, (7, 21, 22, 6, 5)),)


SOURCE = '{ quantity = "volume" }'
FAULTS = [
    (SOURCE, '{ quantity = "volumes" }', 27, "is not known here"),
    (SOURCE, '{ quantity = "unknown" }', 27, "is not known here"),
    (SOURCE, '{ quantity = "volume", storage = -1 }', 27, "not within"),
    (SOURCE, '{ quantity = "volume", function = "mean" }', 27, "is not known here"),
    (SOURCE, '{ quantity = "volume", tarif = 1 }', 27, "unknown key"),
    (SOURCE, '{ header = "84" }', 27, "no record begins like this"),
    (SOURCE, '{ header = "0C 13 00" }', 27, "no record begins like this"),
    (SOURCE, '{ header = "0C 06" }', 22, "the record counts Wh, the channel m3"),
    (SOURCE, '{ header = "0C 12" }', 22, "choose a finer exponent"),
    (f"mbus = {SOURCE}", 'modulus = 1000000001\nmbus = { header = "0C 13" }', 22, "only mantissas below 100000000"),
    (SOURCE, '{ quantity = "status" }', 22, "status octet of the header is a state"),
    ("telegrams = 3", "telegrams = 65", 17, "not within"),
    ("media = [7]", "media = [256]", 18, "not only integers"),
]


@pytest.mark.parametrize(("old", "new", "line", "problem"), FAULTS)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        profile_of(tmp_path, old, new)
    assert [(fault.line, problem in fault.problem) for fault in caught.value.faults] == [(line, True)]


def test_a_bcd_register_may_roll_over_where_its_digits_end(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, f"mbus = {SOURCE}", 'modulus = 100000000\nmbus = { header = "0C 13" }')
    (only,) = profile.group("billing").channels
    assert only.limits == (0, 99_999_999)


def test_what_was_not_asked_is_not_covered() -> None:
    assert MBUS.covers(MbusRead(), channel())
    assert not MBUS.covers(ReadRequest(), channel())


def test_a_group_is_decoded_from_one_body(tmp_path: Path) -> None:
    profile = profile_of(tmp_path)
    group = profile.group("billing")
    body = body_of([bytes.fromhex(HEADER + "0C 13 78 56 34 12")])
    assert decode_group(profile, Protocol.MBUS, group, [body]) == (12_345_678,)
    with pytest.raises(ProfileMismatch, match="maker/model rev 1"):
        decode_group(profile, Protocol.MBUS, group, [body_of([bytes.fromhex(HEADER)])])


def test_every_quantity_has_its_own_name() -> None:
    assert len(QUANTITIES) == len(set(QUANTITIES))
    assert {"energy", "volume", "power", "flow", "voltage", "amperage", "humidity"} <= set(QUANTITIES)
