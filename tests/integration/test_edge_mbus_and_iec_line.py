"""The arbiter on a real pseudo-terminal with M-Bus and IEC 62056-21 meters, as they share one pair of wires."""

from __future__ import annotations

import json
import os
import pty
import select
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import mbus_search
from device_profiles.framing.errors import FrameError
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.cli import main
from edge_agent.ports import BusTimeout
from metering.clock import SystemClock
from metering.identity import MeterId
from metering.obis import Obis
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig
from provisioning.site import LineSettings, Parity
from tests.doubles.edge import GATEWAY, serial_port

REPLY_S = 2.0
LATE_S = 0.05
OPTICAL = LineSettings(300, Parity.EVEN, 1, databits=7, gap_ms=1)
METERS = {
    "water": ("mbus/water", Protocol.MBUS, "8"),
    "heat-a": ("mbus/heat-kwh", Protocol.MBUS, "11110000"),
    "heat-b": ("mbus/heat-kwh", Protocol.MBUS, "11110001"),
    "power": ("iec62056-21/electricity-full", Protocol.IEC62056_21, "12345678"),
}


class World:
    """Registers by meter; who is away does not answer."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give a register that tells the meters apart and is whole in every unit."""
        if meter in self.away:
            return None
        return 36_000_000 * (1 + list(METERS).index(meter)) if obis.d in (0, 8) else 0


class SharedLine(threading.Thread):
    """A pseudo-terminal on which every meter hears every request; answers at once overlay each other."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.meters = [
            SimulatedMeter(MeterId(name), Catalogue.shipped().by_id(profile), protocol, address)
            for name, (profile, protocol, address) in METERS.items()
        ]
        self.ends = request_ends(protocol for _, protocol, _ in METERS.values())
        self.line, far_end = pty.openpty()
        tty.setraw(far_end)
        path.symlink_to(os.ttyname(far_end))
        self.far_end = far_end
        self.stopping = threading.Event()

    def run(self) -> None:
        """Answer until told to stop."""
        rest = b""
        while not self.stopping.is_set():
            if select.select([self.line], [], [], 0.05)[0]:
                requests, rest = split_requests(rest + os.read(self.line, 4096), self.ends)
                for request in requests:
                    self._answer(request)

    def _answer(self, request: bytes) -> None:
        replies = [reply for meter in self.meters if (reply := meter.answer(request, self.world)) is not None]
        if replies:
            joined = replies[0]
            for reply in replies[1:]:
                joined = bytes(a & b for a, b in zip(joined, reply, strict=False))
            os.write(self.line, joined)

    def stop(self) -> None:
        """End."""
        self.stopping.set()
        self.join()
        os.close(self.far_end)
        os.close(self.line)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SharedLine]:
    """The line, serving."""
    made = SharedLine(tmp_path / "line", World())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def bus(line: SharedLine, tmp_path: Path) -> Iterator[SerialBus]:
    """The gateway's end."""
    assert line.is_alive()
    made = SerialBus(serial_port(tmp_path / "line"), SystemClock())
    made.open()
    yield made
    made.close()


def billed(bus: SerialBus, name: str) -> tuple[int | None, ...]:
    """Read the billing group of a meter as a sweep does."""
    profile_id, protocol, address = METERS[name]
    profile = Catalogue.shipped().by_id(profile_id)
    group = profile.group("billing")
    settings = OPTICAL if protocol is Protocol.IEC62056_21 else None
    bodies = [
        bus.ask(protocol, address, read, reply_s=REPLY_S, late_s=LATE_S, line=settings).body
        for read in plan_reads(profile, protocol, group)
    ]
    return decode_group(profile, protocol, group, bodies)


def test_meters_of_both_protocols_are_read_on_one_line_in_any_order(bus: SerialBus) -> None:
    expected = {
        "water": (36_000_000,),
        "heat-a": (2_000_000,),
        "heat-b": (3_000_000,),
        "power": (144_000_000, 144_000_000),
    }
    for name in ("water", "power", "heat-b", "water", "heat-a", "power", "heat-b", "heat-a"):
        assert billed(bus, name) == expected[name], name
    assert bus.figures.switches >= 4
    assert bus.figures.spoiled == bus.figures.silent == 0


def test_a_meter_that_is_away_costs_its_own_reading_only(bus: SerialBus, line: SharedLine) -> None:
    line.world.away.add("heat-a")
    with pytest.raises((BusTimeout, FrameError)):
        bus.ask(
            Protocol.MBUS,
            "11110000",
            plan_reads(Catalogue.shipped().by_id("mbus/heat-kwh"), Protocol.MBUS, line.meters[1].profile.groups[0])[0],
            reply_s=0.1,
            late_s=0.15,
        )
    assert billed(bus, "heat-b") == (3_000_000,)
    line.world.away.clear()
    assert billed(bus, "heat-a") == (2_000_000,)


def test_the_search_finds_the_meters_of_a_line_that_others_share(bus: SerialBus) -> None:
    found = bus.converse(mbus_search.conversation("1111000"), reply_s=0.1, late_s=0.1).body.decode().split()
    assert [each[:8] for each in found] == ["11110000", "11110001"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_person_finds_the_addresses_by_a_command(
    line: SharedLine, tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    assert line.is_alive()
    config = GatewayConfig(
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
        ports=(serial_port(tmp_path / "line"),),
        meters=(),
    )
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    words = ["search", "--config", str(path), "--port", "line-a", "--lang", lang]
    assert main([*words, "--first", "11110000"]) == 0
    assert "11110000B535010" in capsys.readouterr().out
    assert main([*words, "--first", "9999", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"port": "line-a", "meters": [], "unresolved": []}
    for wrong in (["--first", "12a"], ["--first", "123456789"]):
        assert main([*words, *wrong]) == 2
    assert main([*words[:3], "--port", "nowhere"]) == 2
