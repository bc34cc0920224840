"""`make bench-review`: how long the review of a run of 10,000 lines takes, from the service and in a real browser.

The run is a real close of a synthetic park; twelve earlier months are copies of it with other amounts. The service
answers over a socket, in the process that measures, so its own work is in the numbers of the browser too.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from httpx import Client
from playwright.sync_api import Page

from device_profiles.catalogue import Catalogue
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.settlement import Settlement
from ingest.store.database import Database
from metering.clock import ManualClock, SystemClock
from tests.bench.whole_close.estate import PERIOD, SITE, Estate
from tests.bench.whole_close.fill import fill
from tests.doubles.browser import DESKTOP, browser, chromium
from tests.doubles.park_books import CENTRE
from tests.doubles.servers import _database, open_folder
from tests.doubles.web import serving

PAGE = Path(__file__).parents[2] / "docs" / "performance-review.md"
UNITS, MONTHS, REPEATS = 2_500, 12, 9
SERVER_BAR_MS, BROWSER_BAR_MS = 150, 1000
BOOKED_AT = datetime(2026, 8, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 8, 1, 2, tzinfo=UTC)
_HEX = "md5(%(period)s || run) || md5(run || %(period)s)"
_COPIES = (
    f"""INSERT INTO allocation_runs (run, site, period, state, booked_at, site_version, inputs_hash, engine_version,
        document, created_at, computed_by)
    SELECT {_HEX}, site, %(period)s, 'computed', booked_at, site_version, inputs_hash, engine_version, document,
        created_at - interval '1 day', 'an' FROM allocation_runs WHERE run = %(run)s""",
    f"""INSERT INTO run_transitions (run, step, to_state, actor, reason, acted_at, recorded_at)
    SELECT {_HEX}, 1, 'computed', 'an', '', booked_at, now() FROM allocation_runs WHERE run = %(run)s""",
    f"""INSERT INTO run_lines (run, line, pool, party, unit, energy, amount_minor, trace, kind)
    SELECT {_HEX}, line, pool, party, unit, energy,
        amount_minor * (930 + abs(hashtext(%(period)s || line)) %% 140) / 1000, trace, kind
    FROM run_lines WHERE run = %(run)s""",
)


@contextmanager
def stored() -> Iterator[tuple[Database, str]]:
    """A database with the run and its earlier months."""
    folder = open_folder("metertree-bench-")
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, SystemClock()) as process:
            for dsn in _database(server.dsn, None):
                with Database(dsn, connections=8) as database:
                    fill(database, dsn, Estate(UNITS, "flat"))
                    closing = Closing(Settlement(database, Catalogue.shipped()), CENTRE, bytes(32), 2)
                    run = closing.close(SITE, PERIOD, booked_at=BOOKED_AT, actor="an")[0].head.run
                    with psycopg.connect(dsn) as connection:
                        for month in range(1, MONTHS + 1):
                            year, of_year = divmod(2026 * 12 + 6 - month, 12)
                            wanted = {"run": run, "period": f"{year}-{of_year + 1:02d}"}
                            for copy in _COPIES:
                                connection.execute(copy.encode(), wanted)
                    with psycopg.connect(dsn, autocommit=True) as connection:
                        connection.execute("VACUUM (ANALYZE)")
                    yield database, run
            process.send_signal(signal.SIGQUIT)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def served(database: Database) -> Iterator[Client]:
    """The service, with nothing kept of any run yet."""
    closing = Closing(Settlement(database, Catalogue.shipped()), CENTRE, bytes(32))
    parts = WebParts(database, closing, ManualClock(NOW), CENTRE.public_key, "t", {}, Metrics(), check_fields=False)
    with serving(create_app(parts)) as client:
        client.get("/healthz")
        yield client


def timed_ms(task: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    begun = time.perf_counter()
    task()
    return (time.perf_counter() - begun) * 1e3


def got(client: Client, path: str) -> bytes:
    """A page that must be there."""
    answer = client.get(path)
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
    return answer.content


def asked(run: str) -> dict[str, str]:
    """What is asked for, by what it is."""
    lines = f"/runs/{run}/lines"
    return {
        "the review page": f"/runs/{run}/review",
        "lines by largest change": f"{lines}?order=change",
        "lines by change in percent, page 100": f"{lines}?order=percent&page=100",
        "lines by tenant": f"{lines}?order=party",
        "lines changed by 5 % or more": f"{lines}?percent=5",
        "lines of one tenant, searched": f"{lines}?text=t000123",
        "lines that stand out": f"{lines}?only=outlier",
        "all lines as CSV": f"/runs/{run}/lines.csv",
        "the list of runs": "/runs",
    }


def server_rows(database: Database, run: str) -> list[str]:
    """Times of the service: cold (of a run nobody looked at since the start), and again."""
    colds = []
    for _ in range(3):
        with served(database) as client:
            got(client, "/static/console.css")
            colds.append(timed_ms(lambda client=client: got(client, f"/runs/{run}/review")))
    first = f"{statistics.median(colds):.0f} ms | {min(colds):.0f} ms"
    rows = [f"| the review page, of a run nobody looked at since the service began | {first} | |"]
    with served(database) as client:
        for name, path in asked(run).items():
            size = len(got(client, path))
            walls = [timed_ms(lambda path=path: got(client, path)) for _ in range(REPEATS)]
            rows.append(
                f"| {name} | **{statistics.median(walls):.0f} ms** | {min(walls):.0f} ms | {size / 1000:,.0f} kB |"
            )
            print(rows[-1], flush=True)
    return rows


def browser_rows(database: Database, run: str) -> list[str]:
    """Times in Chromium: until the page can be used, until a click has sorted the lines."""
    if chromium() is None:
        return ["| no Chromium here | | |"]
    usable, sorted_ms = [], []
    with served(database) as client, browser() as opened:
        address = f"{str(client.base_url).rstrip('/')}/runs/{run}/review"
        got(client, f"/runs/{run}/review")
        for _ in range(REPEATS):
            context = opened.new_context(viewport=DESKTOP)
            page = context.new_page()
            page.goto(address, wait_until="load")
            usable.append(
                float(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
            )
            sorted_ms.append(timed_ms(lambda page=page: sort(page)))
            context.close()
    return [
        _row("page can be used (scripts have run)", usable),
        _row("from a click on a column to the sorted lines", sorted_ms),
    ]


def _row(name: str, times_ms: list[float]) -> str:
    return f"| {name} | **{statistics.median(times_ms):.0f} ms** | {max(times_ms):.0f} ms |"


def sort(page: Page) -> None:
    """Click on a column and wait for its lines."""
    page.locator("#lines thead a").first.click()
    page.wait_for_selector('#lines th[aria-sort="ascending"]')


def page_of(lines: int, server: list[str], seen: list[str], load: tuple[float, float]) -> str:
    """The page of numbers."""
    made = f"{platform.system()} {platform.release()}; Python {platform.python_version()}"
    return f"""# Speed of the review

