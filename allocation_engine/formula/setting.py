"""What a formula may speak of: the sources of a site, and the pool that the formula stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Protocol

from allocation_engine.formula.dimensions import (
    AREA,
    ENERGY,
    MONEY,
    PLAIN,
    POWER,
    Dimension,
    measured_in,
)
from allocation_engine.formula.faults import Choice, FormulaFault, Slip, fault_at
from allocation_engine.formula.ranges import ANY, NOT_NEGATIVE, POSITIVE, Range
from allocation_engine.formula.terms import Sentence
from allocation_engine.formula.vocabulary import Vocabulary
from allocation_engine.series import DailySeries
from allocation_engine.tariff import MAIN_TARIFF
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from metering.identity import NodeId, UnitId


class Reading(StrEnum):
    """The two readings a formula may have: which part is passed on, or how much everybody weighs."""

    PASS_THROUGH = "pass-through"
    SPREADING = "spreading"


class Space(IntEnum):
    """Between whom a term differs."""

    NONE = 0
    FLOOR = 1
    UNIT = 2


class Pace(IntEnum):
    """How often a term may change. Bands are few, so dividing by what changes with them stays exact and cheap."""

    NONE = 0
    DAY = 1
    BAND = 2
    SLOT = 3


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an input is."""

    dimension: Dimension
    space: Space
    pace: Pace
    range: Range
    is_point: bool = False


class _Named(Protocol):
    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Names by language."""


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A named part of formulas."""

    name: str
    names: tuple[tuple[str, str], ...]
    sentence: Sentence


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What all formulas of a site may speak of by name; `bands` are the names of each tariff's bands."""

    numbers: Mapping[str, UnitNumbers]
    series: Mapping[str, DailySeries]
    definitions: Mapping[str, Definition]
    nodes: frozenset[NodeId]
    bands: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words for all of it."""
        return Vocabulary.of(dict(self.words()))

    def words(self) -> Iterator[tuple[str, str]]:
        """Give the site's own names, each with its Chinese name or ""."""
        named: tuple[Mapping[str, _Named], ...] = (self.numbers, self.series, self.definitions)
        for kind in named:
            for name, one in kind.items():
                yield name, dict(one.names).get("zh", "")


NO_SOURCES = Sources({}, {}, {}, frozenset())


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """The pool a formula stands in.

    floors       each floor with its units; empty where the pool knows none
    times        coefficients by band of tariff `times_of`; empty where none are given
    rated        rated power of the units
    unmetered    units without a meter of their own
    is_daily     whether the grain is a day
    clips        whether weights below 0 count as 0
    falls_back   whether somebody is named to pay where all weights are 0
    """

    sources: Sources
    reading: Reading
    units: tuple[UnitId, ...]
    floors: Mapping[str, tuple[UnitId, ...]] = field(default_factory=dict)
    times: tuple[tuple[str, Fraction], ...] = ()
    times_of: str = MAIN_TARIFF
    rated: UnitNumbers | None = None
    unmetered: tuple[UnitId, ...] = ()
    is_daily: bool = True
    clips: bool = False
    falls_back: bool = False

    def meaning(self, name: str, position: int) -> Meaning | FormulaFault | None:
        """Say what an input is, or why it cannot be used here; None for a name that nothing has."""
        if name in self.sources.numbers:
            return self.table_meaning(self.sources.numbers[name], position)
        if name in self.sources.series:
            series = self.sources.series[name]
            unit = measured_in(series.unit)
            low, high = (None if one is None else one * unit.scale for one in series.bounds)
            bounds = Range(low, high)
            return Meaning(unit.dimension, Space.NONE, Pace.DAY, bounds, unit.is_point)
        match name:
            case "main_delta":
                # Of what is passed on it is the whole; as a factor of weights it is the cost of the day.
                pace = Pace.NONE if self.reading is Reading.PASS_THROUGH else Pace.DAY
                return Meaning(MONEY, Space.NONE, pace, NOT_NEGATIVE)
            case "floor_area" if not self.floors:
                return fault_at(Slip.NO_FLOORS, position, name=name)
            case "floor_area":
                return Meaning(AREA, Space.FLOOR, Pace.NONE, POSITIVE)
            case "total_area":
                return Meaning(AREA, Space.NONE, Pace.NONE, POSITIVE)
            case "unit_area":
                return Meaning(AREA, Space.UNIT, Pace.NONE, NOT_NEGATIVE)
            case "times" if not self.times:
                return fault_at(Slip.NEEDS_TIMES, position, name=name)
            case "times":
                known = Range.over(coefficient for _, coefficient in self.times)
                return Meaning(PLAIN, Space.NONE, Pace.BAND, known)
            case "energy" | "load":
                return self._metered(name, position)
        return None

    def _metered(self, name: str, position: int) -> Meaning | FormulaFault:
        if self.unmetered:
            return fault_at(Slip.NO_METER, position, name=name, units=", ".join(sorted(self.unmetered)[:5]))
        if name == "energy":
            return Meaning(ENERGY, Space.UNIT, Pace.SLOT, NOT_NEGATIVE)
        if self.rated is None:
            return fault_at(Slip.NEEDS_RATED, position, name=name)
        if measured_in(self.rated.unit).dimension != POWER:
            table, unit = self.rated.name, self.rated.unit
            return fault_at(Slip.RATED_NO_POWER, position, name=name, table=table, unit=unit)
        rated = self.table_meaning(self.rated, position)
        if not isinstance(rated, Meaning):
            return rated
        if rated.range.may_be_zero:
            what, shown = self.rated.name, Choice(("0 is among them", "其中有 0"))
            return fault_at(Slip.MAY_DIVIDE_BY_ZERO, position, what=what, range=shown)
        return Meaning(PLAIN, Space.UNIT, Pace.SLOT, NOT_NEGATIVE)

    def table_meaning(self, table: UnitNumbers, position: int) -> Meaning | FormulaFault:
        """Say what a table is here: it speaks of units if it knows all of them, else of floors."""
        is_whole = table.missing is MissingNumber.ZERO
        subjects: tuple[str, ...] = self.units
        space = Space.UNIT
        if self.floors and (table.without(self.units) and not table.without(tuple(self.floors))):
            subjects, space = tuple(self.floors), Space.FLOOR
        missing = table.without(subjects)
        if missing and not is_whole:
            return fault_at(Slip.NO_NUMBER, position, name=table.name, subjects=", ".join(missing[:5]))
        unit = measured_in(table.unit)
        found = {(n.numerator, n.denominator) for one in subjects for _, n in table.days.get(one, ())}
        known = [Fraction(*one) * unit.scale for one in (*found, *([(0, 1)] if is_whole else []))]
        bounds = Range.over(known) if subjects else ANY
        return Meaning(unit.dimension, space, _pace(table, subjects), bounds, unit.is_point)


def _pace(table: UnitNumbers, subjects: tuple[str, ...]) -> Pace:
    steady = table.missing is MissingNumber.PREVIOUS and all(len(table.days.get(one, ())) <= 1 for one in subjects)
    return Pace.NONE if steady else Pace.DAY
