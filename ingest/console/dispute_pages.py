"""`/disputes`: what payers do not accept, the sums behind it, and the answer; `/statements`: how far they have come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from ingest.access.policy_file import shipped_policy
from ingest.caller import Caller
from ingest.console.forms import FormRead
from ingest.console.rendering import local_time
from ingest.console.tables import Table, number_cell, table, words_cell
from ingest.console.tenant_page import period_text
from ingest.console.visit import Visit, visit_of
from ingest.dispute_words import dispute_words
from ingest.statement_desk import Answer, ComplaintInvalid, DisputeAnswered, StatementDesk, view_of
from ingest.statement_states import DisputeState, StatementState
from ingest.statement_story import LineStory, Story, StoryNames
from ingest.store.database import Connection
from ingest.store.disputes import ListedDispute, PeriodCounts, count_disputes, list_disputes
from ingest.store.photos import find_photo
from ingest.store.sites import site_version
from metering.identity import SiteId
from provisioning.site import Site

TABS: tuple[DisputeState | None, ...] = (*DisputeState, None)
TONES = {DisputeState.OPEN: "warn", DisputeState.UPHELD: "info", DisputeState.RECOMPUTED: "good"}
SAID_SHOWN = 80


@dataclass(frozen=True, slots=True)
class DisputeView:
    """One dispute as the page shows it; `lines` the stories of what is disputed."""

    one: ListedDispute
    about: str
    party: str
    when: str
    answered: str
    is_open: bool
    is_superseded: bool
    lines: tuple[LineStory, ...]


@dataclass(frozen=True, slots=True)
class DisputePages:
    """The handlers, over one desk."""

    desk: StatementDesk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/disputes", self.list, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/disputes.csv", self.csv, methods=["GET"])
        router.add_api_route("/disputes/{dispute}", self.page, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/disputes/{dispute}/photo", self.photo, methods=["GET"])
        router.add_api_route("/disputes/{dispute}/answer", self.answer, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/statements", self.statements, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/statements.csv", self.statements_csv, methods=["GET"])
        return router

    def list(self, request: Request) -> Response:
        """Show the disputes that wait, or those that were answered; and the counts of each period."""
        visit = visit_of(request)
        word, state = dispute_words(visit.language), _state(request)
        with self.desk.database.transaction() as connection:
            found = list_disputes(connection, state=state, sites=_sites(visit))
            listed = self._table(connection, visit, found)
            counts = count_disputes(connection, _sites(visit))
        tabs = [(word[f"tab-{one or 'all'}"], visit.here(state=str(one or "all")), one is state) for one in TABS]
        return visit.page(
            "disputes.html",
            section="disputes",
            word=word,
            tabs_of=tabs,
            listed=listed,
            links=[f"/disputes/{one.dispute.dispute}" for one in found],
            waits=state is DisputeState.OPEN,
            counted=_counts(counts, visit),
        )

    def csv(self, request: Request) -> Response:
        """Give the same list for spreadsheets."""
        visit = visit_of(request)
        with self.desk.database.transaction() as connection:
            found = list_disputes(connection, state=_state(request), sites=_sites(visit))
            return visit.csv(self._table(connection, visit, found, whole=True), "disputes.csv")

    def statements(self, request: Request) -> Response:
        """Show how far the statements of each period are."""
        visit = visit_of(request)
        with self.desk.database.transaction() as connection:
            counts = count_disputes(connection, _sites(visit))
        word = dispute_words(visit.language)
        return visit.page("statements.html", section="statements", word=word, counted=_counts(counts, visit))

    def statements_csv(self, request: Request) -> Response:
        """Give the same for spreadsheets."""
        visit = visit_of(request)
        with self.desk.database.transaction() as connection:
            return visit.csv(_counts(count_disputes(connection, _sites(visit)), visit), "statements.csv")

    def page(self, request: Request, dispute: int) -> Response:
        """Show one dispute."""
        return self._page(request, dispute)

    def photo(self, request: Request, dispute: int) -> Response:
        """Give the picture that came with a dispute."""
        with self.desk.database.transaction() as connection:
            found = _find(connection, dispute)
            if found is None or found.dispute.photo is None:
                return visit_of(request).missing()
            kept = find_photo(connection, found.dispute.photo)
        headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        return Response(kept.octets, media_type=kept.media, headers=headers)

    def answer(self, request: Request, dispute: int, form: FormRead) -> Response:
        """Answer a dispute as whoever is signed in."""
        visit = visit_of(request)
        word, typed = dispute_words(visit.language), {"state": form.text("state"), "answer": form.text("answer")}
        try:
            self.desk.answer(dispute, Answer(DisputeState(typed["state"]), typed["answer"]), _caller(visit))
        except (ValueError, ComplaintInvalid):
            return self._page(request, dispute, word["fault-answer"], typed)
        except DisputeAnswered as error:
            return self._page(request, dispute, word["fault-answered"].format(told=error), typed)
        return visit.redirect(f"/disputes/{dispute}", told="answered")

    def _page(self, request: Request, dispute: int, fault: str = "", typed: dict[str, str] | None = None) -> Response:
        visit = visit_of(request)
        with self.desk.database.transaction() as connection:
            found = _find(connection, dispute)
            if found is None:
                return visit.missing()
            view = self._view(connection, visit, found)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
        return visit.page(
            "dispute.html",
            status,
            section="disputes",
            word=dispute_words(visit.language),
            site=found.site,
            view=view,
            may_answer=shipped_policy().may(visit.principal, "disputes.answer", found.site),
            fault=fault,
            typed=typed or {"state": "", "answer": ""},
        )

    def _view(self, connection: Connection, visit: Visit, found: ListedDispute) -> DisputeView:
        statement = view_of(connection, found.dispute.statement)
        site = site_version(connection, statement.run.site, statement.run.site_version).site
        language, one = visit.language, found.dispute
        names = StoryNames(
            {unit.id: unit.names.of(language) for unit in site.units},
            {node.id: node.names.of(language) for node in site.nodes},
        )
        lines = Story(statement.content, language, names).lines()
        told = tuple(line for line in lines if one.is_whole or line.id == one.line)
        word = dispute_words(language)
        answered = ""
        if one.answered_at is not None:
            when = local_time(one.answered_at, site.calendar)
            sees_who = shipped_policy().sees(visit.principal, "dispute", "answered_by")
            answered = word["answered-by"].format(who=one.answered_by, when=when) if sees_who else when
        return DisputeView(
            one=found,
            about=_about(told, one.is_whole, one.line, word),
            party=site.party(found.party).names.of(language),
            when=local_time(one.raised_at, site.calendar),
            answered=answered,
            is_open=one.state is DisputeState.OPEN,
            is_superseded=statement.state is StatementState.SUPERSEDED,
            lines=told,
        )

    def _table(
        self, connection: Connection, visit: Visit, found: Iterable[ListedDispute], *, whole: bool = False
    ) -> Table:
        word, sites = dispute_words(visit.language), _Sites(connection)
        rows = []
        for one in found:
            site, told = sites.of(one), one.dispute
            said = told.reason if whole else told.reason[:SAID_SHOWN] + "…" * (len(told.reason) > SAID_SHOWN)
            rows.append(
                [
                    words_cell(word["dispute"].format(number=told.dispute), str(told.dispute)),
                    words_cell(local_time(told.raised_at, site.calendar)),
                    words_cell(site.party(one.party).names.of(visit.language), one.party),
                    words_cell(period_text(one.period, visit.language), one.period),
                    words_cell(word["whole"] if told.is_whole else _line_name(told.line, site, visit), told.line),
                    words_cell(said),
                    words_cell(word[f"state-{told.state}"], told.state, tone=TONES[told.state]),
                ]
            )
        columns = ("disputes", "when", "party", "period", "about", "said", "state")
        return table("disputes", "", (word[name] for name in columns), rows)


class _Sites:
    """The sites of listed disputes, each as of its newest version; read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[SiteId, Site] = {}

    def of(self, one: ListedDispute) -> Site:
        """Give the site of a dispute."""
        if one.site not in self._known:
            run = view_of(self._connection, one.dispute.statement).run
            self._known[one.site] = site_version(self._connection, run.site, run.site_version).site
        return self._known[one.site]


