"""A real gateway, broker and databases: one is backed up while it is filled, destroyed, restored, and nothing is lost.

The broker loses all it knew with the database, and time stands still when the play is over, so the gateway has nothing
to send: what the backup lacks comes only because the restored centre asks for it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw
import psycopg
import pytest

from device_profiles.catalogue import Catalogue
from ingest.backup.checking import check_backup
from ingest.backup.restoring import restore
from ingest.backup.taking import take_backup
from ingest.config import BrokerConfig
from ingest.embedded.server import start, stop
from ingest.intake import Intake
from ingest.intake_worker import Worker, consumer_of
from ingest.ports import GatewayEpoch
from ingest.store.backup_log import open_requests
from ingest.store.database import Database, load_queries
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.layout import Storage
from ingest.store.sites import import_site
from metering.clock import SystemClock
from metering.identity import MeterId
from provisioning.keys import FileSigner
from provisioning.site import ALWAYS
from tests.doubles.edge import GATEWAY, LINE, UNITS
from tests.doubles.edge_station import CENTRE_SEED, WAIT_S, Station, new_broker, wait_for
from tests.doubles.servers import execute_alone
from tests.doubles.store_harness import NOW, small_site

CLOCK = SystemClock()
MARKS = 60
SWEEPS = 2 * MARKS
OWNER = GatewayEpoch(GATEWAY, 1)
CENTRE = FileSigner.from_seed(CENTRE_SEED)
PROFILES = [profile.hash for profile in Catalogue.shipped().profiles]


def enrol(database: Database, station: Station) -> None:
    """Make the gateway and its wiring known."""
    meters = {MeterId(name): ALWAYS for name, *_ in (*LINE, *UNITS)}
    with database.transaction() as connection:
        import_site(connection, small_site({GATEWAY: meters}), {}, imported_at=NOW)
        row = {
            "gateway": GATEWAY,
            "site": "park",
            "epoch": 1,
            "enrolled_at": NOW,
            "key_id": station.signer.key_id,
            "algorithm": int(station.signer.algorithm),
            "public_key": station.signer.public_key,
            "bundle_hash": bytes(32),
        }
        for query in ("put_gateway", "add_key"):
            connection.execute(load_queries("gateways")[query], row)


@contextmanager
def intake(database: Database, station: Station, most: int = 10**9) -> Iterator[Intake]:
    """Run intake, in a thread, over one session with the broker; it ends by itself with the group that makes `most`."""
    broker = BrokerConfig(host=station.broker.host, port=station.broker.port, user="centre", password="c")
    consumer, ended = consumer_of(broker, Worker(1, 1)), threading.Event()
    made = Intake(
        consumer=consumer,
        store=PostgresIntakeStore(database),
        signer=CENTRE,
        clock=CLOCK,
        profiles=PROFILES,
        on_commit=lambda: ended.set() if made.counters.accepted >= most else None,
    )
    thread = threading.Thread(target=made.run_ahead, args=(ended,))
    with consumer.running():
        consumer.wait_until_connected(WAIT_S)
        thread.start()
        try:
            yield made
        finally:
            ended.set()
            thread.join()


def held(database: Database) -> dict[int, bytes]:
    """The envelopes in the books, by seq."""
    with database.transaction() as connection:
        rows = connection.execute("SELECT seq, octets FROM envelopes ORDER BY seq").fetchall()
    assert len({seq for seq, _ in rows}) == len(rows)
    return {seq: bytes(octets) for seq, octets in rows}


def contiguous(database: Database) -> int:
    """How far the chain is complete."""
    with database.transaction() as connection:
        row = connection.execute("SELECT max(contiguous_seq) FROM chain_heads").fetchone()
    return (row and row[0]) or 0


def outbox(station: Station) -> dict[int, bytes]:
    """What the gateway has sealed, from its own disk."""
    connection = apsw.Connection(str(next((station.directory / "state").glob("*.db"))), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {
            position % 2**40: octets for position, octets in connection.execute("SELECT position, octets FROM entry")
        }
    finally:
        connection.close()


class Plant:
    """A gateway between its wires and a broker, without a centre yet."""

    def __init__(self, folder: Path) -> None:
        self.broker = new_broker(folder / "broker")
        self.process = start(self.broker, CLOCK)
        self.station = Station(folder, self.broker, MARKS)

    def lose_broker(self) -> None:
        """Kill the broker, wipe its disk, start it again, and wait for the gateway to be back."""
        before = self._sessions()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.broker.directory / "store")
        self.process = start(self.broker, CLOCK)
        wait_for(lambda: self._sessions() > before, "the gateway's next session")

    def stop(self) -> None:
        """End everything."""
        if self.station.process is not None:
            self.station.kill()
        self.station.world.stop()
        stop(self.broker.command(), self.process)

    def _sessions(self) -> int:
        return (self.station.directory / "gateway.log").read_text().count("uplink-connected")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """A plant, ended whatever happens."""
    made = Plant(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def test_nothing_is_lost_when_the_database_is(
    plant: Plant, postgres_dsn: str, own_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    station = plant.station
    shelf = tmp_path / "shelf"
    with Database(own_dsn, connections=3) as database:
        enrol(database, station)
        station.start()
        with intake(database, station, most=SWEEPS // 3) as first:
            wait_for(lambda: first.counters.accepted >= SWEEPS // 3, "the first third")
        with ExitStack() as meanwhile, Database(own_dsn, connections=1) as reader:
            began = threading.Event()

            def fill_up(*_: object) -> None:
                if not began.is_set():
                    began.set()
                    meanwhile.enter_context(intake(database, station))
                    wait_for(lambda: contiguous(database) == SWEEPS, "the whole play")

            taken = take_backup(reader, shelf, clock=CLOCK, recipient=None, signer=CENTRE, watch=fill_up)
        lost = held(database)
    name = psycopg.conninfo.conninfo_to_dict(own_dsn)["dbname"]
    assert isinstance(name, str)
    plant.lose_broker()
    execute_alone(postgres_dsn, "DROP DATABASE {} WITH (FORCE)", name)
    execute_alone(postgres_dsn, "CREATE DATABASE {}", name)  # for whoever clears up

    checked = check_backup(taken.folder, identity=None, verifier=CENTRE.verifier(), deep=True)
    assert SWEEPS // 3 <= sum(part.rows for part in checked.manifest.parts_of("ledger")) < SWEEPS
    with Database(empty_dsn, connections=3) as database:
        restore(database, taken.folder, identity=None, verifier=CENTRE.verifier(), storage=Storage(), now=CLOCK.now())
        assert contiguous(database) < SWEEPS
        with intake(database, station) as worker:
            wait_for(lambda: contiguous(database) == SWEEPS, "what the backup lacked")
            assert worker.counters.accepted == SWEEPS - sum(part.rows for part in checked.manifest.parts_of("ledger"))
        assert held(database) == lost == outbox(station)
        with database.transaction() as connection:
            readings = connection.execute("SELECT count(*), count(DISTINCT (meter, due_at)) FROM readings").fetchone()
            assert readings == (MARKS * (len(LINE) + len(UNITS)),) * 2
            assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        wait_for(lambda: not still_asked(database), "the request to be closed")


def still_asked(database: Database) -> bool:
    """Say whether the gateway would be asked once more; looks as a worker does a minute later."""
    with database.transaction() as connection:
        connection.execute(load_queries("resend")["close_requests"], {"now": CLOCK.now(), "kept_days": 30})
        return bool(open_requests(connection))
