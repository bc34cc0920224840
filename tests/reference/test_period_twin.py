"""A second engine, slow and plain: every line of a period, slot by slot, in fractions and dictionaries.

It shares no code with the engine but the types of its inputs. Both must give the same fen on every line.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
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

START = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
DAYS = 3
SLOTS = DAYS * 96
RATES = {"valley": 289_113, "peak": 1_084_700}
TMAX = ["24.9", "30.7", "41.3"]
UNITS = 6
OWNER = "owner"


@dataclass(frozen=True)
class PlainPeriod:
    """The facts as plain lists and dictionaries."""

    energy: dict[str, list[int]]
    areas: dict[str, int]
    occupant: dict[str, list[str]]
    floors: dict[str, list[str]]


def plain_period(seed: int) -> PlainPeriod:
    """A random site: loads of any size, handovers and vacancies at any slot."""
    draw = np.random.default_rng(seed)
    units = [f"unit-{index}" for index in range(UNITS)]
    nodes = [*(f"n-{unit}" for unit in units), "lift", "pump", "lobby", "lab"]
    scale = int(draw.choice([3, 400, 20_000]))
    occupant = {}
    for unit in units:
        cuts = [0, *sorted(int(cut) for cut in draw.integers(1, SLOTS, 3)), SLOTS]
        who = [str(draw.choice(["t-1", "t-2", "t-3", OWNER])) for _ in range(4)]
        occupant[unit] = [one for one, a, b in zip(who, cuts, cuts[1:], strict=False) for _ in range(b - a)]
    return PlainPeriod(
        energy={node: [int(wh) for wh in draw.integers(0, scale, SLOTS)] for node in nodes},
        areas={unit: int(draw.integers(1, 5_000_000)) for unit in units},
        occupant=occupant,
        floors={"f-1": units[:2], "f-2": units[2:3], "f-3": units[3:]},
    )


def rate_of(slot: int) -> int:
    """Peak from 07:00 to 22:00 local time."""
    return RATES["peak"] if 28 <= slot % 96 < 88 else RATES["valley"]


def rounded(exact_minor: Fraction) -> int:
    """Half up; nothing is negative here."""
    return floor(exact_minor + Fraction(1, 2))


def minor(energy_wh: int, slot: int) -> Fraction:
    """Cost of some energy in one slot [fen], exactly."""
    return Fraction(energy_wh * rate_of(slot), 10**7)


def metered(period: PlainPeriod, unit: str, node: str) -> dict[str, int]:
    """What each occupant of `unit` owes for `node`."""
    exact: dict[str, Fraction] = defaultdict(Fraction)
    for slot in range(SLOTS):
        exact[period.occupant[unit][slot]] += minor(period.energy[node][slot], slot)
    return {f"{unit}/{party}": rounded(cost) for party, cost in exact.items()}


def shared(exact: dict[str, Fraction]) -> dict[str, int]:
    """Divide the rounded sum of exact shares by largest remainder, ties by id."""
    total = sum(exact.values())
    cost = rounded(total)
    if total == 0:
        return dict.fromkeys(exact, 0)
    quotas = {one: cost * share / total for one, share in exact.items()}
    odd = cost - sum(floor(quota) for quota in quotas.values())
    lucky = sorted(quotas, key=lambda one: (floor(quotas[one]) - quotas[one], one))[:odd]
    return {one: floor(quota) + (one in lucky) for one, quota in quotas.items()}


def by_area(period: PlainPeriod, nodes: list[str]) -> dict[str, int]:
    """The must pool: all units, all slots at once."""
    cost = sum((minor(period.energy[node][slot], slot) for node in nodes for slot in range(SLOTS)), Fraction(0))
    whole = sum(period.areas.values()) * SLOTS
    exact: dict[str, Fraction] = defaultdict(Fraction)
    for unit, occupants in period.occupant.items():
        for party in occupants:
            exact[f"{unit}/{party}"] += cost * Fraction(period.areas[unit], whole)
    return shared(exact)


def by_formula(period: PlainPeriod) -> dict[str, int]:
    """The lobby: day by day, floors by area, units by area and slots; the owner bears what is not passed on."""
    exact: dict[str, Fraction] = defaultdict(Fraction)
    total_area = sum(period.areas.values())
    for day in range(DAYS):
        slots = range(day * 96, day * 96 + 96)
        cost = sum((minor(period.energy["lobby"][slot], slot) for slot in slots), Fraction(0))
        passed_on = min(max((Fraction(TMAX[day]) - 26) / 10, Fraction(0)), Fraction(1))
        exact[f"residual/{OWNER}"] += cost * (1 - passed_on)
        for units in period.floors.values():
            floor_area = sum(period.areas[unit] for unit in units)
            floor_cost = cost * passed_on * Fraction(floor_area, total_area)
            for unit in units:
                for slot in slots:
                    share = Fraction(period.areas[unit], floor_area * 96)
                    exact[f"{unit}/{period.occupant[unit][slot]}"] += floor_cost * share
    return shared(exact)


def twin(period: PlainPeriod) -> dict[str, int]:
    """Every line of the period [fen]."""
    lines = {}
    for unit in period.areas:
        lines |= {f"own/{one}": amount for one, amount in metered(period, unit, f"n-{unit}").items()}
    lines |= {f"must/{one}": amount for one, amount in by_area(period, ["lift", "pump"]).items()}
    lines |= {f"lobby/{one}": amount for one, amount in by_formula(period).items()}
    lines |= {f"lab/{one}": amount for one, amount in metered(period, "unit-2", "lab").items()}
    return lines


def to_inputs(period: PlainPeriod) -> PeriodInputs:
    """The same facts as the engine takes them."""
    units = tuple(LettableUnit(UnitId(unit), area, NodeId(f"n-{unit}")) for unit, area in period.areas.items())
    let = []
    for unit, occupants in period.occupant.items():
        first = 0
        for slot in range(1, SLOTS + 1):
            if slot == SLOTS or occupants[slot] != occupants[first]:
                if occupants[first] != OWNER:
                    let.append(Occupancy(UnitId(unit), PartyId(occupants[first]), first, slot))
                first = slot
    energy = np.array(list(period.energy.values()), np.int64)
    top = (ParentSpan(0, SLOTS, None),)
    return PeriodInputs(
        site=SiteId("twin"),
        label="2026-07-01--2026-07-03",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(START, START + timedelta(days=DAYS)),
        site_hash=bytes(32),
        owner=PartyId(OWNER),
        nodes=tuple(TreeNode(NodeId(one), NodeKind.END, top, 10_000) for one in period.energy),
        import_wh=energy,
        export_wh=np.zeros_like(energy),
        quality=np.zeros(energy.shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, let, PartyId(OWNER), SLOTS),
    )


def engine(period: PlainPeriod) -> dict[str, int]:
    """Every line of the period [fen], by the engine."""
    inputs = to_inputs(period)
    common = {"names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
    pools: list[dict[str, Any]] = [
        {"id": "own", "class": "exclusive", "rule": "own-use", "units": "all"},
        {"id": "must", "class": "must", "rule": "area", "path": ["lift", "pump"], "units": "all", "grain": "period"},
        {
            "id": "lobby",
            "class": "negotiated",
            "agreement": "resolution 4",
            "rule": "formula",
            "reading": "pass-through",
            "formula": "main_delta * (floor_area / total_area) * (tmax - 26) / 10",
            "clamp": ["0", "1"],
            "residual": OWNER,
            "path": ["lobby"],
            "grain": "day",
            "floors": period.floors,
        },
        {"id": "lab", "class": "exclusive", "rule": "direct", "path": ["lab"], "unit": "unit-2"},
    ]
    season = {"months": list(range(1, 13)), "valley": ["22:00-07:00"], "peak": ["07:00-22:00"]}
    rates = {"valley": "0.289113", "peak": "1.0847"}
    series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "made up", "missing_day": "refuse"}
    document = {
        "tariff": {
            "format": 1,
            "currency": "CNY",
            "versions": [{"id": "v-1", "from": "2026-01-01", "rates": rates, "seasons": [season]}],
        },
        "pools": {"format": 1, "series": [series], "pools": [{**common, **pool} for pool in pools]},
        "series": {"tmax": [[f"2026-07-0{day + 1}", TMAX[day]] for day in range(DAYS)]},
    }
    names = SiteNames(
        nodes=frozenset(map(NodeId, period.energy)),
        units={UnitId(unit): NodeId(f"n-{unit}") for unit in period.areas},
        parties=frozenset(map(PartyId, ("t-1", "t-2", "t-3", OWNER))),
        owner=PartyId(OWNER),
        currency="CNY",
    )
    run = close_period(inputs, rules_from_document(document, names))
    return {line.id: line.amount_minor for line in run.lines}


@pytest.mark.parametrize("seed", range(12))
def test_two_engines_give_the_same_fen_on_every_line(seed: int) -> None:
    period = plain_period(seed)
    assert engine(period) == twin(period)
