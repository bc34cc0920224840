"""Keys, stages, demand and services said a second time: a list of occupants per slot, and fractions added one by one.

Nothing here uses the engine's arrays, weights, spans or solver. Sites are random; the rules hold every driver at once.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise, permutations
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
from allocation_engine.run import Run
from metering.identity import NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

DAYS, DAY = 2, 96
SLOTS = DAYS * DAY
START = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
OWNER = "owner"
FLOORS = {"a-1": ("u-1", "u-2"), "a-2": ("u-3",), "b-1": ("u-4", "u-5"), "b-2": ("u-6",)}
BUILDINGS = {"a": ("u-1", "u-2", "u-3"), "b": ("u-4", "u-5", "u-6")}
UNITS = tuple(unit for units in FLOORS.values() for unit in units)
RATES = {"high": Fraction("1.0847"), "low": Fraction("0.289113")}
TMAX = (Fraction("31.5"), Fraction("24.25"))
TIMES = {"high": Fraction(3, 2), "low": Fraction(1, 4)}
Exact = dict[str, Fraction]


@dataclass(frozen=True)
class PlainSite:
    """Everything by name: energy by node and slot, occupants by unit and slot, numbers as they were drawn."""

    energy: Mapping[str, Sequence[int]]
    occupant: Mapping[str, Sequence[str]]
    area: Mapping[str, int]
    persons: Mapping[str, Sequence[Fraction]]
    coefficient: Mapping[str, Fraction]
    rated: Mapping[str, Fraction]
    contract: Mapping[str, Fraction]


@dataclass(frozen=True)
class PlainTaker:
    """A group of units for the whole period, or a party in a unit in its slots."""

    id: str
    subject: str
    units: tuple[str, ...]
    slots: frozenset[int] = field(default_factory=lambda: frozenset(range(SLOTS)))
    node: str | None = None


def plain_site(seed: int) -> PlainSite:
    """Draw a site. Some units stand empty, some take nothing, some have no area."""
    chance = random.Random(seed)
    nodes = [*UNITS, "bldg-a", "bldg-b", *(f"pool-{number}" for number in range(10))]
    size = chance.choice([3, 40, 5_000, 10**6])
    energy = {node: [chance.randint(0, size) for _ in range(SLOTS)] for node in nodes}
    energy[chance.choice(UNITS)] = [0] * SLOTS
    occupant: dict[str, list[str]] = {}
    for unit in UNITS:
        cuts = sorted({0, SLOTS, *(chance.randrange(SLOTS) for _ in range(chance.randint(0, 2)))})
        held: list[str] = []
        for first, end in pairwise(cuts):
            held += [chance.choice([OWNER, "t-1", "t-2", "t-3"])] * (end - first)
        occupant[unit] = held
    return PlainSite(
        energy=energy,
        occupant=occupant,
        area={unit: chance.choice([0, 45_0000, 80_5000, chance.randint(1, 10**7)]) for unit in UNITS},
        persons={unit: [Fraction(chance.randint(0, 9)) for _ in range(DAYS)] for unit in UNITS},
        coefficient={floor: Fraction(chance.randint(1, 9), 10) for floor in FLOORS},
        rated={unit: Fraction(chance.randint(1, 500), 100) for unit in UNITS},
        contract={unit: Fraction(chance.randint(1, 900)) for unit in UNITS},
    )


def band_of(slot: int) -> str:
    """The band of a slot by the clock alone."""
    return "high" if 7 * 4 <= slot % DAY < 22 * 4 else "low"


def cost_of(site: PlainSite, node: str, slots: Iterable[int]) -> Fraction:
    """What a node costs in some slots [yuan]."""
    return sum((Fraction(site.energy[node][slot], 1000) * RATES[band_of(slot)] for slot in slots), Fraction(0))


def occupants(site: PlainSite, units: Sequence[str]) -> list[PlainTaker]:
    """Every party in every unit, with the slots in which it sits there."""
    found = []
    for unit in units:
        for party in sorted(set(site.occupant[unit])):
            slots = frozenset(slot for slot in range(SLOTS) if site.occupant[unit][slot] == party)
            found.append(PlainTaker(f"{unit}/{party}", unit, (unit,), slots))
    return found


def metered(site: PlainSite, taker: PlainTaker, slot: int) -> int:
    """What a taker took in a slot."""
    nodes = taker.units if taker.node is None else (taker.node,)
    return sum(site.energy[node][slot] for node in nodes)


def weight_of(site: PlainSite, key: Mapping[str, Any], taker: PlainTaker, slots: Iterable[int]) -> Fraction:
    """Add up the product of all factors, slot by slot."""
    total = Fraction(0)
    for slot in slots:
        if slot not in taker.slots:
            continue
        factor = Fraction(1)
        for word in key["by"]:
            match word:
                case "area":
                    factor *= sum(site.area[unit] for unit in taker.units)
                case "equal":
                    factor *= 1
                case "energy":
                    factor *= metered(site, taker, slot)
                case "load":
                    factor *= metered(site, taker, slot) / site.rated[taker.subject]
                case "persons":
                    factor *= site.persons[taker.subject][slot // DAY]
                case "coefficient":
                    factor *= site.coefficient[taker.subject]
                case _:
                    raise AssertionError(word)
        if "times" in key:
            factor *= TIMES[band_of(slot)]
        if "degree_days" in key:
            factor *= max(TMAX[slot // DAY] - 26, Fraction(0))
        total += factor
    return total


def divided(keys: Sequence[Mapping[str, Any]], weights: Sequence[Exact]) -> Exact:
    """Divide 1 by several keys; what nobody has a weight for is left out, for the owner."""
    parts: Exact = defaultdict(Fraction)
    for key, by_taker in zip(keys, weights, strict=True):
        total = sum(by_taker.values())
        for taker, weight in by_taker.items():
            parts[taker] += Fraction(key.get("part", "1")) * weight / total if total else Fraction(0)
    return parts


def by_stages(
    site: PlainSite, stages: Sequence[Mapping[str, Any]], units: Sequence[str], slots: Sequence[int]
) -> Exact:
    """Divide 1 down the stages; the owner gets what reached nobody."""
    stage, *below = stages
    takers = occupants(site, units)
    if "groups" in stage:
        nodes = stage.get("nodes", {})
        groups = {name: some for name, some in stage["groups"].items() if set(some) <= set(units)}
        takers = [PlainTaker(name, name, tuple(some), node=nodes.get(name)) for name, some in groups.items()]
    weights = [{taker.id: weight_of(site, key, taker, slots) for taker in takers} for key in stage["keys"]]
    parts = divided(stage["keys"], weights)
    if not below:
        return parts
    lines: Exact = {}
    for taker in takers:
        if parts[taker.id]:
            inner = by_stages(site, below, taker.units, slots)
            lines |= {line: parts[taker.id] * part for line, part in inner.items()}
    return lines


def by_demand(site: PlainSite, pool: Mapping[str, Any], slots: Sequence[int]) -> Exact:
    """Divide 1 by what stands for demand."""
    takers = occupants(site, UNITS)
    loads = {taker.id: [metered(site, taker, s) if s in taker.slots else 0 for s in slots] for taker in takers}
    together = [sum(load[place] for load in loads.values()) for place in range(len(slots))]
    if "peak_of" in pool:
        together = [sum(site.energy[node][s] for node in pool["peak_of"]) for s in slots]
    top = max(together)
    match pool["method"]:
        case "coincident":
            peaks = [place for place, one in enumerate(together) if one == top]
            return divided([{}], [{one: Fraction(sum(load[p] for p in peaks)) for one, load in loads.items()}])
        case "non-coincident":
            return divided([{}], [{one: Fraction(max(load)) for one, load in loads.items()}])
        case "average-and-excess":
            factor = Fraction(sum(together), len(slots) * top) if top else Fraction(1)
            means = {one: Fraction(sum(load), len(slots)) for one, load in loads.items()}
            above = {one: max(load) - means[one] for one, load in loads.items()}
            return divided([{"part": factor}, {"part": 1 - factor}], [means, above])
        case _:
            contracts = {
                taker.id: site.contract[taker.subject] * len(taker.slots & frozenset(slots)) for taker in takers
            }
            return divided([{}], [contracts])


def parts_of(site: PlainSite, pool: Mapping[str, Any], slots: Sequence[int]) -> Exact:
    """Divide one span of a pool among lines, with the owner's rest."""
    if pool["rule"] == "demand":
        parts = by_demand(site, pool, slots)
    else:
        parts = by_stages(site, pool.get("stages", [{"keys": pool.get("keys")}]), UNITS, slots)
    left = 1 - sum(parts.values())
    return {**parts, f"residual/{OWNER}": left} if left else dict(parts)


