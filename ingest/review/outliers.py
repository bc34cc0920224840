"""Lines that stand out, by robust measures: the median, and the median of distances from it (MAD).

A line is held against its own history, and against the others of its pool: how much they changed since the period
before or, where there is none, what they pay for a square metre. A few wild lines move neither median nor MAD, so they
cannot hide each other. Integers throughout: scores are tenths of a spread.

Source of the factor and the limit: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), which takes 1.4826
MAD for a standard deviation and looks at what is 3.5 of them away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ingest.review.sheet import LineChange

PERIODS_MIN = 6
"""Periods that a history needs: of fewer, half can be wild."""
PEERS_MIN = 8
SCORE_MIN = 35
"""From so many tenths of a spread on a line stands out."""
_PER_MILLE = 1000
_SPREAD_PER_MILLE_MIN = 50
"""Spreads below a twentieth of the median count as that: a line that never moved would stand out by a fen."""
_MATERIAL_PER_MYRIAD = 5
"""What deviates by less than so many ten thousandths of its pool is nobody's time worth."""
_CM2_PER_M2 = 10_000


_Part = Callable[[LineChange], tuple[int, int]]


class Against(StrEnum):
    """What a line was held against."""

    HISTORY = "history"
    PEERS_CHANGE = "peers-change"
    PEERS_AREA = "peers-area"


@dataclass(frozen=True, slots=True)
class Outlier:
    """Why a line stands out.

    found, median, spread   minor units (HISTORY), per mille of the period before (PEERS_CHANGE), minor units a square
                            metre (PEERS_AREA)
    score                   distance from the median in tenths of a spread
    count                   how many periods, or lines, make the median
    beyond_minor            by how much the line is more than the median would make it; negative: less
    """

    line: LineChange
    against: Against
    found: int
    median: int
    spread: int
    score: int
    count: int
    beyond_minor: int


def outliers_of(
    lines: Sequence[LineChange],
    history: Mapping[int, Sequence[int]],
    areas_cm2: Mapping[str, int],
) -> tuple[Outlier, ...]:
    """Find the lines that stand out, those by most money first; a line by its plainest reason only.

    history   amounts of earlier periods [minor units] by the number of a line, in any order
    """
    costs: dict[str, int] = {}
    for line in lines:
        costs[line.pool] = costs.get(line.pool, 0) + abs(line.amount_minor)
    found: dict[int, Outlier] = {}
    for one in (*_by_history(lines, history), *_by_peers(lines, areas_cm2)):
        is_material = abs(one.beyond_minor) * 10_000 >= costs[one.line.pool] * _MATERIAL_PER_MYRIAD
        if is_material and one.line.number is not None:
            found.setdefault(one.line.number, one)
    return tuple(sorted(found.values(), key=lambda one: (-abs(one.beyond_minor), one.line.number)))


def median_of(numbers: Iterable[int]) -> int:
    """Give the median; of an even count the mean of both in the middle, rounded down."""
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) // 2


def spread_of(numbers: Sequence[int], median: int) -> int:
    """Give the spread around a median: 1.4826 MAD, at least a twentieth of the median and 1."""
    mad = median_of([abs(one - median) for one in numbers])
    return max(mad * 14_826 // 10_000, abs(median) * _SPREAD_PER_MILLE_MIN // _PER_MILLE, 1)


def _by_history(lines: Sequence[LineChange], history: Mapping[int, Sequence[int]]) -> Iterator[Outlier]:
    for line in lines:
        past = history.get(line.number, ()) if line.number is not None else ()
        if len(past) < PERIODS_MIN:
            continue
        median = median_of(past)
        beyond = line.amount_minor - median
        # Most lines are near: their spread need not be known.
        if abs(beyond) * _PER_MILLE * 10 <= SCORE_MIN * _SPREAD_PER_MILLE_MIN * abs(median):
            continue
        spread = spread_of(past, median)
        score = abs(beyond) * 10 // spread
        if score > SCORE_MIN:
            yield Outlier(line, Against.HISTORY, line.amount_minor, median, spread, score, len(past), beyond)


def _by_peers(lines: Sequence[LineChange], areas_cm2: Mapping[str, int]) -> Iterator[Outlier]:
    pools: dict[str, list[LineChange]] = {}
    for line in lines:
        if line.kind != "residual" and line.number is not None:
            pools.setdefault(line.pool, []).append(line)
    for peers in pools.values():
        changed = [(line, line.amount_minor * _PER_MILLE // line.before_minor) for line in peers if line.before_minor]
        if len(changed) >= PEERS_MIN:
            yield from _far(changed, Against.PEERS_CHANGE, lambda line: (line.before_minor or 0, _PER_MILLE))
            continue
        dense = [
            (line, line.amount_minor * _CM2_PER_M2 // areas_cm2[line.unit])
            for line in peers
            if line.unit is not None and areas_cm2.get(line.unit)
        ]
        if len(dense) >= PEERS_MIN:
            yield from _far(dense, Against.PEERS_AREA, lambda line: (areas_cm2[line.unit or ""], _CM2_PER_M2))


def _far(measured: Sequence[tuple[LineChange, int]], against: Against, part: _Part) -> Iterator[Outlier]:
    """Give the lines far from the median; `part` says which part of a unit of the measure is a minor unit of a line."""
    numbers = [measure for _, measure in measured]
    median = median_of(numbers)
    spread = spread_of(numbers, median)
    for line, measure in measured:
        score = abs(measure - median) * 10 // spread
        if score > SCORE_MIN:
            times, over = part(line)
            expected = median * times // over
            yield Outlier(line, against, measure, median, spread, score, len(measured), line.amount_minor - expected)
