"""Published runs without readings or engine: rows as a close and a publication leave them, for feeds and exports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ingest.store.database import Connection
from ingest.store.feed import enter_feed

NOW = datetime(2026, 8, 2, 1, tzinfo=UTC)
START, END = datetime(2026, 6, 30, 16, tzinfo=UTC), datetime(2026, 7, 31, 16, tzinfo=UTC)
BANDS = [{"version": "v1", "name": name, "rate_micro": 1, "per": "kWh", "base_units": [1000, 1]} for name in "pfv"]

Line = tuple[str, str, str | None, str, int, list[int]]
"""pool, party, unit, kind, amount_minor, amounts by band."""


def run_id(name: str) -> str:
    """Give an id of the form that runs have."""
    return hashlib.sha256(name.encode()).hexdigest()


def lines(count: int, *, first: int = 0) -> list[Line]:
    """Make lines of many parties, with amounts that tell them apart."""
    return [
        ("own-use", f"t-{n:05d}", f"u-{n:05d}", "metered", 100 + n, [n, 2 * n, 3]) for n in range(first, first + count)
    ]


def add_site(connection: Connection, site: str) -> None:
    """Store a site that runs may refer to."""
    connection.execute(
        b"INSERT INTO site_versions VALUES (%s, 1, %s, '{}', NULL, %s) ON CONFLICT DO NOTHING", (site, bytes(32), NOW)
    )


def add_run(connection: Connection, run: str, site: str, period: str, made: Iterable[Line]) -> None:
    """Store a computed run with its lines."""
    add_site(connection, site)
    document: dict[str, Any] = {
        "period": {"start": START.isoformat(), "end": END.isoformat()},
        "currency": "CNY",
        "bands": BANDS,
        "pools": [],
        "cases": [],
    }
    row = (run, site, period, "superseded", NOW, bytes(32), json.dumps(document), NOW)
    connection.execute(
        b"INSERT INTO allocation_runs (run, site, period, state, booked_at, site_version, inputs_hash, engine_version,"
        b" document, created_at) VALUES (%s, %s, %s, %s, %s, 1, %s, '3', %s, %s)",
        row,
    )
    connection.execute(
        b"INSERT INTO run_transitions (run, step, to_state, actor, reason, acted_at, recorded_at)"
        b" VALUES (%s, 1, 'computed', 'an', '', %s, %s)",
        (run, NOW, NOW),
    )
    connection.execute(b"UPDATE allocation_runs SET state = 'computed' WHERE run = %s", (run,))
    copy_in = b"COPY run_lines (run, line, pool, party, unit, energy, amount_minor, trace, kind) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
        for number, (pool, party, unit, kind, amount_minor, energy) in enumerate(made):
            copy.write_row((run, number, pool, party, unit, json.dumps(energy), amount_minor, "{}", kind))


def publish(
    connection: Connection, run: str, *, corrects: str | None = None, deltas: Sequence[tuple[str, int]] = ()
) -> None:
    """Publish a stored run; `deltas` are line ids with what they change. The feed takes it up."""
    row = connection.execute(
        b"INSERT INTO publications (run, published_at, octets) VALUES (%s, %s, %s) RETURNING publication",
        (run, NOW, run.encode()),
    ).fetchone()
    assert row is not None
    for line, delta in deltas:
        pool, unit, party = line.split("/")
        place = (run, corrects, line, pool, party, None if unit == "residual" else unit, 0, delta, delta, "[]", row[0])
        connection.execute(b"INSERT INTO correction_lines VALUES (" + b", ".join([b"%s"] * 11) + b")", place)
    enter_feed(connection)
