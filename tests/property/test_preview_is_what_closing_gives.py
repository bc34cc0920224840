"""A preview says exactly what closing would: for random sites, for any two versions of the rules, to the minor unit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.facts import Facts
from allocation_engine.preview import Preview, PreviewSession
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run
from metering.errors import BooksError, DocumentError, Fault
from tests.doubles.small_site import drawn_facts

SEEDS = range(12)
Document = dict[str, Any]


def pools_of(document: Document) -> list[dict[str, Any]]:
    """The pools of a document, to be changed in place."""
    found: list[dict[str, Any]] = document["pools"]["pools"]
    return found


def another_fallback(document: Document, chance: random.Random) -> None:
    pool = chance.choice([one for one in pools_of(document) if "fallback" in one])
    pool["fallback"] = "equal" if pool["fallback"] == "owner" else "owner"


def another_grain(document: Document, chance: random.Random) -> None:
    pool = chance.choice([one for one in pools_of(document) if one["id"] in ("lift", "stairs", "peak")])
    pool["grain"] = "day" if pool["grain"] == "period" else "period"


def by_area_instead(document: Document, chance: random.Random) -> None:
    pool = next(one for one in pools_of(document) if one["id"] == "lift")
    for key in ("keys", "stages", "method"):
        pool.pop(key, None)
    pool |= {"rule": "area", "fallback": "owner"}


def another_number(document: Document, chance: random.Random) -> None:
    table = next(one for one in document["pools"]["unit_numbers"] if one["name"] == "persons")
    table["values"][chance.choice(sorted(table["values"]))] = str(chance.randint(0, 9))


def another_price(document: Document, chance: random.Random) -> None:
    document["tariff"]["versions"][0]["rates"]["high"] = f"1.{chance.randint(0, 999_999):06d}"


def another_temperature(document: Document, chance: random.Random) -> None:
    document["series"]["tmax"][0][1] = str(chance.randint(20, 40))


def a_pool_less(document: Document, chance: random.Random) -> None:
    document["pools"]["pools"] = [one for one in pools_of(document) if one["id"] != "stairs"]


def a_pool_more(document: Document, chance: random.Random) -> None:
    pools_of(document).append({**pools_of(document)[-1], "id": "extra", "path": ["spare"]})


def another_minimum(document: Document, chance: random.Random) -> None:
    next(one for one in pools_of(document) if one["rule"] == "minimum")["per_month"] = str(chance.randint(0, 90))


def other_services(document: Document, chance: random.Random) -> None:
    document["pools"]["services"]["method"] = chance.choice(["direct", "step-down", "reciprocal"])


def another_served_key(document: Document, chance: random.Random) -> None:
    pool = next(one for one in pools_of(document) if one["id"] == "boiler")
    pool["keys"] = [{"by": ["equal"]}]


def another_load_of_a_service(document: Document, chance: random.Random) -> None:
    next(one for one in pools_of(document) if one["id"] == "boiler")["path"] = ["spare"]


def own_use_of_fewer(document: Document, chance: random.Random) -> None:
    own = next(one for one in pools_of(document) if one["id"] == "own-use")
    own["units"] = ["u-00000", "u-00003"]


def nobody_has_a_weight(document: Document, chance: random.Random) -> None:
    pool = next(one for one in pools_of(document) if one["id"] == "stairs")
    pool |= {"rule": "keys", "keys": [{"by": ["persons"], "degree_days": {"series": "tmax", "above": "99"}}]}
    pool.pop("fallback", None)


def a_slip(document: Document, chance: random.Random) -> None:
    pool = chance.choice([one for one in pools_of(document) if one["rule"] == "keys"])
    pool["path"] = ["nowhere"]


CHANGES: tuple[Callable[[Document, random.Random], None], ...] = (
    another_fallback,
    another_grain,
    by_area_instead,
    another_number,
    another_price,
    another_temperature,
    a_pool_less,
    a_pool_more,
    another_minimum,
    other_services,
    another_served_key,
    another_load_of_a_service,
    own_use_of_fewer,
    nobody_has_a_weight,
    a_slip,
)


def closed(facts: Facts) -> Run:
    """The period, as the production path closes it."""
    return close_period(facts.inputs, facts.rules)


def closed_or_refused(facts: Facts, document: Document) -> Run | tuple[tuple[Fault, ...], str]:
    """The period under other rules, or the faults or the reason for which it cannot be closed."""
    try:
        return closed(facts.with_rules(document))
    except DocumentError as error:
        return error.faults, ""
    except BooksError as error:
        return (), str(error)


def amounts(run: Run) -> dict[tuple[str, str, str | None], int]:
    """Amount by pool, party and unit."""
    return {(line.pool, line.party, line.unit): line.amount_minor for line in run.lines}


def require_equal(preview: Preview, before: Run, after: Run) -> None:
    """The preview holds every line of its pools as both runs have it, and the runs differ in no other pool."""
    shown = {one.pool for one in preview.pools}
    old, new = amounts(before), amounts(after)
    expected = {key: (old.get(key, 0), new.get(key, 0)) for key in old.keys() | new.keys() if key[0] in shown}
    assert {one[:3]: one[3:] for one in preview.lines} == expected
    assert {key: one for key, one in old.items() if key[0] not in shown} == {
        key: one for key, one in new.items() if key[0] not in shown
    }
    for run, side in ((before, "before"), (after, "after")):
        costs = {pool.id: (pool.cost_minor, pool.charged_minor) for pool in run.pools}
        for pool in preview.pools:
            sums = getattr(pool, side)
            assert (None if sums is None else (sums.cost_minor, sums.charged_minor)) == costs.get(pool.pool)
            assert sums is None or sums.adds_up


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_preview_is_what_closing_gives(change: Callable[[Document, random.Random], None], seed: int) -> None:
    facts = drawn_facts(seed)
    document = copy.deepcopy(facts.rules.document)
    change(document, random.Random(seed))
    preview = PreviewSession(facts).preview(document)
    after = closed_or_refused(facts, document)
    if isinstance(after, Run):
        assert not preview.is_refused
        require_equal(preview, closed(facts), after)
        assert sum(one.delta_minor for one in preview.lines) == sum(one.delta_minor for one in preview.parties)
    else:
        assert (preview.faults, preview.refusal) == after


@pytest.mark.parametrize("seed", range(10))
def test_one_session_answers_many_changes_and_forgets_none_of_the_present(seed: int) -> None:
    facts, chance = drawn_facts(seed), random.Random(seed)
    session, before = PreviewSession(facts), closed(facts)
    for change in chance.sample(CHANGES, 5):
        document = copy.deepcopy(facts.rules.document)
        change(document, chance)
        preview = session.preview(document)
        if not preview.is_refused:
            rules = rules_from_document(document, facts.names)
            require_equal(preview, before, close_period(facts.inputs, rules))


def test_the_same_rules_change_nothing() -> None:
    facts = drawn_facts(3)
    preview = PreviewSession(facts).preview(copy.deepcopy(facts.rules.document))
    assert (preview.pools, preview.lines, preview.parties, preview.left_out) == ((), (), (), ())
