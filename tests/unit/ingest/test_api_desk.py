"""The steps of a run over HTTP and on the command line, on the database in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.money import show_minor
from allocation_engine.run_state import RunState
from ingest.api.statements import standing_of
from ingest.cli import main
from ingest.console.words import Language
from ingest.run_words import run_word, signed, state_word
from provisioning.keys import FileSigner
from tests.doubles.memory_centre import PERIOD, REQUEST, MemoryCentre
from tests.doubles.memory_database import MemoryDatabase
from tests.doubles.park_books import PARK

RUNS = "/v1/allocation-runs"
AT = "2026-08-01T10:00:00+08:00"
DSN = ["--dsn", "memory"]


@pytest.fixture(scope="module")
def closed_tables() -> Any:
    """The tables of a centre with one closed day, to start each test from."""
    with MemoryCentre().open() as built:
        built.books.enrol_all()
        built.write_day()
        assert built.close_day()["state"] == "computed"
        return built.database.tables


@pytest.fixture
def centre(closed_tables: Any) -> Iterator[MemoryCentre]:
    """A centre with one closed day."""
    with MemoryCentre().open() as built:
        built.database.tables = closed_tables.copied()
        yield built


@pytest.fixture
def run(centre: MemoryCentre) -> str:
    """The id of the run."""
    (found,) = centre.database.tables.runs
    return str(found)


def step(centre: MemoryCentre, run: str, verb: str, actor: str, **parts: Any) -> Any:
    """Move the run on; give the answer."""
    return centre.post(f"{RUNS}/{run}/{verb}", json={"by": actor, "at": AT, **parts})


def publish(centre: MemoryCentre, run: str) -> None:
    """Take the run through people's hands."""
    for verb, actor in (("check", "accountant"), ("approve", "approver"), ("publish", "approver")):
        answer = step(centre, run, verb, actor)
        assert answer.status_code == 200, answer.text


def test_a_run_is_checked_approved_and_published(centre: MemoryCentre, run: str) -> None:
    publish(centre, run)
    answer = centre.get(f"{RUNS}/{run}").json()
    assert answer["state"] == "published"
    assert {one["standing"] for one in answer["statements"]} == {"final"}
    log = centre.get(f"{RUNS}/{run}/log").json()
    assert [(one["from"], one["to"], one["by"]) for one in log["steps"]] == [
        (None, "computed", "operator"),
        ("computed", "checked", "accountant"),
        ("checked", "approved", "approver"),
        ("approved", "published", "approver"),
    ]
    assert log["steps"][1]["at"] == "2026-08-01T02:00:00+00:00"
    assert centre.get(f"{RUNS}/{run}/correction").json()["lines"] == []


def test_a_statement_is_provisional_then_final_and_its_file_says_so(centre: MemoryCentre, run: str) -> None:
    path = f"/v1/statements/park-{PERIOD}-t-03-v1"
    before = centre.get(path)
    publish(centre, run)
    after = centre.get(path)
    assert [one.headers["Metertree-Statement"] for one in (before, after)] == ["provisional", "final"]
    contents = [json.loads(one.content) for one in (before, after)]
    assert "publication" not in contents[0]
    assert contents[1].pop("publication")
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("verb", "actor", "told"),
    [
        ("approve", "approver", "the run is computed"),
        ("publish", "approver", "the run is computed"),
        ("check", "  ", "name who acts"),
    ],
)
def test_a_step_that_is_not_allowed_is_refused_with_its_reason(
    centre: MemoryCentre, run: str, verb: str, actor: str, told: str
) -> None:
    answer = step(centre, run, verb, actor)
    assert (answer.status_code, told in answer.json()["detail"]) == (409, True)
    assert len(centre.get(f"{RUNS}/{run}/log").json()["steps"]) == 1


def test_the_same_person_twice_is_refused(centre: MemoryCentre, run: str) -> None:
    step(centre, run, "check", "accountant")
    answer = step(centre, run, "approve", "Accountant")
    assert (answer.status_code, "somebody else has to approve" in answer.json()["detail"]) == (409, True)


def test_a_reason_for_nothing_is_refused_and_nothing_is_kept(centre: MemoryCentre, run: str) -> None:
    answer = step(centre, run, "check", "accountant", reasons={"case main": "why"})
    assert (answer.status_code, "has no finding" in answer.json()["detail"]) == (409, True)
    log = centre.get(f"{RUNS}/{run}/log").json()
    assert (log["reasons"], len(log["steps"])) == ([], 1)


def test_steps_without_a_time_zone_or_with_strange_fields_are_malformed(centre: MemoryCentre, run: str) -> None:
    for body in ({"by": "an"}, {"by": "an", "at": "2026-08-01T10:00:00"}, {"by": "an", "at": AT, "force": True}):
        assert centre.post(f"{RUNS}/{run}/check", json=body).status_code == 422


