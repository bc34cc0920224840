"""The states of a run: every step that is allowed, every one that is not, and the second person."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import pytest

from allocation_engine.run_state import (
    NEXT,
    ActorInvalid,
    ReasonMissing,
    RunState,
    SecondPersonNeeded,
    Standing,
    TransitionRefused,
    findings_of,
    read_actor,
    require_step,
    unexplained,
)

CHAIN = list(RunState)
CASE = {"node": "main"}
KEPT = {"cap": "cap-1", "kind": "price", "party": "t-01", "limit_minor": 10, "charged_minor": 10}


def standing(state: RunState, *, checked_by: str | None = "bo", open_findings: tuple[str, ...] = ()) -> Standing:
    """A run that `an` computed and `bo` checked."""
    return Standing(state, "an", checked_by, open_findings)


@pytest.mark.parametrize(("before", "after"), list(itertools.pairwise(CHAIN)))
def test_a_run_goes_down_the_chain_step_by_step(before: RunState, after: RunState) -> None:
    require_step(standing(before), after, "cy")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunState, RunState)))
def test_no_other_step_is_allowed(before: RunState, after: RunState) -> None:
    allowed = (before, after) in itertools.pairwise(CHAIN)
    allowed |= after is RunState.SUPERSEDED and before is not RunState.SUPERSEDED
    allowed |= (before, after) == (RunState.SUPERSEDED, RunState.COMPUTED)
    if allowed:
        require_step(standing(before), after, "cy")
    else:
        with pytest.raises(TransitionRefused, match=f"the run is {before}; from there it can become"):
            require_step(standing(before), after, "cy")


def test_the_database_allows_exactly_the_same_steps() -> None:
    page = resources.files("ingest.store").joinpath("schema.sql").read_text(encoding="utf-8")
    listed = re.search(r"\(from_state, to_state\) IN \((.*?)\n        \)", page, re.DOTALL)
    assert listed is not None
    pairs = set(re.findall(r"\('(\w+)', '(\w+)'\)", listed[1]))
    assert pairs == {(str(before), str(after)) for before, ends in NEXT.items() for after in ends}


@pytest.mark.parametrize("actor", ["an", "bo", "AN", " Bo "])
def test_whoever_computed_or_checked_a_run_cannot_approve_it_however_he_spells_himself(actor: str) -> None:
    with pytest.raises(SecondPersonNeeded, match="somebody else has to approve it"):
        require_step(standing(RunState.CHECKED), RunState.APPROVED, actor)


def test_a_second_person_approves_and_the_first_may_publish() -> None:
    require_step(standing(RunState.CHECKED), RunState.APPROVED, "cy")
    require_step(standing(RunState.APPROVED), RunState.PUBLISHED, "an")


def test_a_finding_without_a_reason_stands_in_the_way_of_approval_and_of_nothing_before() -> None:
    held = standing(RunState.CHECKED, open_findings=("case main", "check cap-1/sum/all"))
    with pytest.raises(ReasonMissing, match="2 findings need a recorded reason") as caught:
        require_step(held, RunState.APPROVED, "cy")
    assert caught.value.subjects == ("case main", "check cap-1/sum/all")
    require_step(standing(RunState.COMPUTED, open_findings=("case main",)), RunState.CHECKED, "bo")


def test_findings_are_cases_and_checks_that_do_not_hold() -> None:
    over, unknown = KEPT | {"charged_minor": 11}, KEPT | {"party": None, "kind": "sum", "limit_minor": None}
    document = {"cases": [CASE], "checks": [KEPT, over, unknown]}
    assert findings_of(document) == ("case main", "check cap-1/price/t-01", "check cap-1/sum/all")
    assert findings_of({"cases": []}) == ()


def test_a_reason_explains_its_own_finding_only() -> None:
    assert unexplained(("case a", "case b"), ["case a", "case z"]) == ("case b",)


@pytest.mark.parametrize("text", ["", "   ", "x" * 81, "a\x00b", "a\x1bb"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ActorInvalid):
        read_actor(text)


def test_a_name_is_kept_with_single_blanks() -> None:
    assert read_actor("  head   of accounts ") == "head of accounts"
