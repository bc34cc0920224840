"""Fixtures with real servers: one PostgreSQL for the whole run, a fresh migrated database per test.

METERTREE_TEST_DSN names another server: then each test has a database of its own there, made and dropped by a role that
needs CREATEDB and no more, with TimescaleDB in it where the server has that. Otherwise an embedded one is made.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    *("charge_lines", "charges", "disputes", "statement_states"),
    *("ordered_job_events", "ordered_jobs", "site_days", "run_completions"),
    *("feed_entries", "idempotency_keys"),
    *("correction_lines", "publications", "release_exclusions", "run_reasons", "run_slots", "run_transitions"),
    "run_changes",
    "gateway_certificates",
    "run_evidence",
    *("hand_readings", "photos"),
    *("bindings", "installation_events", "grants"),
    *("access_tokens", "client_keys", "clients"),
    *("sign_in_failures", "sessions", "sign_in_links", "sign_ins"),
    *("revocations", "claim_misuses", "operators", "audit_checkpoints", "audit_log"),
    "rule_drafts",
    *("statements", "run_lines", "allocation_runs", "site_versions", "gateway_keys", "gateways", "install_orders"),
    *("backups", "resend_requests", "erasures"),
    "job_runs",
    *("webhook_deliveries", "webhook_secrets", "webhook_endpoints", "events"),
    *("ledger", "chain_heads", "envelopes", "readings", "quarantine", "alarms", "unsettled_days", "settled_days"),
    *("alerts", "lost_batches", "clock_anchors", "undated_envelopes", "settings_orders", "meter_serials"),
)
"""Every table of the schema, those that refer to others first."""
EMPTY = "template0"
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
def migrated_template(postgres_dsn: str) -> str | None:
    """Name of a database with the newest schema and nothing in it, to copy from; None on a given server.

    There TimescaleDB's scheduler may sit in it, and a database that somebody is connected to cannot be copied.
    """
    if GIVEN_DSN:
        return None
    name = f"metertree_template_{os.getpid()}"
    execute_alone(postgres_dsn, "CREATE DATABASE {}", name)
    with Database(make_conninfo(postgres_dsn, dbname=name), connections=1) as database:
        migrate(database)
    return name


@pytest.fixture
def empty_dsn(postgres_dsn: str) -> Iterator[str]:
    """Connection string to a database without any table."""
    yield from _database(postgres_dsn, EMPTY)


@pytest.fixture
def bare_dsn(postgres_dsn: str) -> Iterator[str]:
    """The same without TimescaleDB, also where the server has it."""
    yield from _database(postgres_dsn, EMPTY, timescale=False)


@pytest.fixture(scope="session")
def shared_dsn(postgres_dsn: str, migrated_template: str | None) -> Iterator[str | None]:
    """Connection string to the one database that most tests share: a copy each would cost half a second.

    None on a given server, where each test has its own.
    """
    if migrated_template is None:
        yield None
        return
    yield from _database(postgres_dsn, migrated_template)


@pytest.fixture
def migrated_dsn(postgres_dsn: str, shared_dsn: str | None) -> Iterator[str]:
    """Connection string to a database with the newest schema and nothing in it."""
    yield from _database(postgres_dsn, None) if shared_dsn is None else _emptied(shared_dsn)


@pytest.fixture
def own_dsn(postgres_dsn: str, migrated_template: str | None) -> Iterator[str]:
    """The same in a database of its own, whose settings the test may change."""
    yield from _database(postgres_dsn, migrated_template)


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[Database]:
    """A database with the newest schema and nothing in it."""
    with Database(migrated_dsn, connections=4) as opened:
        yield opened


def _database(dsn: str, template: str | None, *, timescale: bool = True) -> Iterator[str]:
    """Make a database, a copy of `template` (None: of the newest schema), and drop it whatever becomes of the test.

    Dropping costs a checkpoint, so those on an embedded server, which is removed, are left.
    """
    name = f"metertree_test_{os.getpid()}_{next(_numbers)}"
    with _left_alone(dsn, template) if GIVEN_DSN and template not in (None, EMPTY) else nullcontext():
        execute_alone(dsn, "CREATE DATABASE {} TEMPLATE {}", name, template or EMPTY)
    made = make_conninfo(dsn, dbname=name)
    try:
        if GIVEN_DSN and timescale and template in (None, EMPTY):
            _add_timescaledb(made)
        if template is None:
            with Database(made, connections=1) as opened:
                migrate(opened)
        yield made
    finally:
        if GIVEN_DSN:
            execute_alone(dsn, "DROP DATABASE {} WITH (FORCE)", name)


def _emptied(dsn: str) -> Iterator[str]:
    with psycopg.connect(dsn) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert tables == {*TABLES, "schema_migrations"}, "TABLES must name every table"
        for table in TABLES:
            # Of the audit log nothing can be deleted as it stands: that is its point.
            guarded = sql.SQL("ALTER TABLE {} {} TRIGGER USER")
            if table == "audit_log":
                connection.execute(guarded.format(sql.Identifier(table), sql.SQL("DISABLE")))
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            if table == "audit_log":
                connection.execute(guarded.format(sql.Identifier(table), sql.SQL("ENABLE")))
    yield dsn


def _add_timescaledb(dsn: str) -> None:
    """Install TimescaleDB where the server has it; an extension that it has and refuses is an error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone() is not None:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")


@contextmanager
def _left_alone(dsn: str, name: str) -> Iterator[None]:
    """Keep TimescaleDB's workers out of a database that is to be copied; to end them takes a superuser."""
    execute_alone(dsn, "ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
    workers = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for _ in range(500):
                if not connection.execute(workers, [name]).fetchall():
                    break
                threading.Event().wait(0.02)
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        pytest.skip(f"to copy a database under TimescaleDB's scheduler takes a superuser: {error}")
    finally:
        execute_alone(dsn, "ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
