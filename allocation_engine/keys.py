"""Keys: what a cost is divided by, and through which stages. Types only.

`drivers.py` and `demand_split.py` turn them into whole weights, `stages.py` the weights into parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

from allocation_engine.series import DailySeries
from allocation_engine.tariff import MAIN_TARIFF
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import NodeId, UnitId


class Driver(StrEnum):
    """What the engine itself knows of a unit; every driver counts only in the slots in which a party held the unit.

    Load is the mean load rate: metered power as a part of rated power. Equal counts time alone.
    """

    AREA = "area"
    EQUAL = "equal"
    ENERGY = "energy"
    LOAD = "load"


@dataclass(frozen=True, slots=True, eq=False)
class DegreeDays:
    """Weighs each day by how far a series lies above (or below) a base; days on the other side weigh nothing."""

    series: DailySeries
    base: Fraction
    is_above: bool

    def on(self, day: date) -> Fraction:
        """Give the weight of local `day`; raises SeriesIncomplete."""
        distance = self.series.on(day).number - self.base
        return max(distance if self.is_above else -distance, Fraction(0))


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One part of a cost, and the product of factors that it is divided by.

    part         of the cost; the parts of all keys of a stage add up to 1
    drivers      of the engine, at least one; at most one of energy and load
    numbers      from outside, multiplied in
    rated        rated power [kW], for the load
    times        time coefficients by band of tariff `times_of`; empty where all hours count alike
    degree_days  weight of each day; None where all days count alike
    meters       what meters a unit for this key, where that is not its own node: a heat meter
    """

    part: Fraction
    drivers: tuple[Driver, ...]
    numbers: tuple[UnitNumbers, ...] = ()
    rated: UnitNumbers | None = None
    times: tuple[tuple[str, Fraction], ...] = ()
    times_of: str = MAIN_TARIFF
    degree_days: DegreeDays | None = None
    meters: tuple[tuple[UnitId, NodeId], ...] = ()

    @property
    def measures(self) -> bool:
        """Say whether it counts the units' own registers."""
        return Driver.ENERGY in self.drivers or Driver.LOAD in self.drivers

    @property
    def is_metered(self) -> bool:
        """Say whether it divides by anything measured, by registers or by hand."""
        return self.measures or any(one.is_metered for one in self.numbers)

    @property
    def is_daily(self) -> bool:
        """Say whether its factors may change from day to day."""
        return bool(self.numbers) or self.rated is not None or self.degree_days is not None

    @property
    def text(self) -> str:
        """The factors in words: `area x persons`."""
        factors = [*self.drivers, *(one.name for one in self.numbers)]
        if self.times:
            factors.append("times")
        if self.degree_days is not None:
            factors.append(f"degree-days of {self.degree_days.series.name}")
        return " x ".join(str(one) for one in factors)


@dataclass(frozen=True, slots=True)
class Group:
    """Units that a stage counts as one, e.g. a floor; `node` meters them all, None where their own meters add up."""

    id: str
    units: tuple[UnitId, ...]
    node: NodeId | None


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One step of a division: between `groups`, or (where there are none) between the occupants of units."""

    name: str
    keys: tuple[Key, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class EstimateLimit:
    """When too much area is estimated, what is measured counts no longer and only the other keys do.

    area_max   largest part of the area that may be estimated
    slots_max  a unit counts as estimated once more than this part of its slots is
    source     the clause it comes from
    """

    area_max: Fraction
    slots_max: Fraction
    source: str


class DemandMethod(StrEnum):
    """What stands for the demand of a unit, by quarter hours.

    Coincident: its part of the peak of all. Non-coincident: its own peak. Average and excess: its mean for as much as
    the load factor of all, its peak above that mean for the rest. Contracted: what its contract says.
    """

    COINCIDENT = "coincident"
    NON_COINCIDENT = "non-coincident"
    AVERAGE_AND_EXCESS = "average-and-excess"
    CONTRACTED = "contracted"
