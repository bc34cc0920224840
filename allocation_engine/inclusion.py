"""The proof that a party's lines are in a run's commitment, and that all lines of each of its pools add up to the cost.

Two levels of sum trees. In the tree of a pool every line hangs as one or more pieces that add up to it: a neighbouring
stub then shows a random piece of somebody's amount, never the amount. In the tree of the run hangs every pool, at a
place that its id alone decides: a pool cannot be shown to one party with one tree and to another with a second one.

The tree of a pool whose cost a statement does not say (own registers) is closed: its leaves bind the amounts and carry
none, so nothing about others can be added up from stubs.

Format and test vectors are in docs/proofs.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from allocation_engine.pool_facts import CutsDiffer, cut_of, facts_digest, facts_of
from allocation_engine.proof import Broken
from allocation_engine.run import Line, ShareTrace
from allocation_engine.statement_content import StatedPool, StatementContent
from allocation_engine.sum_tree import (
    PLACE_BITS,
    SUM_MAX,
    ProofBroken,
    SumNode,
    SumTooLarge,
    octets_of,
    regrow,
)
from metering.envelope import decode_canonical, encode, expect_bytes, expect_int, expect_list
from metering.identity import PoolId

PROOF_OCTETS_MAX = 16 * 1024 * 1024
"""A landlord with 5,000 vacant lines needs about 5 MiB; this bounds what a stranger's file can take of memory."""
PIECES_MAX = 64
SALT_OCTETS = 32
_DIGEST_OCTETS = 32
_LEAF, _POOL, _LINE, _PLACE = b"\x00", b"\x02", b"\x03", b"\x04"


@dataclass(frozen=True, slots=True)
class LineOpening:
    """What opens one line: its salt, its pieces [minor units, of one sign] and their depths in the pool's tree."""

    salt: bytes
    pieces: tuple[int, ...]
    depths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolOpening:
    """The other branches of one pool's tree, and the depth of the pool in the run's tree."""

    depth: int
    stubs: tuple[SumNode, ...]


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """Openings of a statement's lines and pools, in the statement's order, and the run tree's other branches."""

    lines: tuple[LineOpening, ...]
    pools: tuple[PoolOpening, ...]
    stubs: tuple[SumNode, ...]

    def to_octets(self) -> bytes:
        """Encode as deterministic CBOR: an array of lines, pools, stubs."""
        lines = [[one.salt, list(one.pieces), list(one.depths)] for one in self.lines]
        pools = [[one.depth, _stubs_to_wire(one.stubs)] for one in self.pools]
        return encode([lines, pools, _stubs_to_wire(self.stubs)])

    @classmethod
    def from_octets(cls, octets: bytes) -> InclusionProof:
        """Read what `to_octets` gave; raises EnvelopeMalformed for anything else, negative sums among it."""
        lines, pools, stubs = expect_list(decode_canonical(octets, PROOF_OCTETS_MAX), 3, "proof")
        return cls(
            tuple(_line_from_wire(one) for one in expect_list(lines, None, "lines")),
            tuple(_pool_from_wire(one) for one in expect_list(pools, None, "pools")),
            _stubs_from_wire(stubs),
        )


@dataclass(frozen=True, slots=True)
class ProvenPool:
    """A pool whose lines are proven to add up, as far as the party may know [minor units].

    own                what the party's own lines come to
    charges, credits   what all lines come to, each side for itself; None where the pool's tree is closed
    """

    pool: StatedPool
    own: int
    charges: int | None
    credits: int | None


def line_digest(run_id: bytes, line: Line) -> bytes:
    """Give the digest of what a line says: run, line id, energy by band [Wh], amount [minor units]."""
    content = [run_id, line.id, list(line.band_energy_wh), line.amount_minor]
    return hashlib.sha256(_LINE + encode(content)).digest()


def leaf_of(line: bytes, salt: bytes, number: int, piece: int, *, is_open: bool) -> SumNode:
    """Give the leaf of piece `number` (from 0) of the line with digest `line`; its digest is its place as well."""
    signed = piece.to_bytes(8, "big", signed=True)
    digest = hashlib.sha256(_LEAF + line + salt + number.to_bytes(2, "big") + signed).digest()
    return SumNode(digest, max(piece, 0), max(-piece, 0)) if is_open else SumNode(digest, 0, 0)


def pool_root(pool: PoolId, top: SumNode, facts: bytes) -> bytes:
    """Give what commits to a pool: the digest of its id, of the top of its tree, and of its facts (32 octets)."""
    return hashlib.sha256(_POOL + octets_of(top) + facts + pool.encode()).digest()


def place_of(pool: PoolId) -> bytes:
    """Give the one place at which a pool may hang in the tree of a run."""
    return hashlib.sha256(_PLACE + pool.encode()).digest()


