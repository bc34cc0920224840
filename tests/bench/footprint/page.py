"""docs/performance-footprint.md, from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.footprint.doors import Doors


@dataclass(frozen=True)
class Footprint:
    """Octets a row, with its part of indexes apart; a reading is a row of `readings`."""

    readings: float
    readings_index: float
    envelopes: float
    envelopes_index: float
    ledger: float
    ledger_index: float
    settled: float
    wal: float
    envelope_wire: float
    plain_chunk: float
    columns: float
    columns_rows: int
    timescale: str
    rows: int


def page_of(found: Footprint, doors: Doors | None, day: str, machine: str, load: float) -> str:
    """Give the page."""
    lines = [
        "# What a meter costs on disk and at the door",
        "",
        f"Written by `make bench-footprint` on {day}, {machine}; load of the machine when it began: {load:.1f}. "
        "Octets do not depend on the load, and CPU is that of the server's process alone. "
        "[scale.md](scale.md) is computed from this page.",
        "",
        "## Octets",
        "",
        f"{found.rows:,} readings of twenty gateways of 96 meters (two registers each, names of 19 letters, "
        "uneven loads), through intake into embedded PostgreSQL 18, partitioned by month.",
        "",
        "| a row of | is | table, octets | indexes, octets |",
        "|---|---|---|---|",
        f"| `readings` | one meter's answer in one sweep | {found.readings:.1f} | {found.readings_index:.1f} |",
        f"| `envelopes` | 96 readings, sealed: {found.envelope_wire:,.0f} octets on the wire | "
        f"{found.envelopes:,.0f} | {found.envelopes_index:.1f} |",
        f"| `ledger` | one envelope | {found.ledger:.1f} | {found.ledger_index:.1f} |",
        f"| `settled_days` | a node and day, import and export | {found.settled:,.0f} | in it |",
        "",
        f"Write-ahead log, which is what a replica is sent: {found.wal:.1f} octets a reading, all tables together.",
        "",
        f"In TimescaleDB {found.timescale} (WebAssembly; {found.columns_rows:,} readings of one gateway over a "
        f"fortnight): {found.plain_chunk:.1f} octets a reading with index before its chunk is compressed, "
        f"{found.columns:.1f} after.",
        "",
        "## Doors",
        "",
    ]
    if doors is None:
        lines.append("Not measured: no Mosquitto or no openssl on this machine.")
    else:
        lines += [
            f"Mosquitto with the settings of `deploy/mosquitto`; {doors.connections:,} connections that stay, "
            f"{doors.messages:,} envelopes of 3,966 octets in at the gateways' door and out at the centre's, QoS 1.",
            "",
            "| of the broker | plain | TLS, certificates on both sides |",
            "|---|---|---|",
            f"| CPU of a connection, ms | {doors.connect * 1e3:.2f} | {doors.tls_connect * 1e3:.2f} |",
            f"| memory of an idle connection, KiB | {doors.memory / 1024:.1f} | {doors.tls_memory / 1024:.1f} |",
            f"| CPU of an envelope, µs | {doors.message * 1e6:.0f} | {doors.tls_message * 1e6:.0f} |",
        ]
    return "\n".join([*lines, ""])
