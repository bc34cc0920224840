"""How fast billing is answered: `make bench-api` writes docs/performance-api.md.

A real PostgreSQL, the whole web application in a process of its own, readers in another, all on the same cores.
SCALE=0.1 tries it with a tenth of the lines and writes nothing.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn

from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.billing.columns import NATIVE
from ingest.billing.forms import page_json
from ingest.closing import Closing
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.intake import IntakeCounters
from ingest.settlement import Settlement
from ingest.store.clients import add_client, make_key
from ingest.store.database import Database
from ingest.store.feed import START, Wanted, read_feed
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles.billing_books import NOW, add_run, lines, publish, run_id
from tests.doubles.park_books import CENTRE, read_park
from tests.doubles.revoked_session import BY
from tests.doubles.servers import open_folder

PAGE = Path(__file__).parents[2] / "docs" / "performance-api.md"
SCALE = float(os.environ.get("SCALE", "1"))
RUNS, LINES = max(1, int(5 * SCALE)), 20_000
BAR_LINES_S, BAR_P99_MS = 50_000, 250
READERS = 200
EVERY_S = 2.0
SECONDS = 20.0
FEED = "/v1/allocations"
ASKED = (
    f"{FEED}?since={{cursor}}&limit=100",
    "/v1/allocation-runs?limit=20",
    "/v1/charges?acknowledged=false",
    "/v1/statements?limit=20",
)


def serve(dsn: str, port: int) -> None:
    """Run the whole web application until the process is ended."""
    with Database(dsn, connections=8) as database:
        catalogue = read_park()[3]
        metrics = Metrics()
        metrics.follow(IntakeCounters())
        parts = WebParts(
            database=database,
            closing=Closing(Settlement(database, catalogue), CENTRE, bytes(32)),
            clock=SystemClock(),
            centre_key=CENTRE.public_key,
            admin_token="t0ken",
            checks={"database": database.answers},
            metrics=metrics,
            open_reads=False,
            check_fields=False,
        )
        uvicorn.run(create_app(parts), port=port, log_config=None, access_log=False, lifespan="off")


def _cpu_s(pid: int) -> float:
    """CPU time of a process, and of children it has outlived [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in found.split()]


@dataclass(frozen=True)
class Service:
    """A served database: where it is, a key for it, and the process that answers."""

    url: str
    port: int
    key: str
    pid: int
    postgres: int
    database: Database

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each call."""
        return {"Authorization": f"Bearer {self.key}", "Accept-Encoding": "identity"}

    def cpu_s(self) -> float:
        """CPU time of the process so far [s]."""
        return _cpu_s(self.pid)

    def postgres_s(self) -> float:
        """CPU time of PostgreSQL so far, with all its processes [s]."""
        return _cpu_s(self.postgres) + sum(map(_cpu_s, _children(self.postgres)))

    def memory(self) -> int:
        """Most memory it ever held [octets]."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(next(one.split()[1] for one in text.splitlines() if one.startswith("VmHWM")))


@contextmanager
def opened() -> Iterator[Service]:
    """A service over a database with published runs."""
    folder = open_folder("metertree-bench-")
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, SystemClock()) as postgres, Database(server.dsn, connections=4) as database:
            migrate(database)
            key = fill(database)
            with socket.socket() as found:
                found.bind(("127.0.0.1", 0))
                port = found.getsockname()[1]
            child = multiprocessing.get_context("spawn").Process(target=serve, args=(server.dsn, port))
            child.start()
            try:
                url = f"http://127.0.0.1:{port}"
                await_answer(url)
                assert child.pid is not None
                yield Service(url, port, key, child.pid, postgres.pid, database)
            finally:
                child.terminate()
                child.join()
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def fill(database: Database) -> str:
    """Publish runs; give a client's key."""
    for number in range(RUNS):
        with database.transaction() as connection:
            run = run_id(f"bench-{number}")
            add_run(connection, run, f"site-{number % 5}", f"20{20 + number // 12}-{1 + number % 12:02d}", lines(LINES))
            publish(connection, run)
    with database.transaction() as connection:
        add_client(connection, "billing", ("billing",), None, BY, NOW)
        key = make_key(connection, "billing", BY, NOW)
    with database.alone() as connection:
        connection.execute(b"VACUUM ANALYZE")
    return key


