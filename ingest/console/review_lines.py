"""Lines of a run beside those of another, as rows of a page and as tables for spreadsheets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from allocation_engine.money import minor_digits
from ingest.console.rendering import kwh, money, percent
from ingest.console.review_words import review_words
from ingest.console.tables import Cell, Table, money_cell, table, words_cell
from ingest.console.words import Language, words
from ingest.review.sheet import LineChange
from ingest.review_desk import Kept


class Differing(Protocol):
    """A line that differs, of a difference or of a correction."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def pool(self) -> str:
        """Its pool."""

    @property
    def party(self) -> str:
        """Who pays it."""

    @property
    def unit(self) -> str | None:
        """For which unit."""

    @property
    def before_minor(self) -> int:
        """What it was."""

    @property
    def after_minor(self) -> int:
        """What it is."""

    @property
    def delta_minor(self) -> int:
        """By how much it differs."""

    @property
    def causes(self) -> tuple[tuple[str, int], ...]:
        """What makes up the difference."""


class LineRows:
    """Turns lines of a sheet into rows of a page, and into a table for spreadsheets."""

    def __init__(self, kept: Kept, language: Language, outliers: frozenset[int], touched: frozenset[str]) -> None:
        self._kept = kept
        self._word = {**words(language), **review_words(language)}
        self._names = kept.sheet.names[str(language)]
        self._pools = {pool["id"]: dict(pool["names"]).get(language, pool["id"]) for pool in kept.document["pools"]}
        self._currency = str(kept.document["currency"])
        self._outliers = outliers
        self._touched = touched

    @property
    def pools(self) -> list[tuple[str, str]]:
        """Give the pools to choose from."""
        return [(pool, str(name)) for pool, name in self._pools.items()]

    def row(self, line: LineChange, energy_wh: int | None) -> dict[str, Any]:
        """Give what a page shows of a line."""
        marks = []
        if line.number is None:
            marks.append((self._word["line-gone"], "plain"))
        elif line.before is None and self._kept.sheet.before is not None:
            marks.append((self._word["line-new"], "info"))
        if line.number in self._outliers:
            marks.append((self._word["line-outlier"], "warn"))
        if line.id in self._touched:
            marks.append((self._word["line-provisional"], "warn"))
        has_before = line.before is not None
        return {
            "id": line.id,
            "party": self._names.get(line.party, line.party),
            "unit": "" if line.unit is None else self._names.get(f"/{line.unit}", line.unit),
            "pool": self._pools.get(line.pool, line.pool),
            "kind": self._word.get(f"line-{line.kind}", line.kind),
            "energy": "" if energy_wh is None else kwh(energy_wh),
            "before": money(line.before_minor, self._currency) if has_before else "–",
            "amount": money(line.amount_minor, self._currency) if line.number is not None else "–",
            "delta": money_signed(line.delta_minor, self._currency),
            "percent": _percent(line),
            "tone": "up" if line.delta_minor > 0 else "down" if line.delta_minor < 0 else "",
            "marks": marks,
        }

    def csv(self, lines: Sequence[LineChange]) -> Table:
        """Give lines for spreadsheets."""
        word, digits = self._word, minor_digits(self._currency)
        rows = (
            [
                words_cell(line.id),
                words_cell(str(self._pools.get(line.pool, line.pool)), line.pool),
                words_cell(self._names.get(line.party, line.party)),
                words_cell("" if line.unit is None else self._names.get(f"/{line.unit}", line.unit)),
                words_cell(line.kind),
                money_cell(None if line.before is None else line.before_minor, self._currency, digits),
                money_cell(None if line.number is None else line.amount_minor, self._currency, digits),
                money_cell(line.delta_minor, self._currency, digits),
                words_cell("1" if line.number in self._outliers else ""),
                words_cell("1" if line.id in self._touched else ""),
            ]
            for line in lines
        )
        names = (
            "lines",
            "pool",
            "party",
            "unit",
            "kind",
            "before",
            "now",
            "change",
            "line-outlier",
            "line-provisional",
        )
        return table("lines", word["lines"], (word[one] for one in names), rows)

    def money(self, amount_minor: int) -> str:
        """Write an amount."""
        return money(amount_minor, self._currency)


def difference_table(
    lines: Iterable[Differing], kept: Kept, language: Language, cause_word: Callable[[str], str]
) -> Table:
    """Show lines that differ between two runs, or that a correction changed, each with its causes."""
    word = {**words(language), **review_words(language)}
    names, currency = kept.sheet.names[str(language)], str(kept.document["currency"])
    digits = minor_digits(currency)
    rows = (
        [
            words_cell(names.get(line.party, line.party), line.id),
            words_cell("–" if line.unit is None else names.get(f"/{line.unit}", line.unit), line.unit or ""),
            words_cell(line.pool),
            money_cell(line.before_minor, currency, digits),
            money_cell(line.after_minor, currency, digits),
            Cell(money_signed(line.delta_minor, currency), money_cell(line.delta_minor, currency, digits).plain, True),
            words_cell(", ".join(f"{cause_word(cause)} {money_signed(part, currency)}" for cause, part in line.causes)),
        ]
        for line in lines
    )
    heads = ("party", "unit", "pool", "before", "now", "change", "cause")
    return table("differences", word["diff-lines"], (word[one] for one in heads), rows, wide=frozenset({2, 3}))


def money_signed(amount_minor: int, currency: str) -> str:
    """Write a difference with its sign and that of its currency."""
    return ("+" if amount_minor > 0 else "") + money(amount_minor, currency)


def _percent(line: LineChange) -> str:
    if line.number is None or not line.before_minor:
        return ""
    return ("+" if line.delta_minor > 0 else "") + percent(line.delta_minor, abs(line.before_minor))
