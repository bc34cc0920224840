"""A preview beside what it leaves out and what it refuses."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from allocation_engine.facts import Facts
from allocation_engine.preview import PoolSum, PreviewSession
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run_diff import RunsNotComparable
from metering.errors import DocumentError
from tests.doubles.small_site import drawn_facts


@pytest.fixture(scope="module")
def facts() -> Facts:
    """A site of six units."""
    return drawn_facts(1)


@pytest.fixture(scope="module")
def session(facts: Facts) -> PreviewSession:
    """Its period, loaded."""
    return PreviewSession(facts)


def changed(facts: Facts, pool: str, **parts: Any) -> dict[str, Any]:
    """The rules with parts of a pool changed."""
    document = copy.deepcopy(dict(facts.rules.document))
    next(one for one in document["pools"]["pools"] if one["id"] == pool).update(parts)
    return document


def test_only_the_pool_that_changed_is_shown(facts: Facts, session: PreviewSession) -> None:
    preview = session.preview(changed(facts, "stairs", units=["u-00001"]))
    assert [one.pool for one in preview.pools] == ["stairs"]
    assert {line.pool for line in preview.lines} == {"stairs"}
    assert all(sums is not None and sums.adds_up for one in preview.pools for sums in (one.before, one.after))


def test_lines_and_parties_that_rise_most_stand_first(facts: Facts, session: PreviewSession) -> None:
    preview = session.preview(changed(facts, "stairs", units=["u-00001"]))
    for deltas in ([one.delta_minor for one in preview.lines], [one.delta_minor for one in preview.parties]):
        assert deltas == sorted(deltas, reverse=True)
        assert deltas[0] > 0 > deltas[-1]


def test_no_pool_that_did_not_change_is_computed(
    facts: Facts, session: PreviewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("allocation_engine.preview.split_metered", lambda *one: asked.append(str(one)))
    assert session.preview(changed(facts, "lift", names={"zh": "梯", "en": "lift"})).pools
    assert asked == []


def test_rules_with_a_slip_are_answered_with_all_faults(facts: Facts, session: PreviewSession) -> None:
    preview = session.preview(changed(facts, "stairs", units=["nobody"], grain="year"))
    assert len(preview.faults) == 2
    assert preview.is_refused
    assert preview.lines == ()


def test_rules_that_cannot_close_the_period_are_refused_in_words(facts: Facts, session: PreviewSession) -> None:
    preview = session.preview(changed(facts, "stairs", **{"from": "2027-01-01"}))
    assert "pool stairs holds from 2027-01-01" in preview.refusal


def test_tables_of_numbers_are_read_again_where_they_differ_and_only_there(facts: Facts) -> None:
    document = copy.deepcopy(dict(facts.rules.document))
    again = rules_from_document(document, facts.names, facts.rules).formulas.numbers
    assert all(again[name] is one for name, one in facts.rules.formulas.numbers.items())
    persons, rated = document["pools"]["unit_numbers"]
    persons["values"]["nobody"] = "1"
    rated["values"]["u-00001"] = "-2"
    found = []
    for earlier in (None, facts.rules):
        with pytest.raises(DocumentError) as caught:
            rules_from_document(document, facts.names, earlier)
        found.append(caught.value.faults)
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_a_new_group_may_be_what_numbers_are_given_for(facts: Facts) -> None:
    document = copy.deepcopy(dict(facts.rules.document))
    stages = next(one for one in document["pools"]["pools"] if one["id"] == "lift")["stages"]
    stages[0]["groups"] = {f"{name}-new": units for name, units in stages[0]["groups"].items()}
    fresh, again = (rules_from_document(document, facts.names, one).formulas.numbers for one in (None, facts.rules))
    assert {name: one.days for name, one in fresh.items()} == {name: one.days for name, one in again.items()}
    assert not any(again[name] is one for name, one in facts.rules.formulas.numbers.items())


def test_another_currency_is_no_preview(facts: Facts, session: PreviewSession) -> None:
    prices = facts.rules.prices
    euros = replace(prices, tariffs=tuple(replace(one, currency="EUR") for one in prices.tariffs))
    with pytest.raises(RunsNotComparable, match="CNY and EUR"):
        session.compare(replace(facts, rules=replace(facts.rules, prices=euros)))


def test_added_taxes_and_losses_are_named_as_left_out(facts: Facts) -> None:
    document = copy.deepcopy(dict(facts.rules.document))
    tax = {
        "id": "vat",
        "names": {"zh": "税", "en": "tax"},
        "percent": "13",
        "included": False,
        "pools": "all",
        "source": "made up",
        "from": "2026-01-01",
    }
    document["tariff"]["taxes"] = [tax]
    taxed = facts.with_rules(document)
    preview = PreviewSession(taxed).preview(changed(taxed, "stairs", units=["u-00001"]))
    assert preview.left_out == ("tax vat",)


def test_a_preview_is_plain_content(facts: Facts, session: PreviewSession) -> None:
    document = session.preview(changed(facts, "stairs", id="steps")).to_document()
    assert json.loads(json.dumps(document)) == document
    assert [(one["pool"], one["before"] is None, one["after"] is None) for one in document["pools"]] == [
        ("stairs", False, True),
        ("steps", True, False),
    ]
    before, after = (
        {tuple(line[1:3]): line[place] for line in document["lines"] if line[0] == pool}
        for pool, place in (("stairs", 3), ("steps", 4))
    )
    assert before == after


def test_a_sum_that_loses_a_fen_does_not_add_up() -> None:
    assert PoolSum(100, 90, 10).adds_up
    assert not PoolSum(100, 90, 9).adds_up
