"""One root, one story: whoever is told another cut, cost, day or ground than his neighbour has a proof that breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from allocation_engine import commitment as commitment_module
from allocation_engine import inclusion as inclusion_module
from allocation_engine.close_period import close_period
from allocation_engine.commitment import Commitment, commit_run
from allocation_engine.inclusion import InclusionProof, require_pool
from allocation_engine.inputs import PeriodInputs
from allocation_engine.loss_trace import LossTrace
from allocation_engine.pool_facts import Cut, CutsDiffer, cut_of, facts_digest, facts_of, stated_pool
from allocation_engine.pools import PoolClass
from allocation_engine.proof import Broken, prove_line
from allocation_engine.rules import Rules
from allocation_engine.run import DayShare, Line, PoolResult, Run, ShareTrace
from allocation_engine.statement_content import StatedPool, StatementContent
from metering.envelope import decode_canonical
from metering.identity import PartyId

SECRET = bytes(32)


@pytest.fixture
def run(make_inputs: Callable[..., PeriodInputs], make_rules: Callable[..., Rules], area_pool: dict[str, Any]) -> Run:
    """Three equal units share 100.00: 33.33 each and one fen over, which goes to the smallest line id."""
    inputs = make_inputs(
        energy={"lift": 25_000},
        units={"a": (100, None), "b": (100, None), "c": (100, None)},
        let=[("a", "t-1", 0, 8), ("b", "t-2", 0, 8), ("c", "t-3", 0, 8)],
    )
    return close_period(inputs, make_rules(inputs, area_pool))


def trace(line: Line) -> ShareTrace:
    """The trace of a share."""
    assert isinstance(line.trace, ShareTrace)
    return line.trace


def told(run: Run, commitment: Commitment, party: str, pool: StatedPool | None = None) -> StatementContent:
    """As much of a statement as the proof of shares needs."""
    content: Any = object.__new__(StatementContent)
    stated = stated_pool(run.pools[0], commitment.roots[run.pools[0].id]) if pool is None else pool
    parts = {
        "run_id": bytes.fromhex(run.id),
        "currency": run.currency,
        "lines": run.lines_of(PartyId(party)),
        "pools": (stated,),
        "commitment": commitment.root,
        "party": PartyId(party),
    }
    for name, part in parts.items():
        object.__setattr__(content, name, part)
    found: StatementContent = content
    return found


def verifies(content: StatementContent, proof: InclusionProof) -> bool:
    """Say whether a party believes its share: its own arithmetic and its place in the tree."""
    try:
        for line in content.lines:
            prove_line(content, line)
        require_pool(content, proof, content.pools[0])
    except Broken:
        return False
    return True


def all_verify(run: Run, commitment: Commitment) -> dict[str, bool]:
    """Which parties believe what they are told."""
    return {one: verifies(told(run, commitment, one), commitment.open(run.lines_of(one))) for one in run.parties}


def favoured(run: Run) -> Run:
    """The fen of t-1 given to t-3, each of them told a cut by which that is right."""
    first, second, third = run.lines
    above = replace(trace(first), extra=False, cut_id="0/0")
    reached = replace(trace(third), extra=True, cut_id=trace(third).line_id)
    return replace(
        run,
        lines=(
            replace(first, amount_minor=first.amount_minor - 1, trace=above),
            replace(second, trace=replace(trace(second), cut_id="0/0")),
            replace(third, amount_minor=third.amount_minor + 1, trace=reached),
        ),
    )


def test_an_honest_run_is_believed_by_all(run: Run) -> None:
    assert [line.amount_minor for line in run.lines] == [3334, 3333, 3333]
    assert all(all_verify(run, commit_run(run, SECRET)).values())


def test_an_engine_that_tells_different_cuts_refuses_to_commit(run: Run) -> None:
    with pytest.raises(CutsDiffer, match="2 different cuts"):
        commit_run(favoured(run), SECRET)


def test_a_fen_moved_by_telling_each_another_cut_is_found_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lie = favoured(run)
    assert sum(line.amount_minor for line in lie.lines) == run.pools[0].cost_minor
    for chosen in {cut_of([line]) for line in lie.lines}:
        with monkeypatch.context() as liar:  # its own commitment covers one of the cuts it tells
            liar.setattr(commitment_module, "cut_of", lambda _, chosen=chosen: chosen)
            commitment = commit_run(lie, SECRET)
        believed = all_verify(lie, commitment)
        assert not all(believed.values()), believed
        assert believed["t-3"] == (chosen.line_id != "0/0")


def test_without_facts_in_the_root_nobody_would_notice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fault planted: roots as they were. Everybody verifies, under one root, and the fen has moved.
    for module in (commitment_module, inclusion_module):
        monkeypatch.setattr(module, "facts_digest", lambda _: bytes(32))
    monkeypatch.setattr(commitment_module, "cut_of", lambda _: Cut())
    lie = favoured(run)
    assert all(all_verify(lie, commit_run(lie, SECRET)).values())


def test_a_cut_that_is_wrong_for_all_alike_is_found_out(run: Run) -> None:
    # One cut for everybody, below the right one: two lines must then get the fen, and the sum no longer fits.
    second = trace(run.lines[1]).line_id
    lower = [replace(line, trace=replace(trace(line), cut_id=second)) for line in run.lines]
    commitment = commit_run(replace(run, lines=tuple(lower)), SECRET)
    assert all_verify(replace(run, lines=tuple(lower)), commitment)["t-2"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"ground": "another agreement"},
        {"charged_minor": 1},
        {"names": (("en", "Lobby"), ("zh", "大堂"))},
        {"tariff": "water"},
        {"charge": "demand"},
        {"pool_class": PoolClass.NEGOTIATED},
        {"days": (DayShare(date(2026, 7, 1), 1, (("tmax", "31", date(2026, 7, 1)),), (1, 2)),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_one_is_told_otherwise_breaks_his_proof(run: Run, change: dict[str, Any]) -> None:
    commitment = commit_run(run, SECRET)
    honest = stated_pool(run.pools[0], commitment.roots[run.pools[0].id])
    proof = commitment.open(run.lines_of(PartyId("t-1")))
    content = told(run, commitment, "t-1", replace(honest, **change))
    with pytest.raises(Broken, match="what is said of the pool") as caught:
        require_pool(content, proof, content.pools[0])
    assert caught.value.link == "pool lift"


def test_own_lines_that_speak_of_two_cuts_are_found_out(run: Run) -> None:
    commitment = commit_run(run, SECRET)
    both = replace(run, lines=tuple(replace(line, party=PartyId("t-1")) for line in favoured(run).lines))
    content = told(both, commitment, "t-1")
    with pytest.raises(Broken, match="different cuts"):
        require_pool(content, commitment.open(run.lines), content.pools[0])


def test_the_cut_is_that_of_shares_and_losses(run: Run) -> None:
    share = trace(run.lines[0])
    assert cut_of(run.lines) == Cut(share.total_weight, share.cut_remainder, share.line_id)
    loss = LossTrace("a/t-1", (1,), (1,), (0,), cut_remainder=9, cut_id="a/t-1")
    assert cut_of([replace(run.lines[0], trace=loss)]) == Cut(0, 9, "a/t-1")
    assert cut_of([]) == Cut()


def test_facts_are_the_pool_as_stated_without_its_root(run: Run) -> None:
    pool: PoolResult = run.pools[0]
    one, other = stated_pool(pool, b"\1" * 32), stated_pool(pool, b"\2" * 32)
    cut = cut_of(run.lines)
    assert facts_of(one, cut) == facts_of(other, cut)
    assert "root" not in decode_canonical(facts_of(one, cut))[0]
    assert len(facts_digest(facts_of(one, cut))) == 32
    assert facts_digest(facts_of(one, cut)) != facts_digest(facts_of(one, Cut()))
