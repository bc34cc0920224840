"""The lines of a run beside those of the period before: sorted, filtered, and turned page by page.

A sheet is made once for a run and kept: a run never changes, so only which run is the one before can. Turning a page of
ten thousand lines takes milliseconds, whatever it is sorted by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

PAGE = 50
"""Lines on a page."""
GONE = "gone"
"""Kind of a line that the run before had, and this one has not."""


class LineChange(NamedTuple):
    """A line and what it was in the period before [minor units].

    number   place in the run; None for a line that only the run before has
    before   its place there; None where it is new. Amounts are 0 where there is no line
    """

    number: int | None
    before: int | None
    pool: str
    party: str
    unit: str | None
    kind: str
    amount_minor: int
    before_minor: int

    @property
    def delta_minor(self) -> int:
        """What it is more than before; negative: less."""
        return self.amount_minor - self.before_minor

    @property
    def id(self) -> str:
        """The id of the line, as a statement has it."""
        return f"{self.pool}/{self.unit or 'residual'}/{self.party}"


class Order(StrEnum):
    """What lines are sorted by."""

    CHANGE = "change"
    UP = "up"
    DOWN = "down"
    PERCENT = "percent"
    AMOUNT = "amount"
    PARTY = "party"
    RUN = "run"


class Only(StrEnum):
    """Which lines are looked at."""

    ALL = "all"
    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"
    OUTLIER = "outlier"
    PROVISIONAL = "provisional"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines in which order. percent_min: changed at least so much [percent], up or down; page counts from 1."""

    order: Order = Order.CHANGE
    only: Only = Only.ALL
    pool: str = ""
    text: str = ""
    percent_min: int = 0
    page: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of one page, and of all that were asked for: how many, and their sums [minor units]."""

    lines: tuple[LineChange, ...]
    page: int
    pages: int
    count: int
    amount_minor: int
    before_minor: int


@dataclass(frozen=True)
class Sheet:
    """All lines of a run. before: the run they are compared with, None where there is none.

    names   of parties by id and of units by `/id`, by language: searched beside the ids
    """

    run: str
    before: str | None
    before_period: str
    lines: tuple[LineChange, ...]
    names: Mapping[str, Mapping[str, str]]
    _texts: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def select(
        self,
        asked: Asked,
        language: str,
        *,
        outliers: Collection[int] = frozenset(),
        provisional: Collection[str] = frozenset(),
    ) -> list[LineChange]:
        """Give the lines that were asked for, in order; `outliers` are numbers of lines, `provisional` ids."""
        wanted = _FILTERS[asked.only]
        lines: Sequence[LineChange] = self.lines
        if asked.text.strip():
            words = asked.text.casefold().split()
            texts = self._searched(language)
            lines = [line for line, text in zip(lines, texts, strict=True) if all(word in text for word in words)]
        found = [
            line
            for line in lines
            if (not asked.pool or line.pool == asked.pool)
            and wanted(line, outliers, provisional)
            and (not asked.percent_min or _moved(line, asked.percent_min))
        ]
        if asked.order is Order.PARTY:
            names = self.names.get(language, {})
            found.sort(key=lambda line: (names.get(line.party, line.party), line.pool, line.unit or ""))
        elif asked.order is not Order.RUN:
            found.sort(key=_KEYS[asked.order])
        return found

    def page(self, asked: Asked, found: Sequence[LineChange], size: int = PAGE) -> Page:
        """Cut a page out of lines that were selected; a page beyond the last is the last."""
        pages = max(1, -(-len(found) // size))
        number = min(max(asked.page, 1), pages)
        return Page(
            lines=tuple(found[(number - 1) * size : number * size]),
            page=number,
            pages=pages,
            count=len(found),
            amount_minor=sum(line.amount_minor for line in found),
            before_minor=sum(line.before_minor for line in found),
        )

    def _searched(self, language: str) -> list[str]:
        texts = self._texts.get(language)
        if texts is None:
            names = self.names.get(language, {})
            texts = [
                " ".join((line.id, names.get(line.party, ""), names.get(f"/{line.unit}", ""))).casefold()
                for line in self.lines
            ]
            self._texts[language] = texts
        return texts


def _moved(line: LineChange, percent: int) -> bool:
    """Say whether a line changed by so much; one that is new or gone has."""
    if not line.before_minor:
        return bool(line.amount_minor)
    return abs(line.delta_minor) * 100 >= abs(line.before_minor) * percent


def _percent_key(line: LineChange) -> tuple[int, int, int]:
    """Order by relative change, largest first: what is new before all that is not, and what did not change last."""
    if not line.before_minor:
        return (0 if line.amount_minor else 2, -abs(line.amount_minor), 0)
    return (1, -abs(line.delta_minor) * 10_000 // abs(line.before_minor), -abs(line.delta_minor))


_KEYS: Mapping[Order, Callable[[LineChange], Any]] = {
    Order.CHANGE: lambda line: -abs(line.amount_minor - line.before_minor),
    Order.UP: lambda line: line.before_minor - line.amount_minor,
    Order.DOWN: lambda line: line.amount_minor - line.before_minor,
    Order.PERCENT: _percent_key,
    Order.AMOUNT: lambda line: -line.amount_minor,
}
_Wanted = Callable[[LineChange, Collection[int], Collection[str]], bool]
_FILTERS: Mapping[Only, _Wanted] = {
    Only.ALL: lambda _line, _outliers, _provisional: True,
    Only.CHANGED: lambda line, _outliers, _provisional: line.amount_minor != line.before_minor,
    Only.NEW: lambda line, _outliers, _provisional: line.before is None,
    Only.GONE: lambda line, _outliers, _provisional: line.number is None,
    Only.OUTLIER: lambda line, outliers, _provisional: line.number in outliers,
    Only.PROVISIONAL: lambda line, _outliers, provisional: line.id in provisional,
}
