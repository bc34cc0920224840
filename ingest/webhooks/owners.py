"""Who added an endpoint, and what he may be told now: an event goes nowhere that its reader could not ask for it."""

from __future__ import annotations

from typing import Any

from ingest.access.policy import Policy
from ingest.access.principal import Kind, Principal, admin_principal, site_scope
from ingest.caller import Caller
from ingest.event_kinds import KINDS, EventKind, Resource
from ingest.store.database import Connection
from ingest.store.events import NumberedEvent
from ingest.store.webhooks import owner_posts
from metering.identity import SiteId

PERMISSIONS = {
    Resource.RUN: "runs.read",
    Resource.STATEMENT: "statements.read",
    Resource.CHARGE: "charges.read",
    Resource.BINDING: "install.read",
    Resource.ALERT: "alerts.read",
    Resource.WEBHOOK: "webhooks.read",
}
"""What one must be allowed to be told of an event about it."""
DOCUMENT = "event"
"""Resource of the policy by whose field rules the document of an event is masked."""
_OURS = ("admin", "local")


def owner_name(who: Principal) -> str:
    """Give how an endpoint names whoever adds it; a client is called `client/NAME` already."""
    return who.name if who.kind is Kind.CLIENT else f"{who.kind}/{who.name}"


def owner_of(connection: Connection, owner: str) -> Principal | None:
    """Give the owner of an endpoint as he may act now; None once he was removed."""
    kind, _, name = owner.partition("/")
    caller = Caller(name, "", "webhook")
    if kind in _OURS:
        return admin_principal(caller)
    post = owner_posts(connection, kind, name)
    if post is None:
        return None
    shown = owner if kind == Kind.CLIENT else name
    return Principal(shown, frozenset(post[0]), site_scope(post[1]), Kind(kind), caller)


def may_hear(policy: Policy, who: Principal, kind: EventKind, site: SiteId | None) -> bool:
    """Say whether somebody may be told of an event; one of the whole centre is for those who see every site."""
    resource = KINDS[kind].resource
    if not policy.may(who, PERMISSIONS[resource]):
        return False
    if resource is Resource.WEBHOOK:  # a test of his own endpoint
        return True
    return who.sites is None or (site is not None and who.reaches(site))


def kinds_heard(policy: Policy, who: Principal) -> tuple[EventKind, ...]:
    """Give the kinds of event that somebody may be told of, at his sites."""
    return tuple(kind for kind in EventKind if policy.may(who, PERMISSIONS[KINDS[kind].resource]))


def event_document(event: NumberedEvent) -> dict[str, Any]:
    """Give an event as it is pulled and delivered; type, timestamp and data stand as Standard Webhooks has them."""
    return {
        "id": event.event,
        "type": str(event.kind),
        "timestamp": event.at.isoformat(),
        "number": event.number,
        "site": event.site,
        "subject": event.subject,
        "data": dict(event.body),
    }
