"""The arbiter on a real pseudo-terminal with DL/T 645 meters of both editions, a water and a heat meter on one pair."""

from __future__ import annotations

import json
from calendar import timegm
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import broadcasts_of, dlt645
from device_profiles.framing.dlt645 import ANY_METER, Dlt645Freeze, Dlt645ReadAddress
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.cli import main
from edge_agent.commands import address as command
from edge_agent.ports import BusTimeout
from metering.clock import SystemClock
from metering.identity import MeterId
from metering.obis import Obis
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig
from provisioning.site import LineSettings, Parity
from tests.doubles.edge import GATEWAY, serial_port
from tests.doubles.shared_line import SharedLine

REPLY_S = 2.0
LATE_S = 0.05
NOON = timegm((2026, 7, 1, 12, 0, 0))
METERS = {
    "new": ("dlt645/three-phase-full", Protocol.DLT645_2007, "202607010001"),
    "new-too": ("dlt645/single-phase", Protocol.DLT645_2007, "202607010002"),
    "old": ("dlt645-1997/three-phase", Protocol.DLT645_1997, "000000000003"),
    "water": ("cjt188/cold-water", Protocol.CJT188_2004, "78330011223344"),
    "heat": ("cjt188/heat-kwh", Protocol.CJT188_2018, "11110018439066"),
}


class World:
    """Registers by meter, raised as the test likes; moments are noon."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.raised = 0

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give a register that tells the meters apart and is whole in every unit."""
        if meter in self.away:
            return None
        if str(obis) in ("0-0:1.0.0", "1-0:0.1.2", "1-0:0.1.2*101") or obis.d == 134:
            return NOON
        is_counted = obis.d == 8 or str(obis) in ("8-0:1.0.0", "6-0:1.0.0")
        return 36_000_000 * (1 + list(METERS).index(meter)) + self.raised if is_counted else 0


@pytest.fixture
def world() -> World:
    """What the meters count."""
    return World()


@pytest.fixture
def line(tmp_path: Path, world: World) -> Iterator[SharedLine]:
    """The line, serving."""
    meters = [
        SimulatedMeter(MeterId(name), Catalogue.shipped().by_id(profile), protocol, address)
        for name, (profile, protocol, address) in METERS.items()
    ]
    made = SharedLine(tmp_path / "line", meters, world)
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


def read(bus: SerialBus, name: str, group_name: str = "billing") -> dict[str, int | None]:
    """Read a group of a meter as a sweep does, by OBIS code."""
    profile_id, protocol, address = METERS[name]
    profile = Catalogue.shipped().by_id(profile_id)
    group = profile.group(group_name)
    bodies = [
        bus.ask(protocol, address, each, reply_s=REPLY_S, late_s=LATE_S).body
        for each in plan_reads(profile, protocol, group)
    ]
    mantissas = decode_group(profile, protocol, group, bodies)
    return {str(channel.obis): mantissa for channel, mantissa in zip(group.channels, mantissas, strict=True)}


def test_four_protocols_share_a_line_in_any_order(bus: SerialBus) -> None:
    expected = {"new": 3_600_000, "new-too": 7_200_000, "old": 10_800_000, "water": 14_400, "heat": 5_000_000}
    for name in ("old", "water", "new", "heat", "new-too", "heat", "old", "new", "water"):
        assert next(iter(read(bus, name).values())) == expected[name], name
    assert bus.figures.spoiled == bus.figures.silent == 0


def test_a_freeze_gives_one_instant_for_every_meter_that_has_it(bus: SerialBus, world: World) -> None:
    broadcasts = broadcasts_of(Protocol.DLT645_2007)
    assert broadcasts is not None
    with pytest.raises(ExceptionReply, match="no such item"):
        read(bus, "new", "frozen")
    bus.converse(broadcasts.freeze(), reply_s=REPLY_S, late_s=LATE_S)
    world.raised = 36_000
    frozen = [read(bus, name, "frozen") for name in ("new", "new-too")]
    assert [each["1-0:1.8.0"] for each in frozen] == [3_600_000, 7_200_000]
    assert [each["1-0:0.1.2"] for each in frozen] == [NOON, NOON]
    assert read(bus, "new")["1-0:1.8.0"] == 3_603_600
    assert read(bus, "water")["8-0:1.0.0"] == 14_403


