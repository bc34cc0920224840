"""Backup and restore on a real database: nothing is missing or doubled, nothing half is ever taken for whole."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ingest.backup import taking
from ingest.backup.checking import check_backup
from ingest.backup.locked import Identity, Unreadable
from ingest.backup.manifest import MANIFEST, BackupDamaged, read_manifest
from ingest.backup.restoring import Restored, restore
from ingest.backup.shelf import finished, unfinished
from ingest.backup.taking import Taken, take_backup
from ingest.closing import Closing
from ingest.intake import Intake
from ingest.ports import Arrival, GatewayEpoch
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.backup_log import due_requests, newest_backup, open_requests
from ingest.store.database import Database
from ingest.store.gateways import add_order, enrol
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.layout import Storage, find_layout, missing_steps
from ingest.store.migrate import is_migrated, migrate
from ingest.store.snapshot import RowsThere
from ingest.store.statements import find_statement, numbers_of_run
from metering.clock import Clock, ManualClock
from metering.envelope import seal
from metering.identity import GatewayId
from metering.receipt import open_receipt
from metering.topics import envelope_topic
from provisioning.enrolment import Claim, Enrolled, open_bundle, open_order, seal_bundle
from provisioning.keys import FileSigner
from tests.conftest import build_envelope
from tests.doubles.closed_park import BOOKED_AT, PARK_ID, PERIOD, copy_of
from tests.doubles.intake import MemoryConsumer
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.servers import EMPTY, GIVEN_DSN, TABLES, _database

NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
KEY = Identity(bytes(range(32)))
LATER = NOW + timedelta(hours=1)
ROOT = Path(__file__).parents[2]
OURS = {"backups", "resend_requests"}
"""Tables that tell of backups; they differ by what they are for."""
QUARANTINED = """
INSERT INTO quarantine (digest, reason, detail, proven, topic, octets, first_received_at, last_received_at)
VALUES (sha256('x'), 'malformed', 'é\\0', false, 'm/1/gw-x/up/envelope', '\\x00ff', now(), now());
INSERT INTO alarms (raised_at, kind, gateway, epoch, seq, detail)
VALUES (now(), 'equivocation', 'gw-a', 1, 3, '{"a": "日"}');
INSERT INTO readings
VALUES (
    'm-old', date_trunc('month', now()) - INTERVAL '20 months', true, now(), now(), 0, '\\x01', 0, '{1,NULL}',
    'gw-a', 1, 1
);
INSERT INTO readings VALUES ('m-odd', 'infinity', true, now(), now(), 4, '\\x01', 0, '{}', 'gw-a', 1, 1);
"""


@pytest.fixture(scope="module")
def filled(postgres_dsn: str, closed_park: str) -> Iterator[str]:
    """The park, and with it what nobody expects."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with psycopg.connect(dsn) as connection:
            connection.execute(QUARANTINED.encode())
        yield dsn


@pytest.fixture
def source(filled: str) -> str:
    """That park, of which no backup was taken yet."""
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM backups")
    return filled


@pytest.fixture(scope="module")
def emptied_dsn(postgres_dsn: str) -> Iterator[str]:
    """A database that is emptied again and again: making one takes a second and a thousand files."""
    yield from _database(postgres_dsn, EMPTY)


