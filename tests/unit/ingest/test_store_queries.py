"""Named queries, the settlement loop and the composition root, without a database."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from ingest import app
from ingest.api.metrics import Metrics
from ingest.app import SettlementLoop
from ingest.ports import StoreRefused, StoreUnreachable
from ingest.store import intake_store, migrate
from ingest.store.database import DatabaseUnreachable, Queries, QueryUnknown, load_queries
from tests.doubles import memory_database
from tests.doubles.memory_database import MemoryDatabase

STORE = Path(__file__).parents[3] / "ingest" / "store"
FILES = sorted(path.stem for path in (STORE / "queries").glob("*.sql"))
SOURCES = "\n".join(path.read_text("utf-8") for path in (STORE.parent).rglob("*.py"))


# Queries


def test_queries_are_cut_at_their_names() -> None:
    queries = Queries("q", "-- a file\n-- name: one\nSELECT 1;\n-- name: two\n-- why\nSELECT 2;\n")
    assert list(queries) == ["one", "two"]
    assert (queries["one"], queries["two"]) == (b"SELECT 1;", b"-- why\nSELECT 2;")
    assert len(queries) == 2


@pytest.mark.parametrize("text", ["", "-- name:\nSELECT 1;", "-- name: One\nSELECT 1;", "--name: one\nSELECT 1;"])
def test_what_has_no_name_is_no_query(text: str) -> None:
    assert len(Queries("q", text)) == 0


def test_a_query_named_twice_or_never_is_a_mistake_of_ours() -> None:
    with pytest.raises(QueryUnknown, match="twice"):
        Queries("q", "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(QueryUnknown, match=r"queries/q\.sql has no query 'two'"):
        Queries("q", "-- name: one\nSELECT 1;\n")["two"]


@pytest.mark.parametrize("file", FILES)
def test_every_query_is_asked_by_somebody(file: str) -> None:
    for name in load_queries(file):
        assert f'"{name}"' in SOURCES, f"{file}.{name}"


@pytest.mark.parametrize("file", FILES)
def test_no_query_is_built_from_texts(file: str) -> None:
    for name, query in load_queries(file).items():
        text = query.decode()
        assert text.rstrip().endswith(";"), f"{file}.{name}"
        assert "%s" not in text.replace("%%", ""), "parameters have names"
        assert not re.search(r"(?<!%)%(?!\()", text.replace("%%", "")), f"{file}.{name}"


def test_every_query_of_the_double_is_one_of_the_store() -> None:
    known = set(memory_database._NAMES.values())
    own = {
        name[1:] for name, item in vars(memory_database.MemoryConnection).items() if callable(item) and name[0] == "_"
    }
    assert own - known - {"_init__", "measured", "showing"} == set()


# Migrations


def test_shipped_migrations_are_numbered_without_a_hole_and_end_in_sql() -> None:
    shipped = migrate.shipped_migrations()
    assert [int(one.name[:4]) for one in shipped] == list(range(1, len(shipped) + 1))
    assert all(one.statements.strip() for one in shipped)
    assert len({one.checksum for one in shipped}) == len(shipped)


class Applied:
    """A connection that holds some applied migrations."""

    def __init__(self, rows: list[tuple[str, bytes]]) -> None:
        self._rows = rows

    def execute(self, query: bytes) -> Any:
        """Give them."""
        return self if query == load_queries("database")["applied_migrations"] else None

    def fetchall(self) -> list[tuple[str, bytes]]:
        """Give them."""
        return self._rows


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_what_is_missing_is_the_rest(count: int) -> None:
    shipped = tuple(migrate.Migration(f"000{n}_pre_x.sql", b"%d" % n) for n in (1, 2, 3))
    connection: Any = Applied([(one.name, one.checksum) for one in shipped[:count]])
    assert migrate.missing_migrations(connection, shipped) == shipped[count:]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("change", ["name", "checksum"])
def test_a_past_that_differs_is_refused(place: int, change: str) -> None:
    shipped = tuple(migrate.Migration(f"000{n}_pre_x.sql", b"%d" % n) for n in (1, 2, 3))
    rows = [(one.name, one.checksum) for one in shipped[:2]]
    rows[place] = ("other.sql", rows[place][1]) if change == "name" else (rows[place][0], bytes(32))
    connection: Any = Applied(rows)
    with pytest.raises(migrate.MigrationsDiffer, match=re.escape(rows[place][0])):
        migrate.missing_migrations(connection, shipped)


# Errors of the store in the words of the port


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.OperationalError("gone"), StoreUnreachable),
        (psycopg.InterfaceError("gone"), StoreUnreachable),
        (psycopg.errors.DeadlockDetected("gone"), StoreUnreachable),
        (DatabaseUnreachable("gone"), StoreUnreachable),
        (psycopg.DataError("gone"), StoreRefused),
        (psycopg.IntegrityError("gone"), StoreRefused),
        (psycopg.errors.UniqueViolation("gone"), StoreRefused),
        (psycopg.ProgrammingError("gone"), psycopg.ProgrammingError),
        (KeyError("gone"), KeyError),
    ],
)
def test_an_error_of_the_database_is_told_in_the_words_of_the_port(error: Exception, told: type[Exception]) -> None:
    store = intake_store.PostgresIntakeStore(MemoryDatabase())

    def fail() -> None:
        with store.group():
            raise error

    with pytest.raises(told, match="gone"):
        fail()


def test_an_empty_group_asks_nothing() -> None:
    database = MemoryDatabase()
    with intake_store.PostgresIntakeStore(database).group() as group:
        assert group.lock_chains({}) == {}
        assert group.wiring([]) == {}
        assert group.refused([]) == {}
        group.enter([])
    assert database.executed == []


# The settlement loop


class Passes:
    """A settlement that does as it is told, then stops its loop."""

    def __init__(self, stop: Event, woken: Event, results: list[int | Exception]) -> None:
        self.calls = 0
        self._stop, self._woken, self._results = stop, woken, results

    def settle_pending(self) -> int:
        """Give the next result."""
        self.calls += 1
        self._woken.set()
        result = self._results[self.calls - 1]
        if self.calls == len(self._results):
            self._stop.set()
        if isinstance(result, Exception):
            raise result
        return result


def run_loop(results: list[int | Exception]) -> tuple[Passes, Metrics]:
    """Let a loop go through its passes."""
    stop, woken, metrics = Event(), Event(), Metrics()
    passes: Any = Passes(stop, woken, results)
    thread = Thread(target=SettlementLoop(passes, metrics, woken, 0.001).run, args=(stop,))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return passes, metrics


def counted(metrics: Metrics, name: str) -> float:
    """Read a metric."""
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


def test_settled_days_are_counted_over_passes() -> None:
    passes, metrics = run_loop([3, 0, 4])
    assert passes.calls == 3
    assert counted(metrics, "metertree_settled_days_total") == 7
    assert counted(metrics, "metertree_settlement_seconds_count") == 3
    assert counted(metrics, "metertree_settlement_faults_total") == 0


@pytest.mark.parametrize("error", [DatabaseUnreachable("gone"), KeyError("ours"), psycopg.OperationalError("gone")])
def test_a_pass_that_fails_is_counted_logged_and_followed_by_the_next(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    passes, metrics = run_loop([error, error, 2])
    assert passes.calls == 3
    assert counted(metrics, "metertree_settlement_faults_total") == 2
    assert counted(metrics, "metertree_settled_days_total") == 2
    assert sum("settlement.failed" in record.message for record in caplog.records) == 2


def test_a_loop_that_was_stopped_does_nothing() -> None:
    stop, woken = Event(), Event()
    stop.set()
    passes: Any = Passes(stop, woken, [1])
    SettlementLoop(passes, Metrics(), woken, 0.001).run(stop)
    assert passes.calls == 0


def test_a_loop_that_lets_an_error_out_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SettlementLoop, "_pass_once", lambda loop: loop._settlement.settle_pending())
    stop, woken = Event(), Event()
    passes: Any = Passes(stop, woken, [KeyError("planted"), 1])
    with pytest.raises(KeyError):
        SettlementLoop(passes, Metrics(), woken, 0.001).run(stop)
    assert passes.calls == 1


def test_the_pool_is_large_enough_for_its_users() -> None:
    assert app.CONNECTIONS >= 3
    assert app.STOP_S > app.GRACE_S
