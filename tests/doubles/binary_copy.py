"""Reads PostgreSQL's binary COPY, field by field: what a kernel wrote, seen by what knows nothing of the kernel."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def fields_of(octets: bytes) -> Iterator[list[bytes]]:
    """Give the fields of each row; a stream that is not whole is an error."""
    assert octets[:11] == SIGNATURE
    flags, extension = struct.unpack_from(">II", octets, 11)
    assert (flags, extension) == (0, 0)
    at = 19
    while True:
        (count,) = struct.unpack_from(">h", octets, at)
        at += 2
        if count == -1:
            assert at == len(octets)
            return
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", octets, at)
            assert 0 <= length <= len(octets) - at - 4
            row.append(octets[at + 4 : at + 4 + length])
            at += 4 + length
        yield row


def reading_row(fields: list[bytes]) -> tuple[Any, ...]:
    """Give one row of `readings` in the order of its COPY."""
    meter, due, aligned, started, read, quality, profile, group, mantissas, gateway, epoch, seq = fields
    instants = (EPOCH + timedelta(microseconds=_number(one, 8)) for one in (due, started, read))
    due_at, started_at, read_at = instants
    assert aligned in (b"\0", b"\1")
    return (
        meter.decode(),
        due_at,
        aligned == b"\1",
        started_at,
        read_at,
        _number(quality, 2),
        profile,
        _number(group, 2),
        _numbers(mantissas),
        gateway.decode(),
        _number(epoch, 4),
        _number(seq, 8),
    )


def settled_row(fields: list[bytes]) -> tuple[Any, ...]:
    """Give one row of `settled_days` in the order of its COPY."""
    site, node, obis, day, energy, quality, exceptions, inputs_hash = fields
    assert exceptions[:1] == b"\1"
    return (
        *(site.decode(), node.decode(), obis.decode()),
        date.fromordinal(date(2000, 1, 1).toordinal() + _number(day, 4)),
        *(_numbers(energy), _numbers(quality, of=21, width=2), json.loads(exceptions[1:]), inputs_hash),
    )


def _number(octets: bytes, length: int) -> int:
    assert len(octets) == length
    return int.from_bytes(octets, "big", signed=True)


def _numbers(octets: bytes, *, of: int = 20, width: int = 8) -> list[int | None]:
    """An array of one dimension, or of none; int8[] if nothing is said."""
    dimensions, has_null, kind = struct.unpack_from(">iii", octets)
    assert kind == of
    if dimensions == 0:
        assert (has_null, len(octets)) == (0, 12)
        return []
    count, first = struct.unpack_from(">ii", octets, 12)
    assert (dimensions, first) == (1, 1)
    items: list[int | None] = []
    at = 20
    for _ in range(count):
        (length,) = struct.unpack_from(">i", octets, at)
        items.append(None if length == -1 else _number(octets[at + 4 : at + 4 + length], width))
        at += 4 + max(length, 0)
    assert at == len(octets)
    assert (has_null == 1) == (None in items)
    return items
