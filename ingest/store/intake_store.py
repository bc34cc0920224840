"""The store behind intake: one group of envelopes in one PostgreSQL transaction.

The rows of `chain_heads` are the locks: a group holds those of its chains from its first look at the ledger to its
commit, so two workers never judge the same chain at once, and the ledger's key is only the last line of defence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from ingest.ports import (
    ChainAdvance,
    ChainState,
    Entry,
    GatewayEpoch,
    GatewayKey,
    IntakeGroup,
    LedgerEntry,
    Loss,
    LossEntry,
    Quarantined,
    Standing,
    StoreRefused,
    StoreUnreachable,
)
from ingest.store import backup_log, gateways, sites
from ingest.store.database import Connection, Database, DatabaseUnreachable, load_queries
from ingest.store.gateway_reports import due_orders, enter_reports, has_readings
from ingest.store.reading_rows import COPY_BEGIN, COPY_END, reading_rows, unsettled_days
from ingest.store.revocations import revoked_of
from ingest.sweeps import Opened, Sweep, meters_of, sweep_of
from metering.envelope import from_ms
from metering.identity import GatewayId, KeyId, MeterId, SiteId
from provisioning.site import Span

UNPROVEN_MAX = 2000
"""Unproven messages kept in quarantine: at 256 KiB each at most 0.5 GiB of disk for an attacker."""
COPY_OCTETS = 256 << 10
"""Octets handed to libpq at once: it would keep a copy of all that PostgreSQL has not taken yet."""
REFUSED_MAX = 100
"""Refusals named in a receipt: 3 KiB, so that a receipt stays one packet or two."""

PARTITIONS = "metertree_partitions"
"""The schema of the partitions; see partitions.sql."""

_LEDGER_TYPES = ("text", "int4", "int8", "bytea", "bytea", "timestamptz", "text")
_ENVELOPE_TYPES = ("text", "int4", "int8", "timestamptz", "bytea")

Wiring = Mapping[MeterId, Span]


class PostgresIntakeStore:
    """The books of intake in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wirings = _Wirings()

    def keys(self, key_ids: Collection[KeyId], gateway_ids: Collection[GatewayId]) -> Sequence[GatewayKey]:
        """Give every registered key with one of `key_ids` or of one of `gateway_ids`; raises StoreUnreachable."""
        with _wrapped_errors(), self._database.transaction() as connection:
            return gateways.keys(connection, key_ids, gateway_ids)

    def digests(self, places: Collection[tuple[GatewayEpoch, int]]) -> Mapping[tuple[GatewayEpoch, int], bytes]:
        """Give SHA-256 of the message that is in the books at each of `places`; raises StoreUnreachable."""
        if not places:
            return {}
        with _wrapped_errors(), self._database.transaction() as connection:
            rows = connection.execute(load_queries("intake")["message_digests"], _places(places))
            return {(GatewayEpoch(GatewayId(row[0]), row[1]), row[2]): bytes(row[3]) for row in rows}

    @contextmanager
    def group(self) -> Iterator[IntakeGroup]:
        """Open a transaction; leaving it raises StoreUnreachable or StoreRefused if it was not committed."""
        with _wrapped_errors(), self._database.transaction() as connection:
            yield PostgresGroup(connection, self._wirings)


