"""How long many small sites take, closed one by one, by worker processes, and by Dask: `-m tests.bench.many_sites`.

Every way closes the same parks (`--sites N`, default 24, one day each) from the same state of the database. Starting
workers counts. The ways take turns, `--turns` times (default 3); the median is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.doubles.closing_estate import BOOKED_AT, Estate, write_keys
from tests.doubles.many_parks import DAY, park_id, write_parks
from tests.doubles.servers import execute_alone, open_folder

Way = Callable[[Estate, range], None]


def one_by_one(estate: Estate, numbers: range) -> None:
    """One command after the other, in one process."""
    from ingest.cli import main

    for number in numbers:
        words = ["close", park_id(number), DAY, "--booked-at", BOOKED_AT, "--dsn", estate.dsn]
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([*words, "--centre-key", str(estate.key)]) == 0


def by(*words: str) -> Way:
    """Close all with one command."""

    def close(estate: Estate, _: range) -> None:
        code, printed = estate.close("--sites", "all", *words)
        assert code == 0, printed

    return close


WAYS: dict[str, Way] = {
    "one by one, in one process": one_by_one,
    "--workers 1": by("--workers", "1"),
    "--workers 2": by("--workers", "2"),
    "--executor dask --workers 2": by("--executor", "dask", "--workers", "2"),
}


@contextlib.contextmanager
def parks(numbers: range) -> Iterator[tuple[EmbeddedPostgres, Path]]:
    """A server whose database `parks` holds the parks, settled and not closed."""
    folder = open_folder("metertree-bench-")
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, SystemClock()):
            execute_alone(server.dsn, "CREATE DATABASE {}", "parks")
            with Database(make_conninfo(server.dsn, dbname="parks"), connections=2) as database:
                migrate(database)
                write_parks(database, numbers, folder / "sites")
            yield server, write_keys(folder / "keys")
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=24)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    numbers = range(1, args.sites + 1)
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    with parks(numbers) as (server, key):
        for turn in range(args.turns):
            for place, (name, close) in enumerate(WAYS.items()):
                copy = f"parks_{turn}_{place}"
                execute_alone(server.dsn, "CREATE DATABASE {} TEMPLATE {}", copy, "parks")
                began_s = time.perf_counter()
                close(Estate(make_conninfo(server.dsn, dbname=copy), key), numbers)
                took[name].append(time.perf_counter() - began_s)
    print(f"\n{args.sites} parks, one day each, {args.turns} turns")
    for name, seconds in took.items():
        each = ", ".join(f"{one:.1f}" for one in seconds)
        print(f"{name:34} {statistics.median(seconds):6.1f} s   ({each})")


if __name__ == "__main__":
    main()
