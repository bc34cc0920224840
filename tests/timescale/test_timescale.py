"""The store's own code and SQL on TimescaleDB: 2.23 in WebAssembly, since no native one can be installed everywhere;
and the native one of the server that METERTREE_TEST_DSN names.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from ingest.store.aggregates import fill_new_aggregates
from ingest.store.database import load_queries
from ingest.store.layout import (
    Layout,
    LayoutRefused,
    Storage,
    arrange,
    convert,
    find_layout,
    layout_queries,
    list_parts,
    list_policies,
    missing_steps,
)
from ingest.store.migrate import is_migrated, migrate, migrate_schema, shipped_migrations
from ingest.store.retention import maintain
from tests.doubles.servers import GIVEN_DSN
from tests.doubles.timescale import FOLDER, NativeTimescale, Timescale, WasmTimescale
from tests.migration.test_migration import CATALOGUE, placeholders_numbered

STORE = resources.files("ingest.store")
SCRIPT = Path(__file__).parents[2] / "scripts" / "install_timescale_wasm.sh"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
STORAGE = Storage()
FIRST = datetime(2026, 7, 28, 10, 0, tzinfo=UTC)
ZONE = "Asia/Kathmandu"
"""A zone off by 45 minutes: days of its own do not begin with an hour of UTC."""
SLOT = timedelta(minutes=15)
MARKS = [FIRST + SLOT * number for number in range(4 * 24 * 5)]
PLANNED = re.compile(rb"(--.*\n)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
"""Queries that PostgreSQL plans, and so prepares."""
READING = "INSERT INTO readings VALUES ('{}', '{}', true, '{}', '{}', 0, 'p', 0, '{{{}}}', 'gw-a', 1, {});\n"
SITE = f"""
INSERT INTO site_versions VALUES ('park', 1, decode(repeat('00', 32), 'hex'),
    '{{"calendar": {{"zone": "{ZONE}"}}}}', '{{}}', now());
"""


def installed() -> str | None:
    """Install the package if need be; says why that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    if not (FOLDER / "node_modules" / ".package-lock.json").exists():
        done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            return f"{SCRIPT.name}: {done.stderr.strip()[:300]}"
    return None


@pytest.fixture(scope="session", params=["in WebAssembly", "native"] if GIVEN_DSN else ["in WebAssembly"])
def server(request: pytest.FixtureRequest) -> Iterator[Timescale]:
    """TimescaleDB; without anything in it until `fresh` is called."""
    if request.param == "native":
        native: Timescale = NativeTimescale()
        yield native
        native.close()
        return
    if (reason := installed()) is not None:
        pytest.skip(f"TimescaleDB in WebAssembly cannot be had: {reason}")
    made = WasmTimescale()
    yield made
    made.close()


@pytest.fixture(scope="module")
def laid_out(server: Timescale) -> Timescale:
    """What `lay_out` makes, for the tests that come before those which begin afresh."""
    return lay_out(server)


def lay_out(server: Timescale) -> Timescale:
    """Write five days of two meters before the layout is made, then make it."""
    server.fresh()
    assert migrate_schema(server)  # type: ignore[arg-type]
    server.execute(SITE + "".join(statement for mark in MARKS for statement in readings_at(mark)))
    server.execute(
        "INSERT INTO envelopes SELECT 'gw-a', 1, number, timestamptz '2026-07-01Z' + number * interval '1 hour', "
        "'octets' FROM generate_series(1, 1000) AS number"
    )
    list(arrange(server, STORAGE, NOW))  # type: ignore[arg-type]
    return server


def readings_at(mark: datetime) -> Iterator[str]:
    """What m-a (100 a slot) and m-b (7 a slot) showed at a mark; m-b misses the first of each hour."""
    number = MARKS.index(mark) + 1
    yield READING.format("m-a", mark, mark, mark, 100 * number, number)
    if mark.minute:
        yield READING.format("m-b", mark, mark, mark, 7 * number, number)


def one(server: Timescale, query: str) -> object:
    """Give the only column of the only row."""
    (row,) = server.execute(query).fetchall()
    assert len(row) == 1
    return row[0]


