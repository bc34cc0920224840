"""The form of a table of numbers by unit: `values` in `pools.toml`, or a CSV file with a day, a unit and a number."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path

from allocation_engine.rule_table import RuleTable
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.errors import DocumentError, Fault

_NUMBER = re.compile(r"\d{1,9}(\.\d{1,6})?\Z")
_COLUMNS = ["day", "unit", "number"]
ALWAYS = date.min
NumberText = tuple[str, str, str]
"""A day, a unit or group, and its number from that day on, as written."""


def read_numbers(path: Path) -> list[NumberText]:
    """Read every line of a CSV file; raises DocumentError with the line of each mistake."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(path=str(path), line=1, problem=f"cannot be read: {error}", mend="give a UTF-8 text file")
        raise DocumentError((fault,)) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    header = [cell.strip() for cell in next(csv.reader([numbered[0][1]]))] if numbered else []
    if header != _COLUMNS:
        mend = f"write {','.join(_COLUMNS)} in the first line"
        raise DocumentError((Fault(path=str(path), line=1, problem=f"the columns are {header}", mend=mend),))
    rows: list[NumberText] = []
    last: dict[str, str] = {}
    faults: list[Fault] = []
    for number, line in numbered[1:]:
        day, subject, text, *_ = [*(cell.strip() for cell in next(csv.reader([line]))), "", "", ""]
        problem = _problem(day, text, last.get(subject))
        if problem is None:
            rows.append((day, subject, text))
            last[subject] = day
        else:
            mend = "write lines such as 2026-07-01,a101,12"
            faults.append(Fault(path=str(path), line=number, problem=problem, mend=mend))
    if faults:
        raise DocumentError(tuple(faults))
    return rows


def read_unit_numbers(table: RuleTable, rows: Iterable[NumberText], known: frozenset[str]) -> UnitNumbers:
    """Give the numbers that `table` describes; `rows` are those of its file, whose days and numbers have been checked.

    known   ids that numbers may be given for: units and groups
    """
    name = table.identifier("name")
    days: dict[str, list[tuple[date, Fraction]]] = {}
    if table.has("values") == table.has("file"):
        table.fault("", f"{name} needs either values or a file", 'write values = { a101 = "12" } or file = "x.csv"')
    elif table.has("file"):
        table.text("file")
        for day, subject, text in rows:
            days.setdefault(subject, []).append((date.fromisoformat(day), Fraction(text)))
    else:
        for subject, number in _values(table):
            days[subject] = [(ALWAYS, number)]
    for subject in sorted(set(days) - known):
        table.fault("values" if table.has("values") else "file", f"{subject!r} is no unit or group", "name known ones")
    missing = table.choice("missing", MissingNumber) if table.has("missing") else MissingNumber.REFUSE
    return UnitNumbers(
        name=name,
        unit=table.text("unit"),
        source=table.text("source"),
        # What always holds is never missing: from its first day on, it is the number of every day.
        missing=MissingNumber.PREVIOUS if table.has("values") and missing is MissingNumber.REFUSE else missing,
        review_by=table.optional_day("review_by"),
        is_metered=table.flag("metered") if table.has("metered") else False,
        days={subject: tuple(one) for subject, one in days.items()},
        names=table.names("names") if table.has("names") else (),
    )


def _values(table: RuleTable) -> Iterator[tuple[str, Fraction]]:
    values = table.table("values")
    for subject in values.keys:
        number = values.number(subject)
        if number.numerator < 0:
            values.fault(subject, f"{subject} is negative", "a weight is 0 or more")
            number = Fraction(0)
        yield subject, number


def _problem(day: str, text: str, before: str | None) -> str | None:
    try:
        date.fromisoformat(day)
    except ValueError:
        return f"{day!r} is no day"
    if not _NUMBER.match(text):
        return f"{text!r} is no number from 0 on"
    if before is not None and day <= before:
        return f"{day} does not come after {before}"
    return None