class PostgresGroup:
    """One transaction of intake."""

    def __init__(self, connection: Connection, wirings: _Wirings) -> None:
        self._connection = connection
        self._queries = load_queries("intake")
        self._wirings = wirings

    @property
    def connection(self) -> Connection:
        """The connection that holds the transaction."""
        return self._connection

    def lock_chains(self, seqs: Mapping[GatewayEpoch, Collection[int]]) -> Mapping[GatewayEpoch, ChainState]:
        """Give the chains as stored, with the entries at `seqs`, and hold them until the commit."""
        if not seqs:
            return {}
        chains = _columns(seqs)
        self._execute("begin_chains", chains)
        heads = self._execute("lock_chains", chains).fetchall()
        entries, losses = self._entries(seqs), self._open_losses(chains)
        # Asked under the lock that `revoke` takes: what is committed after a revocation has seen it.
        revoked = revoked_of(self._connection, seqs)
        return {
            owner: ChainState(
                *(contiguous_seq, bytes(head_hash), highest_seq, entries[owner]),
                losses=losses.get(owner, ()),
                is_revoked=owner in revoked,
            )
            for gateway, epoch, contiguous_seq, head_hash, highest_seq in heads
            for owner in (GatewayEpoch(GatewayId(gateway), epoch),)
        }

    def wiring(self, gateway_ids: Collection[GatewayId]) -> Mapping[GatewayId, Wiring]:
        """Say which meters each gateway may report, and when, by the newest version of its site."""
        rows = self._execute("sites_of_gateways", {"gateways": list(gateway_ids)}) if gateway_ids else ()
        found: dict[GatewayId, Wiring] = {gateway: {} for gateway in gateway_ids}
        for gateway, site, version in rows:
            if version is not None:
                found[GatewayId(gateway)] = self._wirings.of(
                    self._connection, GatewayId(gateway), SiteId(site), version
                )
        return found

    def following(self, chain: GatewayEpoch, seq: int, most: int) -> Sequence[tuple[int, bytes]]:
        """List seq and digest of the next stored envelopes above `seq`, in order, at most `most`."""
        wanted = {"gateway": chain.gateway, "epoch": chain.epoch, "seq": seq, "most": most}
        return [(found, bytes(digest)) for found, digest in self._execute("following", wanted)]

    def enter(self, entries: Sequence[Entry]) -> None:
        """Write ledger rows; for those not refused also octets and readings, and mark their days as unsettled."""
        if not entries:
            return
        accepted = [entry for entry in entries if entry.refused is None]
        self._copy("copy_ledger", _LEDGER_TYPES, (_ledger_row(entry) for entry in entries))
        if accepted:
            self._write(accepted)

    def admit(self, entry: Entry) -> None:
        """Enter an envelope whose place the ledger holds as refused; `lock_chains` has been called for its chain."""
        head = entry.sealed.head
        place = {"gateway": head.gateway, "epoch": head.epoch, "seq": head.seq}
        self._execute("admit_ledger", place)
        self._execute("admit_head", place | {"mark": head.mark})
        self._write([entry])

    def _write(self, accepted: Sequence[Entry]) -> None:
        """Write octets and readings, and mark their days as unsettled. What has no date yet waits for its anchor."""
        self._copy("copy_envelopes", _ENVELOPE_TYPES, (_envelope_row(entry) for entry in accepted))
        sweeps = [_sweep_of(entry.sealed) for entry in accepted if has_readings(entry.sealed.head)]
        others = [entry for entry in accepted if not has_readings(entry.sealed.head)]
        self._copy_readings(sweeps)
        unsettled = unsettled_days(sweeps)
        wirings = self.wiring({entry.sealed.head.gateway for entry in others})
        for dated in enter_reports(self._connection, others, partial(_is_bound, wirings)):
            self._copy_readings(dated)
            unsettled |= unsettled_days(dated)
        days = sorted(unsettled)
        if days:
            columns = {"meters": [meter for meter, _ in days], "days": [day for _, day in days]}
            self._execute("add_unsettled_days", columns)

    def enter_losses(self, losses: Sequence[LossEntry]) -> None:
        """Keep tombstones; the same run twice is one."""
        for one in losses:
            names = ("gateway", "epoch", "first_seq", "last_seq", "last_digest", "first_mark", "last_mark")
            row = {name: getattr(one.stone, name) for name in names}
            row |= {"cause": str(one.stone.cause), "received_at": one.received_at, "octets": one.octets}
            self._execute("enter_loss", row)

    def quarantine(self, refusals: Sequence[Quarantined]) -> None:
        """Keep what could not be accepted; a repeat is counted. Unproven ones are bounded, the oldest go first."""
        for refusal in sorted(refusals, key=lambda refusal: (refusal.digest, refusal.reason, refusal.topic)):
            self._execute("quarantine", _quarantine_row(refusal))
        if any(not refusal.proven for refusal in refusals):
            self._execute("bound_unproven", {"most": UNPROVEN_MAX})

    def raise_alarm(self, kind: str, chain: GatewayEpoch, seq: int, detail: Mapping[str, str], at: datetime) -> None:
        """Note what a person must look at; the same alarm twice is one."""
        row = {"raised_at": at, "kind": kind, "gateway": chain.gateway, "epoch": chain.epoch, "seq": seq}
        self._execute("raise_alarm", row | {"detail": Jsonb(dict(detail))})

    def advance(self, chains: Mapping[GatewayEpoch, ChainAdvance]) -> None:
        """Write new heads."""
        if not chains:
            return
        advances = [chains[owner] for owner in sorted(chains)]
        rows = {name: [getattr(advance, name) for advance in advances] for name in ChainAdvance.__slots__}
        self._execute("advance_chains", rows | _columns(chains))

    def refused(self, chains: Collection[GatewayEpoch]) -> Mapping[GatewayEpoch, tuple[tuple[int, str], ...]]:
        """Give the newest refused seqs of each chain with their reasons, at most 100, by seq."""
        found: dict[GatewayEpoch, list[tuple[int, str]]] = {}
        if chains:
            for gateway, epoch, seq, reason in self._execute("refused", {**_columns(chains), "most": REFUSED_MAX}):
                found.setdefault(GatewayEpoch(GatewayId(gateway), epoch), []).append((seq, reason))
        return {owner: tuple(items) for owner, items in found.items()}

    def due_resends(self, now: datetime, most: int) -> Sequence[Standing]:
        """Give chains whose gateways are to be told again how far the books go; each is given to one worker."""
        return backup_log.due_requests(self._connection, now, most)

    def _open_losses(self, chains: Mapping[str, Any]) -> dict[GatewayEpoch, tuple[Loss, ...]]:
        found: dict[GatewayEpoch, list[Loss]] = {}
        for gateway, epoch, first_seq, last_seq, digest in self._execute("open_losses", chains):
            owner = GatewayEpoch(GatewayId(gateway), epoch)
            found.setdefault(owner, []).append(Loss(first_seq, last_seq, bytes(digest)))
        return {owner: tuple(losses) for owner, losses in found.items()}

    def due_orders(self, now: datetime, most: int) -> Sequence[tuple[GatewayId, bytes]]:
        """Give settings that are to be sent now; each order is given to one worker."""
        return due_orders(self._connection, now, most)

    def _entries(self, seqs: Mapping[GatewayEpoch, Collection[int]]) -> dict[GatewayEpoch, dict[int, LedgerEntry]]:
        columns = _places([(owner, seq) for owner, each in seqs.items() for seq in each])
        found: dict[GatewayEpoch, dict[int, LedgerEntry]] = {owner: {} for owner in seqs}
        for gateway, epoch, seq, digest, previous_hash in self._execute("ledger_entries", columns):
            owner = GatewayEpoch(GatewayId(gateway), epoch)
            found[owner][seq] = LedgerEntry(bytes(digest), bytes(previous_hash))
        return found

    def _execute(self, query: str, arguments: Mapping[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(self._queries[query], arguments)

    def _copy(self, query: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(self._queries[query]) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def _copy_readings(self, sweeps: Sequence[Sweep]) -> None:
        openings: dict[int, list[Sweep]] = {}
        for sweep in sweeps:
            openings.setdefault(id(sweep.columns), []).append(sweep)
        with self._connection.cursor() as cursor, cursor.copy(self._queries["copy_readings"]) as copy:
            copy.write(COPY_BEGIN)
            for opened in openings.values():
                rows = reading_rows(opened).data
                for at in range(0, len(rows), COPY_OCTETS):
                    copy.write(rows[at : at + COPY_OCTETS])
            copy.write(COPY_END)


class _Wirings:
    """Which gateway reads which meters, kept per version of a site: a version never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[SiteId, int], dict[GatewayId, Wiring]] = {}

    def of(self, connection: Connection, gateway: GatewayId, site: SiteId, version: int) -> Wiring:
        """Give the wiring of one gateway in one version of its site."""
        if (site, version) not in self._known:
            document = sites.site_version(connection, site, version).site
            self._known = {place: wiring for place, wiring in self._known.items() if place[0] != site}
            self._known[site, version] = {
                one.id: {meter.id: meter.span for meter in document.meters_of(one.id)} for one in document.gateways
            }
        return self._known[site, version].get(gateway, {})


@contextmanager
def _wrapped_errors() -> Iterator[None]:
    """Say in the words of the port what PostgreSQL said."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachable) as error:
        raise StoreUnreachable(str(error).strip()) from error
    except psycopg.errors.CheckViolation as error:
        if error.diag.schema_name == PARTITIONS:
            # Rows that were routed to the partition of everything else while their month got one of its own.
            raise StoreUnreachable(f"a month is being divided: {str(error).strip()}") from error
        raise StoreRefused(str(error).strip()) from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise StoreRefused(str(error).strip()) from error


def _places(places: Collection[tuple[GatewayEpoch, int]]) -> dict[str, list[Any]]:
    return {
        "gateways": [owner.gateway for owner, _ in places],
        "epochs": [owner.epoch for owner, _ in places],
        "seqs": [seq for _, seq in places],
    }


def _columns(chains: Collection[GatewayEpoch]) -> dict[str, list[Any]]:
    ordered = sorted(chains)
    return {"gateways": [owner.gateway for owner in ordered], "epochs": [owner.epoch for owner in ordered]}


def _ledger_row(entry: Entry) -> tuple[Any, ...]:
    head = entry.sealed.head
    place = (head.gateway, head.epoch, head.seq)
    return (*place, entry.sealed.digest, head.previous_hash, entry.received_at, entry.refused)


def _envelope_row(entry: Entry) -> tuple[Any, ...]:
    head = entry.sealed.head
    return (head.gateway, head.epoch, head.seq, entry.received_at, entry.sealed.octets)


def _is_bound(wirings: Mapping[GatewayId, Wiring], sweep: Sweep) -> bool:
    """Say whether the gateway reads these meters at the times of their readings."""
    wiring = wirings[sweep.head.gateway]
    spans = (wiring.get(meter) for meter in meters_of(sweep.roster))
    ended_ms = sweep.readings["ended_ms"].tolist()
    return all(span is not None and from_ms(at) in span for span, at in zip(spans, ended_ms, strict=True))


def _sweep_of(sealed: Opened) -> Sweep:
    """Give its columns to an envelope that was opened as objects."""
    if isinstance(sealed, Sweep):
        return sealed
    sweep = sweep_of(sealed)
    if sweep is None:
        raise StoreRefused(f"seq {sealed.head.seq} of {sealed.head.gateway} cannot be taken apart into columns")
    return sweep


def _quarantine_row(refusal: Quarantined) -> dict[str, Any]:
    owner, seq = refusal.claim if refusal.claim is not None else (None, None)
    return {
        "digest": refusal.digest,
        "reason": refusal.reason,
        "detail": refusal.detail.replace("\0", "\\0"),
        "proven": refusal.proven,
        "topic": refusal.topic.replace("\0", "\\0"),
        "gateway": None if owner is None else owner.gateway,
        "epoch": None if owner is None else owner.epoch,
        "seq": seq,
        "octets": refusal.octets,
        "received_at": refusal.received_at,
    }