def hamilton(amount: int, weights: Exact) -> dict[str, int]:
    """Floors first; then one each to the largest rests, the smaller name first where rests are equal."""
    whole = sum(weights.values())
    exact = {one: amount * weight / whole if whole else Fraction(0) for one, weight in weights.items()}
    lines = {one: int(share // 1) for one, share in exact.items()}
    odd = amount - sum(lines.values())
    for one in sorted(exact, key=lambda name: (-(exact[name] % 1), name))[:odd]:
        lines[one] += 1
    return lines


def nearest_fen(yuan: Fraction) -> int:
    """Round to fen, half up; nothing here is negative."""
    return int((200 * yuan + 1) // 2)


def spans_of(pool: Mapping[str, Any]) -> list[range]:
    """The spans within which weights are constant."""
    return [range(day * DAY, day * DAY + DAY) for day in range(DAYS)] if pool["grain"] == "day" else [range(SLOTS)]


def twin_lines(site: PlainSite, pool: Mapping[str, Any], charged: int | None = None) -> dict[str, int]:
    """Every line of a pool [fen]; `charged` where other pools changed what it costs."""
    weights: Exact = defaultdict(Fraction)
    cost = Fraction(0)
    for slots in spans_of(pool):
        span_cost = cost_of(site, pool["path"][0], slots)
        cost += span_cost
        for line, part in parts_of(site, pool, slots).items():
            weights[line] += part * (span_cost if charged is None else 1)
    return hamilton(nearest_fen(cost) if charged is None else charged, weights)


def keyed(number: int, keys: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A pool of one stage."""
    return {"id": f"p-{number}", "rule": "keys", "path": [f"pool-{number}"], "keys": list(keys), **more}


LEASE = {"name": "lease", "keys": [{"part": "0.25", "by": ["area", "persons"]}, {"part": "0.75", "by": ["energy"]}]}
FLOOR = {"name": "floor", "keys": [{"by": ["coefficient"]}], "groups": FLOORS}
BUILDING = {"name": "building", "keys": [{"by": ["energy"]}], "groups": BUILDINGS}
MAIN_BUILDING = {**BUILDING, "nodes": {"a": "bldg-a", "b": "bldg-b"}}
POOLS = [
    keyed(0, [{"part": "0.7", "by": ["energy"]}, {"part": "0.3", "by": ["area"]}], grain="period"),
    keyed(1, [{"by": ["area", "energy"], "times": TIMES}], grain="day"),
    keyed(2, [{"by": ["load"], "rated": "rated"}], grain="period"),
    keyed(3, [{"by": ["area", "persons"], "degree_days": 26}], grain="period"),
    keyed(4, [{"part": "0.5", "by": ["equal"]}, {"part": "0.5", "by": ["persons"], "times": TIMES}], grain="day"),
    {"id": "p-5", "rule": "keys", "path": ["pool-5"], "stages": [BUILDING, FLOOR, LEASE], "grain": "period"},
    {"id": "p-6", "rule": "keys", "path": ["pool-6"], "stages": [MAIN_BUILDING, LEASE], "grain": "day"},
]
DEMANDS = [
    {"id": f"p-{7 + place % 3}", "rule": "demand", "path": [f"pool-{7 + place % 3}"], "method": method, "grain": grain}
    for place, (method, grain) in enumerate(
        [
            ("coincident", "period"),
            ("non-coincident", "day"),
            ("average-and-excess", "period"),
            ("coincident", "day"),
            ("average-and-excess", "day"),
            ("contracted", "day"),
        ]
    )
]
DEMANDS[3] = {**DEMANDS[3], "peak_of": ["bldg-a", "bldg-b"]}
DEMANDS[4] = {**DEMANDS[4], "peak_of": ["bldg-a", "bldg-b"]}


def written(pool: Mapping[str, Any]) -> dict[str, Any]:
    """The pool as it stands in `pools.toml`."""
    common = {"class": "must", "names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
    content = {**pool, **common, "units": "all", "fallback": "owner"}
    if "keys" in pool:
        content["keys"] = list(map(written_key, pool["keys"]))
    if "stages" in pool:
        content["stages"] = list(map(written_stage, pool["stages"]))
    if pool.get("method") == "contracted":
        content["contracted"] = "contract"
    return content


def written_key(key: Mapping[str, Any]) -> dict[str, Any]:
    """A key as it is written."""
    content = dict(key)
    if "times" in key:
        content["times"] = {band: str(float(one)) for band, one in key["times"].items()}
    if "degree_days" in key:
        content["degree_days"] = {"series": "tmax", "above": str(key["degree_days"])}
    return content


def written_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage as it is written."""
    content: dict[str, Any] = {"name": stage["name"], "keys": list(map(written_key, stage["keys"]))}
    if "groups" in stage:
        nodes = stage.get("nodes", {})
        content["groups"] = {
            name: {"units": list(units), "node": nodes[name]} if name in nodes else list(units)
            for name, units in stage["groups"].items()
        }
    return content


def to_inputs(site: PlainSite) -> PeriodInputs:
    """The site as the engine takes it."""
    units = tuple(LettableUnit(UnitId(unit), site.area[unit], NodeId(unit)) for unit in UNITS)
    let = []
    for unit, held in site.occupant.items():
        first = 0
        for slot in range(1, SLOTS + 1):
            if slot == SLOTS or held[slot] != held[first]:
                if held[first] != OWNER:
                    let.append(Occupancy(UnitId(unit), PartyId(held[first]), first, slot))
                first = slot
    energy = np.array(list(site.energy.values()), np.int64)
    top = (ParentSpan(0, SLOTS, None),)
    return PeriodInputs(
        site=SiteId("twin"),
        label="twin",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(START, START + timedelta(days=DAYS)),
        site_hash=bytes(32),
        owner=PartyId(OWNER),
        nodes=tuple(TreeNode(NodeId(one), NodeKind.END, top, 10_000) for one in site.energy),
        import_wh=energy,
        export_wh=np.zeros_like(energy),
        quality=np.zeros(energy.shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, let, PartyId(OWNER), SLOTS),
    )


def closed(site: PlainSite, pools: Sequence[Mapping[str, Any]], services: Mapping[str, Any] | None = None) -> Run:
    """The engine's run over the same site and pools."""
    inputs = to_inputs(site)
    numbers = [
        {"name": "rated", "values": {one: str(float(part)) for one, part in site.rated.items()}},
        {"name": "contract", "values": {one: str(part) for one, part in site.contract.items()}},
        {"name": "persons", "file": "persons.csv"},
    ]
    if any("stages" in pool for pool in pools):  # numbers may be given for groups that there are, and for no others
        numbers.append(
            {"name": "coefficient", "values": {one: str(float(part)) for one, part in site.coefficient.items()}}
        )
    persons = [[f"2026-07-0{day + 1}", unit, str(site.persons[unit][day])] for unit in UNITS for day in range(DAYS)]
    season = {"months": list(range(1, 13)), "high": ["07:00-22:00"], "low": ["22:00-07:00"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": {"high": "1.0847", "low": "0.289113"}, "seasons": [season]}
    series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "drawn", "missing_day": "refuse"}
    content: dict[str, Any] = {
        "format": 1,
        "series": [series],
        "unit_numbers": [{**one, "unit": "1", "source": "drawn"} for one in numbers],
        "pools": list(map(written, pools)),
    }
    if services is not None:
        content["services"] = services
    document = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": content,
        "series": {"tmax": [["2026-07-01", "31.5"], ["2026-07-02", "24.25"]]},
        "unit_numbers": {"persons": persons},
    }
    names = SiteNames(
        nodes=frozenset(map(NodeId, site.energy)),
        units={UnitId(unit): NodeId(unit) for unit in UNITS},
        parties=frozenset(map(PartyId, (OWNER, "t-1", "t-2", "t-3"))),
        owner=PartyId(OWNER),
        currency="CNY",
    )
    return close_period(inputs, rules_from_document(document, names))


def engine_lines(run: Run, pool: str) -> dict[str, int]:
    """The lines of a pool by the engine, by name within the pool."""
    return {line.id.removeprefix(f"{pool}/"): line.amount_minor for line in run.lines if line.pool == pool}


@pytest.mark.parametrize("seed", range(10))
def test_keys_and_stages_give_the_same_fen_on_every_line(seed: int) -> None:
    site = plain_site(seed)
    run = closed(site, POOLS)
    for pool in POOLS:
        assert engine_lines(run, pool["id"]) == twin_lines(site, pool), pool["id"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("first", [0, 3])
def test_demand_gives_the_same_fen_on_every_line(seed: int, first: int) -> None:
    site = plain_site(100 + seed)
    pools = DEMANDS[first : first + 3]
    run = closed(site, pools)
    for pool in pools:
        assert engine_lines(run, pool["id"]) == twin_lines(site, pool), pool["id"]


def test_a_tie_of_peaks_counts_every_quarter_hour_of_it() -> None:
    site = plain_site(7)
    flat = {**site.energy, **{unit: [40 + 10 * (place % 2)] * SLOTS for place, unit in enumerate(UNITS)}}
    site = PlainSite(**{name: getattr(site, name) for name in PlainSite.__dataclass_fields__} | {"energy": flat})
    lines = engine_lines(closed(site, DEMANDS[:1]), "p-7")
    # All slots are peaks: demand is energy, and so is its share.
    weights: Exact = defaultdict(Fraction)
    for unit in UNITS:
        for slot in range(SLOTS):
            weights[f"{unit}/{site.occupant[unit][slot]}"] += flat[unit][slot]
    assert lines == hamilton(nearest_fen(cost_of(site, "pool-7", range(SLOTS))), weights)


def determinant(matrix: Sequence[Sequence[Fraction]]) -> Fraction:
    """Add up all signed products, as the definition says."""
    size = len(matrix)
    total = Fraction(0)
    for order in permutations(range(size)):
        inversions = sum(1 for i in range(size) for j in range(i) if order[j] > order[i])
        product = Fraction(-1) if inversions % 2 else Fraction(1)
        for row, column in enumerate(order):
            product *= matrix[row][column]
        total += product
    return total


def by_cramer(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction]:
    """Solve linear equations by quotients of determinants."""
    whole = determinant(matrix)
    return [
        determinant([[*row[:place], right[at], *row[place + 1 :]] for at, row in enumerate(matrix)]) / whole
        for place in range(len(matrix))
    ]


Usage = Mapping[str, Mapping[str, Fraction]]


def settled_plainly(method: str, order: Sequence[str], usage: Usage, own: Mapping[str, int]) -> Exact:
    """What every service costs its own users, by moving money from one account to the next."""
    to_users = {one: 1 - sum(usage[one].values()) for one in order}
    match method:
        case "direct":
            return {one: Fraction(own[one]) for one in order}
        case "step-down":
            account = {one: Fraction(own[one]) for one in order}
            for place, one in enumerate(order):
                later = {user: part for user, part in usage[one].items() if user in order[place + 1 :]}
                counted = to_users[one] + sum(later.values())
                held = account[one]
                for user, part in later.items():
                    account[user] += held * part / counted
                    account[one] -= held * part / counted
            return account
        case _:
            matrix = [[(a == b) - usage[b].get(a, Fraction(0)) for b in order] for a in order]
            gross = by_cramer(matrix, [Fraction(own[one]) for one in order])
            return {one: total * to_users[one] for one, total in zip(order, gross, strict=True)}


def rounded_together(exact: Exact) -> dict[str, int]:
    """Round to whole fen with the same sum: floors, then one more to the largest rests."""
    return hamilton_floors(exact, int(sum(exact.values())))


def hamilton_floors(exact: Exact, total: int) -> dict[str, int]:
    """Floors of exact amounts and one more each to the largest rests."""
    whole = {one: int(amount // 1) for one, amount in exact.items()}
    for one in sorted(exact, key=lambda name: (-(exact[name] % 1), name))[: total - sum(whole.values())]:
        whole[one] += 1
    return whole


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("method", ["direct", "step-down", "reciprocal"])
def test_services_give_the_same_fen_on_every_line(seed: int, method: str) -> None:
    site, chance = plain_site(200 + seed), random.Random(seed)
    pools = [one for one in [*POOLS, *DEMANDS[:3]] if one["grain"] == "period"][:5]
    order = [one["id"] for one in pools[:4]]
    chance.shuffle(order)
    usage: dict[str, dict[str, Fraction]] = {}
    for one in order:
        others = [other for other in order if other != one]
        usage[one] = {other: Fraction(chance.randint(1, 30), 100) for other in chance.sample(others, 2)}
    services = {
        "method": method,
        "order": order,
        "usage": [
            {"pool": one, "by": {other: str(float(part)) for other, part in by.items()}} for one, by in usage.items()
        ],
    }
    run = closed(site, pools, services)
    own = {one["id"]: nearest_fen(cost_of(site, one["path"][0], range(SLOTS))) for one in pools}
    for told in run.service_methods:
        plain = rounded_together(settled_plainly(told.method, order, usage, own))
        assert dict(told.pools) == plain
        assert sum(plain.values()) == sum(own[one] for one in order)
    charged = rounded_together(settled_plainly(method, order, usage, own))
    for pool in pools:
        wanted = twin_lines(site, pool, charged.get(pool["id"]))
        assert engine_lines(run, pool["id"]) == wanted, pool["id"]


def test_a_ring_of_services_is_the_limit_of_passing_costs_on_and_on() -> None:
    usage = {"s-1": {"s-2": Fraction(1, 2)}, "s-2": {"s-3": Fraction(9, 10)}, "s-3": {"s-1": Fraction(3, 10)}}
    own = {"s-1": 10_000, "s-2": 5_000, "s-3": 700}
    exact = settled_plainly("reciprocal", list(usage), usage, own)
    account, users = {one: Fraction(amount) for one, amount in own.items()}, dict.fromkeys(usage, Fraction(0))
    for _ in range(60):
        passed = dict.fromkeys(usage, Fraction(0))
        for one, held in account.items():
            users[one] += held * (1 - sum(usage[one].values()))
            for user, part in usage[one].items():
                passed[user] += held * part
        account = passed
    assert all(abs(users[one] - exact[one]) < Fraction(1, 10**9) for one in usage)
    assert sum(exact.values()) == sum(own.values())