def test_both_tables_are_hypertables_of_weekly_chunks_and_keep_their_rows(laid_out: Timescale) -> None:
    with laid_out.transaction() as connection:
        assert find_layout(connection) is Layout.HYPERTABLES  # type: ignore[arg-type]
    spans = laid_out.execute(
        "SELECT hypertable_name, column_name, time_interval FROM timescaledb_information.dimensions "
        "WHERE hypertable_name IN ('envelopes', 'readings') ORDER BY 1"
    ).fetchall()
    week = timedelta(days=7)
    assert spans == [("envelopes", "received_at", week), ("readings", "due_at", week)]
    assert one(laid_out, "SELECT count(*) FROM readings") == len(MARKS) + len(MARKS) * 3 // 4
    assert one(laid_out, "SELECT count(*) FROM ONLY readings") == 0
    parts = {parts.table: parts for parts in list_parts(laid_out)}  # type: ignore[arg-type]
    assert (parts["readings"].count, parts["envelopes"].count) == (2, 7)
    assert parts["readings"].octets > 0


def test_readings_are_segmented_by_meter_and_ordered_by_time(laid_out: Timescale) -> None:
    settings = laid_out.execute(
        "SELECT segmentby, orderby FROM timescaledb_information.hypertable_columnstore_settings "
        "WHERE hypertable = 'readings'::regclass"
    ).fetchall()
    assert settings == [("meter", "due_at")]


