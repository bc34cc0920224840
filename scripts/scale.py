"""Computes docs/scale.md from the measured pages in docs/: `make scale`. `--check` says whether the page is still true.

Nothing in the page is typed by hand that could be computed, so its numbers follow the measurements; a test compares.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = DOCS / "scale.md"
SIZES = (10_000, 1_000_000, 100_000_000)
CELL = 1_000_000

# Assumed, each with its reason in the page.
EVERY_S = 900
METERS_A_GATEWAY = 96
OUTAGE_H = 24
DRAINED_H = 2
CATCH_UP = 1 + OUTAGE_H // DRAINED_H
RECONNECT_S = 60
BUSY = 0.5
HOT_DAYS = 21
KEPT_DAYS = 1096
RESTORE_OCTETS_S = 200e6
RESTORE_H = 12
NIGHT_H = 6
CORES = 16
DISK = 20e12
SLOTS = 96
LEAST = 0.01


class PageUnreadable(Exception):
    """A measured page does not hold the row that is asked for."""


@dataclass(frozen=True)
class Measured:
    """What was measured. Times [s], sizes [octets]; `settle` None while nobody has measured it."""

    rate: float
    intake: float
    postgres: float
    wire: float
    message: float
    connect: float
    idle: float
    hot: float
    columns: float
    envelope: float
    ledger: float
    settled: float
    wal: float
    close: float
    settle: float | None


def numbers(page: str, label: str) -> list[float]:
    """Give the numbers of the first table row of docs/`page` whose first cell contains `label`, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for line in text.splitlines():
        cells = line.strip().strip("|").split("|")
        if line.startswith("|") and label in cells[0]:
            found = [re.search(r"\d[\d,]*(?:\.\d+)?", cell) for cell in cells[1:]]
            return [float(one[0].replace(",", "")) for one in found if one]
    raise PageUnreadable(f"docs/{page} has no row with {label!r}")


def told(page: str, pattern: str) -> float:
    """Give the number that `pattern` finds in docs/`page`."""
    found = re.search(pattern, (DOCS / page).read_text(encoding="utf-8"))
    if found is None:
        raise PageUnreadable(f"docs/{page} says nothing like {pattern!r}")
    return float(found[1].replace(",", ""))


def measured() -> Measured:
    """Read the measured pages."""
    intake, print_ = "performance.md", "performance-footprint.md"
    columns, octets = (
        r"before its chunk is compressed, ([\d.]+) after",
        r": ([\d.]+) octets a reading with index before",
    )
    return Measured(
        rate=numbers(intake, "ours, readings/s")[0],
        intake=numbers(intake, "CPU of intake, µs a reading")[0] * 1e-6,
        postgres=numbers(intake, "CPU of PostgreSQL, µs")[0] * 1e-6,
        wire=numbers(intake, "octets an envelope")[0],
        message=numbers(print_, "CPU of an envelope, µs")[1] * 1e-6,
        connect=numbers(print_, "CPU of a connection, ms")[1] * 1e-3,
        idle=numbers(print_, "memory of an idle connection, KiB")[1] * 1024,
        hot=told(print_, octets),
        columns=told(print_, columns),
        envelope=sum(numbers(print_, "`envelopes`")[-2:]),
        ledger=sum(numbers(print_, "`ledger`")[-2:]),
        settled=numbers(print_, "`settled_days`")[-1],
        wal=told(print_, r"is sent: ([\d.]+) octets a reading"),
        close=_close(),
        settle=_settle(),
    )


def _close() -> float:
    """Seconds a meter of the largest close, on the two cores of the machine of the measurement."""
    text = (DOCS / "performance-close.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| 40,000 \| ([\d,]+) \|.*?\*\*([\d.]+) s\*\*", text, re.M)
    if not rows:
        raise PageUnreadable("docs/performance-close.md has no row of 40,000 units")
    return float(rows[0][1]) / float(rows[0][0].replace(",", ""))


def _settle() -> float | None:
    """Seconds of CPU a meter-day, ours and PostgreSQL's, if somebody has measured it."""
    try:
        meters, days, _, _, _, ours, postgres = numbers("performance-settlement.md", "ten days of some")[:7]
    except (FileNotFoundError, PageUnreadable):
        return None
    return (ours + postgres) / (meters * days)


