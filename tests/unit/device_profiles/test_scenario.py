"""Scenarios to simulate: read whole, and every mistake named with its line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.misbehaviour import Misbehaviour
from device_profiles.profile import Protocol
from device_profiles.scenario import LineKind, Scenario, ScenarioInvalid, bounds, read_scenario, simulated_spec
from device_profiles.timed_line import Speed
from metering.errors import DocumentError
from metering.toml_source import TomlSource

CATALOGUE = Catalogue.shipped()
GOOD = """
seed = 7

[[lines]]
path = "/tmp/line-1"
baud = 2400
parity = "E"
echo = true
noise = 5

[[lines.meters]]
profile = "chint/dtsu666"
address = "1"
late = 20
late-ms = 900
wrong-parity = true

[[lines.meters]]
profile = "dlt645/three-phase"
address = "202607000001"
clock-jump-at-s = 5
clock-jump-s = -60

[[lines]]
tcp = "127.0.0.1:5020"
kind = "modbus-tcp"

[[lines.meters]]
profile = "eastron/sdm630"
address = "1"
protocol = "modbus-tcp"

[[lines]]
tcp = "127.0.0.1:5021"
baud = 9600

[[lines.meters]]
profile = "chint/dtsu666"
address = "1"
"""


def read(text: str) -> Scenario:
    """Read a scenario's text."""
    return read_scenario(TomlSource.parse(text, "scenario.toml"), CATALOGUE)


def faults_of(text: str) -> list[tuple[int, str]]:
    """The mistakes, each with its line."""
    with pytest.raises(DocumentError) as caught:
        read(text)
    return [(fault.line, fault.problem) for fault in caught.value.faults]


def test_a_scenario_is_read_whole() -> None:
    scenario = read(GOOD)
    serial, modbus_tcp, stream = scenario.lines
    assert scenario.seed == 7
    assert (serial.kind, serial.place, serial.speed) == (LineKind.SERIAL, "/tmp/line-1", Speed(2400, "E"))
    assert (serial.echo, serial.noise) == (True, 5)
    assert [meter.protocol for meter in serial.meters] == [Protocol.MODBUS_RTU, Protocol.DLT645_2007]
    assert serial.meters[0].ways == Misbehaviour(late=20, late_ms=900, wrong_parity=True)
    assert serial.meters[1].ways == Misbehaviour(clock_jump_at_s=5, clock_jump_s=-60)
    assert (modbus_tcp.kind, modbus_tcp.speed.char_s) == (LineKind.MODBUS_TCP, 0)
    assert (stream.kind, stream.meters[0].protocol) == (LineKind.STREAM, Protocol.MODBUS_RTU_OVER_TCP)
    assert stream.speed.char_s == 10 / 9600


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("baud = 2400", "baud = 24", 6, "24 is not within 300 to 921600"),
        ('parity = "E"', 'parity = "X"', 7, "'X' is not known here"),
        ("noise = 5", "noises = 5", 9, "unknown key 'noises'"),
        (
            'profile = "chint/dtsu666"\naddress = "1"\nlate',
            'profile = "no/such"\naddress = "1"\nlate',
            11,
            "no profile",
        ),
        ('address = "1"\nlate', 'address = "one"\nlate', 11, "'one' is not a Modbus unit id"),
        ("late = 20", "late = 101", 14, "101 is not within 0 to 100"),
        ("late = 20", "latte = 20", 14, "unknown key 'latte'"),
        ("wrong-parity = true", "wrong-parity = 1", 16, "'wrong-parity' is not true or false"),
        ('"127.0.0.1:5020"', '"127.0.0.1"', 25, "'127.0.0.1' is not of the form host:port"),
        ('kind = "modbus-tcp"', 'kind = "serial"', 26, "a serial line is not there"),
        ('protocol = "modbus-tcp"', 'protocol = "dlt645-2007"', 28, "does not carry dlt645-2007"),
        ('protocol = "modbus-tcp"', 'protocol = "carrier-pigeon"', 28, "is no protocol"),
    ],
)
def test_each_mistake_is_named_with_its_line(old: str, new: str, line: int, problem: str) -> None:
    assert old in GOOD
    found = faults_of(GOOD.replace(old, new, 1))
    assert found[0][0] == line
    assert problem in found[0][1]


def test_all_mistakes_are_found_in_one_run() -> None:
    text = GOOD.replace("baud = 2400", "baud = 1").replace("late = 20", "late = -1").replace("5021", "nowhere")
    assert [line for line, _ in faults_of(text)] == [6, 14, 34]


def test_only_on_a_wire_can_two_meters_have_one_address() -> None:
    twice = '\n[[lines.meters]]\nprofile = "chint/dtsu666"\naddress = "1"\n'
    assert len(read(GOOD + twice).lines[2].meters) == 2
    other = f'[[lines]]\ntcp = "h:1"\nkind = "modbus-tcp"{2 * twice}'.replace("chint/dtsu666", "eastron/sdm630")
    other = other.replace('address = "1"', 'address = "1"\nprotocol = "modbus-tcp"')
    assert "stands twice" in faults_of(other)[0][1]


def test_nothing_is_no_scenario_and_two_lines_cannot_be_at_one_place() -> None:
    assert "no lines" in faults_of("seed = 1")[0][1]
    assert "no meters" in faults_of('[[lines]]\npath = "/tmp/x"')[0][1]
    line = '[[lines]]\npath = "/tmp/x"\n[[lines.meters]]\nprofile = "chint/dtsu666"\naddress = "1"\n'
    assert "two lines are at /tmp/x" in faults_of(line + line)[0][1]


def test_a_model_is_spoken_to_by_what_its_line_carries() -> None:
    assert simulated_spec(CATALOGUE, LineKind.SERIAL, "chint/dtsu666", "1", "").protocol is Protocol.MODBUS_RTU
    with pytest.raises(ScenarioInvalid, match="cannot be on it"):
        simulated_spec(CATALOGUE, LineKind.MODBUS_TCP, "dlt645/three-phase", "202607000001", "")


def test_every_way_has_bounds() -> None:
    for each in fields(Misbehaviour):
        least, most = bounds(each.name)
        assert least < most


def test_the_page_s_scenario_is_one_and_its_table_is_whole() -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
    scenario = read(page.split("```toml")[1].split("```")[0])
    assert [len(line.meters) for line in scenario.lines] == [2, 1]
    assert scenario.lines[1].meters[0].protocol is Protocol.MODBUS_TCP
    for each in fields(Misbehaviour):
        assert f"`{each.name.replace('_', '-')}`" in page