def test_the_ledger_stays_a_plain_table_with_its_key(laid_out: Timescale) -> None:
    names = {name for (name,) in laid_out.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")}
    assert names == {"envelopes", "readings"}
    laid_out.execute(
        "INSERT INTO ledger VALUES ('g', 1, 1, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), now())"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        laid_out.execute(
            "INSERT INTO ledger SELECT gateway, epoch, seq, digest, digest, now() + interval '1 year' FROM ledger"
        )


def test_policies_have_the_horizons_of_the_settings(laid_out: Timescale) -> None:
    assert list_policies(laid_out) == (  # type: ignore[arg-type]
        "readings compression 14 days",
        "readings retention 3 years",
        "registers_daily_asia_kathmandu refresh_continuous_aggregate 37 days",
        "registers_hourly refresh_continuous_aggregate 35 days",
        "registers_monthly_asia_kathmandu refresh_continuous_aggregate 4 mons",
    )
    for (job,) in laid_out.execute("SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL"):
        laid_out.execute(f"CALL run_job({job})")


def test_a_second_application_changes_nothing(laid_out: Timescale) -> None:
    jobs = "SELECT array_agg(job_id ORDER BY job_id) FROM timescaledb_information.jobs"
    before = one(laid_out, jobs)
    assert migrate(laid_out, storage=STORAGE, now=NOW) == ()  # type: ignore[arg-type]
    assert list(arrange(laid_out, STORAGE, NOW)) == []  # type: ignore[arg-type]
    assert one(laid_out, jobs) == before


def test_other_horizons_replace_the_policies_and_nothing_else(laid_out: Timescale) -> None:
    other = Storage(chunk_days=1, compress_after_days=30, late_days=60, keep_readings_months=24)
    rows = one(laid_out, "SELECT count(*) FROM readings")
    told = list(arrange(laid_out, other, NOW))  # type: ignore[arg-type]
    assert "chunks of readings span 1 day from now on" in told
    policies = list_policies(laid_out)  # type: ignore[arg-type]
    assert policies[:2] == ("readings compression 30 days", "readings retention 2 years")
    assert "registers_hourly refresh_continuous_aggregate 60 days" in policies
    assert len(policies) == 5
    assert not any("becomes" in step or "shows" in step for step in told)
    list(arrange(laid_out, STORAGE, NOW))  # type: ignore[arg-type]
    assert list(arrange(laid_out, STORAGE, NOW)) == []  # type: ignore[arg-type]
    assert one(laid_out, "SELECT count(*) FROM readings") == rows


def test_every_named_query_fits_hypertables(laid_out: Timescale) -> None:
    prepared = 0
    for file in STORE.joinpath("queries").iterdir():
        for query in load_queries(file.name.removesuffix(".sql")).values():
            if PLANNED.match(query):
                laid_out.execute(b"PREPARE probe AS " + placeholders_numbered(query))
                laid_out.execute("DEALLOCATE probe")
                prepared += 1
    assert prepared > 60


def refresh(server: Timescale) -> None:
    """Do what the policies do when they are due."""
    for (view,) in server.execute(
        "SELECT view_name FROM timescaledb_information.continuous_aggregates "
        "ORDER BY view_name = 'registers_hourly' DESC, 1"
    ):
        server.execute(f"CALL refresh_continuous_aggregate('{view}', NULL, NULL)")
        server.execute(f"ALTER MATERIALIZED VIEW {view} SET (timescaledb.materialized_only = true)")


def expected(bucket_of: dict[datetime, datetime]) -> list[tuple[datetime, int, int, int]]:
    """First and last register of m-a and the number of readings, by bucket."""
    buckets: dict[datetime, list[int]] = {}
    for number, mark in enumerate(MARKS, start=1):
        buckets.setdefault(bucket_of[mark], []).append(100 * number)
    return [(start, shown[0], shown[-1], len(shown)) for start, shown in sorted(buckets.items())]


def test_aggregates_give_first_and_last_registers_by_hour_and_by_day_and_month_of_the_site(
    laid_out: Timescale,
) -> None:
    refresh(laid_out)
    local = {mark: mark.astimezone(ZoneInfo(ZONE)) for mark in MARKS}
    midnight = {mark: here.replace(hour=0, minute=0).astimezone(UTC) for mark, here in local.items()}
    first_of_month = {mark: here.replace(day=1, hour=0, minute=0).astimezone(UTC) for mark, here in local.items()}
    for view, buckets in {
        "registers_hourly": {mark: mark.replace(minute=0) for mark in MARKS},
        "registers_daily_asia_kathmandu": midnight,
        "registers_monthly_asia_kathmandu": first_of_month,
    }.items():
        found = laid_out.execute(
            "SELECT starts_at, first_mantissas[1], last_mantissas[1], readings "
            f"FROM {view} WHERE meter = 'm-a' ORDER BY 1"
        ).fetchall()
        assert found == expected(buckets), view
    honest = laid_out.execute("SELECT DISTINCT readings FROM registers_hourly WHERE meter = 'm-b'").fetchall()
    assert honest == [(3,)]


def binary_rows(rows: list[tuple[str, datetime, int, int]]) -> bytes:
    """(meter, mark, register, seq) as binary COPY of readings."""

    def field(octets: bytes) -> bytes:
        return struct.pack(">i", len(octets)) + octets

    def instant(at: datetime) -> bytes:
        return field(struct.pack(">q", (at - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)))

    made = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    for meter, mark, register, seq in rows:
        made += struct.pack(">h", 12) + field(meter.encode()) + instant(mark) + field(b"\1") + instant(mark) * 2
        made += field(struct.pack(">h", 0)) + field(b"p") + field(struct.pack(">h", 0))
        made += field(struct.pack(">iiiiiiq", 1, 0, 20, 1, 1, 8, register))
        made += field(b"gw-a") + field(struct.pack(">i", 1)) + field(struct.pack(">q", seq))
    return made + struct.pack(">h", -1)


def test_late_readings_enter_a_compressed_chunk_and_show_in_query_and_aggregate(laid_out: Timescale) -> None:
    laid_out.execute("SELECT compress_chunk(chunk) FROM show_chunks('readings') AS chunk")
    assert {parts.compressed for parts in list_parts(laid_out) if parts.table == "readings"} == {2}  # type: ignore[arg-type]
    hours = [mark for mark in MARKS if not mark.minute]
    late = [("m-b", mark, 7 * (MARKS.index(mark) + 1), 9000 + number) for number, mark in enumerate(hours)]
    rows = one(laid_out, "SELECT count(*) FROM readings")
    laid_out.copy(load_queries("intake")["copy_readings"], binary_rows(late))
    assert one(laid_out, "SELECT count(*) FROM readings") == rows + len(late)  # type: ignore[operator]
    laid_out.execute(
        "INSERT INTO ledger SELECT DISTINCT gateway, epoch, seq, decode(repeat('11', 32), 'hex'), "
        "decode(repeat('00', 32), 'hex'), now() FROM readings"
    )
    due = laid_out.execute(
        load_queries("readings")["readings_due"], {"meters": ["m-b"], "first": MARKS[0], "last": MARKS[-1]}
    ).fetchall()
    assert [row[6] for row in due] == [[7 * number] for number in range(1, len(MARKS) + 1)]
    refresh(laid_out)
    complete = laid_out.execute("SELECT DISTINCT readings FROM registers_hourly WHERE meter = 'm-b'").fetchall()
    assert complete == [(4,)]
    laid_out.execute("SELECT compress_chunk(chunk, if_not_compressed => true) FROM show_chunks('readings') AS chunk")
    assert one(laid_out, "SELECT count(*) FROM readings WHERE meter = 'm-b'") == len(MARKS)


def test_the_page_and_the_migrations_make_the_same_schema_on_hypertables(server: Timescale) -> None:
    server.fresh()
    server.execute(STORE.joinpath("schema.sql").read_bytes())
    list(arrange(server, STORAGE, NOW))  # type: ignore[arg-type]
    by_page = server.execute(CATALOGUE).fetchall()
    server.fresh()
    assert migrate(server, storage=STORAGE, now=NOW)  # type: ignore[arg-type]
    assert is_migrated(server)  # type: ignore[arg-type]
    by_migrations = [row for row in server.execute(CATALOGUE) if not row[1].startswith("schema_migrations")]
    assert by_migrations == by_page
    assert len(by_page) > 100


@pytest.mark.parametrize("applied", range(1, len(shipped_migrations())))
def test_every_migration_runs_on_a_database_with_hypertables_and_rows(server: Timescale, applied: int) -> None:
    server.fresh()
    migrate(server, shipped_migrations()[:applied], storage=STORAGE, now=NOW)  # type: ignore[arg-type]
    server.execute(SITE + "".join(readings_at(FIRST)))
    server.execute("SELECT compress_chunk(chunk) FROM show_chunks('readings') AS chunk")
    left = migrate(server, storage=STORAGE, now=NOW)  # type: ignore[arg-type]
    assert left == tuple(migration.name for migration in shipped_migrations()[applied:])
    assert one(server, "SELECT mantissas[1] FROM readings") == 100
    assert list(arrange(server, STORAGE, NOW)) == []  # type: ignore[arg-type]


def test_partitions_become_hypertables_when_asked_and_not_before(server: Timescale) -> None:
    server.fresh(extension=False)
    migrate(server, storage=STORAGE, now=NOW)  # type: ignore[arg-type]
    server.execute("".join(statement for mark in MARKS[:40] for statement in readings_at(mark)))
    with pytest.raises(LayoutRefused, match="not installed"):
        list(convert(server, STORAGE))  # type: ignore[arg-type]
    server.execute("CREATE EXTENSION timescaledb")
    list(arrange(server, STORAGE, NOW))  # type: ignore[arg-type]
    with server.transaction() as connection:
        assert find_layout(connection) is Layout.PARTITIONS  # type: ignore[arg-type]
    rows = server.execute("SELECT * FROM readings ORDER BY meter, due_at").fetchall()
    assert len(list(convert(server, STORAGE))) == 2  # type: ignore[arg-type]
    list(arrange(server, STORAGE, NOW))  # type: ignore[arg-type]
    with server.transaction() as connection:
        assert find_layout(connection) is Layout.HYPERTABLES  # type: ignore[arg-type]
        assert missing_steps(connection, STORAGE, NOW) == ()  # type: ignore[arg-type]
    assert server.execute("SELECT * FROM readings ORDER BY meter, due_at").fetchall() == rows
    by_conversion = server.execute(CATALOGUE).fetchall()
    server.fresh()
    migrate(server, storage=STORAGE, now=NOW)  # type: ignore[arg-type]
    assert server.execute(CATALOGUE).fetchall() == by_conversion


def test_readings_from_before_the_policies_look_back_show_once_new_aggregates_are_filled(server: Timescale) -> None:
    """As in a database that was in use before it became one of hypertables, or before a site of another zone."""
    laid_out = lay_out(server)
    hours = "SELECT count(*) FROM registers_hourly WHERE meter = 'm-a' AND starts_at < '2026-09-01Z'"
    laid_out.execute(
        "INSERT INTO readings SELECT 'm-new', at, true, at, at, 0, 'p', 0, '{1}', 'gw-a', 1, 1 "
        "FROM (SELECT now() - interval '2 days' AS at) AS newest"
    )
    for (job,) in laid_out.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'"
    ).fetchall():
        laid_out.execute(f"CALL run_job({job})")
    assert one(laid_out, hours) == 0, "the policies have looked back 35 days, the readings are of July"
    assert list(fill_new_aggregates(laid_out, ["readings are compressed when older than 14 days"])) == []  # type: ignore[arg-type]
    assert one(laid_out, hours) == 0
    told = list(fill_new_aggregates(laid_out, ["registers_hourly shows the first and last"]))  # type: ignore[arg-type]
    assert len(told) == 3
    assert one(laid_out, hours) == len(MARKS) // 4
    assert one(laid_out, "SELECT sum(readings) FROM registers_daily_asia_kathmandu WHERE meter = 'm-a'") == len(MARKS)


RUN = """
INSERT INTO site_versions VALUES ('park', 2, decode(repeat('00', 32), 'hex'), '{}', '{}', now());
BEGIN;
INSERT INTO allocation_runs (run, site, period, state, booked_at, site_version, inputs_hash, engine_version, document,
    created_at)
VALUES ('r', 'park', '2026-07', 'computed', now(), 2, decode(repeat('00', 32), 'hex'), '2', '{}', now());
INSERT INTO run_transitions (run, step, to_state, actor, reason, acted_at, recorded_at)
VALUES ('r', 1, 'computed', 'an', '', now(), now());
COMMIT;
INSERT INTO run_evidence VALUES ('r', 0, '2026-08-01Z', '2026-07-09Z', '2026-07-10Z');
"""


def test_what_is_over_its_time_goes_but_not_the_envelopes_of_a_statement(server: Timescale) -> None:
    """Chunks begin on Thursdays: 2 July, 9, 16 ... A statement rests on envelopes of the one that begins on the 9th."""
    laid_out = lay_out(server)
    laid_out.execute(RUN)
    seqs = "SELECT min(seq), max(seq), count(*) FROM envelopes"
    in_three_years = datetime(2029, 8, 1, tzinfo=UTC)
    told = list(maintain(laid_out, STORAGE, in_three_years))  # type: ignore[arg-type]
    assert told == [f"chunk of envelopes from 2026-{day} is dropped" for day in ("06-25", "07-02", "07-16", "07-23")]
    assert laid_out.execute(seqs).fetchall()[0] == (24 * 8, 1000, 24 * 7 + 1000 - 24 * 29 + 1)
    assert list(maintain(laid_out, STORAGE, in_three_years)) == []  # type: ignore[arg-type]
    (job,) = laid_out.execute(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    ).fetchall()
    laid_out.execute(f"CALL run_job({job[0]})")
    assert one(laid_out, "SELECT count(*) > 0 FROM readings"), (
        "readings are younger than three years by the server's clock"
    )
    told = list(maintain(laid_out, replace(STORAGE, keep_statements_months=12), in_three_years))  # type: ignore[arg-type]
    assert told == ["chunk of envelopes from 2026-07-09 is dropped"]


def test_what_hypertables_sql_gives_names_no_schema_and_no_server() -> None:
    """It must run wherever the extension was installed, under any search path that holds it."""
    for query in layout_queries("hypertables").values():
        assert b"_timescaledb_" not in query
        assert b"public.create_hypertable" not in query
