"""One view on a store for the tests both stores must pass: the double in memory and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol

import psycopg

from device_profiles.profile import Protocol as Line
from ingest.ports import GatewayEpoch, IntakeStore
from ingest.store.database import Database, load_queries
from ingest.store.intake_store import PostgresIntakeStore
from ingest.store.sites import import_site
from metering.identity import GatewayId, MeterId, NodeId, PortId, SiteId
from metering.interval import SiteCalendar
from provisioning import site as site_model
from provisioning.site import Names, Span
from tests.doubles.chains import METERS, Gateway
from tests.doubles.intake import MemoryStore

NOW = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Head:
    """How far a chain has come."""

    contiguous_seq: int
    head_hash: bytes
    highest_seq: int
    newest_mark: datetime | None
    envelopes: int
    repeats: int


@dataclass(frozen=True)
class Seen:
    """What a store holds, in plain terms.

    ledger      (gateway, epoch, seq) -> digest, reason of refusal
    octets      (gateway, epoch, seq) -> sealed octets in the books
    readings    (gateway, epoch, seq, meter, mark or read_at, mantissas), sorted
    quarantine  (reason, proven, place, times), sorted
    """

    ledger: dict[tuple[str, int, int], tuple[bytes, str | None]]
    octets: dict[tuple[str, int, int], bytes]
    readings: list[tuple[Any, ...]]
    heads: dict[GatewayEpoch, Head]
    quarantine: list[tuple[str, bool, tuple[str, int, int] | None, int]]
    alarms: list[tuple[str, str, int, int]]
    unsettled: dict[tuple[MeterId, date], int]


class StoreHarness(Protocol):
    """A store with what a test needs beside its port."""

    store: IntakeStore

    def enrol(self, *gateways: Gateway) -> None:
        """Register keys."""

    def wire(self, wirings: Mapping[GatewayId, Mapping[MeterId, Span]]) -> None:
        """Say which gateway reads which meters."""

    def see(self) -> Seen:
        """Look at everything."""


class MemoryHarness:
    """The double."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def enrol(self, *gateways: Gateway) -> None:
        """Register keys."""
        self.store.registered.extend(gateway.key for gateway in gateways)

    def wire(self, wirings: Mapping[GatewayId, Mapping[MeterId, Span]]) -> None:
        """Say which gateway reads which meters."""
        self.store.wirings = {gateway: dict(meters) for gateway, meters in wirings.items()}

    def see(self) -> Seen:
        """Look at everything."""
        books = self.store.books
        entries = [entry for chain in books.ledger.values() for entry in chain.values()]
        envelopes = [(entry, entry.sealed.envelope) for entry in entries]
        return Seen(
            ledger={(e.gateway, e.epoch, e.seq): (entry.sealed.digest, entry.refused) for entry, e in envelopes},
            octets={(e.gateway, e.epoch, e.seq): n.sealed.octets for n, e in envelopes if n.refused is None},
            readings=sorted(
                (e.gateway, e.epoch, e.seq, reading.meter, e.mark or reading.ended_at, reading.mantissas)
                for entry, e in envelopes
                if entry.refused is None
                for reading in e.readings
            ),
            heads={
                owner: Head(h.contiguous_seq, h.head_hash, h.highest_seq, h.newest_mark, h.envelopes, h.repeats)
                for owner, h in books.heads.items()
            },
            quarantine=_sorted(
                (str(one.reason), one.proven, None if one.claim is None else _place(*one.claim), times)
                for one, times in books.quarantine.values()
            ),
            alarms=sorted((kind, owner.gateway, owner.epoch, seq) for kind, owner, seq in books.alarms),
            unsettled=books.unsettled,
        )


