"""The central service in parts, as processes: each ready by what it needs, gone on SIGTERM, and safe beside others."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ingest.cli import main
from ingest.embedded.broker import EmbeddedBroker
from ingest.embedded.server import free_port, running
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.notices import announce
from ingest.store.settled import SettledDay, settled_days
from metering.clock import SystemClock
from metering.interval import SLOT
from tests.doubles.programs import TOKEN, Ground, Running, park_ground, wait_until

DAY = date(2026, 7, 1)
SLOTS = 8


@pytest.fixture
def ground(own_dsn: str) -> Iterator[Ground]:
    """The park on a real database and broker."""
    with Database(own_dsn, connections=4) as database, park_ground(database, own_dsn) as made:
        yield made


def settled(ground: Ground) -> tuple[SettledDay, ...]:
    """What is settled of the first day."""
    with ground.database.transaction() as connection:
        return settled_days(connection, ground.books.site.id, DAY, DAY)


def settled_again(ground: Ground) -> tuple[SettledDay, ...]:
    """The same, settled anew in this process, by one alone."""
    with ground.database.transaction() as connection:
        connection.execute("DELETE FROM settled_days")
        connection.execute(
            "INSERT INTO unsettled_days SELECT DISTINCT meter, (due_at AT TIME ZONE 'UTC')::date, 1 FROM readings"
        )
    Settlement(ground.database, ground.books.catalogue).settle_pending()
    return settled(ground)


def mistake_is_in_the_log(ground: Ground, api: Running) -> None:
    """A table that is missing is a mistake; the answer has the number under which the log tells the rest."""
    with ground.database.transaction() as connection:
        connection.execute("ALTER TABLE install_orders RENAME TO elsewhere")
    body = {"site": "park", "gateway": "gw-a", "engineer": "fitter", "expires_at": "2099-01-01T00:00:00Z"}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content_Type": "application/json"}
    status, octets = api.call("/v1/install-orders", json.dumps(body).encode(), **headers)
    with ground.database.transaction() as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO install_orders")
    assert status == 500
    number = json.loads(octets)["request"]
    (line,) = [line for line in api.events() if line.get("request") == number and line["event"] == "api.fault"]
    assert "install_orders" in line["fault"]
    assert line["path"] == "/v1/install-orders"


@contextmanager
def away(dsn: str, postgres_dsn: str) -> Iterator[None]:
    """Let nobody into the database while inside."""
    name = conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false'.encode())
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true'.encode())


def test_the_service_in_four_programs_takes_settles_answers_and_ends(ground: Ground, postgres_dsn: str) -> None:
    programs = {name: ground.start(name) for name in ("intake", "settle", "api", "jobs")}
    for program in programs.values():
        program.wait_ready()
    assert programs["intake"].readiness() == {"database": "ok", "broker": "ok"}
    for name in ("settle", "api", "jobs"):
        assert programs[name].readiness() == {"database": "ok"}
    messages = ground.seal(SLOTS)
    with psycopg.connect(ground.dsn, autocommit=True) as ears:
        listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        wait_until(lambda: ears.execute(listeners).fetchone() == (1,), "settlement listens")
        ears.execute("LISTEN metertree_unsettled")
        ground.publish(messages)
        assert len(list(ears.notifies(timeout=90, stop_after=1))) == 1, "intake tells that it committed"
    wait_until(lambda: ground.count("ledger") == len(messages), "every envelope in the books")
    # Over HTTP as well: the api program takes it, and wakes settlement in the other.
    ((_, octets),) = ground.seal(1, first=SLOTS)[:1]
    status, _ = programs["api"].call("/v1/envelopes", octets, Content_Type="application/cose")
    assert status == 200
    wait_until(lambda: settled(ground) and not ground.count("unsettled_days"), "everything settled")
    wait_until(lambda: programs["jobs"].metric("metertree_job_last_seconds", '{job="maintain"}'), "a job done")
    assert programs["intake"].metric("metertree_intake_accepted_total") == len(messages)
    assert programs["intake"].metric("metertree_intake_lag_seconds_count") == len(messages)
    assert programs["intake"].metric("metertree_intake_queue_octets") == 0
    assert programs["intake"].metric("process_resident_memory_bytes") > 1e6
    assert programs["settle"].metric("metertree_settled_days_total") >= len(settled(ground))
    assert programs["api"].metric("metertree_settlement_waiting_days") == 0
    assert programs["jobs"].metric("metertree_jobs_leader") == 1
    mistake_is_in_the_log(ground, programs["api"])
    before = settled(ground)
    with away(ground.dsn, postgres_dsn):
        for name, program in programs.items():
            wait_until(lambda: (programs[name].readiness() or {}).get("database") == "away", f"missed by {name}")  # noqa: B023
            assert program.call("/healthz")[0] == 200
    for name, program in programs.items():
        wait_until(program.is_ready, f"{name} ready again")
        assert program.terminate() == 0, name
        assert [line["program"] for line in program.events() if line["event"] == "program.ending"] == [name]
        assert not [line for line in program.events() if line["level"] == "critical"]
    assert {line["share"] for line in programs["intake"].events()} == {"1/1"}
    assert settled_again(ground) == before


def test_a_program_is_not_ready_while_what_it_needs_is_away(ground: Ground) -> None:
    """A broker of its own, which goes away and comes back; a database that refuses."""
    folder = ground.folder / "second"
    broker = EmbeddedBroker(folder, ground.broker._logins)
    with running(broker, SystemClock()):
        intake = ground.start("intake", "--broker-port", str(broker.port)).wait_ready()
    wait_until(lambda: intake.readiness() == {"database": "ok", "broker": "away"}, "the broker missed")
    assert intake.call("/readyz")[0] == 503
    assert intake.call("/healthz")[0] == 200
    with running(broker, SystemClock()):
        wait_until(intake.is_ready, "ready again")
    assert intake.terminate() == 0


@pytest.mark.parametrize("name", ["intake", "settle", "api", "jobs", "serve"])
def test_no_program_starts_on_a_database_that_is_not_migrated(
    name: str, ground: Ground, empty_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, *ground.flags[name], "--dsn", empty_dsn]) == 1
    assert "metertree migrate" in capsys.readouterr().err


def test_two_that_settle_share_the_sites_and_whichever_is_killed_the_books_are_the_same(ground: Ground) -> None:
    programs = [ground.start("settle") for _ in range(2)]
    start = ground.books.site.calendar.midnight(DAY)
    for index, program in enumerate(programs):
        program.wait_ready()
        ground.books.write(start + slot * SLOT for slot in range(3 * index, 3 * index + 3))
        with ground.database.transaction() as connection:
            announce(connection)
    programs[0].kill()
    ground.books.write([start + 6 * SLOT])
    with ground.database.transaction() as connection:
        announce(connection)
    wait_until(lambda: not ground.count("unsettled_days"), "everything settled")
    assert programs[1].terminate() == 0
    assert not [line for line in programs[1].events() if line["event"] == "settlement.failed"]
    before = settled(ground)
    assert len(before) > 20
    assert settled_again(ground) == before


def test_one_of_two_does_the_jobs_and_the_other_when_it_is_killed(ground: Ground) -> None:
    leader = ground.start("jobs").wait_ready()
    wait_until(lambda: leader.metric("metertree_jobs_leader"), "the first leads")
    other = ground.start("jobs").wait_ready()
    assert other.metric("metertree_jobs_leader") == 0
    leader.kill()
    wait_until(lambda: other.metric("metertree_jobs_leader"), "the second leads")
    assert other.terminate() == 0


# All in one, with workers


def with_workers(ground: Ground) -> Running:
    """`serve` with two intake workers as children."""
    return ground.start("serve", "--intake-workers", "2", "--probe-port", str(free_port())).wait_ready()


def workers_of(serve: Running) -> dict[str, int]:
    """The newest child of each share."""
    return {line["share"]: line["child"] for line in serve.events() if line["event"] == "intake_worker.started"}


def is_running(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_serve_with_workers_takes_all_and_replaces_one_that_is_killed(ground: Ground) -> None:
    serve = with_workers(ground)
    assert serve.readiness() == {"database": "ok", "intake 1/2": "ok", "intake 2/2": "ok"}
    victim = workers_of(serve)["1/2"]
    messages = ground.seal(SLOTS)
    ground.publish(messages[:4])
    os.kill(victim, signal.SIGKILL)
    ground.publish(messages[4:])
    wait_until(lambda: workers_of(serve)["1/2"] != victim, "a new worker")
    wait_until(lambda: ground.count("ledger") == len(messages), "every envelope in the books")
    wait_until(lambda: settled(ground) and not ground.count("unsettled_days"), "everything settled")
    wait_until(serve.is_ready, "ready again")
    assert serve.metric("metertree_intake_worker_restarts_total", '{share="1/2"}') == 1
    children = workers_of(serve)
    assert serve.terminate() == 0
    assert not any(map(is_running, children.values()))
