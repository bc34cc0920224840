"""Runs of any period: their documents survive JSON, add up, and are shown and printed in both languages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation_engine import close_period as engine
from allocation_engine.close_period import close_period
from allocation_engine.errors import NotConserved
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.run import Run
from ingest.console.view import RunReader, RunView
from ingest.console.words import Language
from ingest.demo.play import Outcome
from ingest.demo.report import Report, to_text
from ingest.metering_points import metering_points
from ingest.period_inputs import period_inputs
from ingest.store.settled import SettledDay
from metering.errors import BooksError
from tests.doubles.park_books import read_park

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LABEL = "2026-07-01--2026-07-01"
BOOKED = datetime(2026, 8, 1, tzinfo=UTC)


@cache
def park() -> Any:
    """The park and what its meters count."""
    site, rules, _, catalogue = read_park()
    return site, rules, metering_points(site, catalogue)


@st.composite
def days(draw: st.DrawFn) -> PeriodInputs:
    """One day of the park with any energy at any node: quiet, busy, fed back, unbalanced."""
    site, _, points = park()
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    most = draw(st.sampled_from([1, 3, 1_000, 10**6, 10**9]))
    day = site.calendar.days(site.calendar.period(LABEL))[0]
    quality = (int(draw(st.sampled_from([SlotQuality.MEASURED, SlotQuality.ESTIMATED, SlotQuality.EXCHANGE]))),) * 96
    rows = [
        SettledDay(point.node, point.obis, day, tuple(map(int, seed.integers(0, most, 96))), quality, ())
        for point in points
    ]
    return period_inputs(site, LABEL, points, rows, ())


def closed(inputs: PeriodInputs) -> Run:
    """Close it by the park's rules."""
    return close_period(inputs, park()[1])


def stored(run: Run) -> dict[str, Any]:
    """The document as a database gives it back."""
    document = {**run.to_document(), "exceptions": [], "terms": {}}
    content: dict[str, Any] = json.loads(json.dumps(document, ensure_ascii=False))
    return content


def view_of(run: Run, language: Language) -> RunView:
    """What the console shows."""
    statements = [(f"n-{party}", party) for party in run.parties]
    return RunReader(park()[0], stored(run), language).read(booked_at=BOOKED, statements=statements)


def minor(amount: str) -> int:
    """Read an amount back from what is shown."""
    return int(re.sub(r"[^\d−]", "", amount).replace("−", "-"))


@FEW
@given(days())
def test_a_document_survives_json_whole(inputs: PeriodInputs) -> None:
    run = closed(inputs)
    document = run.to_document()
    assert json.loads(json.dumps(document)) == json.loads(json.dumps(closed(inputs).to_document()))
    again = json.loads(json.dumps(document, sort_keys=True))
    assert again["id"] == run.id
    assert len(again["lines"]) == len(run.lines)
    assert not any(isinstance(number, float) for number in _leaves(again)), "no number was rounded on the way"


def _leaves(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [leaf for each in part.values() for leaf in _leaves(each)]
    return [leaf for each in part for leaf in _leaves(each)] if isinstance(part, list) else [part]


@FEW
@given(days())
def test_lines_add_up_to_pools_and_pools_to_what_is_shown(inputs: PeriodInputs) -> None:
    run = closed(inputs)
    document = stored(run)
    for pool in document["pools"]:
        lines = [line["amount_minor"] for line in document["lines"] if line["pool"] == pool["id"]]
        assert sum(lines) == pool["cost_minor"]
    view = view_of(run, Language.EN)
    assert all(pool.conserves for pool in view.pools)
    for card, pool in zip(view.pools, document["pools"], strict=True):
        assert minor(card.lines_sum) + minor(card.residual) == minor(card.cost) == pool["cost_minor"]
        assert sum(minor(line.amount) for line in card.lines) == minor(card.lines_sum)
    assert sum(minor(row.total) for row in view.statements) == minor(view.statements_sum)


@FEW
@given(days())
def test_both_languages_show_the_same_numbers(inputs: PeriodInputs) -> None:
    run = closed(inputs)
    chinese, english = (view_of(run, language) for language in (Language.ZH, Language.EN))
    for one, other in zip(chinese.pools, english.pools, strict=True):
        assert (one.cost, one.lines_sum, one.residual, one.passed_on) == (
            *(other.cost, other.lines_sum, other.residual, other.passed_on),
        )
        assert [line.amount for line in one.lines] == [line.amount for line in other.lines]
    assert [row.loss for row in chinese.tree] == [row.loss for row in english.tree]
    assert [tile.figure for tile in chinese.tiles] == [tile.figure for tile in english.tiles]


@FEW
@given(days())
def test_a_loss_outside_its_band_is_a_case_and_blocks_the_run(inputs: PeriodInputs) -> None:
    run = closed(inputs)
    document = stored(run)
    outside = {row["node"] for row in document["balance"] if abs(row["loss_wh"] or 0) > (row["band_wh"] or 0)}
    assert {case["node"] for case in document["cases"]} == outside
    if outside:
        assert not document["approvable"]
    shown = {row.node for row in view_of(run, Language.EN).tree if row.within is False}
    assert shown == outside


@settings(FEW, max_examples=10)
@given(days())
def test_a_report_of_any_run_fits_its_columns_and_names_every_pool(inputs: PeriodInputs) -> None:
    run = closed(inputs)
    statements = tuple((f"n-{party}", party, Path(f"/{party}")) for party in run.parties)
    outcome = Outcome(Path("/run.json"), stored(run), BOOKED.isoformat(), statements, {})
    for language in Language:
        text = to_text(Report(park()[0], outcome, language).result())
        for pool in run.pools:
            assert dict(pool.names)[language] in text
        assert run.id in text


@settings(FEW, max_examples=10)
@given(days(), st.sampled_from([-1, 1]))
def test_a_pool_that_is_one_unit_off_never_becomes_a_run(inputs: PeriodInputs, by: int) -> None:
    plain = engine._split

    def planted(*arguments: Any) -> Any:
        result, lines = plain(*arguments)
        return result, tuple(replace(line, amount_minor=line.amount_minor + by * (line is lines[0])) for line in lines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_split", planted)
        with pytest.raises(NotConserved):
            closed(inputs)


@settings(FEW, max_examples=10)
@given(st.data())
def test_a_period_with_an_unknown_slot_is_refused_by_name(data: st.DataObject) -> None:
    site, _, points = park()
    day = site.calendar.days(site.calendar.period(LABEL))[0]
    hidden = data.draw(st.sampled_from([point for point in points if point.node == "lift"]))
    slot = data.draw(st.integers(0, 95))
    worst = data.draw(st.sampled_from([SlotQuality.MISSING, SlotQuality.HELD]))
    rows = []
    for point in points:
        quality = [0] * 96
        if point == hidden:
            quality[slot] = int(worst)
        rows.append(SettledDay(point.node, point.obis, day, (1,) * 96, tuple(quality), ()))
    with pytest.raises(BooksError, match="lift"):
        closed(period_inputs(site, LABEL, points, rows, ()))
