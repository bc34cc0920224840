"""Rules that are formulas: as files, as drafts an editor asks about, and as lines somebody can divide again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.errors import AllWeightsZero, InputsInvalid, PeriodNotReady, SeriesIncomplete
from allocation_engine.facts import Facts
from allocation_engine.formula_file import check_rule
from allocation_engine.formula_split import split_by_formula
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.key_steps import FORMULA
from allocation_engine.media import Medium
from allocation_engine.pools import Fallback, Grain, PassThroughRule, SpreadingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.proof import Broken, prove_line
from allocation_engine.rule_check import check_rules
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from allocation_engine.run import Run, ShareTrace
from ingest.explanation import Explanation
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId
from tests.doubles.loss_site import FLAT, site_inputs, statement_of

OWNER = PartyId("owner")
NAMES = SiteNames(
    nodes=frozenset(map(NodeId, ("lobby", "chiller", "u-a", "u-b"))),
    units={UnitId("a"): NodeId("u-a"), UnitId("b"): NodeId("u-b"), UnitId("c"): None},
    parties=frozenset({OWNER, PartyId("t-1")}),
    owner=OWNER,
    currency="CNY",
)
TARIFF = """\
format = 1
currency = "CNY"

[[versions]]
id = "v-1"
from = 2026-01-01
rates = { day = "0.9", night = "0.3" }

[[versions.seasons]]
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
day = ["07:00-22:00"]
night = ["22:00-07:00"]
"""
POOLS = """\
format = 1

[[series]]
name = "tmax"
names = { zh = "最高气温", en = "highest temperature" }
unit = "C"
range = ["-20", "45"]
file = "weather.csv"
column = "tmax_c"
source = "station"
missing_day = "refuse"

[[unit_numbers]]
name = "floor-part"
names = { zh = "楼层系数", en = "part of the floor" }
unit = "1"
source = "annex 2"
review_by = 2026-06-30
values = { f-1 = "0.4", f-2 = "0.6" }

[[definitions]]
name = "heat"
names = { zh = "热度", en = "heat" }
formula = "max(最高气温 - 26, 0)"

[[definitions]]
name = "summer"
formula = "1 + heat / 10"

[[pools]]
id = "lobby"
class = "negotiated"
agreement = "resolution 4"
names = { zh = "大堂", en = "Lobby" }
rule = "formula"
reading = "spreading"
formula = "大堂 = 楼层系数 × summer × 时段系数"
times = { day = "2", night = "1" }
path = ["lobby"]
measure = "import"
grain = "period"
fallback = "equal"
from = 2026-01-01

[pools.floors]
f-1 = ["a", "b"]
f-2 = ["c"]
"""
WEATHER = "day,tmax_c\n2026-07-01,31\n2026-07-02,24\n"
Read = Callable[..., Rules]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the rules with replacements in `pools.toml`."""

    def read_files(*replacements: tuple[str, str]) -> Rules:
        text = POOLS
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / "tariff.toml").write_text(TARIFF, encoding="utf-8")
        (tmp_path / "pools.toml").write_text(text, encoding="utf-8")
        (tmp_path / "weather.csv").write_text(WEATHER, encoding="utf-8")
        return read_rules(tmp_path, NAMES)

    return read_files


def faults(read: Read, *replacements: tuple[str, str]) -> list[str]:
    """The faults, as `line: problem (mend)`."""
    with pytest.raises(DocumentError) as caught:
        read(*replacements)
    return [f"{fault.line}: {fault.problem} ({fault.mend})" for fault in caught.value.faults]


def test_a_rule_is_read_with_its_definitions_names_and_bounds(read: Read) -> None:
    rules = read()
    (pool,) = rules.pools
    assert isinstance(pool.rule, SpreadingRule)
    assert pool.rule.units == ("a", "b", "c")
    assert (pool.rule.grain, pool.rule.fallback) == (Grain.PERIOD, Fallback.EQUAL)
    formula = pool.rule.formula
    assert formula.sentence.title == "大堂"
    assert [name for name, _ in formula.definitions] == ["heat", "summer"]
    assert formula.inputs == {"tmax", "floor-part", "times"}
    assert formula.typed.range.shown(formula.typed.unit_scale, "en") == "0.4 to 3.48"
    assert [one.name for one in formula.tables] == ["floor-part"]


