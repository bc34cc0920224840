"""Signed statements as stored: the sealed octets, and the file that a stranger verifies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection, load_queries
from metering.identity import PartyId


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One statement. octets: COSE_Sign1 of the centre; bundle: the file with evidence and profiles."""

    number: str
    run: str
    party: PartyId
    octets: bytes
    bundle: bytes
    issued_at: datetime


def add_statement(connection: Connection, statement: StoredStatement) -> None:
    """Store a statement of a stored run; call inside the transaction that stores the run."""
    connection.execute(
        load_queries("statements")["add_statement"],
        {
            "number": statement.number,
            "run": statement.run,
            "party": statement.party,
            "octets": statement.octets,
            "bundle": statement.bundle,
            "issued_at": statement.issued_at,
        },
    )


def find_statement(connection: Connection, number: str) -> StoredStatement | None:
    """Give a statement, or None if there is none with this number."""
    row = connection.execute(load_queries("statements")["statement"], {"number": number}).fetchone()
    if row is None:
        return None
    return StoredStatement(row[0], row[1], PartyId(row[2]), bytes(row[3]), bytes(row[4]), row[5])


def numbers_of_run(connection: Connection, run: str) -> tuple[tuple[str, PartyId], ...]:
    """List the statement numbers of a run with their parties, by party."""
    rows = connection.execute(load_queries("statements")["numbers_of_run"], {"run": run})
    return tuple((number, PartyId(party)) for number, party in rows)
