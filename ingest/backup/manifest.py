"""What a backup says of itself: which database, when, which parts with their hashes. Beside it may lie its signature.

The manifest is plain JSON and names nobody, also where the parts are locked. It is written last: a folder
without one is no backup. Format `metertree-backup/1`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from metering.envelope import Signer, Verifier, parse_sign1, sign1
from metering.errors import MeteringError, SenderError
from provisioning.document import DocumentMismatch, from_document, to_document

FORMAT = "metertree-backup/1"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
PURPOSE = b"metertree backup manifest 1\n"
"""In front of what is signed, so that it can be taken for nothing else under the same key."""


class BackupDamaged(MeteringError):
    """A backup is not what it says, or what it should be; it must not be restored."""


class NoBackup(MeteringError):
    """There is no finished backup at this place."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One file. rows, fingerprint: as in store.snapshot; octets, sha256: of the file; recipient: who can read it."""

    table: str
    name: str
    file: str
    packing: str
    rows: int
    fingerprint: str
    octets: int
    sha256: str
    recipient: str


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table, in the order in which rows go in."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One step of the schema the rows are of."""

    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Erased:
    """A person whose data were taken out before this backup; see store.erasure."""

    kind: str
    site: str | None
    subject: str
    reason: str
    erased_at: datetime


@dataclass(frozen=True, slots=True)
class Manifest:
    """A finished backup of kind `logical`. taken_at: of the snapshot; `database`: which one it is of."""

    format: str
    backup: str
    taken_at: datetime
    database: str
    postgresql: str
    timescaledb: str | None
    migrations: tuple[AppliedMigration, ...]
    tables: tuple[StoredTable, ...]
    parts: tuple[StoredPart, ...]
    erasures: tuple[Erased, ...]

    @property
    def octets(self) -> int:
        """Octets of all parts, also of those shared with another backup on the same disk."""
        return sum(part.octets for part in self.parts)

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    def parts_of(self, table: str) -> Iterator[StoredPart]:
        """Give the parts of one table."""
        return (part for part in self.parts if part.table == table)

    def encoded(self) -> bytes:
        """Give the octets of manifest.json."""
        return json.dumps(to_document(self), ensure_ascii=False, indent=1).encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a backup; raises NoBackup or BackupDamaged."""
    path = folder / MANIFEST
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise NoBackup(f"{folder} holds no finished backup: {error}; list those there are: --list FOLDER") from error
    try:
        manifest = from_document(Manifest, json.loads(octets))
    except (ValueError, DocumentMismatch) as error:
        raise BackupDamaged(f"{path} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupDamaged(f"{path} has format {manifest.format!r}; this program reads {FORMAT}")
    return manifest


def sign_manifest(octets: bytes, signer: Signer) -> bytes:
    """Give the signature that lies beside a manifest."""
    return sign1(PURPOSE + hashlib.sha256(octets).digest(), signer)


def check_signature(folder: Path, verifier: Verifier) -> None:
    """Raise BackupDamaged unless the centre's key signed the manifest."""
    octets = (folder / MANIFEST).read_bytes()
    try:
        payload = parse_sign1((folder / SIGNATURE).read_bytes()).require(verifier)
    except (OSError, SenderError) as error:
        raise BackupDamaged(f"{folder / SIGNATURE} is no signature of this centre: {error}") from error
    if payload != PURPOSE + hashlib.sha256(octets).digest():
        raise BackupDamaged(f"{folder / MANIFEST} was changed after it was signed")
