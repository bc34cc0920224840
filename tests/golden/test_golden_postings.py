"""The public posting of a run, as it hangs on the board: what it says, and what nobody can find in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.money import show_kwh
from allocation_engine.posting import posting_of
from tests.golden.test_golden_changes import ChangeCase, money
from tests.golden.test_golden_trees import OWNER

FOLDER = Path(__file__).parent / "posted-without-anybodys-amount"
FACTS = tomllib.loads((FOLDER / "posted.toml").read_text(encoding="utf-8"))
EXPECT = FACTS["expect"]


def posted(facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The posting of a case, and the document of its run."""
    case = ChangeCase(facts)
    run = close_period(case.inputs, case.rules)
    document = {**run.to_document(), "commitment": commit_run(run, bytes(32)).to_document()}
    return posting_of(document, case.rules, OWNER, ["main"]), document


def amounts(content: Any) -> Iterator[int]:
    """Every amount of money in a posting."""
    if isinstance(content, dict):
        for key, one in content.items():
            if key.endswith("_minor") and one is not None:
                yield one
            yield from amounts(one)
    elif isinstance(content, list):
        for one in content:
            yield from amounts(one)


def test_the_posting_says_what_was_calculated_by_hand() -> None:
    posting, _ = posted(FACTS)
    assert {one["id"]: one["method"]["rule"] for one in posting["pools"]} == EXPECT["methods"]
    assert money(posting["bought"]["supply_minor"]) == EXPECT["bought"]
    found = [
        [one["pools"], one["tenants"], *(money(one[f"{name}_minor"]) for name in ("cost", "tenants", "owner"))]
        for one in posting["sums"]
    ]
    assert found == EXPECT["sums"]
    totals = {name: money(posting["totals"][f"{name}_minor"]) for name in EXPECT["totals"]}
    assert totals == EXPECT["totals"]
    names = ("net_wh", "children_wh", "loss_wh", "band_wh")
    assert [[one["node"], *(show_kwh(one[name]) for name in names)] for one in posting["losses"]] == EXPECT["losses"]


def test_no_amount_of_a_tenant_is_on_the_board() -> None:
    posting, document = posted(FACTS)
    of_tenants = {line["amount_minor"] for line in document["lines"] if line["party"] != OWNER}
    assert of_tenants
    assert not of_tenants & set(amounts(posting))


def test_of_two_tenants_no_sum_is_posted() -> None:
    posting, _ = posted({**FACTS, **EXPECT["of_two_tenants"]})
    assert {one["cost_minor"] for one in posting["sums"]} == {None}
    assert set(posting["totals"].values()) == {None}


def test_the_posting_carries_the_root_of_every_statement() -> None:
    posting, document = posted(FACTS)
    assert posting["root"] == document["commitment"]["root"]
    assert {one["id"]: one["root"] for one in posting["pools"]} == document["commitment"]["pools"]


def test_the_posting_says_why_it_is_there() -> None:
    assert len(FACTS["why"].split()) > 25
