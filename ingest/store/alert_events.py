"""Alerts as those outside are told of them. Functions take an open transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from ingest.alert_rules import Alert, Scope
from ingest.event_kinds import TEXT_MAX, Event, EventKind
from ingest.store.database import Connection, load_queries
from ingest.store.events import tell_all
from metering.identity import SiteId


def tell_alerts(connection: Connection, opened: Iterable[Alert], closed: Iterable[Alert], now: datetime) -> None:
    """Tell what was opened, or opened again, and what was closed."""
    found = [(EventKind.ALERT_OPENED, one) for one in opened] + [(EventKind.ALERT_CLOSED, one) for one in closed]
    if found:
        sites = _sites(connection, [one for _, one in found])
        tell_all(connection, _events(found, sites, now))


def _events(found: Iterable[tuple[EventKind, Alert]], sites: Mapping[str, SiteId], now: datetime) -> Iterator[Event]:
    for kind, one in found:
        cause = one.cause
        body = {
            "alert": one.alert,
            "kind": str(cause.kind),
            "scope": str(cause.scope),
            # A path of a folder may be longer than any id.
            "of": cause.subject[:TEXT_MAX],
            "severity": str(one.severity),
        }
        yield Event(kind, _site_of(one, sites), f"alert/{one.alert}", now, body)


def _sites(connection: Connection, alerts: Iterable[Alert]) -> dict[str, SiteId]:
    gateways = sorted({one.cause.subject for one in alerts if one.cause.scope is Scope.GATEWAY})
    if not gateways:
        return {}
    rows = connection.execute(load_queries("events")["sites_of_gateways"], {"gateways": gateways})
    return {gateway: SiteId(site) for gateway, site in rows}


def _site_of(alert: Alert, sites: Mapping[str, SiteId]) -> SiteId | None:
    """Say at which site the cause is; None: at the centre, or at several."""
    scope, subject = alert.cause.scope, alert.cause.subject
    if scope is Scope.GATEWAY:
        return sites.get(subject)
    if scope is Scope.NODE:
        return SiteId(subject.partition("/")[0])
    return SiteId(subject) if scope is Scope.SITE else None
