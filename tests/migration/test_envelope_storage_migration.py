"""Envelopes are kept as they came: PostgreSQL does not try to compress them, in no partition."""

from __future__ import annotations

import psycopg

from ingest.store.database import Database
from ingest.store.migrate import migrate, shipped_migrations

STORAGE = """
SELECT DISTINCT attstorage FROM pg_attribute
WHERE attname = 'octets' AND attrelid IN (
    SELECT relid FROM pg_partition_tree('envelopes') UNION SELECT 'envelopes'::regclass)
"""


def test_envelopes_are_kept_as_they_came_in_every_partition(migrated_dsn: str) -> None:
    with psycopg.connect(migrated_dsn) as connection:
        assert connection.execute(STORAGE).fetchall() == [("e",)]


def test_a_database_that_compressed_them_is_changed(empty_dsn: str) -> None:
    until_then = shipped_migrations()[:6]
    with Database(empty_dsn, connections=1) as database:
        migrate(database, until_then)
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("ALTER TABLE envelopes ALTER COLUMN octets SET STORAGE EXTENDED")
        connection.execute("DELETE FROM schema_migrations WHERE name >= '0005'")
        assert connection.execute(STORAGE).fetchall() == [("x",)]
    with Database(empty_dsn, connections=1) as database:
        migrate(database, until_then)
    with psycopg.connect(empty_dsn) as connection:
        assert connection.execute(STORAGE).fetchall() == [("e",)]
