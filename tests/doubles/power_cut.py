"""A disk for SQLite that forgets, at a power cut, what nobody has synced: or keeps some of it, torn and out of order.

It is a VFS in memory. Each file has what is synced and the writes since. At the cut every sector (512 octets) of every
write since the last sync is kept or lost by itself, so later ones may survive earlier ones and a page may be half new;
a change of size may be kept or lost; a file nobody has synced may be missing. What was synced is there, always.

The program under test cannot see the cut coming: the disk counts its calls, and at the one that was chosen, and from
then on, every call fails. A WAL needs shared memory unless its connection is the only one: hence `connect` asks for it.
"""

# ruff: noqa: N802  (the names are apsw's)

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512
CHECKPOINT_PAGES = 12
"""Far sooner than SQLite's 1,000 pages, so that cuts fall into checkpoints and into logs begun anew."""
_numbers = itertools.count()


class PowerCut(apsw.IOError):
    """The power is gone: to SQLite, an error of the disk."""


@dataclass
class Store:
    """One file: what is synced, what the program sees, and the writes between the two, in order.

    since   (offset, octets) of a write, or (size, None) of a cut to size
    exists  whether its name is on the disk
    """

    synced: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    exists: bool = False

    def write(self, offset: int, octets: bytes) -> None:
        """Write as the program sees it."""
        _write(self.seen, offset, octets)
        self.since.append((offset, octets))

    def truncate(self, size: int) -> None:
        """Cut to size as the program sees it."""
        del self.seen[size:]
        self.since.append((size, None))

    def sync(self) -> None:
        """Everything so far is there for good."""
        for offset, octets in self.since:
            if octets is None:
                del self.synced[offset:]
            else:
                _write(self.synced, offset, octets)
        self.since.clear()
        self.exists = True

    def after_cut(self, rng: random.Random, kept: float) -> Store | None:
        """Give what is found after a cut; None where not even the name is."""
        if not self.exists and rng.random() >= kept:
            return None
        found = bytearray(self.synced)
        for offset, octets in self.since:
            if octets is None:
                if rng.random() < kept:
                    del found[offset:]
                continue
            for begin in range(0, len(octets), SECTOR):
                if rng.random() < kept:
                    _write(found, offset + begin, octets[begin : begin + SECTOR])
        return Store(found, bytearray(found), exists=True)


@dataclass
class Counts:
    """What the program asked of the disk."""

    calls: int = 0
    writes: int = 0
    octets: int = 0
    syncs: int = 0


class ForgetfulDisk(apsw.VFS):
    """The disk. `cut_at`: number of the changing call (write, cut to size, sync, removal) at which the power goes."""

    def __init__(self) -> None:
        self.name = f"forgetful-{next(_numbers)}"
        self.files: dict[str, Store] = {}
        self.removed: dict[str, Store] = {}
        self.counts = Counts()
        self.cut_at: int | None = None
        self.is_dead = False
        self.is_off = False
        self._connections: list[apsw.Connection] = []
        super().__init__(self.name, "")

    def connect(self, path: Path, synchronous: str = "full") -> apsw.Connection:
        """Open a database as its only user."""
        connection = _Connection(str(path), vfs=self.name)
        connection.wanted = synchronous
        connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        connection.pragma("locking_mode", "exclusive")
        self._connections.append(connection)
        return connection

    def switch_off(self) -> None:
        """Let go of whoever has the disk open; nothing that they still ask for is done."""
        self.is_off = True
        for connection in self._connections:
            connection.close(True)
        self.unregister()

    def change(self) -> None:
        """Count a changing call; raises PowerCut once it is time."""
        if self.is_off:
            return
        self.counts.calls += 1
        if self.is_dead or (self.cut_at is not None and self.counts.calls >= self.cut_at):
            self.is_dead = True
            raise PowerCut

    def recover(self, rng: random.Random, kept: float) -> ForgetfulDisk:
        """Give the disk as it is found after the cut."""
        found = ForgetfulDisk()
        for name, store in self.files.items():
            left = store.after_cut(rng, kept)
            if left is not None:
                found.files[name] = left
        for name, store in self.removed.items():
            left = store.after_cut(rng, kept)
            if left is not None and name not in found.files and rng.random() < kept:
                found.files[name] = left
        return found

    def sync(self, store: Store) -> None:
        """Sync a file; a new one brings its folder with it, as SQLite's own unix VFS does: names are certain then."""
        if self.is_off:
            return
        if not store.exists:
            self.removed.clear()
            for each in self.files.values():
                each.exists = True
        store.sync()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:
        """Open a file, or a temporary one that has no name."""
        flags[1] = flags[0]
        wanted = f"temporary-{next(_numbers)}" if name is None else _path(name)
        return _File(self, self.files.setdefault(wanted, Store()))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """Remove a file: unless the folder is synced, it may be there again after a cut."""
        self.change()
        if self.is_off:
            return
        store = self.files.pop(filename)
        if syncdir:
            self.removed.clear()
        elif store.exists:
            self.removed[filename] = store

    def xAccess(self, pathname: str, flags: int) -> bool:
        """Say whether a file is there."""
        return pathname in self.files

    def xFullPathname(self, name: str) -> str:
        """Names are as given."""
        return name


class _Connection(apsw.Connection):
    """Sets its own `synchronous` whatever the outbox asks for, so that a weaker one can be tried."""

    wanted: str

    def pragma(self, name: str, value: object = None, **more: object) -> object:  # type: ignore[override]
        if name == "synchronous" and value is not None:
            value = self.wanted
        return super().pragma(name) if value is None else super().pragma(name, value)  # type: ignore[arg-type]


class _File:
    """One open file, as apsw calls it."""

    def __init__(self, disk: ForgetfulDisk, store: Store) -> None:
        self._disk = disk
        self._store = store

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._store.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.change()
        self._disk.counts.writes += 1
        self._disk.counts.octets += len(data)
        if not self._disk.is_off:
            self._store.write(offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        self._disk.change()
        if not self._disk.is_off:
            self._store.truncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.change()
        self._disk.counts.syncs += 1
        self._disk.sync(self._store)

    def xFileSize(self) -> int:
        return len(self._store.seen)

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None:
        pass

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        # As SQLite's own unix VFS says: a write changes no octet beside it, even when the power goes.
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False


def _write(into: bytearray, offset: int, octets: bytes) -> None:
    if offset > len(into):
        into.extend(bytes(offset - len(into)))
    into[offset : offset + len(octets)] = octets


def _path(name: str | apsw.URIFilename) -> str:
    return name if isinstance(name, str) else name.filename()
