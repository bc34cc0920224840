"""A small made-up site for formulas: two floors, three units, tables, series and definitions of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from allocation_engine.formula.proven import Formula, check_formula
from allocation_engine.formula.setting import Definition, Reading, Setting, Sources
from allocation_engine.formula.syntax import parse_formula
from allocation_engine.formula.terms import Sentence
from allocation_engine.series import DailySeries, MissingDay
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.identity import NodeId, UnitId

UNITS = (UnitId("a"), UnitId("b"), UnitId("c"))
FLOORS = {"f-1": (UnitId("a"), UnitId("b")), "f-2": (UnitId("c"),)}
NODES = frozenset(map(NodeId, ("chiller", "pump", "u-a")))
TIMES = (("day", Fraction(2)), ("night", Fraction(1, 2)))


def table(name: str, unit: str, numbers: Mapping[str, str], zh: str = "", *, zero: bool = False) -> UnitNumbers:
    """A table of numbers that always hold."""
    days = {one: ((date.min, Fraction(number)),) for one, number in numbers.items()}
    missing = MissingNumber.ZERO if zero else MissingNumber.PREVIOUS
    return UnitNumbers(name, unit, "made up", missing, None, False, days, (("en", name), ("zh", zh)) if zh else ())


def series(name: str, unit: str, low: str | None = None, high: str | None = None) -> DailySeries:
    """A daily series without days; its bounds as declared."""
    bounds = (None if low is None else Fraction(low), None if high is None else Fraction(high))
    return DailySeries(name, unit, "made up", MissingDay.REFUSE, (), (), bounds)


TABLES = {
    one.name: one
    for one in (
        table("persons", "persons", {"a": "2", "b": "5", "c": "0"}, "人数"),
        table("rated", "kW", {"a": "1.5", "b": "2", "c": "0.8"}, "额定功率"),
        table("contract", "kVA", {"a": "10", "b": "20", "c": "5"}),
        table("floor-part", "1", {"f-1": "0.4", "f-2": "0.6"}, "楼层系数"),
        table("parking", "places", {"a": "1"}, zero=True),
        table("partly", "1", {"a": "1", "b": "1"}),
        table("none", "1", {"a": "0", "b": "0", "c": "0"}),
    )
}
SERIES = {
    one.name: one
    for one in (
        series("tmax", "C"),
        series("humid", "%", "0", "100"),
        series("bounded", "C", "10", "20"),
        series("price", "yuan/kWh", "0.2", "2"),
    )
}


def sources(definitions: Mapping[str, str] | None = None) -> Sources:
    """All of it, with definitions as text by name."""
    empty = Sentence(parse_formula("0", Sources(TABLES, SERIES, {}, NODES).vocabulary).term)
    known = {name: Definition(name, (), empty) for name in definitions or {}}
    words = Sources(TABLES, SERIES, known, NODES).vocabulary
    read = {name: Definition(name, (), parse_formula(text, words)) for name, text in (definitions or {}).items()}
    return Sources(TABLES, SERIES, read, NODES)


def setting(reading: str = "spreading", definitions: Mapping[str, str] | None = None, **changes: Any) -> Setting:
    """A pool over the whole site that declares everything a formula may need."""
    given: dict[str, Any] = {
        "sources": sources(definitions),
        "reading": Reading(reading),
        "units": UNITS,
        "floors": FLOORS,
        "times": TIMES,
        "rated": TABLES["rated"],
        "clips": True,
        "falls_back": True,
    }
    return Setting(**(given | changes))


def checked(text: str, reading: str = "spreading", **changes: Any) -> Formula:
    """A formula over the site, proven."""
    where = setting(reading, **changes)
    return check_formula(parse_formula(text, where.sources.vocabulary), where)


VOCABULARY = sources().vocabulary
