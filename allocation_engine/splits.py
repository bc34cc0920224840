"""Who takes part in a common cost, with which part of each grain span; what all rules for shares have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from allocation_engine.key_steps import KeyStep
from allocation_engine.pricing import PricedPeriod
from metering.identity import PartyId, UnitId

RESIDUAL = "residual"
NONE = Fraction(0)
ONE = Fraction(1)
Span = tuple[date, int, int]
"""A grain span: its first local day, and its slots first <= slot < end."""
Parts = dict[str, Fraction]
"""Part of one span's cost by share id; they add up to 1."""


@dataclass(frozen=True, slots=True)
class Share:
    """Who takes part: a party in a unit, with its occupied slots per grain span; or the residual bearer (unit None)."""

    party: PartyId
    unit: UnitId | None
    area_cm2: int
    slots: tuple[int, ...]

    @property
    def id(self) -> str:
        """Stable id within the pool: ties go to the smaller one."""
        return f"{self.unit or RESIDUAL}/{self.party}"


@dataclass(frozen=True, slots=True)
class Split:
    """The shares of a pool and their parts per grain span, with what drove them.

    steps   by share id, how its parts came about; empty where area and slots say it all
    """

    shares: dict[str, Share]
    parts: list[Parts]
    inputs: list[tuple[tuple[str, str, date], ...]]
    fallback: str | None
    steps: dict[str, tuple[KeyStep, ...]] = field(default_factory=dict)


def shares_of(priced: PricedPeriod, units: Sequence[UnitId], spans: Sequence[Span]) -> dict[str, Share]:
    """Give everyone who held one of `units`, by share id."""
    shares = {}
    for unit in sorted(units):
        for party, ones in priced.occupants(unit).items():
            slots = tuple(
                sum(max(0, min(one.end, end) - max(one.first, first)) for one in ones) for _, first, end in spans
            )
            share = Share(party, unit, priced.inputs.unit(unit).area_cm2, slots)
            shares[share.id] = share
    return shares
