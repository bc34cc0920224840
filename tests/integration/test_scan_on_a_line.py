"""The command `scan`, from a process's argument line to a line whose meters are set in two ways, in real time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.profile import Protocol
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.timed_port import PtyPort, TcpPort
from edge_agent.cli import main
from metering.clock import SystemClock
from metering.identity import GatewayId, PortId
from provisioning.site import LineSettings, Parity, SerialPort
from tests.doubles.scanned_line import SLOW, USUAL, on_line


@pytest.fixture
def meters() -> list[LineMeter]:
    """Two meters, each set in its own way."""
    return [
        on_line("dlt645/single-phase", "000012345678", SLOW, serial=12_345_678, turnaround_ms=10),
        on_line("chint/dtsu666", "3", USUAL, turnaround_ms=10),
    ]


@pytest.fixture
def line(tmp_path: Path, meters: list[LineMeter]) -> Iterator[str]:
    """A pseudo-terminal on which the meters hang."""
    with PtyPort(str(tmp_path / "line"), TimedLine(meters, Speed(9600), "seed")) as port:
        yield port.place


@pytest.mark.parametrize("parity", list(Parity))
def test_the_far_end_of_a_pseudo_terminal_sees_how_the_gateway_is_set(tmp_path: Path, parity: Parity) -> None:
    with PtyPort(str(tmp_path / "line"), TimedLine([on_line("acrel/adl400", "1")], USUAL, "seed")) as port:
        bus = SerialBus(SerialPort(PortId("p"), GatewayId("g"), port.place, 4800, parity, 1, 1), SystemClock())
        bus.open()
        assert port.speed() == Speed(4800, parity.value)
        bus._line.switch(LineSettings(19_200, Parity.ODD, 2))
        assert port.speed() == Speed(19_200, "O", 2)
        bus.close()


def test_meters_that_are_set_in_two_ways_are_found_and_one_is_given_another_address(
    tmp_path: Path,
    line: str,
    meters: list[LineMeter],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [
        "scan",
        "line-a",
        "--device",
        line,
        "--baud",
        "2400",
        "--parity",
        "E",
        "--json",
        "--set-address",
        "3=12",
        "--yes",
    ]
    expected = ["12345678@dlt645/single-phase", "@chint/dtsu666@3"]
    code = main([*arguments, *(part for each in expected for part in ("--expect", each))])
    events = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert code == 0, events
    end = next(each for each in events if each["event"] == "end")
    assert end["end"] == "all-found"
    found = {each["address"]: (each["line"]["baud"], each["line"]["parity"], each["serial"]) for each in end["meters"]}
    assert found == {"000012345678": (2400, "E", "000012345678"), "3": (9600, "N", None)}
    assert [each["meter"]["address"] for each in events if each["event"] == "found"] == [
        each["address"] for each in end["meters"]
    ]
    assert events[-1]["event"] == "set"
    assert events[-1]["meter"]["address"] == meters[1].meter.address == "12"
    assert not list(tmp_path.glob(".metertree-*"))


def test_meters_behind_a_converter_are_found_at_the_one_setting_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    over_tcp = Protocol.MODBUS_RTU_OVER_TCP
    meter = on_line("eastron/sdm630", "2", None, protocol=over_tcp, serial=23_001_234, turnaround_ms=5)
    with TcpPort("127.0.0.1:0", TimedLine([meter], Speed(115_200), "seed")) as port:
        assert main(["scan", "any", "--tcp", port.place, "--lang", "zh", "--expect", "23001234"]) == 0
    told = capsys.readouterr().out
    assert "Eastron SDM630" in told
    assert "应有的表全部找到" in told