def test_stored_rules_with_formulas_are_the_rules(read: Read) -> None:
    rules = read()
    stored = rules_from_document(rules.document, NAMES)
    assert (stored.pools, stored.hash) == (rules.pools, rules.hash)
    assert stored.pools[0].rule.formula.proof == rules.pools[0].rule.formula.proof  # type: ignore[union-attr]


def test_blocks_in_a_file_mean_what_the_text_means(read: Read) -> None:
    blocks = """\
formula = { op = "*", of = [
    { op = "*", of = [{ input = "floor-part" }, { input = "summer" }] },
    { input = "times" },
] }
"""
    text, built = read(), read(('formula = "大堂 = 楼层系数 × summer × 时段系数"\n', blocks))
    assert built.pools[0].rule.formula.term == text.pools[0].rule.formula.term  # type: ignore[union-attr]
    assert built.hash != text.hash
    (fault,) = faults(
        read, ('formula = "大堂 = 楼层系数 × summer × 时段系数"\n', blocks.replace('"*", of = [{', '"%", of = [{'))
    )
    assert fault.startswith("37: '%' is no operation at of[0] (known: + - * /")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("楼层系数 × summer", "楼层 × summer", "37: unknown input '楼层' at character 6 of '大堂 = 楼层 × summer × "),
        ('times = { day = "2", night = "1" }\n', "", "37: times needs the coefficients of the tariff's bands"),
        ('fallback = "equal"', 'fallback = "nobody"', "42: fallback is 'nobody'"),
        ('fallback = "equal"', 'below_zero = "minus"', "42: below_zero is 'minus'"),
        ('fallback = "equal"', 'clamp = ["0", "1"]', "42: unknown key 'clamp'"),
        ('grain = "period"', 'grain = "week"', "41: grain is 'week'"),
        ('f-2 = ["c"]', 'f-2 = ["b"]', "45: each unit must stand on one floor"),
        ('f-2 = ["c"]', "f-2 = []", "47: f-2 is []"),
        ('path = ["lobby"]', 'path = ["lobby"]\nunits = ["a", "c"]', "46: b is not one of the pool's units"),
        ('path = ["lobby"]', 'path = ["lobby"]\nunits = "all"', ""),
        ('f-2 = ["c"]', 'f-3 = ["c"]', "19: 'f-2' is no unit or group"),
        ('values = { f-1 = "0.4", f-2 = "0.6" }', 'values = { f-1 = "1" }', "37: floor-part has no number for a, b, c"),
        ("summer × 时段系数", "summer × 用电量 ÷ 5 kWh", "37: energy counts the units' own meters, and c has none"),
        ("summer × 时段系数", "summer × (最高气温 - 26)", "37: a weight may be negative (-80.04 to 33.06): tmax"),
        ("summer × 时段系数", "summer / (最高气温 - 26)", "37: this divides by tmax - 26 C, which may be 0 (-46 to"),
        ("max(最高气温 - 26, 0)", "最高气温 - 26", "37: a weight may be negative (-4.32 to 3.48): summer may"),
        ("1 + heat / 10", "1 + heat / ", "28: a number or an input was expected, not the end at character 12"),
        ("1 + heat / 10", "1 + summer / 10", "28: it rests on itself: summer (character 5) -> summer"),
        ("楼层系数 × summer", "楼层系数 × heat", "27: no formula uses summer (use it, or take it out)"),
        ('name = "summer"', 'name = "heat"', "27: two definitions are called 'heat'"),
        ('zh = "热度"', 'zh = "楼层系数"', "1: two things are called '楼层系数' in formulas"),
        ('range = ["-20", "45"]', 'range = ["25", "45"]', "7: range is ['25', '45'], and 2026-07-02: 24 lies"),
        ('range = ["-20", "45"]', 'range = ["45", "-20"]', "7: range is ['45', '-20'], and 2026-07-01: 31 lies"),
        ('range = ["-20", "45"]', 'range = "all"', "7: range is 'all' (write the least and the most"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(read: Read, old: str, new: str, told: str) -> None:
    if not told:
        assert read((old, new)).pools[0].rule.units == ("a", "b", "c")  # type: ignore[union-attr]
        return
    found = faults(read, (old, new))
    assert any(one.startswith(told) for one in found), found
    # What rests on a definition that cannot be read has no mistakes of its own.
    assert len(found) == 1 or "two definitions" in told or "no unit" in told


def test_more_definitions_than_anybody_reads_are_refused(read: Read) -> None:
    many = "".join(f'[[definitions]]\nname = "d-{number}"\nformula = "1"\n\n' for number in range(65))
    assert any("there are 67 definitions, at most 64" in one for one in faults(read, ("[[pools]]", many + "[[pools]]")))


def test_a_draft_is_answered_before_it_is_saved(read: Read) -> None:
    rules = read()
    draft = {
        "reading": "spreading",
        "grain": "period",
        "units": "all",
        "formula": "单元面积 × 热度",
        "fallback": "owner",
    }
    answer = check_rule(draft, rules, NAMES).to_document()
    assert answer["holds"]
    assert answer["text"]["en"] == "unit_area * heat"
    assert answer["unit"]["en"] == "m2 K"
    floors = {"f-1": ["a", "b"], "f-2": ["c"]}
    wrong = check_rule({**draft, "units": ["a"], "floors": floors, "formula": "energy * times"}, rules, NAMES)
    assert [one["slip"] for one in wrong.to_document()["faults"]] == ["needs-times"]
    passed_on = {"reading": "pass-through", "grain": "day", "floors": floors, "formula": "总表差值 × 楼层系数"}
    assert check_rule(passed_on, rules, NAMES).to_document()["unit"]["zh"] == "金额"
    assert check_rule({}, rules, NAMES).to_document()["holds"] is False


SPREAD: dict[str, Any] = {
    "id": "hall",
    "class": "negotiated",
    "agreement": "annex 1",
    "rule": "formula",
    "reading": "spreading",
    "path": ["lift"],
    "units": "all",
    "grain": "period",
    "fallback": "owner",
    "names": {"zh": "厅", "en": "Hall"},
    "measure": "import",
    "from": "2026-01-01",
}


def rules_with(inputs: PeriodInputs, formula: str, changes: Mapping[str, Any] | None = None, **others: Any) -> Rules:
    """Rules of one pool over the small site, with a temperature of 31 C on its only day."""
    season = {"months": list(range(1, 13)), **FLAT["hours"]}
    version = {"id": "v-1", "from": "2026-01-01", "rates": FLAT["rates"], "seasons": [season]}
    series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "made up", "missing_day": "refuse"}
    pool = {key: one for key, one in {**SPREAD, "formula": formula, **(changes or {})}.items() if one is not None}
    document = {
        "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
        "pools": {"format": 1, "series": [series], "pools": [pool], **others},
        "series": {"tmax": [["2026-07-01", "31"]]},
    }
    return rules_from_document(document, names_of(inputs))


