"""Meters that are not set as their line, what they show of themselves, and shortened addresses."""

from __future__ import annotations

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import codec_of, dlt645_frame
from device_profiles.framing.conversation import drive
from device_profiles.framing.dlt645 import Dlt645Read
from device_profiles.identification import is_serial, signs_of, with_identity
from device_profiles.living_registers import LivingRegisters
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from metering.identity import MeterId

CATALOGUE = Catalogue.shipped()
SDM = CATALOGUE.by_id("eastron/sdm120")
SDM_READ = plan_reads(SDM, Protocol.MODBUS_RTU, SDM.groups[0])[0]
SDM_REQUEST = next(codec_of(Protocol.MODBUS_RTU).converse("1", SDM_READ)).request


def meter_at(speed: Speed | None, profile_id: str = "eastron/sdm120", serial: int | None = None) -> LineMeter:
    """One meter of a model, set as told."""
    profile = CATALOGUE.by_id(profile_id)
    protocol = next(iter(profile.links))
    address = {Protocol.DLT645_2007: "000012345678", Protocol.IEC62056_21: "12345678"}.get(protocol, "1")
    registers = LivingRegisters(profile, "seed", 1_782_864_000)
    return LineMeter(SimulatedMeter(MeterId("m-1"), profile, protocol, address, serial), registers, speed=speed)


def answers(own: Speed, gateway: Speed, meter: LineMeter | None = None) -> bool:
    """Whether a meter with its own settings answers a gateway with others."""
    meter = meter or meter_at(own)
    line = TimedLine([meter], Speed(9600), "seed")
    line.set_speed(gateway)
    profile, protocol = meter.meter.profile, meter.meter.protocol
    read = plan_reads(profile, protocol, profile.groups[0])[0]
    line.hear(next(codec_of(protocol).converse(meter.meter.address, read)).request, 0.0)
    return line.next_due_s is not None


@pytest.mark.parametrize(
    ("own", "gateway", "heard"),
    [
        (Speed(9600, "N"), Speed(9600, "N"), True),
        (Speed(9600, "N"), Speed(9600, "N", 2), True),
        (Speed(9600, "N"), Speed(9600, "E"), False),
        (Speed(9600, "O"), Speed(9600, "E"), False),
        (Speed(2400, "E"), Speed(9600, "E"), False),
        (Speed(2400, "E"), Speed(2400, "E"), True),
    ],
)
def test_a_meter_hears_a_gateway_that_is_set_as_it_is_and_no_other(own: Speed, gateway: Speed, heard: bool) -> None:
    assert answers(own, gateway) is heard


def test_a_meter_set_as_its_line_hears_always() -> None:
    assert answers(Speed(0), Speed(1200, "O"), meter_at(None))


def test_a_meter_that_offered_a_speed_is_heard_at_it() -> None:
    own = Speed(300, "E", 1, 7)
    meter = meter_at(own, "iec62056-21/electricity-full")
    assert answers(own, own, meter)
    assert not answers(own, Speed(2400, "E"), meter)
    assert meter.hears(b"\x06050\r\n", Speed(9600, "E"))
    assert not meter.hears(b"/?!\r\n", Speed(9600, "E"))


def test_octets_take_the_time_of_the_speed_that_the_gateway_has_set() -> None:
    times = []
    for baud in (2400, 9600):
        line = TimedLine([meter_at(Speed(baud))], Speed(9600), "seed")
        line.set_speed(Speed(baud))
        line.hear(
            next(
                codec_of(Protocol.MODBUS_RTU).converse("1", plan_reads(SDM, Protocol.MODBUS_RTU, SDM.groups[0])[0])
            ).request,
            0.0,
        )
        times.append(line.next_due_s)
    assert times[0] == pytest.approx(9 * 10 / 2400 + 0.03)
    assert times[1] == pytest.approx(9 * 10 / 9600 + 0.03)


def test_half_a_request_at_one_speed_is_none_with_the_rest_at_another() -> None:
    line = TimedLine([meter_at(Speed(9600))], Speed(9600), "seed")
    request = next(
        codec_of(Protocol.MODBUS_RTU).converse("1", plan_reads(SDM, Protocol.MODBUS_RTU, SDM.groups[0])[0])
    ).request
    line.hear(request[:4], 0.0)
    line.set_speed(Speed(2400))
    line.set_speed(Speed(9600))
    line.hear(SDM_REQUEST[4:], 1.0)
    assert line.next_due_s is None


def shown(meter: LineMeter, number: int) -> int | None:
    """What a simulated meter shows where one of its signs is read."""
    profile, protocol = meter.meter.profile, meter.meter.protocol
    sign = signs_of(profile)[number]
    whole = with_identity(profile)
    (read,) = plan_reads(whole, protocol, sign.group)
    conversation = codec_of(protocol).converse(meter.meter.address, read)
    body = drive(conversation, lambda exchange: meter.meter.answer(exchange.request, meter.registers) or b"")
    return decode_group(whole, protocol, sign.group, [body])[0]


def test_a_simulated_meter_shows_its_model_and_its_number_where_its_profile_reads_them() -> None:
    meter = meter_at(None, "abb/b23", 30_012_345)
    assert [shown(meter, 0), shown(meter, -1)] == [1_110_586_144, 30_012_345]
    assert shown(meter_at(None, "dlt645/three-phase-full", 2_600_001), -1) == 2_600_001


def test_every_sign_of_a_model_fits_its_own_meter() -> None:
    for profile_id in ("abb/b23", "eastron/sdm630", "chint/dtsu666", "dlt645/single-phase", "acrel/adl400"):
        meter = meter_at(None, profile_id, 7_654_321)
        for number, sign in enumerate(signs_of(meter.meter.profile)):
            mantissa = shown(meter, number)
            assert mantissa is not None
            assert sign.fits(mantissa), (profile_id, sign)


@pytest.mark.parametrize(
    ("number", "is_one"),
    [(0, False), (1, False), (0xFFFF, False), (0xFFFFFFFF, False), (7, False), (23_001_234, True)],
)
def test_an_empty_register_is_no_serial_number(number: int, is_one: bool) -> None:
    assert is_serial(number) is is_one


@pytest.mark.parametrize(
    ("asked", "own", "is_asked"),
    [
        ("AAAAAAAAAAAA", "000012345678", True),
        ("AAAAAAAAAA78", "000012345678", True),
        ("AAAAAAAA5678", "000012345678", True),
        ("AAAAAAAAAA79", "000012345678", False),
        ("000012345678", "000012345678", True),
        ("000012345679", "000012345678", False),
        ("AAAAAAAAAAA8", "000012345678", False),
    ],
)
def test_a_shortened_address_is_that_of_all_meters_that_end_so(asked: str, own: str, is_asked: bool) -> None:
    assert dlt645_frame.is_asked(asked, own) is is_asked


def test_a_meter_answers_to_its_last_digits_under_its_whole_address() -> None:
    meter = meter_at(None, "dlt645/three-phase-full")
    request = next(codec_of(Protocol.DLT645_2007).converse("AAAAAAAAAA78", Dlt645Read(bytes(4)))).request
    answer = meter.meter.answer(request, meter.registers)
    assert answer is not None
    assert dlt645_frame.answer_of("AAAAAAAAAA78", answer).address == "000012345678"
