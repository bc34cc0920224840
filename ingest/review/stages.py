"""How long each stage of a run took: period closed, readings complete, computed, approved, issued.

Instants are those at which the books were written, not what people said (`acted_at`), so durations are real ones. The
end of the period is the exception: it is the calendar's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from allocation_engine.run_state import RunState

Steps = Iterable[tuple[RunState, datetime]]
"""States a run came to and when that was entered, oldest first."""


class Mark(StrEnum):
    """What a stage ends with."""

    ENDED = "ended"
    COMPLETE = "complete"
    COMPUTED = "computed"
    APPROVED = "approved"
    ISSUED = "issued"


_ENDS: Mapping[RunState, Mark] = {
    RunState.COMPUTED: Mark.COMPUTED,
    RunState.APPROVED: Mark.APPROVED,
    RunState.PUBLISHED: Mark.ISSUED,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. at: when it ended, None while it has not or nobody noted it; took: since the mark before it.

    took is None too where the mark before lies after this one, as with periods that are played ahead of the clock.
    """

    mark: Mark
    at: datetime | None
    took: timedelta | None

    @property
    def is_reached(self) -> bool:
        """Say whether the run has come so far."""
        return self.at is not None


def stages_of(ended_at: datetime, complete_at: datetime | None, steps: Steps) -> tuple[Stage, ...]:
    """Give the five stages of a run; computing it anew forgets who had approved and issued it before."""
    reached: dict[Mark, datetime] = {}
    for state, at in steps:
        if state is RunState.COMPUTED:
            reached.clear()
        if state in _ENDS:
            reached[_ENDS[state]] = at
    reached[Mark.ENDED] = ended_at
    if complete_at is not None:
        reached[Mark.COMPLETE] = complete_at
    found: list[Stage] = []
    before: datetime | None = None  # the newest mark that was reached
    for mark in Mark:
        then = reached.get(mark)
        took = then - before if then is not None and before is not None and then >= before else None
        found.append(Stage(mark, then, took))
        before = before if then is None else then
    return tuple(found)


def waiting_since(stages: Iterable[Stage]) -> Stage | None:
    """Give the last stage that was reached, of a run that is not issued; None for one that is."""
    found = list(stages)
    if found[-1].is_reached:
        return None
    return next((one for one in reversed(found) if one.is_reached), None)
