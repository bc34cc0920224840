"""SPINE: hold -> snapshot -> survey -> read out what changed -> manifest -> finished.

Everything is read in one snapshot, so the parts fit each other however long it takes. A part whose rows are those of
an earlier backup in the same folder (their hashes add up to the same) is that very file under a second name; so the
backup of a night holds all, and writes little. A backup that was broken off is gone on with in the same way: a new
snapshot, and of what is on disk already whatever still holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.backup import shelf as shelves
from ingest.backup.locked import Recipient
from ingest.backup.manifest import (
    FORMAT,
    MANIFEST,
    SIGNATURE,
    AppliedMigration,
    BackupDamaged,
    Erased,
    Manifest,
    StoredPart,
    StoredTable,
    sign_manifest,
)
from ingest.backup.part_file import is_whole, write_part
from ingest.backup.shelf import LOGICAL_KIND, UNFINISHED
from ingest.store.backup_log import finish_backup, logged_backup
from ingest.store.database import Connection, Database
from ingest.store.erasure_log import list_erasures
from ingest.store.snapshot import (
    Part,
    Table,
    about,
    begin_snapshot,
    list_tables,
    lock_statement,
    read_part,
    survey,
)
from metering.clock import Clock
from metering.envelope import Signer
from provisioning.document import DocumentMismatch, from_document, to_document

JOURNAL = "parts.jsonl"
"""The parts of an unfinished backup that are on disk, a line each."""
Watch = Callable[[str, int, int], None]
"""(what, done, of): told before each table and after each part; rows."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A finished backup; of its parts so many were written now, the others are those of an earlier one."""

    folder: Path
    manifest: Manifest
    parts_written: int
    octets_written: int


@dataclass(frozen=True, slots=True)
class _Known:
    """A part that is on disk already, and where."""

    folder: Path
    part: StoredPart


def take_backup(
    database: Database,
    shelf: Path,
    *,
    clock: Clock,
    recipient: Recipient | None,
    signer: Signer | None,
    watch: Watch = lambda *_: None,
    whole: bool = False,
) -> Taken:
    """Write a logical backup into a new folder of `shelf`; `database` must have one connection.

    recipient  who alone can read it; None for everybody who reaches the files
    signer     who vouches for it, so that nobody can put another in its place
    whole      write every part anew, and share none with earlier backups
    Raises MeteringError families and psycopg's; whatever happens, what is finished stays whole.
    """
    now = clock.now()
    name = shelves.new_name(now)
    with (
        shelves.held_shelf(shelf),
        logged_backup(database, name, LOGICAL_KIND, str(shelf.resolve()), now),
    ):
        work = _open_work(shelf, name)
        known = {} if whole else _known_parts(shelf, work, recipient)
        with database.transaction() as connection:
            lock = lock_statement(connection, list_tables(connection), "ACCESS SHARE")
        with database.transaction() as connection:
            begin_snapshot(connection)
            connection.execute(lock)
            writer = _Writer(connection, work, known, recipient, watch)
            manifest = _read_out(connection, writer, name, clock)
        _finish(work, shelf / name, manifest, signer)
        finish_backup(database, name, clock.now(), manifest.octets)
        for left in shelves.unfinished(shelf):
            shelves.remove(left)
    return Taken(shelf / name, manifest, writer.parts_written, writer.octets_written)


def _read_out(connection: Connection, writer: _Writer, name: str, clock: Clock) -> Manifest:
    taken_at, server = clock.now(), about(connection)
    tables = list_tables(connection)
    parts = [(table, part) for table in tables for part in writer.survey(table)]
    stored = [writer.store(table, part) for table, part in parts]
    return Manifest(
        format=FORMAT,
        backup=name,
        taken_at=taken_at,
        database=server.database,
        postgresql=server.postgresql,
        timescaledb=server.timescaledb,
        migrations=tuple(AppliedMigration(one, checksum.hex()) for one, checksum in server.migrations),
        tables=tuple(StoredTable(table.name, table.columns) for table in tables),
        parts=tuple(stored),
        erasures=tuple(
            Erased(one.kind, one.site, one.subject, one.reason, one.erased_at) for one in list_erasures(connection)
        ),
    )


