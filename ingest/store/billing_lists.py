"""Statements and residuals as lists for billing. Functions take an open transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allocation_engine.run_state import RunState
from ingest.store.database import Connection, load_queries


@dataclass(frozen=True, slots=True)
class WantedStatements:
    """Which statements are asked for; None: whatever it is. sites: those the caller may see."""

    sites: tuple[str, ...] | None = None
    run: str | None = None
    site: str | None = None
    period: str | None = None
    party: str | None = None


@dataclass(frozen=True, slots=True)
class ListedStatement:
    """A statement in a list. state: what became of it since its run was published; None before."""

    number: str
    run: str
    site: str
    period: str
    party: str
    total_minor: int
    currency: str
    run_state: RunState
    state: str | None
    issued_at: datetime


def list_statements(
    connection: Connection, wanted: WantedStatements, after: str, most: int
) -> tuple[ListedStatement, ...]:
    """List statements behind a number, by number."""
    asked = {
        "sites": None if wanted.sites is None else list(wanted.sites),
        "run": wanted.run,
        "site": wanted.site,
        "period": wanted.period,
        "party": wanted.party,
        "after": after,
        "most": most,
    }
    rows = connection.execute(load_queries("billing")["statements"], asked)
    return tuple(
        ListedStatement(number, run, site, period, party, total, currency, RunState(run_state), state, issued_at)
        for number, run, site, period, party, total, currency, run_state, state, issued_at in rows
    )


def residuals_of(connection: Connection, run: str) -> dict[str, list[tuple[str, int]]]:
    """Give who bears what of each pool beyond what was charged [minor units]."""
    found: dict[str, list[tuple[str, int]]] = {}
    for pool, party, amount in connection.execute(load_queries("billing")["residuals"], {"run": run}):
        found.setdefault(pool, []).append((party, amount))
    return found