def names_of(inputs: PeriodInputs) -> SiteNames:
    """The ids that rules of a period may speak of."""
    nodes, units = frozenset(node.id for node in inputs.nodes), {unit.id: unit.node for unit in inputs.units}
    return SiteNames(nodes, units, frozenset({one.party for one in inputs.occupancies} | {OWNER}), OWNER, "CNY")


def closed(formula: str, changes: Mapping[str, Any] | None = None, **energy: int) -> Run:
    """The period of the small site under one formula."""
    inputs = site_inputs(energy)
    return close_period(inputs, rules_with(inputs, formula, changes))


def test_weights_count_only_while_a_party_holds_its_unit() -> None:
    run = closed("energy")
    traces = {line.id: line.trace.keys for line in run.lines if isinstance(line.trace, ShareTrace)}
    # a1 500 Wh a slot for 8 slots, a2 300 for 3 and 5, c 950 for 2 (vacant) and 6; all share 100.
    assert {one: steps[0].weight for one, steps in traces.items()} == {
        "hall/u-a1/t-1": 40,
        "hall/u-a2/t-2": 9,
        "hall/u-a2/t-3": 15,
        "hall/u-c/owner": 19,
        "hall/u-c/t-4": 57,
    }
    assert {step.total for steps in traces.values() for step in steps} == {140}
    assert {step.stage for steps in traces.values() for step in steps} == {FORMULA}


