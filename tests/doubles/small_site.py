"""A site of any size with a pool of every kind: own use, a minimum, area, stages, demand, a formula, two services."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from allocation_engine.facts import Facts
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.rules import SiteNames
from allocation_engine.rules_file import rules_from_document
from metering.identity import NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

MIDNIGHT = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
"""Midnight of 1 July 2026 in Shanghai."""
OWNER = PartyId("owner")
POOL_NODES = ("lift", "stairs", "peak", "lobby", "boiler", "pump", "spare")
TIMES = {"low": "0.5", "high": "1.75"}


def drawn_facts(seed: int, *, units: int = 6, days: int = 2, floors: int = 2, wh_max: int | None = None) -> Facts:
    """Draw facts and rules; some units stand empty, some take nothing, some have no area.

    wh_max   largest energy of a slot; drawn as well if nobody says [Wh]
    """
    chance = random.Random(seed)
    inputs = drawn_inputs(chance, seed, units, days, wh_max)
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({one.party for one in inputs.occupancies} | {OWNER}),
        owner=OWNER,
        currency="CNY",
    )
    return Facts(inputs, rules_from_document(drawn_rules(chance, inputs, days, floors), names), names)


def drawn_inputs(chance: random.Random, seed: int, units: int, days: int, wh_max: int | None = None) -> PeriodInputs:
    """Draw energies, areas and tenancies."""
    slots = days * 96
    own = [f"m-{number:05d}" for number in range(units)]
    names = [*own, *POOL_NODES]
    scale = chance.choice([4, 900, 10**6]) if wh_max is None else wh_max
    energy = np.random.default_rng(seed).integers(0, scale, (len(names), slots), np.int64)
    energy[chance.randrange(units)] = 0
    areas = [chance.choice([0, 45_0000, 80_5000, chance.randint(1, 10**7)]) for _ in own]
    lettable = tuple(
        LettableUnit(UnitId(f"u-{number:05d}"), area, NodeId(own[number])) for number, area in enumerate(areas)
    )
    return PeriodInputs(
        site=SiteId("small"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(MIDNIGHT, MIDNIGHT + timedelta(days=days)),
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(TreeNode(NodeId(one), NodeKind.END, (ParentSpan(0, slots, None),), 10_000) for one in names),
        import_wh=energy,
        export_wh=np.zeros_like(energy),
        quality=np.zeros(energy.shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=lettable,
        occupancies=fill_vacancies(lettable, tuple(_let(chance, lettable, slots)), OWNER, slots),
    )


def _let(chance: random.Random, units: Sequence[LettableUnit], slots: int) -> Iterator[Occupancy]:
    for number, unit in enumerate(units):
        if chance.random() < 0.85:
            moved = chance.randrange(1, slots) if chance.random() < 0.1 else slots
            yield Occupancy(unit.id, PartyId(f"t-{number // 2:05d}"), 0, moved)
            if moved < slots and chance.random() < 0.5:
                yield Occupancy(unit.id, PartyId(f"n-{number:05d}"), moved, slots)


def drawn_rules(chance: random.Random, inputs: PeriodInputs, days: int, floors: int) -> dict[str, Any]:
    """Give a document with a pool of every kind."""
    units = [unit.id for unit in inputs.units]
    groups = {f"f-{number:03d}": list(units[number::floors]) for number in range(floors)}
    pools = [{key: part for key, part in {**_COMMON, **pool}.items() if part} for pool in _pools(chance, groups)]
    metered = {"class": "exclusive", "rule": "own-use", "id": "own-use", "units": "all", "measure": "import"}
    minimum = {"class": "exclusive", "rule": "minimum", "id": "least", "units": "all", "pool": "own-use"}
    dated = {"from": "2026-01-01", "names": {"zh": "池", "en": "pool"}}
    pools = [{**dated, **metered}, {**dated, **minimum, "per_month": "5"}, *pools]
    numbers = {unit: str(chance.randint(0, 9)) for unit in units}
    rated = {unit: f"{chance.randint(1, 40) * 5 / 10:.1f}" for unit in units}
    tables = [{"name": "persons", "values": numbers}, {"name": "rated", "values": rated}]
    usage = [{"pool": "boiler", "by": {"pump": "0.25"}}, {"pool": "pump", "by": {"boiler": "0.5"}}]
    season = {"months": list(range(1, 13)), "low": ["22:00-07:00"], "high": ["07:00-22:00"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": {"low": "0.289113", "high": "1.0847"}, "seasons": [season]}
    series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "made up", "missing_day": "refuse"}
    return {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": {
            "format": 1,
            "series": [series],
            "unit_numbers": [{**one, "unit": "1", "source": "made up"} for one in tables],
            "pools": pools,
            "services": {"method": "reciprocal", "order": ["boiler", "pump"], "usage": usage},
        },
        "series": {"tmax": [[f"2026-07-{day:02d}", str(chance.randint(24, 36))] for day in range(1, days + 1)]},
    }


_COMMON = {
    "class": "negotiated",
    "agreement": "house rules",
    "units": "all",
    "measure": "import",
    "from": "2026-01-01",
    "names": {"zh": "池", "en": "pool"},
}


def _pools(chance: random.Random, groups: dict[str, list[UnitId]]) -> Iterator[dict[str, Any]]:
    stages = [
        {"name": "floor", "keys": [{"by": ["energy"]}], "groups": groups},
        {"name": "lease", "keys": [{"by": ["area", "load"], "rated": "rated", "times": TIMES}]},
    ]
    grain, fallback = chance.choice(["day", "period"]), chance.choice(["owner", "equal"])
    yield {"id": "lift", "rule": "keys", "path": ["lift"], "stages": stages, "grain": grain, "fallback": fallback}
    yield {"id": "stairs", "rule": "area", "path": ["stairs"], "grain": "period", "fallback": "owner"}
    method = chance.choice(["coincident", "non-coincident", "average-and-excess"])
    yield {"id": "peak", "rule": "demand", "method": method, "path": ["peak"], "grain": grain, "fallback": "owner"}
    for name, keys in (
        ("boiler", [{"part": "0.7", "by": ["energy"]}, {"part": "0.3", "by": ["area"]}]),
        ("pump", [{"by": ["persons"], "degree_days": {"series": "tmax", "above": "26"}}]),
    ):
        yield {"id": name, "rule": "keys", "path": [name], "keys": keys, "grain": "period", "fallback": "owner"}
    yield {
        "id": "lobby",
        "rule": "formula",
        "reading": "pass-through",
        "formula": "main_delta * (floor_area / total_area) * (tmax - 26) / 10",
        "clamp": ["0", "1"],
        "residual": "owner",
        "path": ["lobby"],
        "grain": "day",
        "floors": groups,
        "units": None,
    }
