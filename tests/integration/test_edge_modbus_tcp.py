"""A real Modbus TCP port with meters behind it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.profile import Protocol
from device_profiles.read_plan import Dlt645Read, ModbusRead
from device_profiles.simulator import Fault, ModbusTcpPort
from edge_agent.adapters.tcp_bus import TcpBus
from edge_agent.ports import BusTimeout, PortLost
from edge_agent.sweep import PortReader
from metering.clock import ManualClock
from metering.identity import MeterId
from metering.reading import ReadQuality
from tests.doubles.edge import QUARTER, START, UNITS, CountingRegisters, PlayedManualClock, asked, simulated, tcp_port

TCP = Protocol.MODBUS_TCP


class Endpoint:
    """The endpoint and the gateway's bus to it."""

    def __init__(self, number: int = 0, late_s: float = 0.3) -> None:
        self.registers = CountingRegisters()
        self.world = ModbusTcpPort(simulated(UNITS), self.registers, port=number, late_s=late_s)
        self.clock = PlayedManualClock(START)
        self.bus = TcpBus(tcp_port(self.world.port), self.clock)
        self.meters = asked(UNITS, "tcp-b")
        self.reader = PortReader(tcp_port(self.world.port), self.bus, self.clock, self.meters, threading.Event())


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """An endpoint, serving; the allowance for the network is cut to what a loopback needs."""
    monkeypatch.setattr("edge_agent.adapters.tcp_bus.NETWORK_S", 0.1)
    made = Endpoint()
    with made.world:
        yield made
        made.bus.close()


def test_every_unit_is_read_exactly(endpoint: Endpoint) -> None:
    for reading, meter in zip(endpoint.reader.sweep(START).readings, endpoint.meters, strict=True):
        assert reading.quality is ReadQuality.MEASURED
        channel = meter.group.channels[0]
        true_wh = endpoint.registers.register(reading.meter, channel.obis)
        assert true_wh is not None
        assert 0 <= true_wh - channel.shown(reading.mantissas[0] or 0).to_base() < 100


@pytest.mark.parametrize(
    ("fault", "quality"),
    [
        (Fault.MUTE, ReadQuality.NO_ANSWER),
        (Fault.ANSWERS_FOR_ANOTHER, ReadQuality.NO_ANSWER),
        (Fault.WRONG_CRC, ReadQuality.INVALID),
    ],
)
def test_a_misbehaving_unit_spoils_no_other(
    endpoint: Endpoint, fault: Fault, quality: ReadQuality, monkeypatch: pytest.MonkeyPatch
) -> None:
    for meter in endpoint.meters:
        meter.patience.reply_s_max = 0.1
    endpoint.world.set_fault(MeterId("m-main"), fault)
    readings = endpoint.reader.sweep(START).readings
    assert readings[0].quality in (quality, ReadQuality.NO_ANSWER)
    assert [reading.quality for reading in readings[1:]] == [ReadQuality.MEASURED, ReadQuality.MEASURED]


def test_a_meter_off_its_bus_gives_no_answer_though_its_gateway_answers(endpoint: Endpoint) -> None:
    endpoint.registers.off.add("m-common")
    readings = endpoint.reader.sweep(START).readings
    assert [reading.quality for reading in readings] == [
        ReadQuality.MEASURED,
        ReadQuality.MEASURED,
        ReadQuality.NO_ANSWER,
    ]


def test_a_late_reply_is_not_taken_for_the_next_answer(endpoint: Endpoint) -> None:
    request = endpoint.meters[0].reads[0]
    expected = endpoint.bus.ask(TCP, "1", request, reply_s=1.0, late_s=1.0).body
    endpoint.world.set_fault(MeterId("m-main"), Fault.LATE)
    with pytest.raises(BusTimeout):
        endpoint.bus.ask(TCP, "1", request, reply_s=0.05, late_s=0.5)
    assert endpoint.bus._client.socket is None  # whatever comes late, even under a wrong transaction id, has no way in
    endpoint.world.set_fault(MeterId("m-main"), None)
    endpoint.registers.base_wh += 50_000_000
    assert endpoint.bus.ask(TCP, "1", request, reply_s=1.0, late_s=1.0).body != expected


def test_a_refusal_is_reported_as_one(endpoint: Endpoint) -> None:
    with pytest.raises(ExceptionReply):
        endpoint.bus.ask(TCP, "1", ModbusRead(3, 60_000, 2), reply_s=0.5, late_s=0.5)


def test_another_protocol_is_not_asked_here(endpoint: Endpoint) -> None:
    with pytest.raises(FrameError, match="Modbus TCP only"):
        endpoint.bus.ask(Protocol.DLT645_2007, "202607000001", Dlt645Read(bytes(4)), reply_s=0.5, late_s=0.5)


def test_an_endpoint_that_closed_the_connection_is_swept_again(endpoint: Endpoint) -> None:
    expected = endpoint.reader.sweep(START).readings
    number = endpoint.world.port
    endpoint.world.stop()
    with Endpoint(number).world:
        repeated = endpoint.reader.sweep(START).readings
    assert repeated == expected


def test_nobody_listening_is_a_lost_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    with pytest.raises(PortLost, match="does not take connections"):
        TcpBus(tcp_port(number), ManualClock(START)).open()


def test_a_reset_in_the_middle_of_a_read_is_a_lost_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(64)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        bus = TcpBus(tcp_port(listener.getsockname()[1]), ManualClock(START))
        bus.open()
        with pytest.raises(PortLost):
            bus.ask(TCP, "1", ModbusRead(3, 0, 2), reply_s=1.0, late_s=1.0)
        thread.join()


def test_the_second_mark_uses_the_same_connection(endpoint: Endpoint) -> None:
    endpoint.reader.sweep(START)
    connection = endpoint.bus._client.socket
    endpoint.reader.sweep(START + QUARTER)
    assert endpoint.bus._client.socket is connection
