"""`make bench-settle`: settlement disk to disk, and a month of settled days as a matrix. Writes
docs/performance-settlement.md; SCALE=0.1 tries it and writes nothing."""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from ingest import settlement as module
from ingest.bulk_settlement import Registers
from ingest.closing import _settled
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.metering_points import metering_points
from ingest.settlement import Settlement
from ingest.slot_matrix import SlotMatrix
from ingest.store.database import Database
from ingest.store.migrate import migrate
from ingest.store.sites import newest_version
from ingest.warm_up import warm_up
from metering.clock import SystemClock
from metering.identity import NodeId
from metering.interval import SLOT
from tests.bench.ingest.plant import cpu_of
from tests.bench.settle.fleet import CALENDAR, FIRST, IMPORTED_AT, SITE, Fleet
from tests.doubles.servers import open_folder
from tests.doubles.stored_readings import CATALOGUE

PAGE = Path(__file__).parents[3] / "docs" / "performance-settlement.md"
SETTLE_BAR_S, MATRIX_BAR_S = 10.0, 3.0
BAR_METER_DAYS = 100_000
PLAIN_NODES, TRIES = 50, 3
NOW = IMPORTED_AT + timedelta(days=45)


@contextmanager
def filled(fleet: Fleet, *, settled: bool = False) -> Iterator[tuple[Database, int]]:
    """A server of its own with the readings of a fleet, or its settled days; restarted since. And its process id."""
    folder, clock = open_folder("metertree-settle-"), SystemClock()
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with running(server, clock), Database(server.dsn, connections=2) as database:
            migrate(database, now=NOW)
            (fleet.fill_settled if settled else fleet.fill)(database)
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE, FREEZE)")
        with running(server, clock) as process, Database(server.dsn, connections=4) as database:
            yield database, process.pid
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def timed(pid: int, work: Callable[[], int]) -> dict[str, Any]:
    """How long some work took, what it gave, and whose CPU it was."""
    load, before, own, began = os.getloadavg()[0], cpu_of(pid), time.process_time(), time.perf_counter()
    gave = work()
    took, own = time.perf_counter() - began, time.process_time() - own
    return {"s": took, "gave": gave, "own_cpu_s": own, "postgres_cpu_s": cpu_of(pid) - before, "load": load}


def settle(fleet: Fleet) -> dict[str, Any]:
    """Settle a fleet for the first time, then again with nothing new, then what comes a day late."""
    with filled(fleet) as (database, pid):
        settlement = Settlement(database, CATALOGUE)
        first = timed(pid, settlement.settle_pending)
        fleet.list_all(database)
        again = timed(pid, settlement.settle_pending)
        with database.transaction() as connection:
            connection.execute(
                b"UPDATE readings SET mantissas = ARRAY[mantissas[1] + 1, 0] WHERE due_at = %s", [_noon()]
            )
            connection.execute(
                b"INSERT INTO unsettled_days SELECT DISTINCT meter, %s::date, 1 FROM readings WHERE due_at = %s",
                [_noon().date(), _noon()],
            )
        late = timed(pid, settlement.settle_pending)
        one_by_one = _one_by_one(database, pid, fleet)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found = {"first": first, "again": again, "late": late, "one_by_one": one_by_one, "peak_mib": peak}
    print(json.dumps({"meters": fleet.meters, "days": fleet.days, "gaps": fleet.gap_every, **found}), flush=True)
    return found


def _noon() -> datetime:
    return CALENDAR.midnight(FIRST) + 48 * SLOT


def _one_by_one(database: Database, pid: int, fleet: Fleet) -> dict[str, Any]:
    """The plain way, of a few nodes."""
    few = replace(fleet, meters=min(PLAIN_NODES, fleet.meters))
    with database.transaction() as connection:
        connection.execute(b"DELETE FROM settled_days WHERE node < %s", [f"n{few.meters:06d}"])
    few.list_all(database)
    set_aside = module._set_aside
    module._set_aside = _all_aside
    try:
        return timed(pid, Settlement(database, CATALOGUE).settle_pending) | {"meter_days": few.meter_days}
    finally:
        module._set_aside = set_aside


def _all_aside(_: object, registers: Registers) -> set[NodeId]:
    registers.odd.update(node.node for node in registers.part.nodes)
    return registers.odd


