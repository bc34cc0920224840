"""Every mistake that can be made in a formula: where it is shown, what is said, and how it is to be mended."""

from __future__ import annotations

from typing import Any

import pytest

from allocation_engine.formula.faults import FormulaInvalid, Slip
from allocation_engine.formula.verdict import check_rule_text
from tests.doubles.formula_site import TABLES, UNITS, checked, setting, table

BARE: dict[str, Any] = {"times": (), "rated": None, "floors": {}}
STRICT: dict[str, Any] = {"clips": False, "falls_back": False}

SLIPS = [
    ("", 1, "a number or an input was expected, not the end", "write a number"),
    ("unit_area ; drop", 11, "';' is not part of a formula", "only numbers"),
    ("unit_area ** 2", 12, "a number or an input was expected, not '*'", "write a number"),
    ("unit_area 2", 11, "'2' was not expected", "join it with"),
    ("unit_area * 2 )", 15, "')' was not expected", "join it with"),
    ("unit_area * (2 + 1", 19, "')' was expected, not the end", "write ')'"),
    ("open('x')", 6, '"\'" is not part of a formula', "only numbers"),
    ("__import__(1)", 11, "'(' was not expected", "join it with"),
    ("lambda x", 8, "'x' was not expected", "join it with"),
    ("min(unit_area)", 1, "min takes 2-8 terms, not 1", "separate the terms"),
    ("clamp(load, 1)", 1, "clamp takes 3 terms, not 2", "separate the terms"),
    ("最小(load)", 1, "最小 takes 2-8 terms, not 1", "separate the terms"),
    ("max load", 5, "'(' was expected, not 'load'", "write '('"),
    ("meter(chiller)", 7, "'\"node\"' was expected, not 'chiller'", "write"),
    ('meter("xyz")', 1, "unknown node 'xyz'", "known: chiller, pump, u-a"),
    ('meter("chillr")', 1, "unknown node 'chillr'", "did you mean 'chiller'?"),
    ("unit_area * 5 apples", 15, "'apples' is no known unit", "known: C, K, W"),
    ("unit_area * 26度", 15, "'度' is no known unit", "known: C, K, W"),
    ("unit_aera * 2", 1, "unknown input 'unit_aera'", "did you mean 'unit_area'?"),
    ("单元面積 × 2", 1, "unknown input '单元面積'", "did you mean '单元面积'?"),
    ("xyz", 1, "unknown input 'xyz'", "known: "),
    ("2 = 3", 3, "'=' is not part of a formula", "only numbers"),
    ("unit_area + load", 11, "'+' needs equal units, not m2 and a plain number", "make both sides m2"),
    ("unit_area - 26", 11, "'-' needs equal units, not m2 and a plain number", "write the unit beside the number"),
    ("max(energy, 2 kW)", 1, "'max' needs equal units, not kWh and kW", "make both sides kWh"),
    ("clamp(load, 0, 5 K)", 1, "'clamp' needs equal units", "make both sides"),
    ("energy + contract * 1 h", 8, "'+' needs equal units, not kWh and kVA h", "make both sides kWh"),
    ("unit_area * (tmax + tmax)", 19, "two temperatures cannot be added", "add a difference in K"),
    ("unit_area * tmax", 11, "a temperature in C is a point on a scale: '*' means nothing", "take a base from it"),
    ("unit_area / tmax", 11, "a temperature in C is a point on a scale: '/' means nothing", "take a base from it"),
    ("unit_area * -tmax", 13, "a temperature in C is a point on a scale: '-' means nothing", "take a base from it"),
    ("max(tmax - 26, tmax)", 1, "a temperature in C is a point on a scale: 'max' means nothing", "take a base from it"),
    ("tmax", 1, "the result is a temperature", "take a base from it first: tmax - 26"),
    ("clamp(load, 1, 0)", 1, "the lower limit of clamp may be above the upper one", "write the smaller limit first"),
    ("energy / 0", 8, "this divides by 0, which may be 0 (always 0)", "divide by max(..."),
    ("energy / unit_area", 8, "this divides by unit_area, which may be 0 (0 or more)", "divide by max(..."),
    ("energy / (tmax - 26)", 8, "this divides by tmax - 26 C, which may be 0 (any number)", "declare a range"),
    ("energy / persons", 8, "this divides by persons, which may be 0 (0 to 5)", "divide by max(..."),
    ("energy / (persons - 2 persons)", 8, "which may be 0 (-2 to 3)", "divide by max(..."),
    (
        "unit_area / energy",
        11,
        "energy, which changes every quarter hour: exact sums",
        "divide by what holds for a day",
    ),
    (
        'unit_area / meter("pump")',
        11,
        'meter("pump"), which changes every quarter hour',
        "divide by what holds for a day",
    ),
    ("partly", 1, "partly has no number for c", 'missing = "zero"'),
    ("none * unit_area", 1, "this is always 0: nothing would reach anybody", "take out the factor that is 0"),
    ("-unit_area - 1 m2", 1, "this is never above 0 (-1 or less)", "turn the sign round"),
]


