"""How fast the same rows go into each way in which readings may lie, what room they take, and how late ones fare.

On the server that METERTREE_TEST_DSN names. The tables are those that `metertree migrate` makes, the COPY is intake's.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ingest.intake import GROUP_MAX
from ingest.ports import Arrival
from ingest.store.database import Database, load_queries
from ingest.store.layout import Storage, arrange
from ingest.store.migrate import migrate_schema
from ingest.store.reading_rows import COPY_BEGIN, COPY_END, reading_rows
from metering.interval import SLOT
from tests.bench.ingest.given import given_database, has_timescale, quieten
from tests.bench.ingest.load import Fleet, interleaved
from tests.bench.ingest.plant import cpu_of, sweeps_of
from tests.conftest import MARK

ROUNDS = 3
DIRECT = "timescaledb.enable_direct_compress_copy"
SORTED = "timescaledb.enable_direct_compress_copy_client_sorted"
SETTINGS = (DIRECT, SORTED)
LATE_ROWS = 24_576
"""Of one group: a gateway of 96 meters that brings what it kept for 256 marks."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Way:
    """One way for `readings` to lie. `settings`: what each transaction that copies sets to on."""

    name: str
    timescale: bool = True
    divided: bool = True
    chunk_days: int = 7
    settings: tuple[str, ...] = ()
    sorted: bool = False


PLAIN = Way("one plain table", timescale=False, divided=False)
PARTITIONS = Way("partitions by month", timescale=False)
HYPERTABLE = Way("hypertable, chunks of 7 days")
DIRECTLY = Way("hypertable, compressed by the COPY, which sorts", settings=(DIRECT,))
WAYS = (
    PARTITIONS,
    HYPERTABLE,
    Way("hypertable, chunks of 1 day", chunk_days=1),
    DIRECTLY,
    Way("hypertable, compressed by the COPY, sorted before", settings=SETTINGS, sorted=True),
)


@dataclass
class Found:
    """Medians of a way: rate and share of the plain table's in the same round; CPU of the server; room."""

    rates: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    octets: float = 0.0
    compressed_octets: float = 0.0
    compress_s: float = 0.0

    @property
    def rate(self) -> float:
        """Readings a second."""
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        """Of the server [us a reading]; 0 where it is not on this machine."""
        return statistics.median(self.cpu_us)

    @property
    def share(self) -> float:
        """Of the plain table's rate."""
        return statistics.median(self.shares)


@dataclass(frozen=True)
class Rows:
    """Groups of rows ready for COPY, each a transaction; `sorted_groups`: the same by meter and time."""

    groups: Sequence[bytes]
    sorted_groups: Sequence[bytes]
    count: int

    def of(self, way: Way) -> Sequence[bytes]:
        """As this way wants them."""
        return self.sorted_groups if way.sorted else self.groups


@dataclass
class Place:
    """A database in which readings lie in one way."""

    way: Way
    database: Database
    pid: int

    def copy(self, groups: Sequence[bytes]) -> None:
        """A group a transaction, as intake does."""
        for octets in groups:
            with self.database.transaction() as connection:
                for setting in self.way.settings:
                    connection.execute(b"SELECT set_config(%s, 'on', true)", [setting])
                with connection.cursor() as cursor, cursor.copy(load_queries("intake")["copy_readings"]) as copy:
                    copy.write(octets)

    def empty(self) -> None:
        """Begin again."""
        with self.database.transaction() as connection:
            connection.execute(b"TRUNCATE readings")

    def timed(self, rows: Rows) -> tuple[float, float]:
        """Seconds and CPU seconds of the server for all rows, into an empty table."""
        self.empty()
        before, began = cpu_of(self.pid), time.perf_counter()
        self.copy(rows.of(self.way))
        return time.perf_counter() - began, cpu_of(self.pid) - before

    def octets(self) -> int:
        """Room of readings with their index."""
        size = b"pg_total_relation_size('readings')"
        if self.way.timescale:
            size = b"hypertable_size('readings')"
        elif self.way.divided:
            size = b"sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'readings'::regclass"
        with self.database.transaction() as connection:
            (found,) = connection.execute(b"SELECT " + size).fetchone() or (0,)
        return int(found)

    def compress(self) -> float:
        """Put every chunk into the columnstore, whole; seconds."""
        began = time.perf_counter()
        with self.database.transaction() as connection:
            connection.execute(
                b"SELECT compress_chunk(chunk, recompress => true) FROM show_chunks('readings') AS chunk"
            )
        return time.perf_counter() - began

    def read(self, meters: Sequence[str], first: datetime, marks: int) -> float:
        """Milliseconds to read what a settlement reads of these meters; the middle of five."""
        wanted = {"meters": list(meters), "marks": [first + SLOT * number for number in range(marks)]}
        took = []
        for _ in range(5):
            began = time.perf_counter()
            with self.database.transaction() as connection:
                found = connection.execute(load_queries("readings")["registers_at"], wanted, binary=True).fetchall()
            took.append(time.perf_counter() - began)
            assert len(found) == len(meters), (self.way.name, len(found))
        return statistics.median(took) * 1e3

    def count(self) -> int:
        """Rows."""
        with self.database.transaction() as connection:
            (found,) = connection.execute(b"SELECT count(*) FROM readings").fetchone() or (0,)
        return int(found)


