"""docs/performance.md, from what was measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.bench.ingest.parts import Parts

Found = dict[str, Any]
RATIO_MIN = {96: 0.60, 480: 0.75}
CPU_US_MAX = 2.0
REPEAT_MAX = 0.5
RSS_MB_MAX = 300
LIVE_P99_S_MAX = 2.0


def page_of(
    found: tuple[Found, Found],
    single: tuple[Found, Found],
    parts: dict[int, Parts],
    twice: Found,
    late: Found,
    slow: dict[str, float],
    load: float,
    machine: str,
) -> str:
    """Give the page; `found` with a worker for each core, `single` with one, each for 96 and for 480 readings."""
    small, large = found
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
            "each with its window of 64 envelopes, and two intake workers share them, one a core, as docs/operate.md "
            "advises. The middle of five rounds; counts of rows are checked after each.",
            "",
            "| | 96 readings an envelope | 480 readings | bar |",
            "|---|---|---|---|",
            *_rates(small, large),
            row("octets an envelope", f"{small['octets']:,}", f"{large['octets']:,}", ""),
            "",
            "The same with one worker, whose group waits while the one before is committed:",
            "",
            "| | 96 readings an envelope | 480 readings | bar |",
            "|---|---|---|---|",
            *_rates(*single),
            "",
            *_parts(parts, single),
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
            "What was tried, and what would come next: docs/adr/0062-sweeps-as-columns.md. The same on TimescaleDB: "
            "docs/performance-timescale.md.",
            "",
        ]
    )


def _rates(small: Found, large: Found) -> list[str]:
    """Rates, shares and costs of both sizes of envelopes."""
    return [
        row("ceiling, readings/s", f"{small['ceiling']:,.0f}", f"{large['ceiling']:,.0f}", ""),
        row("**ours, readings/s**", f"**{small['rate']:,.0f}**", f"**{large['rate']:,.0f}**", ""),
        row(
            "share of the ceiling",
            judged(small["ratio"], RATIO_MIN[96], f"{small['ratio']:.1%}"),
            judged(large["ratio"], RATIO_MIN[480], f"{large['ratio']:.1%}"),
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
    ]


def _parts(parts: dict[int, Parts], single: tuple[Found, Found]) -> list[str]:
    """Where the CPU of intake goes."""
    few, many = parts[96], parts[480]
    steps = (
        ("claim: topic, COSE, head", "claim"),
        ("**signature**: Ed25519 by OpenSSL", "signature"),
        ("opening: walk, salted tree, columns", "opening"),
        ("entering: chains, ledger, envelopes, rows of COPY, heads", "entering"),
    )
    rests = [one["cpu_us"] - part.total for one, part in zip(single, (few, many), strict=True)]
    return [
        "## Where the CPU of intake goes",
        "",
        "Each step by itself, in one thread beside the database and nothing else. What is left of the CPU above, of "
        "one worker, is MQTT (paho), receipts, threads that take turns, and that every step costs more when both "
        "cores are busy.",
        "",
        "| µs a reading | 96 readings an envelope | 480 readings |",
        "|---|---|---|",
        *(row(text, f"{getattr(few, name):.2f}", f"{getattr(many, name):.2f}") for text, name in steps),
        row("sum of the steps", f"{few.total:.2f}", f"{many.total:.2f}"),
        row("the rest", *(f"{rest:.2f}" for rest in rests)),
        "",
        f"So with 96 readings an envelope the signature alone is {few.signature:.1f} of the 2.0 µs; claim, signature "
        f"and MQTT are paid per envelope, which is why envelopes of a large port cost less.",
    ]


def row(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def judged(found: float, bar: float, text: str) -> str:
    """Mark what meets its bar."""
    return f"{text} {'✓' if found >= bar else '✗'}"
