"""`metertree-gateway status` and `doctor`, as a person calls them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from device_profiles.catalogue import Catalogue
from edge_agent import doctor
from edge_agent.adapters import face_port
from edge_agent.app import run_with_orders
from edge_agent.cli import main
from edge_agent.ordered_settings import SHELF_FILE
from edge_agent.timekeeping import HostTime
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, FaceConfig, GatewayConfig
from provisioning.keys import FileSigner, write_public_key, write_signing_key
from tests.doubles.edge import GATEWAY, UNITS, fitted, serial_port, tcp_port
from tests.doubles.edge_station import wait_for
from tests.unit.edge_agent.test_gateway_app import unused_port

SYNCHRONISED = HostTime(datetime(2026, 7, 1, tzinfo=UTC), 1000, True, 12)


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, listener: int) -> GatewayConfig:
    """A gateway whose broker and endpoint take connections."""
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
        broker=BrokerConfig("127.0.0.1", listener, None, None),
        clock=SYSTEM_CLOCK,
        ports=(tcp_port(listener),),
        meters=tuple(fitted(one, "tcp-b") for one in UNITS),
        face=FaceConfig("127.0.0.1", unused_port()),
    )


def call(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, *words: str
) -> tuple[int, str]:
    """Call a command on the configuration; gives its exit code and what it printed."""
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml())
    code = main([command, "--config", str(path), *words])
    return code, capsys.readouterr().out


def findings(config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What the doctor found, by what was looked at."""
    _, text = call(config, tmp_path, capsys, "doctor", "--json")
    return {one["what"]: one for one in json.loads(text)}


def test_a_gateway_that_does_not_run_is_told_as_such(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = call(config, tmp_path, capsys, "status")
    assert code == 1
    assert "not running" in text
    assert "未运行" in call(config, tmp_path, capsys, "status", "--lang", "zh")[1]
    code, text = call(config, tmp_path, capsys, "status", "--json")
    assert json.loads(text)["running"] is False
    assert "write [face]" in call(replace(config, face=None), tmp_path, capsys, "status")[1]


def test_a_gateway_that_runs_says_how_it_stands(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=run_with_orders, args=(config, Catalogue.shipped(), stop))
    thread.start()
    try:
        assert config.face is not None
        face = config.face

        def answers() -> bool:
            try:
                return bool(face_port.ask_face(face))
            except face_port.FaceUnreachable:
                return False

        wait_for(answers, "the gateway's face")
        code, text = call(config, tmp_path, capsys, "status")
        assert code == 0
        assert f"gateway {GATEWAY}" in text
        assert "port tcp-b  not read yet" in text
        assert json.loads(call(config, tmp_path, capsys, "status", "--json")[1])["gateway"] == GATEWAY
        assert findings(config, tmp_path, capsys)["face"]["verdict"] == "ok"
    finally:
        stop.set()
        thread.join()


def test_the_doctor_finds_nothing_where_all_is_well(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "read_host_time", lambda: SYNCHRONISED)
    config.state_dir.mkdir()
    code, text = call(config, tmp_path, capsys, "doctor")
    assert code == 0
    assert "FAIL" not in text
    assert "ok    broker" in text
    assert "ok    clock          synchronised, off by at most 12 ms" in text
    chinese = call(config, tmp_path, capsys, "doctor", "--lang", "zh")[1]
    assert "内核已同步" in chinese


def test_meters_that_give_the_running_gateway_no_reading_are_named(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every port opens, and still nobody answers: that is what an engineer calls the doctor for."""
    told = [{"meter": "m-a", "quality": "measured"}, {"meter": "m-b", "quality": "late"}]
    monkeypatch.setattr(doctor, "ask_face", lambda _: {"gateway": GATEWAY, "meters": told})
    assert findings(config, tmp_path, capsys)["meters"]["verdict"] == "ok"
    told += [{"meter": f"m-{n}", "quality": "no_answer"} for n in range(9)]
    found = findings(config, tmp_path, capsys)["meters"]
    assert (found["verdict"], bool(found["mend"])) == ("warning", True)
    assert found["text"].startswith("9 of 11 give no reading: m-0, m-1")
    assert found["text"].endswith("m-7 ...")
    told.clear()
    assert "meters" not in findings(config, tmp_path, capsys)


def test_each_fault_is_told_with_its_mend(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "signing.key").chmod(0o644)
    config.state_dir.mkdir()
    (config.state_dir / SHELF_FILE).write_text("{")
    (config.state_dir / "outbox.db").write_text("this is no database, but long enough to be taken for one" * 20)
    strange = replace(config.meters[0], profile="nobody/knows")
    sick = replace(
        config,
        meters=(strange, *config.meters[1:]),
        ports=(tcp_port(unused_port()), serial_port(tmp_path / "ttyNONE")),
        broker=BrokerConfig("127.0.0.1", unused_port(), None, None),
    )
    assert call(sick, tmp_path, capsys, "doctor")[0] == 1
    found = findings(sick, tmp_path, capsys)
    faults = {what for what, one in found.items() if one["verdict"] == "fault"}
    assert faults == {"signing-key", "settings", "outbox", "profiles", "port tcp-b", "port line-a", "broker"}
    assert all(found[what]["mend"] for what in faults)
    assert "nobody/knows" in found["profiles"]["text"]
    assert "does not exist" in found["port line-a"]["text"]


def test_keys_that_are_missing_are_found(
    config: GatewayConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "centre.pub").unlink()
    (tmp_path / "signing.key").unlink()
    found = findings(config, tmp_path, capsys)
    assert found["centre-key"]["verdict"] == found["signing-key"]["verdict"] == "fault"
    assert "enrol" in found["centre-key"]["mend"]


@pytest.mark.parametrize(
    ("wall", "verdict"), [(datetime(1970, 1, 2, tzinfo=UTC), "fault"), (datetime(2026, 7, 1, tzinfo=UTC), "warning")]
)
def test_a_clock_that_nobody_synchronises_is_told(
    config: GatewayConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    wall: datetime,
    verdict: str,
) -> None:
    monkeypatch.setattr(doctor, "read_host_time", lambda: HostTime(wall, 1000, False, None))
    found = findings(config, tmp_path, capsys)["clock"]
    assert found["verdict"] == verdict
    assert "chrony" in found["mend"]


def test_an_adapter_that_holds_answers_back_is_told(
    config: GatewayConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    latency: dict[str, Any] = {"text": "16\n"}
    real = Path.read_text

    def read_text(path: Path, *arguments: Any, **named: Any) -> str:
        if path.name == "latency_timer":
            return str(latency["text"])
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", read_text)
    (found,) = doctor._ports(replace(config, meters=(), ports=(serial_port(device),)))
    assert found.verdict is doctor.Verdict.WARNING
    assert "16 ms" in found.text[1]
    assert found.mend[1].startswith("echo 1 > /sys/class/tty/ttyUSB0/")
    latency["text"] = "1\n"
    (found,) = doctor._ports(replace(config, meters=(), ports=(serial_port(device),)))
    assert found.verdict is doctor.Verdict.WELL
