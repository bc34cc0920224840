"""Events in the database: told in the transaction of what they tell, numbered after its commit. Open transactions only.

    tell(connection, Event(EventKind.CHARGE_CREATED, site, f"charge/{charge}", now, {"charge": charge, ...}))

`tell` takes no lock and waits for nobody, so it may stand anywhere in a transaction. It gives no number: a number taken
before the commit would be overtaken by one that commits sooner, and a program that pulls would skip it. `number_events`
gives numbers to what is committed, one caller at a time, and lays out the deliveries of what it numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from ingest.event_kinds import Event, EventKind
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import SiteId

__all__ = ["Event", "EventKind", "NumberedEvent", "number_events", "read_events", "tell", "tell_all"]

KEPT = timedelta(days=400)
"""How long an event can be pulled: longer than a year's books are open."""
PULLED_MAX = 1000
NUMBERED_AT_ONCE = 5000
"""So many events are numbered in one transaction: others wait for it."""


class CursorTooOld(BooksError):
    """Events after this cursor are no longer kept, so a pull from it would skip some."""


class CursorAhead(BooksError):
    """No event has this number yet: the database was restored from a backup, or the cursor is another centre's."""


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event in its place in the order."""

    number: int
    event: str
    kind: EventKind
    site: SiteId | None
    subject: str
    at: datetime
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WantedEvents:
    """Which events to pull; None: of every kind, of every site and of the centre."""

    kinds: Sequence[EventKind] | None = None
    sites: Sequence[SiteId] | None = None


def tell(connection: Connection, event: Event) -> str:
    """Put an event where those outside find it, exactly if this transaction commits; give its id."""
    return tell_all(connection, (event,))[0]


def tell_all(connection: Connection, events: Iterable[Event]) -> tuple[str, ...]:
    """Tell many events at once, in this order."""
    return _add(connection, tuple(events), None)


def tell_endpoint(connection: Connection, event: Event, endpoint: str) -> str:
    """Tell one endpoint only; nobody pulls it."""
    return _add(connection, (event,), endpoint)[0]


def _add(connection: Connection, events: Sequence[Event], endpoint: str | None) -> tuple[str, ...]:
    ids = tuple(f"evt_{secrets.token_hex(16)}" for _ in events)
    if events:
        columns = {
            "ids": list(ids),
            "kinds": [str(one.kind) for one in events],
            "sites": [one.site for one in events],
            "subjects": [one.subject for one in events],
            "ats": [one.at for one in events],
            "bodies": [Jsonb(dict(one.body)) for one in events],
            "endpoint": endpoint,
        }
        connection.execute(load_queries("events")["add_events"], columns)
    return ids


def number_events(connection: Connection) -> int:
    """Number what is committed and has no number, and lay out its deliveries; give how many. Call until it is 0.

    The lock is held to the commit, so whoever is next sees these numbers and goes on behind them.
    """
    queries = load_queries("events")
    if connection.execute(queries["anything_unnumbered"]).fetchone() != (True,):
        return 0
    connection.execute(queries["lock_numbers"])
    # A statement of its own: only one that begins under the lock sees what the last holder committed.
    numbered = [row[0] for row in connection.execute(queries["number_events"], {"most": NUMBERED_AT_ONCE})]
    if numbered:
        connection.execute(queries["lay_out_deliveries"], {"events": numbered})
    return len(numbered)


def read_events(
    connection: Connection, after: int, most: int, wanted: WantedEvents | None = None
) -> tuple[tuple[NumberedEvent, ...], int, bool]:
    """Give events after a cursor in order, the next cursor, and whether there are more.

    Raises CursorTooOld and CursorAhead. Number first (`number_events`): what has no number is not seen.
    """
    queries, wanted = load_queries("events"), wanted or WantedEvents()
    row = connection.execute(queries["number_bounds"]).fetchone()
    assert row is not None
    oldest, newest = row
    if after > newest:
        raise CursorAhead(f"no event has the number {after}, the newest is {newest}: begin again from an earlier one")
    if after and after < oldest - 1:
        raise CursorTooOld(
            f"events are kept from number {oldest} on, and some after {after} are gone: begin with after=0"
        )
    rows = connection.execute(
        queries["events_after"],
        {
            "after": after,
            "until": newest,
            "most": most,
            "kinds": None if wanted.kinds is None else [str(one) for one in wanted.kinds],
            "sites": None if wanted.sites is None else list(wanted.sites),
        },
    ).fetchall()
    more = len(rows) == most
    return tuple(map(event_from_row, rows)), rows[-1][0] if more else newest, more


def newest_number(connection: Connection) -> int:
    """Give the highest number there is; 0 before the first."""
    row = connection.execute(load_queries("events")["number_bounds"]).fetchone()
    assert row is not None
    return int(row[1])


def find_event(connection: Connection, event: str) -> NumberedEvent | None:
    """Give one numbered event by its id."""
    row = connection.execute(load_queries("events")["find_event"], {"event": event}).fetchone()
    return None if row is None else event_from_row(row)


def drop_events(connection: Connection, now: datetime) -> int:
    """Take away what nobody pulls any more, with its deliveries; the newest stays, for numbers to go on from."""
    return connection.execute(load_queries("events")["drop_events"], {"before": now - KEPT}).rowcount


def event_from_row(row: Sequence[Any]) -> NumberedEvent:
    """Make an event of number, event, kind, site, subject, at, body."""
    number, event, kind, *rest = row
    return NumberedEvent(number, event, EventKind(kind), *rest)
