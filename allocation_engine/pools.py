"""What is shared, by which rule, between whom. Every pool states its class, its metering path and its rule.

How each rule turns a pool into lines is in `shares.py` (must and negotiated) and `metered.py` (exclusive).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fractions import Fraction

from allocation_engine.agreements import AgreementTerms
from allocation_engine.formula.proven import Formula
from allocation_engine.keys import DemandMethod, EstimateLimit, Stage
from allocation_engine.media import Medium
from allocation_engine.tariff import MAIN_TARIFF
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import NodeId, PartyId, PoolId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, GAS_VOLUME, HEAT_ENERGY, WATER_VOLUME, Obis


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
    """What of a node counts: energy it took, that less what it gave back, or what came of another medium."""

    IMPORT = "import"
    NET = "net"
    WATER = "water"
    GAS = "gas"
    HEAT = "heat"

    @property
    def registers(self) -> tuple[Obis, ...]:
        """The registers it is made of: the first counts, the second is taken off."""
        return _REGISTERS[self]

    @property
    def medium(self) -> Medium:
        """What flows through the nodes that are so measured."""
        return Medium.ELECTRICITY if self in (Measure.IMPORT, Measure.NET) else Medium(self.value)


_REGISTERS = {
    Measure.IMPORT: (ENERGY_IMPORT,),
    Measure.NET: (ENERGY_IMPORT, ENERGY_EXPORT),
    Measure.WATER: (WATER_VOLUME,),
    Measure.GAS: (GAS_VOLUME,),
    Measure.HEAT: (HEAT_ENERGY,),
}


class Fallback(StrEnum):
    """Who pays where all weights are zero; a pool without one refuses the run."""

    OWNER = "owner"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class OwnUseRule:
    """The own meter of each of `units` to whoever occupied the unit, slot by slot; vacancy to the owner.

    meters   the nodes of the units' meters of another medium; empty where they are the units' own nodes
    """

    units: tuple[UnitId, ...]
    meters: tuple[tuple[UnitId, NodeId], ...] = ()
    _nodes: Mapping[UnitId, NodeId] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_nodes", dict(self.meters))

    def node_of(self, unit: UnitId, own: NodeId | None) -> NodeId | None:
        """Give the node that counts for `unit`, whose own node is `own`."""
        return self._nodes.get(unit) if self.meters else own


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
    floors         stage one: each floor (or each unit by itself) with its units, which share its part by area x
                   occupied slots
    passed_on_max  most of the cost that may be passed on, above 0 and at most 1; below 0 nothing is
    residual       who pays what is not passed on
    """

    formula: Formula
    floors: tuple[tuple[str, tuple[UnitId, ...]], ...]
    grain: Grain
    passed_on_max: Fraction
    residual: PartyId


@dataclass(frozen=True, slots=True)
class SpreadingRule:
    """A formula gives weights; the whole cost of each grain span is divided by them.

    formula   what a unit, or its floor, weighs in a slot; `main_delta` in it is the cost of the day
    floors    each floor with its units, which share what it weighs by area; empty where the formula knows no floors
    """

    formula: Formula
    units: tuple[UnitId, ...]
    floors: tuple[tuple[str, tuple[UnitId, ...]], ...]
    grain: Grain
    fallback: Fallback | None


@dataclass(frozen=True, slots=True)
class StandingRule:
    """A fixed amount for each of `units` and month, by occupied time. [10^-6 currency units per month]"""

    units: tuple[UnitId, ...]
    per_month_micro: int


@dataclass(frozen=True, slots=True)
class MinimumRule:
    """At least so much for each of `units` and month, by occupied time: what the lines of `pool` fall short of it.

    per_month_micro   [10^-6 currency units per month]
    """

    pool: PoolId
    units: tuple[UnitId, ...]
    per_month_micro: int


@dataclass(frozen=True, slots=True, eq=False)
class KeyedRule:
    """By keys, stage by stage, over `units`.

    stages      from the outermost to the occupants of units; groups of each lie within groups of the one before
    estimates   when what is measured counts no longer; None where it always does
    """

    units: tuple[UnitId, ...]
    stages: tuple[Stage, ...]
    grain: Grain
    fallback: Fallback | None
    estimates: EstimateLimit | None


@dataclass(frozen=True, slots=True, eq=False)
class DemandRule:
    """By demand, over `units`.

    peak_of      nodes whose sum decides when the peak was, and its load factor; empty for the sum of the units' meters
    contracted   by unit, for the contracted method; else None
    """

    units: tuple[UnitId, ...]
    method: DemandMethod
    peak_of: tuple[NodeId, ...]
    contracted: UnitNumbers | None
    grain: Grain
    fallback: Fallback | None


FormulaRule = PassThroughRule | SpreadingRule
Rule = OwnUseRule | DirectRule | AreaRule | FormulaRule | StandingRule | MinimumRule | KeyedRule | DemandRule


@dataclass(frozen=True, slots=True)
class Pool:
    """One shared amount.

    path         nodes whose energy is the pool; empty for own use, whose paths are the units' own meters
    deduct       nodes below the path whose energy is taken off, because it is charged elsewhere
    valid_from   local days on which the rule holds; `valid_to` is no longer included, None while it holds
    review_by    from this local day on, a run warns that the rule is overdue for review
    agreement    what a negotiated pool rests on
    charge       the supply charge that is the cost, instead of the energy of a path; None where it is energy
    tariff       what prices the energy
    terms        how long the agreement holds, and what holds without it; None where nothing is said
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
    charge: str | None = None
    tariff: str = MAIN_TARIFF
    terms: AgreementTerms | None = None
