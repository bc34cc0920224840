"""The form of a daily series: a CSV file with a day and one number per line; lines that start with # are remarks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from pathlib import Path

from allocation_engine.rule_table import RuleTable
from allocation_engine.series import DailySeries, MissingDay
from metering.errors import DocumentError, Fault

_NUMBER = re.compile(r"-?\d{1,9}(\.\d{1,6})?\Z")
DayText = tuple[str, str]
"""A day and its number as written."""


def read_days(path: Path, column: str) -> list[DayText]:
    """Read `day` and `column` of every line; raises DocumentError with the line of each mistake."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(path=str(path), line=1, problem=f"cannot be read: {error}", mend="give a UTF-8 text file")
        raise DocumentError((fault,)) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    header = next(csv.reader([numbered[0][1]])) if numbered else []
    if "day" not in header or column not in header:
        fault = Fault(
            path=str(path), line=1, problem=f"no columns day and {column}", mend="name them in the first line"
        )
        raise DocumentError((fault,))
    places = header.index("day"), header.index(column)
    days: list[DayText] = []
    faults: list[Fault] = []
    for number, line in numbered[1:]:
        cells = next(csv.reader([line]))
        day, text = (cells[place].strip() if place < len(cells) else "" for place in places)
        problem = _problem(day, text, days)
        if problem is None:
            days.append((day, text))
        else:
            mend = "write lines such as 2026-07-01,31.5"
            faults.append(Fault(path=str(path), line=number, problem=problem, mend=mend))
    if faults:
        raise DocumentError(tuple(faults))
    return days


def read_series(table: RuleTable, days: Iterable[DayText]) -> DailySeries:
    """Give the series that `table` describes; its days have been checked."""
    known = tuple((date.fromisoformat(day), Fraction(text)) for day, text in days)
    return DailySeries(
        name=table.text("name"),
        unit=table.text("unit"),
        source=table.text("source"),
        missing_day=table.choice("missing_day", MissingDay),
        days=known,
        names=table.names("names") if table.has("names") else (),
        bounds=_bounds(table, known) if table.has("range") else (None, None),
    )


def _bounds(table: RuleTable, days: tuple[tuple[date, Fraction], ...]) -> tuple[Fraction | None, Fraction | None]:
    """Read `range = ["-20", "45"]`: what the series can be at all, which proofs about formulas rest on."""
    content = table.raw("range")
    if not isinstance(content, list) or len(content) != 2 or not all(_is_number(one) for one in content):
        table.fault("range", f"range is {content!r}", 'write the least and the most: range = ["-20", "45"]')
        return None, None
    low, high = (Fraction(one) for one in content)
    outside = [f"{day}: {number}" for day, number in days if not low <= number <= high]
    if low > high or outside:
        told = f"{outside[0]} lies outside" if outside else "the least is above the most"
        table.fault("range", f"range is {content!r}, and {told}", "widen it, or correct the series")
    return low, high


def _is_number(one: object) -> bool:
    return isinstance(one, str) and _NUMBER.match(one) is not None


def _problem(day: str, text: str, earlier: list[DayText]) -> str | None:
    try:
        date.fromisoformat(day)
    except ValueError:
        return f"{day!r} is no day"
    if not _NUMBER.match(text):
        return f"{text!r} is no number"
    if earlier and day <= earlier[-1][0]:
        return f"{day} does not come after {earlier[-1][0]}"
    return None