def await_answer(url: str) -> None:
    """Wait until the service answers."""
    for _ in range(600):
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the service does not come up")


@dataclass(frozen=True)
class Pull:
    """Lines that came, in how long, with how much CPU of the service, in how many octets."""

    lines: int
    seconds: float
    cpu_s: float
    postgres_s: float
    octets: int

    def row(self, name: str) -> str:
        """A row of the page."""
        rate = self.lines / self.seconds
        mark = "✓" if rate >= BAR_LINES_S else "✗"
        cpu, postgres = (1e6 * one / self.lines for one in (self.cpu_s, self.postgres_s))
        return f"| {name} | **{rate:,.0f}** {mark} | {cpu:.1f} | {postgres:.1f} | {self.octets / self.lines:.0f} |"


def timed(service: Service, pull: Callable[[], tuple[int, int]]) -> Pull:
    """Pull three times; give the middle one."""
    found = []
    for _ in range(3):
        begun, cpu, postgres = time.perf_counter(), service.cpu_s(), service.postgres_s()
        count, octets = pull()
        seconds = time.perf_counter() - begun
        found.append(Pull(count, seconds, service.cpu_s() - cpu, service.postgres_s() - postgres, octets))
    return sorted(found, key=lambda one: one.seconds)[1]


def pull_feed(service: Service, coding: str = "identity", limit: int = 10_000) -> tuple[int, int]:
    """Read the whole feed; only its cursor is looked at."""
    since, pages, octets = "0", 0, 0
    with httpx.Client(trust_env=False, timeout=60) as client:
        while True:
            headers = service.headers | {"Accept-Encoding": coding}
            with client.stream("GET", f"{service.url}{FEED}?since={since}&limit={limit}", headers=headers) as answer:
                raw = b"".join(answer.iter_raw())
                assert answer.status_code == 200, raw
                body = raw if coding == "identity" else httpx.Response(200, headers=answer.headers, content=raw).content
            pages, octets = pages + 1, octets + len(raw)
            end = json.loads(b"{" + body[body.rindex(b'"cursor"') :])
            since = end["cursor"]
            if not end["more"]:
                assert int(since.split(".")[0]) == RUNS
                return RUNS * LINES, octets


def pull_file(service: Service, path: str) -> tuple[int, int]:
    """Read a file."""
    with httpx.stream("GET", service.url + path, headers=service.headers, trust_env=False, timeout=600) as answer:
        assert answer.status_code == 200
        return RUNS * LINES, sum(map(len, answer.iter_raw()))


def alone(database: Database) -> float:
    """Lines a second of reading and writing the feed as JSON, without HTTP."""
    begun, since, count = time.perf_counter(), START, 0
    while True:
        with database.transaction() as connection:
            page = read_feed(connection, since, Wanted(), 10_000)
        page_json(page, NATIVE)
        count += sum(len(rows) for _, rows in page.parts)
        if not page.more:
            return count / (time.perf_counter() - begun)
        since = page.cursor