def matrix(fleet: Fleet) -> dict[str, Any]:
    """Read settled days as the matrix of a period, over one connection and over two."""
    with filled(fleet, settled=True) as (database, pid):
        with database.transaction() as connection:
            version = newest_version(connection, SITE)
        assert version is not None
        site = version.site
        points = {(point.node, point.obis) for point in metering_points(site, CATALOGUE)}
        period = CALENDAR.period(f"{FIRST}--{fleet.last}")

        def read(beside: Database | None) -> int:
            laid = SlotMatrix(site.calendar, period, (node.id for node in site.nodes), points)
            with database.transaction() as connection:
                for one in _settled(connection, beside, site, FIRST, fleet.last):
                    laid.lay(one)
            laid.quality()
            return int(laid.taken.astype(np.int64).sum())

        found = {
            name: min((timed(pid, partial(read, beside)) for _ in range(TRIES)), key=_seconds)
            for name, beside in (("one", None), ("two", database))
        }
    assert found["one"]["gave"] == found["two"]["gave"] == fleet.settled_wh
    print(json.dumps({"matrix": fleet.meters, "days": fleet.days, **found}), flush=True)
    return found


def _seconds(found: dict[str, Any]) -> float:
    return float(found["s"])


def row(name: str, fleet: Fleet, found: dict[str, Any], days: int) -> str:
    """One line of the table."""
    took = found["s"]
    cells = [name, f"{fleet.meters:,}", f"{fleet.days}", f"{found['gave']:,}", f"**{took:.2f} s**"]
    cells += [f"{took / days * 1e6:,.0f} µs", f"{found['own_cpu_s']:.1f} s", f"{found['postgres_cpu_s']:.1f} s"]
    return f"| {' | '.join(cells)} | {found['load']:.1f} |"


def main() -> None:
    """Measure, and write the page."""
    scale = float(os.environ.get("SCALE", "1"))
    warm_up()
    fleets = {
        "ten days of some": Fleet(int(10_000 * scale), 10),
        "one day of many": Fleet(int(100_000 * scale), 1),
        "one meter in a hundred has a gap a day": Fleet(int(2_000 * scale), 10, 100),
    }
    found = {name: settle(fleet) for name, fleet in fleets.items()}
    month = Fleet(int(10_000 * scale), 31)
    read = matrix(month)
    if scale == 1:
        PAGE.write_text(page(fleets, found, month, read), encoding="utf-8")


def page(fleets: dict[str, Fleet], found: dict[str, Any], month: Fleet, read: dict[str, Any]) -> str:
    """Fill in the page."""
    rows = []
    for name, fleet in fleets.items():
        rows.append(row(name, fleet, found[name]["first"], fleet.meter_days))
        rows.append(row("the same again, nothing new", fleet, found[name]["again"], fleet.meter_days))
        rows.append(row("one reading of each meter changed", fleet, found[name]["late"], fleet.meters))
        plain = found[name]["one_by_one"]
        few = Fleet(plain["meter_days"] // fleet.days, fleet.days)
        rows.append(row("node by node, the plain way", few, plain, few.meter_days))
    worst = max(found[name]["first"]["s"] for name, fleet in fleets.items() if fleet.meter_days >= BAR_METER_DAYS)
    best = min(read.values(), key=_seconds)
    some = found["ten days of some"]
    ratio = (some["one_by_one"]["s"] / some["one_by_one"]["meter_days"]) / (
        some["first"]["s"] / fleets["ten days of some"].meter_days
    )
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    return template.format(
        day=SystemClock().now().date().isoformat(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        load=f"{os.getloadavg()[0]:.1f}",
        rows="\n".join(rows),
        matrix="\n".join(
            row(f"over {name} connection{'s' * (name == 'two')}", month, read[name], month.meter_days) for name in read
        ),
        settle_bar=held(worst, SETTLE_BAR_S),
        matrix_bar=held(best["s"], MATRIX_BAR_S),
        ratio=f"{ratio:.0f}",
        peak=f"{max(one['peak_mib'] for one in found.values()):,}",
    )


def held(took: float, bar: float) -> str:
    """Say whether a bar was held."""
    return f"{took:.1f} s, {'held' if took <= bar else 'MISSED'}"


if __name__ == "__main__":
    main()