def require_pool(content: StatementContent, proof: InclusionProof, pool: StatedPool) -> ProvenPool:
    """Check that the party's lines of `pool` are in its tree and that the tree adds up to its cost; raises Broken."""
    link = f"pool {pool.id}"
    _require_shape(content, proof)
    own = [(line, one) for line, one in zip(content.lines, proof.lines, strict=True) if line.pool == pool.id]
    try:
        facts = facts_digest(facts_of(pool, cut_of(line for line, _ in own)))
    except CutsDiffer as error:
        raise Broken(link, str(error)) from error
    is_open = pool.cost_minor is not None
    leaves: dict[bytes, tuple[int, SumNode]] = {}
    for line, opening in own:
        for depth, leaf in zip(opening.depths, _leaves(content.run_id, line, opening, is_open=is_open), strict=True):
            if leaf.digest in leaves:
                raise Broken(link, f"a leaf of line {line.id} stands twice")
            leaves[leaf.digest] = depth, leaf
    try:
        top = regrow(leaves, proof.pools[content.pools.index(pool)].stubs)
    except (ProofBroken, SumTooLarge) as error:
        raise Broken(link, f"the tree cannot be completed: {error}") from error
    if pool_root(pool.id, top, facts) != pool.root:
        told = "your lines, the sums of the others and what is said of the pool do not lead to its signed root"
        raise Broken(link, told)
    own_minor = sum(line.amount_minor for line, _ in own)
    if pool.cost_minor is None:
        return ProvenPool(pool, own_minor, None, None)
    _require_sums(link, [line for line, _ in own], top, pool.cost_minor)
    return ProvenPool(pool, own_minor, top.charges, top.credits)


def require_run(content: StatementContent, proof: InclusionProof) -> None:
    """Check that the signed roots of the statement's pools hang in the run's tree; raises Broken."""
    _require_shape(content, proof)
    leaves = {
        place_of(pool.id): (opening.depth, SumNode(pool.root, 0, 0))
        for pool, opening in zip(content.pools, proof.pools, strict=True)
    }
    try:
        top = regrow(leaves, proof.stubs)
    except (ProofBroken, SumTooLarge) as error:
        raise Broken("commitment", f"the tree of the run cannot be completed: {error}") from error
    if top.digest != content.commitment:
        raise Broken("commitment", "the pools of this statement are not those the run committed to")


def _require_shape(content: StatementContent, proof: InclusionProof) -> None:
    opened, stated = (len(proof.lines), len(proof.pools)), (len(content.lines), len(content.pools))
    if opened != stated:
        raise Broken("commitment", f"{stated} lines and pools are stated, {opened} are opened")
    if sorted(pool.id for pool in content.pools) != sorted({line.pool for line in content.lines}):
        raise Broken("commitment", "the pools of the statement are not those of its lines, each once")


def _leaves(run_id: bytes, line: Line, opening: LineOpening, *, is_open: bool) -> Sequence[SumNode]:
    pieces = opening.pieces
    if sum(pieces) != line.amount_minor or min(pieces) < 0 < max(pieces):
        raise Broken(f"pool {line.pool}", f"line {line.id} is opened with other pieces than its amount has")
    digest = line_digest(run_id, line)
    return [leaf_of(digest, opening.salt, number, piece, is_open=is_open) for number, piece in enumerate(pieces)]


def _require_sums(link: str, own: Iterable[Line], top: SumNode, cost_minor: int) -> None:
    found = f"charges of {top.charges} and credits of {top.credits}"
    if top.charges - top.credits != cost_minor:
        raise Broken(link, f"all shares are {found}, which is not its cost of {cost_minor} minor units")
    # Shares by weight all have the sign of the cost: one that takes out what others pay in is a phantom.
    if top.charges and top.credits and any(isinstance(line.trace, ShareTrace) for line in own):
        raise Broken(link, f"{found} minor units stand side by side: somebody takes out what others pay in")


def _line_from_wire(content: Any) -> LineOpening:
    salt, pieces, depths = expect_list(content, 3, "line")
    pieces = expect_list(pieces, None, "pieces")
    expect_int(len(pieces), "number of pieces", 1, PIECES_MAX)
    return LineOpening(
        expect_bytes(salt, SALT_OCTETS, "salt"),
        tuple(expect_int(one, "piece", -SUM_MAX, SUM_MAX) for one in pieces),
        tuple(expect_int(one, "depth", 0, PLACE_BITS) for one in expect_list(depths, len(pieces), "depths")),
    )


def _pool_from_wire(content: Any) -> PoolOpening:
    depth, stubs = expect_list(content, 2, "pool")
    return PoolOpening(expect_int(depth, "depth", 0, PLACE_BITS), _stubs_from_wire(stubs))


def _stubs_to_wire(stubs: Iterable[SumNode]) -> list[list[Any]]:
    return [list(one) for one in stubs]


def _stubs_from_wire(content: Any) -> tuple[SumNode, ...]:
    return tuple(_stub_from_wire(one) for one in expect_list(content, None, "stubs"))


def _stub_from_wire(content: Any) -> SumNode:
    digest, charges, credits = expect_list(content, 3, "stub")
    return SumNode(
        expect_bytes(digest, _DIGEST_OCTETS, "digest"),
        expect_int(charges, "charges", 0, SUM_MAX),
        expect_int(credits, "credits", 0, SUM_MAX),
    )
