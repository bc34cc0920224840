"""Closes an estate that stands in a database, in a process of its own: `python -m tests.bench.whole_close.one DSN`.

Prints one JSON object: seconds by stage, the run's id, how many lines and statements, the process's largest memory.
`--check N` verifies N statements as a stranger would; `--again` computes the run again and stores nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from datetime import UTC, datetime
from typing import Any

from allocation_engine.verification import verify_bundle
from device_profiles.catalogue import Catalogue
from ingest.closing import Closing, Stage
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.database import Database
from ingest.store.statements import find_statement, numbers_of_run
from provisioning.keys import FileSigner, public_verifier
from tests.bench.whole_close.estate import PERIOD, SITE

BOOKED_AT = datetime(2026, 8, 1, 1, 0, tzinfo=UTC)
CENTRE = FileSigner.from_seed(b"\x07" * 32)
SALT_KEY = b"\x09" * 32


class StageClock:
    """Adds up the seconds between one report of progress and the next, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage: str | None = None
        self._since = time.perf_counter()

    def __call__(self, stage: Stage | None, done: int = 0, of: int = 0) -> None:
        """Take a report."""
        now = time.perf_counter()
        if self._stage is not None:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now


def close(closing: Closing) -> dict[str, Any]:
    """Close, and give what was measured."""
    watch, started = StageClock(), time.perf_counter()
    stored, is_new = closing.close(SITE, PERIOD, booked_at=BOOKED_AT, watch=watch)
    watch(None)
    return {"run": stored.head.run, "is_new": is_new, "stages": watch.seconds, "close_s": time.perf_counter() - started}


def check(database: Database, run: str, count: int) -> dict[str, Any]:
    """Verify statements spread over the run, the owner's among them."""
    with database.transaction() as connection:
        numbers = numbers_of_run(connection, run)
        step = max(len(numbers) // count, 1)
        owner = [number for number, party in numbers if party == "owner"]
        found = [find_statement(connection, number) for number in [*owner, *(number for number, _ in numbers[::step])]]
        files = [statement_file(connection, one, Catalogue.shipped()) for one in found if one is not None]
    key = public_verifier(CENTRE.algorithm, CENTRE.public_key)
    reports = [verify_bundle(one, {CENTRE.key_id: key}, public_verifier) for one in files]
    broken = [f"{check.link}: {check.result}" for report in reports for check in report.broken]
    return {"statements": len(numbers), "verified": len(reports), "broken": broken}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("--check", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    with Database(args.dsn, connections=4) as database:
        closing = Closing(Settlement(database, Catalogue.shipped()), CENTRE, SALT_KEY, os.cpu_count() or 1)
        if args.again:
            found: dict[str, Any] = {"run": closing.dry_run(SITE, PERIOD).id}
        elif args.check:
            run = close(closing)["run"]
            found = {"run": run, **check(database, run, args.check)}
        else:
            found = close(closing)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
