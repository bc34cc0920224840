"""Tables that rules refer to by name: a site's own file of that name, or one that is shipped.

What a name meant goes into the stored rules with its content, so that a later version of a shipped table changes no
stored rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from allocation_engine.calendar_days import HolidayCalendar
from allocation_engine.power_factor import HUNDREDTHS, AdjustmentRange, AdjustmentTable
from allocation_engine.rule_table import RuleTable
from metering.errors import DocumentError, Fault
from metering.identity import IdentifierInvalid, check_identifier
from metering.toml_source import TomlSource

SHIPPED = "allocation_engine.tables"


@dataclass
class Tables:
    """Finds tables by name: beside the rules in `directory`, in `stored` rules, or shipped; `used` keeps them.

    directory   None where rules are read from the store; then only `stored` counts
    """

    directory: Path | None
    stored: Mapping[str, Any]
    faults: list[Fault]
    used: dict[str, TomlSource] = field(default_factory=dict)

    def open(self, owner: RuleTable, key: str) -> RuleTable | None:
        """Open the table that `key` of `owner` names; None, and a mistake there, if there is none."""
        name = owner.text(key)
        if not name:
            return None
        try:
            source = self.used.get(name) or self._find(check_identifier(name))
        except DocumentError as error:
            self.faults.extend(error.faults)
            return None
        except (FileNotFoundError, IdentifierInvalid, KeyError) as error:
            problem = f"there is no table {name!r}: neither a file {name}.toml here nor a shipped one"
            owner.fault(key, problem, f"shipped: {', '.join(shipped_tables())} ({type(error).__name__})")
            return None
        self.used[name] = source
        return RuleTable(source, (), source.content, self.faults)

    def _find(self, name: str) -> TomlSource:
        if self.directory is None:
            return TomlSource(f"stored {name}", self.stored[name], {})
        own = self.directory / f"{name}.toml"
        if own.exists():
            return TomlSource.read(own)
        if name not in shipped_tables():
            raise FileNotFoundError(name)
        with as_file(files(SHIPPED).joinpath(f"{name}.toml")) as path:
            return TomlSource.read(path)


def shipped_tables() -> list[str]:
    """List the names of the shipped tables."""
    return sorted(one.name.removesuffix(".toml") for one in files(SHIPPED).iterdir() if one.name.endswith(".toml"))


def read_calendar(root: RuleTable) -> HolidayCalendar:
    """Read a table of holidays by year."""
    holidays: dict[date, str] = {}
    years: set[int] = set()
    workdays: set[date] = set()
    for table in root.tables("years"):
        year = table.raw("year")
        table.text("source")
        if type(year) is not int:
            table.fault("year", f"year is {year!r}", "write a year such as 2026")
            year = None
        else:
            years.add(year)
        workdays.update(_days(table, "workdays"))
        for holiday in table.tables("holidays"):
            first, last = holiday.day("first"), holiday.day("last")
            name = holiday.identifier("id")
            holiday.names("names")
            if not first <= last or (year is not None and {first.year, last.year} != {year}):
                told = "no days" if year is None else f"no days of {year}"
                holiday.fault("first", f"{first} to {last} are {told}", "first and last are both included")
                continue
            for ordinal in range(first.toordinal(), last.toordinal() + 1):
                holidays[date.fromordinal(ordinal)] = name
    for day in sorted(workdays & set(holidays)):
        root.fault("years", f"{day} is a holiday and a workday", "a worked weekend lies outside the holiday")
    calendar_id = root.identifier("id")
    root.has("format")
    root.close()
    return HolidayCalendar(calendar_id, frozenset(years), tuple(sorted(holidays.items())), frozenset(workdays))


def read_adjustment(root: RuleTable, standard: str, day: date) -> AdjustmentTable | None:
    """Read the ranges of one standard; None, and a mistake, where the table has no such standard or begins later."""
    source = root.text("source")
    root.identifier("id")
    root.has("format")
    if root.day("from") > day:
        root.fault("from", f"the table does not hold on {day} yet", "name the table that held then")
    found: AdjustmentTable | None = None
    known = []
    for table in root.tables("standards"):
        name = table.text("standard")
        known.append(name)
        ranges = tuple(_range(one) for one in table.tables("ranges"))
        covered = sorted(h for one in ranges for h in range(one.first, one.last + 1))
        if covered != list(range(HUNDREDTHS + 1)):
            table.fault("ranges", "the ranges do not hold each of 0 to 100 once", "first and last are both included")
        if name == standard:
            found = AdjustmentTable(name, source, ranges)
    root.close()
    if found is None:
        root.fault("standards", f"no standard {standard!r}", f"known: {', '.join(known)}")
    return found


def _range(table: RuleTable) -> AdjustmentRange:
    first, last = (table.raw(key) for key in ("first", "last"))
    if type(first) is not int or type(last) is not int:
        table.fault("first", f"{first!r} to {last!r} are no hundredths", "write whole hundredths, 0 to 100")
        first, last = 0, 0
    return AdjustmentRange(first, last, table.number("at_last"), table.number("step"))


def _days(table: RuleTable, key: str) -> list[date]:
    content = table.raw(key) if table.has(key) else []
    found = []
    for one in content if isinstance(content, list) else []:
        try:
            found.append(one if isinstance(one, date) else date.fromisoformat(one))
        except (TypeError, ValueError):
            table.fault(key, f"{one!r} is no day", "write days such as 2026-02-14")
    return found
