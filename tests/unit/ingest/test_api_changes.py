"""The interface, the page and the command tell what changed since a run was computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingest.api.changes import cursor_of, read_cursor
from ingest.api.problems import Problem
from ingest.cli import main
from ingest.commands import settle as command
from ingest.store.run_changes import list_changes
from tests.doubles.memory_centre import MemoryCentre, closed_tables
from tests.doubles.memory_database import MemoryDatabase

METER, NODE = "m-u-a101", "u-a101"


@pytest.fixture
def centre() -> Iterator[MemoryCentre]:
    """A service that closed its first day; then one reading of one meter turned out otherwise."""
    built = MemoryCentre()
    built.database.tables = closed_tables().copied()
    rows = built.database.tables.readings[METER]
    place = 40
    mantissas = [rows[place][8][0] + 1, *rows[place][8][1:]]
    rows[place] = (*rows[place][:8], mantissas, *rows[place][9:])
    built.database.tables.unsettled[METER, rows[place][1].date()] = 1
    built.settlement.settle_pending()
    with built.open():
        yield built


def run_of(centre: MemoryCentre) -> str:
    return next(iter(centre.database.tables.runs))


def test_a_run_says_how_many_of_its_days_have_changed(centre: MemoryCentre) -> None:
    run = run_of(centre)
    told = centre.get(f"/v1/allocation-runs/{run}").json()["changed_since"]
    assert (told["days"], told["nodes"], told["entries"]) == (1, 1, 1)
    assert told["first_day"] == told["last_day"] == "2026-07-01"
    changes = centre.get(told["href"]).json()
    assert changes["changes"][0]["node"] == NODE
    assert changes["changes"][0]["now_wh"] == changes["changes"][0]["was_wh"]
    assert changes["after"] is None


def test_changes_are_listed_page_by_page_and_as_a_table(centre: MemoryCentre) -> None:
    path = f"/v1/allocation-runs/{run_of(centre)}/changes"
    first = centre.get(path, params={"limit": 1}).json()
    assert len(first["changes"]) == 1
    assert centre.get(path, params={"limit": 1, "after": first["after"]}).json()["changes"] == []
    for lang, title in (("zh", "计量点"), ("en", "Node")):
        answer = centre.get(f"{path}.csv", params={"lang": lang})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        head, row = answer.content.decode("utf-8-sig").splitlines()
        assert head.startswith(title)
        assert row.startswith(f"{NODE},1-0:1.8.0,2026-07-01,")


@pytest.mark.parametrize("text", ["", "a", "a/b/c", "n/1-0:1.8.0/2026-13-01", "n/1-0:1.8.0/2026-01-01/x"])
def test_a_cursor_that_is_none_is_refused(centre: MemoryCentre, text: str) -> None:
    answer = centre.get(f"/v1/allocation-runs/{run_of(centre)}/changes", params={"after": text})
    assert answer.status_code == 422
    assert "mend" in answer.json()
    with pytest.raises(Problem):
        read_cursor(text)


def test_a_cursor_is_read_as_it_was_given(centre: MemoryCentre) -> None:
    with centre.database.transaction() as connection:
        (change,) = list_changes(connection, run_of(centre), after=None, most=1)
    assert read_cursor(cursor_of(change.key)) == change.key
    assert read_cursor(None) is None


def test_runs_with_changed_days_are_listed(centre: MemoryCentre) -> None:
    (told,) = centre.get("/v1/allocation-runs", params={"changed": True}).json()["runs"]
    assert (told["run"], told["days"], told["state"]) == (run_of(centre), 1, "computed")
    assert centre.get("/v1/allocation-runs", params={"changed": True, "site": "other"}).json() == {"runs": []}
    assert centre.get("/v1/allocation-runs", params={"changed": True, "period": "2026-08"}).json() == {"runs": []}


def test_a_run_that_says_what_is_in_the_books_says_so() -> None:
    built = MemoryCentre()
    built.database.tables = closed_tables().copied()
    with built.open():
        run = run_of(built)
        assert built.get(f"/v1/allocation-runs/{run}").json()["changed_since"] is None
        assert built.get(f"/v1/allocation-runs/{run}/changes").json()["changes"] == []
        assert 'id="changed"' not in built.get(f"/runs/{run}").text
        assert built.get("/v1/allocation-runs/none/changes").status_code == 404


@pytest.mark.parametrize(
    ("lang", "title"), [("zh", "核算之后变化的日期"), ("en", "Days changed since this run was computed")]
)
def test_the_page_of_a_run_shows_its_changed_days(centre: MemoryCentre, lang: str, title: str) -> None:
    page = centre.get(f"/runs/{run_of(centre)}", params={"lang": lang}).text
    assert f'href="#changed">{title}' in page
    assert 'id="changed"' in page
    table = centre.get(f"/runs/{run_of(centre)}/tables/changed.csv", params={"lang": lang})
    assert NODE in table.text


def told(arguments: list[str], centre: MemoryCentre, patch: pytest.MonkeyPatch, capsys: Any) -> tuple[int, str]:
    """Run the command over the double."""

    class Opened(MemoryDatabase):
        def __init__(self, _dsn: str, *, connections: int) -> None:
            super().__init__()
            self.tables = centre.database.tables

        def __enter__(self) -> Opened:
            return self

    patch.setattr("ingest.store.database.Database", Opened)
    code = main(["settle", "--dsn", "none", *arguments])
    answer = capsys.readouterr()
    return code, answer.out + answer.err


def test_the_command_tells_instead_of_settling(
    centre: MemoryCentre, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(centre)
    code, text = told(["--list"], centre, monkeypatch, capsys)
    assert code == 0
    assert "Nothing waits" in text
    assert f"run {run[:16]} (park 2026-07-01--2026-07-01" in text
    assert "metertree close --site park --period 2026-07-01--2026-07-01" in text
    assert "没有待结算" in told(["--list", "--lang", "zh"], centre, monkeypatch, capsys)[1]
    code, text = told(["--changes", run[:12]], centre, monkeypatch, capsys)
    assert code == 0
    assert f"{NODE}  1-0:1.8.0  2026-07-01" in text
    assert told(["--changes", run, "--csv"], centre, monkeypatch, capsys)[1].startswith("Node,Quantity,Day")
    code, text = told(["--explain", "park", NODE, "2026-07-01"], centre, monkeypatch, capsys)
    assert code == 0
    assert "96 slots: 96 measured" in text
    assert "agrees with what is stored now" in text
    assert run[:16] in text


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--changes", "nothing"], "metertree run list"),
        (["--explain", "park", "u-a101", "yesterday"], "2026-07-31"),
        (["--explain", "park", "nowhere", "2026-07-01"], "metertree site show park"),
        (["--explain", "elsewhere", "u-a101", "2026-07-01"], "metertree site import"),
    ],
)
def test_the_command_says_what_it_cannot_find(
    centre: MemoryCentre,
    arguments: list[str],
    mend: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, text = told(arguments, centre, monkeypatch, capsys)
    assert code == 1
    assert mend in text


def test_a_run_without_changes_has_nothing_to_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = MemoryCentre()
    built.database.tables = closed_tables().copied()
    code, text = told(["--changes", run_of(built)], built, monkeypatch, capsys)
    assert (code, text.strip()) == (0, "No run is touched by what came after it.")
    assert command.__doc__ is not None
