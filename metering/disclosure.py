"""A hash tree over the readings of an envelope, so that one can be shown and proven without the others.

Theory of operation. The tree is that of RFC 9162, 2.1: leaf SHA-256(00 || content), node SHA-256(01 || left || right),
split at the largest power of two below the number of leaves. A register has few likely values, so a bare hash could
be guessed: each leaf's content is its salt followed by the encoded reading. The salts come from one seed by HMAC;
who is given one salt learns nothing of the others.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

SALT_OCTETS = 16


@dataclass(frozen=True, slots=True)
class Opening:
    """What proves one reading: its index, its salt, and the siblings on its way up, lowest first."""

    index: int
    salt: bytes
    path: tuple[bytes, ...]


def tree_root(seed: bytes, readings: Sequence[bytes]) -> bytes:
    """Give the root over encoded `readings`, salted from `seed` (16 octets)."""
    return _root([_leaf(_salt(seed, index), reading) for index, reading in enumerate(readings)])


def openings(seed: bytes, readings: Sequence[bytes]) -> list[Opening]:
    """Give the opening of each of the encoded `readings`."""
    salts = [_salt(seed, index) for index in range(len(readings))]
    leaves = [_leaf(salt, reading) for salt, reading in zip(salts, readings, strict=True)]
    return [Opening(index, salt, tuple(_path(index, leaves))) for index, salt in enumerate(salts)]


def open_leaf(opening: Opening, count: int, reading: bytes) -> bytes | None:
    """Give the root that `opening` leads to from an encoded `reading`, in a tree of `count` leaves.

    None where the path cannot be that of a leaf in such a tree.
    """
    if not 0 <= opening.index < count:
        return None
    node, index, last = _leaf(opening.salt, reading), opening.index, count - 1
    for sibling in opening.path:
        if last == 0:
            return None
        if index % 2 == 1 or index == last:
            node = _node(sibling, node)
            while index % 2 == 0 and index != 0:
                index, last = index // 2, last // 2
        else:
            node = _node(node, sibling)
        index, last = index // 2, last // 2
    return node if last == 0 else None


def _salt(seed: bytes, index: int) -> bytes:
    return hmac.digest(seed, index.to_bytes(4, "big"), "sha256")[:SALT_OCTETS]


def _leaf(salt: bytes, reading: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + salt + reading).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return _node(_root(leaves[:split]), _root(leaves[split:]))


def _path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_path(index, leaves[:split]), _root(leaves[split:])]
    return [*_path(index - split, leaves[split:]), _root(leaves[:split])]
