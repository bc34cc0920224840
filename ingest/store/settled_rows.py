"""Rows of `settled_days` as PostgreSQL's binary COPY takes them, written by a kernel from grids of days.

See reading_rows.py for the form of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from allocation_engine.compiled import compiled
from allocation_engine.kernels import Int64Array, UInt8Array
from ingest.store.reading_rows import COPY_BEGIN, COPY_END
from ingest.sweep_kernels import Records
from metering.identity import NodeId, SiteId
from metering.obis import Obis

FIELDS = 8
JSONB_FORM = b"\x01"
NOTHING_TOLD = b"[]"
HASH_OCTETS = 32
_INT8_TYPE, _INT2_TYPE = 20, 21
_EPOCH_ORDINAL = date(2000, 1, 1).toordinal()
_FIXED = 2 + FIELDS * 4 + 4 + 2 * 20 + HASH_OCTETS
"""Octets of a row without its texts and its slots."""
_SLOT_OCTETS = 12 + 6
_PLACE = np.dtype([(name, np.int64) for name in ("node", "obis", "told", "slots", "day")])
"""Of a row: the number of its node, quantity and exceptions among the texts; its slots; its day from 2000 on."""


class DayKey(NamedTuple):
    """Which day of which register. A named tuple: a pass over a large site makes a hundred thousand of them."""

    node: NodeId
    obis: Obis
    day: date


@dataclass(frozen=True, slots=True, eq=False)
class DayRows:
    """Settled days, one a row, of one site.

    energy       shape (rows, slots of the longest day), int64 [Wh]
    quality      likewise, SlotQuality
    slots        shape (rows,), how many of them the day has
    exceptions   by row number, the JSON of what was not normal; a row that is left out has none
    hashes       32 octets a row, end to end
    """

    site: SiteId
    keys: Sequence[DayKey]
    energy: Int64Array
    quality: UInt8Array
    slots: Int64Array
    exceptions: dict[int, bytes]
    hashes: bytes

    def to_copy(self) -> bytes:
        """Give them as one whole stream of binary COPY."""
        texts: dict[bytes, int] = {self.site.encode(): 0, JSONB_FORM + NOTHING_TOLD: 1}

        def number(text: bytes) -> int:
            return texts.setdefault(text, len(texts))

        places = np.empty(len(self.keys), _PLACE)
        places["slots"], places["told"] = self.slots, 1
        places["day"] = [key.day.toordinal() - _EPOCH_ORDINAL for key in self.keys]
        row = 0
        for (node, obis), of_point in groupby(self.keys, key=itemgetter(0, 1)):
            first, row = row, row + sum(1 for _ in of_point)
            places["node"][first:row], places["obis"][first:row] = number(node.encode()), number(str(obis).encode())
        for row, text in self.exceptions.items():
            places["told"][row] = number(JSONB_FORM + text)
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        pool = np.frombuffer(b"".join(texts), np.uint8)
        rows = np.empty(_measure(places, ends), np.uint8)
        hashes = np.frombuffer(self.hashes, np.uint8)
        _write(places, pool, ends, self.energy, self.quality, hashes, rows)
        return COPY_BEGIN + rows.tobytes() + COPY_END


@compiled
def _octets(ends: Int64Array, text: int) -> int:
    return int(ends[text] - (ends[text - 1] if text else 0))


@compiled
def _measure(places: Records, ends: Int64Array) -> int:
    """Octets that all rows take."""
    size = 0
    for place in places:
        size += _FIXED + _SLOT_OCTETS * place.slots
        size += _octets(ends, 0) + _octets(ends, place.node) + _octets(ends, place.obis) + _octets(ends, place.told)
    return size


@compiled
def _put(rows: UInt8Array, at: int, number: int, octets: int) -> int:
    """Write `number` big-endian in `octets` octets."""
    for place in range(octets):
        rows[at + place] = (number >> (8 * (octets - 1 - place))) & 0xFF
    return at + octets


@compiled
def _put_text(rows: UInt8Array, at: int, pool: UInt8Array, ends: Int64Array, text: int) -> int:
    """Write a field of one of the texts."""
    size = _octets(ends, text)
    at = _put(rows, at, size, 4)
    for place in range(ends[text] - size, ends[text]):
        rows[at] = pool[place]
        at += 1
    return at


@compiled
def _put_head(rows: UInt8Array, at: int, kind: int, width: int, slots: int) -> int:
    """Write the length of an array field, and what comes before its items."""
    at = _put(rows, at, 20 + slots * (4 + width), 4)
    at = _put(rows, _put(rows, _put(rows, at, 1, 4), 0, 4), kind, 4)
    return _put(rows, _put(rows, at, slots, 4), 1, 4)


@compiled
def _write(
    places: Records,
    pool: UInt8Array,
    ends: Int64Array,
    energy: Int64Array,
    quality: UInt8Array,
    hashes: UInt8Array,
    rows: UInt8Array,
) -> None:
    """Write every row, in the order of COPY's columns."""
    at = 0
    for number in range(places.size):
        place = places[number]
        at = _put(rows, at, FIELDS, 2)
        for text in (0, place.node, place.obis):
            at = _put_text(rows, at, pool, ends, text)
        at = _put(rows, _put(rows, at, 4, 4), place.day, 4)
        at = _put_head(rows, at, _INT8_TYPE, 8, place.slots)
        for slot in range(place.slots):
            at = _put(rows, _put(rows, at, 8, 4), energy[number, slot], 8)
        at = _put_head(rows, at, _INT2_TYPE, 2, place.slots)
        for slot in range(place.slots):
            at = _put(rows, _put(rows, at, 2, 4), quality[number, slot], 2)
        at = _put_text(rows, at, pool, ends, place.told)
        at = _put(rows, at, HASH_OCTETS, 4)
        for octet in range(HASH_OCTETS):
            rows[at] = hashes[HASH_OCTETS * number + octet]
            at += 1
