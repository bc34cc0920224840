"""Many sites closed by worker processes and by Dask workers, as commands: the same octets, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.cli import main
from ingest.store.database import Database
from provisioning.keys import write_signing_key
from tests.doubles.closing_estate import (
    BOOKED_AT,
    PARKS,
    UNREAD,
    Estate,
    ended_within,
    members_of_group,
    wait_for,
    write_keys,
)
from tests.doubles.many_parks import DAY, open_park, park_id, write_parks
from tests.doubles.servers import _database

EVERY = ",".join(park_id(number) for number in PARKS)
EXECUTORS = ("local", "dask")
Octets = dict[str, list[dict[str, Any]]]
WAYS = {
    "one worker": ("--workers", "1"),
    "two workers": ("--executor", "local", "--workers", "2"),
    "dask": ("--executor", "dask", "--workers", "2"),
}


@pytest.fixture(scope="module")
def written(postgres_dsn: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with a day of six parks, and one park that nobody has read."""
    folder = tmp_path_factory.mktemp("parks")
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=2) as database:
            write_parks(database, PARKS, folder)
            open_park(database, UNREAD, folder)
        yield dsn


@pytest.fixture
def estate(postgres_dsn: str, written: str, tmp_path: Path) -> Iterator[Estate]:
    """The parks in a database of their own."""
    name = psycopg.conninfo.conninfo_to_dict(written)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        copied = Estate(dsn, write_keys(tmp_path / "keys"))
        yield copied
        copied.stop()


@pytest.fixture(scope="module")
def one_by_one(postgres_dsn: str, written: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Octets]:
    """What closing each park with a call of its own stores."""
    name = psycopg.conninfo.conninfo_to_dict(written)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        single = Estate(dsn, write_keys(tmp_path_factory.mktemp("keys")))
        for number in reversed(PARKS):
            words = ["close", park_id(number), DAY, "--booked-at", BOOKED_AT]
            assert main([*words, "--dsn", dsn, "--centre-key", str(single.key)]) == 0
        yield single.octets()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_stores_the_same_octets_as_one_by_one(way: str, estate: Estate, one_by_one: Octets) -> None:
    code, printed = estate.close("--sites", EVERY, *WAYS[way])
    assert code == 0, printed
    assert estate.octets() == one_by_one
    lines = [line.split() for line in printed.splitlines() if line.startswith("park-")]
    assert sorted(line[:2] for line in lines) == [[park_id(number), "new"] for number in PARKS]
    assert len({line[2] for line in lines}) == len(PARKS)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_worker_killed_between_run_and_statements_changes_no_octet(
    executor: str, estate: Estate, one_by_one: Octets
) -> None:
    with estate.blocked("LOCK TABLE statements IN SHARE ROW EXCLUSIVE MODE"):
        running = estate.start("--sites", EVERY, "--executor", executor, "--workers", "2")
        [killed, other] = wait_for(lambda: pids if len(pids := estate.waiting_pids()) == 2 else None, running)
        assert running.pid not in (killed, other), "the work is done by processes of its own"
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(pids := estate.waiting_pids()) == 2 and killed not in pids, running)
        assert estate.count("allocation_runs") == 0, "what the killed worker had written is not in the books"
    printed, _ = running.communicate(timeout=120)
    assert running.returncode == 0, printed
    assert printed.count("tried again") == 1
    assert estate.octets() == one_by_one


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_site_that_kills_its_workers_is_given_up_and_the_others_are_closed(executor: str, estate: Estate) -> None:
    with estate.blocked(estate.held(3)):
        running = estate.start("--sites", EVERY, "--executor", executor, "--workers", "2", "--json")
        killed: set[int] = set()
        while not ended_within(running, 0.05):
            for pid in set(estate.waiting_pids()) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        told = json.loads((running.communicate()[0]).splitlines()[-1])
    assert running.returncode == 1
    outcomes = {outcome["site"]: outcome for outcome in told["sites"]}
    lost = outcomes.pop(park_id(3))
    assert lost["result"] == "failed"
    assert len(killed) == lost["tries"]
    assert lost["reasons"]
    assert {outcome["result"] for outcome in outcomes.values()} == {"new"}, outcomes
    assert estate.closed() == sorted(outcomes)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_ctrl_c_keeps_what_is_closed_and_leaves_no_process(executor: str, estate: Estate) -> None:
    others = [park_id(number) for number in PARKS if number != 3]
    with estate.blocked(estate.held(3)):
        running = estate.start("--sites", EVERY, "--executor", executor, "--workers", "2")
        wait_for(lambda: estate.closed() == others and estate.waiting_pids(), running)
        os.killpg(running.pid, signal.SIGINT)
        printed, _ = running.communicate(timeout=60)
    assert running.returncode == 130, printed
    assert "Traceback" not in printed
    assert f"1 not closed. Mend what is named and give the same command with: --sites {park_id(3)}" in printed
    wait_for(lambda: not members_of_group(running.pid))
    assert estate.closed() == others
    code, printed = estate.close("--sites", EVERY, "--workers", "2")
    assert (code, printed.count("stored before"), printed.count("new")) == (0, 6, 2), "5 and the summary; 1 and it"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_workers_end_when_the_command_is_killed(executor: str, estate: Estate) -> None:
    with estate.blocked(estate.held(3)):
        running = estate.start("--sites", EVERY, "--executor", executor, "--workers", "2")
        wait_for(lambda: len(estate.closed()) == 5, running)
        running.kill()
        running.wait()
    wait_for(lambda: not members_of_group(running.pid))


