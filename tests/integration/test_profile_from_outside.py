"""Adding a model is a data file and needs no code: one from a folder of the site, checked, read on a wire, decoded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.decode import register_readings
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.simulator import SerialLine
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.cli import main
from edge_agent.sweep import AskedMeter, PortReader
from metering.clock import ManualClock
from metering.envelope import digest_of
from metering.identity import MeterId
from metering.obis import Obis
from metering.reading import ReadQuality
from tests.doubles.edge import START, fitted, serial_port

MODEL = "newmaker/pm7"
LOCATION = ("m-new", MODEL, Protocol.MODBUS_RTU, "44")
PROFILE = """\
# A model that no one has read before: low word first, kWh and hundredths apart, power with its own power of ten.
schema = 1
id = "newmaker/pm7"
rev = 1
medium = "electricity"
side = "primary"
evidence = "documents"

[names]
zh = "新型号"
en = "New model"

[[sources]]
title = "Maker's manual"
version = "1.0"
page = "12"

[links.modbus-rtu]
bauds = [9600]
parity = "E"
stop_bits = 1
registers_max = 40
hole_max = 8
forbid = [{ function = 3, first = 0x0106, last = 0x010F }]
reply_ms_max = 300

[[groups]]
name = "billing"
atomic = true

[[groups.channels]]
obis = "1-0:1.8.0"
unit = "kWh"
exponent = -2
kind = "counter"
modulus = 10000000000
modbus = { function = 3, address = 0x0100, type = "bcd32", order = "CDAB", decimals = 0x0102, digits = 2 }

[[groups]]
name = "status"

[[groups.channels]]
obis = "1-0:16.7.0"
unit = "W"
exponent = 0
kind = "gauge"
modbus = { function = 3, address = 0x0110, type = "mag16", scale = 0x0112 }

[[groups.channels]]
obis = "0-0:97.97.0"
unit = "1"
exponent = 0
kind = "state"
modbus = { function = 3, address = 0x0111, type = "u16", bits = [2, 3] }
"""
SHOWN = {"1-0:1.8.0": 87_654_321_980, "1-0:16.7.0": -2310, "0-0:97.97.0": 2000}
"""True registers [Wh, W, 1/1000]; energy beyond the modulus would begin anew."""


class World:
    """What the one meter shows."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return SHOWN[str(obis)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of profiles beside the program."""
    path = tmp_path / "profiles" / "newmaker" / "pm7.toml"
    path.parent.mkdir(parents=True)
    path.write_text(PROFILE, encoding="utf-8")
    return tmp_path / "profiles"


@pytest.fixture
def reader(folder: Path, tmp_path: Path) -> Iterator[tuple[PortReader, ManualClock]]:
    """The meter on a pseudo-terminal, and the gateway's reader of it."""
    catalogue = Catalogue.load(folder)
    meter = SimulatedMeter(MeterId("m-new"), catalogue.by_id(MODEL), Protocol.MODBUS_RTU, "44")
    with SerialLine(tmp_path / "line", [meter], World()):
        clock = ManualClock(START)
        port = serial_port(tmp_path / "line")
        asked = [
            AskedMeter.prepare(fitted(LOCATION, "line-a"), catalogue, "billing"),
        ]
        made = PortReader(port, SerialBus(port, clock), clock, asked, threading.Event())
        yield made, clock
        made.close()


def test_a_model_from_a_folder_is_read_on_a_wire_and_decoded_by_the_centre(
    reader: tuple[PortReader, ManualClock], folder: Path
) -> None:
    (reading,) = reader[0].sweep(START).readings
    assert reading.quality is ReadQuality.MEASURED
    centre = Catalogue.load(folder)
    (energy,) = register_readings(centre.by_hash(reading.profile_hash), reading, START)
    assert str(energy.shown) == "87654321.98 kWh"
    with pytest.raises(ProfileUnknown):
        Catalogue.shipped().by_hash(reading.profile_hash)


def test_the_profile_of_a_reading_is_its_content(folder: Path) -> None:
    profile = Catalogue.load(folder).by_id(MODEL)
    assert profile.hash == digest_of(profile.canonical)


def test_its_file_is_checked_by_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "newmaker" / "pm7.toml"
    assert main(["profile", "check", str(path)]) == 0
    assert "newmaker/pm7 rev 1, from manual" in capsys.readouterr().out
    assert main(["profile", "show", MODEL, "--profiles", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"]["status"][1]["source"]["bits"] == "[2, 3]"


def test_a_mistake_in_it_is_named_with_its_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "newmaker" / "pm7.toml"
    path.write_text(PROFILE.replace('"bcd32"', '"s32"'), encoding="utf-8")
    assert main(["profile", "check", str(path)]) == 2
    line = PROFILE.splitlines().index(next(each for each in PROFILE.splitlines() if "bcd32" in each)) + 1
    assert f"pm7.toml:{line}: s32 has no decimal part beside it" in capsys.readouterr().out
