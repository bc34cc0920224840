"""Who tries again, how often, and what is said of it: the pools without processes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import KilledWorker

from ingest.many_sites import dask_pool, local_pool
from ingest.many_sites.dask_pool import DaskMissing, DaskPool, _followed
from ingest.many_sites.local_pool import LocalPool
from ingest.many_sites.order import TRIES_MAX, Again, Begun, Event, Outcome, Reached, Result
from metering.identity import SiteId
from tests.doubles.close_orders import MARK, ORDER, SETTINGS

A, B, C = SiteId("a"), SiteId("b"), SiteId("c")


class ScriptedCrew:
    """Workers that answer as scripted, each site in the order in which it was given."""

    def __init__(self, answers: dict[SiteId, list[Event]]) -> None:
        self.answers = {site: deque(events) for site, events in answers.items()}
        self.at_work: list[SiteId] = []
        self.most_at_work = 0
        self.was_dismissed = False

    def give(self, site: SiteId) -> str:
        """Take a site."""
        self.at_work.append(site)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        return "process 1"

    def listen(self) -> Iterator[Event]:
        """Answer for the first."""
        event = self.answers[self.at_work[0]].popleft()
        if isinstance(event, Outcome | Again):
            self.at_work.pop(0)
        yield event

    def dismiss(self) -> None:
        """Leave."""
        self.was_dismissed = True


def crew(monkeypatch: pytest.MonkeyPatch, **answers: list[Event]) -> ScriptedCrew:
    """Let the local pool have these workers."""
    scripted = ScriptedCrew({SiteId(site): events for site, events in answers.items()})
    monkeypatch.setattr(local_pool, "_Crew", lambda *_: scripted)
    return scripted


def closed(site: SiteId) -> Outcome:
    """A good end."""
    return Outcome(site, Result.NEW)


def test_no_more_sites_are_at_work_than_there_are_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = crew(monkeypatch, a=[Reached(A, "seal"), closed(A)], b=[closed(B)], c=[closed(C)])
    events = list(LocalPool(SETTINGS, 2).events(ORDER, (A, B, C)))
    assert scripted.most_at_work == 2
    assert scripted.was_dismissed
    assert [event.site for event in events if isinstance(event, Outcome)] == [A, B, C]
    assert [event for event in events if isinstance(event, Reached)] == [Reached(A, "seal")]


def test_a_lost_worker_costs_its_own_site_a_try_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    crew(monkeypatch, a=[Again(A, "killed"), closed(A)], b=[closed(B)])
    events = list(LocalPool(SETTINGS, 2).events(ORDER, (A, B)))
    assert [(event.site, event.tries) for event in events if isinstance(event, Begun)] == [(A, 1), (B, 1), (A, 2)]
    assert {event.site: event.tries for event in events if isinstance(event, Outcome)} == {A: 2, B: 1}


def test_the_tries_of_a_site_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    crew(monkeypatch, a=[Again(A, f"death {number}") for number in range(9)], b=[closed(B)])
    events = list(LocalPool(SETTINGS, 1).events(ORDER, (A, B)))
    assert len([event for event in events if isinstance(event, Begun) and event.site == A]) == TRIES_MAX
    lost = next(event for event in events if isinstance(event, Outcome) and event.site == A)
    assert (lost.result, lost.tries, lost.reasons) == (Result.FAILED, TRIES_MAX, (f"death {TRIES_MAX - 1}",))


def test_stopping_in_between_dismisses_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = crew(monkeypatch, a=[Reached(A, "seal"), closed(A)])
    events = LocalPool(SETTINGS, 1).events(ORDER, (A,))
    next(events)
    events.close()
    assert scripted.was_dismissed


@pytest.mark.parametrize(("code", "told"), [(-9, "was killed by SIGKILL"), (1, "ended with code 1"), (None, "None")])
def test_how_a_worker_ended_is_said_in_words(code: int | None, told: str) -> None:
    assert told in local_pool._ending(code)


# Dask


def followed(*messages: Any, futures: dict[Any, SiteId], then: list[Any] | None = None) -> list[Event]:
    """Follow a cluster that tells these messages; a site that is dealt out again ends as the next of `then` says."""
    queue: SimpleQueue[Any] = SimpleQueue()
    for message in messages:
        queue.put(message)

    def deal(site: SiteId) -> None:
        assert then, f"{site} is dealt out again"
        futures[then[0]] = site
        queue.put(then.pop(0))

    return list(_followed(queue, futures, deal))


class Future:
    """A future of Dask that has ended."""

    def __init__(self, status: str, ending: Any = None) -> None:
        self.status = status
        self.result = self.exception = lambda: ending


def begun(site: SiteId, stage: str = "") -> dict[str, str]:
    """What a worker tells."""
    return {"site": site, "worker": "tcp://w", "stage": stage}


def test_what_a_cluster_tells_becomes_events_and_a_second_begin_is_a_second_try() -> None:
    done = Future("finished", closed(A))
    events = followed(begun(A), begun(A, "seal"), begun(A), done, futures={done: A})
    again = Again(A, "its worker was lost, or its database went away")
    assert events[:4] == [Begun(A, "tcp://w", 1), Reached(A, "seal"), again, Begun(A, "tcp://w", 2)]
    assert isinstance(events[4], Outcome)
    assert (events[4].result, events[4].tries) == (Result.NEW, 2)


def test_a_message_that_comes_after_the_end_is_nothing() -> None:
    done, other = Future("finished", closed(A)), Future("finished", closed(B))
    events = followed(done, begun(A), begun(A, "seal"), other, futures={done: A, other: B})
    assert [type(event) for event in events] == [Outcome, Outcome]


@pytest.mark.parametrize(
    ("future", "told"),
    [(Future("error", RuntimeError("it broke")), "it broke"), (Future("cancelled"), "the scheduler is gone")],
)
def test_what_a_cluster_gives_up_is_failed_with_its_reason(future: Future, told: str) -> None:
    [outcome] = followed(future, futures={future: A})
    assert isinstance(outcome, Outcome)
    assert (outcome.result, outcome.reasons) == (Result.FAILED, (told,))


KILLED = Future("error", KilledWorker("a", SimpleNamespace(address="tcp://w"), 2))


def test_a_site_that_only_waited_where_another_killed_the_workers_is_dealt_out_again() -> None:
    done = Future("finished", closed(A))
    events = followed(begun(A), KILLED, begun(A), futures={KILLED: A}, then=[done])
    assert [type(event) for event in events] == [Begun, Again, Begun, Outcome]
    assert events[-1] == replace(closed(A), tries=2)


def test_a_site_that_began_as_often_as_workers_may_die_of_it_is_given_up() -> None:
    [*_, outcome] = followed(*[begun(A)] * TRIES_MAX, KILLED, futures={KILLED: A}, then=[])
    assert isinstance(outcome, Outcome)
    assert (outcome.result, outcome.tries) == (Result.FAILED, TRIES_MAX)


def test_a_site_that_nobody_ever_begins_is_dealt_out_a_few_times_only() -> None:
    lost = [Future("error", KilledWorker("a", SimpleNamespace(address="tcp://w"), 2)) for _ in range(TRIES_MAX + 1)]
    [outcome] = followed(lost[0], futures={lost[0]: A}, then=lost[1:])
    assert isinstance(outcome, Outcome)
    assert outcome.result is Result.FAILED


def test_without_the_package_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaskMissing, match=r"install it with: pip install 'metertree\[dask\]'"):
        next(DaskPool(SETTINGS, 1).events(ORDER, (A,)))


def test_a_worker_without_settings_refuses_and_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS.to_environment():
        monkeypatch.delenv(name, raising=False)
    told: list[Any] = []
    worker = SimpleNamespace(address="tcp://w", log_event=lambda topic, message: told.append((topic, message)))
    monkeypatch.setattr(dask_pool, "_distributed", lambda: SimpleNamespace(get_worker=lambda: worker))
    outcome = dask_pool.close_site_on_dask(ORDER, A, "topic")
    assert (outcome.result, outcome.worker) == (Result.REFUSED, "tcp://w")
    assert "set METERTREE_DSN" in outcome.reasons[0]
    assert told == [("topic", begun(A))]
    [reason] = dask_pool.examine_worker(MARK)
    assert reason.endswith("set METERTREE_DSN in the environment of the worker")
