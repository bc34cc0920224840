"""Where a run stands, who may move it on, and what stands in the way.

    draft -> computed -> checked -> approved -> published -> superseded

A draft is looked at and nothing else: no statement is signed. Everyone but the last word may be one person: whoever
computed or checked a run does not approve it. Cases and failed checks need a recorded reason each before approval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from metering.errors import BooksError

ACTOR_CHARACTERS_MAX = 80


class RunState(StrEnum):
    """Where a run stands."""

    DRAFT = "draft"
    COMPUTED = "computed"
    CHECKED = "checked"
    APPROVED = "approved"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"


NEXT: Mapping[RunState, frozenset[RunState]] = {
    RunState.DRAFT: frozenset({RunState.COMPUTED, RunState.SUPERSEDED}),
    RunState.COMPUTED: frozenset({RunState.CHECKED, RunState.SUPERSEDED}),
    RunState.CHECKED: frozenset({RunState.APPROVED, RunState.SUPERSEDED}),
    RunState.APPROVED: frozenset({RunState.PUBLISHED, RunState.SUPERSEDED}),
    RunState.PUBLISHED: frozenset({RunState.SUPERSEDED}),
    # The facts may become again what they were: closing then gives this very run, which is checked anew.
    RunState.SUPERSEDED: frozenset({RunState.COMPUTED}),
}


class RunUnknown(BooksError):
    """There is no run with this id, or more than one begins with what was given of it."""


class TransitionRefused(BooksError):
    """A run cannot go from where it stands to where it was asked to go."""


class SecondPersonNeeded(BooksError):
    """Whoever computed or checked a run cannot approve it."""


class ReasonMissing(BooksError):
    """Something about a run needs a recorded reason; `subjects` names what."""

    def __init__(self, subjects: tuple[str, ...]) -> None:
        super().__init__(
            f"{len(subjects)} findings need a recorded reason before the run is approved: {', '.join(subjects)}"
        )
        self.subjects = subjects


class ActorInvalid(BooksError):
    """Nobody is named, or not so that a log can keep it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides about the next step of a run.

    unexplained   subjects of cases and failed checks that have no recorded reason
    """

    state: RunState
    computed_by: str
    checked_by: str | None
    unexplained: tuple[str, ...]


def require_step(standing: Standing, to: RunState, actor: str) -> None:
    """Raise unless `actor` may move a run on: TransitionRefused, SecondPersonNeeded, ReasonMissing."""
    if to not in NEXT[standing.state]:
        allowed = ", ".join(sorted(NEXT[standing.state]))
        raise TransitionRefused(f"the run is {standing.state}; from there it can become {allowed}, not {to}")
    if to is RunState.APPROVED:
        first = {same_actor(one): one for one in (standing.computed_by, standing.checked_by) if one is not None}
        if same_actor(actor) in first:
            raise SecondPersonNeeded(
                f"{first[same_actor(actor)]} computed or checked this run; somebody else has to approve it"
            )
        if standing.unexplained:
            raise ReasonMissing(standing.unexplained)


def read_actor(text: str) -> str:
    """Give the name of who acts, as the log keeps it; raises ActorInvalid."""
    actor = " ".join(text.split())
    if not actor or len(actor) > ACTOR_CHARACTERS_MAX or not actor.isprintable():
        raise ActorInvalid(f"name who acts, in 1 to {ACTOR_CHARACTERS_MAX} printable characters, not {text[:100]!r}")
    return actor


def same_actor(actor: str) -> str:
    """Give what two spellings of one name share: neither case nor blanks make another person."""
    return " ".join(actor.split()).lower()


def findings_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what in a run's document needs a reason: nodes out of band, and checks that do not hold."""
    found = [f"case {case['node']}" for case in document["cases"]]
    for check in document.get("checks", ()):
        if check["limit_minor"] is None or check["charged_minor"] > check["limit_minor"]:
            found.append(f"check {check['cap']}/{check['kind']}/{check['party'] or 'all'}")
    return tuple(dict.fromkeys(found))


def unexplained(findings: Iterable[str], reasons: Iterable[str]) -> tuple[str, ...]:
    """Give the findings that no reason speaks of."""
    known = set(reasons)
    return tuple(one for one in findings if one not in known)
