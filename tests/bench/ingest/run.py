"""`make bench-ingest`: how fast envelopes come from the broker to a durable commit; writes docs/performance.md.

SCALE=0.1 sends a tenth of everything, to try the bench itself, and writes nothing. METERTREE_TEST_DSN names a server
with TimescaleDB to measure on instead; then ways for readings to lie are compared too, and the page is
docs/performance-timescale.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.intake import GROUP_MAX
from ingest.ports import Arrival
from tests.bench.ingest import others
from tests.bench.ingest.given import words_of
from tests.bench.ingest.load import Fleet, interleaved
from tests.bench.ingest.parts import made_intake, parts_of
from tests.bench.ingest.plant import Plant, made_plant, rows_of
from tests.doubles.servers import GIVEN_DSN

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "performance.md"
TIMESCALE_PAGE = ROOT / "docs" / "performance-timescale.md"
SCALE = float(os.environ.get("SCALE", "1"))
TABLES = ("readings", "envelopes", "ledger", "chain_heads", "unsettled_days", "quarantine")
ROUNDS = 5
BACKLOG_READINGS = 864_000
LIVE_EVERY_S = 1.0
WORKERS = 2
"""As docs/operate.md advises: one a core."""
WARM = Fleet("gw-warm", 8, 96)
FIRST = interleaved(WARM.all(), 1)
"""An envelope at least for each worker, so that none is measured while it starts."""


def scaled(count: int) -> int:
    """Less of it, for a try."""
    return max(2, round(count * SCALE))


def both(plant: Plant, name: str, gateways: int, meters: int, marks: int, workers: int) -> dict[str, Any]:
    """Ceiling, ours, ceiling again, in rounds; the middle ratio counts."""
    fleet = Fleet(name, gateways, meters)
    load = interleaved(fleet.all(), marks)
    readings = len(load) * meters
    rows = rows_of(load)
    plant.enrol(fleet, WARM)
    rounds = []
    for _ in range(ROUNDS):
        before = plant.ceiling(rows, readings)
        plant.empty(*TABLES)
        found = plant.through(FIRST, [(one, 0.0) for one in load], workers)
        check_stored(plant, readings + len(FIRST) * WARM.meters)
        found["rate"] = readings / found["took"]
        after = plant.ceiling(rows, readings)
        found["ceiling"] = (before + after) / 2
        found["ratio"] = found["rate"] / found["ceiling"]
        rounds.append(found)
        print(f"{name}: {found['rate']:,.0f} of {found['ceiling']:,.0f} readings/s = {found['ratio']:.0%}", flush=True)
    middle = sorted(rounds, key=lambda one: one["ratio"])[ROUNDS // 2]
    cpu = statistics.median(one["intake"]["cpu"] for one in rounds) / readings * 1e6
    parts = {part: middle[part] / readings * 1e6 for part in ("postgres", "broker")}
    rss = max(one["intake"]["rss_mb"] for one in rounds)
    return middle | {"readings": readings, "octets": len(load[0].octets), "cpu_us": cpu, "rss": rss, **parts}


def check_stored(plant: Plant, readings: int) -> None:
    """Nothing is lost or doubled, or the numbers are worth nothing."""
    with plant.database.transaction() as connection:
        row = connection.execute(b"SELECT count(*), count(DISTINCT (meter, due_at)) FROM readings").fetchone()
    assert row == (readings, readings), row


def repeats(plant: Plant, meters: int) -> dict[str, float]:
    """CPU and time of first arrivals and of the same again, intake and database by themselves."""
    fleet = Fleet("gw-twice", 8, meters)
    plant.enrol(fleet)
    load = sorted(interleaved(fleet.all(), scaled(250)), key=lambda one: one.topic)
    intake = made_intake(plant)
    intake.take(load[:1])
    load = load[1:]

    def once() -> tuple[float, float]:
        began, spent = time.perf_counter(), time.process_time()
        for start in range(0, len(load), GROUP_MAX):
            intake.take(load[start : start + GROUP_MAX])
        readings = len(load) * meters / 1e6
        return (time.perf_counter() - began) / readings, (time.process_time() - spent) / readings

    first, again = once(), once()
    assert intake.counters.repeated == len(load)
    return {"first_us": first[0], "again_us": again[0], "first_cpu_us": first[1], "again_cpu_us": again[1]}


def backlog(plant: Plant) -> dict[str, Any]:
    """One gateway catches up on 864,000 readings while forty others report every second."""
    late, live = Fleet("gw-late", 1, 96), Fleet("gw-live", 40, 96)
    plant.enrol(late, live, WARM)
    chain = late.all()[0].chain(scaled(BACKLOG_READINGS // 96))
    seconds = scaled(12)
    load = [(one, 0.0) for one in chain]
    for place, gateway in enumerate(live.all()):
        for step, one in enumerate(gateway.chain(seconds)):
            load.append((one, LIVE_EVERY_S * (step + (place + 1) / 41)))
    found = plant.through(FIRST, load)
    check_stored(plant, (len(load) + len(FIRST)) * 96)
    return found | {"backlog": len(chain) * 96, "drained": found["backlog_ended"] - found["began"]}


def compare(plant: Plant) -> dict[str, float]:
    """The other ways, with a part of the load: they are slow."""
    fleet = Fleet("gw-others", 8, 96)
    load: list[Arrival] = sorted(interleaved(fleet.all(), scaled(60)), key=lambda one: one.topic)
    found: dict[str, float] = {}
    for way in others.WAYS:
        size = 1 if way.endswith("(MyEMS)") else GROUP_MAX
        groups = [list(others.values_of(load[at : at + size])) for at in range(0, len(load), size)]
        found[way] = others.measure(plant.database, way, groups, len(load) * 96)
        print(f"{way}: {found[way]:,.0f} readings/s", flush=True)
    return found


def alone(act: Callable[[Plant], Any]) -> Any:
    """On a plant of its own."""
    with made_plant() as plant:
        return act(plant)


def small_and_large(workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Envelopes of 96 and of 480 readings, through so many workers."""
    small = alone(lambda plant: both(plant, "gw-of-96", 16, 96, scaled(250), workers))
    return small, alone(lambda plant: both(plant, "gw-of-480", 8, 480, scaled(100), workers))


