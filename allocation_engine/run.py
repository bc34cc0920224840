"""The immutable result of one period: balance, cases, pools, lines, and for each line why it is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from allocation_engine.caps import ComplianceCheck
from allocation_engine.costs import CostStep
from allocation_engine.key_steps import KeyStep
from allocation_engine.loss_trace import LossTrace
from allocation_engine.plain import plain
from allocation_engine.pools import PoolClass
from allocation_engine.service_costs import MethodOutcome, ServiceCost
from allocation_engine.tariff import MAIN_TARIFF, Band
from allocation_engine.taxes import TaxShown
from allocation_engine.tiers import TierPiece
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval


class LineKind(StrEnum):
    """What a line is.

    Metered: somebody's own registers. Charge: a price that is no price of energy. Share: a part of a common cost.
    Loss: a part of the losses of the site's own wires. Residual: what nobody else was charged.
    """

    METERED = "metered"
    CHARGE = "charge"
    SHARE = "share"
    LOSS = "loss"
    RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class MeteredTrace:
    """How a metered line came about: registers over spans, priced by band, rounded once.

    nodes, deduct      whose energy counts, and whose is taken off
    spans              slots [first, end) in which the party occupied the unit
    cost_nano          sum over bands of energy x rate [10^-9 currency units]; rounded half away from zero
    slots_by_quality   how many node-slots of each quality the energy rests on
    tiers              where the party stood in tiers; what they add is part of `cost_nano`
    """

    nodes: tuple[NodeId, ...]
    deduct: tuple[NodeId, ...]
    measure: str
    spans: tuple[tuple[int, int], ...]
    cost_nano: int
    slots_by_quality: tuple[tuple[str, int], ...]
    tiers: tuple[TierPiece, ...] = ()


@dataclass(frozen=True, slots=True)
class ChargeTrace:
    """How a charge came about: the sum of its steps, rounded once.

    of   ids of the party's own lines whose amounts the first step takes up; empty where it takes up none
    """

    steps: tuple[CostStep, ...]
    of: tuple[str, ...]


ANY_LINE = "~"
"""Comes after every line id."""


@dataclass(frozen=True, slots=True)
class ShareTrace:
    """How a share came about: amount = floor(|cost| x weight / total), plus 1 where the remainder reaches the cut.

    remainder      (|cost| x weight) mod total; ties go to the smaller line id
    cut_remainder  from which remainder on lines got 1 extra; 0 when nobody did
    cut_id         with just this remainder, line ids up to this got it: ANY_LINE unless equal remainders were told
                   apart by id; "" when nobody got 1 extra
    area_cm2       area that stands behind the weight [cm2]; 0 for a residual
    slots          occupied slots behind the weight; 0 for a residual
    keys           how the weight came about where area and slots do not say it all
    """

    line_id: str
    weight: int
    total_weight: int
    remainder: int
    extra: bool
    cut_remainder: int
    cut_id: str
    area_cm2: int
    slots: int
    keys: tuple[KeyStep, ...] = ()


Trace = MeteredTrace | ChargeTrace | ShareTrace | LossTrace
"""How a line came about."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one party owes for one pool and unit (None for a residual).

    band_energy_wh   [Wh] in the order of `Run.bands`
    amount_minor     in minor units; negative is a credit
    """

    pool: PoolId
    party: PartyId
    unit: UnitId | None
    kind: LineKind
    band_energy_wh: tuple[int, ...]
    amount_minor: int
    trace: Trace

    @property
    def id(self) -> str:
        """Stable id: pool, unit (or `residual`) and party."""
        return f"{self.pool}/{self.unit or 'residual'}/{self.party}"


@dataclass(frozen=True, slots=True)
class DayShare:
    """One day of a pass-through pool: the number that drove it and the part of the cost that was passed on.

    inputs        series name, number as decimal text, and the day it was observed on
    passed_on     numerator and denominator of the part passed on, after the clamp
    """

    day: date
    cost_nano: int
    inputs: tuple[tuple[str, str, date], ...]
    passed_on: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PoolResult:
    """The cost of one pool, as split by the lines that name it.

    cost_nano     exact cost [10^-9 currency units]; of metered pools the sum over their lines
    cost_minor    what the lines add up to: the exact cost rounded once (metered pools: each line rounded once)
    charged_minor without the residual
    fallback      which fallback stepped in, in words; None where none did
    steps         of a cost that is not only energy by band: a supply charge, or what tiers add
    tariff        what prices the energy
    charge        the supply charge that is the cost; None where it is energy
    ground        the agreement or clause that the rule rests on, in words
    service       what it received from other pools and passed on to them; None where pools do not serve each other
    """

    id: PoolId
    names: tuple[tuple[str, str], ...]
    pool_class: PoolClass
    path: tuple[NodeId, ...]
    deduct: tuple[NodeId, ...]
    band_energy_wh: tuple[int, ...]
    cost_nano: int
    cost_minor: int
    charged_minor: int
    days: tuple[DayShare, ...]
    fallback: str | None
    steps: tuple[CostStep, ...] = ()
    tariff: str = MAIN_TARIFF
    charge: str | None = None
    ground: str = ""
    service: ServiceCost | None = None


@dataclass(frozen=True, slots=True)
class NodeBalance:
    """Energy of one node over the period, and of its children while they hung below it [Wh].

    net_wh       import - export
    children_wh  sum of the children's net; None for a node without children
    loss_wh      net - children; None for a node without children
    band_wh      largest |loss| that accuracy explains; None for a node without children
    day_loss_wh  loss of each local day; empty for a node without children
    """

    node: NodeId
    import_wh: int
    export_wh: int
    net_wh: int
    children_wh: int | None
    loss_wh: int | None
    band_wh: int | None
    day_loss_wh: tuple[int, ...]
    slots_by_quality: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A node whose loss accuracy does not explain; the run cannot be approved without a recorded reason."""

    node: NodeId
    loss_wh: int
    band_wh: int
    text: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the top of the tree cost against what the pools charge; the rest stays with the owner.

    supply_minor   import of the top nodes at the tariff, rounded once
    pooled_minor   sum of all pools
    unshared_minor losses and loads in no pool: supply + charges - pooled
    charges_minor  what the supplier charges beside energy, each charge rounded once
    """

    supply_wh: int
    supply_minor: int
    pooled_minor: int
    unshared_minor: int
    charges_minor: int


@dataclass(frozen=True, slots=True)
class Run:
    """One closed period. `id` is the SHA-256 over inputs, rules and engine version, in hexadecimal."""

    id: str
    engine_version: str
    site: SiteId
    label: str
    zone: str
    period: Interval
    currency: str
    site_hash: bytes
    inputs_hash: bytes
    rules_hash: bytes
    bands: tuple[Band, ...]
    balance: tuple[NodeBalance, ...]
    cases: tuple[Case, ...]
    warnings: tuple[str, ...]
    pools: tuple[PoolResult, ...]
    lines: tuple[Line, ...]
    reconciliation: Reconciliation
    taxes: tuple[TaxShown, ...] = ()
    checks: tuple[ComplianceCheck, ...] = ()
    service_methods: tuple[MethodOutcome, ...] = ()
    _by_party: Mapping[PartyId, tuple[Line, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Sorted out once: 30,000 parties ask for theirs.
        found: dict[PartyId, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.party, []).append(line)
        object.__setattr__(self, "_by_party", {party: tuple(lines) for party, lines in found.items()})

    @property
    def approvable(self) -> bool:
        """Say whether the run may be approved without a recorded reason."""
        return not self.cases and all(check.holds for check in self.checks)

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """Everyone who has a line, sorted."""
        return tuple(sorted(self._by_party))

    def lines_of(self, party: PartyId) -> tuple[Line, ...]:
        """Give the lines of one party."""
        return self._by_party.get(party, ())

    def total_minor(self, party: PartyId) -> int:
        """Sum of a party's lines [minor units]; totals are sums and never rounded again."""
        return sum(line.amount_minor for line in self.lines_of(party))

    def to_document(self) -> dict[str, Any]:
        """Give plain JSON-able content; the same run gives the same document."""
        document: dict[str, Any] = plain(self)
        for line, content in zip(self.lines, document["lines"], strict=True):
            content["id"] = line.id
        return {**document, "approvable": self.approvable}