@pytest.mark.parametrize("fallback", ["owner", "equal"])
def test_where_nobody_weighs_anything_the_fallback_pays(fallback: str) -> None:
    run = closed("energy", {"fallback": fallback}, a1=0, a2=0, c=0)
    assert run.pools[0].fallback == f"all weights of the formula were 0 in 1 spans; fallback: {fallback}"
    amounts = {line.id: line.amount_minor for line in run.lines}
    assert sum(amounts.values()) == run.pools[0].cost_minor == 80
    if fallback == "owner":
        assert amounts["hall/residual/owner"] == 80
    else:
        assert amounts["hall/u-a1/t-1"] == 27


def test_without_a_fallback_weights_that_are_all_zero_refuse_the_run() -> None:
    # The proof takes a floor's area to be above 0; that no floor has any is found here.
    inputs = site_inputs()
    bare = replace(inputs, units=tuple(replace(unit, area_cm2=0) for unit in inputs.units))
    floors = {"f-1": ["u-a1", "u-a2"], "f-2": ["u-c"]}
    with pytest.raises(PeriodNotReady, match="no area is known on floor f-1, f-2: what it weighs could reach nobody"):
        close_period(bare, rules_with(bare, "floor_area", {"units": None, "floors": floors, "fallback": None}))
    priced = PricedPeriod.of(inputs, *rules_with(inputs, "energy").prices.tariffs)
    still = site_inputs({"a1": 0, "a2": 0, "c": 0})
    (pool,) = rules_with(still, "energy").pools
    assert isinstance(pool.rule, SpreadingRule)
    unsaid = replace(pool, rule=replace(pool.rule, fallback=None))
    spans = [(priced.inputs.day_spans()[0][0], 0, 8)]
    with pytest.raises(AllWeightsZero, match="pool hall: all weights of the formula are 0 on 2026-07-01"):
        split_by_formula(unsaid, PricedPeriod.of(still, *rules_with(still, "energy").prices.tariffs), spans, [5])


def test_only_formulas_are_split_as_formulas(make_rules: Callable[..., Rules], area_pool: dict[str, Any]) -> None:
    inputs = site_inputs()
    rules = make_rules(inputs, area_pool)
    with pytest.raises(TypeError, match="is not shared by a formula"):
        split_by_formula(rules.pools[0], PricedPeriod.of(inputs, *rules.prices.tariffs), [], [])


def test_a_formula_counts_kilowatt_hours_and_no_litres() -> None:
    inputs = site_inputs()
    nodes = tuple(replace(node, medium=Medium.WATER, parents=()) if node.id == "c" else node for node in inputs.nodes)
    watered = replace(inputs, nodes=nodes)
    for formula in ("energy", 'unit_area * meter("c")'):
        with pytest.raises(InputsInvalid, match="a formula counts c in kWh, and it meters water"):
            close_period(watered, rules_with(watered, formula))


def test_the_cost_of_days_is_no_factor_where_some_are_credits() -> None:
    inputs = site_inputs(export={"lift": [0, 0, 0, 0, 0, 0, 0, 5000]})
    rules = rules_with(inputs, "unit_area * main_delta", {"measure": "net"})
    assert sum(line.amount_minor for line in close_period(inputs, rules).lines) < 0


def test_a_missing_temperature_refuses_the_run() -> None:
    inputs = site_inputs()
    rules = rules_with(inputs, "unit_area * max(tmax - 26, 0)")
    document = {**rules.document, "series": {"tmax": []}}
    names = SiteNames(
        frozenset(node.id for node in inputs.nodes), {u.id: u.node for u in inputs.units}, frozenset(), OWNER, "CNY"
    )
    with pytest.raises(SeriesIncomplete):
        close_period(inputs, rules_from_document(document, names))


