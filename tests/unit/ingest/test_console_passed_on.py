"""What a formula passes on is shown, for each day and in all, with what it was worked out from."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ingest.console.rendering import percent
from ingest.console.view import PoolCard, RunReader
from ingest.console.words import Language
from provisioning.site import Site
from tests.doubles.memory_centre import NOW, closed_tables
from tests.doubles.park_books import read_park

LOBBY = "lobby-ac"


def lobby(language: Language = Language.EN) -> tuple[dict[str, Any], PoolCard]:
    """The lobby of the park's closed day, as computed and as shown."""
    site: Site = read_park()[0]
    (row,) = closed_tables().runs.values()
    document: dict[str, Any] = row[6]
    place = next(i for i, pool in enumerate(document["pools"]) if pool["id"] == LOBBY)
    return document["pools"][place], RunReader(site, document, language).read(booked_at=NOW, statements=()).pools[place]


def test_the_part_that_was_passed_on_is_shown_of_the_day_and_of_the_pool() -> None:
    pool, shown = lobby()
    [day] = pool["days"]
    part = Fraction(*day["passed_on"])
    assert 0 < part < 1
    assert shown.days[0].passed_on == percent(part.numerator, part.denominator)
    assert shown.passed_on == percent(pool["charged_minor"], pool["cost_minor"])
    assert abs(Fraction(pool["charged_minor"], pool["cost_minor"]) - part) < Fraction(1, 100)


def test_the_temperature_stands_beside_what_it_passed_on() -> None:
    pool, shown = lobby(Language.ZH)
    [(name, number, _)] = pool["days"][0]["inputs"]
    assert (shown.series, shown.days[0].inputs) == ((name,), (number,))
    assert "tmax - 26" in shown.formula
