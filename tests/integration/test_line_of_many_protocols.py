"""One RS-485 line with a meter of every serial protocol: each hears all requests, and none answers for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import register_readings
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import LineInvalid, SerialLine
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.sweep import AskedMeter, PortReader
from metering.identity import MeterId
from metering.obis import Obis
from metering.reading import ReadQuality
from tests.doubles.edge import START, Location, PlayedManualClock, fitted, serial_port

METERS: tuple[Location, ...] = (
    ("m-1", "acrel/adl400", Protocol.MODBUS_RTU, "1"),  # 01 03 could also begin a command of IEC 62056-21
    ("m-2", "dlt645/three-phase", Protocol.DLT645_2007, "202607000002"),
    ("m-3", "dlt645-1997/three-phase", Protocol.DLT645_1997, "202607000003"),
    ("m-4", "cjt188/cold-water", Protocol.CJT188_2004, "20260700000004"),
    ("m-5", "mbus/heat-kwh", Protocol.MBUS, "5"),
    ("m-6", "sunspec/three-phase", Protocol.MODBUS_RTU, "6"),
    ("m-7", "dlms/public", Protocol.DLMS_HDLC, "1/17"),
)
ENERGY = 36_000_000
"""Shown by every register, in its own base unit: whole kilowatt-hours, cubic metres and kilojoules."""


class World:
    """Every register shows the same number of base units."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return ENERGY


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[PortReader]:
    """The line, and the gateway's reader of it."""
    catalogue = Catalogue.shipped()
    meters = [
        SimulatedMeter(MeterId(meter), catalogue.by_id(profile), protocol, address)
        for meter, profile, protocol, address in METERS
    ]
    with SerialLine(tmp_path / "line", meters, World()):
        clock, port = PlayedManualClock(START), serial_port(tmp_path / "line")
        asked = [AskedMeter.prepare(fitted(each, "line-a"), catalogue, "billing") for each in METERS]
        made = PortReader(port, SerialBus(port, clock), clock, asked, threading.Event())
        yield made
        made.close()


def test_meters_of_six_protocols_are_read_on_one_line(reader: PortReader) -> None:
    readings = reader.sweep(START).readings
    assert {reading.meter: reading.quality.name for reading in readings} == dict.fromkeys(
        (meter for meter, *_ in METERS), ReadQuality.MEASURED.name
    )
    catalogue = Catalogue.shipped()
    for reading in readings:
        first = register_readings(catalogue.by_hash(reading.profile_hash), reading, START)[0]
        assert first.shown is not None
        assert first.shown.to_base() == ENERGY, reading.meter


def test_a_meter_without_a_line_cannot_hang_on_one(tmp_path: Path) -> None:
    meter = SimulatedMeter(MeterId("m-1"), Catalogue.shipped().by_id("acrel/adl400"), Protocol.MODBUS_TCP, "1")
    with pytest.raises(LineInvalid, match="m-1 speaks modbus-tcp"):
        SerialLine(tmp_path / "line", [meter], World())
