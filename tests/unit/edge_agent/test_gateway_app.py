"""The composition root: what it builds, what it warns of, and that nothing ends the measuring."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue, ProfileUnknown
from edge_agent.adapters.http_broker import HttpBroker
from edge_agent.adapters.mqtt_broker import MqttBroker
from edge_agent.adapters.played_clock import PlayedClock
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.stoppable_clock import StoppableClock
from edge_agent.adapters.tcp_bus import TcpBus
from edge_agent.app import AlreadyRunning, Gateway, clock_of, port_readers, sole_use_of, way_of
from edge_agent.cli import main
from edge_agent.port_readers import PLAYED_REPLY_STRETCH, asked_meters, bus_of
from edge_agent.ports import Stopped
from edge_agent.schedule import IntervalUnfit
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, ClockConfig, ClockKind, GatewayConfig, HttpWay
from provisioning.keys import FileSigner, KeyFileInvalid, write_public_key, write_signing_key
from tests.doubles.edge import GATEWAY, LINE, UNITS, fitted, serial_port, tcp_port

PLAYED = ClockConfig(ClockKind.PLAYED, "127.0.0.1", 9)


def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    """A gateway with a line that is not there, an endpoint that is not there and no broker."""
    write_signing_key(tmp_path / "signing.key", bytes(32))
    write_public_key(tmp_path / "centre.pub", FileSigner.from_seed(bytes(32)).verifier())
    return GatewayConfig(
        gateway=GATEWAY,
        epoch=1,
        boot=bytes(16),
        state_dir=tmp_path / "state",
        signing_key=tmp_path / "signing.key",
        centre_public_key=tmp_path / "centre.pub",
        every_s=900,
        group="billing",
        broker=BrokerConfig("127.0.0.1", unused_port(), None, None),
        clock=SYSTEM_CLOCK,
        ports=(serial_port(tmp_path / "line-a"), tcp_port(unused_port())),
        meters=(*(fitted(each, "line-a") for each in LINE), *(fitted(each, "tcp-b") for each in UNITS)),
    )


def test_each_kind_of_port_and_clock_gets_its_adapter(config: GatewayConfig) -> None:
    stop = threading.Event()
    assert isinstance(clock_of(config, stop), StoppableClock)
    assert isinstance(clock_of(replace(config, clock=PLAYED), stop), PlayedClock)
    kinds = [type(bus_of(port, clock_of(config, stop))) for port in config.ports]
    assert kinds == [SerialBus, TcpBus]


def test_the_way_to_the_centre_is_the_broker_unless_http_is_asked_for(config: GatewayConfig) -> None:
    events: list[object] = []
    assert isinstance(way_of(config, events.append), MqttBroker)
    assert isinstance(way_of(replace(config, http=HttpWay("http://127.0.0.1:9")), events.append), HttpBroker)


def test_meters_of_a_busy_host_get_more_patience_than_real_ones(config: GatewayConfig) -> None:
    (real, *_) = asked_meters(config, Catalogue.shipped(), config.ports[0])
    (played, *_) = asked_meters(replace(config, clock=PLAYED), Catalogue.shipped(), config.ports[0])
    assert real.patience.reply_s_max == 0.5
    assert played.patience.reply_s_max == 0.5 * PLAYED_REPLY_STRETCH
    for meter in (real, played):
        for _ in range(50):
            meter.patience.answered(0.001)
    assert real.patience.timeouts_s(has_answered=True)[0] < 0.5
    assert played.patience.timeouts_s(has_answered=True)[0] == 0.5 * PLAYED_REPLY_STRETCH


def test_a_sweep_that_does_not_fit_between_marks_is_told_at_the_start(
    config: GatewayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    port_readers(config, Catalogue.shipped(), threading.Event())
    assert "port-overloaded" not in caplog.text
    port_readers(replace(config, every_s=1), Catalogue.shipped(), threading.Event())
    assert "port-overloaded" in caplog.text


def test_mistakes_in_the_configuration_show_before_anything_runs(config: GatewayConfig) -> None:
    stop = threading.Event()
    unknown = replace(config, meters=(replace(config.meters[0], profile="nobody/nothing"),))
    for wrong, error in (
        (replace(config, every_s=7), IntervalUnfit),
        (replace(config, signing_key=config.centre_public_key), KeyFileInvalid),
        (unknown, ProfileUnknown),
    ):
        with pytest.raises(error):
            Gateway(wrong, Catalogue.shipped(), stop)


def test_a_state_directory_is_for_one_gateway(tmp_path: Path) -> None:
    with sole_use_of(tmp_path / "state"), pytest.raises(AlreadyRunning), sole_use_of(tmp_path / "state"):
        pass
    with sole_use_of(tmp_path / "state"):
        pass


def test_a_mark_that_fails_unforeseen_does_not_end_the_measuring(
    config: GatewayConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_agent.app.RETRY_S", 0.0)
    gateway = Gateway(config, Catalogue.shipped(), threading.Event())
    turns: list[Exception] = [RuntimeError("unforeseen"), ZeroDivisionError("too"), Stopped("told to stop")]

    def poll_next() -> Any:
        raise turns.pop(0)

    monkeypatch.setattr(gateway._cycle, "poll_next", poll_next)
    gateway.run()
    assert turns == []
    assert caplog.text.count("mark-failed") == 2


def test_an_uplink_that_fails_unforeseen_is_started_again(
    config: GatewayConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_agent.app.RETRY_S", 0.0)
    stop = threading.Event()
    gateway = Gateway(config, Catalogue.shipped(), stop)
    runs: list[int] = []

    def run(broker: object) -> None:
        runs.append(1)
        if len(runs) == 3:
            stop.set()
            return
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(gateway._uplink, "run", run)
    gateway.run()
    assert len(runs) == 3
    assert caplog.text.count("uplink-failed") == 2


def test_commands_explain_a_mistake_and_end_with_two(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    assert main(["run", "--config", str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    path.write_text(config.to_toml())
    assert main(["outbox", "--config", str(path)]) == 2
    assert "has not run" in capsys.readouterr().err
    assert main(["probe", "--config", str(path), "--meter", "m-nobody"]) == 2
    assert "no meter m-nobody" in capsys.readouterr().err


def test_probing_a_port_that_is_not_there_says_no_answer(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml())
    assert main(["probe", "--config", str(path)]) == 1
    assert capsys.readouterr().out.count("NO_ANSWER") == len(LINE) + len(UNITS)


def test_probing_beside_a_running_gateway_is_refused(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml())
    with sole_use_of(config.state_dir):
        assert main(["probe", "--config", str(path)]) == 2
    told = capsys.readouterr()
    assert "stop it first" in told.err
    assert "NO_ANSWER" not in told.out
