"""Certificates of gateways, and signing keys that hand over. Functions take an open transaction.

Whoever gives a certificate or a key takes the gateway's lock first (`hold`). A certificate is revoked when the epoch it
was given in is (`revocations.py`): there is one registry, and nothing to forget in a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from ingest.store.database import Connection, load_queries
from metering.envelope import Algorithm, digest_of
from metering.identity import GatewayId, SiteId
from provisioning.authority import Revoked
from provisioning.keys import KeyLevel, PublicVerifier, public_verifier
from provisioning.renewal import Issued
from provisioning.rollover import KeyState, Rollover

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EpochKey:
    """The key of an epoch. `is_ended`: it has handed over to another; `revoked_at`: it counts no more."""

    verifier: PublicVerifier
    site: SiteId
    revoked_at: datetime | None
    is_ended: bool


@dataclass(frozen=True, slots=True)
class KeptCertificate:
    """A certificate as histories show it. `renews`: digest of the one before."""

    serial: str
    epoch: int
    issued_at: datetime
    ends_at: datetime
    revoked_at: datetime | None
    digest: bytes
    renews: bytes | None


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What is known of the key of an epoch: where its gateway says it is kept, and the last seq it may sign."""

    epoch: int
    level: str | None
    last_seq: int | None


def key_facts(connection: Connection, gateway: GatewayId) -> tuple[KeyFacts, ...]:
    """Give the keys of a gateway, the newest epoch first."""
    rows = connection.execute(load_queries("certificates")["key_facts"], {"gateway": gateway})
    return tuple(KeyFacts(*row) for row in rows)


def hold(connection: Connection, gateway: GatewayId) -> None:
    """Let nobody else enrol, renew or hand over for `gateway` until the transaction ends."""
    connection.execute(load_queries("gateways")["lock_gateway"], {"gateway": gateway})


def key_of_epoch(connection: Connection, gateway: GatewayId, epoch: int) -> EpochKey | None:
    """Find the key that signs for a gateway in an epoch."""
    wanted = {"gateway": gateway, "epoch": epoch}
    row = connection.execute(load_queries("certificates")["key_of_epoch"], wanted).fetchone()
    if row is None:
        return None
    algorithm, public_key, site, revoked_at, is_ended = row
    return EpochKey(public_verifier(Algorithm(algorithm), bytes(public_key)), SiteId(site), revoked_at, is_ended)


def chain_of_request(connection: Connection, gateway: GatewayId, csr_digest: bytes) -> tuple[bytes, ...]:
    """Give the chain that a request was answered with; () before."""
    wanted = {"gateway": gateway, "csr_digest": csr_digest}
    row = connection.execute(load_queries("certificates")["certificate_of_request"], wanted).fetchone()
    return () if row is None else tuple(map(bytes, row[0]))


def issued(connection: Connection, certificate: bytes, csr_digest: bytes) -> Issued | None:
    """Find a certificate that a gateway shows (DER), on behalf of a request; None where we never gave it."""
    digest = digest_of(certificate)
    wanted = {"digest": digest, "csr_digest": csr_digest}
    row = connection.execute(load_queries("certificates")["certificate_kept"], wanted).fetchone()
    if row is None:
        return None
    gateway, ends_at, revoked_at, renewed_by = row
    return Issued(GatewayId(gateway), digest, ends_at, revoked_at, None if renewed_by is None else bytes(renewed_by))


def counted(connection: Connection, gateway: GatewayId, now: datetime) -> tuple[int, int]:
    """Say how many certificates a gateway got ever, and within a day."""
    wanted = {"gateway": gateway, "since": now - _DAY}
    row = connection.execute(load_queries("certificates")["certificates_counted"], wanted).fetchone()
    assert row is not None
    return row[0], row[1]


