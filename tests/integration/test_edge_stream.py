"""RTU over TCP: meters behind a transparent converter, which keeps late answers for whoever asks next."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.adapters.stream_bus import StreamBus
from edge_agent.asking import AskedMeter
from edge_agent.ports import BusTimeout, PortLost
from edge_agent.sweep import PortReader
from metering.identity import GatewayId, MeterId, PortId
from metering.reading import ReadQuality
from provisioning.site import LineSettings, Parity, StreamPort
from tests.doubles.edge import QUARTER, START, CountingRegisters, PlayedManualClock, fitted

OVER_TCP = Protocol.MODBUS_RTU_OVER_TCP
LOCATIONS = (
    ("m-lift", "chint/dtsu666", OVER_TCP, "7"),
    ("m-main", "eastron/sdm630", OVER_TCP, "8"),
    ("m-bldg-a", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
)


class Converter:
    """A serial converter with three meters; `late_s` is how long it keeps every answer back [s]."""

    def __init__(self) -> None:
        catalogue = Catalogue.shipped()
        self.registers = CountingRegisters()
        self.meters = [
            SimulatedMeter(MeterId(meter), catalogue.by_id(profile), protocol, address)
            for meter, profile, protocol, address in LOCATIONS
        ]
        self.late_s = 0.0
        self.drops = False
        self._late = b""
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Go away."""
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.02)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        """Hand octets over; what is late when the connection ends comes on the next one."""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                octets = connection.recv(512)
                if not octets:
                    return
                answer = b"".join(meter.answer(octets, self.registers) or b"" for meter in self.meters)
                if self.drops:
                    return
                self._stop.wait(self.late_s)
                with contextlib.suppress(OSError):
                    connection.sendall(answer)


@pytest.fixture
def converter() -> Iterator[Converter]:
    """The converter, serving."""
    made = Converter()
    yield made
    made.close()


@pytest.fixture
def bus(converter: Converter, monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamBus]:
    """The gateway's bus to it; the allowance for the network is cut to what a loopback needs."""
    monkeypatch.setattr("edge_agent.adapters.stream_bus.NETWORK_S", 0.05)
    line = LineSettings(9600, Parity.EVEN, 1)
    made = StreamBus(
        StreamPort(PortId("far"), GatewayId("gw-a"), "127.0.0.1", converter.number, 60, line), PlayedManualClock(START)
    )
    yield made
    made.close()


def test_meters_of_two_protocols_are_read_through_one_converter(converter: Converter, bus: StreamBus) -> None:
    meters = [AskedMeter.prepare(fitted(each, "far"), Catalogue.shipped(), "billing") for each in LOCATIONS]
    reader = PortReader(bus._port, bus, PlayedManualClock(START), meters, threading.Event())
    readings = reader.sweep(START).readings
    assert [reading.quality for reading in readings] == [ReadQuality.MEASURED] * 3
    for reading, meter in zip(readings, meters, strict=True):
        channel = meter.group.channels[0]
        true_wh = converter.registers.register(reading.meter, channel.obis)
        assert 0 <= (true_wh or 0) - channel.shown(reading.mantissas[0] or 0).to_base() < 100
    again = replace(reader.sweep(START + QUARTER).readings[0])
    assert again.quality is ReadQuality.MEASURED


def test_a_late_answer_through_a_converter_is_not_taken_for_the_next(converter: Converter, bus: StreamBus) -> None:
    bus.open()
    read = ModbusRead(3, 0x101E, 2)
    expected = bus.ask(OVER_TCP, "7", read, reply_s=0.5, late_s=0.5).body
    converter.late_s = 0.2
    with pytest.raises(BusTimeout):
        bus.ask(OVER_TCP, "7", read, reply_s=0.02, late_s=0.5)
    converter.late_s = 0.0
    converter.registers.base_wh += 50_000_000
    assert bus.ask(OVER_TCP, "7", read, reply_s=0.5, late_s=0.5).body != expected


def test_what_was_asked_before_a_lost_connection_is_waited_out_on_the_next(
    converter: Converter, bus: StreamBus
) -> None:
    bus.open()
    converter.drops = True
    with pytest.raises(PortLost):
        bus.ask(OVER_TCP, "7", ModbusRead(3, 0x101E, 2), reply_s=0.2, late_s=0.2)
    converter.drops = False
    started_s = time.monotonic()
    assert bus.open()
    assert time.monotonic() - started_s > 0.1
    assert bus.ask(OVER_TCP, "7", ModbusRead(3, 0x101E, 2), reply_s=0.5, late_s=0.5).body


def test_an_endpoint_that_is_not_there_is_a_lost_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    port = StreamPort(PortId("far"), GatewayId("gw-a"), "127.0.0.1", number, 60, None)
    with pytest.raises(PortLost, match=str(number)):
        StreamBus(port, PlayedManualClock(START)).open()
