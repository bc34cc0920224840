"""The short form of `make trust`: a few kills of each kind, and a net that is known to catch."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.doubles.mosquitto import find_mosquitto
from tests.trust import run
from tests.trust.books import Chain, ahead_of_commit
from tests.trust.campaign import MIXED, VICTIMS, Campaign, Tally
from tests.trust.page import BEGIN, END, PAGE, Ran, write_section
from tests.trust.sources import spread

SEED = 20261123
KILLS = 3


@pytest.mark.parametrize("kind", ["nats", "mosquitto"])
def test_kills_in_the_middle_of_the_stream_lose_and_double_nothing(kind: str) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: scripts/install_mosquitto.sh fetches the package of the system")
    tally = Campaign(kind=kind, victim=MIXED, kills=KILLS, seed=SEED, gateways=4).run()
    assert tally.faults == []
    assert (tally.kills, tally.readings) == (KILLS, 3 * tally.sent)
    assert tally.sent > 20


def test_a_receipt_before_the_commit_is_found() -> None:
    """The other error of the long form takes half a minute to show."""
    tally = run.planted("receipt-before-commit", SEED, run.Line(0.0))
    assert any("committed up to" in fault for fault in tally.faults)


def test_a_receipt_ahead_of_its_commit_is_told_by_gateway() -> None:
    found = {"gw-a": Chain(7, bytes(32), 7, 0)}
    assert ahead_of_commit({"gw-a": 7, "gw-b": 0}, found) == []
    assert ahead_of_commit({"gw-a": 8, "gw-b": 1}, found) == [
        "gw-a: receipted up to 8, committed up to 7",
        "gw-b: receipted up to 1, committed up to 0",
    ]


def test_every_worker_gets_as_many_gateways() -> None:
    assert len({one.name for one in spread(20, 2)}) == 20


def made_run() -> Ran:
    """A run as it is written down."""
    tallies = tuple(Tally(kind, victim, 3, kills=3, sent=1000) for victim in VICTIMS for kind in ("nats", "mosquitto"))
    found = {error: Tally("nats", "", 1, 1) for error in run.ERRORS}
    return Ran(date(2026, 11, 23), "abc1234", 7, 2.5, tallies, found, {"nats": 2000, "mosquitto": 0})


def test_a_run_takes_the_place_of_the_last_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nthe last one\n{END}\nafter\n", encoding="utf-8")
    write_section(made_run(), page)
    write_section(made_run(), page)
    text = page.read_text(encoding="utf-8")
    assert "the last one" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.count("| PostgreSQL | 3 | NATS | 1,000 |") == 1
    assert "6 kills of the database, 6 of the broker" in text
    assert "NATS 2,000, Mosquitto 0." in text


def test_the_page_has_a_place_for_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)


def test_a_fault_ends_the_run_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Tally("nats", "database", 3, kills=1, faults=["envelopes: 1 lost"])
    monkeypatch.setattr(run, "campaigns", lambda *_: [broken])
    assert run.main(["--seed", "11"]) == 1
    assert "FAULT, seed 11: nats, database: envelopes: 1 lost" in capsys.readouterr().out


def test_kills_are_divided_over_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    class Noted:
        def __init__(self, *, kind: str, victim: str, kills: int, **_: object) -> None:
            asked.append((kind, victim, kills))

        def run(self) -> Tally:
            return Tally("nats", "database", 1)

    monkeypatch.setattr(run, "Campaign", Noted)
    words = ["--database", "5", "--broker", "4", "--workers", "0", "--brokers", "nats,mosquitto"]
    run.campaigns(run.options(words), run.Line(0.0))
    assert asked == [
        ("nats", "database", 2),
        ("mosquitto", "database", 3),
        ("nats", "broker", 2),
        ("mosquitto", "broker", 2),
    ]
