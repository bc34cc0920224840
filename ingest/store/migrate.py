"""Brings a database to the newest schema: append-only migrations, each applied once, known by its checksum.

Files are named `NNNN_pre|post_<what>.sql`: `pre` runs before the new program is deployed and must suit the old one,
`post` after it. All of a call's migrations commit together, under a lock that serves one process at a time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from ingest.store.database import Connection, Database, load_queries
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


def migrate(database: Database, shipped: tuple[Migration, ...] | None = None) -> tuple[str, ...]:
    """Apply what is missing and give the names applied; raises MigrationsDiffer, and changes nothing then."""
    queries = load_queries("database")
    with database.transaction() as connection:
        connection.execute(queries["lock_migrations"])
        missing = missing_migrations(connection, shipped_migrations() if shipped is None else shipped)
        for migration in missing:
            connection.execute(migration.statements)
            connection.execute(queries["record_migration"], {"name": migration.name, "checksum": migration.checksum})
        connection.execute(resources.files(__package__).joinpath("hypertables.sql").read_bytes())
    return tuple(migration.name for migration in missing)


def is_migrated(database: Database) -> bool:
    """Say whether the database has every migration of this program; raises MigrationsDiffer."""
    with database.transaction() as connection:
        return not missing_migrations(connection, shipped_migrations())
