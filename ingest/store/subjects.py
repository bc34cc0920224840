"""Of which site something is, by its name: for callers who may see some sites only."""

from __future__ import annotations

from ingest.store.database import Connection, load_queries


def site_of(connection: Connection, kind: str, name: str) -> str | None:
    """Give the site a run, statement, gateway, binding ... is of; None where there is none of that name, or no site."""
    row = connection.execute(load_queries("subjects")[kind], {"name": name}).fetchone()
    return None if row is None or row[0] is None else str(row[0])