class PostgresHarness:
    """The adapter on a fresh database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.store = PostgresIntakeStore(database)

    def enrol(self, *gateways: Gateway) -> None:
        """Register keys, as an enrolment does."""
        queries = load_queries("gateways")
        with self._database.transaction() as connection:
            for gateway in gateways:
                row = {
                    "gateway": gateway.id,
                    "site": "park",
                    "epoch": gateway.epoch,
                    "enrolled_at": NOW,
                    "key_id": gateway.signer.key_id,
                    "algorithm": int(gateway.signer.algorithm),
                    "public_key": gateway.signer.public_octets,
                    "bundle_hash": gateway.key.bundle_hash,
                }
                connection.execute(queries["put_gateway"], row)
                connection.execute(queries["add_key"], row)

    def wire(self, wirings: Mapping[GatewayId, Mapping[MeterId, Span]]) -> None:
        """Import a site of one node that is wired so."""
        with self._database.transaction() as connection:
            import_site(connection, small_site(wirings), {}, imported_at=NOW)

    def see(self) -> Seen:
        """Look at everything, straight in the tables."""
        with self._database.transaction() as connection:
            return _see(connection)


def _see(connection: psycopg.Connection[tuple[Any, ...]]) -> Seen:
    fetch = connection.execute
    return Seen(
        ledger={
            (gateway, epoch, seq): (bytes(digest), refused)
            for gateway, epoch, seq, digest, refused in fetch("SELECT gateway, epoch, seq, digest, refused FROM ledger")
        },
        octets={
            (gateway, epoch, seq): bytes(octets)
            for gateway, epoch, seq, octets in fetch("SELECT gateway, epoch, seq, octets FROM envelopes")
        },
        readings=sorted(
            (*row[:5], tuple(row[5]))
            for row in fetch("SELECT gateway, epoch, seq, meter, due_at, mantissas FROM readings")
        ),
        heads={
            GatewayEpoch(gateway, epoch): Head(contiguous, bytes(head_hash), highest, mark, envelopes, repeats)
            for gateway, epoch, contiguous, head_hash, highest, mark, envelopes, repeats in fetch(
                "SELECT gateway, epoch, contiguous_seq, head_hash, highest_seq, newest_mark, envelopes, repeats "
                "FROM chain_heads"
            )
        },
        quarantine=_sorted(
            (reason, proven, None if gateway is None else (gateway, epoch, seq), times)
            for reason, proven, gateway, epoch, seq, times in fetch(
                "SELECT reason, proven, gateway, epoch, seq, times FROM quarantine"
            )
        ),
        alarms=sorted(fetch("SELECT kind, gateway, epoch, seq FROM alarms").fetchall()),
        unsettled={
            (meter, day): arrivals for meter, day, arrivals in fetch("SELECT meter, day, arrivals FROM unsettled_days")
        },
    )


def _place(owner: GatewayEpoch, seq: int) -> tuple[str, int, int]:
    return (owner.gateway, owner.epoch, seq)


def _sorted(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return sorted(rows, key=repr)


def small_site(wirings: Mapping[GatewayId, Mapping[MeterId, Span]]) -> site_model.Site:
    """A site with one node, at which every meter of `wirings` hangs."""
    names = Names("园", "park")
    node = site_model.Node(NodeId("main"), site_model.NodeKind.MAIN, (), names, "1")
    return site_model.Site(
        id=SiteId("park"),
        names=names,
        calendar=SiteCalendar("Asia/Shanghai"),
        currency="CNY",
        nodes=(node,),
        meters=tuple(
            site_model.Meter(
                id=meter,
                serial=f"s-{meter}",
                profile="eastron/sdm630",
                protocol=Line.MODBUS_TCP,
                port=PortId(f"port-{gateway}"),
                address=str(address),
                node=node.id,
                span=span,
                ct=1,
                pt=1,
            )
            for gateway, meters in wirings.items()
            for address, (meter, span) in enumerate(meters.items(), start=1)
        ),
        exchanges=(),
        units=(),
        parties=(),
        leases=(),
        gateways=tuple(site_model.Gateway(gateway, names) for gateway in wirings),
        ports=tuple(site_model.TcpPort(PortId(f"port-{gateway}"), gateway, "127.0.0.1", 502, 5) for gateway in wirings),
    )


def wired(*gateways: Gateway) -> dict[GatewayId, dict[MeterId, Span]]:
    """Every meter of the test envelopes, at every one of `gateways`."""
    return {gateway.id: dict(METERS) for gateway in gateways}
