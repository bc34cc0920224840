"""An independent Modbus client reads the simulated meters: what we frame on both ends is Modbus, not our idea of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.client.mixin import ModbusClientMixin

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import ModbusRead, plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import ModbusTcpPort, SerialLine
from metering.identity import MeterId
from metering.obis import ENERGY_IMPORT, Obis

IMPORT_WH = 12_345_670
UNITS = {"eastron/sdm630": 1, "chint/dtsu666": 2, "acrel/adl400": 3}
PROFILES = [Catalogue.shipped().by_id(profile_id) for profile_id in UNITS]
Client = ModbusSerialClient | ModbusTcpClient


class World:
    """A world with energy, 50 Hz and 230 V."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return {1: IMPORT_WH if obis == ENERGY_IMPORT else 0, 14: 50_000, 32: 230_100}.get(obis.c, 0)


def meters(protocol: Protocol) -> list[SimulatedMeter]:
    """One meter of each Modbus model."""
    return [
        SimulatedMeter(MeterId(f"m-{UNITS[profile.id]}"), profile, protocol, str(UNITS[profile.id]))
        for profile in PROFILES
    ]


@pytest.fixture
def serial_client(tmp_path: Path) -> Iterator[Client]:
    """A pymodbus client on a line of simulated meters."""
    with SerialLine(tmp_path / "line", meters(Protocol.MODBUS_RTU), World()) as line:
        client = ModbusSerialClient(str(line.path), baudrate=9600, parity="N", timeout=2, retries=0)
        assert client.connect()
        yield client
        client.close()


@pytest.fixture
def tcp_client() -> Iterator[Client]:
    """A pymodbus client of a simulated gateway."""
    with ModbusTcpPort(meters(Protocol.MODBUS_TCP), World()) as port:
        client = ModbusTcpClient("127.0.0.1", port=port.port, timeout=2, retries=0)
        assert client.connect()
        yield client
        client.close()


@pytest.fixture(params=["serial_client", "tcp_client"])
def client(request: pytest.FixtureRequest) -> Client:
    """Either client."""
    chosen: Client = request.getfixturevalue(request.param)
    return chosen


def registers_of(client: Client, unit: int, read: ModbusRead) -> list[int]:
    """Read registers through pymodbus."""
    ask = client.read_input_registers if read.function == 4 else client.read_holding_registers
    reply = ask(read.address, count=read.count, device_id=unit)
    assert not reply.isError(), reply
    registers: list[int] = reply.registers
    return registers


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
@pytest.mark.parametrize("group", ["billing", "status"])
def test_every_plan_is_readable_and_decodes(client: Client, profile: Profile, group: str) -> None:
    bodies = []
    for read in plan_reads(profile, Protocol.MODBUS_RTU, profile.group(group)):
        assert isinstance(read, ModbusRead)
        registers = registers_of(client, UNITS[profile.id], read)
        bodies.append(struct.pack(f">{len(registers)}H", *registers))
    mantissas = decode_group(profile, Protocol.MODBUS_RTU, profile.group(group), bodies)
    if group == "status":
        assert (mantissas[0], mantissas[-1]) == (2301, 5000)
    else:
        shown = profile.group(group).channels[0].shown(mantissas[0] or 0)
        assert shown.to_base() == IMPORT_WH


@pytest.mark.parametrize(
    ("unit", "read", "kind", "kwh"),
    [
        (1, ModbusRead(4, 0x48, 2), ModbusClientMixin.DATATYPE.FLOAT32, 12345.67),
        (2, ModbusRead(3, 0x101E, 2), ModbusClientMixin.DATATYPE.FLOAT32, 12345.67),
        (3, ModbusRead(3, 0x0A, 2), ModbusClientMixin.DATATYPE.UINT32, 1234567),
    ],
)
def test_pymodbus_converts_the_energy_register_alike(
    client: Client, unit: int, read: ModbusRead, kind: ModbusClientMixin.DATATYPE, kwh: float
) -> None:
    converted = client.convert_from_registers(registers_of(client, unit, read), kind)
    assert converted == pytest.approx(kwh, rel=1e-7)


def test_a_register_that_is_not_there_is_an_illegal_address(client: Client) -> None:
    reply = client.read_input_registers(0x0900, count=2, device_id=1)
    assert reply.isError()
    assert reply.exception_code == 2


def test_a_unit_that_is_not_there_is_reported_over_tcp(tcp_client: Client) -> None:
    reply = tcp_client.read_input_registers(0, count=2, device_id=99)
    assert reply.isError()
    assert reply.exception_code == 11
