"""Alerts as they are kept, and the facts that are asked for them. Functions take an open transaction.

Whoever changes anything here takes `lock_alerts` first and holds it to the commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from ingest.alert_findings import Clones, Losses, Misuses, Refusals
from ingest.alert_rules import HELD, REOPENS_WITHIN, Alert, AlertKind, Cause, Changes, Finding, Scope, Severity
from ingest.audit_log import Verb
from ingest.store import audit
from ingest.store.alert_events import tell_alerts
from ingest.store.database import Connection, load_queries
from metering.errors import BooksError
from metering.identity import GatewayId

LISTED_MAX = 1000
QUARANTINE_WINDOW = timedelta(hours=1)


class AlertUnknown(BooksError):
    """There is no alert of this number."""


class AlertAcknowledged(BooksError):
    """Somebody else has acknowledged this alert before."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts to list."""

    only_open: bool = False
    kind: str | None = None
    scope: str | None = None
    subject: str | None = None
    most: int = 100

    @property
    def arguments(self) -> dict[str, Any]:
        """As the queries take them."""
        most = max(1, min(self.most, LISTED_MAX))
        return {
            "only_open": self.only_open,
            "kind": self.kind,
            "scope": self.scope,
            "subject": self.subject,
            "most": most,
        }


def lock_alerts(connection: Connection) -> None:
    """Let nobody else change alerts until the transaction ends."""
    connection.execute(load_queries("alerts")["lock_alerts"])


def open_alerts(connection: Connection) -> tuple[Alert, ...]:
    """Give every open alert, the oldest first."""
    return tuple(_from_row(row) for row in connection.execute(load_queries("alerts")["open_alerts"]))


def lately_closed(connection: Connection, now: datetime) -> tuple[Alert, ...]:
    """Give the last alert of each cause that closed within REOPENS_WITHIN."""
    wanted = {"since": now - REOPENS_WITHIN}
    return tuple(_from_row(row) for row in connection.execute(load_queries("alerts")["lately_closed"], wanted))


def list_alerts(connection: Connection, wanted: Wanted) -> tuple[Alert, ...]:
    """List alerts: open ones first, each part by its newest change."""
    rows = connection.execute(load_queries("alerts")["list_alerts"], wanted.arguments)
    return tuple(_from_row(row) for row in rows)


def changed_alerts(connection: Connection, after: int, wanted: Wanted) -> tuple[Alert, ...]:
    """List alerts that changed after change `after`, in the order of their changes."""
    rows = connection.execute(load_queries("alerts")["changed_alerts"], wanted.arguments | {"after": after})
    return tuple(_from_row(row) for row in rows)


def newest_change(connection: Connection) -> int:
    """Give the number of the newest change of any alert; 0 before the first."""
    row = connection.execute(load_queries("alerts")["newest_change"]).fetchone()
    assert row is not None
    return int(row[0])


def find_alert(connection: Connection, alert: int) -> Alert:
    """Give one alert; raises AlertUnknown."""
    row = connection.execute(load_queries("alerts")["find_alert"], {"alert": alert}).fetchone()
    if row is None:
        raise AlertUnknown(f"there is no alert {alert}; list those there are: metertree alerts list --all")
    return _from_row(row)


def acknowledge(connection: Connection, alert: int, *, by: str, note: str, now: datetime) -> Alert:
    """Note who takes care of an alert; closes the kinds that only a person closes. Twice by the same person is once.

    Raises AlertUnknown, AlertAcknowledged.
    """
    lock_alerts(connection)
    found = find_alert(connection, alert)
    if found.acknowledged_by not in (None, by):
        raise AlertAcknowledged(f"alert {alert} was acknowledged by {found.acknowledged_by} at {found.acknowledged_at}")
    if found.acknowledged_by is None:
        closes = found.cause.kind in HELD
        row = {"alert": alert, "by": by, "note": note, "now": now, "closes": closes}
        connection.execute(load_queries("alerts")["acknowledge"], row)
        cause = found.cause
        after = {"by": by, "kind": str(cause.kind), "of": f"{cause.scope}/{cause.subject}", "closes": closes}
        if closes and found.is_open:
            tell_alerts(connection, (), (found,), now)
        audit.note(connection, Verb.ALERT_ACKNOWLEDGED, f"alert/{alert}", after=after, reason=note)
    return find_alert(connection, alert)


