"""Formulas: read in two languages and as blocks, given units, told how they vary, proven; never executed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from allocation_engine.formula.blocks import BlocksInvalid, from_blocks, to_blocks
from allocation_engine.formula.dimensions import AREA, ENERGY, PLAIN, POWER, Dimension, measured_in
from allocation_engine.formula.faults import LANGUAGES, FormulaInvalid, Slip
from allocation_engine.formula.proven import cycle_in
from allocation_engine.formula.setting import Pace, Space
from allocation_engine.formula.syntax import LENGTH_MAX, NESTING_MAX, OPERATIONS_MAX, parse_formula
from allocation_engine.formula.terms import Call, Input, MeterOf, Negative, Number, Operation, Sentence, depth_of, walk
from allocation_engine.formula.text import decimal_text, write_formula
from allocation_engine.formula.verdict import check_rule_text
from allocation_engine.formula.vocabulary import doubled
from tests.doubles.formula_site import VOCABULARY, checked, setting, sources

VERBATIM = "main_delta * (floor_area / total_area) * (tmax - 26) / 10"
CHINESE = "大堂空调费 = 总表差值 ×(各层面积÷总面积)×(当日最高温-26℃)÷10"


def read(text: str) -> Sentence:
    """A formula over the made-up site, only parsed."""
    return parse_formula(text, VOCABULARY)


@pytest.mark.parametrize("reading", ["pass-through", "spreading"])
def test_the_customers_formula_means_the_same_in_both_languages_and_both_readings(reading: str) -> None:
    english, chinese = checked(VERBATIM, reading), checked(CHINESE, reading)
    assert english.sentence.term == chinese.sentence.term
    assert english.term == chinese.term
    assert chinese.sentence.title == "大堂空调费"
    assert english.inputs == {"main_delta", "floor_area", "total_area", "tmax"}
    assert (english.typed.space, english.typed.pace) == (Space.FLOOR, Pace.DAY)


def test_the_units_understood_are_written_in() -> None:
    formula = checked(VERBATIM, "pass-through")
    words = formula.setting.sources.vocabulary
    assert write_formula(formula.sentence, words, "en") == (
        "main_delta * (floor_area / total_area) * (tmax - 26 C) / 10 K"
    )
    assert write_formula(checked(CHINESE).sentence, words, "zh") == (
        "大堂空调费 = 总表差值 × (各层面积 ÷ 总面积) × (当日最高温 - 26℃) ÷ 10 K"
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("10 - 4 - 3", "(10 - 4) - 3"),
        ("24 / 4 / 3", "(24 / 4) / 3"),
        ("- 2 * 3", "(-2) * 3"),
        ("２６ ＋ ３．５", "26 + 3.5"),
        ("a × b ÷ c － d", "a * b / c - d"),
        ("min（a，b）", "min(a, b)"),
        ("最小(a, b) + 最大(a, b) + 限幅(a, 0, 1)", "min(a, b) + max(a, b) + clamp(a, 0, 1)"),
        ("电表(“chiller”)", 'meter("chiller")'),
        ("26℃ + 26°C + 26 C", "26 C + 26 C + 26 C"),
        ("3 人 + 5 ％ + 2 小时", "3 persons + 5 % + 2 h"),
        ("100㎡ + 100 m² + 100平方米", "100 m2 + 100 m2 + 100 m2"),
        ("楼层系数", "floor_part"),
        ("人数 × 用电量 × 负载率 × 时段系数 × 单元面积", "persons * energy * load * times * unit_area"),
        ("  7\n", "7"),
    ],
)
def test_two_writings_are_one_tree(text: str, same: str) -> None:
    assert read(text).term == read(same).term


@pytest.mark.parametrize(
    "text",
    [
        "main_delta * floor_area / total_area",
        "a - (b - c)",
        "a / (b * c) * d",
        "-(5)",
        "--5",
        "-5 C",
        "-a * -(b + c)",
        "min(a, b, c) + clamp(a, 0, 1)",
        'meter("u-a") * 0.50',
        "0.000001 * 100000 kWh",
        "5% * energy",
    ],
)
def test_what_is_written_out_reads_back(text: str) -> None:
    sentence = read(text)
    for language in LANGUAGES:
        assert read(write_formula(sentence, VOCABULARY, language)) == sentence
    assert from_blocks(to_blocks(sentence)) == sentence


def test_a_title_is_kept_and_means_nothing() -> None:
    sentence = read("lobby fee = unit_area")
    assert (sentence.title, sentence.term) == ("lobby fee", Input("unit_area"))
    assert to_blocks(sentence) == {"title": "lobby fee", "input": "unit_area"}
    assert write_formula(from_blocks({"title": "lobby fee", "input": "unit_area"}), VOCABULARY, "en") == (
        "lobby fee = unit_area"
    )


def test_trees_know_their_parts_and_depth() -> None:
    term = read('clamp(-(5), min(a, 1), meter("pump")) * 2 K').term
    assert depth_of(term) == 4
    assert [type(one) for one in walk(term)] == [
        Operation,
        Call,
        Negative,
        Number,
        Call,
        Input,
        Number,
        MeterOf,
        Number,
    ]


def test_size_depth_and_operations_are_bounded() -> None:
    for text, told in (
        ("1" * (LENGTH_MAX + 1), "at most 1000 characters"),
        ("(" * (NESTING_MAX + 1) + "1" + ")" * (NESTING_MAX + 1), "nested deeper than 32"),
        ("+".join(["1"] * (OPERATIONS_MAX + 2)), "at most 100 operations, this one has 101"),
    ):
        with pytest.raises(FormulaInvalid, match=told):
            read(text)
    assert read("(" * (NESTING_MAX - 1) + "1" + ")" * (NESTING_MAX - 1)).term == Number(Fraction(1))
    assert depth_of(read("+".join(["1"] * (OPERATIONS_MAX + 1))).term) == OPERATIONS_MAX + 1


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("unit_area * (tmax - 26)", "unit_area * (tmax - 26 C)"),
        ("unit_area * (26 - tmax)", "unit_area * (26 C - tmax)"),
        ("unit_area * (tmax + 2 - 28)", "unit_area * (tmax + 2 K - 28 C)"),
        ("unit_area * (max(tmax, 20) - 20)", "unit_area * (max(tmax, 20 C) - 20 C)"),
        ("unit_area * max(tmax - 26, 0)", "unit_area * max(tmax - 26 C, 0)"),
        ("unit_area * min(tmax - 26, 5)", "unit_area * min(tmax - 26 C, 5 K)"),
        ("unit_area * (tmax - 26 + 1)", "unit_area * (tmax - 26 C + 1 K)"),
        ("unit_area * clamp((tmax - 26) / 10, 0, 1)", "unit_area * clamp((tmax - 26 C) / 10 K, 0, 1)"),
        ("unit_area * (1 + (tmax - 26) / 10)", "unit_area * (1 + (tmax - 26 C) / 10 K)"),
        ("unit_area * 3 * (tmax - 26) / 10", "unit_area * 3 * (tmax - 26 C) / 10 K"),
        ("unit_area * 10 / max(tmax - 26, 1)", "unit_area * 10 K / max(tmax - 26 C, 1 K)"),
        ("max(unit_area, 0)", "max(unit_area, 0)"),
    ],
)
def test_bare_numbers_take_the_unit_of_what_they_stand_beside(text: str, written: str) -> None:
    formula = checked(text)
    assert write_formula(formula.sentence, formula.setting.sources.vocabulary, "en") == written


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("unit_area * times * load", "m2"),
        ("energy * times", "kWh"),
        ("energy / 1 h", "kW"),
        ("energy / 15 m2", "kWh / m2"),
        ("persons * unit_area", "m2 persons"),
        ("contract * contract", "kVA2"),
        ("1 / max(unit_area, 1 m2)", "1 / m2"),
        ("5 % * load", "a plain number"),
        ("price * energy", "yuan"),
        ('meter("chiller") * unit_area * 1 h', "m2 kWh h"),
    ],
)
def test_a_result_has_its_unit(text: str, unit: str) -> None:
    # A currency in a table is a unit of its own: only main_delta is money.
    dimension = checked(text).typed.dimension
    assert dimension is not None
    assert dimension.shown("en") == unit


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        ("1", (Space.NONE, Pace.NONE)),
        ("floor_area", (Space.FLOOR, Pace.NONE)),
        ("floor_part", (Space.FLOOR, Pace.NONE)),
        ("unit_area * (tmax - 20)", (Space.UNIT, Pace.DAY)),
        ("times", (Space.NONE, Pace.BAND)),
        ('meter("pump")', (Space.NONE, Pace.SLOT)),
        ("floor_part * energy", (Space.UNIT, Pace.SLOT)),
        ("main_delta * persons", (Space.UNIT, Pace.DAY)),
    ],
)
def test_a_result_knows_between_whom_and_how_often_it_differs(text: str, extent: tuple[Space, Pace]) -> None:
    formula = checked(text)
    assert (formula.typed.space, formula.typed.pace) == extent


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("unit_area", "0 or more"),
        ("floor_area", "above 0"),
        ("floor_part", "0.4 to 0.6"),
        ("persons + 1 persons", "1 to 6"),
        ("parking", "0 to 1"),
        ("bounded - 15", "-5 to 5"),
        ("clamp(bounded - 15, 0, 3)", "0 to 3"),
        ("humid / 50 %", "0 to 2"),
        ("floor_area / total_area", "above 0"),
        ("1 / floor_part", "1.666666666 to 2.5"),
        ("times * 2 - 1", "0 to 3"),
        ("3", "always 3"),
        ("max(persons, 3 persons) - 4 persons", "-1 to 1"),
    ],
)
def test_bounds_come_from_tables_and_declared_ranges(text: str, bounds: str) -> None:
    formula = checked(text)
    if "666" in bounds:
        assert (formula.typed.range.low, formula.typed.range.high) == (Fraction(5, 3), Fraction(5, 2))
    else:
        assert formula.typed.range.shown(formula.typed.unit_scale, "en") == bounds


def test_the_proof_is_told_in_sentences_of_both_languages() -> None:
    spread = checked(VERBATIM).proof
    assert [english for english, _ in spread] == [
        "total_area is never 0 (above 0).",
        "tmax - 26 C may be below 0 (any number); where the result is, the weight counts as 0.",
        "A weight is the formula [money] (any number), added up over the quarter hours in which a party held the unit.",
        "What a floor weighs reaches its units by area.",
        "Where all weights are 0, the fallback pays.",
        "Each part is a weight divided by the sum of all weights: the lines add up to the cost.",
    ]
    passed_on = checked(VERBATIM, "pass-through").proof
    assert passed_on[-1][0].endswith("the residual bearer pays the rest: the lines add up to the cost.")
    assert all(chinese[0] >= "一" or chinese[0].isascii() for _, chinese in (*spread, *passed_on))
    certain = checked("1 + load", falls_back=False, clips=False).proof
    assert "Every weight is above 0, so somebody pays." in [english for english, _ in certain]


def test_an_editor_gets_text_blocks_units_and_proof_at_every_keystroke() -> None:
    answers = [check_rule_text(CHINESE[:end], setting()).to_document() for end in range(len(CHINESE) + 1)]
    assert [answer["holds"] for answer in answers].count(True) >= 2
    last = answers[-1]
    assert last["unit"] == {"en": "money", "zh": "金额"}
    assert last["varies"] == ["floor", "day"]
    assert check_rule_text(last["blocks"], setting()).formula == check_rule_text(last["text"]["zh"], setting()).formula
    assert len(last["proof"]["zh"]) == len(last["proof"]["en"]) == 6
    assert all(1 <= fault["position"] <= len(CHINESE) + 1 for answer in answers for fault in answer["faults"])


def test_a_formula_that_does_not_hold_still_gives_its_text_and_blocks() -> None:
    answer = check_rule_text("unit_area * tmax", setting()).to_document()
    assert (answer["holds"], answer["proof"], answer["unit"]) == (False, {}, {})
    assert answer["text"]["zh"] == "单元面积 × 当日最高温"
    assert answer["blocks"] == {"op": "*", "of": [{"input": "unit_area"}, {"input": "tmax"}]}
    (fault,) = answer["faults"]
    assert (fault["position"], fault["slip"]) == (11, "point-multiplied")
    assert fault["mend"] == {"en": "take a base from it first: (tmax - 26)", "zh": "先减去基准：(tmax - 26)"}


def test_definitions_may_rest_on_each_other() -> None:
    definitions = {
        "heat": "(tmax - 26) / 10",
        "summer": "clamp(heat, 0, 1)",
        "cooling": 'meter("chiller") + meter("pump")',
    }
    formula = checked("unit_area * summer * cooling", definitions=definitions)
    assert [name for name, _ in formula.definitions] == ["cooling", "heat", "summer"]
    assert formula.inputs == {"unit_area", "tmax"}
    assert (formula.typed.space, formula.typed.pace) == (Space.UNIT, Pace.SLOT)
    dimension = formula.typed.dimension
    assert dimension is not None
    assert dimension.shown("en") == "m2 kWh"


def test_a_circle_of_definitions_is_found_with_its_way_round() -> None:
    found = cycle_in(sources({"a-1": "2 * b-1", "b": "1 + c", "c": "3 * d", "d": "b - 1"}).definitions)
    assert found is not None
    name, fault = found
    assert (name, fault.position) == ("b", 5)
    assert fault.problem("en") == "it rests on itself: b (character 5) -> c (character 5) -> d (character 1) -> b"
    assert "定义绕了一圈" in fault.problem("zh")
    assert cycle_in(sources({"a": "b + b", "b": "1"}).definitions) is None


def test_a_name_that_two_things_have_is_found() -> None:
    assert doubled([("area", "总面积")]) == ["总面积"]
    assert doubled([("floor-part", ""), ("floor_part", "")]) == ["floor_part"]
    assert doubled([("max", "")]) == ["max"]
    assert doubled([("tmax", "当日最高温")]) == []


@pytest.mark.parametrize(
    ("text", "dimension", "scale"),
    [
        ("kW", POWER, 1000),
        ("kWh/m2", ENERGY.times(AREA, -1), Fraction(1, 10)),
        ("W/m2", POWER.times(AREA, -1), Fraction(1, 10_000)),
        ("m2·h", AREA.times(Dimension((("time", 1),))), 10_000),
        ("", PLAIN, 1),
        ("系数", PLAIN, 1),
        ("%", PLAIN, Fraction(1, 100)),
        ("shares", Dimension((("shares", 1),)), 1),
    ],
)
def test_units_of_tables_are_read(text: str, dimension: Dimension, scale: Fraction | int) -> None:
    unit = measured_in(text)
    assert (unit.dimension, unit.scale) == (dimension, scale)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({}, ""),
        ({"op": "^", "of": [{"input": "a"}, {"input": "b"}]}, ""),
        ({"op": "+", "of": [{"input": "a"}]}, ""),
        ({"op": "+", "of": [{"input": "a"}, {"op": "clamp", "of": [{"input": "a"}]}]}, "of[1]"),
        ({"op": "*", "of": [{"number": "1e9"}, {"input": "b"}]}, "of[0]"),
        ({"op": "*", "of": [{"number": 2}, {"input": "b"}]}, "of[0]"),
        ({"number": "2", "unit": "furlong"}, ""),
        ({"number": "2", "unit": ["C"]}, ""),
        ({"input": "__import__('os')"}, ""),
        ({"meter": 'a"b'}, ""),
        ({"input": "a", "number": "1"}, ""),
        ({"title": "a = b", "input": "a"}, "title"),
        ([], ""),
        ("tmax", ""),
    ],
)
def test_what_is_no_block_is_refused_with_its_path(content: object, path: str) -> None:
    with pytest.raises(BlocksInvalid) as caught:
        from_blocks(content)
    assert caught.value.path == path


def test_blocks_are_bounded_like_text() -> None:
    deep: dict[str, object] = {"input": "a"}
    for _ in range(OPERATIONS_MAX + 1):
        deep = {"op": "minus", "of": [deep]}
    with pytest.raises(BlocksInvalid, match="more than 100 operations"):
        from_blocks(deep)


@pytest.mark.parametrize(
    ("number", "text"), [("0.5", "0.5"), ("-12.25", "-12.25"), ("100", "100"), ("-0.001", "-0.001")]
)
def test_decimals_are_written_as_they_were(number: str, text: str) -> None:
    assert decimal_text(Fraction(number)) == text


def test_every_kind_of_slip_can_be_said_in_both_languages() -> None:
    from allocation_engine.formula import faults

    assert set(faults._TEXT) == set(Slip)
    for parts in faults._TEXT.values():
        assert all(part.strip() for part in parts)
