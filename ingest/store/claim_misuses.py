"""Rightful claims in wrong hands: presented by a second machine, or for another gateway.

A claim is 130 random bits, so whoever presents a rightful one was given it, or took it. Which of two machines is the
genuine one nobody can tell from here: both fingerprints are kept, and a person compares them with the gateway's
display. Functions take an open transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ingest.audit_log import Verb
from ingest.caller import STRANGER, acting, present
from ingest.store.audit import note
from ingest.store.database import Connection, load_queries
from metering.identity import GatewayId
from provisioning.enrolment import Bundle, InstallOrder

MISUSES = frozenset({"claim-used", "gateway-mismatch"})
"""Refusals of a rightful claim that an honest engineer does not meet; an order that has lapsed, he may."""
KEPT_MAX = 100
"""Of one order: whoever has its claim can make as many keys as he likes."""


@dataclass(frozen=True, slots=True)
class Misuse:
    """One machine that presented a claim it should not have had, or a second time.

    order     whose claim; `gateway` is the one it was given for
    named     the gateway the machine said it is
    key_id    of the machine's key, `winner` that of the key which was registered by this claim; None if none was
    address   where it called from
    """

    order: str
    gateway: GatewayId
    named: str
    key_id: bytes
    winner: bytes | None
    reason: str
    address: str
    first_at: datetime
    last_at: datetime
    times: int


def note_misuse(connection: Connection, order: InstallOrder, bundle: Bundle, reason: str, now: datetime) -> None:
    """Keep that a rightful claim was refused, if no honest use explains it: the same machine may well ask twice."""
    if reason not in MISUSES:
        return
    queries = load_queries("claim_misuses")
    winner = connection.execute(queries["winner_of_order"], {"order": order.order}).fetchone()
    if winner is not None and bytes(winner[0]) == bundle.key_id and bundle.gateway == order.gateway:
        return
    row = {
        "order": order.order,
        "bundle_hash": bundle.digest,
        "reason": reason,
        "gateway": bundle.gateway,
        "key_id": bundle.key_id,
        "address": present().where,
        "now": now,
        "most": KEPT_MAX,
    }
    counted = connection.execute(queries["note_misuse"], row).fetchone()
    if counted == (1,):
        after = {"order": order.order, "reason": reason, "key_id": bundle.key_id.hex(), "named": bundle.gateway}
        touches = (f"order/{order.order}",)
        with acting(replace(present(), name=STRANGER)):
            note(connection, Verb.CLAIM_MISUSED, f"gateway/{order.gateway}", after=after, touches=touches)


def misuses(connection: Connection, gateway: GatewayId | None = None) -> tuple[Misuse, ...]:
    """List them, of claims given for one gateway or of all, oldest first."""
    rows = connection.execute(load_queries("claim_misuses")["misuses"], {"gateway": gateway})
    return tuple(
        Misuse(order, GatewayId(given), named, bytes(key_id), None if winner is None else bytes(winner), *rest)
        for order, given, named, key_id, winner, *rest in rows
    )
