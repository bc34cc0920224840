"""What is dropped when: old readings go, and old envelopes, but those that a statement rests on stay in time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from ingest.cli import main
from ingest.proving import EvidenceMissing
from ingest.statement_file import statement_file
from ingest.store.database import Database
from ingest.store.layout import Layout, Storage, find_layout
from ingest.store.migrate import migrate_schema
from ingest.store.retention import EvidenceUnreadable, maintain, read_evidence, steps_of_retention
from ingest.store.statements import find_statement, numbers_of_run
from tests.doubles.servers import _database
from tests.integration.test_runs_desk import Desk, settled

assert settled is not None, "a fixture of this module as well"

STORAGE = Storage()
IN_FIVE_YEARS = datetime(2031, 8, 1, tzinfo=UTC)
IN_ELEVEN_YEARS = datetime(2037, 9, 1, tzinfo=UTC)

EVIDENCE_GOES = re.compile(r"envelopes of 2026-06 are dropped|chunk of envelopes from 2026-0[56]-\d\d is dropped")
"""Everything that the park's books hold was received in June."""


def evidence_goes(told: Iterable[str]) -> bool:
    """Whether the envelopes that statements rest on were dropped."""
    return any(EVIDENCE_GOES.match(what) for what in told)


def drops_readings(desk: Desk) -> bool:
    """Whether `maintain` is who drops readings; of hypertables TimescaleDB drops them by itself."""
    with desk.database.transaction() as connection:
        return find_layout(connection) is Layout.PARTITIONS


@pytest.fixture
def desk(postgres_dsn: str, settled: str) -> Iterator[Desk]:
    """The park with a published run on a database of its own."""
    name = psycopg.conninfo.conninfo_to_dict(settled)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        with Database(dsn, connections=2) as database:
            built = Desk(database)
            built.publish(built.close()[0].head.run)
            yield built


def files_of(desk: Desk) -> dict[str, bytes]:
    """The file of every statement."""
    with desk.database.transaction() as connection:
        (run,) = connection.execute("SELECT run FROM allocation_runs").fetchone()  # type: ignore[misc]
        files = {}
        for number, _ in numbers_of_run(connection, run):
            stored = find_statement(connection, number)
            assert stored is not None
            files[number] = statement_file(connection, stored, desk.books.catalogue)
    return files


def count(desk: Desk, table: str) -> int:
    """Rows of a table."""
    with desk.database.transaction() as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # type: ignore[misc]
    assert isinstance(rows, int)
    return rows


def test_readings_over_their_time_go_and_every_statement_is_still_given_out_to_the_byte(desk: Desk) -> None:
    before, envelopes = files_of(desk), count(desk, "envelopes")
    told = list(maintain(desk.database, STORAGE, IN_FIVE_YEARS))
    assert ("readings of 2026-07 are dropped" in told) is drops_readings(desk)
    assert not evidence_goes(told)
    assert (count(desk, "readings") == 0) is drops_readings(desk)
    assert count(desk, "envelopes") == envelopes
    assert files_of(desk) == before
    assert len(before) > 5
    assert list(maintain(desk.database, STORAGE, IN_FIVE_YEARS)) == []


def test_envelopes_go_when_the_last_statement_on_them_need_not_be_proven_any_more(desk: Desk) -> None:
    assert not evidence_goes(maintain(desk.database, STORAGE, IN_FIVE_YEARS))
    told = list(maintain(desk.database, STORAGE, IN_ELEVEN_YEARS))
    assert evidence_goes(told)
    assert count(desk, "envelopes") == 0
    assert count(desk, "ledger") > 0, "what is new is judged for ever"
    with pytest.raises(EvidenceMissing):
        files_of(desk)


def test_a_run_whose_statements_were_not_read_yet_holds_everything(desk: Desk) -> None:
    list(maintain(desk.database, STORAGE, datetime(2026, 12, 1, tzinfo=UTC)))
    with desk.database.transaction() as connection:
        connection.execute("DELETE FROM run_evidence")
        held = [step.what for step in steps_of_retention(connection, STORAGE, IN_ELEVEN_YEARS)]
        assert not any("envelopes" in what for what in held)
        assert any("readings" in what for what in held) is drops_readings(desk)


