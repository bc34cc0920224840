"""What no other test reaches: tables that are wrong, rules handed to the wrong place, prices nobody pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocation_engine.apportion import apportion_rows, round_together
from allocation_engine.close_period import close_period
from allocation_engine.demand_split import weigh_demand
from allocation_engine.errors import AllWeightsZero, NotConserved, OutOfRange, PeriodNotReady
from allocation_engine.fixed_charges import split_fixed
from allocation_engine.inputs import PeriodInputs
from allocation_engine.keys import DemandMethod
from allocation_engine.metered import counted_nodes
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rule_table import RuleTable
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from allocation_engine.shares import split_shared
from allocation_engine.subjects import Subjects
from allocation_engine.tables_file import Tables, read_adjustment, read_calendar
from allocation_engine.tiered import customers_before
from metering.errors import DocumentError, Fault
from metering.identity import NodeId, PartyId, PoolId, UnitId
from metering.toml_source import TomlSource

MakeInputs = Callable[..., PeriodInputs]
MakeRules = Callable[..., Rules]
YEAR_2026 = {
    "year": 2026,
    "source": "a notice",
    "workdays": ["2026-02-14"],
    "holidays": [
        {"id": "spring", "first": "2026-02-15", "last": "2026-02-23", "names": {"zh": "春节", "en": "Spring Festival"}}
    ],
}
STANDARD = {
    "standard": "0.90",
    "ranges": [
        {"first": 90, "last": 100, "at_last": "0", "step": "0"},
        {"first": 0, "last": 89, "at_last": "0.5", "step": "0.5"},
    ],
}


def root_of(content: Mapping[str, Any]) -> tuple[RuleTable, list[Fault]]:
    """A table as a file would give it, and where its mistakes go."""
    faults: list[Fault] = []
    return RuleTable(TomlSource("table.toml", dict(content), {}), (), dict(content), faults), faults


def calendar_faults(**changes: Any) -> list[str]:
    """The mistakes of a calendar whose one year was changed."""
    root, faults = root_of({"format": 1, "id": "holidays", "years": [{**YEAR_2026, **changes}]})
    read_calendar(root)
    return [fault.problem for fault in faults]


def holiday(first: str, last: str) -> dict[str, Any]:
    """One holiday."""
    return {**YEAR_2026["holidays"][0], "first": first, "last": last}  # type: ignore[index, dict-item]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"year": "2026"}, ["year is '2026'"]),
        ({"workdays": ["14 February"]}, ["'14 February' is no day"]),
        ({"workdays": [14]}, ["14 is no day"]),
        ({"workdays": ["2026-02-15"]}, ["2026-02-15 is a holiday and a workday"]),
        ({"holidays": [holiday("2026-02-23", "2026-02-15")]}, ["2026-02-23 to 2026-02-15 are no days of 2026"]),
        ({"holidays": [holiday("2026-12-31", "2027-01-02")]}, ["2026-12-31 to 2027-01-02 are no days of 2026"]),
    ],
)
def test_a_calendar_that_cannot_be_is_told_with_its_day(changes: dict[str, Any], told: list[str]) -> None:
    # The first mistake is the one that counts; what it hides from the reader is told behind it.
    assert calendar_faults(**changes)[: len(told) or None] == told


def adjustment_faults(standard: str = "0.90", start: str = "1983-12-02", **changes: Any) -> list[str]:
    """The mistakes of a table of adjustments whose one standard was changed."""
    content = {"format": 1, "id": "t", "source": "a circular", "from": start, "standards": [{**STANDARD, **changes}]}
    root, faults = root_of(content)
    read_adjustment(root, standard, date(2026, 1, 1))
    return [fault.problem for fault in faults]


def test_a_table_of_adjustments_holds_every_hundredth_once() -> None:
    low, high = STANDARD["ranges"][1], STANDARD["ranges"][0]
    assert adjustment_faults() == []
    hole = "the ranges do not hold each of 0 to 100 once"
    assert adjustment_faults(ranges=[{**high, "first": 91}, low]) == [hole]  # type: ignore[dict-item]
    assert adjustment_faults(ranges=[high, low, {**low, "first": 89}]) == [hole]  # type: ignore[dict-item]
    assert adjustment_faults(ranges=[{**high, "first": "90"}, low]) == [  # type: ignore[dict-item]
        "'90' to 100 are no hundredths",
        hole,
    ]


def test_a_standard_or_a_day_that_the_table_does_not_know_is_told() -> None:
    assert adjustment_faults("0.95") == ["no standard '0.95'"]
    assert adjustment_faults(start="2027-01-01") == ["the table does not hold on 2026-01-01 yet"]


def open_table(tables: Tables, name: str) -> list[str]:
    """Open a table by name; give the mistakes."""
    root = RuleTable(TomlSource("pools.toml", {"law": name}, {}), (), {"law": name}, tables.faults)
    assert tables.open(root, "law") is None
    return [fault.problem for fault in tables.faults]


@pytest.mark.parametrize("name", ["no-such-table", "../secrets", "Heizkostenv"])
def test_a_table_nobody_wrote_is_told_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (told,) = open_table(Tables(tmp_path, {}, []), name)
    assert told == f"there is no table {name!r}: neither a file {name}.toml here nor a shipped one"


def test_a_table_without_a_name_is_told_once(tmp_path: Path) -> None:
    tables = Tables(tmp_path, {}, [])
    assert len(open_table(tables, "")) == 1


def test_a_table_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("format = 1\nid = \n", encoding="utf-8")
    tables = Tables(tmp_path, {}, [])
    open_table(tables, "own")
    assert [fault.line for fault in tables.faults] == [2]


def test_stored_rules_open_what_was_stored_with_them_and_nothing_else() -> None:
    (told,) = open_table(Tables(None, {}, []), "heizkostenv")
    assert "no table 'heizkostenv'" in told


def test_a_series_without_a_file_is_told_by_the_reader_of_its_table(tmp_path: Path) -> None:
    (tmp_path / "tariff.toml").write_text('format = 1\ncurrency = "CNY"\n', encoding="utf-8")
    (tmp_path / "pools.toml").write_text('format = 1\n[[series]]\nname = "tmax"\n', encoding="utf-8")
    names = SiteNames(frozenset(), {}, frozenset({PartyId("owner")}), PartyId("owner"), "CNY")
    with pytest.raises(DocumentError) as caught:
        read_rules(tmp_path, names)
    told = [(fault.line, fault.problem) for fault in caught.value.faults if fault.path.endswith("pools.toml")]
    assert (2, "file is missing") in told
    assert (2, "column is missing") in told


def test_rules_handed_to_the_wrong_place_are_a_mistake_of_ours(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 10, "u-a": 10}, units={"a": (100, "u-a")})
    rules = make_rules(inputs, area_pool, own_use_pool)
    priced = PricedPeriod.of(inputs, *rules.prices.tariffs)
    shared, metered = rules.pools
    with pytest.raises(TypeError, match="own-use is no shared pool"):
        split_shared(metered, priced)
    with pytest.raises(TypeError, match="lift is neither a standing nor a minimum charge"):
        split_fixed(shared, priced, ())
    nobody = Subjects.of_groups((), inputs, [], [])
    with pytest.raises(TypeError, match="needs a table of contracts"):
        weigh_demand(DemandMethod.CONTRACTED, nobody, priced, [], peak_of=(), contracted=None)


def test_the_nodes_that_count_are_those_of_the_unit_or_of_the_pool(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 10, "u-a": 10}, units={"a": (100, "u-a")})
    shared, metered = make_rules(inputs, area_pool, own_use_pool).pools
    assert counted_nodes(shared, inputs, None) == ("lift",)
    assert counted_nodes(metered, inputs, UnitId("a")) == ("u-a",)


def test_two_pools_of_one_node_are_refused_with_both_names(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 10}, units={"a": (100, None)})
    # The reader of the file refuses this already; whoever makes rules otherwise is refused when he closes.
    one = make_rules(inputs, area_pool)
    rules = replace(one, pools=(*one.pools, replace(one.pools[0], id=PoolId("lift-2"))))
    with pytest.raises(PeriodNotReady) as caught:
        close_period(inputs, rules)
    assert caught.value.reasons == ("node lift is charged by pool lift and by pool lift-2",)


def test_tiers_ask_for_what_was_taken_before_where_energy_is_charged_and_nowhere_else(
    make_inputs: MakeInputs, make_rules: MakeRules, area_pool: dict[str, Any], own_use_pool: dict[str, Any]
) -> None:
    inputs = make_inputs(energy={"lift": 10, "u-a": 10, "lab": 10}, units={"a": (100, "u-a")}, let=[("a", "t-1", 0, 4)])
    standing = {
        "id": "meter-rent",
        "class": "exclusive",
        "rule": "standing",
        "units": "all",
        "per_month": "3",
        "names": {"zh": "表", "en": "meter"},
        "from": "2026-01-01",
    }
    direct = {"id": "lab", "class": "exclusive", "rule": "direct", "path": ["lab"], "unit": "a"}
    plain = make_rules(inputs, area_pool, own_use_pool, direct)
    document = {**plain.document, "tariff": {**plain.document["tariff"]}, "pools": {**plain.document["pools"]}}
    tiers = {"span": "year", "limits": "whole", "steps": [{"upto": "10", "add": "0"}, {"add": "1"}]}
    document["tariff"]["versions"] = [{**document["tariff"]["versions"][0], "tiers": tiers}]
    document["pools"]["pools"] = [*document["pools"]["pools"], standing]
    names = SiteNames(
        frozenset(node.id for node in inputs.nodes),
        {UnitId("a"): NodeId("u-a")},
        frozenset({PartyId("t-1"), inputs.owner}),
        inputs.owner,
        "CNY",
    )
    needed = customers_before(inputs, rules_from_document(document, names))
    assert sorted(map(str, needed)) == ["lab/a/owner", "lab/a/t-1", "lift", "own-use/a/owner", "own-use/a/t-1"]
    assert set(needed.values()) == {(date(2026, 1, 1),)}


def test_rows_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(OutOfRange, match="in 62 bits"):
        apportion_rows(2**62, np.array([1], np.int64))
    with pytest.raises(OutOfRange, match="in 62 bits"):
        apportion_rows(1, np.array([3, -1], np.int64))
    with pytest.raises(OutOfRange, match="in 62 bits"):
        apportion_rows(1, np.array([2**61, 2**61], np.int64))
    with pytest.raises(AllWeightsZero, match="7 minor units"):
        apportion_rows(7, np.zeros(3, np.int64))
    assert apportion_rows(0, np.zeros(3, np.int64)).tolist() == [0, 0, 0]
    assert apportion_rows(0, np.zeros(0, np.int64)).tolist() == []


def test_fractions_that_make_no_whole_are_not_rounded_together() -> None:
    with pytest.raises(NotConserved, match="5/6, which is not whole"):
        round_together({"a": Fraction(1, 2), "b": Fraction(1, 3)})
    assert round_together({}) == {}


def test_a_period_without_any_pool_charges_nobody(make_inputs: MakeInputs, make_rules: MakeRules) -> None:
    inputs = make_inputs(energy={"main": 100}, units={"a": (100, None)})
    rules = make_rules(inputs, {"id": "rent", "class": "exclusive", "rule": "own-use", "units": "all"})
    with pytest.raises(PeriodNotReady, match="pool rent: unit a has no meter of its own"):
        close_period(inputs, rules)
    run = close_period(inputs, replace(rules, pools=()))
    assert (run.lines, run.pools, run.parties) == ((), (), ())
    assert run.reconciliation.unshared_minor == run.reconciliation.supply_minor == 40
