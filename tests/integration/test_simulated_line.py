"""Simulated meters on real wires: a pseudo-terminal and a TCP port, with every declared fault."""

from __future__ import annotations

import os
import select
import socket
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.forms import NotReadable
from device_profiles.framing import codec_of, modbus_tcp
from device_profiles.framing.errors import AddressMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.profile import Protocol
from device_profiles.read_plan import ModbusRead, ReadRequest, plan_reads
from device_profiles.simulated_meter import RegisterSource, SimulatedMeter
from device_profiles.simulator import Fault, LineInvalid, ModbusTcpPort, SerialLine
from metering.identity import MeterId
from metering.obis import Obis

WAIT_S = 5.0
SILENCE_S = 0.05
IMPORT_WH = 123_456_780


class World:
    """Every counter shows the same; `away` meters are off the bus."""

    def __init__(self) -> None:
        self.away: set[MeterId] = set()

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return None if meter in self.away else IMPORT_WH


def meters_on_a_line() -> list[SimulatedMeter]:
    """Modbus and DL/T 645 meters that share one pair of wires."""
    catalogue = Catalogue.shipped()
    dlt645, dtsu666, adl400 = (
        catalogue.by_id(name) for name in ("dlt645/three-phase", "chint/dtsu666", "acrel/adl400")
    )
    return [
        SimulatedMeter(MeterId("m-a101"), dlt645, Protocol.DLT645_2007, "202607010001"),
        SimulatedMeter(MeterId("m-lift"), dtsu666, Protocol.MODBUS_RTU, "11"),
        SimulatedMeter(MeterId("m-a102"), dlt645, Protocol.DLT645_2007, "202607010002"),
        SimulatedMeter(MeterId("m-lobby"), adl400, Protocol.MODBUS_RTU, "104"),  # 104 is 68 hex, a DL/T 645 start
    ]