def test_the_database_lets_go_of_what_a_killed_worker_waited_for(estate: Estate) -> None:
    with estate.blocked(estate.held(3)):
        estate.start("--sites", park_id(3), "--workers", "1")
        [killed] = wait_for(estate.waiting_pids)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: estate.count_waiting() == 2)
        wait_for(lambda: estate.count_waiting() == 1)


def test_a_site_that_is_not_ready_or_not_there_does_not_stop_the_others(estate: Estate, tmp_path: Path) -> None:
    listed = tmp_path / "sites.txt"
    listed.write_text(f"# of the north\n{park_id(UNREAD)}\n{park_id(1)}  # first\n\nnowhere\n", encoding="utf-8")
    code, printed = estate.close("--sites", str(listed), "--json", stderr=None)
    assert code == 1
    told = json.loads(printed)
    first, unread, nowhere = sorted(told["sites"], key=lambda outcome: ["new", "refused"].index(outcome["result"]))
    if unread["site"] == "nowhere":
        unread, nowhere = nowhere, unread
    assert (told["closed"], told["not_closed"], told["way"]) == (1, 2, "store")
    assert (first["site"], first["lines"], first["state"], first["currency"]) == (park_id(1), 32, "computed", "CNY")
    assert len(unread["reasons"]) == 19
    assert all("slots missing" in reason for reason in unread["reasons"])
    assert nowhere["reasons"] == ["site 'nowhere' is not imported; start with: metertree site import DIR"]
    assert estate.closed() == [park_id(1)]


def test_all_means_every_site_of_the_database(estate: Estate) -> None:
    code, printed = estate.close("--sites", "all", "--dry-run")
    assert code == 1
    assert "6 not" not in printed
    assert printed.count("computed  ") >= 6
    assert f"give the same command with: --sites {park_id(UNREAD)}" in printed
    assert "and 14 more reasons; --json has them all" in printed
    assert estate.count("allocation_runs") == 0, "a dry run stores nothing"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_drafts_have_no_statements_until_they_are_closed_in_earnest(
    executor: str, estate: Estate, one_by_one: Octets
) -> None:
    some = f"{park_id(1)},{park_id(2)}"
    words = ("--sites", some, "--executor", executor, "--workers", "1")
    code, printed = estate.close(*words, "--draft", "--json", stderr=None)
    assert (code, {outcome["state"] for outcome in json.loads(printed)["sites"]}) == (0, {"draft"})
    assert (estate.count("allocation_runs"), estate.count("statements")) == (2, 0)
    assert estate.close(*words)[0] == 0
    stored = estate.octets()
    runs = {row["run"] for row in stored["allocation_runs"]}
    assert len(runs) == 2
    assert stored["statements"] == [row for row in one_by_one["statements"] if row["run"] in runs]


def test_a_key_that_differs_at_the_last_moment_closes_nothing(estate: Estate, tmp_path: Path) -> None:
    """The key file is exchanged after the order was given: workers compare before they store."""
    with estate.blocked(estate.held(1)):
        running = estate.start("--sites", f"{park_id(1)},{park_id(2)}", "--workers", "1", "--json", stderr=None)
        wait_for(estate.waiting_pids, running)
        estate.key.unlink()
        write_signing_key(estate.key, b"\x08" * 32)
    printed, _ = running.communicate(timeout=60)
    outcomes = {outcome["site"]: outcome for outcome in json.loads(printed)["sites"]}
    results = sorted(outcome["result"] for outcome in outcomes.values())
    assert (running.returncode, results) == (1, ["new", "refused"])
    [refused] = [outcome for outcome in outcomes.values() if outcome["result"] == "refused"]
    assert refused["reasons"] == ["it has another signing key: let its METERTREE_CENTRE_KEY name the same one"]
