"""The schema on one page equals the sum of the migrations, and an applied migration never changes."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

import psycopg
import pytest

from ingest.store.database import Database, Queries, QueryUnknown, load_queries
from ingest.store.layout import Storage, arrange
from ingest.store.migrate import Migration, MigrationsDiffer, is_migrated, migrate, shipped_migrations
from metering.clock import SystemClock

STORE = resources.files("ingest.store")

CATALOGUE = """
SELECT 'column', table_name || '.' || column_name,
    concat_ws(' ', data_type, udt_name, is_nullable, column_default, is_identity, is_generated, ordinal_position)
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'comment', objoid::regclass || '.' || objsubid, description
FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text !~ '^pg_'
ORDER BY 1, 2, 3
"""


def catalogue_of(dsn: str) -> list[tuple[str, str, str]]:
    """Everything a schema is made of, but the record of migrations itself."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(CATALOGUE).fetchall()
    return [row for row in rows if not row[1].startswith("schema_migrations")]


def test_all_migrations_make_the_schema_on_the_page(migrated_dsn: str, empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(STORE.joinpath("schema.sql").read_bytes())
    with Database(empty_dsn, connections=1) as database:
        assert list(arrange(database, Storage(), SystemClock().now()))
    assert catalogue_of(migrated_dsn) == catalogue_of(empty_dsn)
    assert len(catalogue_of(empty_dsn)) > 100


def test_no_shipped_migration_was_edited() -> None:
    """A line of CHECKSUMS is written once, with its migration; a difference here means an old file was touched."""
    lines = STORE.joinpath("migrations", "CHECKSUMS").read_text().splitlines()
    assert lines == [f"{migration.checksum.hex()}  {migration.name}" for migration in shipped_migrations()]


def test_migrations_are_numbered_without_gap() -> None:
    numbers = [int(migration.name[:4]) for migration in shipped_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_migration_changes_nothing(empty_dsn: str) -> None:
    with Database(empty_dsn, connections=1) as database:
        assert not is_migrated(database)
        assert migrate(database) == tuple(migration.name for migration in shipped_migrations())
        assert is_migrated(database)
        assert migrate(database) == ()


def test_an_edited_applied_migration_is_refused(empty_dsn: str) -> None:
    first = Migration("0001_pre_first.sql", b"CREATE TABLE one (number int)")
    with Database(empty_dsn, connections=1) as database:
        migrate(database, (first,))
        edited = Migration(first.name, b"CREATE TABLE one (number bigint)")
        with pytest.raises(MigrationsDiffer, match=r"0001_pre_first\.sql with other content"):
            migrate(database, (edited,))


def test_a_database_newer_than_the_program_is_refused(empty_dsn: str) -> None:
    first = Migration("0001_pre_first.sql", b"CREATE TABLE one (number int)")
    second = Migration("0002_post_second.sql", b"ALTER TABLE one ADD COLUMN more int")
    with Database(empty_dsn, connections=1) as database:
        migrate(database, (first, second))
        with pytest.raises(MigrationsDiffer, match=r"0002_post_second\.sql"):
            migrate(database, (first,))


def test_a_failing_migration_leaves_the_database_as_it_was(empty_dsn: str) -> None:
    first = Migration("0001_pre_first.sql", b"CREATE TABLE one (number int)")
    broken = Migration("0002_pre_broken.sql", b"ALTER TABLE nowhere ADD COLUMN more int")
    with Database(empty_dsn, connections=1) as database:
        with pytest.raises(psycopg.errors.UndefinedTable):
            migrate(database, (first, broken))
        assert migrate(database, (first,)) == (first.name,)


def test_a_checksum_is_that_of_the_file() -> None:
    migration = Migration("0001_pre_first.sql", b"SELECT 1")
    assert migration.checksum == hashlib.sha256(b"SELECT 1").digest()


def test_every_query_file_can_be_read() -> None:
    files = [file.name for file in STORE.joinpath("queries").iterdir() if file.name.endswith(".sql")]
    assert files
    for name in files:
        assert len(load_queries(name.removesuffix(".sql"))) > 0


NOT_PLANNED = (b"COPY", b"CREATE", b"LISTEN", b"SET TRANSACTION", b"VACUUM", b"ANALYZE")
"""What PostgreSQL does without a plan, and so does not prepare."""


def test_every_query_fits_the_schema(migrated_dsn: str) -> None:
    """PostgreSQL plans each query with its arguments left out: a wrong table, column or type shows here."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        for file in sorted(STORE.joinpath("queries").iterdir(), key=lambda file: file.name):
            for name, query in load_queries(file.name.removesuffix(".sql")).items():
                if not any(word in query for word in NOT_PLANNED):
                    connection.execute(b"PREPARE probe AS " + placeholders_numbered(query))
                    connection.execute("DEALLOCATE probe")
                assert name


def placeholders_numbered(query: bytes) -> bytes:
    """Write %(name)s as $1, $2 ... the way the server wants them."""

    names: list[bytes] = []

    def number(match: re.Match[bytes]) -> bytes:
        if match.group(1) not in names:
            names.append(match.group(1))
        return b"$%d" % (names.index(match.group(1)) + 1)

    return re.sub(rb"%\((\w+)\)s", number, query).replace(b"%%", b"%")


def test_an_unknown_query_is_named() -> None:
    with pytest.raises(QueryUnknown, match=r"queries/database\.sql has no query 'nothing'"):
        load_queries("database")["nothing"]


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(QueryUnknown, match="names a query twice"):
        Queries("twins", "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