@pytest.mark.parametrize("path", ["log", "correction", "diff/x"])
def test_a_run_that_is_not_there_is_missing(centre: MemoryCentre, path: str) -> None:
    assert centre.call("GET", f"{RUNS}/{'0' * 64}/{path}", headers={"Authorization": "Bearer t0ken"}).status_code == 404
    assert step(centre, "0" * 64, "check", "an").status_code == 404
    assert centre.post(f"{RUNS}/{'0' * 64}/what-if", json={}).status_code == 404


def test_a_draft_and_a_dry_run_bind_nobody(centre: MemoryCentre, run: str) -> None:
    tables = centre.database.tables
    for table in (tables.runs, tables.run_lines, tables.statements, tables.run_transitions, tables.run_slots):
        table.clear()
    dry = centre.post(RUNS, json={**REQUEST, "dry_run": True})
    assert (dry.status_code, dry.json()["document"]["id"], centre.database.tables.runs) == (200, run, {})
    draft = centre.post(RUNS, json={**REQUEST, "draft": True, "by": "accountant"}).json()
    assert (draft["run"], draft["state"], draft["statements"]) == (run, "draft", [])
    assert step(centre, run, "check", "approver").status_code == 409
    earnest = centre.post(RUNS, json={**REQUEST, "by": "accountant"})
    assert (earnest.status_code, earnest.json()["state"]) == (201, "computed")
    assert {one["standing"] for one in earnest.json()["statements"]} == {"provisional"}


def raised(centre: MemoryCentre) -> dict[str, Any]:
    """The park's tariff with a higher flat rate, as a draft."""
    tariff = json.loads(json.dumps(centre.books.rules.document["tariff"]))
    for version in tariff["versions"]:
        version["rates"]["flat"] = "0.6578"
    return {"rules": {"tariff": tariff}}


def test_what_if_shadow_and_findings_answer_and_store_nothing(centre: MemoryCentre, run: str) -> None:
    before = centre.database.tables.copied()
    draft = raised(centre)
    answer = centre.post(f"{RUNS}/{run}/what-if", json=draft).json()
    deltas = [one["delta_minor"] for one in answer["parties"]]
    assert deltas == sorted(deltas, reverse=True)
    assert set(answer["by_cause"]) == {"tariff"}
    scoped = centre.post(f"{RUNS}/{run}/what-if", json={**draft, "nodes": ["bldg-a"]}).json()
    assert {line["unit"] for line in scoped["lines"]} <= {"a101", "a102", "a201", "a202", "a301"}
    assert centre.post(f"{RUNS}/{run}/findings", json=draft).json() == {"findings": []}
    assert centre.post(f"{RUNS}/{run}/shadow", json=draft).status_code == 409
    assert vars(centre.database.tables) == vars(before)
    publish(centre, run)
    shadow = centre.post(f"{RUNS}/{run}/shadow", json=draft).json()
    assert [one["period"] for one in shadow["periods"]] == [PERIOD]
    assert [one[3] for one in shadow["parties"]] == deltas


def test_a_draft_that_cannot_be_read_shows_its_faults(centre: MemoryCentre, run: str) -> None:
    answer = centre.post(f"{RUNS}/{run}/what-if", json={"rules": {"tariff": {"format": 1}}})
    assert (answer.status_code, bool(answer.json()["faults"])) == (422, True)


@pytest.mark.parametrize(("scope", "told"), [({"pools": ["roof"]}, "no pool roof"), ({"nodes": ["x"]}, "no node x")])
def test_a_scope_of_what_is_not_there_is_refused(
    centre: MemoryCentre, run: str, scope: dict[str, Any], told: str
) -> None:
    answer = centre.post(f"{RUNS}/{run}/what-if", json=scope)
    assert (answer.status_code, told in answer.json()["detail"]) == (409, True)


def test_a_run_does_not_differ_from_itself(centre: MemoryCentre, run: str) -> None:
    answer = centre.call("GET", f"{RUNS}/{run}/diff/{run}", headers={"Authorization": "Bearer t0ken"}).json()
    assert (answer["lines"], answer["changes"]) == ([], [])


# The command line


@pytest.fixture
def database(centre: MemoryCentre, monkeypatch: pytest.MonkeyPatch) -> MemoryDatabase:
    """The command line's database."""
    opened = centre.database
    monkeypatch.setattr("ingest.store.database.Database", lambda *_, **__: opened)
    return opened


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A file with the centre's key."""
    path = tmp_path / "centre.key"
    path.write_text("07" * 32, encoding="ascii")
    path.chmod(0o600)
    assert FileSigner.read(path).key_id
    return str(path)


