"""The registry: install orders, enrolled gateways and the key of each epoch. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.ports import GatewayEpoch, GatewayKey
from ingest.store.certificates import set_key_level
from ingest.store.claim_misuses import note_misuse
from ingest.store.database import Connection, load_queries
from ingest.store.revocations import is_revoked
from metering.envelope import Algorithm
from metering.identity import GatewayId, KeyId, SiteId
from provisioning.enrolment import Bundle, Enrolled, InstallOrder, Refused, decide
from provisioning.keys import public_verifier


@dataclass(frozen=True, slots=True)
class GatewayState:
    """An enrolled gateway and what has come from its newest epoch.

    contiguous_seq  every envelope up to here has arrived; a gap is open while highest_seq is above it
    envelopes       accepted; `repeats` arrived again, `refused` stand in quarantine
    """

    gateway: GatewayId
    site: SiteId
    epoch: int
    enrolled_at: datetime
    key_id: KeyId
    contiguous_seq: int
    highest_seq: int
    newest_mark: datetime | None
    envelopes: int
    repeats: int
    received_at: datetime | None
    refused: int


def add_order(connection: Connection, order: InstallOrder) -> None:
    """Keep a new install order."""
    connection.execute(
        load_queries("gateways")["add_order"],
        {
            "order": order.order,
            "site": order.site,
            "gateway": order.gateway,
            "engineer": order.engineer,
            "claim_hash": order.claim_hash,
            "claim_key": order.claim_key,
            "ordered_at": order.ordered_at,
            "expires_at": order.expires_at,
        },
    )


def enrol(connection: Connection, bundle: Bundle, now: datetime) -> Enrolled | Refused:
    """Decide about an opened bundle; if it is accepted, burn its claim and register its key, once."""
    queries = load_queries("gateways")
    connection.execute(queries["lock_gateway"], {"gateway": bundle.gateway})
    order = order_of_claim(connection, bundle.claim_hash, bundle.claim_key)
    row = connection.execute(queries["last_epoch"], {"gateway": bundle.gateway}).fetchone()
    outcome = decide(bundle, order, last_epoch=0 if row is None else row[0], now=now)
    if isinstance(outcome, Refused) and order is not None:
        note_misuse(connection, order, bundle, outcome.reason, now)
    elif isinstance(outcome, Enrolled) and not outcome.again:
        _record(connection, outcome, now)
    elif is_revoked(connection, bundle.gateway, bundle.epoch):
        return Refused("key-revoked", "this key counts no more: make a new order and enrol with a new epoch")
    return outcome


def order_of_claim(
    connection: Connection, claim_hash: bytes | None, claim_key: bytes | None = None
) -> InstallOrder | None:
    """Find the install order a claim or its key belongs to, and hold it until the transaction ends."""
    wanted = {"claim_hash": claim_hash, "claim_key": claim_key}
    row = connection.execute(load_queries("gateways")["order_of_claim"], wanted).fetchone()
    if row is None:
        return None
    order, site, gateway, engineer, ordered_at, expires_at, kept_hash, burned_at, burned_by, claim_key = row
    return InstallOrder(
        order=order,
        site=SiteId(site),
        gateway=GatewayId(gateway),
        engineer=engineer,
        ordered_at=ordered_at,
        expires_at=expires_at,
        claim_hash=bytes(kept_hash),
        burned_at=burned_at,
        burned_by=None if burned_by is None else bytes(burned_by),
        claim_key=None if claim_key is None else bytes(claim_key),
    )


def keys(connection: Connection, key_ids: Collection[KeyId], gateways: Collection[GatewayId]) -> list[GatewayKey]:
    """Give every key with one of `key_ids` or of one of `gateways`."""
    wanted = {"key_ids": list(key_ids), "gateways": list(gateways)}
    return [_key_from_row(row) for row in connection.execute(load_queries("gateways")["keys"], wanted)]


def gateway_states(connection: Connection) -> tuple[GatewayState, ...]:
    """Give every enrolled gateway, by id."""
    return _states(connection, None)


def gateway_state(connection: Connection, gateway: GatewayId) -> GatewayState | None:
    """Give one gateway, or None if it was never enrolled."""
    return next(iter(_states(connection, gateway)), None)


def _states(connection: Connection, gateway: GatewayId | None) -> tuple[GatewayState, ...]:
    rows = connection.execute(load_queries("gateways")["gateway_states"], {"gateway": gateway})
    return tuple(
        GatewayState(GatewayId(name), SiteId(site), epoch, enrolled_at, KeyId(bytes(key_id)), *counts)
        for name, site, epoch, enrolled_at, key_id, *counts in rows
    )


def _record(connection: Connection, enrolled: Enrolled, now: datetime) -> None:
    queries = load_queries("gateways")
    bundle, order = enrolled.bundle, enrolled.order
    connection.execute(
        queries["burn_order"], {"order": order.order, "burned_at": order.burned_at, "burned_by": order.burned_by}
    )
    row = {
        "gateway": bundle.gateway,
        "site": order.site,
        "epoch": bundle.epoch,
        "key_id": bundle.key_id,
        "algorithm": int(bundle.algorithm),
        "public_key": bundle.public_key,
        "bundle_hash": bundle.digest,
        "enrolled_at": now,
    }
    connection.execute(queries["put_gateway"], row)
    connection.execute(queries["add_key"], row)
    if bundle.survey is not None:
        set_key_level(connection, bundle.gateway, bundle.epoch, bundle.survey.key_level)


def _key_from_row(row: tuple[Any, ...]) -> GatewayKey:
    gateway, epoch, key_id, algorithm, public_key, bundle_hash, last_seq = row
    return GatewayKey(
        owner=GatewayEpoch(GatewayId(gateway), epoch),
        key_id=KeyId(bytes(key_id)),
        verifier=public_verifier(Algorithm(algorithm), bytes(public_key)),
        bundle_hash=bytes(bundle_hash),
        last_seq=last_seq,
    )