def test_a_statement_that_was_issued_later_makes_its_run_unread_again(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        (run,) = read_evidence(connection)
        assert read_evidence(connection) == ()
        connection.execute(
            "INSERT INTO statements (number, run, party, octets, proof, issued_at) "
            "SELECT 'late', run, 'late', octets, proof, now() FROM statements LIMIT 1"
        )
        assert read_evidence(connection) == (run,)


def test_a_statement_that_cannot_be_read_stops_all_dropping(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        connection.execute(
            "UPDATE statements SET octets = 'broken' WHERE number = (SELECT min(number) FROM statements)"
        )
    envelopes, readings = count(desk, "envelopes"), count(desk, "readings")
    with pytest.raises(EvidenceUnreadable, match="cannot be read, so nothing is dropped"):
        list(maintain(desk.database, STORAGE, IN_ELEVEN_YEARS))
    assert (count(desk, "envelopes"), count(desk, "readings")) == (envelopes, readings)


def test_the_span_of_a_run_is_that_of_the_envelopes_its_statements_name(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        read_evidence(connection)
        spans = connection.execute("SELECT oldest, newest, statements FROM run_evidence").fetchall()
        ((oldest, newest, statements),) = spans
        (first, last) = connection.execute("SELECT min(received_at), max(received_at) FROM ledger").fetchone()  # type: ignore[misc]
        (issued,) = connection.execute("SELECT count(*) FROM statements").fetchone()  # type: ignore[misc]
    assert first <= oldest <= newest <= last
    assert statements == issued


def test_what_came_after_a_statement_s_evidence_is_not_held(desk: Desk) -> None:
    with desk.database.transaction() as connection:
        connection.execute("INSERT INTO envelopes VALUES ('gw-z', 1, 1, '2026-09-15Z', 'octets')")
    told = list(maintain(desk.database, replace(STORAGE, keep_envelopes_months=12), IN_FIVE_YEARS))
    assert {"envelopes of 2026-09 are dropped", "chunk of envelopes from 2026-09-10 is dropped"} & {*told}
    assert files_of(desk)


def test_the_command_foretells_what_it_then_does(empty_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--dry-run", "--dsn", empty_dsn]) == 0
    assert capsys.readouterr().out.startswith("would apply 0001_pre_initial.sql")
    with Database(empty_dsn, connections=1) as database:
        migrate_schema(database)
    assert main(["migrate", "--dry-run", "--dsn", empty_dsn]) == 0
    foretold = capsys.readouterr().out
    assert main(["migrate", "--dsn", empty_dsn]) == 0
    done = capsys.readouterr().out.splitlines()
    assert foretold.count("would do: ") >= 2
    assert all(what in done for what in re.findall(r"would do: (.*)", foretold))
    assert main(["migrate", "--dsn", empty_dsn]) == 0
    assert capsys.readouterr().out == "the database is up to date\n"
    assert main(["maintain", "--dry-run", "--months-ahead", "4", "--dsn", empty_dsn]) == 0
    foretold = capsys.readouterr().out
    assert main(["maintain", "--months-ahead", "4", "--dsn", empty_dsn]) == 0
    assert (re.findall(r"would do: (.*)", foretold) or ["nothing to do"]) == capsys.readouterr().out.splitlines()
    assert main(["maintain", "--months-ahead", "4", "--dsn", empty_dsn]) == 0
    assert capsys.readouterr().out == "nothing to do\n"


@pytest.mark.parametrize("flag", ["--keep-readings-months", "--chunk-days", "--late-days"])
@pytest.mark.parametrize("given", ["0", "-1", "many", "2.5", "10000"])
def test_a_horizon_that_is_no_number_is_refused(flag: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maintain", f"{flag}={given}", "--dsn", "dbname=nowhere"]) == 1
    assert flag in capsys.readouterr().err
