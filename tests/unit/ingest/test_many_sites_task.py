"""One site on one worker: what travels, what must be the same, what may be tried again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import psycopg
import pytest

from allocation_engine.errors import PeriodNotReady
from ingest.closing import Stage
from ingest.many_sites import site_task
from ingest.many_sites.order import CentreMark, Outcome, Result
from ingest.many_sites.site_task import (
    Stumbled,
    WorkerSettings,
    WorkerUnfit,
    close_site,
    reasons_of,
    require_same,
    unfit_reasons,
)
from ingest.store.database import DatabaseUnreachable
from metering.errors import DocumentError, Fault, MeteringError
from metering.identity import SiteId
from tests.doubles.close_orders import MARK, ORDER, SETTINGS

SITE = SiteId("park")


def closing_that(monkeypatch: pytest.MonkeyPatch, outcome: Outcome | Exception, mark: CentreMark = MARK) -> None:
    """Let every worker have `mark`, and a closing that ends like this."""

    @contextmanager
    def opened(_: WorkerSettings) -> Iterator[tuple[Any, CentreMark]]:
        yield None, mark

    def closed(*_: Any) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(site_task, "open_closing", opened)
    monkeypatch.setattr(site_task, "_closed", closed)


def test_what_travels_to_a_worker_holds_no_secret_and_no_place() -> None:
    travelling = pickle.dumps((ORDER, SITE))
    for text in (SETTINGS.dsn, SETTINGS.centre_key, SETTINGS.profiles, "secret"):
        assert text.encode() not in travelling
    assert pickle.loads(travelling) == (ORDER, SITE)


@pytest.mark.parametrize("name", [field.name for field in fields(CentreMark)])
def test_each_difference_of_a_worker_is_named_with_its_mend(name: str) -> None:
    with pytest.raises(WorkerUnfit, match=r"^it has (another|other) [a-z ]+: \w+") as caught:
        require_same(replace(MARK, **{name: "other"}), MARK)
    assert ";" not in str(caught.value), "one difference, one sentence"
    require_same(MARK, MARK)


def test_a_worker_that_differs_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closing_that(monkeypatch, AssertionError("it was closed"), replace(MARK, key="other", salts="other"))
    outcome = close_site(SETTINGS, ORDER, SITE, lambda _: None)
    assert outcome.result is Result.REFUSED
    assert "METERTREE_CENTRE_KEY" in outcome.reasons[0]
    assert "salt.key" in outcome.reasons[0]
    assert unfit_reasons(SETTINGS, MARK) == outcome.reasons


def test_a_sound_worker_has_no_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    closing_that(monkeypatch, Outcome(SITE, Result.NEW))
    assert unfit_reasons(SETTINGS, MARK) == ()
    outcome = close_site(SETTINGS, ORDER, SITE, lambda _: None)
    assert outcome.result is Result.NEW
    assert outcome.seconds > 0


@pytest.mark.parametrize("error", [DatabaseUnreachable("gone"), psycopg.OperationalError("gone")])
def test_a_database_that_goes_away_is_a_reason_to_try_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    closing_that(monkeypatch, error)
    with pytest.raises(Stumbled, match="the database went away: gone") as caught:
        close_site(SETTINGS, ORDER, SITE, lambda _: None)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value), "it survives the way through a scheduler"


def test_a_mistake_of_ours_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    closing_that(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        close_site(SETTINGS, ORDER, SITE, lambda _: None)


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (PeriodNotReady(("one", "two")), ("one", "two")),
        (DocumentError((Fault(path="a.toml", line=3, problem="p", mend="m"),)), ("a.toml:3: p (m)",)),
        (MeteringError("plain"), ("plain",)),
    ],
)
def test_every_reason_is_a_sentence_of_its_own(error: MeteringError, reasons: tuple[str, ...]) -> None:
    assert reasons_of(error) == reasons


def test_stages_are_told_as_they_begin_and_parts_not_more_often_than_is_looked_at() -> None:
    told: list[str] = []
    watch = site_task._watch(told.append)
    watch(Stage.SETTLE, 0, 1)
    for done in range(1000):
        watch(Stage.SEAL, done, 1000)
    assert told[:2] == ["settle", "seal 0/1000"]
    assert len(told) < 100


def test_worker_settings_become_an_environment_and_are_read_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from argparse import Namespace

    from ingest.config import Settings

    environment = SETTINGS.to_environment()
    assert WorkerSettings.read(Settings(Namespace(), environment)) == SETTINGS
    bare = WorkerSettings("dsn", "key", "")
    assert bare.to_environment()["METERTREE_PROFILES"] == ""
    assert bare.to_environment()["METERTREE_CENTRE_KEY"].startswith("/"), "a worker stands in another folder"
