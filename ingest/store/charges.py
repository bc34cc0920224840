"""Charges in the database: what confirmed statements make billable, each line once. Functions take an open transaction.

All charges of a party and period add up to what was confirmed last: a charge holds, line by line, what its statement
says less what charges of earlier statements of the period hold of the same line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ingest.store.database import Connection, load_queries
from metering.identity import PartyId, SiteId


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that became billable. amount_minor in minor units of `currency`; negative is a credit.

    invoice   the number under which billing took it over; None until then
    """

    charge: str
    statement: str
    site: SiteId
    period: str
    party: PartyId
    amount_minor: int
    currency: str
    created_at: datetime
    invoice: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One line of a charge: what the statement says, and what was charged of it before, in minor units."""

    line: str
    stated_minor: int
    before_minor: int

    @property
    def amount_minor(self) -> int:
        """Give what is charged."""
        return self.stated_minor - self.before_minor


def add_charge(connection: Connection, charge: Charge, lines: Iterable[ChargeLine]) -> None:
    """Store a charge. A line of a statement that is charged already breaks `charge_lines_once`."""
    queries = load_queries("statement_states")
    row = {
        "charge": charge.charge,
        "statement": charge.statement,
        "site": charge.site,
        "period": charge.period,
        "party": charge.party,
        "amount_minor": charge.amount_minor,
        "currency": charge.currency,
        "created_at": charge.created_at,
    }
    connection.execute(queries["add_charge"], row)
    with connection.cursor() as cursor, cursor.copy(queries["add_charge_lines"]) as copy:
        for one in lines:
            amounts = (one.stated_minor, one.before_minor, one.amount_minor)
            copy.write_row((charge.statement, one.line, charge.charge, *amounts))


def charges_of(connection: Connection, statement: str) -> tuple[Charge, ...]:
    """List the charges of a statement, oldest first."""
    rows = connection.execute(load_queries("statement_states")["charges_of_statement"], {"number": statement})
    return tuple(
        Charge(one, of, SiteId(site), period, PartyId(party), *rest) for one, of, site, period, party, *rest in rows
    )


def lines_charged(connection: Connection, statement: str) -> frozenset[str]:
    """Give the lines of a statement that are charged."""
    rows = connection.execute(load_queries("statement_states")["lines_charged"], {"number": statement})
    return frozenset(row[0] for row in rows)


def charged_before(
    connection: Connection, site: SiteId, period: str, party: PartyId, statement: str
) -> Mapping[str, int]:
    """Give what charges of the period's other statements hold of each line [minor units]."""
    wanted = {"site": site, "period": period, "party": party, "statement": statement}
    rows = connection.execute(load_queries("statement_states")["charged_before"], wanted)
    return {str(line): int(amount) for line, amount in rows}
