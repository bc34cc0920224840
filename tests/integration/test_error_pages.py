"""What went wrong, as people and as programs get it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingest.store.database import Database, DatabaseUnreachable
from tests.doubles.console_centre import TOKEN, ConsoleCentre, console_centre, words_of
from tests.doubles.page_parts import foreign_parts

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def centre(database: Database, cheap_passwords: None) -> Iterator[ConsoleCentre]:
    with console_centre(database) as running:
        running.add("manager", "energy-manager")
        running.client.headers["Accept-Language"] = "en"
        running.sign_in("manager")
        yield running


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nothing", 404, "There is no such page"),
        ("/settings/operators", 403, "This is not open to you"),
        ("/fleet?page=0", 422, "This was not done"),
    ],
)
def test_people_get_a_page_with_the_same_status(centre: ConsoleCentre, path: str, status: int, told: str) -> None:
    answer = centre.client.get(path, headers=HTML)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert told in words_of(answer.text)
    assert foreign_parts(answer.text) == []
    assert "Metertree-Request" in answer.headers
    in_chinese = centre.client.get(path, headers=HTML | {"Accept-Language": "zh-CN"}).text
    assert told not in in_chinese


@pytest.mark.parametrize("headers", [{"Accept": "application/json"}, {}, HTML | {"HX-Request": "true"}])
def test_programs_and_parts_of_pages_get_the_document(centre: ConsoleCentre, headers: dict[str, str]) -> None:
    answer = centre.client.get("/settings/operators", headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
    assert answer.json()["status"] == 403


def test_below_v1_a_browser_gets_the_document_too(centre: ConsoleCentre) -> None:
    answer = centre.client.get("/v1/nothing", headers=HTML | {"Authorization": f"Bearer {TOKEN}"})
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_database_that_is_away_is_told_on_a_page_without_it(
    centre: ConsoleCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnreachable("the database does not answer")

    centre.client.cookies.clear()
    monkeypatch.setattr(Database, "transaction", away)
    answer = centre.client.get("/welcome/nothing", headers=HTML)
    assert answer.status_code == 503
    assert "Something is wrong on our side" in words_of(answer.text)
