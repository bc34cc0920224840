"""Prices said a second time, slowly and plainly: minutes of the clock, one watt-hour after another, exact roots.

Nothing here shares code with the engine but the types its answers come in.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_engine.caps import Charged, CheckKind, Reference, ResaleCap, check_cap
from allocation_engine.close_period import close_period
from allocation_engine.inputs import (
    CountedBefore,
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
)
from allocation_engine.invoices import Invoiced
from allocation_engine.power_factor import AdjustmentTable, power_factor_hundredths
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run
from allocation_engine.tables_file import Tables, read_adjustment
from allocation_engine.taxes import Tax, contained, show_tax
from allocation_engine.tiers import TierLimits, Tiers, TierSpan
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar
from metering.toml_source import TomlSource

OWNER = PartyId("owner")
QUARTER = timedelta(minutes=15)
BANDS = ("sharp", "peak", "flat", "valley", "deep")
ZONES = ("Asia/Shanghai", "America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu")


def half_away(exact: Fraction) -> int:
    """Round half away from zero."""
    with localcontext() as context:
        context.prec = 200
        sign = -1 if exact < 0 else 1
        whole, rest = divmod(abs(exact), 1)
        return sign * (int(whole) + (rest >= Fraction(1, 2)))


def clock(half_hour: int) -> str:
    """Write a half-hour of the day."""
    return f"{half_hour // 2:02d}:{half_hour % 2 * 30:02d}"


def plain_hours(chance: random.Random) -> dict[str, list[str]]:
    """Cut the day at random half-hours, turn it by some of them so that a band passes midnight, and deal out bands."""
    cuts = sorted(chance.sample(range(48), chance.randint(2, 7)))
    bands = chance.sample(BANDS, 3)
    hours: dict[str, list[str]] = defaultdict(list)
    for place, first in enumerate(cuts):
        end = cuts[(place + 1) % len(cuts)]
        hours[bands[place % 3]].append(f"{clock(first)}-{clock(end)}")
    return dict(hours)


@cache
def minutes_of(text: str) -> tuple[int, int]:
    """Read `22:30-06:30` as minutes of the day."""
    first, end = text.split("-")
    return tuple(int(one[:2]) * 60 + int(one[3:]) for one in (first, end))  # type: ignore[return-value]


def band_at(local: datetime, hours: Mapping[str, Sequence[str]]) -> str:
    """The band that holds at a local time, by looking at every span of hours in turn."""
    minute = local.hour * 60 + local.minute
    found = []
    for band, spans in hours.items():
        for first, end in map(minutes_of, spans):
            if (first <= minute < end) if first < end else (minute >= first or minute < end):
                found.append(band)
    assert len(found) == 1
    return found[0]


def plain_tariff(chance: random.Random, year: int) -> list[dict[str, Any]]:
    """Two or three versions that follow one another, each with seasons of its own by months."""
    days = sorted(chance.sample(range(20, 340), chance.randint(1, 2)))
    edges = [date(year - 1, 1, 1), *(date(year, 1, 1) + timedelta(days=one) for one in days), None]
    versions = []
    for number, (first, end) in enumerate(itertools.pairwise(edges)):
        months = chance.sample(range(1, 13), 12)
        cut = chance.randint(1, 11)
        parts = [plain_hours(chance), plain_hours(chance)]
        rates = {band: f"{chance.randint(0, 2_000_000) / 10**6:.6f}" for band in BANDS}
        version = {"id": f"v-{number}", "from": first, "rates": rates}
        version["seasons"] = [
            {"months": sorted(some), **hours} for some, hours in zip((months[:cut], months[cut:]), parts, strict=True)
        ]
        versions.append(version if end is None else {**version, "to": end})
    return versions


def micro_at(local: datetime, versions: Sequence[Mapping[str, Any]]) -> tuple[str, str, Fraction]:
    """Version, band and price per kWh at a local time."""
    for version in versions:
        if version["from"] <= local.date() and ("to" not in version or local.date() < version["to"]):
            season = next(one for one in version["seasons"] if local.month in one["months"])
            band = band_at(local, {name: spans for name, spans in season.items() if name != "months"})
            return version["id"], band, Fraction(Decimal(version["rates"][band]))
    raise AssertionError(local)


def periods_of(chance: random.Random, zone: str) -> Interval:
    """A few local days that often hold a change of clocks or of the year."""
    anchors = [date(2026, 3, 8), date(2026, 11, 1), date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 4)]
    first = chance.choice([*anchors, date(2026, 7, 15), date(2026, 12, 31)]) - timedelta(days=chance.randint(0, 1))
    calendar = SiteCalendar(zone)
    return Interval(calendar.midnight(first), calendar.midnight(first + timedelta(days=chance.randint(1, 3))))


def period_inputs(
    zone: str, period: Interval, energy: Mapping[str, Sequence[int]], let: Sequence[tuple[str, str, int, int]] = ()
) -> PeriodInputs:
    """A site of nodes at the top, where unit `a` is metered by the node `a` and so on."""
    taken = np.array([list(one) for one in energy.values()], np.int64)
    slots = period.slot_count
    units = tuple(LettableUnit(UnitId(one), 100_000, NodeId(one)) for one in energy)
    held = tuple(Occupancy(UnitId(unit), PartyId(party), first, end) for unit, party, first, end in let)
    return PeriodInputs(
        site=SiteId("twin"),
        label="twin",
        calendar=SiteCalendar(zone),
        period=period,
        site_hash=bytes(32),
        owner=OWNER,
        nodes=tuple(TreeNode(NodeId(one), NodeKind.MAIN, (ParentSpan(0, slots, None),), 10_000) for one in energy),
        import_wh=taken,
        export_wh=np.zeros_like(taken),
        quality=np.zeros(taken.shape, np.uint8),
        exceptions=(),
        evidence=(),
        units=units,
        occupancies=fill_vacancies(units, held, OWNER, slots),
    )


def rules_over(
    inputs: PeriodInputs, tariff: Mapping[str, Any], pools: Sequence[Mapping[str, Any]], **more: Any
) -> Rules:
    """Rules of a tariff and pools."""
    common = {"names": {"zh": "池", "en": "pool"}, "from": "2026-01-01"}
    document = {
        "tariff": {"format": 1, "currency": "CNY", **tariff},
        "pools": {"format": 1, "pools": [{**common, **pool} for pool in pools]},
        "series": {},
        **more,
    }
    names = SiteNames(
        nodes=frozenset(node.id for node in inputs.nodes),
        units={unit.id: unit.node for unit in inputs.units},
        parties=frozenset({OWNER, *(one.party for one in inputs.occupancies)}),
        owner=OWNER,
        currency="CNY",
    )
    return rules_from_document(document, names)


OWN_USE = {"id": "own-use", "class": "exclusive", "rule": "own-use", "units": "all", "measure": "import"}
FLAT = [{"id": "v-1", "from": "2026-01-01", "rates": {"flat": "1"}, "seasons": []}]
FLAT[0]["seasons"] = [{"months": list(range(1, 13)), "flat": ["00:00-24:00"]}]


def amounts(run: Run) -> dict[str, int]:
    """Amounts by line id."""
    return {line.id: line.amount_minor for line in run.lines}


@pytest.mark.parametrize("seed", range(40))
def test_every_quarter_hour_is_priced_as_the_clock_on_the_wall_says(seed: int) -> None:
    chance = random.Random(seed)
    zone = ZONES[seed % len(ZONES)]
    period = periods_of(chance, zone)
    versions = plain_tariff(chance, 2026)
    energy = {"a": [chance.randint(0, 5_000) for _ in range(period.slot_count)]}
    change = chance.randint(1, period.slot_count - 1)
    inputs = period_inputs(zone, period, energy, [("a", "t-1", 0, change), ("a", "t-2", change, period.slot_count)])
    texts = [{**one, "from": one["from"].isoformat()} for one in versions]
    texts = [{**one, "to": one["to"].isoformat()} if "to" in one else one for one in texts]
    run = close_period(inputs, rules_over(inputs, {"versions": texts}, [OWN_USE]))
    cost: dict[str, Fraction] = defaultdict(Fraction)
    banded: dict[tuple[str, str], int] = defaultdict(int)
    for slot, wh in enumerate(energy["a"]):
        local = (period.start + slot * QUARTER).astimezone(ZoneInfo(zone))
        version, band, price = micro_at(local, versions)
        banded[version, band] += wh
        cost["t-1" if slot < change else "t-2"] += price * Fraction(wh, 1000)
    assert amounts(run) == {f"own-use/a/{party}": half_away(100 * one) for party, one in cost.items()}
    found = {(band.version, band.name): wh for band, wh in zip(run.bands, run.pools[0].band_energy_wh, strict=True)}
    assert found == {key: banded[key] for key in found}
    assert sum(found.values()) == sum(energy["a"])


def tier_of_each(before: int, amount: int, limits: Sequence[Fraction]) -> list[int]:
    """Put one unit after another into the step it falls into; the first `limit` units fill the first step."""
    counts = [0] * (len(limits) + 1)
    for number in range(before, before + amount):
        counts[sum(1 for limit in limits if number >= limit)] += 1
    return counts


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(0, 80),
    st.integers(0, 80),
    st.fractions(0, 1, max_denominator=7),
)
@settings(deadline=None, max_examples=300)
def test_each_unit_falls_into_the_step_it_reaches(upto: list[int], before: int, amount: int, part: Fraction) -> None:
    tiers = Tiers(TierSpan.MONTH, TierLimits.OCCUPIED, tuple(upto), tuple(range(len(upto) + 1)))
    limits = [Fraction(one * part.numerator // part.denominator) for one in upto]
    assert list(tiers.split(before, amount, part)) == tier_of_each(before, amount, limits)


@given(
    st.lists(st.integers(1, 10**7), min_size=1, max_size=4, unique=True).map(sorted),
    st.lists(st.integers(-(10**6), 10**7), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=200)
def test_months_of_a_year_add_up_to_the_bill_of_the_year(upto: list[int], months: list[int]) -> None:
    tiers = Tiers(TierSpan.YEAR, TierLimits.WHOLE, tuple(upto), tuple(range(len(upto) + 1)))
    reached, sums = 0, [0] * (len(upto) + 1)
    for amount in months:
        sums = [a + b for a, b in zip(sums, tiers.split(reached, amount, Fraction(1)), strict=True)]
        reached += amount
    assert tuple(sums) == tiers.split(0, reached, Fraction(1))


@pytest.mark.parametrize("seed", range(12))
def test_tiers_of_a_month_cost_what_walking_through_it_costs(seed: int) -> None:
    chance = random.Random(1000 + seed)
    zone = ZONES[seed % 2]
    calendar = SiteCalendar(zone)
    first = date(2026, 6, 28)
    period = Interval(calendar.midnight(first), calendar.midnight(date(2026, 7, 4)))
    energy = {"a": [chance.choice((0, 7, 90, 400)) for _ in range(period.slot_count)]}
    # The first three days lie in June, of which something was counted before.
    june = sum(
        1 for slot in range(period.slot_count) if (period.start + slot * QUARTER).astimezone(calendar.tz).month == 6
    )
    before = chance.randint(0, 60_000)
    limits = sorted(chance.sample(range(1, 80), 2))
    adds = ["0", "0.05", "0.3"]
    tiers = {
        "span": "month",
        "limits": "whole",
        "steps": [{"upto": str(one), "add": add} for one, add in zip(limits, adds, strict=False)] + [{"add": adds[2]}],
    }
    inputs = period_inputs(zone, period, energy, [("a", "t-1", 0, period.slot_count)])
    counted = CountedBefore(PoolId("own-use"), UnitId("a"), PartyId("t-1"), date(2026, 6, 1), before)
    inputs = replace(inputs, counted_before=(counted,))
    run = close_period(inputs, rules_over(inputs, {"versions": [{**FLAT[0], "tiers": tiers}]}, [OWN_USE]))
    cost, reached = Fraction(0), before
    for slot, wh in enumerate(energy["a"]):
        if slot == june:
            reached = 0
        cost += Fraction(wh, 1000)
        counts = tier_of_each(reached, wh, [Fraction(one * 1000) for one in limits])
        cost += sum(Fraction(count, 1000) * Fraction(Decimal(add)) for count, add in zip(counts, adds, strict=True))
        reached += wh
    assert amounts(run) == {"own-use/a/t-1": half_away(100 * cost)}


def month_parts(period: Interval, zone: str) -> dict[tuple[int, int], tuple[list[int], Fraction]]:
    """The slots of each local month of a period, and which part of the month they are, counted one by one."""
    tz = ZoneInfo(zone)
    slots: dict[tuple[int, int], list[int]] = defaultdict(list)
    for slot in range(period.slot_count):
        local = (period.start + slot * QUARTER).astimezone(tz)
        slots[local.year, local.month].append(slot)
    parts = {}
    for (year, month), some in slots.items():
        whole, at = 0, datetime(year, month, 1, tzinfo=tz).astimezone(UTC)
        while at.astimezone(tz).month == month:
            whole, at = whole + 1, at + QUARTER
        parts[year, month] = some, Fraction(len(some), whole)
    return parts


@pytest.mark.parametrize("seed", range(16))
def test_a_two_part_price_costs_what_counting_quarter_hours_costs(seed: int) -> None:
    chance = random.Random(2000 + seed)
    zone = ("Asia/Shanghai", "America/Los_Angeles")[seed % 2]
    calendar = SiteCalendar(zone)
    first = date(2026, 2, 20) + timedelta(days=chance.randint(0, 20))
    period = Interval(calendar.midnight(first), calendar.midnight(first + timedelta(days=chance.randint(2, 20))))
    energy = {"a": [chance.randint(0, 150_000) for _ in range(period.slot_count)]}
    kva, kw, excess = chance.randint(100, 900), chance.randint(50, 700), chance.choice(("1", "2", "2.5"))
    tolerance, minimum = chance.choice(("100", "105", "110")), chance.choice((0, 300, 800))
    common = {"names": {"zh": "费", "en": "charge"}, "node": "a", "from": "2026-01-01", "source": "made up"}
    charges: list[dict[str, Any]] = [
        {**common, "id": "capacity", "kind": "capacity", "per_kva_month": "23.5", "capacity_kva": str(kva)},
        {
            **common,
            "id": "demand",
            "kind": "demand",
            "per_kw_month": "40.2",
            "minimum_kw": str(minimum),
            "contract": {"kw": str(kw), "tolerance_percent": tolerance, "excess_factor": excess},
        },
    ]
    pools = [
        {"id": f"p-{one}", "class": "must", "rule": "area", "charge": one, "units": "all", "grain": "period"}
        for one in ("capacity", "demand")
    ]
    inputs = period_inputs(zone, period, energy)
    run = close_period(inputs, rules_over(inputs, {"versions": FLAT, "charges": charges}, pools))
    costs = {"capacity": Fraction(0), "demand": Fraction(0)}
    for slots, part in month_parts(period, zone).values():
        costs["capacity"] += Fraction("23.5") * kva * part
        peak_kw = Fraction(4 * max(energy["a"][slot] for slot in slots), 1000)
        allowed = kw * Fraction(tolerance) / 100
        billed = max(Fraction(kw) if peak_kw <= allowed else peak_kw, Fraction(minimum))
        above = max(peak_kw - allowed, Fraction(0)) * (Fraction(excess) - 1)
        costs["demand"] += Fraction("40.2") * (billed + above) * part
    found = {pool.id: pool.cost_minor for pool in run.pools}
    # Steps are rounded to 10^-9 of a yuan each, which moves no fen here.
    assert found == {f"p-{one}": half_away(100 * cost) for one, cost in costs.items()}


def adjustment(standard: str) -> AdjustmentTable:
    """The shipped table of one standard."""
    content = {"table": "power-factor-1983"}
    opened = Tables(Path("/nowhere"), {}, []).open(RuleTable(TomlSource("-", content, {}), (), content, []), "table")
    assert opened is not None
    table = read_adjustment(opened, standard, date(2026, 1, 1))
    assert table is not None
    return table


def percent_by_steps(standard: int, hundredth: int) -> Fraction:
    """Walk hundredth by hundredth from the standard, adding what the circular adds at each step."""
    percent, at = Fraction(0), standard
    while at > hundredth:
        at -= 1
        half = Fraction(1, 2) if at >= standard - 20 else None
        one = Fraction(1) if at >= standard - 25 else None
        percent += half or one or Fraction(2)
    while at < hundredth:
        at += 1
        percent -= rewards(standard).get(at, Fraction(0))
    return percent


def rewards(standard: int) -> dict[int, Fraction]:
    """What each hundredth above the standard takes off the bill, in percent."""
    if standard == 90:
        return {one: Fraction(15, 100) for one in range(91, 96)}
    first = {one: Fraction(1, 10) for one in range(standard + 1, 91)}
    return first | {one: Fraction(15, 100) for one in range(91, 93 if standard == 80 else 95)}


@pytest.mark.parametrize("standard", [90, 85, 80])
def test_the_table_is_what_walking_from_the_standard_gives(standard: int) -> None:
    table = adjustment(f"0.{standard}")
    found = {hundredth: table.percent(hundredth) for hundredth in range(101)}
    assert found == {hundredth: percent_by_steps(standard, hundredth) for hundredth in range(101)}
    # What stands in print at the edges, in percent.
    printed = {
        90: {64: 17, 65: 15, 69: 11, 70: 10, 89: "0.5", 90: 0, 91: "-0.15", 94: "-0.6", 95: "-0.75", 100: "-0.75"},
        85: {59: 17, 60: 15, 64: 11, 65: 10, 84: "0.5", 85: 0, 86: "-0.1", 90: "-0.5", 93: "-0.95", 94: "-1.1"},
        80: {54: 17, 55: 15, 59: 11, 60: 10, 79: "0.5", 80: 0, 81: "-0.1", 90: "-1", 91: "-1.15", 92: "-1.3"},
    }[standard]
    assert {hundredth: found[hundredth] for hundredth in printed} == {
        hundredth: Fraction(str(percent)) for hundredth, percent in printed.items()
    }


def hundredths_by_roots(active: int, reactive: int) -> int:
    """P / sqrt(P^2 + Q^2) to 80 digits, then rounded as people round."""
    with localcontext() as context:
        context.prec = 80
        apparent = (Decimal(active) ** 2 + Decimal(reactive) ** 2).sqrt()
        return int((100 * Decimal(active) / apparent).to_integral_value(ROUND_HALF_UP))


@given(st.integers(0, 10**12), st.integers(0, 10**12))
@settings(deadline=None, max_examples=400)
def test_power_factors_are_those_of_80_digit_roots(active: int, reactive: int) -> None:
    if active or reactive:
        assert power_factor_hundredths(active, reactive) == hundredths_by_roots(active, reactive)


@pytest.mark.parametrize("hundredth", [64, 65, 66, 69, 70, 71, 84, 85, 89, 90, 91, 93, 94, 95, 99])
def test_one_varh_decides_at_every_edge_of_the_table(hundredth: int) -> None:
    active = 10**9
    with localcontext() as context:
        context.prec = 80
        edge = Decimal(2 * hundredth - 1) / 200
        most = int((active * (1 / edge**2 - 1).sqrt()).to_integral_value("ROUND_FLOOR"))
    assert power_factor_hundredths(active, most) == hundredth
    assert power_factor_hundredths(active, most + 1) == hundredth - 1
    assert hundredths_by_roots(active, most) == hundredth
    assert hundredths_by_roots(active, most + 1) == hundredth - 1


@pytest.mark.parametrize(
    ("hundredth", "percent"),
    [
        (64, "17"),
        (65, "15"),
        (69, "11"),
        (70, "10"),
        (71, "9.5"),
        (89, "0.5"),
        (90, "0"),
        (91, "-0.15"),
        (94, "-0.6"),
        (95, "-0.75"),
        (96, "-0.75"),
    ],
)
def test_a_bill_moves_by_the_percentage_of_its_power_factor(hundredth: int, percent: str) -> None:
    calendar = SiteCalendar("Asia/Shanghai")
    period = Interval(calendar.midnight(date(2026, 7, 1)), calendar.midnight(date(2026, 7, 2)))
    inputs = period_inputs("Asia/Shanghai", period, {"a": [1_000] * 96})
    active = 96_000
    with localcontext() as context:
        context.prec = 60
        reactive = int(active * (1 / (Decimal(hundredth) / 100) ** 2 - 1).sqrt())
    assert hundredths_by_roots(active, reactive) == hundredth
    charge = {
        "id": "adjustment",
        "kind": "power-factor",
        "names": {"zh": "力调", "en": "power factor"},
        "node": "a",
        "from": "2026-01-01",
        "standard": "0.90",
        "table": "power-factor-1983",
        "on": [],
        "levies_per_kwh": "0.04",
        "source": "made up",
    }
    pool = {"id": "p", "class": "must", "rule": "area", "charge": "adjustment", "units": "all", "grain": "period"}
    invoice = {
        "number": "E-1",
        "tariff": "main",
        "from": "2026-07-01",
        "to": "2026-07-02",
        "energy": "96",
        "reactive_kvarh": f"{Decimal(reactive) / 1000}",
        "amount": "96.00",
        "source": "made up",
    }
    shipped = Path(__file__).parents[2] / "allocation_engine" / "tables" / "power-factor-1983.toml"
    rules = rules_over(
        inputs,
        {"versions": FLAT, "charges": [charge]},
        [pool],
        invoices={"format": 1, "invoices": [invoice]},
        tables={"power-factor-1983": TomlSource.read(shipped).content},
    )
    run = close_period(inputs, rules)
    # 96 kWh at 1.00 less 0.04 of levies: 92.16 are adjusted.
    assert run.pools[0].cost_minor == half_away(Fraction(9216) * Fraction(percent) / 100)


def tax_of(percent: Fraction, *, included: bool) -> Tax:
    """A tax on everything."""
    names = (("zh", "税"), ("en", "tax"))
    return Tax("vat", names, percent, included, None, date(2026, 1, 1), None, "made up")


@given(st.integers(-(10**10), 10**10), st.fractions(0, 100, max_denominator=100))
@settings(deadline=None, max_examples=200)
def test_the_tax_in_a_price_is_what_trying_out_nets_finds(gross: int, percent: Fraction) -> None:
    tax = contained(gross, percent)
    exact = gross - Fraction(gross) / (1 + percent / 100)
    assert tax == half_away(exact)
    assert contained(-gross, percent) == -tax
    shown = show_tax(tax_of(percent, included=True), PartyId("t-1"), gross)
    assert (shown.gross_minor, shown.tax_minor) == (gross, tax)


@pytest.mark.parametrize("seed", range(8))
def test_an_added_tax_is_rounded_once_per_party(seed: int) -> None:
    chance = random.Random(3000 + seed)
    calendar = SiteCalendar("Asia/Shanghai")
    period = Interval(calendar.midnight(date(2026, 7, 1)), calendar.midnight(date(2026, 7, 2)))
    energy = {one: [chance.randint(0, 3_000) for _ in range(96)] for one in ("a", "b", "c")}
    let = [("a", "t-1", 0, 50), ("a", "t-2", 50, 96), ("b", "t-1", 0, 96)]
    inputs = period_inputs("Asia/Shanghai", period, energy, let)
    percent = chance.choice(("6", "13", "0.5"))
    tax = {
        "id": "vat",
        "names": {"zh": "税", "en": "tax"},
        "percent": percent,
        "included": False,
        "pools": "all",
        "from": "2026-01-01",
        "source": "made up",
    }
    run = close_period(inputs, rules_over(inputs, {"versions": FLAT, "taxes": [tax]}, [OWN_USE]))
    lines = amounts(run)
    net: dict[str, int] = defaultdict(int)
    for unit, party, first, end in [*let, ("c", "owner", 0, 96)]:
        net[party] += half_away(Fraction(sum(energy[unit][first:end]), 10))
    for party, amount in net.items():
        assert lines[f"vat/residual/{party}"] == half_away(amount * Fraction(percent) / 100)


@given(
    st.dictionaries(
        st.sampled_from(["t-1", "t-2", "t-3"]), st.tuples(st.integers(-5, 10**8), st.integers(-100, 10**8)), min_size=1
    ),
    st.one_of(st.none(), st.integers(1, 2_000_000)),
    st.fractions(0, 1, max_denominator=100),
    st.one_of(st.none(), st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))),
)
@settings(deadline=None, max_examples=200)
def test_a_cap_holds_exactly_where_multiplying_out_says_so(
    charged: dict[str, tuple[int, int]], base: int | None, uplift: Fraction, bill: tuple[int, int] | None
) -> None:
    reference = Reference.PURCHASE if base is None else Reference.CATALOGUE
    names = (("zh", "限价"), ("en", "cap"))
    cap = ResaleCap("cap", names, reference, base, uplift, uplift / 2, None, date(2026, 1, 1), None, "made up")
    invoice = None if bill is None else Invoiced(("E-1",), bill[0], None, bill[1])
    given_charged = {PartyId(party): Charged(*one) for party, one in charged.items()}
    checks = list(check_cap(cap, given_charged, invoice, "CNY"))
    prices = {one.party: one for one in checks if one.kind is CheckKind.PRICE}
    assert set(prices) == {party for party, (wh, _) in charged.items() if wh > 0}
    for party, one in prices.items():
        assert party is not None
        wh, minor = charged[party]
        if base is not None:
            # Yuan for the energy, and yuan it may cost: both times a thousand million.
            assert one.holds is (Fraction(minor, 100) <= Fraction(base, 10**6) * Fraction(wh, 1000) * (1 + uplift))
        elif bill is None or bill[0] == 0:
            assert (one.limit_minor, one.holds) == (None, False)
        else:
            assert one.holds is (minor * bill[0] <= bill[1] * wh * (1 + uplift))
    (whole,) = [one for one in checks if one.kind is CheckKind.SUM]
    total = sum(minor for _, minor in charged.values())
    assert whole.charged_minor == total
    assert whole.holds is (bill is not None and total <= bill[1] * (1 + uplift / 2))