def rows_of_groups(groups: Sequence[Sequence[Arrival]], place: Place) -> Rows:
    """Write the rows of each group, and let PostgreSQL sort them for the ways that want that."""
    written = [COPY_BEGIN + reading_rows(sweeps_of(group)).tobytes() + COPY_END for group in groups]
    by_meter = []
    for octets in written:
        place.empty()
        place.copy([octets])
        with place.database.transaction() as connection, connection.cursor() as cursor:
            columns = load_queries("intake")["copy_readings"].partition(b"(")[2].partition(b")")[0]
            query = b"COPY (SELECT " + columns + b" FROM readings ORDER BY meter, due_at) TO STDOUT (FORMAT BINARY)"
            with cursor.copy(query) as copy:
                by_meter.append(b"".join(bytes(part) for part in copy))
    place.empty()
    return Rows(written, by_meter, sum(len(sweep.readings) for group in groups for sweep in sweeps_of(group)))


def groups_of(load: Sequence[Arrival]) -> list[Sequence[Arrival]]:
    """As intake takes them."""
    return [load[start : start + GROUP_MAX] for start in range(0, len(load), GROUP_MAX)]


@contextmanager
def places(ways: Sequence[Way]) -> Iterator[dict[Way, Place]]:
    """A database for each way."""
    with ExitStack() as stack:
        found = {}
        for way in ways:
            given = stack.enter_context(given_database(timescale=way.timescale))
            database = stack.enter_context(Database(given.dsn, connections=1))
            migrate_schema(database)
            if way.divided:
                list(arrange(database, Storage(chunk_days=way.chunk_days), MARK + timedelta(days=1)))
            if way.timescale:
                quieten(database)
            found[way] = Place(way, database, given.pid)
        yield found


def compared(plain: Place, others: Sequence[Place], rows: Rows) -> dict[str, Found]:
    """Plain, another, plain, another ...: in rounds; each beside the plain ones around it."""
    found = {place.way.name: Found() for place in (plain, *others)}
    for _ in range(ROUNDS):
        before = plain.timed(rows)
        for place in others:
            took, cpu = place.timed(rows)
            after = plain.timed(rows)
            one = found[place.way.name]
            one.rates.append(rows.count / took)
            one.cpu_us.append(cpu / rows.count * MICROSECONDS)
            one.shares.append((before[0] + after[0]) / 2 / took)
            beside = found[plain.way.name]
            beside.rates.append(rows.count / after[0])
            beside.cpu_us.append(after[1] / rows.count * MICROSECONDS)
            beside.shares.append(1.0)
            before = after
    for place in (plain, *others):
        assert place.count() == rows.count, place.way.name
        one = found[place.way.name]
        one.octets = place.octets() / rows.count
        if place.way.timescale:
            one.compress_s = place.compress()
            one.compressed_octets = place.octets() / rows.count
            assert place.count() == rows.count, place.way.name
    return found


@dataclass(frozen=True)
class Late:
    """Readings a second that come late, and milliseconds to read a day of ten meters before and after, by state."""

    rates: dict[str, float]
    reads: dict[str, float]


def late(plain: Place, hypertable: Place, rows: Rows, group: bytes, fleet: Fleet) -> Late:
    """The same group again, into what lies open and what is compressed: nothing here looks at the ledger."""
    meters = [str(name) for name in fleet.all()[0].names[:10]]
    rates, reads = {}, {}

    def told(name: str, place: Place) -> None:
        reads[name] = place.read(meters, MARK, 96)
        took = []
        for round_number in range(ROUNDS):
            began = time.perf_counter()
            place.copy([group])
            took.append(time.perf_counter() - began)
            if round_number == 0:
                reads[f"{name}, as many late ones in it"] = place.read(meters, MARK, 96)
        rates[name] = LATE_ROWS / statistics.median(took)

    for name, place in (("plain table", plain), ("open chunk", hypertable)):
        place.timed(rows)
        told(name, place)
    hypertable.timed(rows)
    hypertable.compress()
    told("compressed chunk", hypertable)
    began = time.perf_counter()
    hypertable.compress()
    reads["compressed again"] = hypertable.read(meters, MARK, 96)
    rates["compressed again, s"] = time.perf_counter() - began
    assert hypertable.count() == rows.count + ROUNDS * LATE_ROWS
    return Late(rates, reads)


@dataclass(frozen=True)
class Layouts:
    """All that is measured here."""

    catching_up: dict[str, Found]
    live: dict[str, Found]
    late: Late


def measure(scale: float) -> Layouts:
    """Gateways that catch up bring many marks of few meters in a group, live ones one mark of many."""
    assert has_timescale(), "METERTREE_TEST_DSN must name a server with TimescaleDB"
    fleet, wide = Fleet("gw-lies", max(2, round(8 * scale)), 96), Fleet("gw-wide", GROUP_MAX, 96)
    chains = [gateway.chain(GROUP_MAX) for gateway in fleet.all()]
    with places((PLAIN, *WAYS)) as found:
        plain, others = found[PLAIN], [found[way] for way in WAYS]
        catching_up = rows_of_groups(chains, plain)
        at_once = compared(plain, others, catching_up)
        lately = late(plain, found[HYPERTABLE], catching_up, catching_up.groups[0], fleet)
        one_mark = rows_of_groups(groups_of(interleaved(wide.all(), max(2, round(8 * scale)))), plain)
        live = compared(plain, others, one_mark)
    return Layouts(at_once, live, lately)
