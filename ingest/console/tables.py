"""Tables as a page shows them and as a spreadsheet takes them: each cell has a text to read and a plain one. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from ingest.console.rendering import grouped, money

_BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets take Chinese in UTF-8 for another encoding."""
SHORT = 9
"""Signs of the longest Chinese name that is worth a line of its own."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and what a spreadsheet gets; `is_number` is set to the right."""

    text: str
    plain: str
    is_number: bool = False
    tone: str = ""

    @property
    def is_short(self) -> bool:
        """Say whether the text stays on one line even in a narrow column: a name, a word, a number."""
        return self.is_number or len(self.text) <= SHORT


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `wide` are the places (from 0) of columns that a phone leaves out."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    wide: frozenset[int] = frozenset()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Say of each column whether it holds numbers."""
        return tuple(any(row[place].is_number for row in self.rows) for place in range(len(self.columns)))

    def to_csv(self) -> bytes:
        """Give the table for spreadsheets (RFC 4180, UTF-8); a text that looks like a formula is quoted away."""
        lines = io.StringIO()
        writer = csv.writer(lines)
        writer.writerow(self.columns)
        writer.writerows([one.plain if one.is_number else _inert(one.plain) for one in row] for row in self.rows)
        return (_BYTE_ORDER_MARK + lines.getvalue()).encode()


def words_cell(text: str, plain: str | None = None, tone: str = "") -> Cell:
    """Make a cell of words."""
    return Cell(text, text if plain is None else plain, tone=tone)


def number_cell(number: int | None, decimals: int) -> Cell:
    """Make a cell of `number` x 10^-`decimals`; a dash where there is none."""
    if number is None:
        return Cell("–", "", is_number=True)
    return Cell(grouped(number, decimals), _decimal(number, decimals), is_number=True)


def money_cell(amount_minor: int | None, currency: str, digits: int) -> Cell:
    """Make a cell of an amount in minor units, of which `digits` are decimals; a dash where there is none."""
    if amount_minor is None:
        return Cell("–", "", is_number=True)
    return Cell(money(amount_minor, currency), _decimal(amount_minor, digits), is_number=True)


def table(key: str, title: str, columns: Iterable[str], rows: Iterable[Iterable[Cell]], **parts: object) -> Table:
    """Make a table."""
    return Table(key, title, tuple(columns), tuple(tuple(row) for row in rows), **parts)  # type: ignore[arg-type]


def _decimal(number: int, decimals: int) -> str:
    digits = str(abs(number)).rjust(decimals + 1, "0")
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"-{text}" if number < 0 else text


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
