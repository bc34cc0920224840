"""A folder of backups: each in a folder named by its time, unfinished ones with that word behind it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.backup.manifest import MANIFEST, BackupDamaged, Manifest, NoBackup, read_manifest
from metering.errors import MeteringError

UNFINISHED = ".unfinished"
BASE = "base"
"""Folder within a base backup that holds the cluster's files."""
BASE_KIND, LOGICAL_KIND = "base", "logical"


class ShelfBusy(MeteringError):
    """Another backup is being written into the same folder."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A finished backup on the shelf."""

    folder: Path
    kind: str

    @property
    def name(self) -> str:
        """Its name, which is when it was begun."""
        return self.folder.name


def new_name(now: datetime) -> str:
    """Name a backup that begins now; names sort by time."""
    return now.strftime("%Y-%m-%dT%H%M%S.%fZ")


@contextmanager
def held_shelf(shelf: Path) -> Iterator[None]:
    """Keep other backups out of the folder, which is made 0700 if it is missing; raises ShelfBusy."""
    try:
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(shelf / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NoBackup(f"{shelf} cannot be written: {error}; name another folder with --to") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ShelfBusy(f"another backup into {shelf} is running; wait for it, or name another folder") from error
        yield
    finally:
        os.close(lock)


def finished(shelf: Path) -> tuple[Shelved, ...]:
    """List the finished backups of a folder, oldest first."""
    if not shelf.is_dir():
        return ()
    found = []
    for folder in sorted(shelf.iterdir()):
        if folder.is_dir() and not folder.name.endswith(UNFINISHED):
            if (folder / MANIFEST).exists():
                found.append(Shelved(folder, LOGICAL_KIND))
            elif (folder / BASE).is_dir():
                found.append(Shelved(folder, BASE_KIND))
    return tuple(found)


def unfinished(shelf: Path) -> tuple[Path, ...]:
    """List what was broken off, oldest first."""
    return tuple(folder for folder in sorted(shelf.iterdir()) if folder.name.endswith(UNFINISHED))


def readable_manifests(shelf: Path) -> Iterator[tuple[Path, Manifest]]:
    """Give the manifests of the shelf that can be read, newest first."""
    for shelved in reversed(finished(shelf)):
        if shelved.kind == LOGICAL_KIND:
            try:
                yield shelved.folder, read_manifest(shelved.folder)
            except (BackupDamaged, NoBackup):
                continue


def prune(shelf: Path, keep: int) -> tuple[str, ...]:
    """Delete the oldest finished backups of each kind beyond the newest `keep`, and name them."""
    gone: list[str] = []
    for kind in (LOGICAL_KIND, BASE_KIND):
        of_kind = [shelved for shelved in finished(shelf) if shelved.kind == kind]
        for shelved in of_kind[: max(0, len(of_kind) - keep)]:
            remove(shelved.folder)
            gone.append(shelved.name)
    return tuple(gone)


def remove(folder: Path) -> None:
    """Delete a backup; under another name first, so that a kill leaves nothing that looks finished."""
    doomed = folder.with_name(folder.name.removesuffix(UNFINISHED) + ".gone" + UNFINISHED)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def settle(unfinished_folder: Path, folder: Path) -> None:
    """Give a backup its name: from now on it is finished. What it consists of is on disk already."""
    sync(unfinished_folder)
    unfinished_folder.rename(folder)
    sync(folder.parent)


def sync(folder: Path) -> None:
    """Flush a folder's list of names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
