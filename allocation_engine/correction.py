"""Corrections: what a new run of a closed period changes, as delta lines on that period. Nothing booked is edited.

Whoever booked the published run books the delta lines beside it, and has booked the new run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from allocation_engine.errors import NotConserved
from allocation_engine.run_diff import Cause, RunDiff
from metering.identity import PartyId, PoolId, UnitId

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """One line that changes [minor units], and by which causes; `id` is that of the corrected line."""

    id: str
    pool: PoolId
    party: PartyId
    unit: UnitId | None
    before_minor: int
    after_minor: int
    causes: tuple[tuple[str, int], ...]

    @property
    def delta_minor(self) -> int:
        """What is booked."""
        return self.after_minor - self.before_minor


def correction_of(booked: Document, new: Document, diff: RunDiff | None) -> tuple[CorrectionLine, ...]:
    """Give the delta lines from the booked run's document to the new one's, by line id.

    diff    why lines differ; None where the booked run cannot be computed again. What it does not explain, because
            another version of the engine computed the booked run, has the cause `engine`.
    Raises  NotConserved if the delta lines of a pool do not add up to the change of its cost
    """
    causes = {} if diff is None else {line.id: line.causes for line in diff.lines}
    old, after = (_by_id(document) for document in (booked, new))
    lines = []
    for one in sorted(old.keys() | after.keys()):
        before_minor, after_minor = (side[one]["amount_minor"] if one in side else 0 for side in (old, after))
        if before_minor != after_minor:
            line = after.get(one) or old[one]
            told = causes.get(one, ())
            rest = after_minor - before_minor - sum(delta for _, delta in told)
            parts = (*told, (str(Cause.ENGINE), rest)) if rest else told
            lines.append(
                CorrectionLine(one, line["pool"], line["party"], line["unit"], before_minor, after_minor, parts)
            )
    _require_conserved(booked, new, lines)
    return tuple(lines)


def party_deltas(lines: Iterable[CorrectionLine]) -> dict[PartyId, int]:
    """Sum the delta lines of each party [minor units]."""
    sums: dict[PartyId, int] = {}
    for line in lines:
        sums[line.party] = sums.get(line.party, 0) + line.delta_minor
    return dict(sorted(sums.items()))


def _by_id(document: Document) -> dict[str, Document]:
    return {line["id"]: line for line in document["lines"]}


def _require_conserved(booked: Document, new: Document, lines: Iterable[CorrectionLine]) -> None:
    costs = {pool["id"]: -pool["cost_minor"] for pool in booked["pools"]}
    for pool in new["pools"]:
        costs[pool["id"]] = costs.get(pool["id"], 0) + pool["cost_minor"]
    for line in lines:
        costs[line.pool] -= line.delta_minor
    if any(costs.values()):
        wrong = ", ".join(pool for pool, rest in costs.items() if rest)
        raise NotConserved(f"the delta lines of {wrong} do not add up to the change of its cost")
