"""Revocations: epochs of gateways whose keys count no more. Functions take an open transaction.

Intake asks for them in the transaction in which it commits, under the lock that `revoke` takes, so that no session of a
broker and no message that is on its way outlives a revocation.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from ingest.audit_log import Verb
from ingest.caller import Caller
from ingest.ports import GatewayEpoch
from ingest.store.audit import record
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import GatewayId


class RevocationRefused(BooksError):
    """There is nothing of this gateway that could be revoked, or nobody says why."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One epoch that counts no more."""

    gateway: GatewayId
    epoch: int
    revoked_at: datetime
    revoked_by: str
    reason: str


def revoke(
    connection: Connection, gateway: GatewayId, epoch: int | None, caller: Caller, reason: str, now: datetime
) -> tuple[Revocation, ...]:
    """Let one epoch of a gateway, or all it has (None), count no more, for good; give those that did until now.

    Once this is committed, nothing more that was signed in them enters the books. Raises RevocationRefused.
    """
    if not reason.strip():
        raise RevocationRefused("say why it is revoked: the reason is what others have to go by")
    queries = load_queries("revocations")
    connection.execute(load_queries("gateways")["lock_gateway"], {"gateway": gateway})
    known = [row[0] for row in connection.execute(queries["enrolled_epochs"], {"gateway": gateway})]
    wanted = [one for one in known if epoch in (None, one)]
    if not wanted:
        told = f"its epochs are {', '.join(map(str, known))}" if known else "list those that are: metertree fleet"
        which = "" if epoch is None else f" in epoch {epoch}"
        raise RevocationRefused(f"gateway {gateway} is not enrolled{which}; {told}")
    columns = {"gateways": [gateway] * len(wanted), "epochs": wanted}
    connection.execute(load_queries("intake")["lock_chains"], columns)
    done = []
    for one in wanted:
        row = {"gateway": gateway, "epoch": one, "at": now, "by": caller.name, "reason": reason.strip()}
        if connection.execute(queries["add_revocation"], row).fetchone() is not None:
            done.append(Revocation(gateway, one, now, caller.name, reason.strip()))
    for revoked in done:
        after = {"epoch": revoked.epoch, "standing": "revoked"}
        before = {"epoch": revoked.epoch, "standing": "in force"}
        act = caller.act(
            now, Verb.GATEWAY_REVOKED, f"gateway/{gateway}", before=before, after=after, reason=revoked.reason
        )
        record(connection, act)
    return tuple(done)


def revocations(connection: Connection, gateway: GatewayId | None = None) -> tuple[Revocation, ...]:
    """List the revocations of a gateway, or all, by gateway and epoch."""
    rows = connection.execute(load_queries("revocations")["revocations"], {"gateway": gateway})
    return tuple(Revocation(GatewayId(row[0]), *row[1:]) for row in rows)


def is_revoked(connection: Connection, gateway: GatewayId, epoch: int) -> bool:
    """Say whether an epoch counts no more."""
    return bool(revoked_of(connection, [GatewayEpoch(gateway, epoch)]))


def revoked_of(connection: Connection, owners: Collection[GatewayEpoch]) -> frozenset[GatewayEpoch]:
    """Give those of `owners` that count no more."""
    if not owners:
        return frozenset()
    columns = {"gateways": [one.gateway for one in owners], "epochs": [one.epoch for one in owners]}
    rows = connection.execute(load_queries("revocations")["revoked_of"], columns)
    return frozenset(GatewayEpoch(GatewayId(gateway), epoch) for gateway, epoch in rows)