@pytest.fixture
def empty(emptied_dsn: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database to restore into."""
    dsn = str(request.getfixturevalue("empty_dsn")) if GIVEN_DSN else emptied_dsn
    with Database(dsn, connections=1) as database:
        yield database
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP SCHEMA IF EXISTS metertree_partitions CASCADE; DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def take(dsn: str, shelf: Path, **changes: Any) -> Taken:
    """Take a backup of `dsn`."""
    clock: Clock = changes.pop("clock", ManualClock(NOW))
    parts: dict[str, Any] = {"recipient": None, "signer": CENTRE} | changes
    with Database(dsn, connections=1) as database:
        return take_backup(database, shelf, clock=clock, **parts)


def put_back(database: Database, folder: Path, **changes: Any) -> Restored:
    """Restore it."""
    parts: dict[str, Any] = {"identity": None, "verifier": CENTRE.verifier()} | changes
    return restore(database, folder, storage=Storage(), now=NOW, **parts)


def contents(dsn: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    with psycopg.connect(dsn, options="-c TimeZone=UTC") as connection:
        return {
            table: sorted(
                row
                for (row,) in connection.execute(
                    sql.SQL("SELECT each::text FROM {} AS each").format(sql.Identifier(table))
                )
            )
            for table in TABLES
            if table not in OURS
        }


def dsn_of(database: Database) -> str:
    """Where a database is."""
    return str(database._pool.conninfo)


def test_every_row_of_every_table_comes_back(source: str, empty: Database, tmp_path: Path) -> None:
    before = contents(source)
    taken = take(source, tmp_path)
    restored = put_back(empty, taken.folder)
    assert contents(dsn_of(empty)) == before == contents(source)
    assert restored.manifest.rows == sum(map(len, before.values())) + 1  # the backup's own row
    assert all(before[table] for table in ("statements", "run_transitions", "settled_days", "quarantine", "readings"))
    assert is_migrated(empty)
    with empty.transaction() as connection:
        assert missing_steps(connection, Storage(), NOW) == ()
        layout = find_layout(connection)
    with Database(source, connections=1) as database, database.transaction() as connection:
        assert find_layout(connection) is layout


def test_a_restored_database_goes_on_working(source: str, empty: Database, tmp_path: Path) -> None:
    """Numbers go on, a statement's file is the same to the octet, and the same close gives the same run."""
    put_back(empty, take(source, tmp_path).folder)
    catalogue = read_park()[3]
    files = []
    for database in (Database(source, connections=1), empty):
        with database.transaction() as connection:
            (run,) = connection.execute("SELECT run FROM allocation_runs").fetchall()[0]
            stored = find_statement(connection, numbers_of_run(connection, run)[0][0])
            assert stored is not None
            files.append((run, statement_file(connection, stored, catalogue)))
        if database is not empty:
            database.close()
    assert files[0] == files[1]
    closed, is_new = Closing(Settlement(empty, catalogue), CENTRE, bytes(32)).close(
        PARK_ID, PERIOD, booked_at=BOOKED_AT, actor="an"
    )
    assert (closed.head.run, is_new) == (files[0][0], False)
    with empty.transaction() as connection:
        connection.execute(QUARANTINED.replace("sha256('x')", "sha256('y')").replace("1, 3", "1, 4").encode())
        assert connection.execute("SELECT max(quarantined) FROM quarantine").fetchone() == (2,)


def test_what_is_committed_while_it_is_taken_is_not_half_in_it(
    source: str, empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(source)
    real = taking.read_part
    with psycopg.connect(source, autocommit=True) as other:

        def meanwhile(connection: Any, table: Any, part: Any) -> Any:
            other.execute("UPDATE chain_heads SET repeats = repeats + 1")
            other.execute(
                "INSERT INTO ledger SELECT gateway, 9, (SELECT count(*) + 1 FROM ledger WHERE epoch = 9), digest, "
                "previous_hash, received_at, refused FROM ledger LIMIT 1"
            )
            return real(connection, table, part)

        monkeypatch.setattr(taking, "read_part", meanwhile)
        try:
            taken = take(source, tmp_path)
        finally:
            other.execute("DELETE FROM ledger WHERE epoch = 9")
            other.execute("UPDATE chain_heads SET repeats = 0")
    put_back(empty, taken.folder)
    assert contents(dsn_of(empty)) == before


def test_a_second_backup_writes_only_what_changed(source: str, empty: Database, tmp_path: Path) -> None:
    first = take(source, tmp_path)
    again = take(source, tmp_path, clock=ManualClock(LATER))
    assert again.parts_written == 1  # the list of backups
    assert again.manifest.octets > 100 * again.octets_written
    same = [part for part in again.manifest.parts if part.table == "envelopes"]
    assert all((first.folder / one.file).samefile(again.folder / one.file) for one in same)
    shutil.rmtree(first.folder)
    put_back(empty, again.folder)
    assert contents(dsn_of(empty)) == contents(source)


def test_a_row_that_changed_is_in_the_next_backup(
    postgres_dsn: str, source: str, empty: Database, tmp_path: Path
) -> None:
    """As many rows as before, in the same month: only their hashes tell."""
    for dsn in copy_of(postgres_dsn, source):
        take(dsn, tmp_path)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "UPDATE readings SET quality = 3 WHERE meter = 'm-lift' AND due_at = '2026-06-30 16:15+00'"
            )
        again = take(dsn, tmp_path, clock=ManualClock(LATER))
        assert again.parts_written == 2
        put_back(empty, again.folder)
        assert contents(dsn_of(empty)) == contents(dsn)


def test_a_shared_part_that_rotted_is_read_out_anew(source: str, tmp_path: Path) -> None:
    first = take(source, tmp_path)
    rotten = next(part for part in first.manifest.parts if part.table == "envelopes")
    octets = bytearray((first.folder / rotten.file).read_bytes())
    octets[100] ^= 1
    (first.folder / rotten.file).write_bytes(octets)
    again = take(source, tmp_path, clock=ManualClock(LATER))
    assert again.parts_written == 2
    check_backup(again.folder, identity=None, verifier=CENTRE.verifier(), deep=True)
    with pytest.raises(BackupDamaged):
        check_backup(first.folder, identity=None, verifier=None, deep=False)


class Cut(Exception):
    """The power fails."""


@pytest.mark.parametrize("parts", [0, 3, 8])
def test_a_backup_that_was_broken_off_is_gone_on_with(
    source: str, empty: Database, tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = taking.write_part, [parts]

    def cut(*arguments: Any) -> Any:
        if not left[0]:
            raise Cut
        left[0] -= 1
        return real(*arguments)

    monkeypatch.setattr(taking, "write_part", cut)
    with pytest.raises(Cut):
        take(source, tmp_path)
    assert finished(tmp_path) == ()
    assert len(unfinished(tmp_path)) == 1
    monkeypatch.setattr(taking, "write_part", real)
    taken = take(source, tmp_path, clock=ManualClock(LATER))
    assert len(taken.manifest.parts) - taken.parts_written == max(0, parts - 1)  # all but the list of backups
    assert unfinished(tmp_path) == ()
    put_back(empty, taken.folder)
    assert contents(dsn_of(empty)) == contents(source)


KILLED_AFTER = """
import os, signal, sys
from pathlib import Path
from ingest.backup import restoring, taking
from ingest.store.database import Database
from ingest.store.layout import Storage
from metering.clock import ManualClock
from tests.integration.test_backup import CENTRE, NOW
what, dsn, place, left = sys.argv[1], sys.argv[2], Path(sys.argv[3]), [int(sys.argv[4])]
module, name = (taking, "write_part") if what == "backup" else (restoring, "_put")
real = getattr(module, name)

def count(*arguments):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*arguments)

setattr(module, name, count)
with Database(dsn, connections=1) as database:
    if what == "backup":
        taking.take_backup(database, place, clock=ManualClock(NOW), recipient=None, signer=CENTRE)
    else:
        restoring.restore(database, place, identity=None, verifier=None, storage=Storage(), now=NOW)
"""


def killed(what: str, dsn: str, place: Path, after: int) -> None:
    """Run a backup or a restore in a process that is killed when it has come so far."""
    words = [sys.executable, "-c", KILLED_AFTER, what, dsn, str(place), str(after)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_killed_backup_is_gone_on_with_and_a_killed_restore_leaves_nothing(
    source: str, empty: Database, tmp_path: Path
) -> None:
    killed("backup", source, tmp_path, 6)
    assert finished(tmp_path) == ()
    taken = take(source, tmp_path, clock=ManualClock(LATER))
    assert len(taken.manifest.parts) - taken.parts_written == 5
    killed("restore", dsn_of(empty), taken.folder, len(taken.manifest.parts) - 1)
    assert rows_of(empty) == 0
    put_back(empty, taken.folder)
    assert contents(dsn_of(empty)) == contents(source)
    with empty.transaction() as connection:  # both are known: the one that was broken off, and the one it came from
        asked = connection.execute("SELECT count(*) FROM backups WHERE finished_at IS NULL").fetchone()
        assert asked == (2,)
        assert len(due_requests(connection, LATER, 10)) == 2


def test_a_locked_backup_is_restored_with_the_key_and_not_without(source: str, empty: Database, tmp_path: Path) -> None:
    taken = take(source, tmp_path, recipient=KEY.recipient)
    everything = b"".join((taken.folder / part.file).read_bytes() for part in taken.manifest.parts)
    assert b"Yunhe" not in everything
    assert b"gw-a" not in everything
    check_backup(taken.folder, identity=KEY, verifier=None, deep=True)
    with pytest.raises(Unreadable):
        put_back(empty, taken.folder)
    assert rows_of(empty) == 0
    put_back(empty, taken.folder, identity=KEY)
    assert contents(dsn_of(empty)) == contents(source)
    assert take(source, tmp_path, clock=ManualClock(LATER)).parts_written == len(taken.manifest.parts)


def rows_of(database: Database) -> int:
    """Count the rows of every table."""
    return sum(len(rows) for rows in contents(dsn_of(database)).values())


@pytest.mark.parametrize("table", ["chain_heads", "statements"])
def test_a_damaged_part_restores_nothing_at_all(source: str, empty: Database, tmp_path: Path, table: str) -> None:
    taken = take(source, tmp_path)
    part = next(part for part in taken.manifest.parts if part.table == table)
    with (taken.folder / part.file).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BackupDamaged):
        put_back(empty, taken.folder)
    assert rows_of(empty) == 0


def test_a_backup_signed_by_somebody_else_is_not_restored(source: str, empty: Database, tmp_path: Path) -> None:
    taken = take(source, tmp_path, signer=None)
    with pytest.raises(BackupDamaged, match="no signature of this centre"):
        put_back(empty, taken.folder)
    put_back(empty, taken.folder, verifier=None)


def test_a_filled_database_is_left_alone(source: str, tmp_path: Path) -> None:
    taken = take(source, tmp_path)
    before = contents(source)
    with Database(source, connections=1) as database, pytest.raises(RowsThere, match="ledger"):
        put_back(database, taken.folder)
    assert contents(source) == before


def test_a_backup_of_an_unknown_schema_is_refused_and_one_of_an_older_schema_is_brought_up(
    source: str, empty: Database, tmp_path: Path
) -> None:
    taken = take(source, tmp_path, signer=None)
    path = taken.folder / MANIFEST
    document = json.loads(path.read_text())
    strange = [*document["migrations"], {"name": "9999_post_from_the_future.sql", "checksum": "00"}]
    path.write_text(json.dumps(document | {"migrations": strange}))
    with pytest.raises(BackupDamaged, match="9999_post_from_the_future"):
        put_back(empty, taken.folder, verifier=None)
    path.write_text(json.dumps(document))
    assert put_back(empty, taken.folder, verifier=None).migrations == ()


def test_envelopes_that_are_not_those_of_the_ledger_are_found_without_restoring(
    postgres_dsn: str, source: str, tmp_path: Path
) -> None:
    """Every hash is right, every row is there, and still this backup would not prove its readings."""
    for dsn in copy_of(postgres_dsn, source):
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "UPDATE envelopes SET octets = (SELECT octets FROM envelopes WHERE gateway = 'gw-a' AND seq = 4) "
                "WHERE gateway = 'gw-a' AND seq = 5"
            )
        taken = take(dsn, tmp_path)
    assert not check_backup(taken.folder, identity=None, verifier=None, deep=False).deep
    with pytest.raises(BackupDamaged, match="envelopes received in 2026-06 are not those that the ledger holds"):
        check_backup(taken.folder, identity=None, verifier=None, deep=True)


def test_a_restored_database_knows_it_and_asks_every_chain_until_it_is_heard(
    source: str, empty: Database, tmp_path: Path
) -> None:
    taken = take(source, tmp_path)
    with Database(source, connections=1) as database, database.transaction() as connection:
        assert due_requests(connection, LATER, 10) == []
        newest = newest_backup(connection)
        assert newest is not None
        assert (newest.kind, newest.octets, newest.finished_at) == ("logical", taken.manifest.octets, NOW)
    put_back(empty, taken.folder)
    with empty.transaction() as connection:
        heads = dict(connection.execute("SELECT gateway, contiguous_seq FROM chain_heads").fetchall())
        asked = due_requests(connection, LATER, 10)
        assert {one.owner.gateway: one.contiguous_seq for one in asked} == heads
        assert all(len(one.head_hash) == 32 for one in asked)
        assert due_requests(connection, LATER, 10) == []  # not again at once
        assert len(due_requests(connection, LATER + timedelta(minutes=2), 10)) == len(heads) == 2
        connection.execute(
            "UPDATE chain_heads SET received_at = %s WHERE gateway = 'gw-a'", [LATER + timedelta(minutes=3)]
        )
        assert [one.owner.gateway for one in due_requests(connection, LATER + timedelta(hours=1), 10)] == ["gw-b"]
        assert [one.times for one in open_requests(connection)] == [3]
        assert due_requests(connection, LATER + timedelta(days=30), 10) == []
        assert open_requests(connection) == ()


def test_a_chain_that_has_nothing_yet_is_asked_from_its_beginning(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO gateways VALUES ('gw-n', 'park', 2, now())")
        for epoch in (1, 2):
            connection.execute(
                "INSERT INTO gateway_keys VALUES ('gw-n', %s, '\\x01', -8, '\\x02', sha256('b'), now())", [epoch]
            )
        connection.execute("INSERT INTO backups (backup, kind, place, started_at) VALUES ('b', 'base', '/b', now())")
        asked = due_requests(connection, NOW, 10)
    assert [(one.owner, one.contiguous_seq, one.head_hash) for one in asked] == [
        (GatewayEpoch(GatewayId("gw-n"), epoch), 0, bytes(32)) for epoch in (1, 2)
    ]


def test_a_backup_that_is_being_taken_is_not_mistaken_for_a_restore(source: str, tmp_path: Path) -> None:
    with Database(source, connections=1) as other:

        def look(what: str, done: int, of: int) -> None:
            with other.transaction() as connection:
                assert due_requests(connection, LATER, 10) == []
                row = connection.execute("SELECT count(*) FROM backups WHERE finished_at IS NULL").fetchone()
                assert row == (1,)

        take(source, tmp_path, watch=look)


def test_a_gateway_enrolled_after_the_backup_is_enrolled_again_with_its_own_key(
    source: str, empty: Database, tmp_path: Path
) -> None:
    """The restored centre does not know it. Nothing of it is lost: same key and epoch, a new claim, the same chain."""
    taken = take(source, tmp_path)
    signer, gateway = FileSigner.from_seed(b"\x63" * 32), GatewayId("gw-new")
    put_back(empty, taken.folder)
    envelope = replace(build_envelope(), gateway=gateway)
    arrival = Arrival(envelope_topic(gateway), seal(envelope, signer))
    consumer = MemoryConsumer()
    intake = Intake(
        consumer=consumer, store=PostgresIntakeStore(empty), signer=CENTRE, clock=ManualClock(NOW), profiles=()
    )
    intake.take([arrival])
    assert (consumer.published, intake.counters.rejected) == ([], {"gateway-unknown": 1})
    claim = Claim.of_number(99)
    order = open_order(site=PARK_ID, gateway=gateway, engineer="f", ordered_at=NOW, expires_at=LATER, claim=claim)
    octets = seal_bundle(gateway, epoch=1, claim=claim, public_key=signer.public_key, signer=signer)
    with empty.transaction() as connection:
        add_order(connection, order)
        assert isinstance(enrol(connection, open_bundle(octets), NOW), Enrolled)
    intake.take([arrival])
    receipt = open_receipt(consumer.published[0][1], CENTRE.verifier())
    assert (receipt.gateway, receipt.epoch, receipt.contiguous_seq) == (gateway, 1, 1)


def test_progress_reaches_the_end(source: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    taken = take(source, tmp_path, watch=lambda *step: told.append(step))
    assert told[-1][1:] == (taken.manifest.rows, taken.manifest.rows)
    assert [done for _, done, of in told if of] == sorted(done for _, done, of in told if of)
    assert read_manifest(taken.folder) == taken.manifest


def test_the_template_is_not_touched(postgres_dsn: str, empty: Database) -> None:
    """Guards the tests above: `empty` is empty, and a migrated database holds no row."""
    migrate(empty)
    assert rows_of(empty) == 0