class Client:
    """A gateway's end of the line, without any of its defences."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def receive(self, wait_s: float) -> bytes:
        """Give what comes within `wait_s`, empty when nothing does."""
        ready, _, _ = select.select([self.fd], [], [], wait_s)
        return os.read(self.fd, 4096) if ready else b""

    def ask(self, meter: SimulatedMeter, read: ReadRequest, wait_s: float = WAIT_S) -> bytes:
        """Send a request and give the octets of the reply, as many as are predicted."""
        codec = codec_of(meter.protocol)
        os.write(self.fd, codec.build_request(meter.address, read))
        received = b""
        while len(received) < codec.octets_expected(read, received):
            part = self.receive(wait_s)
            if not part:
                break
            received += part
        return received

    def read(self, meter: SimulatedMeter) -> tuple[int | None, ...]:
        """Read the billing group."""
        group = meter.profile.group("billing")
        codec = codec_of(meter.protocol)
        bodies = [
            codec.parse_reply(meter.address, read, self.ask(meter, read))
            for read in plan_reads(meter.profile, meter.protocol, group)
        ]
        return decode_group(meter.profile, meter.protocol, group, bodies)


@pytest.fixture
def world() -> World:
    """A world where every meter is on the bus."""
    return World()


@pytest.fixture
def line(tmp_path: Path, world: World) -> Iterator[SerialLine]:
    """A served line."""
    with SerialLine(tmp_path / "line-a", meters_on_a_line(), world, late_s=SILENCE_S) as served:
        yield served


@pytest.fixture
def client(line: SerialLine) -> Iterator[Client]:
    """The other end."""
    opened = Client(line.path)
    yield opened
    os.close(opened.fd)


def test_meters_of_two_protocols_answer_on_one_line(client: Client) -> None:
    for _ in range(3):
        for meter in meters_on_a_line():
            assert client.read(meter)[0] == IMPORT_WH // 10


def test_octets_may_come_one_by_one_and_after_noise(client: Client) -> None:
    meter = meters_on_a_line()[0]
    read = plan_reads(meter.profile, meter.protocol, meter.profile.group("billing"))[0]
    codec = codec_of(meter.protocol)
    for octet in b"\x00\x68\x03" + codec.build_request(meter.address, read):
        os.write(client.fd, bytes((octet,)))
    received = b""
    while len(received) < codec.octets_expected(read, received):
        received += client.receive(WAIT_S)
    assert codec.parse_reply(meter.address, read, received)


def test_a_meter_off_the_bus_is_silent_and_comes_back(client: Client, world: World) -> None:
    meter = meters_on_a_line()[1]
    world.away.add(meter.meter_id)
    assert client.ask(meter, ModbusRead(3, 0x101E, 12), SILENCE_S) == b""
    world.away.clear()
    assert client.read(meter)[0] == IMPORT_WH // 10


class Overfull(SimulatedMeter):
    """A meter whose register has more digits than it can show."""

    def answer(self, frame: bytes, registers: RegisterSource) -> bytes | None:
        """Fail as a form does."""
        raise NotReadable("too many digits")


def test_a_register_that_the_digits_cannot_show_silences_its_own_meter_only(tmp_path: Path, world: World) -> None:
    overfull = Overfull(MeterId("m-full"), Catalogue.shipped().by_id("acrel/adl400"), Protocol.MODBUS_RTU, "12")
    with SerialLine(tmp_path / "rs485", [overfull, *meters_on_a_line()], world) as line:
        client = Client(line.path)
        try:
            for meter in meters_on_a_line():
                assert client.read(meter)[0] == IMPORT_WH // 10
        finally:
            os.close(client.fd)


def test_nobody_answers_for_an_unknown_address(client: Client) -> None:
    catalogue = Catalogue.shipped()
    stranger = SimulatedMeter(MeterId("m-x"), catalogue.by_id("acrel/adl400"), Protocol.MODBUS_RTU, "99")
    assert client.ask(stranger, ModbusRead(3, 10, 12), SILENCE_S) == b""


@pytest.mark.parametrize("index", [0, 1], ids=["dlt645", "modbus"])
@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.WRONG_CRC, CrcError), (Fault.ANSWERS_FOR_ANOTHER, AddressMismatch)]
)
def test_a_spoilt_answer_is_refused(
    line: SerialLine, client: Client, index: int, fault: Fault, error: type[FrameError]
) -> None:
    meter = meters_on_a_line()[index]
    read = plan_reads(meter.profile, meter.protocol, meter.profile.group("billing"))[0]
    line.set_fault(meter.meter_id, fault)
    reply = client.ask(meter, read, SILENCE_S)
    with pytest.raises(error):
        codec_of(meter.protocol).parse_reply(meter.address, read, reply)
    line.set_fault(meter.meter_id, None)
    assert client.read(meter)[0] == IMPORT_WH // 10


def test_a_mute_meter_is_silent_and_a_late_one_comes_after_the_silence(line: SerialLine, client: Client) -> None:
    meter = meters_on_a_line()[1]
    read = ModbusRead(3, 0x101E, 12)
    line.set_fault(meter.meter_id, Fault.MUTE)
    assert client.ask(meter, read, SILENCE_S) == b""
    line.set_fault(meter.meter_id, Fault.LATE)
    assert client.ask(meter, read, SILENCE_S / 10) == b""
    assert len(client.receive(WAIT_S)) > 0


def test_an_echo_comes_before_the_answer(line: SerialLine, client: Client) -> None:
    dlt645, modbus = meters_on_a_line()[:2]
    line.set_fault(dlt645.meter_id, Fault.ECHO)
    assert client.read(dlt645)[0] == IMPORT_WH // 10  # the codec skips it by its direction bit
    line.set_fault(modbus.meter_id, Fault.ECHO)
    read = ModbusRead(3, 0x101E, 12)
    request = codec_of(modbus.protocol).build_request(modbus.address, read)
    received = client.ask(modbus, read)
    assert received.startswith(request)


def test_stopping_pulls_the_plug(tmp_path: Path, world: World) -> None:
    line = SerialLine(tmp_path / "line-b", meters_on_a_line(), world)
    line.start()
    client = Client(line.path)
    line.stop()
    line.stop()
    assert not os.path.lexists(tmp_path / "line-b")
    with pytest.raises(OSError, match=r"Input/output error"):
        os.write(client.fd, b"\x01")
    os.close(client.fd)


def test_a_gateway_that_restarts_may_open_the_line_with_the_same_parity_again(line: SerialLine) -> None:
    """A pseudo-terminal has no parity and refuses it to a second opener, unless the line is made as new in between."""
    waiting = threading.Event()
    for _ in range(3):
        for _ in range(200):
            try:
                opened = serial.Serial(str(line.path), 9600, parity=serial.PARITY_EVEN, exclusive=True)
            except termios.error:
                waiting.wait(WAIT_S / 200)
                continue
            break
        else:
            pytest.fail("the line stays as its last user left it")
        opened.close()


def test_a_new_line_takes_the_place_of_an_old_link(tmp_path: Path, world: World) -> None:
    path = tmp_path / "line-c"
    path.symlink_to(tmp_path / "left-behind-by-a-killed-world")
    first = SerialLine(path, meters_on_a_line(), world)
    with SerialLine(path, meters_on_a_line(), world):
        first.stop()
        client = Client(path)
        assert client.read(meters_on_a_line()[0])[0] == IMPORT_WH // 10
        os.close(client.fd)


def test_two_meters_cannot_share_an_address_nor_a_foreign_port(tmp_path: Path, world: World) -> None:
    profile = Catalogue.shipped().by_id("acrel/adl400")
    rtu = [SimulatedMeter(MeterId(name), profile, Protocol.MODBUS_RTU, "5") for name in ("m-1", "m-2")]
    with pytest.raises(LineInvalid, match="address 5 stands twice: m-1, m-2"):
        SerialLine(tmp_path / "line", rtu, world)
    with pytest.raises(LineInvalid, match="Modbus TCP port"):
        ModbusTcpPort(rtu[:1], world)
    tcp = SimulatedMeter(MeterId("m-3"), profile, Protocol.MODBUS_TCP, "5")
    with pytest.raises(LineInvalid, match="serial line"):
        SerialLine(tmp_path / "line", [tcp], world)


def test_a_line_nobody_listens_to_does_not_stop(tmp_path: Path, world: World) -> None:
    with SerialLine(tmp_path / "line-d", meters_on_a_line(), world) as line:
        client = Client(line.path)
        meter = meters_on_a_line()[3]
        request = codec_of(meter.protocol).build_request(meter.address, ModbusRead(3, 0, 60))
        for _ in range(400):
            os.write(client.fd, request)
        os.close(client.fd)


@pytest.fixture
def port(world: World) -> Iterator[ModbusTcpPort]:
    """A Modbus TCP gateway with two meters."""
    profile = Catalogue.shipped().by_id("eastron/sdm630")
    meters = [SimulatedMeter(MeterId(f"m-{unit}"), profile, Protocol.MODBUS_TCP, unit) for unit in ("1", "2")]
    with ModbusTcpPort(meters, world, late_s=SILENCE_S) as served:
        yield served


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send and receive one frame; empty when the port hangs up."""
    connection.sendall(request)
    received = b""
    while len(received) < modbus_tcp.octets_expected(None, received):
        part = connection.recv(4096)
        if not part:
            return b""
        received += part
    return received


