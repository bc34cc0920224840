"""The simulated meter: it answers by its profile what the world gives it, as the model would show it."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.fixed_layout import ANSWERS_MAX
from device_profiles.forms import NotReadable
from device_profiles.framing import codec_of, dlt645, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import ExceptionReply
from device_profiles.profile import NotInProfile, Profile, Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead, plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis

METER = MeterId("m-u-a101")
DLT_ADDRESS = "202607010001"


class World:
    """Registers by OBIS code, zero where none is given; `away` meters are off the bus."""

    def __init__(self, registers: dict[Obis, int], away: frozenset[MeterId] = frozenset()) -> None:
        self.registers = registers
        self.away = away

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return None if meter in self.away else self.registers.get(obis, 0)


def meter_of(profile_id: str, protocol: Protocol) -> SimulatedMeter:
    """A meter on its usual address."""
    address = "7" if protocol.is_modbus else DLT_ADDRESS
    return SimulatedMeter(METER, Catalogue.shipped().by_id(profile_id), protocol, address)


FREQUENCY = {Obis.parse("1-0:14.7.0"): 50_000}


def read_group(meter: SimulatedMeter, world: World, group: str = "billing") -> tuple[int | None, ...]:
    """Read a group over frames, as a gateway does."""
    codec: Any = codec_of(meter.protocol)
    bodies = []
    chosen = meter.profile.group(group)
    for read in plan_reads(meter.profile, meter.protocol, chosen):
        reply = meter.answer(codec.build_request(meter.address, read), world)
        assert reply is not None
        assert codec.octets_expected(read, reply) == len(reply)
        bodies.append(codec.parse_reply(meter.address, read, reply))
    return decode_group(meter.profile, meter.protocol, chosen, bodies)


MODELS = ("acrel/adl400", "chint/dtsu666", "dlt645/three-phase", "eastron/sdm630")
LINKS = [(model, protocol) for model in MODELS for protocol in Catalogue.shipped().by_id(model).links]


@pytest.mark.parametrize(("profile_id", "protocol"), LINKS)
def test_a_true_register_is_shown_floored_to_the_resolution(profile_id: str, protocol: Protocol) -> None:
    meter = meter_of(profile_id, protocol)
    mantissas = read_group(meter, World({ENERGY_IMPORT: 12_345_678, ENERGY_EXPORT: 9}))
    coarse = meter.profile.group("billing").channels[0].exponent == -2
    assert mantissas == ((1_234_567, 0) if coarse else (12_345_678, 9))


@pytest.mark.parametrize(("profile_id", "protocol"), LINKS)
def test_a_whole_status_group_is_answered(profile_id: str, protocol: Protocol) -> None:
    meter = meter_of(profile_id, protocol)
    world = World({Obis.parse("1-0:32.7.0"): 230_150, **FREQUENCY})
    mantissas = read_group(meter, world, "status")
    assert mantissas[0] == 2301
    assert mantissas[-1] == 5000


def test_a_counter_rolls_over_at_its_modulus() -> None:
    meter = meter_of("dlt645/three-phase", Protocol.DLT645_2007)
    assert read_group(meter, World({ENERGY_IMPORT: 999_999_990})) == (99_999_999, 0)
    assert read_group(meter, World({ENERGY_IMPORT: 1_000_000_000})) == (0, 0)
    assert read_group(meter, World({ENERGY_IMPORT: 1_000_000_040})) == (4, 0)
    adl400 = meter_of("acrel/adl400", Protocol.MODBUS_RTU)
    assert read_group(adl400, World({ENERGY_IMPORT: 2**32 * 10 + 70})) == (7, 0)


def test_a_float_register_loses_what_a_float_loses() -> None:
    meter = meter_of("eastron/sdm630", Protocol.MODBUS_RTU)
    (shown, _) = read_group(meter, World({ENERGY_IMPORT: 150_000_010}))
    assert shown == 150_000_016
    as_float = struct.unpack(">f", struct.pack(">f", 150_000.01))[0]
    assert shown == round(Fraction(as_float) * 1000)


def test_a_negative_gauge_keeps_its_sign() -> None:
    power = Obis.parse("1-0:16.7.0")
    dlt = read_group(meter_of("dlt645/three-phase", Protocol.DLT645_2007), World({power: -251, **FREQUENCY}), "status")
    assert dlt[6] == -2510
    assert (
        read_group(meter_of("acrel/adl400", Protocol.MODBUS_RTU), World({power: -251, **FREQUENCY}), "status")[6]
        == -251
    )


def test_a_frame_for_another_meter_is_not_answered() -> None:
    world = World({})
    rtu = meter_of("acrel/adl400", Protocol.MODBUS_RTU)
    assert rtu.answer(modbus_rtu.build_request("8", ModbusRead(3, 10, 12)), world) is None
    dlt = meter_of("dlt645/three-phase", Protocol.DLT645_2007)
    assert dlt.answer(dlt645.build_request("202607010002", Dlt645Read(bytes(4))), world) is None


def test_a_spoilt_or_foreign_frame_is_not_answered() -> None:
    world = World({})
    for profile_id, protocol in LINKS:
        meter = meter_of(profile_id, protocol)
        read = plan_reads(meter.profile, protocol, meter.profile.group("billing"))[0]
        request = next(codec_of(protocol).converse(meter.address, read)).request
        assert meter.answer(request, world) is not None
        assert meter.answer(request[:-1], world) is None
        assert meter.answer(b"", world) is None
        assert meter.answer(b"GET / HTTP/1.1\r\n\r\n", world) is None


def test_a_meter_off_the_bus_is_silent_even_where_it_would_refuse() -> None:
    world = World({}, away=frozenset({METER}))
    meter = meter_of("eastron/sdm630", Protocol.MODBUS_RTU)
    assert meter.answer(modbus_rtu.build_request("7", ModbusRead(4, 0x48, 4)), world) is None
    assert meter.answer(modbus_rtu.build_request("7", ModbusRead(4, 0x900, 4)), world) is None


def test_registers_the_model_does_not_have_are_refused() -> None:
    world = World({})
    meter = meter_of("eastron/sdm630", Protocol.MODBUS_RTU)
    for read in (ModbusRead(4, 0x900, 2), ModbusRead(3, 0x48, 2), ModbusRead(4, 0, 41)):
        reply = meter.answer(modbus_rtu.build_request("7", read), world)
        assert reply is not None
        with pytest.raises(ExceptionReply, match="illegal register address"):
            modbus_rtu.parse_reply("7", read, reply)
    dlt = meter_of("dlt645/three-phase", Protocol.DLT645_2007)
    unknown = Dlt645Read(bytes.fromhex("00150000"))
    reply = dlt.answer(dlt645.build_request(DLT_ADDRESS, unknown), world)
    assert reply is not None
    with pytest.raises(ExceptionReply, match="no such item"):
        dlt645.parse_reply(DLT_ADDRESS, unknown, reply)


def test_a_read_may_begin_inside_a_register() -> None:
    meter = meter_of("acrel/adl400", Protocol.MODBUS_RTU)
    world = World({ENERGY_IMPORT: 0x0001_0002 * 10, ENERGY_EXPORT: 0x0003_0004 * 10})
    read = ModbusRead(3, 11, 10)
    reply = meter.answer(modbus_rtu.build_request("7", read), world)
    assert reply is not None
    body = modbus_rtu.parse_reply("7", read, reply)
    assert (body[:2], body[2:18], body[18:]) == (b"\x00\x02", bytes(16), b"\x00\x03")


def test_tcp_transactions_come_back_though_answers_are_remembered() -> None:
    meter = meter_of("eastron/sdm630", Protocol.MODBUS_TCP)
    read = ModbusRead(4, 0x48, 4)
    for transaction in (1, 2, 65535):
        reply = meter.answer(modbus_tcp.build_request("7", read, transaction), World({ENERGY_IMPORT: transaction}))
        assert reply is not None
        body = modbus_tcp.parse_reply("7", read, reply, transaction)
        assert struct.unpack(">f", body[:4])[0] == pytest.approx(transaction / 1000)


def test_answers_follow_the_world_not_the_first_question() -> None:
    meter = meter_of("acrel/adl400", Protocol.MODBUS_RTU)
    assert [read_group(meter, World({ENERGY_IMPORT: 10 * count}))[0] for count in range(3)] == [0, 1, 2]


def test_remembered_requests_are_bounded() -> None:
    meter = meter_of("acrel/adl400", Protocol.MODBUS_RTU)
    for number in range(ANSWERS_MAX + 50):
        meter.answer(number.to_bytes(4, "big"), World({}))
    assert read_group(meter, World({ENERGY_IMPORT: 30}))[0] == 3


def test_a_register_the_form_cannot_hold_is_an_error_of_the_world() -> None:
    meter = meter_of("dlt645/three-phase", Protocol.DLT645_2007)
    voltage = {Obis.parse("1-0:32.7.0"): 10_000_000}
    with pytest.raises(NotReadable):
        read_group(meter, World(voltage), "status")


def test_a_meter_must_speak_its_protocol() -> None:
    profile: Profile = Catalogue.shipped().by_id("eastron/sdm630")
    with pytest.raises(NotInProfile):
        SimulatedMeter(METER, profile, Protocol.DLT645_2007, DLT_ADDRESS)