def main() -> None:
    """Measure, and write the page."""
    if GIVEN_DSN:
        on_timescale()
        return
    load_before = os.getloadavg()[0]
    small, large = small_and_large(WORKERS)
    single = small_and_large(1)
    parts = {96: alone(lambda plant: parts_of(plant, 96, scaled(250)))}
    parts[480] = alone(lambda plant: parts_of(plant, 480, scaled(100)))
    twice = alone(lambda plant: repeats(plant, 96))
    late = alone(backlog)
    slow = alone(compare)
    rates = {name: found["rate"] for name, found in (("96", small), ("480", large))}
    print(rates, twice, {name: late[name] for name in ("p50", "p99", "drained", "backlog", "waits")})
    from tests.bench.ingest.page import page_of

    text = page_of((small, large), single, parts, twice, late, slow, load_before, machine())
    write(PAGE, text)


def on_timescale() -> None:
    """Measure on the given server, and write its page."""
    from tests.bench.ingest.layouts import measure
    from tests.bench.ingest.layouts_page import timescale_page

    load_before = os.getloadavg()[0]
    layouts = measure(SCALE)
    small, large = small_and_large(WORKERS)
    server = alone(lambda plant: words_of(plant.database))
    write(TIMESCALE_PAGE, timescale_page(small, large, layouts, server, load_before, machine()))


def write(page: Path, text: str) -> None:
    """Write a page, or show it if this was only a try."""
    if SCALE == 1:
        page.write_text(text, encoding="utf-8")
    else:
        print(text)


def machine() -> str:
    """What this ran on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
