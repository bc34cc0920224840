"""Statements sealed by several processes: the same, in the same order, or none."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from allocation_engine.errors import PeriodNotReady
from allocation_engine.statement import Statement
from ingest.sealing import HANDFUL, SealingStopped, seal_all
from metering.identity import PartyId

PARTIES = [PartyId(f"t-{number:03d}") for number in range(5 * HANDFUL + 7)]
WAITING_OCTETS = 64 * 1024


def sealed(party: PartyId, size: int = 10) -> Statement:
    """A statement that only its party decides."""
    return Statement(f"n-{party}", party, len(party), party.encode() * size, b"proof", (), frozenset())


def failing_at(party: PartyId, fail: Callable[[], None]) -> Callable[[PartyId], Statement]:
    """Seals everybody but one party."""

    def seal(one: PartyId) -> Statement:
        if one == party:
            fail()
        return sealed(one)

    return seal


def children() -> set[int]:
    """The processes below this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


@pytest.mark.parametrize("processes", [1, 2, 3, 50])
def test_any_number_of_processes_gives_the_same_statements_in_the_same_order(processes: int) -> None:
    assert list(seal_all(PARTIES, sealed, processes)) == [sealed(party) for party in PARTIES]


@pytest.mark.parametrize("count", [0, 1, HANDFUL, HANDFUL + 1])
def test_few_parties_are_sealed_too(count: int) -> None:
    assert [one.party for one in seal_all(PARTIES[:count], sealed, 2)] == PARTIES[:count]


def test_other_processes_seal() -> None:
    places = {one.total_minor for one in seal_all(PARTIES, lambda party: told_by(os.getpid(), party), 2)}
    assert len(places) == 2
    assert os.getpid() not in places


def told_by(process: int, party: PartyId) -> Statement:
    """A statement that says who sealed it."""
    return Statement("n", party, process, b"", b"", (), frozenset())


@pytest.mark.parametrize("number", [0, HANDFUL, 3 * HANDFUL + 5])
def test_what_one_party_lacks_is_said_as_if_it_were_sealed_here(number: int) -> None:
    def refuse() -> None:
        raise PeriodNotReady((f"no evidence for {PARTIES[number]}",))

    with pytest.raises(PeriodNotReady, match="no evidence") as refused:
        list(seal_all(PARTIES, failing_at(PARTIES[number], refuse), 2))
    assert refused.value.reasons == (f"no evidence for {PARTIES[number]}",)


@pytest.mark.parametrize("number", [0, 2 * HANDFUL + 1, len(PARTIES) - 1])
def test_a_process_that_is_killed_ends_the_sealing(number: int) -> None:
    killed = failing_at(PARTIES[number], lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(SealingStopped, match="ended with -9; nothing was stored"):
        list(seal_all(PARTIES, killed, 2))


def test_a_process_that_stumbles_over_its_own_mistake_ends_the_sealing() -> None:
    def mistake() -> None:
        raise ZeroDivisionError

    with pytest.raises(SealingStopped, match="ended with 1"):
        list(seal_all(PARTIES, failing_at(PARTIES[40], mistake), 2))


def test_whoever_stops_taking_leaves_no_process_behind() -> None:
    statements = seal_all(PARTIES, lambda party: sealed(party, WAITING_OCTETS), 2)
    assert next(statements).party == PARTIES[0]
    statements.close()  # type: ignore[attr-defined]
