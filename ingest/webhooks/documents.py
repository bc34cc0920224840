"""Endpoints and deliveries as the API and the command show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ingest.store.webhooks import Delivery, Endpoint, StoredSecret
from ingest.webhooks.desk import Shown
from ingest.webhooks.ladder import Fate


def endpoint_document(one: Endpoint) -> dict[str, Any]:
    """Give an endpoint as the API and the command show it."""
    return {
        "id": one.endpoint,
        "owner": one.owner,
        "url": one.url,
        **one.wants.columns,
        "description": one.description,
        "state": one.state,
        "added_at": one.added_at.isoformat(),
        "state_at": one.state_at.isoformat(),
        "failures": one.health.failures,
        "failing_since": _instant(one.health.failing_since),
        "paused_until": _instant(one.paused_until),
        "delivered_at": _instant(one.delivered_at),
        "waiting": one.waiting,
        "dead": one.dead,
    }


def shown_document(shown: Shown) -> dict[str, Any]:
    """Give an endpoint with its secrets, and the new one where there is one."""
    once = {} if shown.secret is None else {"secret": shown.secret}
    return endpoint_document(shown.endpoint) | {"secrets": [_secret(one) for one in shown.secrets]} | once


def delivery_document(one: Delivery) -> dict[str, Any]:
    """Give a delivery with its tries."""
    return {
        "event": one.event,
        "type": str(one.kind),
        "subject": one.subject,
        "number": one.number,
        "state": str(one.state),
        "attempt": one.attempt,
        "made_at": one.made_at.isoformat(),
        "next_at": one.next_at.isoformat() if one.state is Fate.WAITING else None,
        "delivered_at": _instant(one.delivered_at),
        "tries": list(one.tries),
    }


def _secret(one: StoredSecret) -> dict[str, Any]:
    return {
        "number": one.number,
        "signing": str(one.algorithm),
        "public_key": one.public_key,
        "made_at": one.made_at.isoformat(),
        "ends_at": _instant(one.ends_at),
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
