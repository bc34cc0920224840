"""A fleet of meters for the bench of settlement: its site, and its readings put into the store as intake puts them.

Readings lie on disk in the order in which they arrive: mark by mark, gateway by gateway. Nothing is drawn: every number
follows from the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from ingest.store.database import Database, load_queries
from ingest.store.reading_rows import COPY_BEGIN, COPY_END
from ingest.store.settled import put_settled_days
from ingest.store.settled_rows import DayKey, DayRows
from ingest.store.sites import import_site
from metering.identity import GatewayId, MeterId, NodeId, PartyId, PortId, SiteId
from metering.interval import SLOT, SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from provisioning.site import (
    ALWAYS,
    Gateway,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Party,
    PartyKind,
    Placement,
    SerialPort,
    Site,
)

SITE, GATEWAY = SiteId("fleet"), GatewayId("gw")
CALENDAR = SiteCalendar("Asia/Shanghai")
FIRST = date(2026, 7, 2)
IMPORTED_AT = datetime(2026, 6, 1, tzinfo=UTC)
PROFILE = Catalogue.shipped().by_id("dlt645/three-phase")
GROUP = PROFILE.group("billing").index
METERS_OF_ENVELOPE = 100
MARKS_AT_ONCE = 48
_PG_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_READINGS = (
    "COPY readings (meter, due_at, aligned, started_at, read_at, quality, profile_hash, group_index, mantissas, "
    "gateway, epoch, seq) FROM STDIN (FORMAT BINARY)"
)
_NAMES = Names("件", "part")


@dataclass(frozen=True)
class Fleet:
    """`meters` meters, each read at every quarter hour of `days` local days; import and export.

    gap_every   one meter in so many has a gap of three marks in each day; 0: none
    """

    meters: int
    days: int
    gap_every: int = 0

    @property
    def meter_days(self) -> int:
        """Meters times local days."""
        return self.meters * self.days

    @property
    def last(self) -> date:
        """The last local day."""
        return FIRST + timedelta(days=self.days - 1)

    def site(self) -> Site:
        """Every meter at a node of its own, below the main meter."""
        main, port = NodeId("main"), PortId("line")
        names = [f"{number:06d}" for number in range(self.meters)]
        nodes = (Node(NodeId(f"n{one}"), NodeKind.END, (Placement(main, ALWAYS),), _NAMES, "1") for one in names)
        return Site(
            id=SITE,
            names=_NAMES,
            calendar=CALENDAR,
            currency="CNY",
            nodes=(Node(main, NodeKind.MAIN, (), _NAMES, "1"), *nodes),
            meters=tuple(
                Meter(
                    *(MeterId(f"m{one}"), one, PROFILE.id, Protocol.DLT645_2007, port, f"{int(one):012d}"),
                    *(NodeId(f"n{one}"), ALWAYS, 1, 1),
                )
                for one in names
            ),
            exchanges=(),
            units=(),
            parties=(Party(PartyId("owner"), PartyKind.OWNER, _NAMES),),
            leases=(),
            gateways=(Gateway(GATEWAY, _NAMES),),
            ports=(SerialPort(port, GATEWAY, "/dev/ttyS0", 9600, Parity.EVEN, 1, 10),),
        )

    def fill(self, database: Database) -> None:
        """Import the site, and store its readings, their ledger and the list of days to settle."""
        with database.transaction() as connection:
            import_site(connection, self.site(), {}, imported_at=IMPORTED_AT)
        marks = 96 * self.days + 1
        with database.transaction() as connection:
            connection.execute(b"DROP INDEX readings_by_meter")  # made again when all is there: a fifth of the time
        for first in range(0, marks, MARKS_AT_ONCE):
            with (
                database.transaction() as connection,
                connection.cursor() as cursor,
                cursor.copy(_READINGS.encode()) as copy,
            ):
                copy.write(COPY_BEGIN)
                copy.write(self._rows(first, min(first + MARKS_AT_ONCE, marks)))
                copy.write(COPY_END)
        with database.transaction() as connection:
            connection.execute(b"CREATE INDEX readings_by_meter ON readings (meter, due_at)")
            connection.execute(_FILL_LEDGER, [marks * -(-self.meters // METERS_OF_ENVELOPE)])
        self.list_all(database)

    @property
    def settled_wh(self) -> int:
        """Sum of what `fill_settled` stores [Wh]."""
        return sum(int(self._energy(number).sum()) for number in range(self.meters))

    def fill_settled(self, database: Database) -> None:
        """Import the site, and store its settled days: import in each slot, export 0."""
        days = [FIRST + timedelta(days=number) for number in range(self.days)]
        with database.transaction() as connection:
            import_site(connection, self.site(), {}, imported_at=IMPORTED_AT)
        for first in range(0, self.meters, 100):
            nodes = range(first, min(first + 100, self.meters))
            energy = np.zeros((len(nodes), 2, self.days, 96), np.int64)
            for place, number in enumerate(nodes):
                energy[place, 0] = self._energy(number)
            keys = [
                DayKey(NodeId(f"n{number:06d}"), obis, day)
                for number in nodes
                for obis in (ENERGY_IMPORT, ENERGY_EXPORT)
                for day in days
            ]
            quality, slots = np.zeros((len(keys), 96), np.uint8), np.full(len(keys), 96)
            rows = DayRows(SITE, keys, energy.reshape(-1, 96), quality, slots, {}, bytes(32 * len(keys)))
            with database.transaction() as connection:
                put_settled_days(connection, rows, ())

    def _energy(self, number: int) -> Any:
        return (np.arange(self.days * 96).reshape(self.days, 96) * 7 + number) % 50 * 10

    def list_all(self, database: Database) -> None:
        """Put every day on the list, as if all had just arrived."""
        start = CALENDAR.midnight(FIRST)
        days = sorted({(start + number * SLOT).date() for number in range(96 * self.days + 1)})
        meters = [f"m{number:06d}" for number in range(self.meters)]
        arrived = {"meters": meters * len(days), "days": [day for day in days for _ in meters]}
        with database.transaction() as connection:
            connection.execute(load_queries("intake")["add_unsettled_days"], arrived)

    def _rows(self, first: int, end: int) -> bytes:
        marks, meters = np.arange(first, end), np.arange(self.meters)
        rows = np.zeros((len(marks), self.meters), _row_type())
        rows["fields"] = 12
        _field(rows, "meter", np.array([f"m{number:06d}".encode() for number in meters])[None, :])
        due = (CALENDAR.midnight(FIRST) - _PG_EPOCH) // timedelta(microseconds=1) + marks * 900_000_000
        for name, after_us in (("due_at", 0), ("started_at", 1_000_000), ("read_at", 1_040_000)):
            _field(rows, name, (due + after_us)[:, None])
        _field(rows, "aligned", 1)
        _field(rows, "quality", 0)
        _field(rows, "profile", np.bytes_(PROFILE.hash))
        _field(rows, "group", GROUP)
        rows["mantissas_octets"], rows["mantissas_head"] = 44, np.array([1, 0, 20, 2, 1])
        rows["imported"]["octets"] = rows["exported"]["octets"] = 8
        # Steps of 60 Wh and once in five of 10: a register never falls, even where one is raised by 10 Wh.
        total = 1_000_000 + 97 * meters[None, :] + marks[:, None] * 5 + (marks[:, None] + meters[None, :]) % 5
        rows["imported"]["number"] = total
        _field(rows, "gateway", np.bytes_(GATEWAY.encode()))
        _field(rows, "epoch", 1)
        envelopes = -(-self.meters // METERS_OF_ENVELOPE)
        _field(rows, "seq", 1 + marks[:, None] * envelopes + meters[None, :] // METERS_OF_ENVELOPE)
        if self.gap_every:
            in_gap = (marks[:, None] % 96 >= 40) & (marks[:, None] % 96 < 43) & (meters[None, :] % self.gap_every == 0)
            return bytes(rows[~in_gap].tobytes())
        return rows.tobytes()


_FILL_LEDGER = (
    b"INSERT INTO ledger (gateway, epoch, seq, digest, previous_hash, received_at) "
    b"SELECT 'gw', 1, seq, sha256(int8send(seq)), sha256(int8send(seq - 1)), TIMESTAMPTZ '2026-08-01' "
    b"FROM generate_series(1, %s) AS seq"
)


def _field(rows: Any, name: str, content: Any) -> None:
    rows[f"{name}_octets"] = rows.dtype[name].itemsize
    rows[name] = content


def _row_type() -> np.dtype[Any]:
    def field(name: str, form: str) -> list[Any]:
        return [(f"{name}_octets", ">i4"), (name, form)]

    number = np.dtype([("octets", ">i4"), ("number", ">i8")])
    return np.dtype(
        [
            ("fields", ">i2"),
            *field("meter", "S7"),
            *field("due_at", ">i8"),
            *field("aligned", ">i1"),
            *field("started_at", ">i8"),
            *field("read_at", ">i8"),
            *field("quality", ">i2"),
            *field("profile", "S32"),
            *field("group", ">i2"),
            *(("mantissas_octets", ">i4"), ("mantissas_head", ">i4", 5), ("imported", number), ("exported", number)),
            *field("gateway", f"S{len(GATEWAY)}"),
            *field("epoch", ">i4"),
            *field("seq", ">i8"),
        ]
    )
