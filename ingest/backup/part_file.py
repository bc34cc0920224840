"""One file of a backup: rows, packed, locked if asked for, hashed on the way to the disk and on the way back."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ingest.backup.locked import Identity, Recipient, Unreadable
from ingest.backup.manifest import BackupDamaged, StoredPart
from ingest.store.snapshot import Part

BLOCK_OCTETS = 1 << 20
PACKED = "zlib"
AS_THEY_ARE = "none"
NOISE = frozenset({"envelopes", "statements", "run_slots"})
"""Tables of signatures, digests and packed numbers: packing gains a few hundredths and takes most of the time."""
LEVEL = 1


def write_part(path: Path, part: Part, blocks: Iterable[bytes], recipient: Recipient | None) -> StoredPart:
    """Write the rows of a part into `path`; when this returns, they are on disk."""
    packing = AS_THEY_ARE if part.table in NOISE else PACKED
    content: Iterable[bytes] = blocks if packing == AS_THEY_ARE else _packed(blocks)
    if recipient is not None:
        content = recipient.lock(content, _label(part.table, part.name))
    digest, octets = hashlib.sha256(), 0
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in content:
            file.write(block)
            digest.update(block)
            octets += len(block)
        file.flush()
        os.fsync(file.fileno())
    return StoredPart(
        table=part.table,
        name=part.name,
        file=f"{path.parent.name}/{path.name}",
        packing=packing,
        rows=part.rows,
        fingerprint=part.fingerprint,
        octets=octets,
        sha256=digest.hexdigest(),
        recipient="" if recipient is None else recipient.fingerprint,
    )


def hashed_part(folder: Path, part: StoredPart) -> Iterator[bytes]:
    """Give the file of a part; raises BackupDamaged at its end at the latest if it is not what the manifest says."""
    path = folder / part.file
    digest, octets = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_OCTETS):
                digest.update(block)
                octets += len(block)
                yield block
    except OSError as error:
        raise BackupDamaged(f"{path} cannot be read: {error}") from error
    if octets != part.octets:
        raise BackupDamaged(f"{path} has {octets} octets instead of {part.octets}")
    if digest.hexdigest() != part.sha256:
        raise BackupDamaged(f"{path} is not what was written: its SHA-256 is {digest.hexdigest()}, not {part.sha256}")


def read_rows(folder: Path, part: StoredPart, identity: Identity | None) -> Iterator[bytes]:
    """Give the rows of a part as they came out of the database; raises BackupDamaged or Unreadable."""
    content: Iterable[bytes] = hashed_part(folder, part)
    if part.recipient:
        if identity is None:
            raise Unreadable(f"{part.file} is locked for {part.recipient}: give the private key with --identity")
        content = identity.unlock(content, _label(part.table, part.name))
    if part.packing == AS_THEY_ARE:
        yield from content
    elif part.packing == PACKED:
        yield from _unpacked(content, part.file)
    else:
        raise BackupDamaged(f"{part.file} is packed by {part.packing!r}, which this program does not know")


def is_whole(folder: Path, part: StoredPart) -> bool:
    """Say whether the file of a part is what the manifest says."""
    try:
        for _ in hashed_part(folder, part):
            pass
    except BackupDamaged:
        return False
    return True


def _label(table: str, name: str) -> str:
    return f"{table}/{name}"


def _packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(LEVEL)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()


def _unpacked(blocks: Iterable[bytes], file: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    try:
        for block in blocks:
            while block:
                yield unpacker.decompress(block, BLOCK_OCTETS)
                block = unpacker.unconsumed_tail
    except zlib.error as error:
        raise BackupDamaged(f"{file} cannot be unpacked: {error}") from error
    yield unpacker.flush()
    if not unpacker.eof:
        raise BackupDamaged(f"{file} ends before its end")
