"""The sum tree alone: what is planted is proven, and whoever changes, moves, doubles or drops anything is found out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import pytest

from allocation_engine.sum_tree import (
    EMPTY,
    PLACE_BITS,
    SUM_MAX,
    Leaf,
    LeafDoubled,
    ProofBroken,
    Pruned,
    SumNode,
    SumTooLarge,
    SumTree,
    join,
    octets_of,
    plant,
    prune,
    regrow,
)


def leaf(name: str, charges: int = 0, credits: int = 0) -> Leaf:
    """A leaf at a place made from its name."""
    digest = hashlib.sha256(name.encode()).digest()
    return digest, SumNode(digest, charges, credits)


def at(bits: str, charges: int = 0) -> Leaf:
    """A leaf at the place that begins with `bits`, zeros after them."""
    place = int(bits.ljust(PLACE_BITS, "0"), 2).to_bytes(32, "big")
    return place, SumNode(hashlib.sha256(b"at" + place).digest(), charges, 0)


LEAVES = [leaf(f"leaf {number}", charges=number) for number in range(20)]
TREE = plant(LEAVES)
OWN = LEAVES[3:6]


def proof(own: Iterable[Leaf] = OWN, tree: SumTree = TREE) -> Pruned:
    """The proof of some leaves."""
    return prune(tree, [place for place, _ in own])


def regrown(pruned: Pruned, own: Iterable[Leaf] = OWN) -> SumNode:
    """The top that some leaves and a proof lead to."""
    return regrow({place: (pruned.depths[place], node) for place, node in own}, pruned.stubs)


def test_the_top_holds_the_sums_of_all_leaves() -> None:
    leaves = [leaf("a", charges=300), leaf("b", credits=20), leaf("c", charges=5, credits=1)]
    assert (plant(leaves).node.charges, plant(leaves).node.credits) == (305, 21)


def test_the_order_of_the_leaves_changes_nothing() -> None:
    assert plant(reversed(LEAVES)) == TREE


def test_nothing_planted_is_an_empty_tree() -> None:
    assert plant([]).node == EMPTY


def test_a_single_leaf_is_the_whole_tree() -> None:
    assert plant(LEAVES[:1]).node == LEAVES[0][1]
    assert regrow({LEAVES[0][0]: (0, LEAVES[0][1])}, []) == LEAVES[0][1]


def test_a_leaf_hangs_where_the_bits_of_its_place_lead() -> None:
    left, middle, right = at("00", 1), at("01", 2), at("1", 4)
    assert plant([right, middle, left]).node == join(join(left[1], middle[1]), right[1])


def test_where_nothing_hangs_is_empty() -> None:
    one, other = at("000", 1), at("001", 2)
    assert plant([one, other]).node == join(join(join(one[1], other[1]), EMPTY), EMPTY)


def test_a_node_is_hashed_as_published() -> None:
    left, right = SumNode(b"\x11" * 32, 258, 0), SumNode(b"\x22" * 32, 0, 1)
    octets = b"\x01" + b"\x11" * 32 + bytes(6) + b"\x01\x02" + bytes(8) + b"\x22" * 32 + bytes(8) + bytes(7) + b"\x01"
    assert octets == b"\x01" + octets_of(left) + octets_of(right)
    assert join(left, right) == SumNode(hashlib.sha256(octets).digest(), 258, 1)


def test_the_digest_covers_the_sums_of_each_half_and_not_only_their_total() -> None:
    # The tree as first published hashed only the total; then 10 + 20 could be shown to one as 30 + 0.
    left, right = LEAVES[10][1], LEAVES[19][1]
    moved = left._replace(charges=left.charges + 5), right._replace(charges=right.charges - 5)
    assert join(*moved).charges == join(left, right).charges
    assert join(*moved).digest != join(left, right).digest


def test_left_and_right_are_not_the_same() -> None:
    assert join(LEAVES[0][1], LEAVES[1][1]).digest != join(LEAVES[1][1], LEAVES[0][1]).digest


def test_a_leaf_planted_twice_is_refused() -> None:
    with pytest.raises(LeafDoubled, match=LEAVES[3][0].hex()):
        plant([*LEAVES, LEAVES[3]])


def test_two_leaves_for_one_place_are_refused() -> None:
    with pytest.raises(LeafDoubled):
        plant([*LEAVES, (LEAVES[3][0], LEAVES[4][1])])


def test_places_that_differ_in_the_last_bit_alone_are_two_places() -> None:
    low, high = bytes(32), bytes(31) + b"\x01"
    tree = plant([(low, SumNode(b"l" * 32, 1, 0)), (high, SumNode(b"r" * 32, 2, 0))])
    pruned = prune(tree, [low])
    assert pruned.depths == {low: PLACE_BITS}
    assert regrow({low: (PLACE_BITS, SumNode(b"l" * 32, 1, 0))}, pruned.stubs) == tree.node


@pytest.mark.parametrize("own", [LEAVES[:1], LEAVES[3:6], LEAVES[::2], LEAVES])
def test_a_proof_leads_to_the_top(own: list[Leaf]) -> None:
    assert regrown(proof(own), own) == TREE.node


def test_a_proof_of_all_leaves_needs_no_full_stub() -> None:
    assert set(proof(LEAVES).stubs) <= {EMPTY}


def test_a_proof_of_nothing_is_the_top_itself() -> None:
    assert proof([]).stubs == (TREE.node,)


def test_a_changed_leaf_leads_elsewhere() -> None:
    pruned = proof()
    changed = [*OWN[:2], (OWN[2][0], OWN[2][1]._replace(charges=OWN[2][1].charges + 1))]
    assert regrown(pruned, changed).digest != TREE.node.digest


@pytest.mark.parametrize("change", [{"charges": 1}, {"credits": 1}, {"digest": 1}])
@pytest.mark.parametrize("index", range(len(proof().stubs)))
def test_a_changed_stub_leads_elsewhere(index: int, change: dict[str, int]) -> None:
    pruned = proof()
    stub = pruned.stubs[index]
    changed = stub._replace(
        digest=bytes([stub.digest[0] ^ change.get("digest", 0), *stub.digest[1:]]),
        charges=stub.charges + change.get("charges", 0),
        credits=stub.credits + change.get("credits", 0),
    )
    stubs = (*pruned.stubs[:index], changed, *pruned.stubs[index + 1 :])
    assert regrown(replace(pruned, stubs=stubs)).digest != TREE.node.digest


@pytest.mark.parametrize("index", range(len(proof().stubs) - 1))
def test_swapped_stubs_lead_elsewhere(index: int) -> None:
    stubs = list(proof().stubs)
    stubs[index], stubs[index + 1] = stubs[index + 1], stubs[index]
    if stubs[index] != stubs[index + 1]:
        assert regrown(replace(proof(), stubs=tuple(stubs))).digest != TREE.node.digest


def test_a_leaf_at_its_neighbours_place_leads_elsewhere() -> None:
    pruned = proof()
    swapped = [(OWN[1][0], OWN[0][1]), (OWN[0][0], OWN[1][1]), OWN[2]]
    assert regrown(pruned, swapped).digest != TREE.node.digest


@pytest.mark.parametrize("kept", range(len(proof().stubs)))
def test_a_truncated_proof_is_broken(kept: int) -> None:
    with pytest.raises(ProofBroken, match="missing"):
        regrown(replace(proof(), stubs=proof().stubs[:kept]))


def test_stubs_too_many_break_a_proof() -> None:
    with pytest.raises(ProofBroken, match="left over"):
        regrown(replace(proof(), stubs=(*proof().stubs, EMPTY)))


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("index", range(len(OWN)))
def test_a_leaf_said_to_hang_higher_or_lower_breaks_the_proof_or_leads_elsewhere(index: int, by: int) -> None:
    pruned = proof()
    depths = {**pruned.depths, OWN[index][0]: pruned.depths[OWN[index][0]] + by}
    try:
        top = regrown(replace(pruned, depths=depths))
    except ProofBroken:
        return
    assert top.digest != TREE.node.digest


def test_two_leaves_cannot_hang_at_one_node() -> None:
    one, other = at("000"), at("001")
    with pytest.raises(ProofBroken, match="above others"):
        regrow({one[0]: (2, one[1]), other[0]: (2, other[1])}, [EMPTY] * 1000)


def test_a_depth_beyond_the_last_bit_is_broken() -> None:
    with pytest.raises(ProofBroken, match="below its last bit"):
        regrow({bytes(32): (PLACE_BITS + 1, EMPTY)}, [EMPTY] * 1000)


def test_sums_cannot_overflow_unseen() -> None:
    # In 64 bits these two would add up to a small sum, or to a negative one.
    with pytest.raises(SumTooLarge, match=str(2 * SUM_MAX)):
        join(SumNode(bytes(32), SUM_MAX, 0), SumNode(bytes(32), SUM_MAX, 0))
    with pytest.raises(SumTooLarge):
        plant([leaf("a", credits=SUM_MAX), leaf("b", credits=1)])
    assert plant([leaf("a", charges=SUM_MAX), leaf("b", credits=SUM_MAX)]).node.charges == SUM_MAX


def test_a_leaf_cannot_pass_for_a_branch() -> None:
    # Whoever could give a branch's octets as a leaf's content would own two leaves with one digest.
    left, right = LEAVES[0][1], LEAVES[1][1]
    assert hashlib.sha256(b"\x00" + octets_of(left) + octets_of(right)).digest() != join(left, right).digest