def test_a_table_that_is_overdue_and_meters_that_are_not_settled_are_told() -> None:
    table = {"name": "persons", "unit": "persons", "source": "survey", "review_by": "2026-06-30"}
    table |= {"values": {"u-a1": "1", "u-a2": "2", "u-c": "3"}}
    inputs = site_inputs()
    rules = rules_with(inputs, 'persons * energy + persons * meter("c")', unit_numbers=[table])
    assert "pool hall: persons was due for review by 2026-06-30" in close_period(inputs, rules).warnings
    quality = inputs.quality.copy()
    quality[inputs.row(NodeId("c")), 3] = SlotQuality.MISSING
    quality[inputs.row(NodeId("a1")), 3] = SlotQuality.HELD
    names = SiteNames(
        frozenset(node.id for node in inputs.nodes), {u.id: u.node for u in inputs.units}, frozenset(), OWNER, "CNY"
    )
    facts = Facts(replace(inputs, quality=quality), rules, names)
    assert {one.subject for one in check_rules(facts, facts)} >= {"node/c", "node/a1"}


def test_what_is_passed_on_may_go_by_unit() -> None:
    clamp = {"reading": "pass-through", "clamp": ["0", "1"], "residual": "owner", "grain": "day", "fallback": None}
    inputs = site_inputs()
    rules = rules_with(inputs, "main_delta * (unit_area / total_area) * (tmax - 26) / 10", clamp)
    assert isinstance(rules.pools[0].rule, PassThroughRule)
    run = close_period(inputs, rules)
    amounts = {line.id: line.amount_minor for line in run.lines}
    # 0.80 by 1,000, 3,000 and 6,000 cm2, half of it passed on: 4, 12 and 24 of 80; the rest is the owner's.
    assert amounts["hall/u-a1/t-1"] == 4
    assert amounts["hall/u-a2/t-2"] + amounts["hall/u-a2/t-3"] == 12
    assert amounts["hall/u-c/owner"] + amounts["hall/u-c/t-4"] == 24
    assert amounts["hall/residual/owner"] == 40
    assert run.pools[0].days[0].passed_on == (1, 2)


@pytest.mark.parametrize("grain", ["period", "day"])
def test_a_line_can_be_divided_again_and_is_told_in_both_languages(grain: str) -> None:
    inputs = site_inputs()
    rules = rules_with(inputs, "厅费 = 单元面积 × max(tmax - 26, 0) × 总表差值", {"grain": grain})
    content = statement_of("t-4", inputs, rules)
    (line,) = content.lines
    assert "CNY" in prove_line(content, line)
    told = {
        language: [step.text for step in Explanation(content, language, all_spans=False).steps(line)]
        for language in ("en", "zh")
    }
    day = "" if grain == "period" else "2026-07-01 "
    assert (
        told["en"][2:5]
        == [
            "spread by a formula: 厅费 = 单元面积 × max(tmax - 26, 0) × 总表差值; "
            "a weight is what it gives, added up over the quarter hours of occupation",
            "2026-07-01: tmax = 31 (cost of the day 0.80 CNY)",
            f"{day}weight of u-c/t-4: 9 / 20",
        ]
        or told["en"][3:6]
    )
    assert any("按公式分摊：厅费" in text for text in told["zh"])
    assert any("tmax = 31" in text for text in told["zh"])


def test_a_weight_that_was_altered_is_found_out() -> None:
    inputs = site_inputs()
    content = statement_of("t-4", inputs, rules_with(inputs, "unit_area"))
    (line,) = content.lines
    assert isinstance(line.trace, ShareTrace)
    step = replace(line.trace.keys[0], weight=line.trace.keys[0].weight - 1)
    with pytest.raises(Broken, match="the keys give"):
        prove_line(content, replace(line, trace=replace(line.trace, keys=(step,))))
