"""`make bench-close`: whole closes of four sizes on an embedded PostgreSQL; writes docs/performance-close.md.

Optional: UNITS, the sizes in units separated by commas, multiples of 50; PLAN, `tou` or `flat`; KEEP, a folder whose
database is kept and used again (to profile: fill once, close often).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import running
from ingest.store.database import Database
from ingest.store.migrate import migrate
from metering.clock import SystemClock
from tests.bench.whole_close.estate import UNITS_IN_BUILDING, Estate
from tests.bench.whole_close.fill import fill
from tests.bench.whole_close.memory import MemoryWatch
from tests.doubles.servers import open_folder

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "performance-close.md"
SIZES = (500, 2_000, 10_000, 40_000)
CHECKED = 20


def measure(estate: Estate) -> dict[str, Any]:
    """Fill a database of its own, close once, verify some statements, and compute the run once more."""
    kept = os.environ.get("KEEP")
    folder = Path(kept) / f"{estate.plan}-{estate.units}" if kept else open_folder()
    is_filled = (folder / "filled").exists()
    folder.mkdir(parents=True, exist_ok=True)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        with running(postgres, SystemClock()) as server:
            started = time.perf_counter()
            if not is_filled:
                with Database(postgres.dsn, connections=2) as database:
                    migrate(database)
                    fill(database, postgres.dsn, estate)
                (folder / "filled").touch()
            filled_s = time.perf_counter() - started
            closed = _one(postgres.dsn, server.pid)
            checked = _one(postgres.dsn, server.pid, "--check", str(CHECKED))
            again = _one(postgres.dsn, server.pid, "--again")
    finally:
        if not kept:
            postgres.remove()
            shutil.rmtree(folder, ignore_errors=True)
    closed |= {"units": estate.units, "meters": estate.meters, "fill_s": filled_s}
    closed |= {"again": again["run"] == checked["run"] == closed["run"]}
    closed |= {name: checked[name] for name in ("statements", "verified", "broken")}
    return closed


def _one(dsn: str, server: int, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.whole_close.one", dsn, *arguments]
    started = time.perf_counter()
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process,
        MemoryWatch(process.pid, server) as watch,
    ):
        output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    found |= {"process_s": time.perf_counter() - started, "tree_mib": watch.peaks[0], "postgres_mib": watch.peaks[1]}
    return found


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [f"{found[name]:,}" for name in ("units", "meters", "statements")]
    cells += [f"{found['stages'].get(stage, 0.0):.1f}" for stage in STAGES]
    cells += [f"**{found['close_s']:.1f} s**", f"{found['close_s'] / found['meters'] * 1e3:.2f} ms"]
    cells += [f"{found[name]:,} MiB" for name in ("tree_mib", "postgres_mib")]
    cells.append(f"{found['verified']}: {'all hold' if not found['broken'] else found['broken'][0]}")
    return f"| {' | '.join(cells)} | {'yes' if found['again'] else 'NO'} |"


STAGES = ("settle", "gather", "compute", "commit", "store", "seal")


def page(plan: str, load: float, found: list[dict[str, Any]], flat: dict[str, Any]) -> str:
    """Fill in the page."""
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    small, large = (next((one for one in found if one["units"] == units), None) for units in (2_000, 40_000))
    rates = [one["close_s"] / one["meters"] for one in found]
    return template.format(
        day=SystemClock().now().date().isoformat(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        load=f"{load:.1f}",
        plan=plan,
        readings=len(Estate(UNITS_IN_BUILDING, plan).marks()) - 1,
        rows="\n".join(map(row, found)),
        flat=row(flat),
        bar_small=_held(small, "close_s", 15, "s"),
        bar_large=_held(large, "close_s", 90, "s"),
        bar_memory=_held(large, "tree_mib", 4096, "MiB"),
        linear=f"{rates[-1] / rates[1]:.2f} x",
    )


def _held(found: dict[str, Any] | None, name: str, bar: int, unit: str) -> str:
    if found is None:
        return "not measured"
    return f"{found[name]:,.0f} {unit}, {'held' if found[name] <= bar else 'MISSED'}"


def main() -> None:
    """Measure every size and write the page."""
    plan = os.environ.get("PLAN", "tou")
    sizes = [int(size) for size in os.environ.get("UNITS", ",".join(map(str, SIZES))).split(",")]
    load = os.getloadavg()[0]
    measure(Estate(UNITS_IN_BUILDING, plan))  # compiles what is not compiled yet
    found = []
    for size in sizes:
        found.append(measure(Estate(size, plan)))
        print(json.dumps(found[-1]), flush=True)
    if tuple(sizes) == SIZES and plan == "tou":
        flat = measure(Estate(SIZES[-1], "flat"))
        print(json.dumps(flat), flush=True)
        PAGE.write_text(page(plan, load, found, flat), encoding="utf-8")


if __name__ == "__main__":
    main()
