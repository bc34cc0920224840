"""The inbox: everything that waits for a person, asked from the books each time, so that what is mended is gone.

Each entry says what is the matter, since when, and leads to the one place where it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from ingest.alert_rules import Alert, Scope, Severity
from ingest.alert_words import alert_mend, alert_text, kind_word
from ingest.console.words import Language
from ingest.inbox_words import inbox_word
from ingest.installation_desk import InstallationDesk
from ingest.provisional_words import provisional_word
from ingest.reading_words import doubt_word
from ingest.store.alerts import open_alerts
from ingest.store.bindings import BindingState
from ingest.store.database import Connection, Database
from ingest.store.hand_readings import HandState, list_hand_readings
from ingest.store.inbox import open_disputes, sites_of_gateways, waiting_counts, waiting_runs
from ingest.store.quarantine import list_kept
from ingest.store.run_changes import list_changed_runs
from metering.identity import GatewayId, SiteId

KIND_MAX = 200
"""Entries of one kind; more are counted by the lists they come from."""


class Kind(StrEnum):
    """From where an entry comes; the order in which kinds of one urgency are shown."""

    ALERT = "alert"
    RUN = "run"
    BINDING = "binding"
    READING = "reading"
    DISPUTE = "dispute"
    LATE = "late"
    QUARANTINE = "quarantine"


PERMISSIONS = {
    Kind.ALERT: "alerts.read",
    Kind.RUN: "runs.read",
    Kind.BINDING: "install.read",
    Kind.READING: "readings.read",
    Kind.DISPUTE: "disputes.read",
    Kind.LATE: "runs.read",
    Kind.QUARANTINE: "quarantine.read",
}
"""What somebody must be permitted to see entries of a kind."""
TONES = ("bad", "warn", "info")
"""Urgency, the greatest first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to do. tone: how urgent; action: what the way `href` does, in words; site None: of all sites."""

    kind: Kind
    tone: str
    site: SiteId | None
    since: datetime
    title: str
    detail: str
    href: str
    action: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads entries for one reader.

    sites   those he may see; None: all, also what is of no site
    may     says whether he has a permission
    """

    database: Database
    installation: InstallationDesk
    language: Language
    sites: Collection[SiteId] | None
    may: Callable[[str], bool]

    def read(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """Give the entries, of one kind if asked, the most urgent first and of those the oldest."""
        wanted = [one for one in Kind if kind in (None, one) and self.may(PERMISSIONS[one])]
        with self.database.transaction() as connection:
            found = [entry for one in wanted for entry in self._of(one, connection)]
        if Kind.BINDING in wanted:
            found += self._bindings()
        mine = [one for one in found if self.sites is None or one.site in self.sites]
        return tuple(sorted(mine, key=lambda one: (TONES.index(one.tone), one.since)))

    def count(self, connection: Connection) -> int:
        """Say how many entries there are, without reading them."""
        return sum(
            count
            for kind, site, count in waiting_counts(connection)
            if self.may(PERMISSIONS[Kind(kind)]) and (self.sites is None or site in self.sites)
        )

    def _of(self, kind: Kind, connection: Connection) -> Iterator[Entry]:
        match kind:
            case Kind.ALERT:
                return self._alerts(connection)
            case Kind.RUN:
                return self._runs(connection)
            case Kind.READING:
                return self._readings(connection)
            case Kind.DISPUTE:
                return self._disputes(connection)
            case Kind.LATE:
                return self._late(connection)
            case Kind.QUARANTINE:
                return self._quarantine(connection)
            case Kind.BINDING:
                return iter(())

    def _word(self, key: str, **parts: object) -> str:
        return inbox_word(key, self.language, **parts)

    def _alerts(self, connection: Connection) -> Iterator[Entry]:
        sites = sites_of_gateways(connection)
        for one in open_alerts(connection):
            if one.acknowledged_by is not None:
                continue
            yield Entry(
                Kind.ALERT,
                "bad" if one.severity is Severity.CRITICAL else "warn",
                _site_of(one, sites.get),
                one.opened_at,
                alert_text(one, self.language),
                f"{kind_word(one.cause.kind, self.language)}. {alert_mend(one, self.language)}",
                f"/inbox/alerts/{one.alert}",
                self._word("do-alert"),
            )

    def _runs(self, connection: Connection) -> Iterator[Entry]:
        for one in waiting_runs(connection, KIND_MAX):
            told = [self._word(f"run-{one.state}")]
            told.append(self._word("run-reasons", count=one.unexplained) if one.unexplained else self._word("run-none"))
            if one.estimates:
                told.append(self._word("run-estimates", count=one.estimates))
            yield Entry(
                Kind.RUN,
                "warn" if one.unexplained else "info",
                one.site,
                one.created_at,
                self._word("run", period=one.period, site=one.site),
                " ".join(told),
                f"/runs/{one.run}/review",
                self._word("do-run"),
            )

    def _bindings(self) -> Iterator[Entry]:
        for state in (BindingState.HELD, BindingState.PENDING, BindingState.REFUSED):
            for stored, shown in self.installation.bindings(site=None, state=str(state)):
                act = stored.act
                told = "; ".join(one.told.of(self.language) for one in shown.differences)
                because = stored.held_because or stored.decision
                yield Entry(
                    Kind.BINDING,
                    "bad" if shown.needs_reason or state is not BindingState.PENDING else "warn",
                    act.site,
                    stored.received_at,
                    self._word(
                        "binding",
                        what=provisional_word(str(act.kind), self.language),
                        meter=act.serial or act.meter or act.node,
                        node=act.node,
                    ),
                    ". ".join(part for part in (self._word(f"binding-{state}"), told, because) if part),
                    f"/inbox/bindings/{quote(act.binding)}",
                    self._word("do-binding"),
                )

    def _readings(self, connection: Connection) -> Iterator[Entry]:
        for one in list_hand_readings(connection, state=HandState.WAITING, most=KIND_MAX):
            yield Entry(
                Kind.READING,
                "warn",
                one.site,
                one.entered_at,
                self._word("reading", shown=one.shown, meter=one.meter),
                "; ".join(doubt_word(doubt, self.language) for doubt in one.doubts),
                f"/inbox/readings/{one.number}",
                self._word("do-reading"),
            )

    def _disputes(self, connection: Connection) -> Iterator[Entry]:
        for one in open_disputes(connection, KIND_MAX):
            yield Entry(
                Kind.DISPUTE,
                "warn",
                one.site,
                one.raised_at,
                self._word("dispute", statement=one.statement),
                one.reason,
                f"/disputes/{one.dispute}",
                self._word("do-dispute"),
            )

    def _late(self, connection: Connection) -> Iterator[Entry]:
        for one in list_changed_runs(connection, site=None, most=KIND_MAX):
            yield Entry(
                Kind.LATE,
                "warn",
                one.site,
                one.last_at,
                self._word("late", period=one.period, site=one.site),
                self._word("late-told", days=one.days, nodes=one.nodes),
                f"/runs/{one.run}/review",
                self._word("do-late"),
            )

    def _quarantine(self, connection: Connection) -> Iterator[Entry]:
        sites = sites_of_gateways(connection)
        for one in list_kept(connection, KIND_MAX):
            yield Entry(
                Kind.QUARANTINE,
                "warn",
                None if one.gateway is None else sites.get(GatewayId(one.gateway)),
                one.first_received_at,
                self._word("quarantine", gateway=one.gateway or "?", reason=one.reason),
                self._word("quarantine-told", times=one.times, detail=one.detail),
                f"/inbox/quarantine/{one.number}",
                self._word("do-quarantine"),
            )


def _site_of(alert: Alert, site_of_gateway: Callable[[GatewayId], SiteId | None]) -> SiteId | None:
    """Say of which site an alert is; None where it is of all of them, or of the service."""
    cause = alert.cause
    if cause.scope is Scope.SITE:
        return SiteId(cause.subject)
    if cause.scope is Scope.GATEWAY:
        return site_of_gateway(GatewayId(cause.subject))
    named = alert.detail.get("site")
    return SiteId(named) if isinstance(named, str) else None
