"""From a site file to readings: pulses that come through a FIFO are counted, read at a mark, and kept over restarts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from edge_agent.port_plan import added, plan_port
from edge_agent.port_readers import readers_of
from edge_agent.sweep import PortReader
from metering.errors import DocumentError
from metering.identity import GatewayId, PortId
from metering.reading import ReadQuality
from metering.toml_source import TomlSource
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig
from provisioning.site import Bias, PulsePort
from provisioning.site_file import read_site
from tests.doubles.edge import GATEWAY, QUARTER, START, Location, PlayedManualClock, fitted

INPUTS: tuple[Location, ...] = (
    ("m-water", "pulse/water-10l", Protocol.PULSE, "17"),
    ("m-power", "pulse/electricity-800", Protocol.PULSE, "4"),
)


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    """A gateway with two pulse inputs on a FIFO, as its file says."""
    os.mkfifo(tmp_path / "edges")
    port = PulsePort(PortId("pulses"), GatewayId(GATEWAY), str(tmp_path / "edges"), 1000, False, Bias.AS_IS, 60)
    (tmp_path / "state").mkdir()
    written = GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=tmp_path / "state",
        signing_key=tmp_path / "signing.key",
        centre_public_key=tmp_path / "centre.pub",
        every_s=900,
        group="billing",
        broker=BrokerConfig("127.0.0.1", 1, None, None),
        clock=SYSTEM_CLOCK,
        ports=(port,),
        meters=tuple(fitted(each, "pulses") for each in INPUTS),
    )
    path = tmp_path / "gateway.toml"
    path.write_text(written.to_toml(), encoding="utf-8")
    read = GatewayConfig.from_toml(TomlSource.read(path))
    assert read == written
    return read


def reader_of(config: GatewayConfig) -> PortReader:
    """Build what the gateway reads its port with."""
    (reader,) = readers_of(config, Catalogue.shipped(), threading.Event(), lambda: PlayedManualClock(START))
    return reader


def pulses(config: GatewayConfig, line: int, count: int, at_ms: int = 0) -> None:
    """Put pulses in, with a bounce in each."""
    (port,) = config.ports
    assert isinstance(port, PulsePort)
    with Path(port.device).open("w", encoding="ascii") as edges:
        for at in range(at_ms, at_ms + 100 * count, 100):
            for level, after_ms in ((1, 0), (0, 0), (1, 0), (0, 50)):
                edges.write(f"{line} {level} {(at + after_ms) * 1_000_000}\n")


def mantissas(reader: PortReader, mark: int = 0) -> list[tuple[int | None, ...]]:
    """Sweep the port."""
    readings = reader.sweep(START + mark * QUARTER).readings
    assert {reading.quality for reading in readings} == {ReadQuality.MEASURED}
    return [reading.mantissas for reading in readings]


def test_pulses_are_read_at_a_mark_and_go_on_after_a_restart(config: GatewayConfig) -> None:
    first = reader_of(config)
    pulses(config, 17, 3)
    pulses(config, 4, 9)
    assert mantissas(first) == [(30,), (11,)]
    first.close()
    second = reader_of(config)
    pulses(config, 17, 1, at_ms=10_000)
    assert mantissas(second, 1) == [(40,), (11,)]
    second.close()


def test_inputs_that_are_not_there_are_told_at_the_start_and_tried_at_each_mark(
    config: GatewayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = config.ports
    device = Path(config.state_dir) / "later"
    reader = reader_of(replace(config, ports=(port.at(str(device)),)))
    assert "port-lost" in caplog.messages
    os.mkfifo(device)
    assert mantissas(reader) == [(0,), (0,)]
    reader.close()


def test_a_damaged_file_of_counts_costs_its_own_port_only(
    config: GatewayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Counting from 0 again would be billed as a fall of the register, and not counting at all is told."""
    (config.state_dir / "pulses-pulses.counts").write_bytes(b"something else")
    reader = reader_of(config)
    assert any("move the file away" in getattr(record, "reason", "") for record in caplog.records)
    (config.state_dir / "pulses-pulses.counts").unlink()
    assert mantissas(reader) == [(0,), (0,)]
    reader.close()


def test_a_port_of_pulses_is_planned_like_any_other(config: GatewayConfig) -> None:
    catalogue = Catalogue.shipped()
    more = added("3:pulse/gas-10l", config.ports, config.meters, catalogue)
    assert {meter.port for meter in more} == {"pulses"}
    plan = plan_port(
        config.ports[0], (*config.meters, *more), catalogue, group="billing", every_s=900, intervals=(), at=START
    )
    assert plan.sweep_s < 60


SITE_PORT = """
[[ports]]
id = "pulses"
gateway = "gw"
kind = "pulse"
device = "/dev/gpiochip0"
debounce_us = 5000
active_low = true
bias = "pull-up"
tolerance_s = 60
"""


def _same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_same, ""),
        (lambda text: text.replace("5000", "5000000"), "debounce_us"),
        (lambda text: text.replace("pull-up", "up"), "bias"),
        (lambda text: text.replace("active_low = true\n", ""), "active_low"),
    ],
)
def test_a_site_file_names_a_port_of_pulses(tmp_path: Path, change: Callable[[str], str], problem: str) -> None:
    park = Path(__file__).parents[2] / "examples" / "park"
    for path in park.iterdir():
        if path.suffix in (".toml", ".csv"):
            (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    gateways = tmp_path / "gateways.toml"
    added_port = change(SITE_PORT.replace('"gw"', '"gw-a"'))
    gateways.write_text(gateways.read_text(encoding="utf-8") + added_port, encoding="utf-8")
    if problem:
        with pytest.raises(DocumentError, match=problem):
            read_site(tmp_path)
        return
    (port,) = [port for port in read_site(tmp_path).ports if port.kind == "pulse"]
    assert port == PulsePort(PortId("pulses"), GatewayId("gw-a"), "/dev/gpiochip0", 5000, True, Bias.PULL_UP, 60)