@pytest.mark.parametrize(("text", "position", "problem", "mend"), SLIPS)
def test_a_slip_in_weights_is_shown_with_its_position_and_mend(
    text: str, position: int, problem: str, mend: str
) -> None:
    with pytest.raises(FormulaInvalid, match="character") as caught:
        checked(text)
    fault = caught.value.faults[0]
    assert fault.position == position
    assert problem in fault.problem("en")
    assert mend in fault.mend("en")


PASSED_ON = [
    ("main_delta * floor_area", 1, "the result is m2 money but must be money"),
    ("floor_area / total_area", 1, "the result is a plain number but must be money"),
    ("main_delta * main_delta", 1, "the result is money2 but must be money"),
    ("main_delta * (tmax - 26)", 1, "the result is money K but must be money"),
    ("main_delta * (tmax - 26) / 10 / 2", 28, "K is left over in the result, and 10, 2 could each be meant in K"),
    ("main_delta + tmax", 12, "'+' needs equal units, not money and K"),
    ("max(main_delta, 26)", 1, "'max' needs equal units, not money and a plain number"),
    ("main_delta * energy / 5 kWh", 14, "energy changes within a day, and what is passed on is one part a day"),
    ("main_delta * times", 14, "times changes within a day"),
    ("main_delta * load", 14, "load changes within a day"),
    ("main_delta * price / 2", 1, "the result is money yuan / kWh but must be money"),
    ("0 * main_delta", 1, "this is always 0"),
    ("-main_delta", 1, "this is never above 0 (0 or less)"),
    ("main_delta / (tmax - 26)", 12, "which may be 0"),
]


@pytest.mark.parametrize(("text", "position", "problem"), PASSED_ON)
def test_a_slip_in_what_is_passed_on_is_shown_with_its_position(text: str, position: int, problem: str) -> None:
    with pytest.raises(FormulaInvalid) as caught:
        checked(text, "pass-through")
    fault = caught.value.faults[0]
    assert fault.position == position
    assert problem in fault.problem("en")


PLACES: list[tuple[str, str, dict[str, Any], Slip, str]] = [
    ("unit_area * times", "spreading", BARE, Slip.NEEDS_TIMES, "times needs the coefficients of the tariff's bands"),
    ("load", "spreading", BARE, Slip.NEEDS_RATED, "load needs the rated power of each unit"),
    ("load", "spreading", {"rated": TABLES["contract"]}, Slip.RATED_NO_POWER, "contract is in kVA"),
    (
        "load",
        "spreading",
        {"rated": table("rated", "kW", {"a": "1", "b": "0", "c": "2"})},
        Slip.MAY_DIVIDE_BY_ZERO,
        "this divides by rated, which may be 0",
    ),
    ("load", "spreading", {"rated": table("r", "kW", {"a": "1"})}, Slip.NO_NUMBER, "r has no number for b, c"),
    ("energy", "spreading", {"unmetered": UNITS[:2]}, Slip.NO_METER, "the units' own meters, and a, b has none"),
    ("floor_area", "spreading", BARE, Slip.NO_FLOORS, "floor_area speaks of floors, and the pool names none"),
    ("main_delta", "pass-through", BARE, Slip.NO_FLOORS, "what is passed on speaks of floors"),
    ("main_delta * floor_part", "pass-through", {"floors": {}}, Slip.NO_NUMBER, "floor-part has no number for a, b, c"),
    ("main_delta * humid", "pass-through", {"is_daily": False}, Slip.VARIES_BY_DAY, "humid changes daily"),
    ("unit_area - 5 m2", "spreading", STRICT, Slip.MAY_BE_NEGATIVE, "unit_area - 5 m2 may be below 0"),
    (
        "unit_area * (tmax - 26) / 10",
        "spreading",
        STRICT | {"falls_back": True},
        Slip.MAY_BE_NEGATIVE,
        "a weight may be negative (any number): tmax - 26 C may be below 0",
    ),
    ("unit_area", "spreading", STRICT, Slip.MAY_ALL_BE_ZERO, "all weights may be 0 at once (0 or more)"),
    ("persons * unit_area", "spreading", STRICT, Slip.MAY_ALL_BE_ZERO, "nothing says who pays then"),
]


