"""DLMS meters on a real pseudo-terminal beside others, and over TCP; keys from the gateway's key folder."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.framing.published_secrets import AUTHENTICATION, CLIENT_TITLE, ENCRYPTION, PASSWORD
from device_profiles.profile import Protocol
from edge_agent.adapters.meter_keys import FOLDER, MeterKeyFolder
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.stream_bus import StreamBus
from edge_agent.ports import Bus
from edge_agent.sweep import AskedMeter, PortReader
from metering.identity import GatewayId, MeterId, PortId
from metering.reading import MeterReading, ReadQuality
from provisioning.site import Port, StreamPort
from tests.doubles.edge import START, CountingRegisters, Location, PlayedManualClock, fitted, serial_port, simulated

LOCATIONS: tuple[Location, ...] = (
    ("m-main", "dlms/keys", Protocol.DLMS_HDLC, "1/17"),
    ("m-lift", "chint/dtsu666", Protocol.MODBUS_RTU, "7"),
    ("m-u-a101", "dlms/password", Protocol.DLMS_HDLC, "1/18"),
    ("m-bldg-a", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
    ("m-u-a102", "dlms/public", Protocol.DLMS_HDLC, "1/19"),
)
OVER_TCP: tuple[Location, ...] = (
    ("m-main", "dlms/keys", Protocol.DLMS_WRAPPER, "1"),
    ("m-u-a102", "dlms/public", Protocol.DLMS_WRAPPER, "2"),
)


class Ends(threading.Thread):
    """The meters' ends on a file descriptor; every meter hears every request."""

    def __init__(self, descriptor: int, locations: tuple[Location, ...]) -> None:
        super().__init__(daemon=True)
        self.registers = CountingRegisters()
        self.stopping = threading.Event()
        self._descriptor = descriptor
        self._meters = simulated(locations)
        self._ends = request_ends(protocol for _, _, protocol, _ in locations)

    def run(self) -> None:
        """Answer until told to stop, or the other side is gone."""
        rest = b""
        while not self.stopping.is_set():
            if select.select([self._descriptor], [], [], 0.05)[0]:
                octets = os.read(self._descriptor, 4096)
                if not octets:
                    return
                requests, rest = split_requests(rest + octets, self._ends)
                for request in requests:
                    for meter in self._meters:
                        os.write(self._descriptor, meter.answer(request, self.registers) or b"")


@pytest.fixture
def keys(tmp_path: Path) -> MeterKeyFolder:
    """The secrets of the meters that want some."""
    texts = {
        "m-main": f'encryption = "{ENCRYPTION.hex()}"\nauthentication = "{AUTHENTICATION.hex()}"\n'
        f'title = "{CLIENT_TITLE.hex()}"\n',
        "m-u-a101": f'password = "{PASSWORD.decode()}"\n',
    }
    for meter, text in texts.items():
        path = tmp_path / "keys" / FOLDER / f"{meter}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(text)
    return MeterKeyFolder(tmp_path / "keys", tmp_path / "state")


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Ends]:
    """Meters of three protocols on a pseudo-terminal."""
    near, far = pty.openpty()
    tty.setraw(far)
    (tmp_path / "line").symlink_to(os.ttyname(far))
    ends = Ends(near, LOCATIONS)
    ends.start()
    yield ends
    ends.stopping.set()
    ends.join()
    os.close(far)
    os.close(near)


def swept(port: Port, bus: Bus, keys: MeterKeyFolder, locations: tuple[Location, ...]) -> tuple[MeterReading, ...]:
    """Sweep once as the gateway does."""
    meters = [
        AskedMeter.prepare(fitted(each, port.id), Catalogue.shipped(), "billing", 4.0, keys.of(MeterId(each[0])))
        for each in locations
    ]
    reader = PortReader(port, bus, PlayedManualClock(START), meters, threading.Event())
    try:
        return reader.sweep(START).readings
    finally:
        reader.close()


def require_true(readings: tuple[MeterReading, ...], registers: CountingRegisters) -> None:
    """Compare every import register with the true one, to the meter's own resolution."""
    for reading in readings:
        profile = Catalogue.shipped().by_hash(reading.profile_hash)
        channel = profile.groups[reading.group].channels[0]
        true_wh = registers.register(reading.meter, channel.obis)
        assert reading.quality is ReadQuality.MEASURED, reading.meter
        assert reading.mantissas[0] == channel.mantissa_at(true_wh or 0), reading.meter


def test_meters_of_three_protocols_share_a_line(line: Ends, keys: MeterKeyFolder, tmp_path: Path) -> None:
    port = serial_port(tmp_path / "line")
    for _ in range(2):
        readings = swept(port, SerialBus(port, PlayedManualClock(START)), keys, LOCATIONS)
        assert len(readings) == len(LOCATIONS)
        require_true(readings, line.registers)
        line.registers.base_wh += 12_345_000


def test_a_wrong_secret_costs_that_meters_reading_only(line: Ends, keys: MeterKeyFolder, tmp_path: Path) -> None:
    (tmp_path / "keys" / FOLDER / "m-u-a101.toml").write_text('password = "11111111"\n')
    (tmp_path / "keys" / FOLDER / "m-main.toml").unlink()
    port = serial_port(tmp_path / "line")
    readings = {each.meter: each for each in swept(port, SerialBus(port, PlayedManualClock(START)), keys, LOCATIONS)}
    assert readings[MeterId("m-u-a101")].quality is ReadQuality.REFUSED
    assert readings[MeterId("m-main")].quality is ReadQuality.INVALID
    others = tuple(each for meter, each in readings.items() if meter not in ("m-u-a101", "m-main"))
    assert len(others) == 3
    require_true(others, line.registers)


def test_meters_are_read_over_tcp(keys: MeterKeyFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = StreamPort(PortId("far"), GatewayId("gw-a"), "127.0.0.1", listener.getsockname()[1], 60)
        registers: list[CountingRegisters] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                ends = Ends(connection.fileno(), OVER_TCP)
                registers.append(ends.registers)
                ends.run()

        server = threading.Thread(target=serve)
        server.start()
        readings = swept(port, StreamBus(port, PlayedManualClock(START)), keys, OVER_TCP)
        server.join()
    assert len(readings) == 2
    require_true(readings, registers[0])
