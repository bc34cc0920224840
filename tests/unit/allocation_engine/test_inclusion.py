"""A tenant's check that all shares add up: it holds for an honest centre, and each way of cheating is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from allocation_engine import commitment as commitment_module
from allocation_engine.close_period import close_period
from allocation_engine.commitment import CROWD, PIECES, PIECES_IN_CROWD, Commitment, commit_run
from allocation_engine.errors import NotConserved
from allocation_engine.inclusion import (
    PIECES_MAX,
    InclusionProof,
    leaf_of,
    line_digest,
    place_of,
    pool_root,
    require_pool,
    require_run,
)
from allocation_engine.inputs import PeriodInputs
from allocation_engine.pool_facts import cut_of, facts_digest, facts_of, stated_pool
from allocation_engine.pools import PoolClass
from allocation_engine.proof import Broken
from allocation_engine.rules import Rules
from allocation_engine.run import Line, LineKind, MeteredTrace, Run
from allocation_engine.statement import seal_statement
from allocation_engine.statement_content import StatementContent
from allocation_engine.sum_tree import EMPTY, SUM_MAX, LeafDoubled, SumNode, plant, prune, regrow
from metering.envelope import Algorithm, EnvelopeMalformed, decode_canonical, encode, parse_sign1
from metering.identity import KeyId, PartyId, PoolId, UnitId

SECRET = bytes(range(32))
BOOKED_AT = datetime(2026, 8, 1, tzinfo=UTC)
LIFT, ROOF, OWN_USE = PoolId("lift"), PoolId("roof"), PoolId("own-use")


class NoSigner:
    """Signs with nothing: these tests are about what a centre with a good key may try."""

    key_id = KeyId(bytes(8))
    algorithm = Algorithm.EDDSA

    def sign(self, message: bytes) -> bytes:
        """Give 64 zero octets."""
        return bytes(64)


@pytest.fixture
def inputs(make_inputs: Callable[..., PeriodInputs]) -> PeriodInputs:
    """Three tenants and a vacancy share a lift that costs 100.00 and a roof that gives back 12.00."""
    return make_inputs(
        energy={"lift": 25_000, "roof": 0},
        export={"roof": 3_000},
        units={"a": (300, None), "b": (200, None), "c": (100, None), "d": (77, None)},
        let=[("a", "t-1", 0, 8), ("b", "t-2", 0, 8), ("c", "t-3", 0, 4)],
    )


@pytest.fixture
def rules(make_rules: Callable[..., Rules], inputs: PeriodInputs, area_pool: dict[str, Any]) -> Rules:
    """Two pools by area; the second is a credit."""
    roof = {**area_pool, "id": "roof", "path": ["roof"], "measure": "net"}
    return make_rules(inputs, area_pool, roof)


@pytest.fixture
def run(inputs: PeriodInputs, rules: Rules) -> Run:
    """The closed period, with the metered lines of two tenants added by hand: their pool is closed to the others."""
    closed = close_period(inputs, rules)
    metered = tuple(own_line(party, unit, amount) for party, unit, amount in (("t-1", "a", 4_200), ("t-2", "b", -310)))
    pool = replace(closed.pools[0], id=OWN_USE, pool_class=PoolClass.EXCLUSIVE, cost_minor=3_890)
    return replace(closed, pools=(*closed.pools, pool), lines=(*closed.lines, *metered))


def own_line(party: str, unit: str, amount_minor: int) -> Line:
    """A metered line."""
    trace = MeteredTrace((), (), "import", (), 0, ())
    return Line(OWN_USE, PartyId(party), UnitId(unit), LineKind.METERED, (1,), amount_minor, trace)


def say(run: Run, commitment: Commitment, party: str, template: StatementContent) -> StatementContent:
    """What the statement of a party says, whatever the centre made of the run."""
    lines = run.lines_of(PartyId(party))
    owned = [pool for pool in run.pools if any(line.pool == pool.id for line in lines)]
    pools = tuple(stated_pool(pool, commitment.roots[pool.id]) for pool in owned)
    return replace(template, party=PartyId(party), lines=lines, pools=pools, commitment=commitment.root)


@pytest.fixture
def template(inputs: PeriodInputs, rules: Rules) -> StatementContent:
    """A statement as sealed, with shared lines only."""
    closed = close_period(inputs, rules)
    statement = seal_statement(
        closed,
        inputs,
        rules,
        PartyId("t-1"),
        booked_at=BOOKED_AT,
        version=1,
        gateway_keys=(),
        commitment=commit_run(closed, SECRET),
        signer=NoSigner(),
    )
    content = StatementContent.from_wire(decode_canonical(parse_sign1(statement.octets).payload))
    for pool in content.pools:
        require_pool(content, InclusionProof.from_octets(statement.proof), pool)
    require_run(content, InclusionProof.from_octets(statement.proof))
    return content


Case = tuple[StatementContent, InclusionProof]


@pytest.fixture
def case(run: Run, template: StatementContent) -> Case:
    """The statement of t-1 and its proof."""
    commitment = commit_run(run, SECRET)
    return say(run, commitment, "t-1", template), commitment.open(run.lines_of(PartyId("t-1")))


def broken(case: Case) -> list[str]:
    """The links that break."""
    content, proof = case
    links = []
    for pool in content.pools:
        try:
            require_pool(content, proof, pool)
        except Broken as error:
            links.append(error.link)
    try:
        require_run(content, proof)
    except Broken as error:
        links.append(error.link)
    return links


# ---- An honest centre --------------------------------------------------------------------------------------------


def test_every_partys_statement_holds(run: Run, template: StatementContent) -> None:
    commitment = commit_run(run, SECRET)
    for party in run.parties:
        assert broken((say(run, commitment, party, template), commitment.open(run.lines_of(party)))) == []


def test_a_tenant_learns_that_all_shares_make_the_cost(case: Case) -> None:
    content, proof = case
    lift, roof, own_use = (require_pool(content, proof, pool) for pool in content.pools)
    # 4431 = 10000 x 300 / 677; the roof gives back 1200, 532 of it to t-1.
    assert (lift.own, lift.charges, lift.credits) == (4_431, 10_000, 0)
    assert (roof.own, roof.charges, roof.credits) == (-532, 0, 1_200)
    assert (own_use.own, own_use.charges, own_use.credits) == (4_200, None, None)


def test_the_proof_shows_no_amount_of_anybody_else(run: Run, case: Case) -> None:
    amounts = {abs(line.amount_minor) for line in run.lines if line.party != "t-1"}
    salts = {opening.salt for opening in case[1].lines}
    shown = {max(stub.charges, stub.credits) for pool in case[1].pools for stub in pool.stubs}
    assert not amounts & shown
    assert len(salts) == len(case[1].lines)


def test_nothing_can_be_added_up_from_the_stubs_of_a_closed_pool(case: Case) -> None:
    stubs = case[1].pools[2].stubs
    assert stubs
    assert {(stub.charges, stub.credits) for stub in stubs} == {(0, 0)}


def test_the_statements_of_a_run_all_show_the_same_roots(run: Run, template: StatementContent) -> None:
    commitment = commit_run(run, SECRET)
    contents = [say(run, commitment, party, template) for party in run.parties]
    assert {content.commitment for content in contents} == {commitment.root}
    assert {pool.root for content in contents for pool in content.pools if pool.id == LIFT} == {commitment.roots[LIFT]}
    assert commitment.to_document()["root"] == commitment.root.hex()
    assert list(commitment.to_document()["pools"]) == ["lift", "roof", "own-use"]


def test_all_parties_together_leave_nothing_of_a_tree_unseen(run: Run) -> None:
    commitment = commit_run(run, SECRET)
    lines = [line for line in run.lines if line.pool == LIFT]
    proof = commitment.open(lines)
    assert set(proof.pools[0].stubs) <= {EMPTY}
    leaves = {}
    for line, one in zip(lines, proof.lines, strict=True):
        for number, (piece, depth) in enumerate(zip(one.pieces, one.depths, strict=True)):
            node = leaf_of(line_digest(bytes.fromhex(run.id), line), one.salt, number, piece, is_open=True)
            leaves[node.digest] = depth, node
    facts = facts_digest(facts_of(stated_pool(run.pools[0], b""), cut_of(lines)))
    assert pool_root(LIFT, regrow(leaves, proof.pools[0].stubs), facts) == commitment.roots[LIFT]


def test_the_same_run_and_secret_give_the_same_octets(run: Run) -> None:
    one, other = commit_run(run, SECRET), commit_run(run, SECRET)
    assert one.root == other.root
    assert one.open(run.lines).to_octets() == other.open(run.lines).to_octets()


def test_another_secret_or_another_run_gives_other_salts(run: Run) -> None:
    plain = commit_run(run, SECRET).open(run.lines)
    for other in (commit_run(run, bytes(32)), commit_run(replace(run, id="11" * 32), SECRET)):
        salts = {one.salt for one in other.open(run.lines).lines}
        assert not salts & {one.salt for one in plain.lines}


def test_the_order_of_lines_changes_no_root(run: Run) -> None:
    assert commit_run(replace(run, lines=run.lines[::-1]), SECRET).root == commit_run(run, SECRET).root


def test_a_line_is_cut_into_pieces_of_its_own_sign(run: Run) -> None:
    for line, one in zip(run.lines, commit_run(run, SECRET).open(run.lines).lines, strict=True):
        assert sum(one.pieces) == line.amount_minor
        assert len(one.pieces) == (1 if line.pool == OWN_USE else PIECES)
        assert min(one.pieces) >= 0 or max(one.pieces) <= 0


def test_in_a_crowd_lines_are_cut_less(run: Run) -> None:
    lines = tuple(
        replace(run.lines[0], unit=UnitId(f"u-{number}"), amount_minor=10_000 // 625) for number in range(625)
    )
    assert len(lines) >= CROWD
    crowd = replace(run, pools=run.pools[:1], lines=lines)
    assert {len(one.pieces) for one in commit_run(crowd, SECRET).open(lines[:9]).lines} == {PIECES_IN_CROWD}


def test_a_share_of_nothing_is_committed_to_as_well(run: Run, template: StatementContent) -> None:
    lines = tuple(replace(line, amount_minor=0) for line in run.lines if line.pool == LIFT)
    idle = replace(run, pools=(replace(run.pools[0], cost_minor=0),), lines=lines)
    commitment = commit_run(idle, SECRET)
    assert broken((say(idle, commitment, "t-2", template), commitment.open(idle.lines_of(PartyId("t-2"))))) == []


def test_a_proof_survives_its_wire_form(case: Case) -> None:
    assert InclusionProof.from_octets(case[1].to_octets()) == case[1]


# ---- What the engine refuses to commit to ------------------------------------------------------------------------


def test_a_line_that_stands_twice_is_refused(run: Run) -> None:
    with pytest.raises(LeafDoubled, match="line lift/a/t-1 stands twice"):
        commit_run(replace(run, lines=(*run.lines, run.lines[0])), SECRET)


def test_a_line_of_no_pool_is_refused(run: Run) -> None:
    with pytest.raises(NotConserved, match="no pool"):
        commit_run(replace(run, pools=run.pools[1:]), SECRET)


def test_lines_that_do_not_make_the_cost_are_refused(run: Run) -> None:
    with pytest.raises(NotConserved, match="pool lift costs 10000"):
        commit_run(replace(run, lines=run.lines[1:]), SECRET)


# ---- Changed proofs ----------------------------------------------------------------------------------------------


def with_line(case: Case, index: int, **changes: Any) -> Case:
    """The case with another opening of one line."""
    lines = [*case[1].lines]
    lines[index] = replace(lines[index], **changes)
    return case[0], replace(case[1], lines=tuple(lines))


def with_stubs(case: Case, pool: int, stubs: tuple[SumNode, ...]) -> Case:
    """The case with other stubs of one pool."""
    pools = [*case[1].pools]
    pools[pool] = replace(pools[pool], stubs=stubs)
    return case[0], replace(case[1], pools=tuple(pools))


def test_a_mutated_leaf_is_found_out(case: Case) -> None:
    first, second, *others = case[1].lines[0].pieces
    assert broken(with_line(case, 0, pieces=(first + 1, second - 1, *others))) == ["pool lift"]
    assert broken(with_line(case, 0, salt=bytes(32))) == ["pool lift"]
    assert broken(with_line(case, 2, salt=bytes(32))) == ["pool own-use"]


def test_pieces_that_are_not_the_amount_are_found_out(case: Case) -> None:
    first, *others = case[1].lines[0].pieces
    assert broken(with_line(case, 0, pieces=(first + 1, *others))) == ["pool lift"]


def test_pieces_of_both_signs_are_found_out(case: Case) -> None:
    content, proof = with_line(case, 0, pieces=(5_431, -1_000), depths=(1, 1))
    with pytest.raises(Broken, match="other pieces"):
        require_pool(content, proof, content.pools[0])


def test_a_changed_line_is_found_out(case: Case) -> None:
    content, proof = case
    for change in ({"amount_minor": 4_430}, {"band_energy_wh": (1,)}, {"unit": UnitId("b")}):
        lines = (replace(content.lines[0], **change), *content.lines[1:])
        assert broken((replace(content, lines=lines), proof)) == ["pool lift"]


def test_a_line_of_another_run_is_found_out(case: Case) -> None:
    assert broken((replace(case[0], run_id=bytes(32)), case[1])) == ["pool lift", "pool roof", "pool own-use"]


@pytest.mark.parametrize("field", ["charges", "credits"])
@pytest.mark.parametrize("by", [1, 1000])
def test_a_mutated_sum_is_found_out(case: Case, field: str, by: int) -> None:
    for pool, link in enumerate(("pool lift", "pool roof", "pool own-use")):
        stubs = case[1].pools[pool].stubs
        for index, stub in enumerate(stubs):
            changed = stub._replace(**{field: getattr(stub, field) + by})
            assert broken(with_stubs(case, pool, (*stubs[:index], changed, *stubs[index + 1 :]))) == [link]


def test_sums_moved_from_one_stub_to_another_are_found_out(case: Case) -> None:
    first, second, *others = case[1].pools[0].stubs
    moved = first._replace(charges=first.charges + second.charges), second._replace(charges=0)
    assert broken(with_stubs(case, 0, (*moved, *others))) == ["pool lift"]


def test_swapped_siblings_are_found_out(case: Case) -> None:
    stubs = case[1].pools[0].stubs
    for index in range(len(stubs) - 1):
        swapped = (*stubs[:index], stubs[index + 1], stubs[index], *stubs[index + 2 :])
        if swapped != stubs:
            assert broken(with_stubs(case, 0, swapped)) == ["pool lift"]


def test_a_truncated_proof_is_found_out(case: Case) -> None:
    stubs = case[1].pools[0].stubs
    for kept in range(len(stubs)):
        assert broken(with_stubs(case, 0, stubs[:kept])) == ["pool lift"]
    assert broken((case[0], replace(case[1], pools=case[1].pools[:-1])))[-1] == "commitment"
    assert broken((case[0], replace(case[1], lines=case[1].lines[:-1])))[-1] == "commitment"


def test_a_proof_with_stubs_to_spare_is_found_out(case: Case) -> None:
    assert broken(with_stubs(case, 0, (*case[1].pools[0].stubs, EMPTY))) == ["pool lift"]
    assert broken((case[0], replace(case[1], stubs=(*case[1].stubs, EMPTY)))) == ["commitment"]


def test_one_leaf_opened_twice_is_found_out(case: Case) -> None:
    content, proof = case
    twice = replace(content, lines=(*content.lines, content.lines[0]))
    doubled = twice, replace(proof, lines=(*proof.lines, proof.lines[0]))
    with pytest.raises(Broken, match="a leaf of line lift/a/t-1 stands twice"):
        require_pool(*doubled, content.pools[0])


def test_one_leaf_cannot_serve_two_parties(run: Run, template: StatementContent) -> None:
    # Two tenants with equal amounts: a centre that commits to one of them only may not show his leaf to both.
    first, second = (line for line in run.lines if line.pool == LIFT and line.unit in ("a", "b"))
    alone = replace(run, pools=(replace(run.pools[0], cost_minor=first.amount_minor),), lines=(first,))
    commitment = commit_run(alone, SECRET)
    shown = replace(second, amount_minor=first.amount_minor, band_energy_wh=first.band_energy_wh)
    content = replace(say(alone, commitment, "t-1", template), party=PartyId("t-2"), lines=(shown,))
    assert broken((content, commitment.open((first,)))) == ["pool lift"]


def test_another_partys_proof_is_of_no_use(run: Run, case: Case) -> None:
    commitment = commit_run(run, SECRET)
    other = commitment.open(run.lines_of(PartyId("t-2")))
    assert broken((case[0], other)) == ["pool lift", "pool roof", "pool own-use"]


# ---- A lying centre, which signs whatever it likes ---------------------------------------------------------------


def test_charging_more_than_the_cost_is_found_out(
    run: Run, template: StatementContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everyone pays double; the tree is honest about it, the facts and the statement say the old cost.
    monkeypatch.setattr(commitment_module, "_require_cost", lambda *_: None)
    lines = tuple(replace(line, amount_minor=2 * line.amount_minor) for line in run.lines if line.pool == LIFT)
    greedy = replace(run, pools=run.pools[:1], lines=lines)
    commitment = commit_run(greedy, SECRET)
    content = say(greedy, commitment, "t-1", template)
    with pytest.raises(Broken, match="charges of 20000 and credits of 0, which is not its cost of 10000"):
        require_pool(content, commitment.open(content.lines), content.pools[0])


def test_pieces_that_make_less_than_the_line_are_found_out(
    run: Run, template: StatementContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Everyone pays twice what the tree adds up to: all digests and sums fit, only the pieces are not the amount.
    monkeypatch.setattr(commitment_module, "_cut_up", lambda amount, *_: (amount // 2,))
    lines = tuple(line for line in run.lines if line.pool == LIFT)
    halved = replace(run.pools[0], cost_minor=sum(line.amount_minor // 2 for line in lines))
    greedy = replace(run, pools=(halved,), lines=lines)
    commitment = commit_run(greedy, SECRET)
    content = say(greedy, commitment, "t-1", template)
    with pytest.raises(Broken, match="other pieces than its amount"):
        require_pool(content, commitment.open(content.lines), content.pools[0])


def test_a_phantom_credit_that_makes_room_for_higher_shares_is_found_out(run: Run, template: StatementContent) -> None:
    # The negative sibling: a line nobody receives takes 20.00 out, the tenants pay them, and the sum is right again.
    first, *others = [line for line in run.lines if line.pool == LIFT]
    raised = replace(first, amount_minor=first.amount_minor + 2_000)
    phantom = replace(first, party=PartyId("nobody"), amount_minor=-2_000)
    inflated = replace(run, pools=run.pools[:1], lines=(raised, *others, phantom))
    commitment = commit_run(inflated, SECRET)
    for party in ("t-1", "t-2", "t-3", "owner"):
        content = say(inflated, commitment, party, template)
        with pytest.raises(Broken, match="charges of 12000 and credits of 2000 minor units stand side by side"):
            require_pool(content, commitment.open(content.lines), content.pools[0])


def test_a_negative_sum_cannot_be_sent(case: Case) -> None:
    wire = decode_canonical(case[1].to_octets())
    for field in (1, 2):
        changed = decode_canonical(case[1].to_octets())
        changed[1][0][1][0][field] = -20
        with pytest.raises(EnvelopeMalformed, match="from 0 to"):
            InclusionProof.from_octets(encode(changed))
    assert wire[1][0][1][0][1] >= 0


def test_sums_beyond_the_largest_are_found_out_and_not_wrapped(case: Case) -> None:
    first, second, *others = case[1].pools[0].stubs
    huge = first._replace(charges=SUM_MAX), second._replace(charges=SUM_MAX)
    content, proof = with_stubs(case, 0, (*huge, *others))
    with pytest.raises(Broken, match="at most"):
        require_pool(content, proof, content.pools[0])


def test_charges_and_credits_may_stand_side_by_side_where_lines_follow_no_weight(
    run: Run, template: StatementContent
) -> None:
    metered = [replace(line, pool=LIFT) for line in run.lines if line.pool == OWN_USE]
    mixed = replace(run, pools=(replace(run.pools[0], cost_minor=3_890),), lines=tuple(metered))
    commitment = commit_run(mixed, SECRET)
    content = say(mixed, commitment, "t-2", template)
    proven = require_pool(content, commitment.open(content.lines), content.pools[0])
    assert (proven.own, proven.charges, proven.credits) == (-310, 4_200, 310)


def test_two_trees_for_one_pool_cannot_hang_in_one_run(run: Run, template: StatementContent) -> None:
    # One tree for t-1 and one for t-2, each of them paying almost everything, under one root that compares equal.
    shown, hidden = commit_run(run, SECRET), commit_run(replace(run, id="22" * 32), SECRET)
    with pytest.raises(LeafDoubled):
        plant((place_of(LIFT), SumNode(one.roots[LIFT], 0, 0)) for one in (shown, hidden))
    alias = place_of(PoolId("lift-2"))
    tree = plant([(place_of(LIFT), SumNode(shown.roots[LIFT], 0, 0)), (alias, SumNode(hidden.roots[LIFT], 0, 0))])
    pruned = prune(tree, [alias])
    content = replace(say(run, hidden, "t-3", template), commitment=tree.node.digest)
    content = replace(content, pools=content.pools[:1], lines=content.lines[:1])
    opened = hidden.open(content.lines)
    proof = replace(opened, pools=(replace(opened.pools[0], depth=pruned.depths[alias]),), stubs=pruned.stubs)
    with pytest.raises(Broken, match="not those the run committed to"):
        require_run(content, proof)


def test_a_root_that_is_not_the_runs_is_found_out(case: Case) -> None:
    assert broken((replace(case[0], commitment=bytes(32)), case[1])) == ["commitment"]
    changed = replace(case[0].pools[0], root=bytes(32))
    content = replace(case[0], pools=(changed, *case[0].pools[1:]))
    assert broken((content, case[1])) == ["pool lift", "commitment"]


def test_a_pool_left_out_of_the_statement_is_found_out(case: Case) -> None:
    content, proof = case
    poor = replace(content, pools=content.pools[1:]), replace(proof, pools=proof.pools[1:])
    with pytest.raises(Broken, match="not those of its lines"):
        require_run(*poor)


def test_a_pool_stated_twice_is_found_out(case: Case) -> None:
    content, proof = case
    rich = (
        replace(content, pools=(*content.pools, content.pools[0])),
        replace(proof, pools=(*proof.pools, proof.pools[0])),
    )
    with pytest.raises(Broken, match="each once"):
        require_run(*rich)


def test_a_shared_pool_cannot_be_passed_off_as_closed(run: Run, template: StatementContent) -> None:
    # Leaves without sums would prove nothing about the cost; the root of an open tree does not fit a closed one.
    commitment = commit_run(run, SECRET)
    content = say(run, commitment, "t-1", template)
    closed = replace(content.pools[0], cost_minor=None)
    with pytest.raises(Broken, match="do not lead to its signed root"):
        require_pool(replace(content, pools=(closed, *content.pools[1:])), commitment.open(content.lines), closed)


# ---- What is no proof at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        [[], []],
        [[], [], [], []],
        [[[bytes(31), [1], [1]]], [], []],
        [[[bytes(32), [], []]], [], []],
        [[[bytes(32), [1] * (PIECES_MAX + 1), [1] * (PIECES_MAX + 1)]], [], []],
        [[[bytes(32), [1], [1, 2]]], [], []],
        [[[bytes(32), [1], [257]]], [], []],
        [[[bytes(32), [1], [-1]]], [], []],
        [[[bytes(32), [2**63], [1]]], [], []],
        [[[bytes(32), [True], [1]]], [], []],
        [[], [[0]], []],
        [[], [[257, []]], []],
        [[], [], [[bytes(33), 0, 0]]],
        [[], [], [[bytes(32), 0]]],
        [[], [], [[bytes(32), 2**63, 0]]],
        [[], [], [[bytes(32), 0, -1]]],
    ],
)
def test_what_is_no_proof_is_told(wire: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        InclusionProof.from_octets(encode(wire))


def test_octets_that_are_no_cbor_are_told() -> None:
    for octets in (b"", b"\xff", b"\x80\x00", b"\x98\x03\x80\x80\x80"):
        with pytest.raises(EnvelopeMalformed):
            InclusionProof.from_octets(octets)
