"""A line of 32 meters of three protocols that nobody wrote down: models, addresses, settings, numbers."""

from __future__ import annotations

import random

from device_profiles.catalogue import Catalogue
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import Misbehaviour
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from edge_agent.scanning.result import ExpectedMeter
from metering.identity import MeterId

WALL_S = 1_782_864_000
MODBUS_SPEED = Speed(9600, "N")
SLOW_SPEED = Speed(2400, "E")
MODBUS = (
    "chint/dtsu666",
    "chint/dtsu666",
    "chint/dtsu666",
    "acrel/adl400",
    "acrel/adl400",
    "acrel/adl400",
    "eastron/sdm630",
    "eastron/sdm630",
    "chint/ddsu666",
    "chint/ddsu666",
    "delixi/dtsu6606",
    "acrel/adw300",
)
CHINESE = ("dlt645/single-phase",) * 8 + ("dlt645/three-phase",) * 4
MBUS = ("mbus/water",) * 3 + ("mbus/water-warm",) * 2 + ("mbus/electricity-2-tariffs",) * 2 + ("mbus/gas",)


def cabinet(
    seed: int,
    modbus: Speed = MODBUS_SPEED,
    chinese: Speed = SLOW_SPEED,
    mbus: Speed = SLOW_SPEED,
    most: int = 32,
) -> list[LineMeter]:
    """Draw the line: same seed, same meters."""
    draw = random.Random(seed)
    units = draw.sample(range(1, 60), len(MODBUS))
    meters = [
        _meter(draw, profile, Protocol.MODBUS_RTU, str(unit), modbus)
        for profile, unit in zip(MODBUS, units, strict=True)
    ]
    meters += [
        _meter(draw, profile, Protocol.DLT645_2007, f"{draw.randrange(10**11, 10**12 - 1):012d}", chinese)
        for profile in CHINESE
    ]
    meters += [_meter(draw, profile, Protocol.MBUS, f"{draw.randrange(10**7, 10**8):08d}", mbus) for profile in MBUS]
    draw.shuffle(meters)
    return meters[:most]


def _meter(draw: random.Random, profile_id: str, protocol: Protocol, address: str, speed: Speed) -> LineMeter:
    profile = Catalogue.shipped().by_id(profile_id)
    serial = draw.randrange(10**7, 10**8) if protocol.is_modbus else int(address)
    meter = SimulatedMeter(MeterId(f"{protocol}-{address}"), profile, protocol, address, serial)
    ways = Misbehaviour(turnaround_ms=draw.randint(15, 90))
    return LineMeter(meter, LivingRegisters(profile, f"{serial}", WALL_S), ways, speed)


def line_of(meters: list[LineMeter]) -> TimedLine:
    """Put the meters on one wire."""
    return TimedLine(meters, Speed(9600), "seed")


def plan_of(meters: list[LineMeter]) -> list[ExpectedMeter]:
    """Give what an order file says of them: models and numbers, no address and no setting."""
    return [ExpectedMeter(serial_of(each), each.meter.profile.id, each.meter.protocol) for each in meters]


def serial_of(meter: LineMeter) -> str:
    """Give the number that is printed on a meter, "" where nothing on the line shows it."""
    if meter.meter.protocol is Protocol.MODBUS_RTU:
        return str(meter.meter.serial) if any(each.is_serial for each in meter.meter.profile.probes) else ""
    return meter.meter.address
