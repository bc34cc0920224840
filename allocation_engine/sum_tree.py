"""A Merkle-sum tree: one digest commits to many leaves and to their sums, and a few stubs prove that a leaf is in it.

Each leaf has a place of 256 bits and hangs on the path those bits spell, 0 to the left and 1 to the right, as high as
it is alone there. So a place holds one leaf at most, and nobody but the bits decides what is left and what is right.
Where nothing hangs is EMPTY. A node's digest covers digest *and* sums of each half: whoever changes a sum anywhere
below changes the digest on top.

Charges and credits are summed apart and neither is ever negative. In one signed sum a hidden -20 would make room for 20
too much on other leaves; here it would stand on top as a credit of 20, for everybody to see.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

from metering.errors import BooksError

PLACE_BITS = 256
SUM_MAX = 2**63 - 1
"""Largest sum [minor units]: eight octets with room for a sign, so no language that checks a proof overflows unseen."""
_NODE, _HALVES = Struct(">32sQQ"), Struct(">c32sQQ32sQQ")
_BRANCH = b"\x01"


class LeafDoubled(BooksError):
    """Two leaves have one place: the same leaf would be counted twice."""


class SumTooLarge(BooksError):
    """Sums on one side add up to more than SUM_MAX."""


class ProofBroken(BooksError):
    """The stubs do not complete a tree: some are missing or left over, or a leaf cannot hang where it is said to."""


class SumNode(NamedTuple):
    """A leaf or a whole branch, seen from above: its digest (32 octets) and its sums [minor units], none negative.

    A named tuple, as Branch is: a large run makes a million of them, three times as fast as frozen dataclasses.
    """

    digest: bytes
    charges: int
    credits: int


EMPTY = SumNode(bytes(32), 0, 0)
Leaf = tuple[bytes, SumNode]
"""A place (32 octets) and what hangs there."""


class Branch(NamedTuple):
    """A node with what hangs below it. Its first three fields are those of its SumNode."""

    digest: bytes
    charges: int
    credits: int
    left: Branch | SumNode
    right: Branch | SumNode


@dataclass(frozen=True, slots=True)
class SumTree:
    """A planted tree: what hangs at the top, which may be a single leaf or EMPTY."""

    top: Branch | SumNode

    @property
    def node(self) -> SumNode:
        """The tree, seen from above."""
        return _seen(self.top)


@dataclass(frozen=True, slots=True)
class Pruned:
    """A tree cut back to some leaves: the depth of each, by place, and the stubs of all other branches."""

    depths: Mapping[bytes, int]
    stubs: tuple[SumNode, ...]


def join(left: Branch | SumNode, right: Branch | SumNode) -> SumNode:
    """Give the node above two halves; raises SumTooLarge."""
    charges, credits = left.charges + right.charges, left.credits + right.credits
    if max(charges, credits) > SUM_MAX:
        raise SumTooLarge(f"sums of {charges} and {credits} minor units; at most {SUM_MAX} are allowed")
    return SumNode(hashlib.sha256(_HALVES.pack(_BRANCH, *left[:3], *right[:3])).digest(), charges, credits)


def octets_of(node: SumNode) -> bytes:
    """Give a node as it is hashed: digest, charges, credits; both sums in eight octets, most significant first."""
    return _NODE.pack(*node)


def plant(leaves: Iterable[Leaf]) -> SumTree:
    """Give the tree of `leaves`; their order changes nothing. Raises LeafDoubled, SumTooLarge."""
    ordered = sorted(leaves, key=itemgetter(0))
    for (place, _), (following, _) in pairwise(ordered):
        if place == following:
            raise LeafDoubled(f"two leaves have the place {place.hex()}")
    return SumTree(_plant([place for place, _ in ordered], [node for _, node in ordered], 0, len(ordered), 0))


def prune(tree: SumTree, places: Iterable[bytes]) -> Pruned:
    """Cut the tree back to the leaves at `places`, which must be in it."""
    depths: dict[bytes, int] = {}
    stubs: list[SumNode] = []
    _prune(tree.top, sorted(places), 0, depths, stubs)
    return Pruned(depths, tuple(stubs))


def regrow(leaves: Mapping[bytes, tuple[int, SumNode]], stubs: Iterable[SumNode]) -> SumNode:
    """Give the top of the tree that `leaves` (depth and node by place) and `stubs` make.

    Raises ProofBroken unless exactly these stubs complete a tree in which every leaf hangs at its place and depth;
    SumTooLarge
    """
    rest = iter(stubs)
    top = _regrow(sorted(leaves.items()), rest, 0)
    if next(rest, None) is not None:
        raise ProofBroken("stubs are left over")
    return top


def _plant(places: Sequence[bytes], nodes: Sequence[SumNode], first: int, end: int, depth: int) -> Branch | SumNode:
    if end - first < 2:
        return nodes[first] if first < end else EMPTY
    cut = _cut(places, depth, first, end)
    left, right = _plant(places, nodes, first, cut, depth + 1), _plant(places, nodes, cut, end, depth + 1)
    return Branch(*join(left, right), left, right)


def _seen(top: Branch | SumNode) -> SumNode:
    return SumNode(*top[:3])


def _prune(
    top: Branch | SumNode, places: Sequence[bytes], depth: int, depths: dict[bytes, int], stubs: list[SumNode]
) -> None:
    if not places:
        stubs.append(_seen(top))
    elif isinstance(top, SumNode):
        depths.update(dict.fromkeys(places, depth))
    else:
        cut = _cut(places, depth)
        _prune(top.left, places[:cut], depth + 1, depths, stubs)
        _prune(top.right, places[cut:], depth + 1, depths, stubs)


def _regrow(leaves: Sequence[tuple[bytes, tuple[int, SumNode]]], stubs: Iterator[SumNode], depth: int) -> SumNode:
    if not leaves:
        stub = next(stubs, None)
        if stub is None:
            raise ProofBroken("stubs are missing")
        return stub
    if len(leaves) == 1 and leaves[0][1][0] == depth:
        return leaves[0][1][1]
    if depth == PLACE_BITS:
        raise ProofBroken("a leaf hangs below its last bit, or above others")
    cut = _cut([place for place, _ in leaves], depth)
    return join(_regrow(leaves[:cut], stubs, depth + 1), _regrow(leaves[cut:], stubs, depth + 1))


def _cut(places: Sequence[bytes], depth: int, first: int = 0, end: int | None = None) -> int:
    """Give where the right half begins among sorted places [first, end) that are equal in their first `depth` bits."""
    octet, bit = divmod(depth, 8)
    return bisect_left(places, 1, first, end, key=lambda place: place[octet] >> (7 - bit) & 1)
