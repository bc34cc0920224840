"""SPINE: check -> schema -> all rows in one transaction -> newest schema -> ready.

A database that is killed in between is empty still; run the same again. Gateways are asked for what the backup lacks by
intake itself, as soon as it finds out where its database came from (store/backup_log.py): nothing is to be done for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingest.backup import shelf as shelves
from ingest.backup.locked import Identity
from ingest.backup.manifest import BackupDamaged, Erased, Manifest, StoredPart, check_signature, read_manifest
from ingest.backup.part_file import read_rows
from ingest.store.aggregates import refresh_aggregates
from ingest.store.database import Connection, Database, load_queries
from ingest.store.erasure import erase_again
from ingest.store.erasure_log import Erasure
from ingest.store.layout import Storage, arrange
from ingest.store.migrate import Migration, migrate, migrate_schema, shipped_migrations
from ingest.store.snapshot import Table, go_on_numbering, list_tables, lock_statement, put_part, require_empty
from metering.envelope import Verifier

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. erased: whose data were taken out again, because they were taken out since the backup."""

    manifest: Manifest
    migrations: tuple[str, ...]
    erased: tuple[Erasure, ...]


def restore(
    database: Database,
    folder: Path,
    *,
    identity: Identity | None,
    verifier: Verifier | None,
    storage: Storage,
    now: datetime,
    erasures: Iterable[Erased] = (),
    watch: Watch = lambda *_: None,
) -> Restored:
    """Fill an empty database from a logical backup; raises BackupDamaged, RowsThere and others, and it is empty then.

    verifier   the centre's key: then the manifest must be signed by it
    erasures   further ones to be done again, beside those of the other backups in the same folder
    """
    manifest = read_manifest(folder)
    if verifier is not None:
        check_signature(folder, verifier)
    migrate_schema(database, _schema_of(manifest))
    for month in _months(manifest.parts):
        for _ in arrange(database, storage, month):
            pass
    since = [*erasures, *_erased_since(folder.parent)]
    with database.transaction() as connection:
        connection.execute(load_queries("database")["lock_migrations"])
        _fill(connection, folder, manifest, identity, watch)
        erased = erase_again(connection, ((e.kind, e.site, e.subject, e.reason, e.erased_at) for e in since))
        watch("committing", manifest.octets, manifest.octets)
    applied = migrate(database, storage=storage, now=now)
    _finish(database, watch)
    return Restored(manifest, applied, erased)


def _schema_of(manifest: Manifest) -> tuple[Migration, ...]:
    """Give the migrations that made the tables of a backup; raises BackupDamaged where this program has others."""
    shipped = shipped_migrations()
    ours = [(migration.name, migration.checksum.hex()) for migration in shipped]
    theirs = [(migration.name, migration.checksum) for migration in manifest.migrations]
    if theirs != ours[: len(theirs)]:
        strange = next((name for (name, _), mine in zip(theirs, ours, strict=False) if mine[0] != name), theirs[-1][0])
        raise BackupDamaged(f"the backup is of a schema that this program does not know ({strange}); use the newer one")
    return shipped[: len(theirs)]


def _fill(connection: Connection, folder: Path, manifest: Manifest, identity: Identity | None, watch: Watch) -> None:
    tables = list_tables(connection)
    connection.execute(lock_statement(connection, tables, "SHARE ROW EXCLUSIVE"))
    require_empty(connection, tables)
    known = {table.name: table for table in tables}
    done = 0
    for stored in manifest.tables:
        table = known.get(stored.name)
        if table is None or table.columns != stored.columns:
            raise BackupDamaged(f"table {stored.name} has other columns here than in the backup: {stored.columns}")
        for part in manifest.parts_of(stored.name):
            watch(f"{part.table} {part.name}", done, manifest.octets)
            _put(connection, table, folder, part, identity)
            done += part.octets
    go_on_numbering(connection, tables)


def _put(connection: Connection, table: Table, folder: Path, part: StoredPart, identity: Identity | None) -> None:
    put_part(connection, table, part.name, part.rows, read_rows(folder, part, identity))


def _finish(database: Database, watch: Watch) -> None:
    """Bring aggregates and the planner's statistics to what is there now."""
    for what in refresh_aggregates(database):
        watch(what, 0, 0)
    watch("measuring tables", 0, 0)
    with database.alone() as connection:
        connection.execute(load_queries("backup")["analyze"])


def _months(parts: Iterable[StoredPart]) -> Iterator[datetime]:
    """Give the months that large tables are divided by, so that each has its partition before its rows come."""
    for name in sorted({part.name for part in parts if part.table in ("envelopes", "readings")}):
        try:
            yield datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
        except ValueError:  # what lies before and behind all time
            continue


def _erased_since(shelf: Path) -> Iterator[Erased]:
    """Give every erasure that any backup in the folder knows of: the newest knows most."""
    for _, manifest in shelves.readable_manifests(shelf):
        yield from manifest.erasures
