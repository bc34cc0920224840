"""docs/performance-timescale.md, from what was measured on a server with TimescaleDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.bench.ingest.layouts import PLAIN, Found, Layouts
from tests.bench.ingest.page import RATIO_MIN, judged, row


def timescale_page(
    small: dict[str, Any], large: dict[str, Any], layouts: Layouts, server: str, load: float, machine: str
) -> str:
    """Give the page."""
    day = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# How readings lie and come in on TimescaleDB",
            "",
            f"Written by `make bench-ingest` with METERTREE_TEST_DSN set, on {day}: {server}; {machine}; load of the "
            f"machine when it began: {load:.1f}. Where that is not near 0, this is what was left beside others: only "
            f"shares count, each of the middle of its rounds beside the plain table in the same round. What is read "
            f"is what `docs/performance.md` calls a reading: one row of `readings`, two registers.",
            "",
            "## From the broker to the receipt",
            "",
            "As in docs/performance.md, the ceiling being nothing but `COPY` into the same hypertable.",
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
            row("CPU of intake, µs a reading", f"{small['cpu_us']:.2f}", f"{large['cpu_us']:.2f}", ""),
            row("CPU of PostgreSQL, µs", f"{small['postgres']:.2f}", f"{large['postgres']:.2f}", ""),
            "",
            "## COPY into each way of lying",
            "",
            "Nothing but binary `COPY`, a group of intake a transaction, one connection, index and durable commit "
            "included. *After*: once every chunk was put into the columnstore.",
            "",
            "Gateways that catch up, a group being 256 marks of 96 meters:",
            "",
            *_table(layouts.catching_up),
            "",
            "Live readings, a group being one mark of 24,576 meters:",
            "",
            *_table(layouts.live),
            "",
            "## Late readings",
            "",
            "One gateway brings 256 marks of its 96 meters; beside it a day of ten meters is read as settlement reads "
            "it.",
            "",
            "| | late readings/s | day of ten meters, ms | with as many late ones, ms |",
            "|---|---|---|---|",
            *(
                row(
                    name,
                    f"{layouts.late.rates[name]:,.0f}",
                    f"{layouts.late.reads[name]:.1f}",
                    f"{layouts.late.reads[f'{name}, as many late ones in it']:.1f}",
                )
                for name in ("plain table", "open chunk", "compressed chunk")
            ),
            "",
            f"To compress that chunk again took {layouts.late.rates['compressed again, s']:.1f} s; the same day is "
            f"then read in {layouts.late.reads['compressed again']:.1f} ms.",
            "",
            "What follows from this: docs/adr/0070-readings-are-compressed-when-old.md.",
            "",
        ]
    )


def _table(found: dict[str, Found]) -> list[str]:
    return [
        "| | readings/s | of the plain table | CPU of PostgreSQL, µs | octets a reading | after | to compress all, s |",
        "|---|---|---|---|---|---|---|",
        *(
            row(
                name,
                f"{one.rate:,.0f}",
                "" if name == PLAIN.name else f"{one.share:.0%}",
                f"{one.cpu:.2f}" if one.cpu else "",
                f"{one.octets:.0f}",
                f"{one.compressed_octets:.0f}" if one.compressed_octets else "",
                f"{one.compress_s:.1f}" if one.compressed_octets else "",
            )
            for name, one in found.items()
        ),
    ]
