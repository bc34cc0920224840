"""Commits a run to all its lines, and opens for each party what is its own.

The salts come from a secret of the centre by HMAC-SHA-256 over run and line, so the same run gives the same octets, and
nobody without the secret can try out amounts on the digests of others. Whoever loses the secret loses nothing: every
bundle carries its own salts.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from allocation_engine.collector import collector_paused
from allocation_engine.errors import NotConserved
from allocation_engine.inclusion import (
    InclusionProof,
    LineOpening,
    PoolOpening,
    leaf_of,
    line_digest,
    place_of,
    pool_root,
)
from allocation_engine.pool_facts import cut_of, facts_digest, facts_of, is_open, stated_pool
from allocation_engine.run import Line, PoolResult, Run
from allocation_engine.sum_tree import Leaf, LeafDoubled, SumNode, SumTree, plant, prune
from metering.envelope import encode
from metering.identity import PoolId

CROWD = 512
"""From so many lines on, a piece seen by a neighbour is one among a thousand; below, each line is cut finer."""
PIECES_IN_CROWD = 2
PIECES = 8
_SALT, _CUT = b"metertree salt 1", b"metertree cut 1"


@dataclass(frozen=True, slots=True)
class _CommittedLine:
    line: Line
    salt: bytes
    pieces: tuple[int, ...]
    leaves: tuple[SumNode, ...]


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a run is held to: `root` (32 octets), the same in every statement, and root and facts of each pool."""

    root: bytes
    roots: dict[PoolId, bytes]
    facts: dict[PoolId, bytes]
    _run: SumTree
    _pools: dict[PoolId, SumTree]
    _lines: dict[str, _CommittedLine]

    def open(self, lines: Sequence[Line]) -> InclusionProof:
        """Give the proof for a statement with these lines; its pools are in the order of the run."""
        owned = {line.pool for line in lines}
        pools = [pool for pool in self.roots if pool in owned]
        committed = [self._lines[line.id] for line in lines]
        run = prune(self._run, map(place_of, pools))
        depths: dict[bytes, int] = {}
        openings = []
        for pool in pools:
            places = [leaf.digest for one in committed if one.line.pool == pool for leaf in one.leaves]
            pruned = prune(self._pools[pool], places)
            depths |= pruned.depths
            openings.append(PoolOpening(run.depths[place_of(pool)], pruned.stubs))
        opened = (
            LineOpening(one.salt, one.pieces, tuple(depths[leaf.digest] for leaf in one.leaves)) for one in committed
        )
        return InclusionProof(tuple(opened), tuple(openings), run.stubs)

    def to_document(self) -> dict[str, Any]:
        """Give what is kept of it, octets as hexadecimal text; `tops` are those of the pools' trees."""
        tops = {pool: tree.node for pool, tree in self._pools.items()}
        return {
            "root": self.root.hex(),
            "pools": {pool: root.hex() for pool, root in self.roots.items()},
            "facts": {pool: facts.hex() for pool, facts in self.facts.items()},
            "tops": {pool: [top.digest.hex(), top.charges, top.credits] for pool, top in tops.items()},
        }


@collector_paused()
def commit_run(run: Run, secret: bytes) -> Commitment:
    """Commit `run` to all its lines.

    secret   of the centre, 32 octets
    Raises   LeafDoubled if two lines have one id; NotConserved if a tree does not add up to its pool's cost, or a
             line has no pool; CutsDiffer if lines of a pool do not agree where its odd units went
    """
    lines: dict[str, _CommittedLine] = {}
    by_pool: dict[PoolId, list[Line]] = {pool.id: [] for pool in run.pools}
    for line in run.lines:
        if line.pool not in by_pool:
            raise NotConserved(f"line {line.id} belongs to no pool of the run")
        by_pool[line.pool].append(line)
    trees = {}
    for pool in run.pools:
        leaves: list[Leaf] = []
        for line_id, one in _commit_lines(bytes.fromhex(run.id), pool, by_pool[pool.id], secret):
            if line_id in lines:
                raise LeafDoubled(f"line {line_id} stands twice in the run")
            lines[line_id] = one
            leaves += [(leaf.digest, leaf) for leaf in one.leaves]
        trees[pool.id] = plant(leaves)
        _require_cost(pool, trees[pool.id].node)
    facts = {pool.id: facts_of(stated_pool(pool, b""), cut_of(by_pool[pool.id])) for pool in run.pools}
    roots = {pool: pool_root(pool, tree.node, facts_digest(facts[pool])) for pool, tree in trees.items()}
    tree = plant((place_of(pool), SumNode(root, 0, 0)) for pool, root in roots.items())
    return Commitment(tree.node.digest, roots, facts, tree, trees, lines)


def _commit_lines(
    run_id: bytes, pool: PoolResult, lines: Sequence[Line], secret: bytes
) -> Iterator[tuple[str, _CommittedLine]]:
    opened = is_open(pool)
    count = 1 if not opened else PIECES if len(lines) < CROWD else PIECES_IN_CROWD
    keyed = hmac.new(secret, _SALT, "sha256")
    for line in lines:
        line_id = line.id
        salt = _keyed_digest(keyed, encode([run_id, line_id]))
        pieces = _cut_up(line.amount_minor, salt, count)
        digest = line_digest(run_id, line)
        leaves = tuple(leaf_of(digest, salt, number, piece, is_open=opened) for number, piece in enumerate(pieces))
        yield line_id, _CommittedLine(line, salt, pieces, leaves)


def _keyed_digest(keyed: hmac.HMAC, message: bytes) -> bytes:
    """Finish an HMAC that the key was put into before: setting it up anew for each line would double the time."""
    one = keyed.copy()
    one.update(message)
    return one.digest()


def _cut_up(amount: int, salt: bytes, count: int) -> tuple[int, ...]:
    """Cut an amount at `count` - 1 points that follow from the salt, as evenly spread as dice."""
    if count == 1:
        return (amount,)
    magnitude, sign = abs(amount), -1 if amount < 0 else 1
    draws = (hashlib.sha256(_CUT + salt + number.to_bytes(2, "big")).digest() for number in range(1, count))
    cuts = sorted(int.from_bytes(draw, "big") % (magnitude + 1) for draw in draws)
    return tuple(sign * (end - start) for start, end in pairwise((0, *cuts, magnitude)))


def _require_cost(pool: PoolResult, top: SumNode) -> None:
    if is_open(pool) and top.charges - top.credits != pool.cost_minor:
        raise NotConserved(f"pool {pool.id} costs {pool.cost_minor} and its tree adds up to something else")
