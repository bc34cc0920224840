"""Every error planted in a safety mechanism of intake or store turns its named test red, which is green without it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.intake_contract import GW, OTHER, Desk
from tests.doubles.servers import database, migrated_dsn, migrated_template, own_dsn, postgres_dsn, shared_dsn
from tests.doubles.store_harness import MemoryHarness, PostgresHarness, wired
from tests.planted.intake_errors import IN_INTAKE, POSTGRES, PlantedInIntake
from tests.planted.named import NoSuchTest, cases_of
from tests.unit.ingest.test_intake_consumer import client, consumer
from tests.unit.ingest.test_intake_loop import store

__all__ = ["database", "migrated_dsn", "migrated_template", "own_dsn", "postgres_dsn", "shared_dsn"]
__all__ += ["client", "consumer", "store"]

ROOT = Path(__file__).parents[2]
MECHANISMS = 6


def ready(test_id: str, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Give the test called `path::[class::]name[case]` with what it asks for; the fixtures of its file are above."""
    path, *names = test_id.partition("[")[0].split("::")
    found: Any = import_module(path.removesuffix(".py").replace("/", "."))
    for name in names:
        found = getattr(found() if inspect.isclass(found) else found, name, None)
        if found is None:
            raise NoSuchTest(f"{path} has no {name}")
    case = test_id.partition("[")[2].removesuffix("]")
    given = dict(next((arguments for known, arguments in cases_of(found) if known == case), {}))
    for name in inspect.signature(found).parameters:
        if name == "desk":
            given[name] = desk_of(test_id, request)
        elif name not in given:
            given[name] = request.getfixturevalue(name)
    return partial(found, **given)


def desk_of(test_id: str, request: pytest.FixtureRequest) -> Desk:
    """The desk of the contract, over the store that the test is for."""
    in_postgres = test_id.startswith(POSTGRES)
    harness = PostgresHarness(request.getfixturevalue("database")) if in_postgres else MemoryHarness()
    harness.enrol(GW, OTHER)
    harness.wire(wired(GW, OTHER))
    return Desk(harness)


@pytest.mark.parametrize("planted", IN_INTAKE, ids=lambda planted: planted.error)
def test_a_planted_error_turns_its_named_test_red(planted: PlantedInIntake, request: pytest.FixtureRequest) -> None:
    check = ready(planted.caught_by, request)
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        # A test that looks for an entry which is not there is red as well.
        with pytest.raises((AssertionError, KeyError)):
            check()


@pytest.mark.parametrize("caught_by", sorted({planted.caught_by for planted in IN_INTAKE}))
def test_the_named_test_is_green_without_an_error(caught_by: str, request: pytest.FixtureRequest) -> None:
    ready(caught_by, request)()


def test_a_test_that_is_not_there_is_told(request: pytest.FixtureRequest) -> None:
    with pytest.raises(NoSuchTest, match="has no test_nothing"):
        ready(f"{POSTGRES}test_nothing", request)


def test_every_mechanism_has_an_error_and_errors_have_names_of_their_own() -> None:
    assert len({one.mechanism for one in IN_INTAKE}) == MECHANISMS
    assert len({one.error for one in IN_INTAKE}) == len({one.plant for one in IN_INTAKE}) == len(IN_INTAKE)


def test_the_page_on_reliability_lists_them_all() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page.partition("## Errors planted in intake and store")[2].partition("\n## ")[0]
    listed = [line.strip("| ").split(" | ") for line in section.splitlines() if "| `tests/" in line]
    assert [(one[0], one[1], one[2].strip("` ")) for one in listed] == [
        (one.mechanism, one.error, one.caught_by) for one in IN_INTAKE
    ]
    assert f"{len(IN_INTAKE)} errors" in section