Written by `make bench-review`, {SystemClock().now():%Y-%m-%d}; do not edit. Machine: {os.cpu_count()} processors,
{made}; PostgreSQL embedded on the same machine. Load of the machine before and after: {load[0]:.1f} and {load[1]:.1f}.

**The run**: {lines:,} lines of {UNITS:,} units ({Estate(UNITS, "flat").meters:,} meters), beside {MONTHS} earlier
months of as many lines, so that every line has its line of the month before and its history. The bars:
{SERVER_BAR_MS} ms from the service, {BROWSER_BAR_MS} ms in the browser.

## From the service, over a socket

Median and best of {REPEATS} (the first row of 3 fresh services).

| | median | best | octets |
|---|---:|---:|---:|
{chr(10).join(server)}

What does not change of a run is kept once somebody has looked at it (`ingest/review_desk.py`); where it stands, and
what people said of it, is asked each time.

## In Chromium

Median and worst of {REPEATS} fresh contexts; the service runs in the same process as the measuring.

| | median | worst |
|---|---:|---:|
{chr(10).join(seen)}
"""


def main() -> int:
    """Measure, print, write the page."""
    before = os.getloadavg()[0]
    with stored() as (database, run):
        with database.transaction() as connection:
            row = connection.execute(b"SELECT count(*) FROM run_lines WHERE run = %s", [run]).fetchone()
        assert row is not None
        server, seen = server_rows(database, run), browser_rows(database, run)
        PAGE.write_text(page_of(row[0], server, seen, (before, os.getloadavg()[0])), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
