"""The routes of the inbox: the list, and a page for each entry that is mended here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.access.policy_file import shipped_policy
from ingest.alert_words import instant_words
from ingest.caller import Caller, acting
from ingest.console.forms import Form, FormRead
from ingest.console.inbox_cards import Card, alert_card, binding_card, quarantine_card, reading_card
from ingest.console.tables import Table, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.inbox import Entry, Inbox, Kind
from ingest.inbox_words import inbox_word, inbox_words
from ingest.installation_desk import BindingUnknown, InstallationDesk
from ingest.quarantine_desk import NotInQuarantine, Outcome, QuarantineDesk
from ingest.reading_desk import ReadingDesk
from ingest.store.alerts import AlertUnknown, acknowledge, find_alert
from ingest.store.database import Connection, Database
from ingest.store.fleet import site_faces
from ingest.store.hand_readings import HandReadingUnknown, find_hand_reading
from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import SiteId
from metering.interval import SiteCalendar

SECTION = "inbox"
PAGE = "inbox_entry.html"
_STEPS = {
    Kind.BINDING: "bindings.decide",
    Kind.READING: "readings.decide",
    Kind.ALERT: "alerts.acknowledge",
    Kind.QUARANTINE: "quarantine.replay",
}
"""What somebody must be permitted to do something about an entry of a kind."""


@dataclass(frozen=True, slots=True)
class InboxPages:
    """The handlers, over the desks that mend."""

    database: Database
    clock: Clock
    installation: InstallationDesk
    readings: ReadingDesk
    quarantine: QuarantineDesk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/inbox", self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/inbox.csv", self.csv, methods=["GET"])
        for path, shown, steps in (
            ("bindings/{binding}", self.binding, {"approve": self.approve, "refuse": self.refuse}),
            ("readings/{number}", self.reading, {"accept": self.accept, "refuse": self.refuse_reading}),
            ("alerts/{alert}", self.alert, {"acknowledge": self.acknowledge}),
            ("quarantine/{number}", self.quarantined, {"replay": self.replay}),
        ):
            router.add_api_route(f"/inbox/{path}", shown, methods=["GET"], response_class=HTMLResponse)
            for name, step in steps.items():
                router.add_api_route(f"/inbox/{path}/{name}", step, methods=["POST"], response_class=HTMLResponse)
        return router

    # The list

    def page(self, request: Request, kind: str = "") -> Response:
        """Show what waits."""
        visit = visit_of(request)
        found = self._inbox(visit).read()
        chosen = Kind(kind) if kind in set(Kind) else None
        shown = [one for one in found if chosen in (None, one.kind)]
        return visit.page(
            "inbox.html",
            section=SECTION,
            word=inbox_words(visit.language),
            entries=[self._row(one, visit) for one in shown],
            chips=_chips(found, chosen, visit),
            csv=f"/inbox.csv?{urlencode({'kind': kind})}",
        )

    def csv(self, request: Request, kind: str = "") -> Response:
        """Give what waits for spreadsheets; instants in UTC."""
        visit = visit_of(request)
        chosen = Kind(kind) if kind in set(Kind) else None
        return visit.csv(_table(self._inbox(visit).read(chosen), visit), "inbox.csv")

    def count(self, connection: Connection, request: Request) -> int:
        """Say how much waits for this reader."""
        return self._inbox(visit_of(request)).count(connection)

    def _inbox(self, visit: Visit) -> Inbox:
        who, policy = visit.principal, shipped_policy()
        sites = getattr(who, "sites", None) if visit.site is None else {visit.site}
        return Inbox(self.database, self.installation, visit.language, sites, lambda one: policy.may(who, one))

    def _row(self, one: Entry, visit: Visit) -> dict[str, Any]:
        return {
            "entry": one,
            "kind": inbox_word(f"kind-{one.kind}", visit.language),
            "tone": inbox_word(f"tone-{one.tone}", visit.language),
            "site": visit.site_name(one.site),
            "since": instant_words(one.since, self._calendar(one.site)),
        }

    # Bindings

    def binding(self, request: Request, binding: str) -> Response:
        """Show a binding beside its plan."""
        visit = visit_of(request)
        return self._binding(visit, binding)

    def approve(self, request: Request, binding: str, form: FormRead) -> Response:
        """Let a binding count for money."""
        return self._decide(request, binding, form, self.installation.approve, "approved")

    def refuse(self, request: Request, binding: str, form: FormRead) -> Response:
        """Say that a binding is wrong."""
        return self._decide(request, binding, form, self.installation.refuse, "refused")

    def _decide(
        self, request: Request, binding: str, form: Form, step: Callable[[str, str, Caller], object], told: str
    ) -> Response:
        visit = visit_of(request)
        fault = self._tried(visit, lambda caller: step(binding, form.text("reason"), caller))
        return self._binding(visit, binding, fault, form) if fault else visit.redirect("/inbox", told)

    def _binding(self, visit: Visit, binding: str, fault: str = "", form: Form | None = None) -> Response:
        try:
            stored, shown = self.installation.binding(binding)
        except BindingUnknown:
            return visit.missing()
        told = self._instants(stored.act.site)
        return _entry(visit, binding_card(stored, shown, visit.language, told), Kind.BINDING, fault, form)

    # Readings of people

    def reading(self, request: Request, number: int) -> Response:
        """Show a reading that waits."""
        return self._reading(visit_of(request), number)

    def accept(self, request: Request, number: int, form: FormRead) -> Response:
        """Let a reading count."""
        return self._judge(request, number, form, is_good=True)

    def refuse_reading(self, request: Request, number: int, form: FormRead) -> Response:
        """Refuse a reading."""
        return self._judge(request, number, form, is_good=False)

    def _judge(self, request: Request, number: int, form: Form, *, is_good: bool) -> Response:
        visit = visit_of(request)
        reason = form.text("reason")
        fault = self._tried(visit, lambda caller: self.readings.decide(number, is_good, reason, caller))
        if fault:
            return self._reading(visit, number, fault, form)
        return visit.redirect("/inbox", "counted" if is_good else "reading-refused")

    def _reading(self, visit: Visit, number: int, fault: str = "", form: Form | None = None) -> Response:
        try:
            with self.database.transaction() as connection:
                found = find_hand_reading(connection, number)
        except HandReadingUnknown:
            return visit.missing()
        card = reading_card(found, visit.language, self._instants(found.site))
        return _entry(visit, card, Kind.READING, fault, form)

    # Alerts

    def alert(self, request: Request, alert: int) -> Response:
        """Show one alert."""
        return self._alert(visit_of(request), alert)

    def acknowledge(self, request: Request, alert: int, form: FormRead) -> Response:
        """Take care of an alert."""
        visit = visit_of(request)

        def step(caller: Caller) -> None:
            with self.database.transaction() as connection:
                acknowledge(connection, alert, by=caller.name, note=form.text("reason"), now=self.clock.now())

        fault = self._tried(visit, step)
        return self._alert(visit, alert, fault, form) if fault else visit.redirect("/inbox", "acknowledged")

    def _alert(self, visit: Visit, alert: int, fault: str = "", form: Form | None = None) -> Response:
        try:
            with self.database.transaction() as connection:
                found = find_alert(connection, alert)
        except AlertUnknown:
            return visit.missing()
        return _entry(visit, alert_card(found, visit.language, self._instants(visit.site)), Kind.ALERT, fault, form)

    # Quarantine

    def quarantined(self, request: Request, number: int) -> Response:
        """Show a message in quarantine."""
        return self._quarantined(visit_of(request), number)

    def replay(self, request: Request, number: int) -> Response:
        """Try a message again."""
        visit = visit_of(request)
        outcomes = []
        fault = self._tried(visit, lambda _: outcomes.append(self.quarantine.replay(number)))
        if not fault and outcomes[0].outcome is Outcome.REFUSED:
            fault = inbox_word("still-refused", visit.language, reason=f"{outcomes[0].reason} {outcomes[0].detail}")
        return self._quarantined(visit, number, fault) if fault else visit.redirect("/inbox", outcomes[0].outcome)

    def _quarantined(self, visit: Visit, number: int, fault: str = "") -> Response:
        try:
            found = self.quarantine.show(number)
        except NotInQuarantine:
            return visit.missing()
        card = quarantine_card(found, visit.language, self._instants(visit.site))
        return _entry(visit, card, Kind.QUARANTINE, fault, None)

    # All of them

    def _tried(self, visit: Visit, step: Callable[[Caller], object]) -> str:
        """Do a step in the name of who reads; gives why it was not done, or nothing."""
        caller = visit.principal.caller
        try:
            with acting(caller):
                step(caller)
        except MeteringError as error:
            return str(error)
        return ""

    def _calendar(self, site: SiteId | None) -> SiteCalendar:
        with self.database.transaction() as connection:
            faces = site_faces(connection)
        face = None if site is None else faces.get(site)
        calendars = {one.calendar for one in faces.values()}
        if face is not None:
            return face.calendar
        return calendars.pop() if len(calendars) == 1 else SiteCalendar("UTC")

    def _instants(self, site: SiteId | None) -> Callable[[datetime], str]:
        calendar = self._calendar(site)
        return lambda instant: instant_words(instant, calendar)


def _entry(visit: Visit, card: Card, kind: Kind, fault: str, form: Form | None) -> Response:
    typed = "" if form is None else form.text("reason")
    status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
    return visit.page(
        PAGE,
        status,
        section=SECTION,
        word=inbox_words(visit.language),
        card=card,
        fault=fault,
        typed=typed,
        may_act=shipped_policy().may(visit.principal, _STEPS[kind]),
    )


def _chips(found: tuple[Entry, ...], chosen: Kind | None, visit: Visit) -> list[tuple[str, str, bool]]:
    counts = Counter(one.kind for one in found)
    chips = [(f"{inbox_word('all', visit.language)} {len(found)}", visit.here(kind=""), chosen is None)]
    for one in Kind:
        if counts[one]:
            text = f"{inbox_word(f'kind-{one}', visit.language)} {counts[one]}"
            chips.append((text, visit.here(kind=one), chosen is one))
    return chips


def _table(found: tuple[Entry, ...], visit: Visit) -> Table:
    def word(key: str) -> str:
        return inbox_word(key, visit.language)

    rows = (
        [
            words_cell(word(f"tone-{one.tone}")),
            words_cell(word(f"kind-{one.kind}")),
            words_cell(str(one.site or "")),
            words_cell(one.since.isoformat()),
            words_cell(one.title),
            words_cell(one.detail),
            words_cell(one.href),
        ]
        for one in found
    )
    names = ("urgency", "kind", "site", "since", "what", "detail", "to-do")
    return table("inbox", word("inbox"), (word(name) for name in names), rows)
