"""Fills a database with an estate, past the intake: settled days of the month, and the sealed readings that prove it.

Rows are made as the octets of a binary COPY, by numpy where they are all of one length. Signatures are real ones; only
the readings that a statement rests on are there (a real month holds sixteen times as many).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import psycopg

from device_profiles.catalogue import Catalogue
from ingest.store.database import Database, load_queries
from ingest.store.sites import import_site
from metering.clock import ClockQuality, ClockState
from metering.envelope import Envelope, chain_digest, digest_of, parse_sealed, seal
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.reading import MeterReading, ReadQuality
from provisioning.keys import FileSigner
from tests.bench.whole_close.estate import CALENDAR, MONTH, PROFILE, SITE, SLOTS, STEP_WH, UNITS_ON_PORT, Estate

WORKERS = 2
IMPORTED_AT = datetime(2026, 6, 1, tzinfo=UTC)
RECEIVED_AT = datetime(2026, 8, 1, tzinfo=UTC)
SETTLED_AT = RECEIVED_AT + timedelta(hours=1)
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_DAY = 96
_PG_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_COPY = "COPY {} FROM STDIN (FORMAT BINARY)"
_SETTLED = "settled_days (site, node, obis, day, energy, quality, exceptions, inputs_hash, settled_at)"
_READINGS = (
    "readings (meter, due_at, aligned, started_at, read_at, quality, profile_hash, group_index, mantissas, "
    "gateway, epoch, seq)"
)
_LEDGER = "ledger (gateway, epoch, seq, digest, previous_hash, received_at, refused)"
_ENVELOPES = "envelopes (gateway, epoch, seq, received_at, octets)"


def fill(database: Database, dsn: str, estate: Estate) -> None:
    """Import the estate, register its gateways, and copy in what its month left behind."""
    site = estate.site()
    with database.transaction() as connection:
        import_site(connection, site, estate.rules(), imported_at=IMPORTED_AT)
        for gateway in site.gateways:
            _enrol(connection, gateway.id)
    main = np.zeros((2, SLOTS), np.int64)
    with get_context("spawn").Pool(WORKERS) as pool:
        for total in pool.imap_unordered(partial(_fill_building, dsn, estate), range(estate.buildings)):
            main[0] += total
    with psycopg.connect(dsn) as connection:
        _copy(connection, _SETTLED, _settled_rows(["m000000"], main[:1]))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT" if connection.info.user == "postgres" else "SELECT 1")


def signer_of(gateway: str) -> FileSigner:
    """The key of a gateway."""
    return FileSigner.from_seed(digest_of(gateway.encode()))


def _enrol(connection: Any, gateway: GatewayId) -> None:
    queries, signer = load_queries("gateways"), signer_of(gateway)
    row = {"gateway": gateway, "site": SITE, "epoch": 1, "enrolled_at": IMPORTED_AT, "key_id": signer.key_id}
    row |= {"algorithm": int(signer.algorithm), "public_key": signer.public_key, "bundle_hash": bytes(32)}
    connection.execute(queries["put_gateway"], row)
    connection.execute(queries["add_key"], row)


def _fill_building(dsn: str, estate: Estate, building: int) -> Any:
    energy = estate.energy_of(building)
    with psycopg.connect(dsn) as connection:
        _copy(connection, _SETTLED, _settled_rows(estate.nodes_of(building), energy))
        ledger, envelopes, readings = zip(*_sealed_rows(estate, building), strict=True)
        _copy(connection, _LEDGER, b"".join(ledger))
        _copy(connection, _ENVELOPES, b"".join(envelopes))
        _copy(connection, _READINGS, b"".join(readings))
    return energy[0]


def _copy(connection: Any, into: str, rows: bytes) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(into)) as copy:
        copy.write(_HEAD)
        copy.write(rows)
        copy.write(_TAIL)


def _settled_rows(nodes: list[str], energy: Any) -> bytes:
    """Import and export of each node and day; export is 0, as these meters count it and nobody feeds in."""
    days = CALENDAR.days(MONTH)
    rows = np.zeros((len(nodes), 2, len(days)), _settled_type())
    _field(rows, "fields", 9)
    _text(rows, "site", np.full(rows.shape, SITE.encode()))
    _text(rows, "node", np.array([node.encode() for node in nodes])[:, None, None])
    _text(rows, "obis", np.array([str(one).encode() for one in (ENERGY_IMPORT, ENERGY_EXPORT)])[None, :, None])
    _text(rows, "day", np.array([(day - date(2000, 1, 1)).days for day in days])[None, None, :])
    for name, oid in (("energy", 20), ("quality", 21)):
        _field(rows, f"{name}_octets", rows.dtype[f"{name}"].itemsize + 20)
        _field(rows, f"{name}_head", np.array([1, 0, oid, _DAY, 1]))
        rows[name]["length"] = rows.dtype[name].base["number"].itemsize
    rows["energy"]["number"][:, 0] = energy.reshape(len(nodes), len(days), _DAY)
    _text(rows, "exceptions", np.full(rows.shape, b"\x01[]"))
    _text(rows, "inputs_hash", np.full(rows.shape, b"h" * 32))
    _text(rows, "settled_at", _micros(SETTLED_AT))
    return rows.tobytes()


def _settled_type() -> np.dtype[Any]:
    def array(number: str) -> Any:
        return np.dtype([("length", ">i4"), ("number", number)]), (_DAY,)

    return np.dtype(
        [
            ("fields", ">i2"),
            *(("site_octets", ">i4"), ("site", f"S{len(SITE)}"), ("node_octets", ">i4"), ("node", "S7")),
            *(("obis_octets", ">i4"), ("obis", f"S{len(str(ENERGY_IMPORT))}"), ("day_octets", ">i4"), ("day", ">i4")),
            *(("energy_octets", ">i4"), ("energy_head", ">i4", 5), ("energy", *array(">i8"))),
            *(("quality_octets", ">i4"), ("quality_head", ">i4", 5), ("quality", *array(">i2"))),
            *(
                ("exceptions_octets", ">i4"),
                ("exceptions", "S3"),
                ("inputs_hash_octets", ">i4"),
                ("inputs_hash", "S32"),
            ),
            *(("settled_at_octets", ">i4"), ("settled_at", ">i8")),
        ]
    )


def _text(rows: Any, name: str, content: Any) -> None:
    _field(rows, f"{name}_octets", rows.dtype[name].itemsize)
    _field(rows, name, content)


def _field(rows: Any, name: str, content: Any) -> None:
    rows[name] = content


def _micros(instant: datetime) -> int:
    return (instant - _PG_EPOCH) // timedelta(microseconds=1)


@cache
def _profile() -> tuple[bytes, int]:
    profile = Catalogue.shipped().by_id(PROFILE)
    return profile.hash, profile.group("billing").index


def _sealed_rows(estate: Estate, building: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """One envelope a port and mark, in one chain per gateway; give its rows of ledger, envelopes and readings."""
    gateway, signer = f"g{building:06d}", signer_of(f"g{building:06d}")
    registers, units = estate.registers_of(building) // STEP_WH, estate.nodes_of(building)[6:56]
    previous, seq = bytes(32), 0
    for mark in estate.marks():
        slot = (mark - MONTH.start) // SLOT
        for first in range(0, len(units), UNITS_ON_PORT):
            seq += 1
            envelope = _envelope(gateway, seq, previous, mark, units[first:], registers[first:, slot])
            octets = seal(envelope, signer)
            place = _fields(gateway.encode(), struct.pack(">i", 1), struct.pack(">q", seq))
            received = struct.pack(">q", _micros(RECEIVED_AT))
            digest = chain_digest(octets)
            ledger = b"\0\7" + place + _fields(digest, previous, received) + b"\xff" * 4
            kept = b"\0\5" + place + _fields(received, octets)
            yield ledger, kept, b"".join(_reading_row(one, mark, place) for one in envelope.readings)
            previous = digest


def _envelope(gateway: str, seq: int, previous: bytes, mark: datetime, units: list[str], shown: Any) -> Envelope:
    profile, group = _profile()
    readings = tuple(
        MeterReading(
            *(MeterId(f"m-{unit}"), profile, group, mark, mark + timedelta(seconds=1), ReadQuality.MEASURED),
            (int(mantissa), 0),
        )
        for unit, mantissa in zip(units[:UNITS_ON_PORT], shown, strict=False)
    )
    clock = ClockState(ClockQuality.SYNCHRONISED, 0)
    sealed_at = mark + timedelta(seconds=2)
    return Envelope(GatewayId(gateway), 1, seq, previous, bytes(16), sealed_at, clock, mark, readings)


def _reading_row(reading: MeterReading, mark: datetime, place: bytes) -> bytes:
    started, ended = (struct.pack(">q", _micros(one)) for one in (reading.started_at, reading.ended_at))
    numbers = struct.pack(">5i", 1, 0, 20, 2, 1) + b"".join(
        struct.pack(">iq", 8, one or 0) for one in reading.mantissas
    )
    return b"\0\14" + _fields(
        *(reading.meter.encode(), struct.pack(">q", _micros(mark)), b"\1", started, ended, b"\0\0"),
        *(reading.profile_hash, struct.pack(">h", reading.group), numbers),
    ) + place  # fmt: skip


def _fields(*contents: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(one)) + one for one in contents)


def fingerprint(octets: bytes) -> str:
    """The first 16 digits of a SHA-256."""
    return hashlib.sha256(octets).hexdigest()[:16]


__all__ = ["fill", "fingerprint", "parse_sealed", "signer_of"]
