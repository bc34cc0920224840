"""The form of a pool: every formula pool comes through it unchanged, and every wrong field is named."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.rulebook.pool_form import Fields, fields_of, read_pool
from tests.doubles.park_books import read_park

BANDS = ("sharp", "peak", "flat", "valley", "deep")
SPREAD: dict[str, Any] = {
    "id": "corridor",
    "class": "negotiated",
    "names": {"zh": "走廊照明", "en": "Corridor lighting"},
    "rule": "formula",
    "reading": "spreading",
    "formula": "unit_area * times * load",
    "grain": "day",
    "from": "2026-08-01",
    "path": ["guard-room"],
    "measure": "import",
    "units": ["a101", "a102"],
    "times": dict.fromkeys(BANDS, "1.5"),
    "rated": "rated",
    "fallback": "owner",
    "below_zero": "zero",
    "agreement": "assembly 2026-07",
    "review_by": "2027-08-01",
}


def lobby() -> dict[str, Any]:
    """The pool of the example park that is a formula."""
    _, rules, _, _ = read_park()
    found: dict[str, Any] = next(one for one in rules.document["pools"]["pools"] if one["id"] == "lobby-ac")
    return found


def changed(pool: dict[str, Any], **typed: str | list[str]) -> Fields:
    """The form of a pool in which somebody typed something else."""
    given = {name: [one] if isinstance(one, str) else one for name, one in typed.items()}
    return Fields({**fields_of(pool).typed, **given})


@pytest.mark.parametrize(
    "pool",
    [
        SPREAD,
        {**SPREAD, "formula": {"op": "*", "of": [{"input": "unit_area"}, {"number": "2"}]}, "units": "all"},
        {**SPREAD, "tariff": "main", "deduct": ["u-a101"], "default": "civil-code-283"},
    ],
)
def test_a_pool_comes_through_the_form_unchanged(pool: dict[str, Any]) -> None:
    assert read_pool(fields_of(pool), pool, BANDS) == (pool, ())


def test_the_lobby_comes_through_the_form_unchanged() -> None:
    assert read_pool(fields_of(lobby()), lobby(), BANDS) == (lobby(), ())


@pytest.mark.parametrize(
    ("typed", "where", "key"),
    [
        ({"id": "Corridor 1"}, "id", "bad-id"),
        ({"id": ""}, "id", "needed"),
        ({"name_zh": " "}, "name_zh", "needed"),
        ({"agreement": ""}, "agreement", "needed"),
        ({"from": "1 August"}, "from", "bad-day"),
        ({"from": ""}, "from", "needed"),
        ({"to": "2026-07-31"}, "to", "to-before-from"),
        ({"review_by": "2027-13-01"}, "review_by", "bad-day"),
        ({"time-peak": "much"}, "time-peak", "bad-number"),
        ({"time-peak": ""}, "time-peak", "needed"),
        ({"units": []}, "units", "choose-one"),
        ({"path": []}, "path", "choose-one"),
        ({"grain": "year"}, "grain", "needed"),
        ({"blocks": "{"}, "formula", "bad-blocks"),
        ({"blocks": "[" * 30_000}, "formula", "bad-blocks"),
        ({"spread": "floors", "floors": ""}, "floors", "needed"),
        ({"spread": "floors", "floors": "a-1: a101\na-2 a102"}, "floors", "bad-floor"),
    ],
)
def test_a_wrong_field_is_named(typed: dict[str, Any], where: str, key: str) -> None:
    _, faults = read_pool(changed(SPREAD, **typed), SPREAD, BANDS)
    assert [(one.name, one.key) for one in faults] == [(where, key)]


def test_a_wrong_floor_is_told_with_its_row() -> None:
    _, faults = read_pool(changed(SPREAD, spread="floors", floors="a-1: a101\n\na-2"), SPREAD, BANDS)
    assert faults[0].told == {"row": "2", "line": "a-2"}


def test_a_form_typed_on_a_chinese_keyboard_is_understood() -> None:
    typed = changed(SPREAD, spread="floors", floors="一层： a101，a102\n二层：a201、a202", **{"time-peak": "１．８"})
    pool, faults = read_pool(typed, SPREAD, BANDS)
    assert faults == ()
    assert pool["floors"] == {"一层": ["a101", "a102"], "二层": ["a201", "a202"]}
    assert pool["times"]["peak"] == "1.8"


def test_turning_the_reading_round_leaves_nothing_of_the_other_behind() -> None:
    pool, faults = read_pool(changed(SPREAD, reading="pass-through", residual="owner", clamp="0.5"), SPREAD, BANDS)
    assert faults == ()
    assert pool["clamp"] == ["0", "0.5"]
    assert not pool.keys() & {"times", "rated", "fallback", "below_zero"}


def test_a_pool_of_another_rule_becomes_a_formula_with_nothing_of_the_old_rule() -> None:
    area = {"id": "lift", "class": "must", "rule": "area", "path": ["lift"], "units": "all", "law": "civil-code-283"}
    pool, _ = read_pool(changed(SPREAD, id="lift"), area, BANDS)
    assert (pool["class"], pool["rule"], "law" in pool) == ("negotiated", "formula", False)
