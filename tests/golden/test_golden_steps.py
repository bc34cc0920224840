"""A run on its way through people, step by step, as the log keeps it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from allocation_engine.run_state import RunState, Standing, read_actor, require_step, unexplained
from metering.errors import BooksError

CASE = tomllib.loads((Path(__file__).parent / "a-run-goes-through-people" / "steps.toml").read_text("utf-8"))


def test_each_step_is_taken_or_refused_as_written() -> None:
    state, checked_by = RunState.DRAFT, None
    taken = [state]
    for step in CASE["steps"]:
        open_findings = unexplained(CASE["findings"], step["reasons"])
        standing = Standing(state, CASE["computed_by"], checked_by, open_findings)
        to, actor = RunState(step["to"]), read_actor(step["actor"])
        if "refused" in step:
            with pytest.raises(BooksError) as caught:
                require_step(standing, to, actor)
            assert str(caught.value) == step["refused"]
            continue
        require_step(standing, to, actor)
        state, checked_by = to, actor if to is RunState.CHECKED else checked_by
        taken.append(state)
    assert taken == list(RunState)


def test_the_steps_say_why_they_are_there() -> None:
    assert len(CASE["why"].split()) > 25
