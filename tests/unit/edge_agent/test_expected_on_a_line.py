"""What a scan expects on a line: the plan, less what went, and what came since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.installation.desk import Desk
from edge_agent.installation.searching import expected_on
from edge_agent.installation.telling import event_lines, state_lines
from edge_agent.installation.view import Step
from edge_agent.scanning.result import ExpectedMeter
from edge_agent.status_words import Language
from metering.clock import ManualClock
from metering.identity import MeterId, PortId
from tests.doubles.desk import PORT, START, WHO, Cabinet, accept_all, begun, cabinet, desk_at, node, request

OLD = MeterId("m-u-b101")


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Desk]:
    """A desk at which one meter is installed."""
    clock = ManualClock(START)
    with cabinet() as meters, desk_at(tmp_path, clock) as desk:
        install(desk, meters)
        clock.sleep(3600)
        yield desk


def install(desk: Desk, meters: Cabinet) -> None:
    begun(desk, meters)
    desk.bind(request(OLD), WHO)
    desk.check(WHO)
    accept_all(desk)
    desk.seal(WHO)


def expected(desk: Desk, *also: str) -> Counter[ExpectedMeter]:
    return Counter(expected_on(desk._begun(), PORT, also))


def test_a_meter_about_to_go_makes_room_for_another_of_its_model_or_for_the_one_that_was_said(sealed: Desk) -> None:
    before = expected(sealed)
    old = request(OLD)
    (planned,) = (one for one in before if one.serial == old.serial)
    assert expected_on(sealed._begun(), PortId("elsewhere")) == ()

    sealed.close_register(OLD, WHO)
    any_of_its_model = ExpectedMeter(profile=old.profile or "", protocol=old.protocol)
    assert expected(sealed) == before - Counter([planned]) + Counter([any_of_its_model])
    assert expected(sealed, "4711") == before - Counter([planned]) + Counter([ExpectedMeter("4711")])


def test_the_new_meter_is_expected_and_the_old_one_is_not(sealed: Desk) -> None:
    before = expected(sealed)
    sealed.close_register(OLD, WHO)
    wanted = replace(request("m-u-b202"), node=node("u-b101"), unit=None, serial="4711")
    new = sealed.exchange(OLD, wanted, WHO).meter
    came, went = expected(sealed) - before, before - expected(sealed)
    assert [one.serial for one in went] == [request(OLD).serial]
    assert list(came) == [ExpectedMeter(new.serial, new.profile, new.protocol, new.address)]


def test_a_meter_that_was_taken_away_is_not_expected(sealed: Desk) -> None:
    before = expected(sealed)
    sealed.decommission(OLD, WHO)
    assert [one.serial for one in before - expected(sealed)] == [request(OLD).serial]
    assert not expected(sealed) - before


def test_what_went_and_what_a_machine_takes_over_is_missed_by_no_check(sealed: Desk, tmp_path: Path) -> None:
    sealed.decommission(OLD, WHO)
    assert OLD not in {one.subject for one in sealed.check(WHO)}
    with cabinet() as meters, desk_at(tmp_path / "second") as other:
        begun(other, meters)
        assert "expected-missing" in {one.code for one in other.check(WHO)}
        other.replace_gateway(1, "stolen", WHO)
        assert other.check(WHO) == ()
        state = other.state()
        assert state.step is Step.SEAL
        (told,) = (line for line in state_lines(state, Language.EN) if "taken over" in line)
        assert OLD in told
        assert len(expected(other)) == told.count(",") + 1


def test_signed_events_are_told_in_the_language_that_was_asked_for(sealed: Desk) -> None:
    (_, bound) = event_lines(sealed.state().events, Language.ZH)
    assert "绑定" in bound