@pytest.mark.parametrize(("text", "reading", "changes", "slip", "problem"), PLACES)
def test_what_a_pool_does_not_declare_is_asked_for(
    text: str, reading: str, changes: dict[str, Any], slip: Slip, problem: str
) -> None:
    with pytest.raises(FormulaInvalid) as caught:
        checked(text, reading, **changes)
    fault = caught.value.faults[0]
    assert fault.slip is slip
    assert problem in fault.problem("en")


def test_a_weight_that_may_be_negative_and_one_that_may_be_zero_are_two_mistakes() -> None:
    with pytest.raises(FormulaInvalid) as caught:
        checked("unit_area * (tmax - 26) / 10", **STRICT)
    assert [one.slip for one in caught.value.faults] == [Slip.MAY_BE_NEGATIVE, Slip.MAY_ALL_BE_ZERO]
    assert [one.position for one in caught.value.faults] == [19, 1]


@pytest.mark.parametrize(
    "text",
    [
        "floor_area",
        "1 + load",
        "persons + 1 persons",
        "max(0.5, load)",
        "2 - floor_part",
        "clamp(load, 1, 2) * floor_part",
    ],
)
def test_a_weight_that_is_always_above_zero_needs_no_fallback(text: str) -> None:
    assert checked(text, **STRICT).typed.range.is_positive


@pytest.mark.parametrize("text", ["max(0, tmax - 26)", "clamp(tmax - 26, 0, 10)", "-min(26 C - tmax, 0 K)"])
def test_a_difference_that_is_cut_off_needs_no_word_about_negatives(text: str) -> None:
    formula = checked(f"unit_area * {text}", clips=False)
    assert formula.term == formula.sentence.term


def test_a_definition_that_does_not_fit_says_why_where_it_is_used() -> None:
    definitions = {"per-person": "energy / persons", "twice": "2 * per_person"}
    with pytest.raises(FormulaInvalid) as caught:
        checked("unit_area * twice", definitions=definitions)
    (fault,) = caught.value.faults
    assert (fault.slip, fault.position) == (Slip.BROKEN_DEFINITION, 13)
    assert fault.problem("en") == (
        "twice does not fit here: per-person does not fit here: this divides by persons, which may be 0 (0 to 5)"
    )
    assert fault.problem("zh").startswith("twice 用在这里不对：per-person 用在这里不对：这里除以 人数")


def test_work_beyond_all_measure_is_refused() -> None:
    units = tuple(f"u-{number}" for number in range(40_000))
    wide = "min(" + ", ".join(f"energy * {number}" for number in range(1, 9)) + ")"
    with pytest.raises(
        FormulaInvalid, match="this would cost 2976000000 steps a month, more than 2000000000"
    ) as caught:
        checked(f"{wide} + {wide} + {wide}", units=units, floors={}, rated=None)
    assert caught.value.faults[0].slip is Slip.TOO_MUCH_WORK
    assert checked(wide, units=units, floors={}, rated=None).has_cells


def test_every_kind_of_slip_is_made_somewhere() -> None:
    made: set[Slip] = set()
    for text, _, _, _ in SLIPS:
        made.update(_slips(text, "spreading", {}))
    for text, _, _ in PASSED_ON:
        made.update(_slips(text, "pass-through", {}))
    for text, reading, changes, _, _ in PLACES:
        made.update(_slips(text, reading, changes))
    beside = {Slip.TOO_LONG, Slip.TOO_DEEP, Slip.TOO_MANY, Slip.TOO_MUCH_WORK, Slip.CYCLE, Slip.BROKEN_DEFINITION}
    assert made | beside == set(Slip)


def _slips(text: str, reading: str, changes: dict[str, Any]) -> set[Slip]:
    invalid = check_rule_text(text, setting(reading, **changes)).invalid
    return set() if invalid is None else {one.slip for one in invalid.faults}
