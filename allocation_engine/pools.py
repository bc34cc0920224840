"""What is shared, by which rule, between whom. Every pool states its class, its metering path and its rule.

How each rule turns a pool into lines is in `shares.py` (must and negotiated) and `metered.py` (exclusive).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

from allocation_engine.formula import Formula
from metering.identity import NodeId, PartyId, PoolId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis


class PoolClass(StrEnum):
    """必摊 must, 协商 negotiated, 独用 exclusive: who has to pay, and on which ground."""

    MUST = "must"
    NEGOTIATED = "negotiated"
    EXCLUSIVE = "exclusive"


class Grain(StrEnum):
    """The span within which weights are constant: cost of a day is shared by that day's weights, or all at once."""

    DAY = "day"
    PERIOD = "period"


class Measure(StrEnum):
    """Which energy of a node counts: what it took from the grid, or that less what it gave back."""

    IMPORT = "import"
    NET = "net"

    @property
    def registers(self) -> tuple[Obis, ...]:
        """The registers it is made of: the first counts, the second is taken off."""
        return (ENERGY_IMPORT,) if self is Measure.IMPORT else (ENERGY_IMPORT, ENERGY_EXPORT)


class Fallback(StrEnum):
    """Who pays where all weights are zero; a pool without one refuses the run."""

    OWNER = "owner"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class OwnUseRule:
    """The own meter of each of `units` to whoever occupied the unit, slot by slot; vacancy to the owner."""

    units: tuple[UnitId, ...]


@dataclass(frozen=True, slots=True)
class DirectRule:
    """The path's meters to whoever occupied `unit`, slot by slot."""

    unit: UnitId


@dataclass(frozen=True, slots=True)
class AreaRule:
    """By floor area x occupied slots, over `units`."""

    units: tuple[UnitId, ...]
    grain: Grain
    fallback: Fallback | None


@dataclass(frozen=True, slots=True)
class PassThroughRule:
    """A formula says which part of the cost is passed on; the residual bearer pays the rest.

    formula        linear in `main_delta`, the cost of the path in one grain span
    floors         stage one: each floor with its units, which share the floor's part by area x occupied slots
    passed_on_max  most of the cost that may be passed on, above 0 and at most 1; below 0 nothing is
    residual       who pays what is not passed on
    """

    formula: Formula
    floors: tuple[tuple[str, tuple[UnitId, ...]], ...]
    grain: Grain
    passed_on_max: Fraction
    residual: PartyId


Rule = OwnUseRule | DirectRule | AreaRule | PassThroughRule


@dataclass(frozen=True, slots=True)
class Pool:
    """One shared amount.

    path         nodes whose energy is the pool; empty for own use, whose paths are the units' own meters
    deduct       nodes below the path whose energy is taken off, because it is charged elsewhere
    valid_from   local days on which the rule holds; `valid_to` is no longer included, None while it holds
    review_by    from this local day on, a run warns that the rule is overdue for review
    agreement    what a negotiated pool rests on
    """

    id: PoolId
    names: tuple[tuple[str, str], ...]
    pool_class: PoolClass
    path: tuple[NodeId, ...]
    deduct: tuple[NodeId, ...]
    measure: Measure
    rule: Rule
    valid_from: date
    valid_to: date | None
    review_by: date | None
    agreement: str | None
