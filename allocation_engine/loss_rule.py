"""What a site agreed about its losses: that they are shared, how, and what a transformer loses without load."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from metering.identity import NodeId, PartyId, PoolId, UnitId

LOSS_POOL = PoolId("loss")
"""The id of the pool that the losses are; no other pool may have it."""


class LossMethod(StrEnum):
    """How loss is shared. Pro rata in each slot is what a feeder's physics asks for (ADR 0051)."""

    PER_SLOT = "per-slot"


class NoLoadKey(StrEnum):
    """By what the no-load part is shared among the units below."""

    AREA = "area"
    CAPACITY = "capacity"


@dataclass(frozen=True, slots=True)
class NoLoad:
    """What a node loses even when nobody draws, as the transformer's plate or test report says.

    wh_per_day   [Wh per day of 24 hours]
    capacities   contracted capacity of units [VA]; empty unless `key` is CAPACITY
    """

    node: NodeId
    wh_per_day: int
    key: NoLoadKey
    capacities: tuple[tuple[UnitId, int], ...]
    source: str


@dataclass(frozen=True, slots=True)
class LossRule:
    """That losses are shared, from which day, and who bears what nobody's own energy carried."""

    names: tuple[tuple[str, str], ...]
    method: LossMethod
    bearer: PartyId
    no_load: tuple[NoLoad, ...]
    valid_from: date
    valid_to: date | None
    review_by: date | None
