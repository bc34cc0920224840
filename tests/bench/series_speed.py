"""How fast a year of one metering point is answered: `make bench-series` writes docs/performance-series.md.

A real PostgreSQL, the web application on a loopback socket, one client. Medians over many rounds after a first.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from httpx import Client
from psycopg import sql

from device_profiles.catalogue import Catalogue
from ingest.api import problems
from ingest.api.series import SeriesRoutes
from ingest.console.series_page import SeriesPages
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.series.points import Method, Slots, thin
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles import series_books as books
from tests.doubles.servers import open_folder
from tests.doubles.web import serving

PAGE = Path(__file__).parents[2] / "docs" / "performance-series.md"
YEAR, DAYS = date(2026, 1, 1), 365
ZONE = "Asia/Shanghai"
BAR_MS = 300
ROUNDS = 15
NEIGHBOURS = 200
"""Other metering points whose year lies in the same table."""
ASKED = {"node": "main", "from": "2026-01-01", "to": "2027-01-01"}
FROM_REGISTERS = {**ASKED, "source": "registers"}
QUESTIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("1,000 points, least and largest", "/v1/series", ASKED),
    ("1,000 points, triangles", "/v1/series", {**ASKED, "method": "lttb"}),
    ("all 35,040 slots", "/v1/series", {**ASKED, "points": "40000"}),
    ("sums by hour", "/v1/series", {**ASKED, "per": "hour"}),
    ("sums by day", "/v1/series", {**ASKED, "per": "day"}),
    ("sums by month", "/v1/series", {**ASKED, "per": "month"}),
    ("all slots as CSV", "/v1/series.csv", ASKED),
    ("page with both pictures, 15 minutes", "/series/park/main", {**ASKED, "per": "slot"}),
    ("page with both pictures, by month", "/series/park/main", {**ASKED, "per": "month"}),
    ("1,000 points out of readings", "/v1/series", FROM_REGISTERS),
    ("by hour out of readings", "/v1/series", {**FROM_REGISTERS, "per": "hour"}),
    ("by day out of readings", "/v1/series", {**FROM_REGISTERS, "per": "day"}),
    ("by month out of readings", "/v1/series", {**FROM_REGISTERS, "per": "month"}),
)


def write_year(database: Database, *, neighbours: int = 0, readings: bool = False) -> None:
    """Store a year of settled days of one point, with a day missing, and of neighbours; and its readings if asked."""
    drawn = np.random.default_rng(1)
    with database.transaction() as connection:
        site = books.import_into(connection, ZONE)
        names = [str(books.NODE), *(f"n-{number:03d}" for number in range(neighbours))]
        for offset in range(DAYS):
            rows = []
            for name in names:
                quality = [4 if offset == 100 else 3 if offset % 30 == 7 and slot < 8 else 0 for slot in range(96)]
                energy = [0 if offset == 100 else amount for amount in drawn.integers(500, 90_000, 96).tolist()]
                day = YEAR + timedelta(days=offset)
                row = (books.SITE, name, "1-0:1.8.0", day, energy, quality, "[]", bytes(32), books.NOW)
                rows.append(f"({', '.join(sql.Literal(one).as_string() for one in row)})")
            connection.execute(f"INSERT INTO settled_days VALUES {', '.join(rows)}".encode())
        if readings:
            start = books.midnight(ZONE, YEAR)
            marks = (start + index * timedelta(minutes=15) for index in range(DAYS * 96 + 1))
            shown = [books.Shown(mark, 1000 + 31 * index) for index, mark in enumerate(marks)]
            books.write(connection, site, shown)


@contextmanager
def opened() -> Iterator[tuple[Database, Client]]:
    """A service over a database with a year in it."""
    folder = open_folder("metertree-bench-")
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, SystemClock()), Database(server.dsn, connections=4) as database:
            migrate(database)
            write_year(database, neighbours=NEIGHBOURS, readings=True)
            with database.alone() as connection:
                connection.execute(b"VACUUM ANALYZE")
            app = FastAPI()
            problems.install(app)
            app.include_router(SeriesRoutes(database, Catalogue.shipped()).router())
            app.include_router(SeriesPages(database, Catalogue.shipped()).router())
            with serving(app) as client:
                yield database, client
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def times_ms(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float, float, float]:
    """Give the first time, the median and the longest of the others, and the median of CPU of this process [ms]."""
    taken, worked = [], []
    for _ in range(rounds + 1):
        begun, cpu = time.perf_counter(), time.process_time()
        work()
        taken.append(1000 * (time.perf_counter() - begun))
        worked.append(1000 * (time.process_time() - cpu))
    return taken[0], statistics.median(taken[1:]), max(taken[1:]), statistics.median(worked[1:])


def kernels() -> Iterator[str]:
    """Time thinning alone."""
    drawn = np.random.default_rng(2)
    slots = Slots(0, drawn.integers(0, 10**6, 35_040), drawn.choice(np.array([0, 0, 0, 4], np.uint8), 35_040))
    measured = Slots(0, slots.amounts, np.zeros(35_040, np.uint8))
    for name, given, method in (
        ("least and largest", slots, Method.EXTREMES),
        ("triangles", measured, Method.TRIANGLES),
    ):
        first, median, *_ = times_ms(lambda given=given, method=method: thin(given, 1000, method), 50)
        yield f"| {name} | {median:.2f} | {first:.0f} |"


def main() -> None:
    """Measure and write the page."""
    load = os.getloadavg()[0]
    lines = []
    with opened() as (_, client):
        for name, path, asked in QUESTIONS:
            answer = client.get(path, params=asked)
            assert answer.status_code == 200, answer.text
            first, median, longest, cpu = times_ms(lambda path=path, asked=asked: client.get(path, params=asked))
            mark = "✓" if median <= BAR_MS else "✗"
            size = len(answer.content) / 1000
            lines.append(f"| {name} | **{median:.0f}** {mark} | {longest:.0f} | {cpu:.0f} | {size:,.0f} |")
            print(lines[-1], f"first {first:.0f} ms", flush=True)
    PAGE.write_text(
        PAGE_TEXT.format(
            day=datetime.now(UTC).date(),
            python=platform.python_version(),
            cores=os.cpu_count(),
            load=load,
            load_end=os.getloadavg()[0],
            bar=BAR_MS,
            rounds=ROUNDS,
            neighbours=NEIGHBOURS,
            rows="\n".join(lines),
            kernels="\n".join(kernels()),
        ),
        encoding="utf-8",
    )


PAGE_TEXT = """# How fast a series is answered

Written by `make bench-series` on {day}: {cores} cores, Python {python}, load of the machine {load:.1f} when it began
and {load_end:.1f} when it ended. Embedded PostgreSQL 18 without TimescaleDB, the web application and one client on the
same cores. A year of one metering point in slots of 15 minutes (35,040), in a table with the years of {neighbours}
others; from HTTP request to last octet of the answer. Medians of {rounds} rounds; bar: {bar} ms.
*CPU* is that of the service and its client, without PostgreSQL: what a busy machine cannot change.

| a year of one node | median, ms | longest, ms | CPU, ms | kB |
|---|---|---|---|---|
{rows}

*Out of readings* means what the meter showed (`source=registers`), worked out on plain PostgreSQL; TimescaleDB keeps
hours, days and months ready.

## Thinning alone

35,040 slots to 1,000 points; the first call of a process loads or compiles the loop.

| | ms | first call, ms |
|---|---|---|
{kernels}
"""

if __name__ == "__main__":
    main()
