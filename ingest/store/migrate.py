"""Brings a database to the newest schema: append-only migrations, each applied once, known by its checksum.

Files are named `NNNN_pre|post_<what>.sql`: `pre` runs before the new program is deployed and must suit the old one,
`post` after it. All of a call's migrations commit together, under a lock that serves one process at a time. After them
the big tables are laid out (layout.py), step by step.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from importlib import resources

from ingest.store.database import Connection, Database, load_queries
from ingest.store.layout import Storage, arrange
from metering.clock import SystemClock
from metering.errors import MeteringError

_FILE = re.compile(r"\d{4}_(?:pre|post)_[a-z0-9_]+\.sql\Z")


class MigrationsDiffer(MeteringError):
    """The database holds a migration that this program does not have, or has with other content."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    name: str
    statements: bytes

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the file."""
        return hashlib.sha256(self.statements).digest()


def shipped_migrations() -> tuple[Migration, ...]:
    """List the migrations of this program, in order."""
    folder = resources.files(__package__).joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if _FILE.match(file.name))
    return tuple(Migration(name, folder.joinpath(name).read_bytes()) for name in names)


def missing_migrations(connection: Connection, shipped: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """Compare `shipped` with what the database has; raises MigrationsDiffer unless the latter is a beginning of it."""
    queries = load_queries("database")
    connection.execute(queries["create_migrations"])
    applied = connection.execute(queries["applied_migrations"]).fetchall()
    if len(applied) > len(shipped):
        raise MigrationsDiffer(f"the database is newer than this program: it has {applied[-1][0]}")
    for (name, checksum), migration in zip(applied, shipped, strict=False):
        if name != migration.name or bytes(checksum) != migration.checksum:
            raise MigrationsDiffer(
                f"the database has applied {name} with other content; an applied migration never changes"
            )
    return shipped[len(applied) :]


def migrate(
    database: Database,
    shipped: tuple[Migration, ...] | None = None,
    *,
    storage: Storage | None = None,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Apply what is missing, lay the tables out, and give the names of migrations applied.

    Raises MigrationsDiffer, and changes nothing then; LayoutRefused.
    """
    applied = migrate_schema(database, shipped)
    for _ in arrange(database, storage or Storage(), now or SystemClock().now()):
        pass
    return applied


def migrate_schema(database: Database, shipped: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Apply the migrations only and give their names; raises MigrationsDiffer, and changes nothing then."""
    queries = load_queries("database")
    with database.transaction() as connection:
        connection.execute(queries["lock_migrations"])
        missing = missing_migrations(connection, shipped_migrations() if shipped is None else shipped)
        for migration in missing:
            connection.execute(migration.statements)
            connection.execute(queries["record_migration"], {"name": migration.name, "checksum": migration.checksum})
    return tuple(migration.name for migration in missing)


def unapplied_migrations(database: Database) -> tuple[str, ...]:
    """Name the migrations that the database lacks; raises MigrationsDiffer."""
    with database.transaction() as connection:
        return tuple(migration.name for migration in missing_migrations(connection, shipped_migrations()))


def is_migrated(database: Database) -> bool:
    """Say whether the database has every migration of this program; raises MigrationsDiffer."""
    return not unapplied_migrations(database)
