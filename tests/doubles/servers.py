"""Fixtures with real servers: one PostgreSQL for the whole run, a fresh migrated database per test.

METERTREE_TEST_DSN names another server (its role must be able to create databases); otherwise an embedded one is made.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock

GIVEN_DSN = os.environ.get("METERTREE_TEST_DSN")
TABLES = (
    *("correction_lines", "publications", "release_exclusions", "run_reasons", "run_slots", "run_transitions"),
    *("statements", "run_lines", "allocation_runs", "site_versions", "gateway_keys", "gateways", "install_orders"),
    *("ledger", "chain_heads", "envelopes", "readings", "quarantine", "alarms", "unsettled_days", "settled_days"),
)
"""Every table of the schema, those that refer to others first."""
_numbers = itertools.count(1)


def open_folder(prefix: str = "metertree-test-") -> Path:
    """A temporary folder that every account can pass: PostgreSQL under root runs as another."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Connection string to a server whose databases the tests may make and drop."""
    if GIVEN_DSN:
        yield GIVEN_DSN
        return
    folder = open_folder()
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, SystemClock()) as process:
            yield server.dsn
            process.send_signal(signal.SIGQUIT)  # nothing of it is kept: no need to write it all out first
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def execute_alone(dsn: str, statement: str, *names: str) -> None:
    """Run one statement outside any transaction, with quoted names in place of {}."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def migrated_template(postgres_dsn: str) -> Iterator[str]:
    """Name of a database with the newest schema and nothing in it, to copy from."""
    name = f"metertree_template_{os.getpid()}"
    execute_alone(postgres_dsn, "CREATE DATABASE {}", name)
    with Database(make_conninfo(postgres_dsn, dbname=name), connections=1) as database:
        migrate(database)
    yield name
    if GIVEN_DSN:
        execute_alone(postgres_dsn, "DROP DATABASE {}", name)


@pytest.fixture
def empty_dsn(postgres_dsn: str) -> Iterator[str]:
    """Connection string to a database without any table."""
    yield from _database(postgres_dsn, "template0")


@pytest.fixture(scope="session")
def shared_dsn(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """Connection string to the one database that most tests share: a copy each would cost half a second."""
    yield from _database(postgres_dsn, migrated_template)


@pytest.fixture
def migrated_dsn(shared_dsn: str) -> str:
    """Connection string to a database with the newest schema and nothing in it."""
    with psycopg.connect(shared_dsn) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert tables == {*TABLES, "schema_migrations"}, "TABLES must name every table"
        for table in TABLES:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    return shared_dsn


@pytest.fixture
def own_dsn(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """The same in a database of its own, whose settings the test may change."""
    yield from _database(postgres_dsn, migrated_template)


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[Database]:
    """A database with the newest schema and nothing in it."""
    with Database(migrated_dsn, connections=4) as opened:
        yield opened


def _database(dsn: str, template: str) -> Iterator[str]:
    """Dropping a database costs a checkpoint, so those on an embedded server, which is removed, are left."""
    name = f"metertree_test_{os.getpid()}_{next(_numbers)}"
    execute_alone(dsn, "CREATE DATABASE {} TEMPLATE {}", name, template)
    yield make_conninfo(dsn, dbname=name)
    if GIVEN_DSN:
        execute_alone(dsn, "DROP DATABASE {} WITH (FORCE)", name)
