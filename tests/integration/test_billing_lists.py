"""Statements, residuals, runs and lines as billing lists them: in pages, by role and site, adding up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ingest.api.problem_types import TYPES, problem_type
from ingest.store.clients import add_client, make_key
from tests.doubles.billing_books import add_run, lines, run_id
from tests.doubles.billing_service import billing_service
from tests.doubles.issued_park import BY, NOW, IssuedPark, copy_of
from tests.doubles.servers import Database

RUNS, STATEMENTS = "/v1/allocation-runs", "/v1/statements"


class Lists:
    """A served park and keys for it."""

    def __init__(self, park: IssuedPark, client: httpx.Client) -> None:
        self.park, self.client = park, client
        self.keys = {"all": self._key("all", None), "mall": self._key("mall", ("mall",))}

    def _key(self, name: str, sites: tuple[str, ...] | None) -> str:
        with self.park.database.transaction() as connection:
            add_client(connection, name, ("billing",), sites, BY, NOW)
            return make_key(connection, name, BY, NOW)

    def get(self, path: str, who: str = "all", **asked: Any) -> httpx.Response:
        """Ask."""
        return self.client.get(path, params=asked, headers={"Authorization": f"Bearer {self.keys[who]}"})

    def pages(self, path: str, name: str, **asked: Any) -> list[Any]:
        """Turn all pages."""
        found, after = [], asked.pop("after", None)
        while True:
            page = self.get(path, **asked, **({} if after is None else {"after": after})).json()
            found += page[name]
            after = page.get("next")
            if after is None:
                return found


@pytest.fixture(scope="module")
def lists(postgres_dsn: str, published_park: str) -> Iterator[Lists]:
    """The park, with three further runs of another site."""
    for dsn in copy_of(postgres_dsn, published_park):
        with Database(dsn, connections=4) as database:
            for name in "abc":
                with database.transaction() as connection:
                    add_run(connection, run_id(name), "mall", "2026-07", lines(3))
            park = IssuedPark(dsn, database)
            with billing_service(park) as client:
                yield Lists(park, client)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_statements_come_in_pages_each_with_its_sum_and_standing(lists: Lists, limit: int) -> None:
    found = lists.pages(STATEMENTS, "statements", limit=limit)
    assert [one["party"] for one in found] == ["owner", "t-01", "t-02", "t-03", "t-04", "t-06", "t-07", "t-08"]
    assert {(one["standing"], one["state"], one["currency"]) for one in found} == {("final", "issued", "CNY")}
    totals = {one.party: one.total_minor for one in lists.park.closing.totals(found[0]["run"])}
    assert {one["party"]: one["total_minor"] for one in found} == totals


def test_who_has_another_site_finds_no_statement_of_this_one(lists: Lists) -> None:
    assert lists.get(STATEMENTS, "mall").json() == {"statements": [], "next": None}
    number = lists.get(STATEMENTS, party="t-01").json()["statements"][0]["number"]
    assert lists.get(f"{STATEMENTS}/{number}/explanation", "mall").status_code == 404
    assert lists.get(f"{RUNS}/{run_id('a')}/residuals", "mall").status_code == 200


def test_every_line_is_explained_in_both_languages(lists: Lists) -> None:
    statement = lists.get(STATEMENTS, party="t-06").json()["statements"][0]
    path = f"{STATEMENTS}/{statement['number']}/explanation"
    for lang, word in (("zh", "本行"), ("en", "This line")):
        found = lists.get(path, lang=lang).json()["lines"]
        assert sum(one["amount_minor"] for one in found) == statement["total_minor"]
        assert all(one["steps"][0]["text"].startswith(word) for one in found)
    assert lists.get(path, line="none").status_code == 404
    assert lists.get(f"{STATEMENTS}/none/explanation").status_code == 404


def test_what_stays_with_whom_adds_up_with_what_was_charged(lists: Lists) -> None:
    found = lists.get(f"{RUNS}/{run_of(lists)}/residuals").json()
    for pool in found["pools"]:
        borne = sum(one["amount_minor"] for one in pool["borne_by"])
        assert pool["charged_minor"] + borne == pool["cost_minor"]
        assert pool["residual_minor"] == borne
    assert lists.get(f"{RUNS}/none/residuals").status_code == 404


def run_of(lists: Lists) -> str:
    """The park's run."""
    run: str = lists.get(RUNS, site="park").json()["runs"][0]["run"]
    return run


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_runs_come_in_pages_newest_first(lists: Lists, limit: int) -> None:
    whole = [one["run"] for one in lists.get(RUNS).json()["runs"]]
    assert whole == [run_of(lists), *sorted(run_id(name) for name in "abc")]  # made at one instant: by id
    assert [one["run"] for one in lists.pages(RUNS, "runs", limit=limit)] == whole
    assert len(lists.pages(RUNS, "runs", limit=limit, site="mall")) == 3
    assert lists.get(RUNS, after="none").json() == {"runs": []}


@pytest.mark.parametrize("limit", [1, 7, 32, 100])
def test_lines_of_a_run_come_in_pages_in_their_order(lists: Lists, limit: int) -> None:
    path = f"{RUNS}/{run_of(lists)}/lines"
    whole = lists.get(path).json()
    assert "next" not in whole
    assert lists.pages(path, "lines", after=-1, limit=limit) == whole["lines"]
    assert len(lists.pages(path, "lines", after=-1, limit=limit, party="t-01")) == 3


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_type_of_problem_leads_to_what_it_means(lists: Lists, name: str) -> None:
    found = lists.client.get(f"/v1/problems/{name}").json()
    assert (found["type"], found["status"]) == (f"/v1/problems/{name}", int(TYPES[name].status))
    assert found in lists.client.get("/v1/problems").json()["types"]


def test_a_reason_that_is_documented_nowhere_is_no_type() -> None:
    assert problem_type(409, "seq-behind") == problem_type(409, None) == "about:blank"
    assert problem_type(404, None) == "/v1/problems/not-found"


def test_an_unknown_type_of_problem_is_not_found_with_its_own_type(lists: Lists) -> None:
    answer = lists.client.get("/v1/problems/none")
    assert (answer.status_code, answer.json()["type"]) == (404, "/v1/problems/not-found")
    assert lists.client.get(STATEMENTS).json()["type"] == "/v1/problems/token"
