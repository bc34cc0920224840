"""`metertree close --sites`: what is a wrong call, and how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from typing import Any

import pytest

from ingest.cli import build_parser, main
from ingest.commands import close
from ingest.config import CENTRE_KEY, DSN
from ingest.many_sites.dask_pool import DaskPool
from ingest.many_sites.local_pool import LocalPool, cores
from ingest.many_sites.order import Event, Outcome, Result, Way
from metering.identity import SiteId
from tests.doubles.close_orders import ORDER, SETTINGS

AT = ["--booked-at", "2026-08-01T09:00:00+08:00"]
A, B = SiteId("a"), SiteId("b")
CLOSED = Outcome(A, Result.NEW, "f" * 64, "computed", 7, 0, 123, "CNY", 1.5, 1, "process 1")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for setting in (DSN, CENTRE_KEY):
        monkeypatch.delenv(setting.variable, raising=False)


class Ending:
    """A pool that tells these events and then ends, or is stopped by Ctrl-C."""

    def __init__(self, *events: Event, is_stopped: bool = False) -> None:
        self.told = events
        self.is_stopped = is_stopped
        self.was_closed = False

    def events(self, *_: Any) -> Generator[Event, None, None]:
        """Tell them."""
        try:
            yield from self.told
            if self.is_stopped:
                raise KeyboardInterrupt
        finally:
            self.was_closed = True


def close_with(pool: Ending, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Close two sites with a pool."""
    monkeypatch.setattr(close, "_prepared", lambda _: (ORDER, (B, A), SETTINGS))
    monkeypatch.setattr(close, "_pool", lambda *_: pool)
    before = signal.getsignal(signal.SIGTERM)
    code = main(["close", "--sites", "all", "2026-07", *AT, *words])
    assert signal.getsignal(signal.SIGTERM) is before
    assert pool.was_closed
    return code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["park", "2026-07", "--json"], "go with --sites"),
        (["park", "2026-07", "--executor", "local"], "go with --sites"),
        (["park", "2026-07", "--workers", "2"], "go with --sites"),
        (["--sites", "all", "park", "2026-07"], "give one PERIOD, and no SITE"),
        (["--sites", "all"], "give one PERIOD, and no SITE"),
        (["--sites", "all", "2026-07", "--scheduler", "tcp://x:1"], "--scheduler goes with --executor dask"),
        (
            ["--sites", "all", "2026-07", "--executor", "dask", "--scheduler", "x", "--workers", "1"],
            "without --workers",
        ),
        (["--sites", "all", "2026-07", "--workers", "0"], "at least 1"),
        (["--sites", "all", "2026-07", "--executor", "spark"], "invalid choice"),
        (["--sites", "all", "2026-07", "--draft", "--dry-run"], "not allowed with"),
        (["park"], "required: PERIOD"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_why(words: list[str], told: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["close", *words, *AT])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--sites", "a,b", "2026-07", *AT],
        ["2026-07", "--sites", "a,b", *AT],
        [*AT, "2026-07", "--sites=a,b"],
    ],
)
def test_the_period_stands_anywhere_beside_sites(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(close, "_close_many", lambda args: seen.append((args.sites, args.period)) or 0)
    assert main(["close", *words]) == 0
    assert seen == [("a,b", "2026-07")]


@pytest.mark.parametrize("words", [["park", "2026-07", *AT], ["park", *AT, "2026-07"], [*AT, "park", "2026-07"]])
def test_one_site_and_period_stand_where_they_always_stood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(close, "_close_one", lambda args: seen.append((args.site, args.period)) or 0)
    assert main(["close", *words]) == 0
    assert seen == [("park", "2026-07")]


def test_a_booking_time_without_a_zone_is_refused_once_and_before_anything(capsys: Any) -> None:
    words = ["close", "--sites", "all", "2026-07", "--booked-at", "2026-08-01T09:00:00"]
    assert main([*words, "--dsn", "postgresql://nobody@nowhere/none", "--centre-key", "/nowhere"]) == 1
    assert "--booked-at carries no time zone" in capsys.readouterr().err


def test_all_closed_ends_with_0_and_one_that_is_not_with_1(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    other = Outcome(B, Result.KNOWN, "e" * 64, "computed", 7, 0, 123, "CNY")
    assert close_with(Ending(CLOSED, other), monkeypatch) == 0
    assert "not closed" not in capsys.readouterr().out
    for result in (Result.REFUSED, Result.FAILED):
        assert close_with(Ending(CLOSED, Outcome(B, result, reasons=("why",))), monkeypatch) == 1
        assert "    why\n" in capsys.readouterr().out


def test_ctrl_c_ends_with_130_and_says_what_is_left(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert close_with(Ending(CLOSED, is_stopped=True), monkeypatch) == 130
    assert "give the same command with: --sites b" in capsys.readouterr().out


def test_json_is_one_document_on_standard_output_and_the_rest_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert close_with(Ending(CLOSED), monkeypatch, "--json") == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert "a  new" in printed.err
    assert {name: told[name] for name in ("period", "booked_at", "way", "executor", "closed", "not_closed")} == {
        "period": "2026-07",
        "booked_at": "2026-08-01T09:00:00+08:00",
        "way": "store",
        "executor": "local",
        "closed": 1,
        "not_closed": 1,
    }
    assert told["sites"][0] == {
        "site": "a",
        "result": "new",
        "run": "f" * 64,
        "state": "computed",
        "lines": 7,
        "cases": 0,
        "total_minor": 123,
        "currency": "CNY",
        "seconds": 1.5,
        "tries": 1,
        "worker": "process 1",
        "reasons": [],
    }
    assert (told["sites"][1]["site"], told["sites"][1]["result"], told["sites"][1]["run"]) == ("b", "not closed", None)


@pytest.mark.parametrize(
    ("words", "pool"),
    [
        ([], LocalPool(SETTINGS, cores())),
        (["--workers", "3"], LocalPool(SETTINGS, 3)),
        (["--executor", "dask", "--workers", "3"], DaskPool(SETTINGS, 3)),
        (["--executor", "dask", "--scheduler", "tls://x:1"], DaskPool(SETTINGS, cores(), "tls://x:1")),
    ],
)
def test_the_executor_is_what_was_asked_for(words: list[str], pool: object) -> None:
    args = build_parser().parse_args(["close", "--sites", "all", "2026-07", *AT, *words])
    assert close._pool(args, SETTINGS) == pool


@pytest.mark.parametrize(("words", "way"), [([], Way.STORE), (["--draft"], Way.DRAFT), (["--dry-run"], Way.DRY_RUN)])
def test_what_is_done_with_the_runs_is_told_to_every_worker(words: list[str], way: Way) -> None:
    assert close._way(build_parser().parse_args(["close", "--sites", "all", "2026-07", *AT, *words])) is way
