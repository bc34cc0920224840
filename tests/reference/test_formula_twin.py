"""Formulas evaluated a second time: one fraction for every unit and quarter hour, added up one by one.

Nothing here uses the engine's arrays, products, blocks or digits; the tree of the formula is all that is shared.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
import pytest

from allocation_engine import formula_split
from allocation_engine.close_period import close_period
from allocation_engine.formula import held
from allocation_engine.formula.dimensions import UNITS as SYMBOLS
from allocation_engine.formula.dimensions import measured_in
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Term
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.pools import PassThroughRule, SpreadingRule
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import ShareTrace
from metering.identity import NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

DAYS, DAY = 3, 96
SLOTS = DAYS * DAY
START = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
OWNER = PartyId("owner")
FLOORS = {"f-1": ["u-1", "u-2"], "f-2": ["u-3"], "f-3": ["u-4", "u-5"]}
UNITS = [unit for units in FLOORS.values() for unit in units]
FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}
TIMES = {"high": "1.5", "low": "0.25"}
RATES = {"high": "1.0847", "low": "0.289113"}

SPREAD = [
    "unit_area * times * load",
    "main_delta * (floor_area / total_area) * (tmax - 26) / 10",
    "unit_area * min(load, 0.5) * times",
    "max(energy - 20 Wh, 0 Wh) * persons",
    "clamp(load * coefficient, 0.1, 0.7) + unit_area / total_area",
    "(energy + 5 Wh) * (times + 1) * (unit_area + 2 m2)",
    "energy * energy / 1 kWh",
    'unit_area * (meter("a") + meter("b") / 3)',
    "floor_share * (tmax - 20) * times",
    "energy / daily / (1 + coefficient)",
    "cooling * unit_area * persons / daily",
    "unit_area * max(tmax - 26, 0) * 123456.789 * energy * energy",
    "(energy - 4 Wh) * (20 - tmax) * (persons - 3 persons)",
    "unit_area / times / (1 + (max(tmax, 20) - 20) / 7)",
]
PASSED_ON = [
    "main_delta * (floor_area / total_area) * (tmax - 26) / 10",
    "main_delta * floor_share * clamp((tmax - 24) / 12, 0, 0.9)",
    "main_delta * max(0.1, floor_area / total_area) / 2",
    "main_delta * (unit_area / total_area) * (30 - tmax) / 8",
    "main_delta * heat * floor_area / total_area",
]


@dataclass(frozen=True)
class PlainSite:
    """Everything by name, as it was drawn."""

    energy: Mapping[str, Sequence[int]]
    occupant: Mapping[str, Sequence[str]]
    area: Mapping[str, int]
    tables: Mapping[str, Mapping[str, Sequence[Fraction]]]
    tmax: Sequence[Fraction]


def plain_site(seed: int) -> PlainSite:
    """Draw a site: a unit may take nothing; energies from a few Wh to what needs more than 64 bits."""
    chance = random.Random(seed)
    size = chance.choice([3, 900, 10**6, 10**10])
    energy = {one: [chance.randint(0, size) for _ in range(SLOTS)] for one in [*UNITS, "a", "b", "lobby"]}
    energy[chance.choice(UNITS)] = [0] * SLOTS
    occupant: dict[str, list[str]] = {}
    for unit in UNITS:
        cuts = sorted({0, SLOTS, *(chance.randrange(SLOTS) for _ in range(chance.randint(0, 3)))})
        held_by: list[str] = []
        for first, end in pairwise(cuts):
            held_by += [chance.choice([OWNER, "t-1", "t-2", "t-3"])] * (end - first)
        occupant[unit] = held_by
    tables = {
        "persons": {unit: [Fraction(chance.randint(0, 9))] * DAYS for unit in UNITS},
        "coefficient": {unit: [Fraction(chance.randint(1, 99), 100)] * DAYS for unit in UNITS},
        "rated": {unit: [Fraction(chance.randint(1, 5000), 1000)] * DAYS for unit in UNITS},
        "floor-share": {floor: [Fraction(chance.randint(1, 99), 100)] * DAYS for floor in FLOORS},
        "daily": {unit: [Fraction(chance.randint(1, 60), 10) for _ in range(DAYS)] for unit in UNITS},
    }
    return PlainSite(
        energy=energy,
        occupant=occupant,
        area={unit: chance.choice([45_0000, 80_5000, chance.randint(1, 10**7)]) for unit in UNITS},
        tables=tables,
        tmax=[Fraction(chance.randint(150, 420), 10) for _ in range(DAYS)],
    )


def rules_of(site: PlainSite, pool: Mapping[str, Any]) -> Rules:
    """The rules of one pool over a drawn site."""
    days = [f"2026-07-0{day + 1}" for day in range(DAYS)]
    units_of = {"persons": "persons", "rated": "kW", "daily": "kW"}
    rows = [
        [days[day], unit, decimal(number)]
        for unit, numbers in site.tables["daily"].items()
        for day, number in enumerate(numbers)
    ]
    tables = [
        {
            "name": name,
            "unit": units_of.get(name, "1"),
            "source": "drawn",
            **(
                {"file": "-", "missing": "previous"}
                if name == "daily"
                else {"values": {one: decimal(numbers[0]) for one, numbers in table.items()}}
            ),
        }
        for name, table in site.tables.items()
    ]
    series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "drawn", "missing_day": "refuse"}
    season = {"months": list(range(1, 13)), "high": ["07:00-22:00"], "low": ["22:00-07:00"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": RATES, "seasons": [season]}
    common = {"id": "lobby", "names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
    definitions = [
        {"name": "cooling", "formula": 'meter("a") + 2 * meter("b")'},
        {"name": "heat", "formula": "clamp((tmax - 20) / 20, 0, 1)"},
    ]
    document = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": {
            "format": 1,
            "series": [series],
            "unit_numbers": tables,
            "definitions": [one for one in definitions if one["name"] in str(pool["formula"])],
            "pools": [{**common, "class": "negotiated", "agreement": "drawn", "path": ["lobby"], **pool}],
        },
        "series": {"tmax": [[day, decimal(number)] for day, number in zip(days, site.tmax, strict=True)]},
        "unit_numbers": {"daily": rows},
    }
    if not document["pools"]["definitions"]:
        del document["pools"]["definitions"]
    names = SiteNames(
        frozenset(map(NodeId, site.energy)),
        {UnitId(unit): NodeId(unit) for unit in UNITS},
        frozenset(map(PartyId, (OWNER, "t-1", "t-2", "t-3"))),
        OWNER,
        "CNY",
    )
    return rules_from_document(document, names)


def inputs_of(site: PlainSite) -> PeriodInputs:
    """The same site as the engine takes it."""
    nodes = list(site.energy)
    shape = (len(nodes), SLOTS)
    units = tuple(LettableUnit(UnitId(unit), site.area[unit], NodeId(unit)) for unit in UNITS)
    let = []
    for unit, held_by in site.occupant.items():
        edges = [0, *(slot for slot in range(1, SLOTS) if held_by[slot] != held_by[slot - 1]), SLOTS]
        let += [
            Occupancy(UnitId(unit), PartyId(held_by[first]), first, end)
            for first, end in pairwise(edges)
            if held_by[first] != OWNER
        ]
    return PeriodInputs(
        site=SiteId("twin"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(START, START + SLOTS * timedelta(minutes=15)),
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(TreeNode(NodeId(one), NodeKind.MAIN, (ParentSpan(0, SLOTS, None),), 10_000) for one in nodes),
        import_wh=np.array([site.energy[one] for one in nodes], np.int64),
        export_wh=np.zeros(shape, np.int64),
        quality=np.zeros(shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, tuple(let), OWNER, SLOTS),
    )


def decimal(number: Fraction) -> str:
    """A fraction with at most three decimals, as text."""
    return f"{float(number):.3f}"


def band_of(slot: int) -> str:
    """The band of a slot by the clock alone."""
    return "high" if 7 * 4 <= slot % DAY < 22 * 4 else "low"


def cost_nano(site: PlainSite, slots: Sequence[int]) -> Fraction:
    """What the lobby costs in some slots [10^-9 yuan]."""
    rate = {band: Fraction(price) * 10**6 for band, price in RATES.items()}
    return sum((site.energy["lobby"][slot] * rate[band_of(slot)] for slot in slots), Fraction(0))


@dataclass(frozen=True)
class Place:
    """One cell: a unit (None for a floor as a whole), its floor, a slot; `cost` is what main_delta is."""

    unit: str | None
    floor: str
    slot: int
    cost: Fraction


def worth(term: Term, site: PlainSite, rules: Rules, at: Place) -> Fraction:
    """What a term is in one cell, in base units."""
    match term:
        case Number(number, unit):
            return number * (SYMBOLS[unit].scale if unit else 1)
        case MeterOf(node):
            return Fraction(site.energy[node][at.slot])
        case Negative(inner):
            return -worth(inner, site, rules, at)
        case Operation(operator, left, right):
            one, two = (worth(part, site, rules, at) for part in (left, right))
            return {"+": one + two, "-": one - two, "*": one * two}[operator] if operator != "/" else one / two
        case Call("clamp", (inner, low, high)):
            one, least, most = (worth(part, site, rules, at) for part in (inner, low, high))
            return min(max(one, least), most)
        case Call(function, terms):
            return {"min": min, "max": max}[function](worth(part, site, rules, at) for part in terms)
        case Input(name):
            return given(name, site, rules, at)


def given(name: str, site: PlainSite, rules: Rules, at: Place) -> Fraction:
    """What an input is in one cell."""
    area_of = {floor: sum(site.area[unit] for unit in units) for floor, units in FLOORS.items()}
    subject = at.floor if name == "floor-share" else (at.unit or at.floor)
    match name:
        case "main_delta":
            return at.cost
        case "floor_area":
            return Fraction(area_of[at.floor])
        case "total_area":
            return Fraction(sum(area_of.values()))
        case "unit_area":
            return Fraction(site.area[subject])
        case "energy":
            return Fraction(site.energy[subject][at.slot])
        case "load":
            return site.energy[subject][at.slot] / (site.tables["rated"][subject][at.slot // DAY] * 1000 / 4)
        case "times":
            return Fraction(TIMES[band_of(at.slot)])
        case "tmax":
            return site.tmax[at.slot // DAY]
        case "cooling" | "heat":
            return worth(rules.formulas.definitions[name].sentence.term, site, rules, at)
        case _:
            scale = measured_in(rules.formulas.numbers[name].unit).scale
            return site.tables[name][subject][at.slot // DAY] * scale


def spread_weights(site: PlainSite, rules: Rules, slots: Sequence[int]) -> dict[str, Fraction]:
    """Add up every cell of some slots for whoever held the unit then."""
    (pool,) = rules.pools
    assert isinstance(pool.rule, SpreadingRule)
    formula = pool.rule.formula
    by_floor = formula.speaks_of_floors
    costs = [cost_nano(site, range(day * DAY, (day + 1) * DAY)) for day in range(DAYS)]
    weights: dict[str, Fraction] = {}
    for unit in UNITS:
        floor = FLOOR_OF[unit]
        part = Fraction(site.area[unit], sum(site.area[one] for one in FLOORS[floor])) if by_floor else Fraction(1)
        for slot in slots:
            at = Place(None if by_floor else unit, floor, slot, costs[slot // DAY])
            number = max(worth(formula.sentence.term, site, rules, at), Fraction(0))
            share = f"{unit}/{site.occupant[unit][slot]}"
            weights[share] = weights.get(share, Fraction(0)) + number * part
    return weights


def in_whole_numbers(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Bring fractions to whole numbers without a common factor, cut where they come to more than 61 bits."""
    common = reduce(lambda one, two: one * two // gcd(one, two), (number.denominator for number in weights.values()), 1)
    whole = {one: int(number * common) for one, number in weights.items()}
    shared = gcd(*whole.values()) or 1
    excess = max((sum(whole.values()) // shared).bit_length() - 61, 0)
    return {one: number // shared >> excess for one, number in whole.items()}


@pytest.mark.parametrize("grain", ["period", "day"])
@pytest.mark.parametrize("formula", SPREAD)
def test_weights_are_those_of_every_cell_by_itself(monkeypatch: pytest.MonkeyPatch, formula: str, grain: str) -> None:
    site = plain_site(100 * (grain == "day") + SPREAD.index(formula))
    pool = {"rule": "formula", "reading": "spreading", "formula": formula, "grain": grain, "floors": FLOORS}
    pool |= {"below_zero": "zero", "fallback": "equal", "times": TIMES, "rated": "rated"}
    rules = rules_of(site, pool)
    # Two rows at a time, so that there is more than one block.
    monkeypatch.setattr(held, "BLOCK_CELLS", 2 * SLOTS)
    run = close_period(inputs_of(site), rules)
    spans = [range(SLOTS)] if grain == "period" else [range(day * DAY, (day + 1) * DAY) for day in range(DAYS)]
    for place, slots in enumerate(spans):
        weights = in_whole_numbers(spread_weights(site, rules, slots))
        for line in run.lines:
            assert isinstance(line.trace, ShareTrace)
            if line.unit is not None and any(weights.values()):
                step = line.trace.keys[place]
                assert step.total == sum(weights.values())
                assert step.weight == weights.get(line.trace.line_id, 0)
    assert sum(line.amount_minor for line in run.lines) == run.pools[0].cost_minor


@pytest.mark.parametrize("grain", ["day", "period"])
@pytest.mark.parametrize("formula", PASSED_ON)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_passed_on_is_that_of_every_floor_and_day_by_itself(formula: str, grain: str, seed: int) -> None:
    site = plain_site(seed * 1000 + PASSED_ON.index(formula))
    if grain == "period" and ("tmax" in formula or "heat" in formula):
        formula = formula.replace("(tmax - 26) / 10", "0.3").replace("(tmax - 24) / 12", "0.7")
        formula = formula.replace("(30 - tmax) / 8", "0.25").replace("heat", "1.25")
    clamp = ["0", random.Random(seed).choice(["1", "0.8"])]
    pool = {"rule": "formula", "reading": "pass-through", "formula": formula, "grain": grain, "floors": FLOORS}
    rules = rules_of(site, {**pool, "clamp": clamp, "residual": OWNER})
    rule = rules.pools[0].rule
    assert isinstance(rule, PassThroughRule)
    run = close_period(inputs_of(site), rules)
    by_floor = rule.formula.speaks_of_floors
    places = [(None, floor) for floor in FLOORS] if by_floor else [(unit, FLOOR_OF[unit]) for unit in UNITS]
    for number, day in enumerate(run.pools[0].days):
        at = [Place(unit, floor, number * DAY, Fraction(1)) for unit, floor in places]
        wanted = [max(worth(rule.formula.sentence.term, site, rules, one), Fraction(0)) for one in at]
        assert Fraction(*day.passed_on) == min(sum(wanted, Fraction(0)), Fraction(clamp[1]))
    assert sum(line.amount_minor for line in run.lines) == run.pools[0].cost_minor


def test_weights_are_cut_alike_for_everybody() -> None:
    huge = np.array([[3 << 80], [1 << 80], [5]], object)
    weights, totals = formula_split._cut_at_bits(huge)
    assert totals == [int(weights.sum())]
    assert totals[0].bit_length() <= 61
    assert weights[0, 0] // weights[1, 0] == 3
    small, whole = formula_split._cut_at_bits(np.array([[6, 0], [4, 0]], np.int64))
    assert (small.tolist(), whole) == ([[3, 0], [2, 0]], [5, 0])
