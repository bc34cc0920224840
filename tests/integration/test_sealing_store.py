"""A close that seals on several processes stores what one process stores, or nothing at all."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from allocation_engine.inputs import PeriodInputs
from allocation_engine.statement import Sealer
from ingest.closing import Closing, Stage, gather
from ingest.sealing import SealingStopped
from ingest.settlement import Settlement
from ingest.store.database import Database
from metering.interval import SLOT
from tests.doubles.park_books import CENTRE, ParkBooks, read_park

PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = datetime(2026, 8, 1, 1, tzinfo=UTC)
STORED = b"SELECT number, octets, proof FROM statements ORDER BY number"


@pytest.fixture
def books(database: Database, monkeypatch: pytest.MonkeyPatch) -> ParkBooks:
    """A day of the park; a handful is two parties, so that eight parties keep two workers busy."""
    found = ParkBooks(database, *read_park())
    found.enrol_all()
    start = found.site.calendar.period(PERIOD).start
    found.write(start + index * SLOT for index in range(97))
    monkeypatch.setattr("ingest.sealing.HANDFUL", 2)
    return found


def close(books: ParkBooks, sealers: int, watch: Callable[[Stage, int, int], None] | None = None) -> list[Any]:
    """Close the day, give what is stored of the statements."""
    closing = Closing(Settlement(books.database, books.catalogue), CENTRE, bytes(32), sealers)
    told = {} if watch is None else {"watch": watch}
    closing.close(books.site.id, PERIOD, booked_at=BOOKED_AT, **told)  # type: ignore[arg-type]
    return rows(books, STORED)


def rows(books: ParkBooks, query: bytes) -> list[Any]:
    """Look straight into the tables."""
    with books.database.transaction() as connection:
        return connection.execute(query).fetchall()


def test_two_processes_store_the_octets_that_one_stores(books: ParkBooks) -> None:
    several = close(books, 2)
    with books.database.transaction() as connection:
        connection.execute(b"SET CONSTRAINTS ALL DEFERRED")
        for table in (
            b"statements",
            b"run_lines",
            b"run_slots",
            b"run_evidence",
            b"run_completions",
            b"run_transitions",
            b"allocation_runs",
        ):
            connection.execute(b"DELETE FROM " + table)
    assert close(books, 1) == several
    assert len(several) == 8


def test_a_killed_worker_ends_the_close_and_nothing_is_stored(
    books: ParkBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, here = Sealer.seal, os.getpid()

    def killed(sealer: Sealer, party: Any) -> Any:
        if party == "t-03" and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return seal(sealer, party)

    monkeypatch.setattr(Sealer, "seal", killed)
    with pytest.raises(SealingStopped):
        close(books, 2)
    for table in (b"allocation_runs", b"run_lines", b"run_slots", b"run_transitions", b"statements"):
        assert rows(books, b"SELECT count(*) FROM " + table) == [(0,)]
    monkeypatch.setattr(Sealer, "seal", seal)
    assert len(close(books, 2)) == 8


def test_every_stage_is_told_and_every_statement_counted(books: ParkBooks) -> None:
    told: list[tuple[Stage, int, int]] = []
    close(books, 2, lambda *progress: told.append(progress))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == list(Stage)
    assert [(done, of) for stage, done, of in told if stage is Stage.SEAL] == [(number, 8) for number in range(8)]


def test_the_energies_are_let_go_before_statements_are_sealed(
    books: ParkBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    energies: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def watched(*arguments: Any) -> PeriodInputs:
        inputs = gather(*arguments)
        energies.append(weakref.ref(inputs.import_wh))
        return inputs

    monkeypatch.setattr("ingest.closing.gather", watched)
    close(books, 1, lambda *told: alive.append(energies[0]() is not None) if told[0] is Stage.SEAL else None)
    assert len(alive) == 8
    assert not any(alive), "a third of the memory of a large site, held twice by its workers"
