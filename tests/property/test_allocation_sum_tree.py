"""Laws of the sum tree, whatever the leaves: every proof leads to the top, and no changed proof does."""

from __future__ import annotations

import hashlib
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.inclusion import InclusionProof, LineOpening, PoolOpening
from allocation_engine.sum_tree import (
    PLACE_BITS,
    SUM_MAX,
    Leaf,
    ProofBroken,
    SumNode,
    SumTooLarge,
    plant,
    prune,
    regrow,
)
from metering.envelope import EnvelopeMalformed

MINOR = st.integers(0, 10**12)
SIDES = st.tuples(MINOR, MINOR)


@st.composite
def leaves(draw: st.DrawFn) -> list[Leaf]:
    """Up to forty leaves, some of them close together: they differ in a late bit only."""
    sides = draw(st.lists(SIDES, min_size=1, max_size=40))
    planted: dict[bytes, SumNode] = {}
    for number, (charges, credits) in enumerate(sides):
        place = bytearray(hashlib.sha256(str(number).encode()).digest())
        if planted and draw(st.booleans()):
            place = bytearray(draw(st.sampled_from(sorted(planted))))
            bit = draw(st.integers(0, PLACE_BITS - 1))
            place[bit // 8] ^= 128 >> bit % 8
        planted[bytes(place)] = SumNode(hashlib.sha256(bytes(place) + b"leaf").digest(), charges, credits)
    return list(planted.items())


@given(leaves(), st.data())
def test_a_proof_of_any_leaves_leads_to_the_top(planted: list[Leaf], data: st.DataObject) -> None:
    tree = plant(planted)
    own = data.draw(st.lists(st.sampled_from(planted), unique=True, max_size=10))
    pruned = prune(tree, [place for place, _ in own])
    assert regrow({place: (pruned.depths[place], node) for place, node in own}, pruned.stubs) == tree.node
    assert (tree.node.charges, tree.node.credits) == (
        sum(node.charges for _, node in planted),
        sum(node.credits for _, node in planted),
    )


@given(leaves(), st.randoms(use_true_random=False))
def test_order_changes_nothing(planted: list[Leaf], dice: object) -> None:
    shuffled = list(planted)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plant(shuffled) == plant(planted)


@given(leaves(), st.data())
def test_no_changed_proof_leads_to_the_top(planted: list[Leaf], data: st.DataObject) -> None:
    tree = plant(planted)
    place, node = data.draw(st.sampled_from(planted))
    pruned = prune(tree, [place])
    depth, stubs = pruned.depths[place], list(pruned.stubs)
    change = data.draw(st.sampled_from(["leaf", "depth", "stub", "swap", "drop", "add"]))
    index = data.draw(st.integers(0, max(len(stubs) - 1, 0)))
    if change == "leaf" or not stubs:
        node = node._replace(charges=node.charges + data.draw(st.integers(1, 100)))
    elif change == "depth":
        depth = data.draw(st.integers(0, PLACE_BITS).filter(lambda other: other != depth))
    elif change == "stub":
        stubs[index] = stubs[index]._replace(credits=stubs[index].credits + 1)
    elif change == "swap":
        stubs = stubs[::-1] if stubs[::-1] != stubs else [*stubs, stubs[0]]
    elif change == "drop":
        del stubs[index]
    else:
        stubs.insert(index, stubs[index])
    try:
        top = regrow({place: (depth, node)}, stubs)
    except ProofBroken:
        return
    assert top != tree.node


@given(st.lists(st.tuples(st.integers(0, SUM_MAX), st.integers(0, SUM_MAX)), max_size=6))
def test_sums_are_exact_or_refused(sides: list[tuple[int, int]]) -> None:
    planted = [
        (hashlib.sha256(str(number).encode()).digest(), SumNode(bytes(32), *side)) for number, side in enumerate(sides)
    ]
    charges, credits = (sum((Fraction(side[index]) for side in sides), Fraction(0)) for index in (0, 1))
    try:
        top = plant(planted).node
    except SumTooLarge:
        assert max(charges, credits) > SUM_MAX
    else:
        assert (top.charges, top.credits) == (charges, credits)
        assert max(charges, credits) <= SUM_MAX


NODES = st.builds(SumNode, st.binary(min_size=32, max_size=32), st.integers(0, SUM_MAX), st.integers(0, SUM_MAX))
STUBS = st.lists(NODES, max_size=5).map(tuple)
LINES = st.integers(1, 5).flatmap(
    lambda count: st.builds(
        LineOpening,
        st.binary(min_size=32, max_size=32),
        st.lists(st.integers(-SUM_MAX, SUM_MAX), min_size=count, max_size=count).map(tuple),
        st.lists(st.integers(0, PLACE_BITS), min_size=count, max_size=count).map(tuple),
    )
)
POOLS = st.builds(PoolOpening, st.integers(0, PLACE_BITS), STUBS)
PROOFS = st.builds(
    InclusionProof, st.lists(LINES, max_size=4).map(tuple), st.lists(POOLS, max_size=4).map(tuple), STUBS
)


@given(PROOFS)
def test_a_proof_survives_its_wire_form(proof: InclusionProof) -> None:
    assert InclusionProof.from_octets(proof.to_octets()) == proof


@given(st.binary(max_size=200))
def test_any_octets_are_a_proof_or_malformed(octets: bytes) -> None:
    try:
        proof = InclusionProof.from_octets(octets)
    except EnvelopeMalformed:
        return
    assert proof.to_octets() == octets


@given(PROOFS, st.data())
def test_a_flipped_octet_gives_another_proof_or_none(proof: InclusionProof, data: st.DataObject) -> None:
    octets = bytearray(proof.to_octets())
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert InclusionProof.from_octets(bytes(octets)) != proof
    except EnvelopeMalformed:
        return