def _find(connection: Connection, dispute: int) -> ListedDispute | None:
    found = list_disputes(connection, before=dispute + 1, most=1)
    return found[0] if found and found[0].dispute.dispute == dispute else None


def _state(request: Request) -> DisputeState | None:
    asked = request.query_params.get("state", DisputeState.OPEN)
    return DisputeState(asked) if asked in set(DisputeState) else None


def _sites(visit: Visit) -> list[str] | None:
    """The sites to show: the one chosen, else all that the reader may see; None for every one."""
    if visit.site is not None:
        return [visit.site]
    allowed = visit.principal.sites
    return None if allowed is None else sorted(allowed)


def _counts(counts: Iterable[PeriodCounts], visit: Visit) -> Table:
    word = dispute_words(visit.language)
    names = ("statements", "seen", "confirmed", "open", "upheld", "recomputed")
    rows = [
        [
            words_cell(period_text(one.period, visit.language), one.period),
            words_cell(visit.site_name(one.site), one.site),
            *(number_cell(getattr(one, name), 0) for name in names),
        ]
        for one in counts
    ]
    shown = ("period", "site", "issued", *names[1:])
    return table("periods", word["by-period"], (word[name] for name in shown), rows)


def _about(lines: tuple[LineStory, ...], is_whole: bool, line: str, word: Any) -> str:
    if is_whole:
        return str(word["whole"])
    return next((f"{one.title} {one.room}".strip() for one in lines), line)


def _line_name(line: str, site: Site, visit: Visit) -> str:
    """Name a line by its room: its pool stands beside it on the page of the dispute."""
    pool, _, rest = line.partition("/")
    unit = rest.partition("/")[0]
    room = next((one.names.of(visit.language) for one in site.units if one.id == unit), "")
    return f"{pool} {room}".strip()


def _caller(visit: Visit) -> Caller:
    caller = visit.principal.caller
    assert isinstance(caller, Caller), "the door lets nobody answer whom it does not know"
    return caller
