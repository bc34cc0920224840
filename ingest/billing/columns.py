"""The columns of a published line, each with its type and where its content comes from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from ingest.store.feed import Entry, Row

Content = str | int | Decimal | datetime | None


class Type(StrEnum):
    """What a column holds. Decimals are exact: eighteen digits before the point, nine after it."""

    TEXT = "text"
    WHOLE = "whole"
    DECIMAL = "decimal"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. seen_with: the native fields it tells of; whoever may not see one of them does not get it.

    of_entry   content that is the same for all lines of a publication; of_line otherwise
    """

    name: str
    type: Type
    seen_with: tuple[str, ...]
    of_entry: Callable[[Entry], Content] | None = None
    of_line: Callable[[Entry, Row], Content] | None = None

    def of(self, entry: Entry, row: Row) -> Content:
        """Give the content for one line."""
        if self.of_entry is not None:
            return self.of_entry(entry)
        assert self.of_line is not None, "a column has one source"
        return self.of_line(entry, row)


ALLOCATION, CORRECTION = "allocation", "correction"
RESIDUAL = "residual"


def line_id(row: Row) -> str:
    """Give the id of a line within its period: pool, unit (or `residual`) and party."""
    return f"{row[1]}/{row[3] or RESIDUAL}/{row[2]}"


def feed_id(entry: Entry, row: Row) -> str:
    """Give the id that a published line keeps for ever."""
    return f"{entry.key}-{row[0]}"


def quantity(_: Entry, row: Row) -> int | None:
    """Sum the amounts of all bands [base units]; None of a correction."""
    return None if row[6] is None else sum(_amounts(row[6]))


def unit_of_quantity(entry: Entry, row: Row) -> str | None:
    """Give the base unit of `quantity`: that of the bands the line draws from."""
    if row[6] is None:
        return None
    if entry.has_one_unit:
        return entry.units[0]
    units = {unit for unit, amount in zip(entry.units, _amounts(row[6]), strict=False) if amount} or {*entry.units[:1]}
    return units.pop() if len(units) == 1 else None


def _amounts(listed: str) -> Iterable[int]:
    """Read a list of whole numbers: three times as fast as by a parser of JSON, and there is one for each line."""
    inside = listed[1:-1]
    return map(int, inside.split(",")) if inside else ()


def _entry(name: str, kind: Type, of: Callable[[Entry], Content]) -> Column:
    return Column(name, kind, (name,), of_entry=of)


def _line(name: str, kind: Type, of: Callable[[Entry, Row], Content]) -> Column:
    return Column(name, kind, (name,), of_line=of)


NATIVE: tuple[Column, ...] = (
    _line("id", Type.TEXT, feed_id),
    _entry("kind", Type.TEXT, lambda entry: ALLOCATION if entry.corrects is None else CORRECTION),
    _entry("site", Type.TEXT, lambda entry: entry.site),
    _entry("period", Type.TEXT, lambda entry: entry.period),
    _entry("starts_at", Type.INSTANT, lambda entry: entry.starts_at),
    _entry("ends_at", Type.INSTANT, lambda entry: entry.ends_at),
    _entry("published_at", Type.INSTANT, lambda entry: entry.published_at),
    _entry("run", Type.TEXT, lambda entry: entry.run),
    _entry("corrects", Type.TEXT, lambda entry: entry.corrects),
    _line("line", Type.TEXT, lambda _, row: line_id(row)),
    _line("pool", Type.TEXT, lambda _, row: row[1]),
    _line("party", Type.TEXT, lambda _, row: row[2]),
    _line("unit", Type.TEXT, lambda _, row: row[3]),
    _line("line_kind", Type.TEXT, lambda _, row: row[4]),
    _line("amount_minor", Type.WHOLE, lambda _, row: row[5]),
    _entry("currency", Type.TEXT, lambda entry: entry.currency),
    _line("quantity", Type.WHOLE, quantity),
    _line("quantity_unit", Type.TEXT, unit_of_quantity),
)
"""A line in our own words; the fields of `GET /v1/allocations`."""
