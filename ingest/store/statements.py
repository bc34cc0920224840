"""Signed statements as stored: the sealed octets, and what the file that a stranger verifies is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection, load_queries
from metering.identity import PartyId


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One statement. octets: COSE_Sign1 of the centre.

    proof    that its lines are in the run's commitment
    bundle   the whole file with evidence and profiles, of a statement from before files were put together on demand;
             either this or the proof is there
    """

    number: str
    run: str
    party: PartyId
    octets: bytes
    proof: bytes | None
    bundle: bytes | None
    issued_at: datetime


def add_statements(connection: Connection, statements: Iterable[StoredStatement]) -> None:
    """Store statements of a stored run; call inside the transaction that stores the run."""
    with connection.cursor() as cursor, cursor.copy(load_queries("statements")["add_statements"]) as copy:
        copy.set_types(("text", "text", "text", "bytea", "bytea", "timestamptz"))
        for one in statements:
            copy.write_row((one.number, one.run, one.party, one.octets, one.proof, one.issued_at))


def find_statement(connection: Connection, number: str) -> StoredStatement | None:
    """Give a statement, or None if there is none with this number."""
    row = connection.execute(load_queries("statements")["statement"], {"number": number}).fetchone()
    if row is None:
        return None
    number, run, party, octets, proof, bundle, issued_at = row
    return StoredStatement(number, run, PartyId(party), bytes(octets), proof, bundle, issued_at)


def numbers_of_run(connection: Connection, run: str) -> tuple[tuple[str, PartyId], ...]:
    """List the statement numbers of a run with their parties, by party."""
    rows = connection.execute(load_queries("statements")["numbers_of_run"], {"run": run})
    return tuple((number, PartyId(party)) for number, party in rows)