def shown(number: float, unit: str = "") -> str:
    """Give two significant digits, with thousands apart: 0.0123, 4.6, 1,100; and a unit."""
    if number < LEAST:
        text = "0" if number == 0 else f"under {LEAST}"
    else:
        digits = 1 - math.floor(math.log10(number))
        text = f"{round(number, digits):,.{max(digits, 0)}f}"
    return f"{text} {unit}" if unit else text


def octets(number: float) -> str:
    """Give a size in the unit that fits."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return shown(number / size, unit)
    return shown(number, "octets")


@dataclass(frozen=True)
class Load:
    """What so many meters do, and what that costs; everything of one cell unless its name says a day or a horizon."""

    meters: int
    found: Measured

    @property
    def gateways(self) -> float:
        return self.meters / METERS_A_GATEWAY

    @property
    def readings_s(self) -> float:
        return self.meters / EVERY_S

    @property
    def envelopes_s(self) -> float:
        return self.gateways / EVERY_S

    @property
    def intake_cores(self) -> float:
        return self.readings_s * CATCH_UP * self.found.intake / BUSY

    @property
    def postgres_cores(self) -> float:
        return self.readings_s * CATCH_UP * self.found.postgres / BUSY

    @property
    def broker_cores(self) -> float:
        return self.envelopes_s * CATCH_UP * self.found.message / BUSY

    @property
    def reconnect_cores(self) -> float:
        return self.gateways / RECONNECT_S * self.found.connect / BUSY

    @property
    def broker_memory(self) -> float:
        return self.gateways * self.found.idle

    @property
    def network(self) -> float:
        return self.envelopes_s * self.found.wire

    @property
    def wal_s(self) -> float:
        return self.readings_s * CATCH_UP * self.found.wal

    @property
    def readings_day(self) -> float:
        return self.meters * SLOTS

    @property
    def envelopes_day(self) -> float:
        return self.gateways * SLOTS

    @property
    def disk(self) -> tuple[float, float, float, float, float]:
        """Hot readings, readings in columns, envelopes, ledger, settled days, over their horizons."""
        return (
            self.readings_day * HOT_DAYS * self.found.hot,
            self.readings_day * (KEPT_DAYS - HOT_DAYS) * self.found.columns,
            self.envelopes_day * KEPT_DAYS * self.found.envelope,
            self.envelopes_day * KEPT_DAYS * self.found.ledger,
            self.meters * KEPT_DAYS * self.found.settled,
        )

    @property
    def disk_all(self) -> float:
        return sum(self.disk)

    @property
    def restore_h(self) -> float:
        return self.disk_all / RESTORE_OCTETS_S / 3600

    @property
    def settle_h(self) -> float:
        return self.meters * (self.found.settle or 0) / 3600

    @property
    def close_machines(self) -> float:
        return self.meters * self.found.close / (NIGHT_H * 3600)


Row = tuple[str, str, Callable[[Load], str]]

ROWS: tuple[Row, ...] = (
    ("gateways", f"meters / {METERS_A_GATEWAY}", lambda it: shown(it.gateways)),
    ("readings/s", f"meters / {EVERY_S} s", lambda it: shown(it.readings_s)),
    ("envelopes/s", f"gateways / {EVERY_S} s", lambda it: shown(it.envelopes_s)),
    ("into the centre", "envelopes/s × octets of one", lambda it: octets(it.network) + "/s"),
    (
        "intake, cores",
        f"readings/s × {CATCH_UP} × CPU of intake / {BUSY}",
        lambda it: shown(it.intake_cores),
    ),
    (
        "PostgreSQL, cores for intake",
        f"readings/s × {CATCH_UP} × CPU of PostgreSQL / {BUSY}",
        lambda it: shown(it.postgres_cores),
    ),
    (
        "broker, cores",
        f"envelopes/s × {CATCH_UP} × CPU of an envelope over TLS / {BUSY}",
        lambda it: shown(it.broker_cores),
    ),
    (
        "broker, cores while all come back",
        f"gateways / {RECONNECT_S} s × CPU of a TLS connection / {BUSY}",
        lambda it: shown(it.reconnect_cores),
    ),
    ("broker, memory of connections", "gateways × an idle TLS connection", lambda it: octets(it.broker_memory)),
    (
        "to each replica, while catching up",
        f"readings/s × {CATCH_UP} × write-ahead log of a reading",
        lambda it: octets(it.wal_s) + "/s",
    ),
    (
        "disk: readings not yet in columns",
        f"meters × {SLOTS} × {HOT_DAYS} days × octets",
        lambda it: octets(it.disk[0]),
    ),
    (
        "disk: readings in columns",
        f"meters × {SLOTS} × {KEPT_DAYS - HOT_DAYS} days × octets",
        lambda it: octets(it.disk[1]),
    ),
    (
        "disk: envelopes, the evidence",
        f"gateways × {SLOTS} × {KEPT_DAYS} days × octets",
        lambda it: octets(it.disk[2]),
    ),
    ("disk: ledger", f"gateways × {SLOTS} × {KEPT_DAYS} days × octets", lambda it: octets(it.disk[3])),
    ("disk: settled days", f"meters × {KEPT_DAYS} days × octets", lambda it: octets(it.disk[4])),
    ("**disk, all**", "their sum", lambda it: f"**{octets(it.disk_all)}**"),
    ("restore", f"disk / {octets(RESTORE_OCTETS_S)}/s", lambda it: shown(it.restore_h, "h")),
    (
        "settlement of a day, on one core",
        "meters × CPU of a meter-day",
        lambda it: "not measured yet" if it.found.settle is None else shown(it.settle_h, "h"),
    ),
    (
        "month's close, machines of two cores",
        f"meters × time a meter / {NIGHT_H} h",
        lambda it: shown(it.close_machines),
    ),
)


def limits(found: Measured) -> list[tuple[str, str, float]]:
    """Where a cell ends: what, how it is reckoned, at how many meters."""
    one = Load(1, found)
    per_envelope = METERS_A_GATEWAY * EVERY_S / CATCH_UP
    return [
        (
            "intake, broker and database on two cores, catching up",
            f"{shown(found.rate)} readings/s × {EVERY_S} s / {CATCH_UP}",
            found.rate * EVERY_S / CATCH_UP,
        ),
        (
            "one Mosquitto (one thread), catching up",
            f"{BUSY} / CPU of an envelope × {EVERY_S} s / {CATCH_UP} × {METERS_A_GATEWAY}",
            BUSY / found.message * per_envelope,
        ),
        (
            f"one Mosquitto, all gateways back within {RECONNECT_S} s",
            f"{BUSY} / CPU of a TLS connection × {RECONNECT_S} s × {METERS_A_GATEWAY}",
            BUSY / found.connect * RECONNECT_S * METERS_A_GATEWAY,
        ),
        (
            f"a disk of {octets(DISK)}",
            f"{octets(DISK)} / disk of a meter over its horizons",
            DISK / one.disk_all,
        ),
        (
            f"restored within {RESTORE_H} h",
            f"{octets(RESTORE_OCTETS_S)}/s × {RESTORE_H} h / disk of a meter",
            RESTORE_OCTETS_S * 3600 * RESTORE_H / one.disk_all,
        ),
        (
            f"closed in a night of {NIGHT_H} h on {CORES} cores",
            f"{NIGHT_H} h × {CORES} / 2 / time a meter",
            NIGHT_H * 3600 * CORES / 2 / found.close,
        ),
    ]


def page_of(found: Measured) -> str:
    """Give docs/scale.md."""
    loads = [Load(size, found) for size in SIZES]
    cells = math.ceil(SIZES[-1] / CELL)
    return "\n".join(
        [
            *_head(found),
            *_table(
                ["", "how", *(f"{size:,} meters" for size in SIZES)],
                [[what, how, *(give(load) for load in loads)] for what, how, give in ROWS],
            ),
            "",
            *_limits(found),
            *_cells(found, cells),
            *TAIL,
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _head(found: Measured) -> list[str]:
    settle = "not measured yet" if found.settle is None else f"{shown(found.settle * 1e6)} µs CPU"
    rows = [
        ("CPU of intake", f"{shown(found.intake * 1e6)} µs a reading", "performance.md"),
        ("CPU of PostgreSQL in intake", f"{shown(found.postgres * 1e6)} µs a reading", "performance.md"),
        ("broker to receipt, two cores", f"{found.rate:,.0f} readings/s", "performance.md"),
        ("an envelope of 96 readings", f"{found.wire:,.0f} octets", "performance.md"),
        ("Mosquitto, an envelope over TLS", f"{shown(found.message * 1e6)} µs CPU", "performance-footprint.md"),
        ("Mosquitto, a TLS connection", f"{shown(found.connect * 1e3)} ms CPU", "performance-footprint.md"),
        ("Mosquitto, an idle TLS connection", f"{octets(found.idle)}", "performance-footprint.md"),
        ("a reading with its index", f"{shown(found.hot)} octets", "performance-footprint.md"),
        ("a reading in columns", f"{shown(found.columns)} octets", "performance-footprint.md"),
        ("an envelope in the store", f"{found.envelope:,.0f} octets", "performance-footprint.md"),
        ("an envelope in the ledger", f"{shown(found.ledger)} octets", "performance-footprint.md"),
        ("a settled node and day", f"{found.settled:,.0f} octets", "performance-footprint.md"),
        ("write-ahead log", f"{shown(found.wal)} octets a reading", "performance-footprint.md"),
        ("a month's close, two cores", f"{shown(found.close * 1e3)} ms a meter", "performance-close.md"),
        ("settlement of a meter-day", settle, "performance-settlement.md"),
    ]
    sourced = [[what, cost, f"[{page}]({page})" if (DOCS / page).exists() else page] for what, cost, page in rows]
    return [
        "# How many machines for how many meters",
        "",
        "Computed by `make scale` (`scripts/scale.py`) from the pages of measurements; a test computes it again, so no "
        "number here can be older than they are. Two significant digits, since the measurements deserve no more.",
        "",
        "Three kinds of numbers: **measured** on two cores of one machine (first table), **assumed** (the list below "
        "it), **computed** from both. What was never run is said in the last chapter.",
        "",
        "## Measured",
        "",
        *_table(["", "cost", "page"], sourced),
        "",
        "## Assumed",
        "",
        f"* A reading each {EVERY_S // 60} minutes; {METERS_A_GATEWAY} meters a gateway, one envelope a sweep.",
        f"* The longest outage is {OUTAGE_H} h and is caught up within {DRAINED_H} h beside live readings: all that "
        f"works on readings is made for {CATCH_UP} times the steady load.",
        f"* A core is planned to be {BUSY:.0%} busy at that. All gateways may come back within {RECONNECT_S} s.",
        f"* Kept as by default: readings and envelopes 36 months ({KEPT_DAYS} days); readings go into columns at 14 "
        f"days, by chunks of 7, so {HOT_DAYS} days are not. The ledger is never dropped; 36 months of it are reckoned.",
        f"* A backup is restored with {octets(RESTORE_OCTETS_S)}/s, {RESTORE_H} h are borne; a night has {NIGHT_H} h; "
        f"a database machine has {octets(DISK)} of disk and {CORES} cores.",
        "",
        "## The arithmetic",
        "",
    ]


def _limits(found: Measured) -> list[str]:
    ordered = sorted(limits(found), key=lambda one: one[2])
    return [
        "## Where a cell ends",
        "",
        "A cell is a broker, its workers and a database. What would be full first, from the top:",
        "",
        *_table(["limit", "how", "meters"], [[what, how, shown(meters)] for what, how, meters in ordered]),
        "",
        f"So a cell is planned for {CELL:,} meters." + _below(ordered),
        "",
    ]


def _below(ordered: Sequence[tuple[str, str, float]]) -> str:
    """Say what a cell of that size asks more of than was assumed."""
    below = [what for what, _, meters in ordered if meters < CELL]
    if not below:
        return ""
    return f" What that asks more of than was assumed: {'; '.join(below)}. A replica stands in meanwhile."


def _cells(found: Measured, cells: int) -> list[str]:
    cell = Load(CELL, found)
    workers = max(2, math.ceil(cell.intake_cores))
    return [
        "## What to set up",
        "",
        "**10,000 meters**: one machine of two cores and 8 GB with "
        f"{octets(Load(SIZES[0], found).disk_all * 1.5)} of disk (half as much again as computed) runs "
        "`deploy/compose.yaml` with the profile `small`; its backup lies on another one.",
        "",
        "**1,000,000 meters**: one cell, each machine twice so that either may be lost.",
        "",
        *_table(
            ["machines", "what", "why"],
            [
                ["2", f"broker, 2 cores, {octets(max(4e9, 4 * cell.broker_memory))}", "see Brokers"],
                [
                    "2",
                    f"centre, 4 cores, 8 GB: {workers} or more intake workers, settlement, API, jobs",
                    "any may stop",
                ],
                [
                    "1 + 2",
                    f"TimescaleDB, {CORES} cores, 64 GB, {octets(cell.disk_all * 1.5)}: primary, a synchronous and an "
                    "asynchronous replica",
                    "a receipt follows a commit, so the commit must be on two disks",
                ],
                [
                    f"{max(1, math.ceil(cell.close_machines))}",
                    "two cores, for the nights of the month's close (`metertree close --sites all --executor dask`)",
                    "else idle, and may be one of the above",
                ],
            ],
        ),
        "",
        f"**100,000,000 meters**: {cells} such cells and nothing above them: "
        f"{shown(Load(SIZES[-1], found).readings_s)} readings/s and {octets(Load(SIZES[-1], found).disk_all)} are "
        "spread, never joined. A site belongs to one cell, a gateway's configuration names its cell's broker, and no "
        "transaction, session or query crosses cells. Common to all are only DNS, the authorities behind the "
        "certificates, and one Prometheus that asks the cells' (federation). A site moves by "
        "a new enrolment of its gateways in the other cell, in a new epoch, from the first of a month.",
        "",
    ]


TAIL = [
    "## Brokers",
    "",
    "A broker's state is disposable: an envelope counts when the centre's receipt is there, and gateways send again "
    "what has none. That allows two ways to have more than one.",
    "",
    "* **Two Mosquittos under one name** (two addresses in DNS), each with intake workers of its own for all shares, "
    "on one database. A gateway that loses one comes back at the other. The rows of `chain_heads` keep two workers "
    "apart that meet on a gateway. Nothing is shared between the brokers, so nothing between them can fail. Tried "
    "here: `tests/integration/test_two_brokers.py`.",
    "* **A NATS cluster of three nodes** with JetStream in three copies: sessions outlive a node, at three times the "
    "writing and with MQTT 3.1.1 only. Settings: `deploy/nats/`. Tried here with three nodes *on one machine*: "
    "`tests/integration/test_nats_cluster.py`. What it costs over a network is not measured.",
    "",
    "## Replicas",
    "",
    "One synchronous standby, one asynchronous; each program names all of them in its DSN and finds the one that takes "
    "writes. A receipt follows a commit on two disks, and there is none while the second is away: "
    "`tests/integration/test_failover.py` kills a primary in the middle of a gateway's sending, promotes the standby, "
    "and looks for every receipted envelope. How to set it up: [operate.md](operate.md). Reports may read from a "
    "replica; intake, settlement and closing only from the primary.",
    "",
    "## What was not run here",
    "",
    "* More than two cores, more than one machine, a real network, disks that are not in the page cache.",
    "* More than two thousand connections at once; 10,000 gateways; 1,000,000 meters in one database.",
    "* Replicas of TimescaleDB: the failover was tried with plain PostgreSQL, both servers on one machine. Columns "
    "were measured in WebAssembly, where sizes are the same and times mean nothing.",
    "* CPU of PostgreSQL is that of partitions on plain PostgreSQL with its small default buffers.",
    "",
]


def main(words: Sequence[str]) -> int:
    """Write the page, or with `--check` compare."""
    text = page_of(measured())
    if "--check" in words:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
