"""Base backups by PostgreSQL's own tools: a cluster of its own is copied while it is written to, and started again."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from ingest.backup.base import ClusterThere, ToolFailed, restore_base, take_base, verify_base
from ingest.backup.manifest import BackupDamaged, NoBackup
from ingest.backup.shelf import finished
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.store.backup_log import due_requests, newest_backup
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles.chains import Gateway
from tests.doubles.servers import open_folder
from tests.doubles.store_harness import PostgresHarness

CLOCK = SystemClock()
GW = Gateway()


class ReplicatingPostgres(EmbeddedPostgres):
    """An embedded server whose role may copy the cluster."""

    def prepare(self) -> None:
        """Make the cluster, and grant it once."""
        is_new = not self._cluster.exists()
        super().prepare()
        if is_new:
            grant = "ALTER ROLE metertree REPLICATION;\n"
            self._run("postgres", "--single", "-D", str(self._cluster), "postgres", lines=grant)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can pass."""
    made = open_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def backed_up(folder: Path) -> Iterator[tuple[ReplicatingPostgres, Path]]:
    """A server, ended by now, and a base backup of it."""
    server = ReplicatingPostgres(folder / "postgres")
    try:
        with running(server, CLOCK):
            with Database(server.dsn, connections=1) as database:
                migrate(database)
                PostgresHarness(database).enrol(GW)
                taken, octets = take_base(database, server.dsn, folder / "shelf", clock=CLOCK)
                with database.transaction() as connection:
                    newest = newest_backup(connection)
                    connection.execute("INSERT INTO alarms (raised_at, kind, detail) VALUES (now(), 'later', '{}')")
            assert newest is not None
            assert (newest.kind, newest.octets) == ("base", octets)
        yield server, taken
    finally:
        server.remove()


def test_a_cluster_is_copied_checked_and_started_again(backed_up: tuple[ReplicatingPostgres, Path]) -> None:
    server, taken = backed_up
    verify_base(taken)
    assert [one.kind for one in finished(taken.parent)] == ["base"]
    shutil.rmtree(server._cluster)
    server._cluster.mkdir(mode=0o700)
    if server._account is not None:
        server._account.own(server._cluster)
    restore_base(taken, server._cluster)
    assert stat.S_IMODE(server._cluster.stat().st_mode) == 0o700
    with running(server, CLOCK), Database(server.dsn, connections=1) as database, database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM alarms").fetchone() == (0,)
        asked = due_requests(connection, CLOCK.now() + timedelta(minutes=1), 10)
        assert [(one.owner, one.contiguous_seq) for one in asked] == [(GW.owner, 0)]


def test_a_filled_folder_is_left_alone(backed_up: tuple[ReplicatingPostgres, Path], tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("18\n")
    with pytest.raises(ClusterThere, match="is not empty"):
        restore_base(backed_up[1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["PG_VERSION"]


def test_a_damaged_copy_is_found_and_not_restored(backed_up: tuple[ReplicatingPostgres, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(backed_up[1], tmp_path / "copy")
    with (copy / "base" / "PG_VERSION").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(BackupDamaged, match="PG_VERSION"):
        verify_base(copy)
    with pytest.raises(BackupDamaged):
        restore_base(copy, tmp_path / "cluster")
    assert not (tmp_path / "cluster").exists()
    with pytest.raises(NoBackup):
        verify_base(tmp_path)


def test_a_role_without_the_right_is_told_so(postgres_dsn: str, migrated_dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        if connection.execute(
            "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() != (False,):
            pytest.skip("this server's role may copy the cluster")
    with Database(migrated_dsn, connections=1) as database, pytest.raises(ToolFailed, match="REPLICATION"):
        take_base(database, migrated_dsn, tmp_path, clock=CLOCK)
    assert finished(tmp_path) == ()