class _Writer:
    """Puts parts into the folder that is being written, by reading them out or by a second name."""

    def __init__(
        self,
        connection: Connection,
        work: Path,
        known: dict[tuple[str, str], list[_Known]],
        recipient: Recipient | None,
        watch: Watch,
    ) -> None:
        self._connection = connection
        self._work = work
        self._known = known
        self._recipient = recipient
        self._watch = watch
        self._rows = 0
        self._done = 0
        self.parts_written = 0
        self.octets_written = 0

    def survey(self, table: Table) -> Iterable[Part]:
        """Count the parts of a table."""
        self._watch(f"counting {table.name}", 0, 0)
        parts = survey(self._connection, table)
        self._rows += sum(part.rows for part in parts)
        return parts

    def store(self, table: Table, part: Part) -> StoredPart:
        """Put one part into the folder."""
        self._watch(f"{table.name} {part.name}", self._done, self._rows)
        stored = self._again(part) or self._anew(table, part)
        with (self._work / JOURNAL).open("ab") as journal:
            journal.write(json.dumps(to_document(stored)).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._done += part.rows
        self._watch(f"{table.name} {part.name}", self._done, self._rows)
        return stored

    def _anew(self, table: Table, part: Part) -> StoredPart:
        path = self._work / table.name / _file_name(part)
        path.unlink(missing_ok=True)
        stored = write_part(path, part, read_part(self._connection, table, part), self._recipient)
        self.parts_written += 1
        self.octets_written += stored.octets
        return stored

    def _again(self, part: Part) -> StoredPart | None:
        """Give the part of an earlier backup that holds the same rows, if its file is whole."""
        for known in self._known.get((part.table, part.name), ()):
            same = (known.part.rows, known.part.fingerprint) == (part.rows, part.fingerprint)
            if same and is_whole(known.folder, known.part):
                target = self._work / known.part.file
                source = known.folder / known.part.file
                if source != target:
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    target.unlink(missing_ok=True)
                    os.link(source, target)
                return known.part
        return None


def _open_work(shelf: Path, name: str) -> Path:
    """Make the folder to write in, or go on in one that was left."""
    work = shelf / (name + UNFINISHED)
    left = [folder for folder in shelves.unfinished(shelf) if (folder / JOURNAL).exists()]
    if left:
        left[-1].rename(work)
    else:
        work.mkdir(mode=0o700)
    return work


def _known_parts(shelf: Path, work: Path, recipient: Recipient | None) -> dict[tuple[str, str], list[_Known]]:
    """Collect the parts that are in `work` already and those of the newest backup, by table and name."""
    locked_for = "" if recipient is None else recipient.fingerprint
    known: dict[tuple[str, str], list[_Known]] = {}
    for one in (*_broken_off(work), *_newest(shelf)):
        if one.part.recipient == locked_for:
            known.setdefault((one.part.table, one.part.name), []).append(one)
    return known


def _newest(shelf: Path) -> Iterator[_Known]:
    for folder, manifest in shelves.readable_manifests(shelf):
        yield from (_Known(folder, part) for part in manifest.parts)
        return


def _broken_off(work: Path) -> Iterator[_Known]:
    """Give the parts that an attempt which was broken off has left on disk."""
    journal = work / JOURNAL
    for line in journal.read_bytes().splitlines() if journal.exists() else ():
        try:
            yield _Known(work, from_document(StoredPart, json.loads(line)))
        except (ValueError, DocumentMismatch):  # the last line, when the power went
            continue


def _finish(work: Path, folder: Path, manifest: Manifest, signer: Signer | None) -> None:
    """Drop what an earlier attempt left, write the manifest, give the folder its name."""
    wanted = {work / part.file for part in manifest.parts}
    for path in [path for path in work.glob("*/*") if path not in wanted]:
        path.unlink()
    (work / JOURNAL).unlink(missing_ok=True)
    octets = manifest.encoded()
    for name, content in ((MANIFEST, octets), (SIGNATURE, None if signer is None else sign_manifest(octets, signer))):
        (work / name).unlink(missing_ok=True)
        if content is not None:
            with (work / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    for table in {path.parent for path in wanted}:
        shelves.sync(table)
    shelves.settle(work, folder)


def _file_name(part: Part) -> str:
    if not all(sign.isalnum() or sign in "-_." for sign in part.name) or part.name.startswith("."):
        raise BackupDamaged(f"{part.table} has a part that no file can be named for: {part.name!r}")
    return f"{part.name}.copy"
