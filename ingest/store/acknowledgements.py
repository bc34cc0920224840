"""Charges as billing reads them, and the one invoice under which it took each over. Open transactions only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.event_kinds import Event, EventKind
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from ingest.store.events import tell
from metering.errors import BooksError
from metering.identity import SiteId


class ChargeUnknown(BooksError):
    """There is no charge with this id."""


class ChargeAcknowledged(BooksError):
    """A charge has another invoice already: it would be collected twice."""

    def __init__(self, charge: str, invoice: str) -> None:
        super().__init__(f"charge {charge} was taken over under invoice {invoice}")
        self.invoice = invoice


@dataclass(frozen=True, slots=True)
class BillableCharge:
    """A charge. amount_minor in minor units; invoice None until it is taken over; place: in what order made."""

    charge: str
    statement: str
    site: str
    period: str
    party: str
    amount_minor: int
    currency: str
    created_at: datetime
    invoice: str | None
    acknowledged_at: datetime | None
    place: int


@dataclass(frozen=True, slots=True)
class WantedCharges:
    """Which charges are asked for; None: whatever it is. sites: those the caller may see."""

    sites: tuple[str, ...] | None = None
    site: str | None = None
    period: str | None = None
    party: str | None = None
    statement: str | None = None
    acknowledged: bool | None = None


def list_charges(connection: Connection, wanted: WantedCharges, after: int, most: int) -> tuple[BillableCharge, ...]:
    """List charges behind a place, in the order in which they were made."""
    asked: dict[str, Any] = {
        "sites": None if wanted.sites is None else list(wanted.sites),
        "site": wanted.site,
        "period": wanted.period,
        "party": wanted.party,
        "statement": wanted.statement,
        "acknowledged": wanted.acknowledged,
        "after": after,
        "most": most,
    }
    return tuple(BillableCharge(*row) for row in connection.execute(load_queries("billing")["charges"], asked))


def require_charge(connection: Connection, charge: str) -> BillableCharge:
    """Give a charge; raises ChargeUnknown."""
    return _charge(connection, "charge", charge)


def lines_of_charge(connection: Connection, charge: str) -> tuple[tuple[str, int, int, int], ...]:
    """Give its lines: id, what the statement says, what was charged before, and the difference [minor units]."""
    rows = connection.execute(load_queries("billing")["charge_lines"], {"charge": charge})
    return tuple((line, stated, before, amount) for line, stated, before, amount in rows)


def acknowledge_charge(
    connection: Connection, charge: str, invoice: str, caller: Caller, now: datetime
) -> tuple[BillableCharge, bool]:
    """Note under which invoice billing took a charge over; gives the charge, and whether this is new.

    Raises ChargeUnknown, and ChargeAcknowledged where it has another invoice.
    """
    found = _charge(connection, "hold_charge", charge)
    if found.invoice is not None:
        if found.invoice != invoice:
            raise ChargeAcknowledged(charge, found.invoice)
        return found, False
    queries = load_queries("billing")
    connection.execute(
        queries["acknowledge_charge"], {"charge": charge, "invoice": invoice, "at": now, "by": caller.name}
    )
    row = connection.execute(queries["run_of_statement"], {"number": found.statement}).fetchone()
    assert row is not None, "a charge refers to its statement"
    body = {"charge": charge, "statement": found.statement, "run": row[0], "period": found.period}
    tell(connection, Event(EventKind.CHARGE_ACKNOWLEDGED, SiteId(found.site), f"charge/{charge}", now, body))
    subject, touches = f"charge/{charge}", (f"statement/{found.statement}", f"site/{found.site}")
    after = {"invoice": invoice}
    record(connection, caller.act(now, Verb.CHARGE_ACKNOWLEDGED, subject, after=after, touches=touches))
    return require_charge(connection, charge), True


def _charge(connection: Connection, query: str, charge: str) -> BillableCharge:
    row = connection.execute(load_queries("billing")[query], {"charge": charge}).fetchone()
    if row is None:
        raise ChargeUnknown(f"charge {charge} does not exist")
    return BillableCharge(*row)
