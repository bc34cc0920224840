"""`make bench-footprint`: what a meter costs on disk, on the way to a replica and at the broker's door.

Octets do not depend on what else the machine does; CPU is that of the server's process alone. Writes
docs/performance-footprint.md, from which scripts/scale.py computes docs/scale.md. SCALE=0.1 tries it, and writes
nothing.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.intake import GROUP_MAX, Intake
from ingest.ports import Arrival
from ingest.store.database import Connection, load_queries
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.layout import Storage, arrange
from ingest.store.migrate import migrate_schema
from metering.clock import SystemClock
from metering.envelope import Envelope
from metering.reading import MeterReading
from tests.bench.footprint.doors import measure_doors
from tests.bench.footprint.page import Footprint, page_of
from tests.bench.ingest.load import Fleet, FleetGateway, interleaved
from tests.bench.ingest.plant import made_plant, rows_of
from tests.bench.ingest.run import machine
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES
from tests.doubles.intake import MemoryConsumer
from tests.doubles.timescale import WasmTimescale

PAGE = Path(__file__).parents[3] / "docs" / "performance-footprint.md"
SCALE = float(os.environ.get("SCALE", "1"))
NOW = datetime(2026, 8, 1, tzinfo=UTC)
METERS = 96
GATEWAYS = 20
MARKS = max(10, round(192 * SCALE))
NODE_DAYS = max(100, round(20_000 * SCALE))
COMPRESSED_MARKS = max(96, round(96 * 14 * SCALE))
SIZES = b"SELECT pg_table_size(%(table)s::regclass), pg_indexes_size(%(table)s::regclass)"
PARTS = b"SELECT relid::regclass::text FROM pg_partition_tree(%(table)s::regclass) WHERE isleaf"
SETTLED = b"""
INSERT INTO settled_days (site, node, obis, day, energy, quality, exceptions, inputs_hash, settled_at)
SELECT 'park', format('u-%%s', number %% 500), obis, date '2026-07-01' + number / 500,
    (SELECT array_agg(CASE obis WHEN '1-0:1.8.0' THEN 200 + (random() * 900)::int + 0 * slot ELSE 0 END)
     FROM generate_series(1, 96) AS slot WHERE number >= 0),
    array_fill(0::smallint, ARRAY[96]), '[]', decode(repeat('00', 32), 'hex'), now()
FROM generate_series(1, %(count)s) AS number, unnest(ARRAY['1-0:1.8.0', '1-0:2.8.0']) AS obis
"""


@dataclass(frozen=True)
class UnevenGateway(FleetGateway):
    """Registers that rise as loads do, by another step each slot: even steps would compress to nothing."""

    def envelope(self, seq: int, previous_hash: bytes, mark: datetime | None = None) -> Envelope:
        """One sweep."""
        envelope = super().envelope(seq, previous_hash, mark)
        return replace(envelope, readings=tuple(self._uneven(one, seq) for one in envelope.readings))

    def _uneven(self, reading: MeterReading, seq: int) -> MeterReading:
        drawn = random.Random(f"{reading.meter} {seq}")
        base = 1_000_000 + 450 * seq + drawn.randrange(400)
        late = timedelta(milliseconds=drawn.randrange(30))
        return replace(
            reading,
            ended_at=reading.ended_at + late,
            mantissas=(base, 17) if reading.mantissas[0] else reading.mantissas,
        )


def uneven(name: str, gateways: int) -> list[FleetGateway]:
    """Gateways of 96 meters with uneven loads."""
    return [UnevenGateway(f"{name}-{number:03d}", 1, METERS) for number in range(gateways)]


def on_disk(connection: Connection, table: str) -> tuple[int, int]:
    """Octets of a table and of its indexes, all partitions."""
    parts = [name for (name,) in connection.execute(PARTS, {"table": table})] or [table]
    sizes = [connection.execute(SIZES, {"table": name}).fetchone() for name in parts]
    return sum(one[0] for one in sizes if one), sum(one[1] for one in sizes if one)


def rows_and_wal(footprint: dict[str, Any]) -> None:
    """Take in two days of twenty gateways, and look how large what they left is, and what a replica had to be sent."""
    with made_plant() as plant:
        plant.enrol(Fleet("gw-uneven", GATEWAYS, METERS))
        load: list[Arrival] = sorted(interleaved(uneven("gw-uneven", GATEWAYS), MARKS), key=lambda one: one.topic)
        intake = Intake(
            consumer=MemoryConsumer(),
            store=PostgresIntakeStore(plant.database),
            signer=SeededSigner("metertree test centre"),
            clock=SystemClock(),
            profiles=PROFILES,
        )
        readings = len(load) * METERS
        with plant.database.transaction() as connection:
            begun = connection.execute(b"SELECT pg_current_wal_lsn()::text").fetchone()
            assert begun is not None
        for start in range(0, len(load), GROUP_MAX):
            intake.take(load[start : start + GROUP_MAX])
        assert intake.counters.readings == readings, intake.counters
        with plant.database.transaction() as connection:
            wal = connection.execute(
                b"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %(begun)s::pg_lsn)::bigint", {"begun": begun[0]}
            ).fetchone()
            assert wal is not None
            footprint |= {"rows": readings, "wal": int(wal[0]) / readings}
            footprint |= {"envelope_wire": sum(len(one.octets) for one in load) / len(load)}
            for table, count in (("readings", readings), ("envelopes", len(load)), ("ledger", len(load))):
                table_octets, index_octets = on_disk(connection, table)
                footprint |= {table: table_octets / count, f"{table}_index": index_octets / count}
            connection.execute(SETTLED, {"count": NODE_DAYS // 2})
        with plant.database.transaction() as connection:
            table_octets, index_octets = on_disk(connection, "settled_days")
            footprint |= {"settled": (table_octets + index_octets) / (NODE_DAYS // 2)}


def columnstore(footprint: dict[str, Any]) -> None:
    """A fortnight of one gateway in TimescaleDB, before and after its chunks are compressed."""
    server = WasmTimescale()
    try:
        server.fresh()
        migrate_schema(server)  # type: ignore[arg-type]
        list(arrange(server, Storage(), NOW))  # type: ignore[arg-type]
        (gateway,) = uneven("gw-columns", 1)
        chain = gateway.chain(COMPRESSED_MARKS)
        for rows in rows_of(chain):
            server.copy(load_queries("intake")["copy_readings"], rows)
        before = server.execute("SELECT sum(total_bytes) FROM chunks_detailed_size('readings')").fetchone()
        server.execute("SELECT compress_chunk(one) FROM show_chunks('readings') AS one")
        after = server.execute("SELECT sum(total_bytes) FROM chunks_detailed_size('readings')").fetchone()
        version = server.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
        count = len(chain) * METERS
        assert before is not None
        assert after is not None
        assert version is not None
        footprint |= {"plain_chunk": int(before[0]) / count, "columns": int(after[0]) / count}
        footprint |= {"columns_rows": count, "timescale": version[0]}
    finally:
        server.close()


def main() -> None:
    """Measure, and write the page."""
    load_before = os.getloadavg()[0]
    found: dict[str, Any] = {}
    began = time.perf_counter()
    for part in (rows_and_wal, columnstore):
        part(found)
        print(
            f"{part.__name__}: {time.perf_counter() - began:.0f} s", {k: found[k] for k in list(found)[-8:]}, flush=True
        )
    doors = measure_doors(max(50, round(2000 * SCALE)), max(200, round(20_000 * SCALE)))
    print(doors, flush=True)
    text = page_of(Footprint(**found), doors, datetime.now(UTC).date().isoformat(), machine(), load_before)
    if SCALE == 1:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
