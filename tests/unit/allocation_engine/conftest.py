"""Builders of small periods: a few nodes, units and slots, with rules read the way stored rules are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from allocation_engine.evidence import PointEvidence
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.intervals import SlotQuality
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from metering.identity import NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
"""Midnight of 1 July 2026 in Shanghai."""
OWNER = PartyId("owner")
Energy = int | Sequence[int]


def build_inputs(
    *,
    energy: Mapping[str, Energy],
    parents: Mapping[str, str] | None = None,
    export: Mapping[str, Energy] | None = None,
    units: Mapping[str, tuple[int, str | None]] | None = None,
    let: Iterable[tuple[str, str, int, int]] = (),
    quality: Mapping[tuple[str, int], SlotQuality] | None = None,
    slots: int = 8,
    start: datetime = MIDNIGHT,
    evidence: tuple[PointEvidence, ...] = (),
    accuracy_ppm: int = 10_000,
) -> PeriodInputs:
    """Give the inputs of a period of `slots` quarter hours.

    energy    slot energy per node [Wh]: one number for every slot, or one each
    parents   of each node; the others are at the top
    units     area [cm2] and own node
    let       (unit, party, first slot, end slot); the rest is vacant
    """
    nodes = list(energy)
    lettable = tuple(
        LettableUnit(UnitId(one), area, NodeId(node) if node else None) for one, (area, node) in (units or {}).items()
    )
    occupancies = tuple(Occupancy(UnitId(unit), PartyId(party), first, end) for unit, party, first, end in let)
    qualities = np.zeros((len(nodes), slots), np.uint8)
    for (node, slot), one in (quality or {}).items():
        qualities[nodes.index(node), slot] = one
    up = parents or {}
    return PeriodInputs(
        site=SiteId("park"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(start, start + slots * timedelta(minutes=15)),
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(
            TreeNode(
                id=NodeId(node),
                kind=NodeKind.END if node in up else NodeKind.MAIN,
                parents=(ParentSpan(0, slots, NodeId(up[node]) if node in up else None),),
                accuracy_ppm=accuracy_ppm,
            )
            for node in nodes
        ),
        import_wh=_matrix(nodes, energy, slots),
        export_wh=_matrix(nodes, export or {}, slots),
        quality=qualities,
        exceptions=(),
        evidence=evidence,
        units=lettable,
        occupancies=fill_vacancies(lettable, occupancies, OWNER, slots),
    )


def build_rules(
    inputs: PeriodInputs,
    *pools: Mapping[str, Any],
    rates: Mapping[str, str] | None = None,
    hours: Mapping[str, Sequence[str]] | None = None,
    tmax: Mapping[str, str] | None = None,
    missing_day: str = "refuse",
) -> Rules:
    """Give rules over the ids of `inputs`; without rates, every kilowatt-hour costs 0.50 yuan."""
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({one.party for one in inputs.occupancies} | {inputs.owner}),
        owner=inputs.owner,
        currency="CNY",
    )
    season = {"months": list(range(1, 13)), **(hours or {"flat": ["00:00-24:00"]})}
    version = {"id": "v-1", "from": "2026-01-01", "rates": dict(rates or {"flat": "0.50"}), "seasons": [season]}
    series = {
        "name": "tmax",
        "unit": "C",
        "file": "weather.csv",
        "column": "tmax_c",
        "source": "a made-up station",
        "missing_day": missing_day,
    }
    common = {"names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
    document = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": {"format": 1, "series": [series], "pools": [{**common, **pool} for pool in pools]},
        "series": {"tmax": [[day, number] for day, number in (tmax or {}).items()]},
    }
    return rules_from_document(document, names)


AREA_POOL = {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "grain": "period"}
OWN_USE_POOL = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all"}
FORMULA_POOL = {
    "id": "lobby",
    "class": "negotiated",
    "agreement": "resolution 4",
    "rule": "formula",
    "reading": "pass-through",
    "formula": "main_delta * (floor_area / total_area) * (tmax - 26) / 10",
    "clamp": ["0", "1"],
    "residual": "owner",
    "path": ["lobby"],
    "grain": "day",
}


def _matrix(nodes: Sequence[str], energy: Mapping[str, Energy], slots: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    matrix = np.zeros((len(nodes), slots), np.int64)
    for node, one in energy.items():
        matrix[nodes.index(node)] = one
    return matrix


@pytest.fixture
def make_inputs() -> Callable[..., PeriodInputs]:
    """Builds inputs; see `build_inputs`."""
    return build_inputs


@pytest.fixture
def make_rules() -> Callable[..., Rules]:
    """Builds rules; see `build_rules`."""
    return build_rules


@pytest.fixture
def area_pool() -> dict[str, Any]:
    """A must pool over node `lift`, by area, without fallback."""
    return dict(AREA_POOL)


@pytest.fixture
def own_use_pool() -> dict[str, Any]:
    """Own use of all units."""
    return dict(OWN_USE_POOL)


@pytest.fixture
def formula_pool() -> dict[str, Any]:
    """The customer's lobby formula over node `lobby`; give it `floors`."""
    return dict(FORMULA_POOL)
