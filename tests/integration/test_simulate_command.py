"""Simulated lines as others meet them: a plain pymodbus client, our own bus, and the whole command as a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from device_profiles.catalogue import Catalogue
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.misbehaviour import HONEST, Misbehaviour
from device_profiles.profile import Protocol
from device_profiles.scenario import LineKind, LineSpec, simulated_spec
from device_profiles.timed_line import Speed
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.timed_port import PlaceTaken, PtyPort, TcpPort, TimedPort, timed_port
from edge_agent.cli import main
from edge_agent.ports import BusTimeout
from metering.clock import SystemClock
from metering.errors import MeterError
from metering.identity import MeterId, PortId
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, FittedMeter, GatewayConfig
from provisioning.site import ALWAYS, Parity, SerialPort
from provisioning.site import TcpPort as TcpPlace
from tests.doubles.edge import GATEWAY, serial_port

CATALOGUE = Catalogue.shipped()
WALL_S = 1_782_864_000
ENERGY, VOLTAGE = ModbusRead(3, 0x101E, 2), ModbusRead(3, 0x2006, 2)
VOLTAGES = ModbusRead(3, 0x2006, 6)
"""Longer than what is asked beside it: a stalled machine cannot make an answer too late to be told apart."""
TURNAROUND_MS, LATE_MS = 600, 500
TIMEOUT_S = 0.7
"""The answer begins after 1.1 s: after this timeout, and long before the next answer can."""
LATE = Misbehaviour(turnaround_ms=TURNAROUND_MS, late=100, late_ms=LATE_MS)
PROCESS_S = 30


def spec(place: str, ways: Misbehaviour = HONEST, kind: LineKind = LineKind.SERIAL) -> LineSpec:
    """A line with a meter."""
    protocol = "modbus-tcp" if kind is LineKind.MODBUS_TCP else ""
    model = "eastron/sdm630" if kind is LineKind.MODBUS_TCP else "chint/dtsu666"
    meter = simulated_spec(CATALOGUE, kind, model, "1", protocol, ways)
    return LineSpec(kind, place, Speed(9600 if kind is LineKind.SERIAL else 0), (meter,))


@pytest.fixture
def late_line(tmp_path: Path) -> Iterator[TimedPort]:
    """A line whose meter is always late."""
    with timed_port(spec(str(tmp_path / "line"), LATE), 1, WALL_S) as port:
        yield port


def test_a_plain_client_takes_the_late_answer_for_its_answer(late_line: TimedPort) -> None:
    client = ModbusSerialClient(late_line.place, framer=FramerType.RTU, baudrate=9600, timeout=TIMEOUT_S, retries=0)
    assert client.connect()
    with contextlib.suppress(ModbusIOException):
        client.read_holding_registers(ENERGY.address, count=2, device_id=1)
    found = client.read_holding_registers(VOLTAGE.address, count=2, device_id=1)
    client.close()  # type: ignore[no-untyped-call]
    converted = client.convert_from_registers(found.registers, client.DATATYPE.FLOAT32)
    assert isinstance(converted, float)
    assert not 2200 < converted < 2400, "the energy was taken for the voltage"
    assert late_line.line.figures.faults["late"] == 2


def test_our_bus_does_not(late_line: TimedPort) -> None:
    bus = SerialBus(serial_port(late_line.place), SystemClock())
    bus.open()
    with pytest.raises(BusTimeout):
        bus.ask(Protocol.MODBUS_RTU, "1", ENERGY, reply_s=TIMEOUT_S, late_s=5.0)
    body = bus.ask(Protocol.MODBUS_RTU, "1", VOLTAGE, reply_s=10.0, late_s=10.0).body
    bus.close()
    assert 2200 < struct.unpack(">f", body)[0] < 2400


def test_our_bus_takes_nothing_wrong_from_a_line_where_everything_goes_wrong(tmp_path: Path) -> None:
    ways = Misbehaviour(turnaround_ms=5, late=15, late_ms=150, mute=10, garbled=15, cut=10, busy=10, foreign=10)
    wild = replace(spec(str(tmp_path / "line"), ways), speed=Speed(115_200), echo=True, noise=20)
    with timed_port(wild, 5, WALL_S) as port:
        bus = SerialBus(replace(serial_port(port.place), baud=115_200), SystemClock())
        bus.open()
        taken: dict[ModbusRead, list[bytes]] = {ENERGY: [], VOLTAGES: []}
        for number in range(50):
            read = VOLTAGES if number % 2 else ENERGY
            with contextlib.suppress(MeterError):
                taken[read].append(bus.ask(Protocol.MODBUS_RTU, "1", read, reply_s=0.1, late_s=0.3).body)
        bus.close()
        faults = port.line.figures.faults
    assert len(faults) >= 4
    assert len(taken[ENERGY]) > 2
    assert all(2200 < volts < 2400 for body in taken[VOLTAGES] for volts in struct.unpack(">fff", body))
    energy = [struct.unpack(">f", body)[0] for body in taken[ENERGY]]
    assert energy == sorted(energy)
    assert energy[-1] - energy[0] < 1, "kWh within a minute"


def test_modbus_tcp_is_spoken_to_by_several_and_survives_nonsense() -> None:
    with timed_port(spec("127.0.0.1:0", kind=LineKind.MODBUS_TCP), 1, WALL_S) as port:
        host, _, number = port.place.rpartition(":")
        clients = [ModbusTcpClient(host, port=int(number), timeout=10, retries=0) for _ in range(2)]
        for client in clients:
            assert client.connect()  # type: ignore[no-untyped-call]
            assert not client.read_input_registers(0, count=2, device_id=1).isError()
        assert clients[1].read_input_registers(0, count=2, device_id=9).exception_code == 11
        clients[0].socket.send(b"GET / HTTP/1.1\r\n\r\n")  # type: ignore[union-attr]
        assert not clients[1].read_input_registers(0, count=2, device_id=1).isError()
        for client in clients:
            client.close()  # type: ignore[no-untyped-call]


def test_what_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for place in (there, link, tmp_path / "no-folder" / "line"):
        with pytest.raises(PlaceTaken):
            timed_port(spec(str(place)), 1, WALL_S)
    assert there.read_text() == "mine"
    assert os.readlink(link) == "/dev/null"


def test_a_line_is_taken_away_and_a_newer_one_stays(tmp_path: Path) -> None:
    place = tmp_path / "line"
    older, newer = (timed_port(spec(str(place)), 1, WALL_S) for _ in range(2))
    assert isinstance(older, PtyPort)
    older.stop()
    older.stop()
    assert place.is_symlink()
    newer.stop()
    assert not place.is_symlink()
    with timed_port(spec("127.0.0.1:0", kind=LineKind.MODBUS_TCP), 1, WALL_S) as port:
        assert isinstance(port, TcpPort)
        with pytest.raises(PlaceTaken):
            timed_port(spec(port.place, kind=LineKind.MODBUS_TCP), 1, WALL_S)


@contextlib.contextmanager
def simulating(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command as a process, and what it says when it is ready."""
    command = [sys.executable, "-m", "edge_agent", "simulate", "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        yield process, json.loads(ready) if ready else {}
    finally:
        process.kill()
        process.communicate(timeout=PROCESS_S)


def ended(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """End the command as a service manager does; its figures."""
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    told = process.stdout.readline()
    assert process.wait(timeout=PROCESS_S) == 0
    figures: list[dict[str, Any]] = json.loads(told)["figures"]
    return figures


def config(folder: Path, tcp_port: int) -> Path:
    """A gateway of two lines."""
    path = folder / "gateway.toml"
    meters = (
        ("m-1", "line", "chint/dtsu666", Protocol.MODBUS_RTU, "1"),
        ("m-2", "line", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
        ("m-3", "net", "eastron/sdm630", Protocol.MODBUS_TCP, "1"),
    )
    made = GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=folder,
        signing_key=folder / "key",
        centre_public_key=folder / "centre",
        every_s=900,
        group="billing",
        broker=BrokerConfig("127.0.0.1", 1883, None, None),
        clock=SYSTEM_CLOCK,
        ports=(
            SerialPort(PortId("line"), GATEWAY, str(folder / "line"), 9600, Parity.NONE, 1, 60),
            TcpPlace(PortId("net"), GATEWAY, "127.0.0.1", tcp_port, 60),
        ),
        meters=tuple(
            FittedMeter(MeterId(meter), PortId(port), model, protocol, address, ALWAYS)
            for meter, port, model, protocol, address in meters
        ),
    )
    path.write_text(made.to_toml())
    return path


def free_port() -> int:
    """A port that was free a moment ago."""
    with timed_port(spec("127.0.0.1:0", kind=LineKind.MODBUS_TCP), 1, WALL_S) as port:
        return int(port.place.rpartition(":")[2])


def test_a_gateway_s_whole_configuration_is_played_and_probed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, free_port())
    with simulating("--config", str(path), "--seed", "3") as (process, ready):
        assert ready["seed"] == 3
        assert [line["kind"] for line in ready["lines"]] == ["serial", "modbus-tcp"]
        assert main(["probe", "--config", str(path), "--json"]) == 0
        read = json.loads(capsys.readouterr().out)
        figures = ended(process)
    assert {meter["meter"]: meter["quality"] for meter in read} == dict.fromkeys(("m-1", "m-2", "m-3"), "MEASURED")
    assert all("kWh" in meter["registers"]["1-0:1.8.0"] for meter in read)
    serial, network = figures
    assert serial["answers"] == serial["requests"] == 3
    char_s = 10 / 9600
    octets = serial["octets_asked"] + serial["octets_answered"]
    assert serial["wire_s"] == pytest.approx(octets * char_s + 3 * 0.03, abs=1e-5)
    assert serial["utilisation"] == pytest.approx(serial["wire_s"] / serial["elapsed_s"], abs=1e-4)
    assert network["answers"] == 1
    assert not (tmp_path / "line").is_symlink()


def test_a_scenario_and_plain_words_are_played(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        f'[[lines]]\npath = "{tmp_path / "a"}"\n[[lines.meters]]\nprofile = "chint/dtsu666"\naddress = "1"\n'
    )
    with simulating("--scenario", str(scenario), "--mute", "100") as (process, ready):
        client = ModbusSerialClient(ready["lines"][0]["place"], baudrate=9600, timeout=0.3, retries=0)
        assert client.connect()
        with contextlib.suppress(ModbusIOException):
            client.read_holding_registers(ENERGY.address, count=2, device_id=1)
        client.close()  # type: ignore[no-untyped-call]
        assert ended(process)[0]["faults"] == {"mute": 1}
    line = ("--line", "127.0.0.1:0", "--meter", "eastron/sdm630@1@modbus-tcp", "--seconds", "1")
    with simulating(*line) as (process, ready):
        assert ready["lines"][0]["kind"] == "modbus-tcp"
        assert process.wait(timeout=PROCESS_S) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--line", "/tmp/metertree-nowhere"], "needs a --meter"),
        (["--line", "/tmp/metertree-nowhere", "--meter", "chint/dtsu666"], "not of the form PROFILE@ADDRESS"),
        (["--line", "/tmp/metertree-nowhere", "--meter", "no/such@1"], "no profile 'no/such'"),
        (["--line", "/tmp/metertree-nowhere", "--meter", "chint/dtsu666@999"], "not a Modbus unit id"),
        (["--line", "/no/folder/line", "--meter", "chint/dtsu666@1"], "cannot be made"),
        (["--line", "here:port", "--meter", "chint/dtsu666@1"], "not of the form host:port"),
        (["--scenario", "/no/such.toml"], "cannot be read"),
        (["--scenario", "/no/such.toml", "--meter", "x@1"], "--meter goes with --line"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == 2
    assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["simulate", "--line", "/tmp/x", "--late", "101"])


def test_the_figures_are_told_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for language, words in (("en", ("ready", "0 requests")), ("zh", ("就绪", "请求 0 次"))):
        line = ["--line", str(tmp_path / "line"), "--meter", "chint/dtsu666@1", "--seconds", "1", "--lang", language]
        assert main(["simulate", *line]) == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words)