def act(name: str) -> list[str]:
    """The arguments that say who acts."""
    return ["--by", name, "--at", AT, *DSN]


def test_the_command_line_takes_a_run_through_its_states(
    database: MemoryDatabase, run: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "check", run[:12], *act("an")]) == 0
    assert main(["run", "approve", run[:12], *act("an")]) == 1
    assert "somebody else has to approve it" in capsys.readouterr().err
    assert main(["run", "approve", run[:12], "--lang", "zh", *act("bo")]) == 0
    assert main(["run", "publish", run[:12], "--centre-key", key, "--reason", "month closed", *act("bo")]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{run[:16]}  已批准", f"{run[:16]}  published"]
    assert main(["run", "show", run, *DSN]) == 0
    shown = capsys.readouterr().out
    assert "published  bo: month closed" in shown
    assert shown.count(", final") == len(database.tables.statements)


def test_a_reason_on_the_command_line_has_a_subject(
    database: MemoryDatabase, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for pair in ("why", "=why", "case main="):
        assert main(["run", "check", run, "--because", pair, *act("an")]) == 1
        assert "is not of the form SUBJECT=TEXT" in capsys.readouterr().err


def test_a_check_says_which_findings_have_no_reason_yet(
    database: MemoryDatabase, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = database.tables.runs[run]
    case = {"node": "main", "loss_wh": 9, "band_wh": 5, "text": "-"}
    database.tables.runs[run] = (*row[:6], {**row[6], "cases": [case]})
    assert main(["run", "check", run[:12], "--lang", "zh", *act("an")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run[:16]}  已复核",
        "  case main: main 的损耗超出允许范围，尚缺原因说明",
    ]


def changed_park(tmp_path: Path, file: str, old: str, new: str) -> str:
    """A copy of the park with one text replaced."""
    folder = Path(shutil.copytree(PARK, tmp_path / "changed"))
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(("language", "heading"), [("en", "By party, those who pay more first"), ("zh", "各方变化")])
def test_what_if_on_the_command_line_tells_who_pays_more(
    database: MemoryDatabase,
    run: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    language: str,
    heading: str,
) -> None:
    folder = changed_park(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"')
    assert main(["run", "what-if", run[:9], folder, "--lang", language, *DSN]) == 0
    shown = capsys.readouterr().out
    assert heading in shown
    assert run_word("tariff", Language(language)) in shown
    assert main(["run", "what-if", run[:9], folder, "--json", "--pool", "lobby-ac", *DSN]) == 0
    assert json.loads(capsys.readouterr().out)["changes"]
    assert main(["run", "diff", run, run, "--lang", language, *DSN]) == 0
    assert capsys.readouterr().out.strip() == run_word("same", Language(language))


def test_a_shadow_on_the_command_line_shows_each_period_and_all(
    centre: MemoryCentre, database: MemoryDatabase, run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = changed_park(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"')
    assert main(["run", "shadow", folder, *DSN]) == 1
    assert "no published run" in capsys.readouterr().err
    publish(centre, run)
    assert main(["run", "shadow", folder, "--periods", "3", *DSN]) == 0
    shown = capsys.readouterr().out
    assert f"== {PERIOD}" in shown
    assert "== In all" in shown
    assert "The new rules reach every record." in shown


def test_an_import_that_misses_a_record_waits_for_its_name(
    database: MemoryDatabase, run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pools = (PARK / "pools.toml").read_text(encoding="utf-8")
    folder = changed_park(tmp_path, "pools.toml", pools[pools.index("# The purifier of the laboratory") :], "")
    assert main(["site", "import", folder, *DSN]) == 1
    assert "1 records would be missed:\nnode/lab-purifier" in capsys.readouterr().err
    assert main(["site", "import", folder, "--lang", "zh", *DSN]) == 1
    told = capsys.readouterr().err
    assert "新规则漏掉 1 条记录\n  node/lab-purifier: 其电量原在费用池内，新规则中不在任何池内" in told
    assert len(database.tables.sites) == 1
    assert main(["site", "import", folder, "--exclude", "node/lab-purifier=sold", *DSN]) == 0
    assert list(database.tables.exclusions.values()) == [("node/lab-purifier", "sold")]


def test_every_state_has_a_word_and_a_standing_in_both_languages() -> None:
    for state in RunState:
        assert len({state_word(state, language) for language in Language}) == 2
        assert standing_of(state) in ("final", "superseded", "provisional")
    assert run_word("lease+rule", Language.ZH) == "租约与单元+分摊规则"
    assert (signed(5, "CNY"), signed(-5, "CNY"), signed(0, "CNY")) == ("+0.05", "-0.05", show_minor(0, "CNY"))
