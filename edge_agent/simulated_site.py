"""The lines of a gateway's own configuration as lines to simulate: it can run before anything is wired."""

from __future__ import annotations

from device_profiles.catalogue import Catalogue
from device_profiles.scenario import LineKind, LineSpec, Scenario, ScenarioInvalid, SimulatedSpec, simulated_spec
from device_profiles.timed_line import Speed
from provisioning.gateway_config import GatewayConfig
from provisioning.site import LineSettings, Port, PulsePort, SerialPort, StreamPort


def scenario_of(config: GatewayConfig, catalogue: Catalogue, seed: int) -> Scenario:
    """Give every line that has a meter; ports that count pulses are left out. Raises MeteringError."""
    lines = tuple(
        _line(port, config, catalogue)
        for port in config.ports
        if not isinstance(port, PulsePort) and config.meters_on(port.id)
    )
    if not lines:
        raise ScenarioInvalid(f"gateway {config.gateway} has no line with a meter")
    return Scenario(seed, lines)


def _line(port: Port, config: GatewayConfig, catalogue: Catalogue) -> LineSpec:
    kind, place, settings = _place(port)
    meters: dict[tuple[str, str], SimulatedSpec] = {}
    for each in config.meters_on(port.id):  # a meter that was replaced stands twice, and one of them hangs there
        spec = simulated_spec(catalogue, kind, each.profile, each.address, each.protocol)
        meters[each.protocol, each.address] = spec
    return LineSpec(kind, place, _speed(settings), tuple(meters.values()))


def _place(port: Port) -> tuple[LineKind, str, LineSettings | None]:
    if isinstance(port, SerialPort):
        return LineKind.SERIAL, port.device, port.line
    if isinstance(port, PulsePort):
        raise ScenarioInvalid(f"port {port.id} counts pulses; there is no line to simulate")
    place = f"{port.host}:{port.port}"
    if isinstance(port, StreamPort):
        return LineKind.STREAM, place, port.line
    return LineKind.MODBUS_TCP, place, None


def _speed(settings: LineSettings | None) -> Speed:
    if settings is None:
        return Speed(0)
    return Speed(settings.baud, settings.parity.value, settings.stopbits, settings.data_bits)
