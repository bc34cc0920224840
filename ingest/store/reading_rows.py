"""Rows of `readings` as PostgreSQL's binary COPY takes them, written by a kernel straight from the columns of sweeps.

A row is a count of fields, then each field as its length and its octets, all big-endian; an instant is microseconds
since 2000, an array its dimensions, whether it holds NULLs, its type, its length and its first index, then its items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date

import numpy as np

from allocation_engine.compiled import compiled
from ingest.sweep_kernels import Int64Array, Records, UInt8Array, take_mantissas
from ingest.sweeps import Columns, Sweep, meters_of
from metering.envelope import from_ms, to_ms
from metering.identity import MeterId

COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, no flags, no extension."""
COPY_END = b"\xff\xff"
INT8_TYPE = 20
EPOCH_MS = 946_684_800_000
"""2000-01-01T00:00Z, from which PostgreSQL counts."""
FIELDS = 12
_FIXED = 2 + FIELDS * 4 + 8 + 1 + 8 + 8 + 2 + 32 + 2 + 4 + 8
"""Octets of a row without its meter, its gateway and its mantissas."""
OWNER = np.dtype(
    [(name, np.int64) for name in ("sweep", "aligned", "due_ms", "epoch", "seq", "gateway_at", "profiles_at")]
)
"""What all rows of one sweep share; gateway and profile hashes lie one behind the other in `texts`."""


def reading_rows(sweeps: Sequence[Sweep]) -> UInt8Array:
    """Give the rows of all readings of `sweeps`, which must be of one opening, without COPY_BEGIN and COPY_END."""
    columns = sweeps[0].columns
    owners, texts = _owners(sweeps)
    numbers, known, starts = _mantissas(columns)
    rows = np.empty(_measure(owners, columns.sweeps, columns.readings), np.uint8)
    end = _write(columns.octets, columns.sweeps, columns.readings, numbers, known, starts, owners, texts, rows)
    return rows[:end]


def unsettled_days(sweeps: Iterable[Sweep]) -> set[tuple[MeterId, date]]:
    """Give each meter and UTC day that has a new reading."""
    days: set[tuple[MeterId, date]] = set()
    rosters: set[tuple[bytes, date]] = set()
    for sweep in sweeps:
        if sweep.head.mark is not None:
            rosters.add((sweep.roster, sweep.head.mark.astimezone(UTC).date()))
        else:
            ended_ms = sweep.readings["ended_ms"].tolist()
            days.update(zip(meters_of(sweep.roster), (from_ms(one).date() for one in ended_ms), strict=True))
    for roster, day in rosters:
        days.update((meter, day) for meter in meters_of(roster))
    return days


def _owners(sweeps: Sequence[Sweep]) -> tuple[Records, UInt8Array]:
    owners: list[tuple[int, ...]] = []
    texts: list[bytes] = []
    at = 0
    for sweep in sweeps:
        head = sweep.head
        gateway = head.gateway.encode("ascii")
        due_ms = 0 if head.mark is None else to_ms(head.mark)
        owners.append((sweep.place, head.mark is not None, due_ms, head.epoch, head.seq, at, at + len(gateway)))
        texts.extend((gateway, *head.profiles))
        at += len(gateway) + 32 * len(head.profiles)
    return np.array(owners, OWNER), np.frombuffer(b"".join(texts), np.uint8)


def _mantissas(columns: Columns) -> tuple[Int64Array, UInt8Array, Int64Array]:
    """All mantissas, whether each is one, and where those of each reading begin."""
    ends = np.cumsum(columns.readings["mantissas"])
    total = int(ends[-1]) if len(ends) else 0
    numbers, known = np.empty(total, np.int64), np.empty(total, np.uint8)
    take_mantissas(columns.octets, columns.readings, numbers, known)
    return numbers, known, ends - columns.readings["mantissas"]


@compiled
def _measure(owners: Records, sweeps: Records, readings: Records) -> int:
    """Octets that all rows take at most."""
    size = 0
    for owner in owners:
        sweep = sweeps[owner.sweep]
        for row in readings[sweep.first : sweep.first + sweep.count]:
            names = row.meter_end - row.meter_at + owner.profiles_at - owner.gateway_at
            size += _FIXED + names + 20 + 12 * row.mantissas
    return size


@compiled
def _put(rows: UInt8Array, at: int, number: int, octets: int) -> int:
    """Write `number` big-endian in `octets` octets."""
    for place in range(octets):
        rows[at + place] = (number >> (8 * (octets - 1 - place))) & 0xFF
    return at + octets


@compiled
def _put_octets(rows: UInt8Array, at: int, source: UInt8Array, begin: int, end: int) -> int:
    """Write a field of the octets from `begin` to `end` of `source`."""
    at = _put(rows, at, end - begin, 4)
    for place in range(begin, end):
        rows[at] = source[place]
        at += 1
    return at


@compiled
def _put_number(rows: UInt8Array, at: int, number: int, octets: int) -> int:
    """Write a field of one number."""
    return _put(rows, _put(rows, at, octets, 4), number, octets)


@compiled
def _put_array(rows: UInt8Array, at: int, numbers: Int64Array, known: UInt8Array, first: int, count: int) -> int:
    """Write a field of int8[]."""
    length_at, at = at, at + 4
    begin, missing = at, 0
    for place in range(first, first + count):
        missing |= 1 - known[place]
    at = _put(rows, _put(rows, _put(rows, at, 1 if count else 0, 4), missing, 4), INT8_TYPE, 4)
    if count:
        at = _put(rows, _put(rows, at, count, 4), 1, 4)
    for place in range(first, first + count):
        at = _put_number(rows, at, numbers[place], 8) if known[place] else _put(rows, at, -1, 4)
    _put(rows, length_at, at - begin, 4)
    return at


@compiled
def _write(
    octets: UInt8Array,
    sweeps: Records,
    readings: Records,
    numbers: Int64Array,
    known: UInt8Array,
    starts: Int64Array,
    owners: Records,
    texts: UInt8Array,
    rows: UInt8Array,
) -> int:
    """Write every row of `owners`, in the order of COPY's columns; give where the last one ends."""
    at = 0
    for owner in owners:
        first = sweeps[owner.sweep].first
        for number in range(first, first + sweeps[owner.sweep].count):
            row = readings[number]
            profile = owner.profiles_at + 32 * row.profile
            due_ms = owner.due_ms if owner.aligned else row.ended_ms
            at = _put(rows, at, FIELDS, 2)
            at = _put_octets(rows, at, octets, row.meter_at, row.meter_end)
            at = _put_number(rows, at, 1000 * (due_ms - EPOCH_MS), 8)
            at = _put_number(rows, at, owner.aligned, 1)
            at = _put_number(rows, at, 1000 * (row.started_ms - EPOCH_MS), 8)
            at = _put_number(rows, at, 1000 * (row.ended_ms - EPOCH_MS), 8)
            at = _put_number(rows, at, row.quality, 2)
            at = _put_octets(rows, at, texts, profile, profile + 32)
            at = _put_number(rows, at, row.group, 2)
            at = _put_array(rows, at, numbers, known, starts[number], row.mantissas)
            at = _put_octets(rows, at, texts, owner.gateway_at, owner.profiles_at)
            at = _put_number(rows, at, owner.epoch, 4)
            at = _put_number(rows, at, owner.seq, 8)
    return at
