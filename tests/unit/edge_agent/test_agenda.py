"""What a port reads between marks, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agenda import Agenda, Job, JobClass, Rhythm
from metering.identity import MeterId

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LIFT, PUMP = MeterId("m-lift"), MeterId("m-fire-pump")


def at(seconds: float) -> datetime:
    """An instant after noon."""
    return NOON + timedelta(seconds=seconds)


def taken(agenda: Agenda, now: datetime, until: datetime) -> list[tuple[MeterId, str]]:
    """Everything that can be done at `now`."""
    found = []
    while (job := agenda.take(now, until)) is not None:
        found.append((job.meter, job.group))
    return found


def test_a_rhythm_is_due_at_the_beginning_of_its_periods_on_the_wall_clock() -> None:
    agenda = Agenda([Rhythm(LIFT, "status", 60, 0.1)], at(0))
    assert taken(agenda, at(0), at(900)) == [(LIFT, "status")]
    assert taken(agenda, at(59), at(900)) == []
    assert agenda.next_due() == at(60)
    assert taken(agenda, at(60), at(900)) == [(LIFT, "status")]


def test_the_earliest_deadline_goes_first() -> None:
    agenda = Agenda([Rhythm(LIFT, "demand", 3600, 0.1), Rhythm(PUMP, "status", 60, 0.1)], at(0))
    assert taken(agenda, at(0), at(900)) == [(PUMP, "status"), (LIFT, "demand")]


def test_a_slow_read_that_is_nearly_late_goes_before_a_quick_one() -> None:
    agenda = Agenda([Rhythm(LIFT, "demand", 2700, 0.1), Rhythm(PUMP, "status", 600, 0.1)], at(2500))
    assert taken(agenda, at(2600), at(4000))[0] == (LIFT, "demand")


def test_classes_decide_between_equal_deadlines() -> None:
    assert Rhythm(LIFT, "status", 900, 0.1).job_class is JobClass.NORMAL
    assert Rhythm(LIFT, "demand", 1800, 0.1).job_class is JobClass.SLOW
    assert JobClass.OPERATOR < JobClass.ALIGNED < JobClass.NORMAL < JobClass.SLOW < JobClass.PROBE
    agenda = Agenda([Rhythm(LIFT, "demand", 1800, 0.1), Rhythm(PUMP, "status", 900, 0.1)], at(900))
    assert taken(agenda, at(900), at(1800))[0] == (PUMP, "status")


def test_an_operator_goes_before_everything() -> None:
    agenda = Agenda([Rhythm(PUMP, "status", 60, 0.1)], at(0))
    agenda.wish(Job(JobClass.OPERATOR, LIFT, "billing", at(0), at(3600), 0.1))
    assert taken(agenda, at(0), at(900)) == [(LIFT, "billing"), (PUMP, "status")]


def test_nothing_is_begun_that_is_not_done_before_the_mark() -> None:
    agenda = Agenda([Rhythm(LIFT, "profile", 600, 20.0), Rhythm(PUMP, "status", 900, 1.0)], at(0))
    agenda.wish(Job(JobClass.OPERATOR, LIFT, "billing", at(0), at(3600), 30.0))
    assert taken(agenda, at(890), at(900)) == [(PUMP, "status")]
    assert taken(agenda, at(905), at(1800)) == [(LIFT, "billing"), (LIFT, "profile"), (PUMP, "status")]


def test_missed_reads_are_made_up_for_once_and_counted() -> None:
    agenda = Agenda([Rhythm(LIFT, "status", 60, 0.1)], at(0))
    assert taken(agenda, at(310), at(900)) == [(LIFT, "status")]
    assert agenda.missed == 5
    assert taken(agenda, at(359), at(900)) == []
    assert agenda.next_due() == at(360)


def test_an_empty_agenda_has_nothing_due() -> None:
    agenda = Agenda([], at(0))
    assert agenda.next_due() is None
    assert agenda.take(at(0), at(900)) is None


@given(st.lists(st.tuples(st.integers(10, 900), st.floats(0.1, 3.0)), min_size=1, max_size=8))
def test_what_fits_the_line_is_never_missed(rhythms: list[tuple[int, float]]) -> None:
    """A line that is used to no more than half of the shortest rhythm meets every deadline, whatever the phases."""
    every = [Rhythm(MeterId(f"m-{n}"), "status", every_s, cost_s) for n, (every_s, cost_s) in enumerate(rhythms)]
    if 2 * sum(each.cost_s for each in every) > min(each.every_s for each in every):
        return
    agenda, now_s = Agenda(every, at(0)), 0.0
    while now_s < 2000:
        job = agenda.take(at(now_s), at(1e6))
        if job is not None:
            now_s += job.cost_s
            assert job.due < at(0) or at(now_s) <= job.deadline + timedelta(milliseconds=1)
        else:
            due = agenda.next_due()
            assert due is not None
            now_s = max(now_s, (due - NOON).total_seconds())
    assert agenda.missed == 0
