"""What the demo does when a call or a command fails under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from ingest.console.words import Language
from ingest.demo.centre import CentreAway, CentreRefused
from ingest.demo.loads_file import read_play
from ingest.demo.play import CALLS_MAX, TOOL_RUNS_MAX, Demo
from ingest.demo.premises import Playbill, Premises
from ingest.demo.programs import ToolFailed
from ingest.demo.progress import Show
from ingest.demo.supervisor import ProgramFailed, Supervisor
from metering.errors import MeteringError
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"


class PatientSupervisor:
    """Lets no time pass, counts how often it was asked to, and has given a program up if told so."""

    def __init__(self) -> None:
        self.pauses = 0
        self.has_lost: str | None = None
        self.awaited: list[str] = []

    def watch(self, pause_s: float) -> None:
        """Count a pause."""
        assert pause_s > 0
        if self.has_lost is not None:
            raise ProgramFailed(f"{self.has_lost} keeps dying")
        self.pauses += 1

    def wait_until(self, is_ready: Callable[[], bool], *, name: str, timeout_s: float) -> None:
        """Note what was waited for."""
        assert is_ready()
        assert timeout_s > 0
        self.awaited.append(name)


@pytest.fixture
def supervisor() -> PatientSupervisor:
    """A supervisor without programs."""
    return PatientSupervisor()


@pytest.fixture
def demo(supervisor: PatientSupervisor, tmp_path: Path) -> Demo:
    """Two days of the park, not started."""
    site = read_site(PARK)
    play = read_play(PARK / "loads.toml", site, csv=None, days=2)
    return Demo(
        Premises(tmp_path, Playbill("", "", None, 2, {})),
        site,
        play,
        supervisor=cast(Supervisor, supervisor),
        show=Show(Console(quiet=True)),
        language=Language.EN,
    )


class Failing:
    """Fails with `error` a number of times, then succeeds."""

    def __init__(self, error: MeteringError, times: int) -> None:
        self.error = error
        self.left = times

    def __call__(self) -> None:
        if self.left > 0:
            self.left -= 1
            raise self.error


def test_a_command_whose_server_was_killed_is_run_again(demo: Demo, supervisor: PatientSupervisor) -> None:
    demo._run_tool(Failing(ToolFailed("connection refused"), 2), "postgres", lambda: True)
    assert supervisor.pauses == 2
    assert supervisor.awaited == ["postgres", "postgres"]


def test_a_command_that_goes_on_failing_is_reported(demo: Demo, supervisor: PatientSupervisor) -> None:
    with pytest.raises(ToolFailed, match="disk full"):
        demo._run_tool(Failing(ToolFailed("disk full"), 99), "postgres", lambda: True)
    assert supervisor.pauses == TOOL_RUNS_MAX - 1


def test_a_call_to_a_service_that_is_away_is_made_again(demo: Demo, supervisor: PatientSupervisor) -> None:
    demo._insist(Failing(CentreAway("refused"), CALLS_MAX - 1))
    assert supervisor.pauses == CALLS_MAX - 1


def test_a_service_that_stays_away_is_reported(demo: Demo) -> None:
    with pytest.raises(CentreAway):
        demo._insist(Failing(CentreAway("refused"), CALLS_MAX))


def test_a_refusal_is_not_asked_again(demo: Demo, supervisor: PatientSupervisor) -> None:
    with pytest.raises(CentreRefused):
        demo._insist(Failing(CentreRefused("409"), 1))
    assert supervisor.pauses == 0


def test_a_program_given_up_ends_the_waiting(demo: Demo, supervisor: PatientSupervisor) -> None:
    supervisor.has_lost = "postgres"
    with pytest.raises(ProgramFailed, match="postgres keeps dying"):
        demo._run_tool(Failing(ToolFailed("connection refused"), 1), "postgres", lambda: True)


def test_a_part_of_a_month_is_named_by_its_days(demo: Demo) -> None:
    assert demo._period_label() == "2026-07-01--2026-07-02"
