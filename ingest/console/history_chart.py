"""What was paid period by period, as the shapes of a picture: one bar a period, the last one marked. Pure.

Coordinates are those of the picture's own box; bars of many periods are narrower, and only so many are labelled as fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.console.rendering import grouped

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 6, 6, 26, 24
LABELS_MAX = 6
"""Labels below the bars that stand side by side on a telephone."""
BAR_MAX = 44.0


@dataclass(frozen=True, slots=True)
class HistoryBar:
    """One period: its bar, its label below (may be empty) and what is told of it."""

    x: float
    y: float
    width: float
    height: float
    middle: float
    label: str
    figure: str
    title: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class HistoryChart:
    """The picture: bars over a ground line at `zero`; `mean` is the height of the average of those before."""

    width: int
    height: int
    left: int
    right: int
    zero: float
    mean: float | None
    bars: tuple[HistoryBar, ...]


def history_chart(amounts: Sequence[int], labels: Sequence[str], titles: Sequence[str], decimals: int) -> HistoryChart:
    """Draw amounts [minor units], oldest first; `labels` and `titles` go with them."""
    top, bottom = max(0, *amounts), min(0, *amounts)
    reach = max(top - bottom, 1)
    room = (WIDTH - LEFT - RIGHT) / max(len(amounts), 4)
    wide = min(BAR_MAX, room * 0.68)
    every = -(-len(amounts) // LABELS_MAX)
    start = (WIDTH - room * len(amounts)) / 2

    def y_of(amount: int) -> float:
        return round(TOP + (top - amount) / reach * (HEIGHT - TOP - BOTTOM), 1)

    bars = []
    highest = max(amounts, key=abs)
    for place, amount in enumerate(amounts):
        is_last = place == len(amounts) - 1
        middle = round(start + (place + 0.5) * room, 1)
        is_labelled = (len(amounts) - 1 - place) % every == 0
        upper, lower = min(y_of(amount), y_of(0)), max(y_of(amount), y_of(0))
        bars.append(
            HistoryBar(
                x=round(middle - wide / 2, 1),
                y=upper,
                width=round(wide, 1),
                height=max(round(lower - upper, 1), 1.0),
                middle=middle,
                label=labels[place] if is_labelled else "",
                figure=grouped(amount, decimals).partition(".")[0] if is_last or amount == highest else "",
                title=titles[place],
                is_last=is_last,
            )
        )
    earlier = amounts[:-1]
    mean = y_of(sum(earlier) // len(earlier)) if len(earlier) > 1 else None
    return HistoryChart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, y_of(0), mean, tuple(bars))