def test_one_meter_is_frozen_alone(bus: SerialBus) -> None:
    assert bus.ask(Protocol.DLT645_2007, METERS["new"][2], Dlt645Freeze(), reply_s=REPLY_S, late_s=LATE_S).body == b""
    assert read(bus, "new", "frozen")["1-0:1.8.0"] == 3_600_000
    with pytest.raises(ExceptionReply):
        read(bus, "new-too", "frozen")


def test_the_time_is_told_to_all_and_nobody_answers(bus: SerialBus, line: SharedLine) -> None:
    broadcasts = broadcasts_of(Protocol.DLT645_1997)
    assert broadcasts is not None
    bus.converse(broadcasts.set_time(datetime(2026, 7, 1, 12, 0, 5)), reply_s=REPLY_S, late_s=LATE_S)
    assert read(bus, "old", "clock") == {"0-0:1.0.0": NOON}
    frame = dlt645.scan(line.heard[0])[0][0]
    assert (frame.address, frame.field.hex()) == ("9" * 12, "050012010726")


def test_two_meters_that_hear_the_common_address_are_not_taken_for_one(bus: SerialBus, world: World) -> None:
    with pytest.raises((FrameError, BusTimeout)):
        bus.ask(Protocol.DLT645_2007, ANY_METER, Dlt645ReadAddress(), reply_s=0.2, late_s=0.2)
    world.away.add("new-too")
    alone = bus.ask(Protocol.DLT645_2007, ANY_METER, Dlt645ReadAddress(), reply_s=REPLY_S, late_s=LATE_S)
    assert alone.body.hex() == METERS["new"][2]


def test_a_meter_that_is_away_costs_its_own_reading_only(bus: SerialBus, world: World) -> None:
    world.away.add("water")
    with pytest.raises(BusTimeout):
        bus.ask(
            Protocol.CJT188_2004,
            METERS["water"][2],
            plan_reads(
                Catalogue.shipped().by_id("cjt188/cold-water"),
                Protocol.CJT188_2004,
                Catalogue.shipped().by_id("cjt188/cold-water").group("billing"),
            )[0],
            reply_s=0.1,
            late_s=0.1,
        )
    assert read(bus, "heat")["6-0:1.0.0"] == 5_000_000
    world.away.clear()
    assert read(bus, "water")["8-0:1.0.0"] == 14_400


def test_a_meter_may_pause_within_its_answer_as_the_standard_allows(bus: SerialBus, line: SharedLine) -> None:
    line.pause_s = 0.2
    assert read(bus, "old")["1-0:1.8.0"] == 10_800_000
    assert read(bus, "new", "clock") == {"0-0:1.0.0": NOON}


def config_of(tmp_path: Path) -> Path:
    """A gateway with the line and no meters yet."""
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
    return path


@pytest.mark.parametrize("alone", ["new", "old", "heat"])
def test_a_person_asks_the_one_meter_of_a_line_for_its_address(
    line: SharedLine, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], alone: str
) -> None:
    assert line.is_alive()
    world.away.update(set(METERS) - {alone})
    words = ["address", "--config", str(config_of(tmp_path)), "--port", "line-a"]
    asked = Protocol.CJT188_2004 if alone == "heat" else METERS[alone][1]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["protocol"], told["address"]) == (asked.value, METERS[alone][2])
    assert main([*words, "--lang", "zh"]) == 0
    assert f'请写 protocol = "{asked.value}"，address = "{METERS[alone][2]}"' in capsys.readouterr().out


def test_a_person_is_told_when_no_meter_or_more_than_one_answers(
    line: SharedLine, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        command, "USUAL_LINES", (LineSettings(2400, Parity.EVEN, 1), LineSettings(1200, Parity.NONE, 1))
    )
    words = ["address", "--config", str(config_of(tmp_path)), "--port", "line-a"]
    assert main(words) == 1
    assert "not one meter alone" in capsys.readouterr().out
    world.away.update(METERS)
    monkeypatch.setattr(command, "REPLY_S", 0.2)
    assert main(words) == 1
    assert "no meter answers on port line-a" in capsys.readouterr().out
    asked = len(line.heard)
    assert main([*words, "--scan", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"port": "line-a"}
    assert len(line.heard) - asked == 9, "three protocols at the port's own speed and two others"
    assert main([*words[:3], "--port", "nowhere"]) == 2
