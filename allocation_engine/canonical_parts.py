"""Deterministic CBOR put together from parts that were encoded before: the octets that encoding the whole would give.

Thousands of statements have most of their content in common; it is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from metering.envelope import encode

_LIST, _MAP = 4, 5


def join_list(items: Sequence[bytes]) -> bytes:
    """Give the array of encoded items."""
    return list_head(len(items)) + b"".join(items)


def list_head(count: int) -> bytes:
    """Give what stands before the items of an array: so one too long for the memory can be hashed item by item."""
    return _head(_LIST, count)


def join_map(entries: Mapping[str, bytes]) -> bytes:
    """Give the map of encoded entries by their keys, in the order of the encoded keys."""
    encoded = sorted((_key(key), octets) for key, octets in entries.items())
    return _head(_MAP, len(encoded)) + b"".join(part for entry in encoded for part in entry)


@cache
def _key(key: str) -> bytes:
    return encode(key)


def _head(major: int, count: int) -> bytes:
    """Give the head of an array or map: a whole number, but for the three bits that say what it is."""
    first, *rest = encode(count)
    return bytes([first | major << 5, *rest])