BILLING = ModbusRead(4, 0x48, 4)


def test_several_clients_read_several_units_over_tcp(port: ModbusTcpPort) -> None:
    with socket.create_connection(("127.0.0.1", port.port)) as first:
        with socket.create_connection(("127.0.0.1", port.port)) as second:
            for transaction, connection in enumerate((first, second, first)):
                for unit in ("1", "2"):
                    reply = exchange(connection, modbus_tcp.build_request(unit, BILLING, transaction))
                    assert len(modbus_tcp.parse_reply(unit, BILLING, reply, transaction)) == 8
        assert exchange(first, modbus_tcp.build_request("1", BILLING))


def test_requests_may_come_in_pieces_or_together(port: ModbusTcpPort) -> None:
    request = modbus_tcp.build_request("1", BILLING, 1)
    with socket.create_connection(("127.0.0.1", port.port)) as connection:
        connection.sendall(request[:3])
        connection.sendall(request[3:] + modbus_tcp.build_request("2", BILLING, 2)[:9])
        reply = exchange(connection, modbus_tcp.build_request("2", BILLING, 2)[9:])
        assert modbus_tcp.parse_reply("1", BILLING, reply[:17], 1)


def test_a_unit_that_is_away_is_reported_by_the_gateway(port: ModbusTcpPort, world: World) -> None:
    world.away.add(MeterId("m-1"))
    with socket.create_connection(("127.0.0.1", port.port)) as connection:
        for unit in ("1", "77"):
            with pytest.raises(ExceptionReply, match="behind the gateway does not answer"):
                modbus_tcp.parse_reply(unit, BILLING, exchange(connection, modbus_tcp.build_request(unit, BILLING)))


def test_tcp_faults_are_seen_on_the_wire(port: ModbusTcpPort) -> None:
    with socket.create_connection(("127.0.0.1", port.port)) as connection:
        port.set_fault(MeterId("m-1"), Fault.ANSWERS_FOR_ANOTHER)
        with pytest.raises(AddressMismatch):
            modbus_tcp.parse_reply("1", BILLING, exchange(connection, modbus_tcp.build_request("1", BILLING)))
        port.set_fault(MeterId("m-1"), Fault.WRONG_CRC)
        with pytest.raises(FrameError):
            exchange(connection, modbus_tcp.build_request("1", BILLING))
    with socket.create_connection(("127.0.0.1", port.port), timeout=SILENCE_S) as connection:
        port.set_fault(MeterId("m-1"), Fault.MUTE)
        with pytest.raises(TimeoutError):
            exchange(connection, modbus_tcp.build_request("1", BILLING))


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", bytes(12), b"\0\0\0\0\0\x06\x01\x06\0\0\0\1"])
def test_a_client_that_does_not_speak_modbus_is_hung_up_on(port: ModbusTcpPort, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port.port), timeout=WAIT_S) as connection:
        connection.sendall(noise)
        assert connection.recv(100) == b""


def test_stopping_ends_the_thread_and_frees_the_port(world: World) -> None:
    profile = Catalogue.shipped().by_id("eastron/sdm630")
    meters = [SimulatedMeter(MeterId("m-1"), profile, Protocol.MODBUS_TCP, "1")]
    threads = threading.active_count()
    with ModbusTcpPort(meters, world) as first:
        number = first.port
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads
    with ModbusTcpPort(meters, world, port=number) as second:
        assert second.port == number