def store_changes(connection: Connection, changes: Changes, now: datetime) -> None:
    """Write what a look has decided; call under `lock_alerts`."""
    queries = load_queries("alerts")
    if changes.opened:
        connection.execute(queries["add_alerts"], _columns(changes.opened) | {"now": now})
    if changes.reopened:
        alerts = [alert.alert for alert, _ in changes.reopened]
        columns = _columns([finding for _, finding in changes.reopened])
        wanted = {"alerts": alerts, "now": now, "severities": columns["severities"], "details": columns["details"]}
        connection.execute(queries["reopen_alerts"], wanted)
    if changes.seen:
        details = [Jsonb(dict(finding.detail)) for _, finding in changes.seen]
        alerts = [alert.alert for alert, _ in changes.seen]
        connection.execute(queries["see_alerts"], {"alerts": alerts, "details": details, "now": now})
    heavier = [(alert, finding) for alert, finding in changes.seen if alert.severity is not finding.severity]
    if heavier:
        severities = [str(finding.severity) for _, finding in heavier]
        wanted = {"alerts": [alert.alert for alert, _ in heavier], "severities": severities}
        connection.execute(queries["weigh_alerts"], wanted)
    if changes.closed:
        connection.execute(queries["close_alerts"], {"alerts": [one.alert for one in changes.closed], "now": now})


def clones(connection: Connection) -> tuple[Clones, ...]:
    """Count the alarms of equivocation of each gateway."""
    return tuple(Clones(row[0], *row[1:]) for row in connection.execute(load_queries("alerts")["clones"]))


def losses(connection: Connection) -> tuple[Losses, ...]:
    """Count what each gateway has told as lost."""
    return tuple(Losses(row[0], *row[1:]) for row in connection.execute(load_queries("alerts")["losses"]))


def misuses_counted(connection: Connection) -> tuple[Misuses, ...]:
    """Count the machines that presented claims which were not theirs, by the gateway these were given for."""
    return tuple(Misuses(row[0], *row[1:]) for row in connection.execute(load_queries("alerts")["claims_misused"]))


def refusals(connection: Connection, now: datetime) -> tuple[Refusals, ...]:
    """Count what came into quarantine within the last hour, by reason."""
    rows = connection.execute(load_queries("alerts")["refusals_since"], {"since": now - QUARANTINE_WINDOW})
    return tuple(Refusals(reason, count, tuple(gateways or ())) for reason, count, gateways in rows)


def waits_since(connection: Connection, before: datetime) -> datetime | None:
    """Say since when the oldest readings wait to be settled, if that is before `before`."""
    queries, wanted = load_queries("alerts"), {"before": before}
    if connection.execute(queries["anything_waits_since"], wanted).fetchone() != (True,):
        return None
    row = connection.execute(queries["waits_since"], wanted).fetchone()
    return None if row is None else row[0]


def backed_up(connection: Connection) -> tuple[datetime | None, datetime | None]:
    """Say when the newest good backup was finished, and since when there has been something to back up."""
    row = connection.execute(load_queries("alerts")["backed_up"]).fetchone()
    assert row is not None
    return row[0], row[1]


def equivocations_of(
    connection: Connection, gateway: GatewayId, most: int
) -> tuple[tuple[int, int, datetime, Mapping[str, str]], ...]:
    """Give epoch, seq, instant and detail of the newest alarms of equivocation of a gateway, at most `most`."""
    rows = connection.execute(load_queries("alerts")["equivocations_of"], {"gateway": gateway, "most": most})
    return tuple((epoch, seq, raised_at, detail) for epoch, seq, raised_at, detail in rows)


def _columns(findings: Sequence[Finding]) -> dict[str, list[Any]]:
    return {
        "kinds": [str(one.cause.kind) for one in findings],
        "scopes": [str(one.cause.scope) for one in findings],
        "subjects": [one.cause.subject for one in findings],
        "severities": [str(one.severity) for one in findings],
        "details": [Jsonb(dict(one.detail)) for one in findings],
    }


def _from_row(row: tuple[Any, ...]) -> Alert:
    alert, kind, scope, subject, severity, *rest = row
    return Alert(alert, Cause(AlertKind(kind), Scope(scope), subject), Severity(severity), *rest)
