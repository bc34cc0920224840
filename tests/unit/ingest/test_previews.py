"""Previews over HTTP and on the command line, on the database in memory: amounts, faults, and what stays loaded."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.preview import PoolPreview, PoolSum, Preview, PreviewLine
from allocation_engine.run_diff import PartyDiff
from allocation_engine.run_state import RunUnknown
from ingest.cli import main
from ingest.console.words import Language
from ingest.preview_desk import PreviewDesk
from ingest.preview_words import LINES_SHOWN, preview_lines, preview_word
from metering.identity import PartyId, PoolId, UnitId
from tests.doubles.memory_centre import MemoryCentre
from tests.doubles.park_books import PARK

RUNS = "/v1/allocation-runs"


@pytest.fixture(scope="module")
def centre() -> Iterator[MemoryCentre]:
    """A centre with one closed day; previews store nothing, so all tests share it."""
    with MemoryCentre().open() as built:
        built.books.enrol_all()
        built.write_day()
        assert built.close_day()["state"] == "computed"
        yield built


@pytest.fixture
def run(centre: MemoryCentre) -> str:
    """The id of the run."""
    (found,) = centre.database.tables.runs
    return str(found)


@pytest.fixture
def desk(centre: MemoryCentre) -> PreviewDesk:
    """A desk that keeps one period."""
    return PreviewDesk(centre.database, centre.closing.desk.catalogue, sessions_max=1)


def area_pool(centre: MemoryCentre, run: str, desk: PreviewDesk) -> dict[str, Any]:
    """A pool by area, as the rules have it."""
    pools = desk.session(run).facts.rules.document["pools"]["pools"]
    found: dict[str, Any] = copy.deepcopy(next(one for one in pools if one["rule"] == "area"))
    return found


def test_a_changed_pool_is_previewed_line_by_line(centre: MemoryCentre, run: str, desk: PreviewDesk) -> None:
    pool = area_pool(centre, run, desk)
    units = sorted(unit.id for unit in desk.session(run).facts.inputs.units)[:2]
    answer = centre.post(f"{RUNS}/{run}/preview", json={"pools": [{**pool, "units": units}]})
    assert answer.status_code == 200
    (changed,) = answer.json()["pools"]
    assert changed["pool"] == pool["id"]
    assert changed["before"]["cost_minor"] == changed["after"]["cost_minor"]
    lines = answer.json()["lines"]
    assert sum(line[5] for line in lines) == 0
    assert sum(line[4] for line in lines) == changed["after"]["cost_minor"]
    assert {line[2] for line in lines if line[4]} <= {*units, None}
    deltas = [line[5] for line in lines]
    assert deltas == sorted(deltas, reverse=True)


def test_what_a_preview_says_is_what_a_what_if_says(centre: MemoryCentre, run: str, desk: PreviewDesk) -> None:
    pool = area_pool(centre, run, desk)
    content = copy.deepcopy(desk.session(run).facts.rules.document["pools"])
    for one in content["pools"]:
        if one["id"] == pool["id"]:
            one["units"] = sorted(unit.id for unit in desk.session(run).facts.inputs.units)[1:4]
    changed = {"rules": {"pools": content}}
    preview, slow = (centre.post(f"{RUNS}/{run}/{verb}", json=changed).json() for verb in ("preview", "what-if"))
    # A what-if lists only lines that differ, of all pools; taxes that are added follow the lines they are on.
    shown = {(one["pool"], one["party"], one["unit"]): one["delta_minor"] for one in slow["lines"]}
    assert {tuple(line[:3]): line[5] for line in preview["lines"] if line[5]} == {
        key: delta for key, delta in shown.items() if key[0] == pool["id"]
    }


def test_rules_with_faults_are_refused_with_all_of_them(centre: MemoryCentre, run: str, desk: PreviewDesk) -> None:
    pool = area_pool(centre, run, desk)
    answer = centre.post(f"{RUNS}/{run}/preview", json={"pools": [{**pool, "units": ["nowhere"], "grain": "hour"}]})
    assert answer.status_code == 422
    faults = answer.json()["faults"]
    assert sorted(fault["problem"] for fault in faults) == ["grain is 'hour'", "unknown unit 'nowhere'"]
    assert all(fault["path"] and fault["mend"] for fault in faults)


def test_rules_that_do_not_hold_in_the_period_say_so(centre: MemoryCentre, run: str, desk: PreviewDesk) -> None:
    pool = area_pool(centre, run, desk)
    answer = centre.post(f"{RUNS}/{run}/preview", json={"pools": [{**pool, "from": "2027-01-01"}]})
    assert answer.status_code == 200
    assert "holds from 2027-01-01" in answer.json()["refusal"]
    assert answer.json()["lines"] == []


def test_a_stranger_may_not_keep_the_service_computing(centre: MemoryCentre, run: str) -> None:
    assert centre.call("POST", f"{RUNS}/{run}/preview", json={}).status_code == 401
    assert centre.post(f"{RUNS}/nothing/preview", json={}).status_code == 404
    assert centre.post(f"{RUNS}/{run}/preview", json={"site": {}}).status_code == 422


def test_a_period_is_loaded_once_and_forgotten_when_others_are_used(
    run: str, desk: PreviewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.session(run)
    assert desk.session(run) is first
    assert desk.preview(run, {}).pools == ()
    with pytest.raises(RunUnknown):
        desk.session("another")
    assert desk.session(run) is first
    monkeypatch.setattr("ingest.preview_desk.require_run", lambda *_: None)
    monkeypatch.setattr("ingest.preview_desk.facts_of_run", lambda *_: first.facts)
    other = desk.session("another")
    assert desk.session("another") is other
    assert desk.session(run) is not first


def test_the_command_prints_both_languages_and_how_long_it_took(
    centre: MemoryCentre,
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.store.database.Database", lambda *_, **__: centre.database)
    folder = tmp_path / "site"
    shutil.copytree(PARK, folder)
    text = (folder / "pools.toml").read_text(encoding="utf-8")
    (folder / "pools.toml").write_text(text.replace('fallback = "owner"', 'fallback = "equal"'), encoding="utf-8")
    for lang, word in (("en", "previewed in"), ("zh", "试算")):
        assert main(["run", "preview", run[:8], str(folder), "--lang", lang, "--dsn", "memory"]) == 0
        assert word in capsys.readouterr().out
    assert main(["run", "preview", run[:8], str(folder), "--json", "--dsn", "memory"]) == 0
    assert json.loads(capsys.readouterr().out)["refusal"] == ""


def shown(*lines: PreviewLine, **more: Any) -> Preview:
    """A preview of one pool with these lines."""
    sums = PoolSum(300, 250, 50)
    parties = (PartyDiff(PartyId("t-1"), 100, 200), PartyDiff(PartyId("t-2"), 5, 5))
    return Preview("CNY", (PoolPreview(PoolId("lift"), None, sums),), lines, parties, ("tax vat",), **more)


def line(number: int, before: int, after: int) -> PreviewLine:
    """A line of a unit."""
    return PreviewLine(PoolId("lift"), PartyId("t-1"), UnitId(f"u-{number:03d}"), before, after)


@pytest.mark.parametrize("language", list(Language))
def test_a_preview_is_told_with_its_proof_and_what_it_leaves_out(language: Language) -> None:
    told = "\n".join(preview_lines(shown(line(1, 100, 200), line(2, 5, 5)), language, (7, 12)))
    assert preview_word("absent", language) in told
    assert all(amount in told for amount in ("2.50", "0.50", "3.00"))
    assert "lift/u-001/t-1  1.00 -> 2.00  +1.00 CNY" in told
    assert not any(unchanged in told for unchanged in ("u-002", "t-2"))
    assert "tax vat" in told
    assert "12" in told.splitlines()[-1]


def test_of_very_many_lines_both_ends_are_told() -> None:
    many = shown(*(line(number, 0, 500 - number) for number in range(100)))
    told = list(preview_lines(many, Language.EN, (0, 0)))
    assert "  ... 60 lines between" in told
    assert sum(" -> " in one for one in told) == 2 * LINES_SHOWN + 1


def test_nothing_changed_and_rules_refused_are_told_in_words() -> None:
    assert next(preview_lines(Preview("CNY"), Language.EN, (1, 2))) == "Nothing differs."
    assert next(preview_lines(Preview("CNY", refusal="no"), Language.ZH, (1, 2))) == "无法核算: no"
