"""SunSpec: the model is found wherever it stands, and nothing is read where it does not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.framing import codec_of, modbus_pdu, modbus_rtu, sunspec
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.framing.sunspec import ModelMissing, SunSpecRead
from device_profiles.profile import Protocol
from device_profiles.read_plan import covers, plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis

PROFILE = Catalogue.shipped().by_id("sunspec/three-phase")
RTU = Protocol.MODBUS_RTU
READ = SunSpecRead(3, 203, 38, 17)


class Device:
    """Holding registers; what is not there is refused as an illegal address."""

    def __init__(self, base: int, *models: tuple[int, int]) -> None:
        self.registers: dict[int, int] = {}
        self.asked: list[ModbusRead] = []
        at = self._put(base, *struct.unpack(">HH", sunspec.MARK))
        for model, length in models:
            at = self._put(at, model, length, *range(1000 * model % 60_000, 1000 * model % 60_000 + length))

    def _put(self, at: int, *registers: int) -> int:
        self.registers |= dict(enumerate(registers, start=at))
        return at + len(registers)

    def carry(self, exchange: Exchange) -> bytes:
        """Answer one request."""
        address, read = modbus_rtu.parse_request(exchange.request)
        self.asked.append(read)
        numbers = [self.registers.get(at) for at in range(read.address, read.end)]
        if None in numbers:
            return modbus_rtu.build_exception(address, read, modbus_pdu.ILLEGAL_ADDRESS)
        return modbus_rtu.build_reply(address, read, struct.pack(f">{read.count}H", *numbers))


def read_from(carry: Callable[[Exchange], bytes], read: SunSpecRead = READ) -> bytes:
    """Hold the conversation over RTU."""
    return drive(codec_of(RTU).converse("1", read), carry)


def test_a_model_is_found_behind_others() -> None:
    device = Device(40_000, (1, 66), (203, 105), (0xFFFF, 0))
    start = 203_000 % 60_000 + 36
    assert read_from(device.carry) == struct.pack(">17H", *range(start, start + 17))
    assert [(read.address, read.count) for read in device.asked] == [(40_000, 4), (40_070, 2), (40_108, 17)]


@pytest.mark.parametrize("base", sunspec.BASES)
def test_the_mark_is_looked_for_at_each_base(base: int) -> None:
    device = Device(base, (203, 105))
    assert len(read_from(device.carry)) == 34


def test_a_base_without_the_mark_is_passed_by() -> None:
    device = Device(50_000, (203, 105))
    device.registers |= dict.fromkeys(range(40_000, 40_004), 0x1234)
    assert len(read_from(device.carry)) == 34


def test_only_the_bases_that_the_link_names_are_asked() -> None:
    device = Device(40_000, (203, 105))
    with pytest.raises(ModelMissing, match="no SunSpec mark at any of 0"):
        read_from(device.carry, SunSpecRead(3, 203, 38, 17, bases=(0,)))


def test_a_device_without_the_model_is_refused() -> None:
    with pytest.raises(ModelMissing, match="ends without model 203"):
        read_from(Device(40_000, (1, 66), (103, 50), (0xFFFF, 0)).carry)


def test_a_model_that_is_too_short_is_refused() -> None:
    with pytest.raises(ModelMissing, match="has 50 registers, too few for 53"):
        read_from(Device(40_000, (203, 50), (0xFFFF, 0)).carry)


def test_a_chain_without_end_is_not_walked_for_ever() -> None:
    device = Device(40_000, *((7, 0) for _ in range(200)))
    with pytest.raises(ModelMissing):
        read_from(device.carry)
    assert len(device.asked) <= sunspec.MODELS_MAX + 1


def test_a_chain_that_leaves_the_map_is_refused() -> None:
    with pytest.raises(ModelMissing):
        read_from(Device(40_000, (7, 30_000)).carry)


def test_a_line_that_garbles_an_answer_ends_the_conversation() -> None:
    device = Device(40_000, (1, 66), (203, 105))

    def carry(exchange: Exchange) -> bytes:
        reply = device.carry(exchange)
        return reply if len(device.asked) < 2 else reply[:-1] + bytes((reply[-1] ^ 1,))

    with pytest.raises(FrameError, match="CRC"):
        read_from(carry)


def test_a_busy_device_is_not_one_without_a_map() -> None:
    def carry(exchange: Exchange) -> bytes:
        address, read = modbus_rtu.parse_request(exchange.request)
        return modbus_rtu.build_exception(address, read, 6)

    with pytest.raises(ExceptionReply, match="busy"):
        read_from(carry)


class World:
    """Registers by OBIS code, 50,000 elsewhere."""

    def __init__(self, registers: dict[Obis, int]) -> None:
        self.registers = registers

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers.get(obis, 50_000)


@pytest.mark.parametrize("protocol", [Protocol.MODBUS_RTU, Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP])
def test_a_profile_by_model_reads_a_simulated_device(protocol: Protocol) -> None:
    meter = SimulatedMeter(MeterId("m-pv"), PROFILE, protocol, "1")
    world = World({ENERGY_IMPORT: 123_456_789, ENERGY_EXPORT: 42, Obis.parse("1-0:16.7.0"): -2500})
    for name, expected in (("billing", (123_456_789, 42)), ("status", (500, 500, 500, 5000, 5000, 5000, 5000, -2500))):
        group = PROFILE.group(name)
        bodies = [
            drive(codec_of(protocol).converse("1", read), partial(_carried, meter, world))
            for read in plan_reads(PROFILE, protocol, group)
        ]
        assert decode_group(PROFILE, protocol, group, bodies) == expected


def _carried(meter: SimulatedMeter, world: World, exchange: Exchange) -> bytes:
    reply = meter.answer(exchange.request, world)
    assert reply is not None
    return reply


def test_billing_of_a_model_is_one_read_of_one_instant() -> None:
    (read,) = plan_reads(PROFILE, RTU, PROFILE.group("billing"))
    assert read == SunSpecRead(3, 203, 38, 17)
    assert all(covers(read, channel) for channel in PROFILE.group("billing").channels)
    assert not covers(ModbusRead(3, 38, 17), PROFILE.group("billing").channels[0])


def billing_body(imported: int, exported: int, scale: int) -> bytes:
    """The registers 38 to 54 of model 203."""
    return struct.pack(">I12xI12xh", exported, imported, scale)


def decoded(body: bytes) -> tuple[int | None, ...]:
    """Decode the billing group."""
    return decode_group(PROFILE, RTU, PROFILE.group("billing"), [body])


def test_the_scale_register_gives_the_power_of_ten() -> None:
    assert decoded(billing_body(12345, 7, 0)) == (12345, 7)
    assert decoded(billing_body(12345, 7, 2)) == (1_234_500, 700)
    assert decoded(billing_body(12340, 70, -1)) == (1234, 7)


def test_energy_finer_than_the_profile_says_is_refused_not_rounded() -> None:
    with pytest.raises(ProfileMismatch, match="finer than the profile's exponent"):
        decoded(billing_body(12345, 70, -1))


def test_a_scale_that_is_not_implemented_leaves_no_number() -> None:
    assert decoded(billing_body(12345, 7, -32768)) == (None, None)


def test_a_scale_no_device_may_state_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="a scale register of 11"):
        decoded(billing_body(12345, 7, 11))
