"""`make bench-preview`: how long a changed rule takes to preview, and how long sharing takes; writes the page.

Everything is warm: the period is loaded, kernels are compiled. Wall time is the median of repeats; processor time is
beside it, because a busy machine stretches the one and not the other.
"""

from __future__ import annotations

import copy
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from allocation_engine.facts import Facts
from allocation_engine.preview import PreviewSession
from allocation_engine.pricing import PricedPeriod
from allocation_engine.rules_file import rules_from_document
from allocation_engine.shares import share_out
from metering.clock import SystemClock
from tests.doubles.small_site import TIMES, drawn_facts

PAGE = Path(__file__).parents[2] / "docs" / "performance-preview.md"
UNITS, LARGE, DAYS, FLOORS = 10_000, 40_000, 31, 100
REPEATS = 11
BAR_MS = 300
Document = dict[str, Any]


@dataclass(frozen=True)
class Taken:
    """Median and best wall time, and median processor time [ms]."""

    median: float
    best: float
    processor: float


def timed(task: Callable[[], object], repeats: int = REPEATS) -> Taken:
    """Call a task once to warm it up, then some times."""
    task()
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        task()
        walls.append((time.perf_counter() - wall) * 1e3)
        processors.append((time.process_time() - processor) * 1e3)
    return Taken(statistics.median(walls), min(walls), statistics.median(processors))


def by_load(grain: str) -> Document:
    """Area x time coefficient x load rate, slot by slot."""
    keys = [{"by": ["area", "load"], "rated": "rated", "times": TIMES}]
    return {"rule": "keys", "keys": keys, "grain": grain, "fallback": "owner"}


def in_stages(grain: str, facts: Facts) -> Document:
    """Floors by energy, leases by area x energy."""
    pools = facts.rules.document["pools"]["pools"]
    stages = copy.deepcopy(next(pool for pool in pools if pool["id"] == "lift")["stages"])
    stages[1]["keys"] = [{"by": ["area", "energy"]}]
    return {"rule": "keys", "stages": stages, "grain": grain, "fallback": "owner"}


def rules_to_try(facts: Facts) -> dict[str, Document]:
    """What the rule of the pool by area is changed to."""
    some = sorted(unit.id for unit in facts.inputs.units)[: len(facts.inputs.units) // 2]
    demand = {"rule": "demand", "method": "coincident", "grain": "period", "fallback": "owner"}
    return {
        "area, half of the units": {"units": some},
        "area, day by day": {"grain": "day"},
        "area x times x load per slot": by_load("period"),
        "area x times x load per slot, day by day": by_load("day"),
        "two stages: floor by energy, lease by area x energy": in_stages("period", facts),
        "two stages, day by day": in_stages("day", facts),
        "demand at the common peak": demand,
    }


def changed(facts: Facts, rule: Document) -> Document:
    """The rules with the rule of `stairs` changed."""
    document = copy.deepcopy(dict(facts.rules.document))
    for pool in document["pools"]["pools"]:
        if pool["id"] == "stairs":
            pool |= rule
    return document


def preview_rows(facts: Facts) -> list[str]:
    """Preview each change: all of it, and what reading and checking the rules alone takes."""
    session, rows = PreviewSession(facts), []
    for name, rule in rules_to_try(facts).items():
        document = changed(facts, rule)
        found = session.preview(document)
        if found.is_refused or not found.lines:
            raise SystemExit(f"{name}: {found.refusal or found.faults}")
        whole = timed(lambda document=document: session.preview(document))
        reading = timed(lambda document=document: rules_from_document(document, facts.names, facts.rules), 5)
        times = (
            f"**{whole.median:.0f} ms** | {whole.best:.0f} ms | {whole.processor:.0f} ms | {reading.processor:.0f} ms"
        )
        rows.append(f"| {name} | {len(found.lines):,} | {times} |")
        print(rows[-1], flush=True)
    return rows


def sharing_rows(facts: dict[int, Facts]) -> list[str]:
    """Share one pool by each rule, to the amounts."""
    rows = []
    for name in rules_to_try(next(iter(facts.values()))):
        cells = []
        for period in facts.values():
            rules = rules_from_document(changed(period, rules_to_try(period)[name]), period.names)
            pool = next(one for one in rules.pools if one.id == "stairs")
            priced = PricedPeriod.of(period.inputs, *rules.prices.tariffs)
            taken = timed(lambda pool=pool, priced=priced: share_out(pool, priced).amounts, 5)
            cells.append(f"{taken.median:.0f} ms | {taken.processor:.0f} ms")
        rows.append(f"| {name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def page(previews: list[str], sharings: list[str], load: tuple[float, float]) -> str:
    """The page of numbers."""
    made = f"{platform.system()} {platform.release()}; Python {platform.python_version()}"
    libraries = f"numba {numba.__version__}, numpy {np.__version__}"
    return f"""# Speed of previews, and of sharing

Written by `make bench-preview`, {SystemClock().now():%Y-%m-%d}; do not edit. Machine: {os.cpu_count()} processors,
{made}, {libraries}. Load of the machine before and after: {load[0]:.1f} and {load[1]:.1f}; processor time says
what an idle one needs.

**The site**: {UNITS:,} units, each with its meter, {DAYS} days of 96 quarter hours, {FLOORS} floors; every tenth
tenant moves out inside the month, 15 units in 100 stand empty. Eight pools of every kind, two tables of numbers for
all units.

## Previewing a changed rule

From the document of the rules to the sorted differences: read and check all rules, split the pool that changed, divide
its cost, compare with what it charges now. The bar is {BAR_MS} ms. Median of {REPEATS}, warm.

| the rule of one pool is changed to | lines | median | best | processor time | of that, reading and checking |
|---|---:|---:|---:|---:|---:|
{chr(10).join(previews)}

## Sharing one pool

From the rule to the amount of every taker, without lines and traces. Median of 5, warm.

| rule | {UNITS:,} units | processor time | {LARGE:,} units | processor time |
|---|---:|---:|---:|---:|
{chr(10).join(sharings)}
"""


def main() -> int:
    """Measure, print, write the page."""
    before = os.getloadavg()[0]
    facts = {units: drawn_facts(5, units=units, days=DAYS, floors=FLOORS, wh_max=900) for units in (UNITS, LARGE)}
    previews, sharings = preview_rows(facts[UNITS]), sharing_rows(facts)
    PAGE.write_text(page(previews, sharings, (before, os.getloadavg()[0])), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
