"""Migration 0003 over a database that has runs and statements: they are read as before, and none is stored half."""

from __future__ import annotations

import psycopg
import pytest

from ingest.store.database import Database
from ingest.store.migrate import migrate, shipped_migrations
from ingest.store.runs import find_run, list_lines, party_totals
from ingest.store.statements import find_statement

BEFORE = b"""
INSERT INTO site_versions VALUES ('park', 1, decode(repeat('00', 32), 'hex'), '{}', '{}', now());
INSERT INTO allocation_runs (run, site, period, state, booked_at, site_version, inputs_hash, engine_version, document,
    created_at)
VALUES ('r', 'park', '2026-06', 'computed', now(), 1, decode(repeat('00', 32), 'hex'), '2',
    '{"cases": [], "lines": [{"id": "own/a/t-01", "kind": "metered", "amount_minor": 7}]}', now());
INSERT INTO run_transitions (run, step, to_state, actor, reason, acted_at, recorded_at)
VALUES ('r', 1, 'computed', 'an', '', now(), now());
INSERT INTO run_lines VALUES ('r', 0, 'own', 't-01', 'a', '[1]', 7, '{}');
INSERT INTO statements (number, run, party, octets, bundle, issued_at)
VALUES ('n', 'r', 't-01', 'signed', 'file', now());
"""


@pytest.fixture
def upgraded(empty_dsn: str) -> str:
    """A database that had a run with a statement before the migration."""
    with Database(empty_dsn, connections=1) as database:
        migrate(database, shipped_migrations()[:2])
        with psycopg.connect(empty_dsn) as connection:
            connection.execute(BEFORE)
        assert migrate(database)[0].startswith("0003_pre_close_at_size")
    return empty_dsn


def test_a_run_from_before_keeps_its_lines_in_its_document(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        for lines in (True, False):
            stored = find_run(connection, "r", lines=lines)
            assert stored is not None
            assert stored.document["lines"] == [{"id": "own/a/t-01", "kind": "metered", "amount_minor": 7}]
        (line,) = list_lines(connection, "r", party=None, pool=None)
        assert (line.amount_minor, line.kind) == (7, None)
        (total,) = party_totals(connection, "r")
        assert (total.party, total.lines, total.total_minor) == ("t-01", 1, 7)


def test_a_statement_from_before_keeps_its_file(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        stored = find_statement(connection, "n")
        assert stored is not None
        assert (stored.octets, stored.bundle, stored.proof) == (b"signed", b"file", None)


@pytest.mark.parametrize("columns", ["bundle = NULL", "proof = 'p'", "bundle = NULL, proof = NULL"])
def test_a_statement_has_either_its_file_or_its_proof(upgraded: str, columns: str) -> None:
    with psycopg.connect(upgraded) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"UPDATE statements SET {columns}".encode())


def test_the_program_from_before_may_still_store_statements(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        connection.execute(
            b"INSERT INTO statements (number, run, party, octets, bundle, issued_at) "
            b"VALUES ('m', 'r', 't-02', 'signed', 'file', now())"
        )
        connection.execute(b"UPDATE statements SET bundle = NULL, proof = 'p' WHERE number = 'm'")


def test_what_is_packed_or_all_digests_is_not_compressed(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        found = connection.execute(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attstorage = 'e' AND attnum > 0 "
            "AND attrelid IN ('statements'::regclass, 'run_slots'::regclass) ORDER BY 1, 2"
        )
        assert found.fetchall() == [
            *(("run_slots", name) for name in ("exported", "imported", "quality")),
            *(("statements", name) for name in ("octets", "proof")),
        ]
