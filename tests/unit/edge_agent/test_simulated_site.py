"""A gateway's own configuration as lines to simulate."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.scenario import LineKind, ScenarioInvalid
from device_profiles.timed_line import Speed
from edge_agent.simulated_site import scenario_of
from metering.identity import MeterId, PortId
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, FittedMeter, GatewayConfig
from provisioning.site import ALWAYS, Bias, LineSettings, Parity, Port, PulsePort, SerialPort, StreamPort, TcpPort
from tests.doubles.edge import GATEWAY

LINE = SerialPort(PortId("line"), GATEWAY, "/tmp/line", 2400, Parity.EVEN, 1, 60)
NET = TcpPort(PortId("net"), GATEWAY, "127.0.0.1", 5020, 60)
CONVERTER = StreamPort(PortId("converter"), GATEWAY, "10.0.0.9", 26, 60, LineSettings(9600, Parity.NONE, 2))
METER_S_OWN = StreamPort(PortId("own"), GATEWAY, "10.0.0.8", 4059, 60)
PULSES = PulsePort(PortId("pulses"), GATEWAY, "/dev/gpiochip0", 1000, True, Bias.PULL_UP, 60)
METERS = (
    ("m-1", "line", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
    ("m-2", "line", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
    ("m-3", "net", "eastron/sdm630", Protocol.MODBUS_TCP, "1"),
    ("m-4", "converter", "chint/dtsu666", Protocol.MODBUS_RTU_OVER_TCP, "1"),
    ("m-5", "own", "dlms/public", Protocol.DLMS_WRAPPER, "1"),
    ("m-6", "pulses", "pulse/water-10l", Protocol.PULSE, "1"),
)


def config(*ports: Port) -> GatewayConfig:
    """A gateway of these ports."""
    known = {port.id for port in ports}
    return GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=Path("/tmp"),
        signing_key=Path("/tmp/key"),
        centre_public_key=Path("/tmp/centre"),
        every_s=900,
        group="billing",
        broker=BrokerConfig("127.0.0.1", 1883, None, None),
        clock=SYSTEM_CLOCK,
        ports=ports,
        meters=tuple(
            FittedMeter(MeterId(meter), PortId(port), model, protocol, address, ALWAYS)
            for meter, port, model, protocol, address in METERS
            if PortId(port) in known
        ),
    )


def test_each_port_becomes_a_line_as_it_is_set_and_pulses_are_left_out() -> None:
    scenario = scenario_of(config(LINE, NET, CONVERTER, METER_S_OWN, PULSES), Catalogue.shipped(), 9)
    told = [(line.kind, line.place, line.speed) for line in scenario.lines]
    assert told == [
        (LineKind.SERIAL, "/tmp/line", Speed(2400, "E")),
        (LineKind.MODBUS_TCP, "127.0.0.1:5020", Speed(0)),
        (LineKind.STREAM, "10.0.0.9:26", Speed(9600, "N", 2)),
        (LineKind.STREAM, "10.0.0.8:4059", Speed(0)),
    ]
    assert scenario.seed == 9


def test_a_meter_that_was_replaced_hangs_there_once() -> None:
    scenario = scenario_of(config(LINE), Catalogue.shipped(), 1)
    assert len(scenario.lines[0].meters) == 1


def test_a_gateway_without_a_line_says_so() -> None:
    for ports in ((PULSES,), ()):
        with pytest.raises(ScenarioInvalid, match="no line"):
            scenario_of(config(*ports), Catalogue.shipped(), 1)
