"""Is a backup whole, readable and true to itself? Asked of the files alone: nothing is restored.

Every file is hashed. Deeper: every row is walked and counted, and the envelopes are held against the ledger month by
month, the sum of their digests against the sum of the digests that the ledger holds. So a backup is known to prove what
the database proved, without a database to put it in.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ingest.backup.locked import Identity
from ingest.backup.manifest import SIGNATURE, BackupDamaged, Manifest, StoredTable, check_signature, read_manifest
from ingest.backup.part_file import hashed_part, read_rows
from metering.envelope import EnvelopeMalformed, Verifier, chain_digest

SIGNATURE_OF_COPY = b"PGCOPY\n\xff\r\n\0"
"""PostgreSQL 18 documentation, COPY, "Binary Format": 11 octets, then flags and the length of an extension."""
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - counted in UTC below
DIGEST_MODULUS = 1 << 256
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup in order. vouched: its manifest is signed by the centre; months: of envelopes held to the ledger."""

    manifest: Manifest
    vouched: bool
    deep: bool
    months: int


def check_backup(
    folder: Path,
    *,
    identity: Identity | None,
    verifier: Verifier | None,
    deep: bool,
    watch: Watch = lambda *_: None,
) -> Checked:
    """Check a logical backup; raises BackupDamaged, NoBackup or Unreadable and names the file.

    verifier   the centre's key: then the manifest must be signed by it
    """
    manifest = read_manifest(folder)
    if verifier is not None:
        check_signature(folder, verifier)
    _require_complete(manifest)
    columns = {table.name: table for table in manifest.tables}
    sums = _Sums()
    done = 0
    for part in manifest.parts:
        watch(f"{part.table} {part.name}", done, manifest.octets)
        if deep:
            rows = _rows(read_rows(folder, part, identity), len(columns[part.table].columns), part.file)
            count = sums.take(columns[part.table], rows)
            if count != part.rows:
                raise BackupDamaged(f"{part.file} holds {count} rows instead of {part.rows}")
        else:
            for _ in hashed_part(folder, part):
                pass
        done += part.octets
    months = sums.require_equal() if deep else 0
    return Checked(manifest, verifier is not None and (folder / SIGNATURE).exists(), deep, months)


def _require_complete(manifest: Manifest) -> None:
    files = Counter(part.file for part in manifest.parts)
    twice = [file for file, times in files.items() if times > 1]
    unknown = {part.table for part in manifest.parts} - {table.name for table in manifest.tables}
    outside = [file for file in files if Path(file).is_absolute() or ".." in Path(file).parts]
    if twice or unknown or outside:
        raise BackupDamaged(f"the manifest contradicts itself: {[*twice, *sorted(unknown), *outside]}")


class _Sums:
    """Sums of digests by the month in which envelopes were received: of the ledger, and of the envelopes themselves."""

    def __init__(self) -> None:
        self._ledger: dict[tuple[int, int], int] = {}
        self._envelopes: dict[tuple[int, int], int] = {}

    def take(self, table: StoredTable, rows: Iterable[Sequence[bytes | None]]) -> int:
        """Count the rows, and add up those of the ledger and of the envelopes."""
        if table.name not in ("ledger", "envelopes"):
            return sum(1 for _ in rows)
        place = {column: index for index, column in enumerate(table.columns)}
        sums = self._ledger if table.name == "ledger" else self._envelopes
        count = 0
        for row in rows:
            count += 1
            if table.name == "ledger" and row[place["refused"]] is not None:
                continue
            month = _month(row[place["received_at"]])
            digest = row[place["digest"]] if table.name == "ledger" else _digest_of(row[place["octets"]])
            sums[month] = (sums.get(month, 0) + int.from_bytes(digest or b"", "big")) % DIGEST_MODULUS
        return count

    def require_equal(self) -> int:
        """Compare the months of which there are envelopes, and say how many; what was dropped by age is not there."""
        for month, found in sorted(self._envelopes.items()):
            if self._ledger.get(month) != found:
                raise BackupDamaged(
                    f"the envelopes received in {month[0]}-{month[1]:02} are not those that the ledger holds: this "
                    "backup would not prove its readings"
                )
        return len(self._envelopes)


def _rows(blocks: Iterable[bytes], fields: int, file: str) -> Iterator[list[bytes | None]]:
    """Walk the rows of a binary COPY; raises BackupDamaged where they are not of so many fields."""
    held, at = b"", 0
    source = iter(blocks)

    def need(octets: int) -> None:
        nonlocal held, at
        gathered = [held[at:]]
        missing = octets - len(gathered[0])
        while missing > 0:
            block = next(source, None)
            if block is None:
                raise BackupDamaged(f"{file} ends in the middle of a row")
            gathered.append(block)
            missing -= len(block)
        held, at = b"".join(gathered), 0

    need(19)
    if not held.startswith(SIGNATURE_OF_COPY):
        raise BackupDamaged(f"{file} is no binary COPY")
    at = 19 + int(struct.unpack_from("!I", held, 15)[0])
    while True:
        if len(held) - at < 2:
            need(2)
        count = struct.unpack_from("!h", held, at)[0]
        at += 2
        if count == -1:
            return
        if count != fields:
            raise BackupDamaged(f"{file} has a row of {count} fields instead of {fields}")
        row: list[bytes | None] = []
        for _ in range(fields):
            if len(held) - at < 4:
                need(4)
            length = struct.unpack_from("!i", held, at)[0]
            at += 4
            if length < 0:
                row.append(None)
                continue
            if len(held) - at < length:
                need(length)
            row.append(held[at : at + length])
            at += length
        yield row


def _month(sent: bytes | None) -> tuple[int, int]:
    """Read a timestamptz as PostgreSQL sends it: microseconds since 2000."""
    moment = EPOCH + timedelta(microseconds=int.from_bytes(sent or bytes(8), "big", signed=True))
    return moment.year, moment.month


def _digest_of(octets: bytes | None) -> bytes:
    try:
        return chain_digest(octets or b"")
    except EnvelopeMalformed as error:
        raise BackupDamaged(f"an envelope cannot be read: {error}") from error