def add_certificate(
    connection: Connection,
    gateway: GatewayId,
    epoch: int,
    *,
    csr_digest: bytes,
    chain: Sequence[bytes],
    renews: bytes | None,
    now: datetime,
) -> x509.Certificate:
    """Keep a certificate that was given; gives it, read."""
    own = x509.load_der_x509_certificate(chain[0])
    row = {
        "digest": digest_of(chain[0]),
        "gateway": gateway,
        "epoch": epoch,
        "serial": f"{own.serial_number:x}",
        "csr_digest": csr_digest,
        "chain": list(chain),
        "issued_at": now,
        "ends_at": own.not_valid_after_utc,
        "renews": renews,
    }
    connection.execute(load_queries("certificates")["add_certificate"], row)
    return own


def revoked(connection: Connection, now: datetime) -> tuple[Revoked, ...]:
    """Give what the list of revoked certificates has to name."""
    rows = connection.execute(load_queries("certificates")["revoked_certificates"], {"now": now})
    return tuple(Revoked(int(serial, 16), revoked_at) for serial, revoked_at in rows)


def certificates_of(connection: Connection, gateway: GatewayId) -> tuple[KeptCertificate, ...]:
    """Give every certificate of a gateway, oldest first."""
    rows = connection.execute(load_queries("certificates")["certificates_of"], {"gateway": gateway})
    return tuple(
        KeptCertificate(serial, epoch, issued_at, ends_at, revoked_at, bytes(digest), renews and bytes(renews))
        for serial, epoch, issued_at, ends_at, revoked_at, digest, renews in rows
    )


def certificates_ending(connection: Connection, before: datetime) -> tuple[tuple[GatewayId, datetime], ...]:
    """Give the gateways whose certificate ends by then, or did, each with the end of its last one."""
    rows = connection.execute(load_queries("certificates")["certificates_ending"], {"before": before})
    return tuple((GatewayId(gateway), ends_at) for gateway, ends_at in rows)


def gateways_let_in(connection: Connection) -> tuple[GatewayId, ...]:
    """Give the gateways whose newest epoch counts."""
    return tuple(GatewayId(name) for (name,) in connection.execute(load_queries("certificates")["gateways_let_in"]))


def key_state(connection: Connection, gateway: GatewayId, epoch: int) -> KeyState | None:
    """Give how the registry has an epoch, and hold it until the transaction ends."""
    wanted = {"gateway": gateway, "epoch": epoch}
    row = connection.execute(load_queries("certificates")["key_state"], wanted).fetchone()
    if row is None:
        return None
    rolled_by, newest, highest_seq = row
    return KeyState(newest, highest_seq, None if rolled_by is None else bytes(rolled_by))


def end_key(connection: Connection, gateway: GatewayId, epoch: int, *, last_seq: int, rolled_by: bytes) -> None:
    """Let the key of an epoch sign nothing beyond `last_seq`."""
    row = {"gateway": gateway, "epoch": epoch, "last_seq": last_seq, "rolled_by": rolled_by}
    connection.execute(load_queries("certificates")["end_key"], row)


def begin_key(connection: Connection, rollover: Rollover, site: SiteId, now: datetime) -> None:
    """Register the key that was handed over to, with its epoch; seq 1 of it names the statement."""
    handover, key = rollover.handover, rollover.new_key
    row = {
        "gateway": handover.gateway,
        "site": site,
        "epoch": handover.new_epoch,
        "key_id": key.key_id,
        "algorithm": int(key.algorithm),
        "public_key": key.public_key,
        "bundle_hash": rollover.digest,
        "enrolled_at": now,
    }
    queries = load_queries("gateways")
    connection.execute(queries["put_gateway"], row)
    connection.execute(queries["add_key"], row)


def set_key_level(connection: Connection, gateway: GatewayId, epoch: int, level: KeyLevel) -> None:
    """Note where a gateway says that it keeps its key."""
    row = {"gateway": gateway, "epoch": epoch, "key_level": str(level)}
    connection.execute(load_queries("certificates")["set_key_level"], row)
