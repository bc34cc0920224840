"""docs/performance.md, from what was measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Found = dict[str, Any]
RATIO_MIN = {96: 0.60, 480: 0.75}
CPU_US_MAX = 2.0
REPEAT_MAX = 0.5
RSS_MB_MAX = 300
LIVE_P99_S_MAX = 2.0


def page_of(
    small: Found, large: Found, twice: Found, late: Found, slow: dict[str, float], load: float, machine: str
) -> str:
    """Give the page."""
    live = judged(-late["p99"], -LIVE_P99_S_MAX, f"{late['p99']:.2f} s")
    day = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# How fast readings come in",
            "",
            f"Written by `make bench-ingest` on {day}, {machine}; load of the machine when it began: {load:.1f}. "
            f"Where that is not near 0, this is what was left beside others. A *reading* is one meter's answer in "
            f"one sweep with its two registers: one row of `readings`. Embedded PostgreSQL 18 with fsync and "
            f"synchronous commit, embedded NATS, every signature verified. Publisher, broker, intake and database "
            f"share the cores.",
            "",
            "## From the broker to the receipt",
            "",
            "The ceiling is nothing but binary `COPY` of the same rows into the same table, with its index, in "
            "transactions of the same size, on one connection, before and after each round. Gateways catch up, "
            "each with its window of 64 envelopes. The middle of five rounds; counts of rows are checked after "
            "each.",
            "",
            "| | 96 readings an envelope | 480 readings | bar |",
            "|---|---|---|---|",
            row("ceiling, readings/s", f"{small['ceiling']:,.0f}", f"{large['ceiling']:,.0f}", ""),
            row("**ours, readings/s**", f"**{small['rate']:,.0f}**", f"**{large['rate']:,.0f}**", ""),
            row(
                "share of the ceiling",
                judged(small["ratio"], RATIO_MIN[96], f"{small['ratio']:.0%}"),
                judged(large["ratio"], RATIO_MIN[480], f"{large['ratio']:.0%}"),
                "≥ 60 %, ≥ 75 %",
            ),
            row(
                "CPU of intake, µs a reading",
                judged(-small["cpu_us"], -CPU_US_MAX, f"{small['cpu_us']:.2f}"),
                judged(-large["cpu_us"], -CPU_US_MAX, f"{large['cpu_us']:.2f}"),
                "≤ 2.0",
            ),
            row("CPU of PostgreSQL, µs", f"{small['postgres']:.2f}", f"{large['postgres']:.2f}", ""),
            row("CPU of the broker, µs", f"{small['broker']:.2f}", f"{large['broker']:.2f}", ""),
            row(
                "most memory of intake, MB",
                judged(-small["rss"], -RSS_MB_MAX, f"{small['rss']:.0f}"),
                judged(-large["rss"], -RSS_MB_MAX, f"{large['rss']:.0f}"),
                "≤ 300",
            ),
            row("octets an envelope", f"{small['octets']:,}", f"{large['octets']:,}", ""),
            "",
            "## The same again",
            "",
            "| | first arrival | repeat | |",
            "|---|---|---|---|",
            row(
                "time, µs a reading",
                f"{twice['first_us']:.2f}",
                f"{twice['again_us']:.2f}",
                judged(
                    -twice["again_us"] / twice["first_us"], -REPEAT_MAX, f"{twice['again_us'] / twice['first_us']:.0%}"
                ),
            ),
            row(
                "CPU of intake, µs a reading",
                f"{twice['first_cpu_us']:.2f}",
                f"{twice['again_cpu_us']:.2f}",
                judged(
                    -twice["again_cpu_us"] / twice["first_cpu_us"],
                    -REPEAT_MAX,
                    f"{twice['again_cpu_us'] / twice['first_cpu_us']:.0%}",
                ),
            ),
            "",
            "Bar: at most half. A message that is in the books, octet for octet, is neither verified nor taken "
            "apart again.",
            "",
            "## A backlog beside live readings",
            "",
            f"One gateway catches up on {late['backlog']:,} readings while forty gateways of 96 meters report once "
            f"a second. Drained in {late['drained']:.1f} s; {late['waits']:,} live envelopes had their receipt "
            f"after {late['p50']:.2f} s (middle) and {live} (99th percentile; bar 2 s).",
            "",
            "## Other ways to store the same",
            "",
            "One connection, durable, values ready in memory: no broker, no signature, no proof. Two values a reading.",
            "",
            "| | readings/s | ours from the broker |",
            "|---|---|---|",
            *(f"| {way} | {rate:,.0f} | {small['rate'] / rate:.1f} × |" for way, rate in slow.items()),
            "",
            "Where the time goes, and why a bar is missed where it is: docs/adr/0062-sweeps-as-columns.md. The same on "
            "TimescaleDB: docs/performance-timescale.md.",
            "",
        ]
    )


def row(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def judged(found: float, bar: float, text: str) -> str:
    """Mark what meets its bar."""
    return f"{text} {'✓' if found >= bar else '✗'}"
