"""The decoder: bodies to mantissas and signed mantissas to readings, or ProfileMismatch; never a guess."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import ProfileMismatch, decode_answer, decode_group, register_readings
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead
from metering.identity import MeterId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from metering.reading import MeterReading, ReadQuality

MARK = datetime(2026, 7, 1, tzinfo=UTC)
SDM630 = Catalogue.shipped().by_id("eastron/sdm630")
ADL400 = Catalogue.shipped().by_id("acrel/adl400")
DLT645 = Catalogue.shipped().by_id("dlt645/three-phase")


def decoded(profile: Profile, protocol: Protocol, group: str, *bodies: bytes) -> tuple[int | None, ...]:
    """Decode a group by name."""
    return decode_group(profile, protocol, profile.group(group), bodies)


def reading(profile: Profile, *mantissas: int | None, quality: ReadQuality = ReadQuality.MEASURED) -> MeterReading:
    """A reading of the billing group."""
    return MeterReading(
        meter=MeterId("m-lift"),
        profile_hash=profile.hash,
        group=0,
        started_at=MARK,
        ended_at=MARK + timedelta(milliseconds=40),
        quality=quality,
        mantissas=mantissas,
    )


def test_registers_are_decoded_in_channel_order_across_a_hole() -> None:
    body = struct.pack(">I16xI", 98765432, 100)
    assert decoded(ADL400, Protocol.MODBUS_RTU, "billing", body) == (98765432, 100)


def test_a_float_counter_keeps_the_meters_thousandths() -> None:
    assert decoded(SDM630, Protocol.MODBUS_TCP, "billing", struct.pack(">ff", 12345.678, 0.25)) == (12345678, 250)


def test_each_identifier_brings_its_own_body() -> None:
    bodies = (bytes.fromhex("26000000"), bytes.fromhex("99999999"))
    assert decoded(DLT645, Protocol.DLT645_2007, "billing", *bodies) == (26, 99_999_999)


def test_absent_phases_have_no_value() -> None:
    bodies = (
        bytes.fromhex("0123FFFFFFFF"),
        bytes.fromhex("000500FFFFFFFFFFFF"),
        bytes.fromhex("122580122580FFFFFFFFFFFF"),
        bytes.fromhex("0350"),
    )
    mantissas = decoded(DLT645, Protocol.DLT645_2007, "status", *bodies)
    assert mantissas == (2301, None, None, 500, None, None, -2512, -2512, None, None, 5003)


@pytest.mark.parametrize("lengths", [(), (4,), (4, 4, 4), (4, 3), (4, 5), (0, 4)])
def test_a_missing_long_or_short_body_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ProfileMismatch):
        decoded(DLT645, Protocol.DLT645_2007, "billing", *(bytes(length) for length in lengths))


@pytest.mark.parametrize(
    ("profile", "group", "body", "problem"),
    [
        (SDM630, "billing", struct.pack(">ff", -0.5, 0.0), "mantissa -500 is not within 0"),
        (SDM630, "billing", struct.pack(">ff", 3e38, 0.0), "is not within 0"),
        (SDM630, "billing", struct.pack(">ff", float("inf"), 0.0), "infinity"),
    ],
)
def test_what_the_model_cannot_show_is_refused(profile: Profile, group: str, body: bytes, problem: str) -> None:
    with pytest.raises(ProfileMismatch, match=problem) as caught:
        decoded(profile, Protocol.MODBUS_RTU, group, body)
    assert caught.value.profile_id == profile.id
    assert caught.value.place == "1-0:1.8.0"


def test_swapped_words_are_noticed_by_the_frequency() -> None:
    """A meter set to low word first shows most floats as zero; a meter that runs has no frequency of zero."""
    right = struct.pack(">ffffff", 230.2, 231.5, 229.7, 1.0, 2.0, 3.0)
    rest = struct.pack(">f", 1000.0) + bytes(32) + struct.pack(">f", 50.0)
    assert decoded(SDM630, Protocol.MODBUS_RTU, "status", right, rest)[:3] == (2302, 2315, 2297)
    swapped = [
        b"".join(body[at + 2 : at + 4] + body[at : at + 2] for at in range(0, len(body), 4)) for body in (right, rest)
    ]
    with pytest.raises(ProfileMismatch, match=r"1-0:14\.7\.0: mantissa 0 is not within 4500 to 6600"):
        decoded(SDM630, Protocol.MODBUS_RTU, "status", *swapped)


def test_a_voltage_no_meter_shows_is_refused() -> None:
    rest = struct.pack(">f", 1000.0) + bytes(32) + struct.pack(">f", 50.0)
    with pytest.raises(ProfileMismatch, match="mantissa 4001 is not within 0 to 4000"):
        decoded(SDM630, Protocol.MODBUS_RTU, "status", struct.pack(">f", 400.1) + bytes(20), rest)


def test_digits_that_are_none_are_refused() -> None:
    with pytest.raises(ProfileMismatch, match="not BCD"):
        decoded(DLT645, Protocol.DLT645_2007, "billing", bytes.fromhex("0A000000"), bytes(4))


def test_one_answer_gives_every_channel_it_holds() -> None:
    body = struct.pack(">ff", 1.5, 2.5)
    assert decode_answer(SDM630, ModbusRead(4, 0x48, 4), body) == {ENERGY_IMPORT: 1500, ENERGY_EXPORT: 2500}
    assert decode_answer(SDM630, ModbusRead(4, 0x49, 3), bytes(6)) == {ENERGY_EXPORT: 0}
    assert decode_answer(SDM630, ModbusRead(4, 0x200, 2), bytes(4)) == {}
    with pytest.raises(ProfileMismatch, match="answer of 6 octets"):
        decode_answer(SDM630, ModbusRead(4, 0x48, 4), bytes(6))


def test_a_foreign_answer_holds_no_channel() -> None:
    assert decode_answer(SDM630, Dlt645Read(bytes(4)), bytes(4)) == {}
    assert decode_answer(DLT645, ModbusRead(4, 0x48, 4), bytes(8)) == {}


def test_a_signed_reading_becomes_register_readings() -> None:
    registers = register_readings(DLT645, reading(DLT645, 1234567, None), MARK)
    assert [register.obis for register in registers] == [ENERGY_IMPORT, ENERGY_EXPORT]
    first, second = registers
    assert first.shown is not None
    assert (str(first.shown), first.shown.to_base()) == ("12345.67 kWh", 12_345_670)
    assert second.shown is None
    assert (first.meter, first.mark, first.read_at) == ("m-lift", MARK, MARK + timedelta(milliseconds=40))


@pytest.mark.parametrize("quality", [ReadQuality.NO_ANSWER, ReadQuality.REFUSED, ReadQuality.INVALID])
def test_a_reading_without_mantissas_still_names_its_channels(quality: ReadQuality) -> None:
    registers = register_readings(DLT645, reading(DLT645, quality=quality), None)
    assert [(register.shown, register.quality) for register in registers] == [(None, quality)] * 2


def test_a_late_reading_keeps_its_value() -> None:
    (first, _) = register_readings(DLT645, reading(DLT645, 1, 2, quality=ReadQuality.LATE), MARK)
    assert first.shown is not None
    assert first.quality is ReadQuality.LATE


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (reading(DLT645), "0 mantissas for 2 channels"),
        (reading(DLT645, 1, 2, 3), "3 mantissas for 2 channels"),
        (reading(DLT645, 100_000_000, 0), "is not within 0 to 99999999"),
        (reading(DLT645, 0, -1), "mantissa -1 is not within"),
        (reading(DLT645, 1, 2, quality=ReadQuality.NO_ANSWER), "mantissas beside quality NO_ANSWER"),
        (reading(SDM630, 1, 2), "the reading names profile"),
        (replace(reading(DLT645, 1, 2), group=3), "no channel group 3"),
    ],
)
def test_a_signed_reading_that_does_not_fit_its_profile_is_refused(wrong: MeterReading, problem: str) -> None:
    with pytest.raises(ProfileMismatch, match=problem):
        register_readings(DLT645, wrong, MARK)


def test_tariffs_come_from_one_block() -> None:
    body = bytes.fromhex("30360000 56020000 19000000 38000000 17330000")
    assert decoded(DLT645, Protocol.DLT645_2007, "tariffs", body) == (3630, 256, 19, 38, 3317)
    assert DLT645.group("tariffs").channels[4].obis == Obis.parse("1-0:1.8.4")
