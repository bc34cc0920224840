"""What a formula passes on is shown on the page, for the day and in all, with the temperature that decided it."""

from __future__ import annotations

import pytest

from ingest.console.rendering import percent
from tests.doubles.memory_centre import MemoryCentre


@pytest.mark.parametrize(("language", "word"), [("en", "Passed on"), ("zh", "转嫁比例")])
def test_the_part_that_was_passed_on_is_shown_of_the_day_and_of_the_pool(
    closed: MemoryCentre, language: str, word: str
) -> None:
    """31.5 C in examples/park/weather.csv: (31.5 - 26) / 10 = 55 % of the lobby's cost; the owner bears the rest."""
    [run] = closed.get("/v1/allocation-runs").json()["runs"]
    lobby = next(pool for pool in closed.get(run["href"]).json()["pools"] if pool["id"] == "lobby-ac")
    page = " ".join(closed.get(f"/runs/{run['run']}", params={"lang": language}).text.split())
    assert '<td class="num">31.5</td> <td class="num">55.00 %</td>' in page
    assert f"{word} {percent(lobby['charged_minor'], lobby['cost_minor'])}" in page
    assert abs(100 * lobby["charged_minor"] - 55 * lobby["cost_minor"]) < 100
