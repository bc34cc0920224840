"""Counts of pulse inputs on disk, in two slots, so that a power cut leaves one of them whole.

Theory of operation. The file has two slots of one disk block each. A save goes to the slot that is not the newest, with
the next sequence number and a check sum, and is synced before it is believed. Whatever a power cut makes of the slot
being written, the other one is whole and holds what was last promised. Reading takes the whole slot with the higher
number. So a count that was told to anybody never goes back; what was counted after the last save goes with the power.

    slot   sequence(8)  inputs(4)  [input(4) count(8)] ...  zeros  crc32(4)      all high octet first, 4096 octets
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from edge_agent.ports import PortLost

SLOT_OCTETS = 4096
_HEAD = struct.Struct(">QI")
_ENTRY = struct.Struct(">IQ")
_CHECK = struct.Struct(">I")
INPUTS_MAX = (SLOT_OCTETS - _HEAD.size - _CHECK.size) // _ENTRY.size


class CountsDamaged(PortLost):
    """Neither slot of a file of counts is whole: it was written by something else, or the disk is failing.

    The port is lost until somebody looks; the other ports go on.
    """


class PulseStore:
    """The counts of one port's inputs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sequence = 0
        self.saves = 0
        self._lock: int | None = None

    def claim(self) -> bool:
        """Take the file for this program alone; False while another one counts into it. A killed one lets it go."""
        if self._lock is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def release(self) -> None:
        """Let another program have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> dict[int, int]:
        """Give the counts that were saved last, by input; none when there is no file yet. Raises CountsDamaged."""
        try:
            octets = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        slots = [_parsed(octets[at : at + SLOT_OCTETS]) for at in (0, SLOT_OCTETS)]
        whole = [slot for slot in slots if slot is not None]
        if not whole:
            raise CountsDamaged(f"{self.path}: neither slot is whole; move the file away to count from 0 again")
        self._sequence, counts = max(whole, key=lambda slot: slot[0])
        return counts

    def save(self, counts: Mapping[int, int]) -> None:
        """Write the counts and return when they are on the disk; raises OSError."""
        slot, place = slot_of(self._sequence + 1, counts), (self._sequence + 1) % 2 * SLOT_OCTETS
        if self.path.exists():
            _write(self.path, slot, place)
        else:  # the file gets its name only when it is whole, so a file without a whole slot is damaged
            new = self.path.with_suffix(".new")
            _write(new, bytes(place) + slot, 0)
            os.replace(new, self.path)
            _sync_directory(self.path.parent)
        self._sequence += 1
        self.saves += 1


def slot_of(sequence: int, counts: Mapping[int, int]) -> bytes:
    """Lay one slot out."""
    if len(counts) > INPUTS_MAX:
        raise ValueError(f"{len(counts)} inputs do not fit a slot of {INPUTS_MAX}")
    body = _HEAD.pack(sequence, len(counts)) + b"".join(_ENTRY.pack(*entry) for entry in sorted(counts.items()))
    body = body.ljust(SLOT_OCTETS - _CHECK.size, b"\0")
    return body + _CHECK.pack(zlib.crc32(body))


def _parsed(slot: bytes) -> tuple[int, dict[int, int]] | None:
    if len(slot) != SLOT_OCTETS or not any(slot[: _HEAD.size]):
        return None
    body, check = slot[: -_CHECK.size], slot[-_CHECK.size :]
    if _CHECK.pack(zlib.crc32(body)) != check:
        return None
    sequence, inputs = _HEAD.unpack_from(body)
    entries = (_ENTRY.unpack_from(body, _HEAD.size + at * _ENTRY.size) for at in range(inputs))
    return sequence, dict(entries)


def _write(path: Path, octets: bytes, place: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, octets, place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
