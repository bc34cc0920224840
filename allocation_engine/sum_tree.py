"""A Merkle-sum tree: one digest commits to many leaves and to their sums, and a few stubs prove that a leaf is in it.

Each leaf has a place of 256 bits and hangs on the path those bits spell, 0 to the left and 1 to the right, as high as
it is alone there. So a place holds one leaf at most, and nobody but the bits decides what is left and what is right.
Where nothing hangs is EMPTY. A node's digest covers digest *and* sums of each half: whoever changes a sum anywhere
below changes the digest on top.

Charges and credits are summed apart and neither is ever negative. In one signed sum a hidden -20 would make room for 20
too much on other leaves; here it would stand on top as a credit of 20, for everybody to see.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
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
    return SumNode(*_joined(left, right))


def _joined(left: Branch | SumNode, right: Branch | SumNode) -> tuple[bytes, int, int]:
    charges, credits = left[1] + right[1], left[2] + right[2]
    if charges > SUM_MAX or credits > SUM_MAX:
        raise SumTooLarge(f"sums of {charges} and {credits} minor units; at most {SUM_MAX} are allowed")
    halves = _HALVES.pack(_BRANCH, left[0], left[1], left[2], right[0], right[1], right[2])
    return sha256(halves).digest(), charges, credits


def octets_of(node: SumNode) -> bytes:
    """Give a node as it is hashed: digest, charges, credits; both sums in eight octets, most significant first."""
    return _NODE.pack(*node)


def plant(leaves: Iterable[Leaf]) -> SumTree:
    """Give the tree of `leaves`; their order changes nothing. Raises LeafDoubled, SumTooLarge."""
    ordered = sorted(leaves, key=itemgetter(0))
    for (place, _), (following, _) in pairwise(ordered):
        if place == following:
            raise LeafDoubled(f"two leaves have the place {place.hex()}")
    numbers = [_number(place) for place, _ in ordered]
    return SumTree(_plant(numbers, [node for _, node in ordered], 0, len(ordered), 0))


def prune(tree: SumTree, places: Iterable[bytes]) -> Pruned:
    """Cut the tree back to the leaves at `places`, which must be in it."""
    depths: dict[int, int] = {}
    stubs: list[SumNode] = []
    wanted = {_number(place): place for place in places}
    _prune(tree.top, sorted(wanted), 0, depths, stubs)
    return Pruned({wanted[number]: depth for number, depth in depths.items()}, tuple(stubs))


def regrow(leaves: Mapping[bytes, tuple[int, SumNode]], stubs: Iterable[SumNode]) -> SumNode:
    """Give the top of the tree that `leaves` (depth and node by place) and `stubs` make.

    Raises ProofBroken unless exactly these stubs complete a tree in which every leaf hangs at its place and depth;
    SumTooLarge
    """
    rest = iter(stubs)
    top = _regrow(sorted((_number(place), *leaf) for place, leaf in leaves.items()), rest, 0)
    if next(rest, None) is not None:
        raise ProofBroken("stubs are left over")
    return top


def _plant(numbers: Sequence[int], nodes: Sequence[SumNode], first: int, end: int, depth: int) -> Branch | SumNode:
    if end - first < 2:
        return nodes[first] if first < end else EMPTY
    cut = _cut(numbers, depth, first, end)
    left, right = _plant(numbers, nodes, first, cut, depth + 1), _plant(numbers, nodes, cut, end, depth + 1)
    return Branch(*_joined(left, right), left, right)


def _seen(top: Branch | SumNode) -> SumNode:
    return top if isinstance(top, SumNode) else SumNode(top[0], top[1], top[2])


def _prune(
    top: Branch | SumNode, numbers: Sequence[int], depth: int, depths: dict[int, int], stubs: list[SumNode]
) -> None:
    if len(numbers) == 1:
        depths[numbers[0]] = _descend(top, numbers[0], depth, stubs)
    elif not numbers:
        stubs.append(_seen(top))
    elif isinstance(top, SumNode):
        depths.update(dict.fromkeys(numbers, depth))
    else:
        cut = _cut(numbers, depth, 0, len(numbers))
        _prune(top.left, numbers[:cut], depth + 1, depths, stubs)
        _prune(top.right, numbers[cut:], depth + 1, depths, stubs)


def _descend(top: Branch | SumNode, number: int, depth: int, stubs: list[SumNode]) -> int:
    """Walk down to one leaf, leaving a stub of each branch passed, from left to right; give its depth."""
    passed_right: list[SumNode] = []
    while isinstance(top, Branch):
        if number >> (PLACE_BITS - 1 - depth) & 1:
            stubs.append(_seen(top.left))
            top = top.right
        else:
            passed_right.append(_seen(top.right))
            top = top.left
        depth += 1
    stubs.extend(reversed(passed_right))
    return depth


def _regrow(leaves: Sequence[tuple[int, int, SumNode]], stubs: Iterator[SumNode], depth: int) -> SumNode:
    if not leaves:
        stub = next(stubs, None)
        if stub is None:
            raise ProofBroken("stubs are missing")
        return stub
    if len(leaves) == 1 and leaves[0][1] == depth:
        return leaves[0][2]
    if depth == PLACE_BITS:
        raise ProofBroken("a leaf hangs below its last bit, or above others")
    cut = _cut([leaf[0] for leaf in leaves], depth, 0, len(leaves))
    return join(_regrow(leaves[:cut], stubs, depth + 1), _regrow(leaves[cut:], stubs, depth + 1))


def _number(place: bytes) -> int:
    """Give a place as a number: numbers are cut apart by comparing them, without looking at single bits."""
    return int.from_bytes(place, "big")


def _cut(numbers: Sequence[int], depth: int, first: int, end: int) -> int:
    """Give where the right half begins among sorted numbers [first, end) that are equal in their first `depth` bits."""
    below = PLACE_BITS - 1 - depth
    return bisect_left(numbers, (numbers[first] >> below | 1) << below, first, end)
