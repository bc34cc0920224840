"""Migration 0002 over a database that has runs: they keep their place, get a log, and are held to the new rules."""

from __future__ import annotations

import psycopg
import pytest

from ingest.store.database import Database
from ingest.store.migrate import migrate, shipped_migrations

RUN = b"""
INSERT INTO site_versions VALUES ('park', 1, decode(repeat('00', 32), 'hex'), '{}', '{}', now());
INSERT INTO allocation_runs VALUES
    ('r-sound', 'park', '2026-06', 'computed', now(), 1, decode(repeat('00', 32), 'hex'), '1', '{"cases": []}', now()),
    ('r-open', 'park', '2026-07', 'blocked', now(), 1, decode(repeat('00', 32), 'hex'), '1',
        '{"cases": [{"node": "main"}, {"node": "lift"}]}', now());
"""


@pytest.fixture
def upgraded(empty_dsn: str) -> str:
    """A database that had two runs before the migration."""
    with Database(empty_dsn, connections=1) as database:
        migrate(database, shipped_migrations()[:1])
        with psycopg.connect(empty_dsn) as connection:
            connection.execute(RUN)
        assert migrate(database)[0].startswith("0002_pre_run_states")
    return empty_dsn


def test_runs_from_before_are_computed_logged_and_know_their_open_cases(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        runs = connection.execute(
            "SELECT run, state, steps, computed_by, unexplained FROM allocation_runs ORDER BY run"
        )
        assert runs.fetchall() == [
            ("r-open", "computed", 1, "unrecorded", 2),
            ("r-sound", "computed", 1, "unrecorded", 0),
        ]
        log = connection.execute("SELECT run, step, from_state, to_state FROM run_transitions ORDER BY run")
        assert log.fetchall() == [("r-open", 1, None, "computed"), ("r-sound", 1, None, "computed")]


@pytest.mark.parametrize(
    "planted",
    [
        "UPDATE allocation_runs SET state = 'blocked'",
        "UPDATE allocation_runs SET state = 'published'",
        "UPDATE allocation_runs SET steps = 2",
        "INSERT INTO run_transitions (run, step, from_state, to_state, actor, reason, acted_at, recorded_at) "
        "VALUES ('r-open', 2, 'computed', 'approved', 'an', '', now(), now())",
        "INSERT INTO run_transitions (run, step, from_state, to_state, actor, reason, acted_at, recorded_at) "
        "VALUES ('r-open', 3, 'computed', 'checked', 'an', '', now(), now())",
        "INSERT INTO run_reasons VALUES ('r-open', 'case main', '', 'an', now(), now())",
        "INSERT INTO run_reasons VALUES ('r-none', 'case main', 'why', 'an', now(), now())",
    ],
)
def test_the_upgraded_database_refuses_what_a_fresh_one_would(upgraded: str, planted: str) -> None:
    with psycopg.connect(upgraded) as connection:
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(planted.encode())


def test_two_published_runs_of_one_period_are_refused(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        connection.execute("ALTER TABLE allocation_runs DROP CONSTRAINT allocation_runs_logged")
        connection.execute("UPDATE allocation_runs SET period = '2026-07', checked_by = 'bo', approved_by = 'cy'")
        connection.execute("UPDATE allocation_runs SET unexplained = 0")
        with pytest.raises(psycopg.errors.UniqueViolation, match="allocation_runs_published"):
            connection.execute("UPDATE allocation_runs SET state = 'published'")


@pytest.mark.parametrize(("before", "after", "delta"), [(1, 3, 1), (2, 2, 0)])
def test_a_delta_line_that_is_none_or_does_not_add_up_is_refused(
    upgraded: str, before: int, after: int, delta: int
) -> None:
    with psycopg.connect(upgraded) as connection:
        connection.execute("INSERT INTO publications (run, published_at, octets) VALUES ('r-sound', now(), '')")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(
                "INSERT INTO correction_lines SELECT 'r-sound', 'r-open', 'l', 'p', 't', NULL, %s, %s, %s, '[]', "
                "publication FROM publications",
                (before, after, delta),
            )
