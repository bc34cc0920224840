"""Decisions about bindings as those outside are told of them. Functions take an open transaction."""

from __future__ import annotations

from datetime import datetime

from ingest.event_kinds import Event, EventKind
from ingest.store.bindings import BindingState, StoredBinding
from ingest.store.database import Connection
from ingest.store.events import tell


def tell_decision(connection: Connection, stored: StoredBinding, to: BindingState, now: datetime) -> None:
    """Tell that a binding was approved or refused."""
    kind = EventKind.BINDING_APPROVED if to is BindingState.APPROVED else EventKind.BINDING_REFUSED
    act = stored.act
    body = {"binding": act.binding, "gateway": stored.gateway, "node": act.node}
    body |= {} if act.meter is None else {"meter": act.meter}
    tell(connection, Event(kind, act.site, f"binding/{act.binding}", now, body))
