"""The desk at which the audit log is verified, signed for, and written out for an auditor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.audit_checkpoint import Checkpoint, checkpoint_fault, open_checkpoint, seal_checkpoint
from ingest.audit_log import Entry, chain_faults
from ingest.audit_rows import Row, RowsHeld, Told, hold_rows
from ingest.store.audit import entries, head
from ingest.store.database import Connection, Database, load_queries
from ingest.store.snapshot import begin_snapshot
from metering.envelope import EnvelopeMalformed, SignatureInvalid, Signer, Verifier, encode
from metering.errors import MeteringError

FAULTS_MAX = 1000
"""Faults told one by one: a log that was written anew has as many as it has entries."""
_OCTETS = ("content_hash", "previous", "digest", "salt")


class ExportUnreadable(MeteringError):
    """A file is no written-out audit log."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying came to. `rows` None where only a file was there.

    checkpoints  how many fit
    """

    entries: int
    digest: bytes
    checkpoints: int
    rows: RowsHeld | None
    faults: tuple[str, ...]


class _Watched:
    """Passes entries on, and keeps what checkpoints and rows are held against."""

    def __init__(self, found: Iterable[Entry], numbers: Iterable[int]) -> None:
        self._found = found
        self.digests: dict[int, bytes | None] = dict.fromkeys(numbers)
        self.told = Told()
        self.count = 0
        self.last = bytes(32)

    def __iter__(self) -> Iterator[Entry]:
        for one in self._found:
            self.count, self.last = self.count + 1, one.digest
            if one.number in self.digests:
                self.digests[one.number] = one.digest
            self.told.take(one)
            yield one


@dataclass(frozen=True, slots=True)
class AuditDesk:
    """Verifies and signs for the audit log of one database."""

    database: Database

    def verify(self, verifier: Verifier | None, kept: Mapping[str, bytes]) -> Verified:
        """Hold the log against itself, against checkpoints, and against the books, all in one view of the database.

        verifier   the centre's public key; None: checkpoints are not looked at
        kept       checkpoints kept elsewhere, by where they came from
        """
        with self.database.transaction() as connection:
            begin_snapshot(connection)
            return verify_books(connection, verifier, kept)

    def sign(self, signer: Signer, now: datetime) -> bytes | None:
        """Sign for the log as it is now, and keep that; None for an empty log."""
        with self.database.transaction() as connection:
            number, digest = head(connection)
            if not number:
                return None
            octets = seal_checkpoint(Checkpoint(number, digest, now), signer)
            row = {"number": number, "signed_at": now, "octets": octets}
            connection.execute(load_queries("audit")["add_checkpoint"], row)
        return octets

    def export(self) -> Iterator[str]:
        """Give the whole log as lines of JSON, which `read_export` reads."""
        with self.database.transaction() as connection:
            begin_snapshot(connection)
            for one in entries(connection):
                yield json.dumps(entry_document(one), ensure_ascii=False, sort_keys=True)


def verify_books(connection: Connection, verifier: Verifier | None, kept: Mapping[str, bytes]) -> Verified:
    """Verify as `AuditDesk.verify` does, in an open transaction."""
    stored = {
        f"checkpoint {number} of the books": bytes(octets)
        for number, octets in connection.execute(load_queries("audit")["checkpoints"])
    }
    found = verify_entries(entries(connection), verifier, {**stored, **kept})
    rows = _hold_books(connection, found.told)
    faults = (*found.faults, *rows.faults)
    return Verified(found.count, found.last, found.checkpoints, rows, faults[:FAULTS_MAX])


@dataclass(frozen=True, slots=True)
class EntriesVerified:
    """What verifying entries alone came to, and what they tell of rows."""

    count: int
    last: bytes
    checkpoints: int
    told: Told
    faults: tuple[str, ...]


def verify_entries(
    found: Iterable[Entry], verifier: Verifier | None, checkpoints: Mapping[str, bytes]
) -> EntriesVerified:
    """Hold entries against each other and against checkpoints, by where these came from."""
    faults: list[str] = []
    opened: dict[str, Checkpoint] = {}
    for place, octets in checkpoints.items() if verifier is not None else ():
        try:
            assert verifier is not None
            opened[place] = open_checkpoint(octets, verifier)
        except (EnvelopeMalformed, SignatureInvalid) as error:
            faults.append(f"{place}: not signed by this centre: {error}")
    watched = _Watched(found, [one.number for one in opened.values()])
    for fault in chain_faults(watched):
        if len(faults) < FAULTS_MAX:
            faults.append(fault)
    fitting = 0
    for place, checkpoint in opened.items():
        misfit = checkpoint_fault(checkpoint, watched.digests[checkpoint.number], place)
        fitting += misfit is None
        faults += [] if misfit is None else [misfit]
    return EntriesVerified(watched.count, watched.last, fitting, watched.told, tuple(faults))


def entry_document(one: Entry) -> dict[str, Any]:
    """Give an entry for programs: octets in hexadecimal, its content as a text that can be hashed again."""
    return {
        "number": one.number,
        "at": one.at.isoformat(),
        "who": one.who,
        "verb": one.verb,
        "subject": one.subject,
        "touches": list(one.touches),
        "content": one.content,
        **{name: None if (octets := getattr(one, name)) is None else octets.hex() for name in _OCTETS},
    }


def read_export(lines: Iterable[str], place: str) -> Iterator[Entry]:
    """Read what `export` gave; raises ExportUnreadable, which names the line."""
    for number, line in enumerate(lines, start=1):
        try:
            table = json.loads(line)
            octets = {name: None if table[name] is None else bytes.fromhex(table[name]) for name in _OCTETS}
            yield Entry(
                number=int(table["number"]),
                at=datetime.fromisoformat(table["at"]),
                who=str(table["who"]),
                verb=str(table["verb"]),
                subject=str(table["subject"]),
                touches=tuple(map(str, table["touches"])),
                content=None if table["content"] is None else str(table["content"]),
                **{name: octets[name] or b"" for name in ("content_hash", "previous", "digest")},
                salt=octets["salt"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ExportUnreadable(
                f"{place}:{number}: no entry of an audit log ({error!r}); export it again"
            ) from error


def _hold_books(connection: Connection, told: Told) -> RowsHeld:
    queries = load_queries("audit")
    held = hold_rows(told, _rows(connection, "rows_written"), _rows(connection, "rows_standing"))
    there = {subject for (subject,) in connection.execute(queries["standing_subjects"])}
    gone = [
        f"{subject}: entry {number} says {mark}; no such row stands in the books"
        for subject, (mark, number) in told.standings.items()
        if subject not in there
    ]
    changed = [
        f"site/{site}: the content of version {version} is not what was put there: its hash is another"
        for site, version, digest, document, rules in connection.execute(queries["site_contents"])
        if hashlib.sha256(encode([document, rules])).digest() != bytes(digest)
    ]
    return RowsHeld(held.held, held.older, (*held.faults, *gone, *changed))


def _rows(connection: Connection, query: str) -> Iterator[Row]:
    return (Row(*row) for row in connection.execute(load_queries("audit")[query]))
