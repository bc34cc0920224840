"""What becomes of a statement once it is final: issued, seen, confirmed, disputed, upheld, superseded. Pure.

A statement of a run that was never published has no state. Disputing keeps a line out of every charge and nothing
else; so a statement can be confirmed while a line of it is disputed, and the answer comes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from metering.errors import BooksError

WHOLE = ""
"""The line of a dispute that is about all of a statement."""


class StatementState(StrEnum):
    """The newest thing that happened to a statement."""

    ISSUED = "issued"
    SEEN = "seen"
    CONFIRMED = "confirmed"
    DISPUTED = "disputed"
    UPHELD = "upheld"
    SUPERSEDED = "superseded"


class DisputeState(StrEnum):
    """How a dispute stands: open; upheld: the line stays as it is; recomputed: a newer statement will say it anew."""

    OPEN = "open"
    UPHELD = "upheld"
    RECOMPUTED = "recomputed"


_S = StatementState
NEXT: Mapping[StatementState, frozenset[StatementState]] = {
    _S.ISSUED: frozenset({_S.SEEN, _S.CONFIRMED, _S.DISPUTED, _S.SUPERSEDED}),
    _S.SEEN: frozenset({_S.CONFIRMED, _S.DISPUTED, _S.SUPERSEDED}),
    _S.DISPUTED: frozenset({_S.DISPUTED, _S.CONFIRMED, _S.UPHELD, _S.SUPERSEDED}),
    _S.CONFIRMED: frozenset({_S.UPHELD, _S.SUPERSEDED}),
    _S.UPHELD: frozenset({_S.UPHELD, _S.CONFIRMED, _S.DISPUTED, _S.SUPERSEDED}),
    # A run whose facts became again what they were is published anew, and its statements with it.
    _S.SUPERSEDED: frozenset({_S.ISSUED}),
}
"""The same is a constraint of the table."""


class StatementUnknown(BooksError):
    """There is no statement with this number."""

    reason = "statement-unknown"


class StatementStepRefused(BooksError):
    """A statement cannot go from where it stands to where it was asked to go."""

    reason = "statement-step-refused"


class NotIssued(StatementStepRefused):
    """A statement is not final: its run is not published, so nobody can confirm or dispute it."""

    reason = "statement-not-issued"


class Superseded(StatementStepRefused):
    """A newer statement has taken this one's place."""

    reason = "statement-superseded"


@dataclass(frozen=True, slots=True)
class DisputedLine:
    """What the charges of a statement must know of a dispute; `line` WHOLE: all of it."""

    line: str
    state: DisputeState

    @property
    def freezes(self) -> bool:
        """Say whether it keeps its line out of every charge."""
        return self.state is not DisputeState.UPHELD


def require_step(number: str, state: StatementState | None, to: StatementState) -> None:
    """Raise NotIssued, Superseded or StatementStepRefused unless a statement may take this step."""
    if state is None and to is not _S.ISSUED:
        raise NotIssued(f"statement {number} is provisional: its run is not published yet")
    if state is _S.SUPERSEDED and to is not _S.ISSUED:
        raise Superseded(f"a newer statement has taken the place of {number}: ask for its link")
    if state is not None and to not in NEXT[state]:
        raise StatementStepRefused(f"statement {number} is {state}; from there it does not become {to}")


def is_frozen(line: str, disputes: Iterable[DisputedLine]) -> bool:
    """Say whether a dispute keeps a line out of every charge."""
    return any(one.freezes and one.line in (line, WHOLE) for one in disputes)


def billable(lines: Iterable[str], charged: Iterable[str], disputes: Iterable[DisputedLine]) -> tuple[str, ...]:
    """Give the lines that a confirmation makes billable now: neither charged already nor frozen."""
    known, told = frozenset(charged), tuple(disputes)
    return tuple(line for line in lines if line not in known and not is_frozen(line, told))