async def reader(service: Service, number: int, every_s: float, until: float, times: list[float]) -> None:
    """One of many: asks on a connection of its own, once in `every_s`, or at once when that is 0."""
    inward, outward = await asyncio.open_connection("127.0.0.1", service.port)
    await asyncio.sleep(every_s * number / READERS)
    turn = number
    with database_cursor(service) as cursor:
        while (begun := time.perf_counter()) < until:
            path = ASKED[turn % len(ASKED)].format(cursor=cursor)
            outward.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {service.key}\r\n\r\n".encode()
            )
            head = (await inward.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
            await inward.readexactly(length)
            times.append(time.perf_counter() - begun)
            turn += 1
            await asyncio.sleep(max(0.0, begun + every_s - time.perf_counter()))
    outward.close()


@contextmanager
def database_cursor(service: Service) -> Iterator[str]:
    """A cursor in the middle of the feed."""
    yield CURSORS[service.pid]


CURSORS: dict[int, str] = {}


async def crowd(service: Service, readers: int, every_s: float) -> list[float]:
    """Let readers read for a while; give the times of their calls [s]."""
    times: list[float] = []
    until = time.perf_counter() + SECONDS
    await asyncio.gather(*(reader(service, number, every_s, until, times) for number in range(readers)))
    return sorted(times)


def crowd_row(name: str, service: Service, readers: int, every_s: float) -> str:
    """Measure a crowd; give a row of the page."""
    cpu = service.cpu_s()
    times = asyncio.run(crowd(service, readers, every_s))
    used = (service.cpu_s() - cpu) / len(times)
    median, p99 = statistics.median(times), times[int(len(times) * 0.99)]
    mark = "✓" if p99 * 1000 <= BAR_P99_MS else "✗"
    return (
        f"| {name} | {len(times) / SECONDS:,.0f} | {median * 1000:.0f} | **{p99 * 1000:.0f}** {mark} "
        f"| {times[-1] * 1000:.0f} | {used * 1000:.1f} |"
    )


def main() -> int:
    """Measure and write the page."""
    load = os.getloadavg()[0]
    with opened() as service:
        inside = alone(service.database)
        with service.database.transaction() as connection:
            page = read_feed(connection, START, Wanted(), LINES * RUNS // 2)
        CURSORS[service.pid] = str(page.cursor)
        rows = []
        for name, pull in (
            ("feed, pages of 10,000", lambda: pull_feed(service)),
            ("feed, zstd", lambda: pull_feed(service, "zstd")),
            ("feed, gzip", lambda: pull_feed(service, "gzip")),
            ("feed, pages of 1,000", lambda: pull_feed(service, limit=1000)),
            ("file, CSV", lambda: pull_file(service, f"{FEED}.csv")),
            ("file, CSV in FOCUS columns", lambda: pull_file(service, f"{FEED}.csv?columns=focus")),
            ("file, Parquet", lambda: pull_file(service, f"{FEED}.parquet")),
            ("file, Arrow", lambda: pull_file(service, f"{FEED}.arrow")),
        ):
            rows.append(timed(service, pull).row(name))
            print(rows[-1], flush=True)
        memory = service.memory()
        crowds = [
            crowd_row(f"{READERS} readers, each every {EVERY_S:g} s", service, READERS, EVERY_S),
            crowd_row("20 readers, each at once again", service, 20, 0.0),
            crowd_row(f"{READERS} readers, each at once again", service, READERS, 0.0),
        ]
        print("\n".join(crowds), flush=True)
    text = PAGE_TEXT.format(
        day=datetime.now(UTC).date(),
        python=platform.python_version(),
        cores=os.cpu_count(),
        load=load,
        load_end=os.getloadavg()[0],
        lines=RUNS * LINES,
        runs=RUNS,
        inside=inside,
        rows="\n".join(rows),
        crowds="\n".join(crowds),
        memory=memory / 2**20,
        bar=BAR_LINES_S,
        bar_ms=BAR_P99_MS,
        seconds=SECONDS,
    )
    print(text)
    if SCALE == 1:
        PAGE.write_text(text, encoding="utf-8")
    return 0


PAGE_TEXT = """\
# How fast billing is answered

Written by `make bench-api` on {day}: {cores} cores, Python {python}, load of the machine {load:.1f} when it began
and {load_end:.1f} when it ended. PostgreSQL 18, one process of the service with the whole web application (keys,
policy, counting), and the readers, all on the same cores. {lines:,} published lines in {runs} runs.

## Lines a second

From request to last octet, of a reader that does nothing else; the middle of three. Bar: {bar:,}, that is 20 µs a line.
*CPU* is what a busy machine changes little. Reading pages and writing them as JSON alone: {inside:,.0f} lines/s.

| | lines/s | CPU of the service, µs a line | of PostgreSQL, µs | octets a line |
|---|---|---|---|---|
{rows}

Most memory of the service after all this: {memory:.0f} MiB.

## Many readers

{seconds:.0f} s each; feed pages of 100 lines, runs, charges and statements in turn, on connections that stay open.
Bar: 99 of 100 calls within {bar_ms} ms. *CPU* is that of the service for one call.

| | calls/s | median, ms | 99th, ms | longest, ms | CPU, ms |
|---|---|---|---|---|---|
{crowds}

Readers that ask again at once show what one process can do, and then wait in its queue: as many calls a second, each
later. More processes (`metertree api`, each on a core of its own) do more.
"""

if __name__ == "__main__":
    sys.exit(main())
