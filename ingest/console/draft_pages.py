"""The routes of the page of one draft: what it changes, what is wrong with it, what it would cost whom, its release."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.rule_check import RecordsMissed
from allocation_engine.run_diff import PartyDiff
from allocation_engine.what_if import Scope, totals
from ingest.access.policy_file import shipped_policy
from ingest.caller import NotInPerson, acting
from ingest.console.forms import Form, FormRead
from ingest.console.rendering import local_time, money
from ingest.console.rules_pages import SECTION, STATE_TONE
from ingest.console.rules_view import change_content
from ingest.console.tables import Table, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.engine_words import engine_word
from ingest.rulebook.desk import (
    Look,
    NotHandedIn,
    NothingChanged,
    RuleDesk,
    SecondPersonNeeded,
    VersionMoved,
)
from ingest.rulebook.parts import PartMoved
from ingest.rulebook_words import rules_words
from ingest.store.rule_drafts import DraftMoved, DraftState, StoredDraft
from metering.errors import DocumentError
from metering.identity import NodeId, SiteId

PATH = "/rules/{site}/drafts/{draft}"
PERIODS = (1, 3, 6, 12)
EXCLUDE = "exclude:"
"""Before the subject of a finding: the field of the reason why it is left out."""
_REFUSALS = (
    RecordsMissed,
    NotHandedIn,
    NothingChanged,
    SecondPersonNeeded,
    VersionMoved,
    PartMoved,
    DraftMoved,
    DocumentError,
    NotInPerson,
)


class DraftPages:
    """The handlers, over one desk."""

    def __init__(self, desk: RuleDesk) -> None:
        self._desk = desk

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(PATH, self.draft, methods=["GET"], response_class=HTMLResponse)
        post = partial(router.add_api_route, methods=["POST"], response_class=HTMLResponse)
        post(f"{PATH}/hand-in", self.hand_in)
        post(f"{PATH}/take-over", self.take_over)
        post(f"{PATH}/withdraw", self.withdraw)
        post(f"{PATH}/release", self.release)
        router.add_api_route(f"{PATH}/findings.csv", self.findings_csv, methods=["GET"])
        return router

    def draft(
        self,
        request: Request,
        site: str,
        draft: int,
        periods: int = Query(0, ge=0, le=24),
        below: str = "",
    ) -> Response:
        """Show a draft; with `periods`, try it on so many published periods."""
        visit = visit_of(request)
        look = self._desk.look(SiteId(site), draft)
        tried = self._tried(look, periods, below, visit) if periods and look.holds else None
        return self._page(visit, look, tried=tried, periods=periods, below=below)

    def hand_in(self, request: Request, site: str, draft: int, form: FormRead) -> Response:
        """Say that it may be released."""
        return self._step(
            request, site, draft, "handed-in", lambda: self._desk.hand_in(SiteId(site), draft, _revision(form))
        )

    def take_over(self, request: Request, site: str, draft: int, form: FormRead) -> Response:
        """Write it on what is in force now."""
        return self._step(
            request, site, draft, "taken-over", lambda: self._desk.take_over(SiteId(site), draft, _revision(form))
        )

    def withdraw(self, request: Request, site: str, draft: int, form: FormRead) -> Response:
        """End it; it stays readable."""
        return self._step(
            request,
            site,
            draft,
            "withdrawn",
            lambda: self._desk.withdraw(SiteId(site), draft, _revision(form), form.text("reason")),
        )

    def release(self, request: Request, site: str, draft: int, form: FormRead) -> Response:
        """Make it the version in force, as somebody who wrote none of it."""
        reasons = {name.removeprefix(EXCLUDE): form.text(name) for name in form.fields if name.startswith(EXCLUDE)}
        excluded = {subject: reason for subject, reason in reasons.items() if reason}
        return self._step(
            request,
            site,
            draft,
            "released",
            lambda: self._desk.release(SiteId(site), draft, _revision(form), excluded),
        )

    def findings_csv(self, request: Request, site: str, draft: int) -> Response:
        """Give the records it would miss, with their repairs, for spreadsheets."""
        visit = visit_of(request)
        found = _findings(self._desk.look(SiteId(site), draft), visit)
        return visit.csv(found, f"findings-{site}-{draft}.csv")

    def _step(self, request: Request, site: str, draft: int, told: str, act: Callable[[], StoredDraft]) -> Response:
        visit = visit_of(request)
        try:
            with acting(visit.principal.caller):
                act()
        except _REFUSALS as error:
            look = self._desk.look(SiteId(site), draft)
            return self._page(visit, look, HTTPStatus.CONFLICT, refusal=engine_word(str(error), visit.language))
        return visit.redirect(f"/rules/{site}/drafts/{draft}", told=told)

    def _page(
        self,
        visit: Visit,
        look: Look,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        refusal: str = "",
        tried: dict[str, Any] | None = None,
        periods: int = 0,
        below: str = "",
    ) -> Response:
        stored, language = look.stored, visit.language
        word, site = rules_words(language), look.ground.version.site
        vocabulary = look.ground.rules.formulas.vocabulary
        policy, principal = shipped_policy(), visit.principal
        return visit.page(
            "rules_draft.html",
            status,
            section=SECTION,
            word=word,
            site=site.id,
            site_id=site.id,
            draft=stored,
            look=look,
            steps=_steps(stored, word, lambda at: local_time(at, site.calendar)),
            state_tone=STATE_TONE,
            saved_at=local_time(stored.saved_at, site.calendar),
            changes=[change_content(one, vocabulary, language) for one in stored.changes],
            edit_hrefs={one.part: _edit_href(one.part, stored) for one in stored.changes},
            faults=[(engine_word(one.problem, language), engine_word(one.mend, language)) for one in look.faults],
            findings=_findings(look, visit) if look.findings else None,
            subjects=[one.subject for one in look.findings],
            exclude=EXCLUDE,
            refusal=refusal,
            tried=tried,
            periods=periods,
            periods_known=PERIODS,
            below=below,
            nodes=[(node.id, node.names.of(language)) for node in site.nodes],
            may_write=policy.may(principal, "rules.write", site.id),
            may_release=policy.may(principal, "rules.release", site.id),
            is_author=visit.who.lower() in stored.authors,
        )

    def _tried(self, look: Look, periods: int, below: str, visit: Visit) -> dict[str, Any]:
        scope = Scope(None, frozenset({NodeId(below)}) if below else frozenset())
        shadows, is_published = self._desk.try_out(look, periods, scope)
        language, currency = visit.language, look.ground.version.site.currency
        names = {str(party.id): party.names.of(language) for party in look.ground.version.site.parties}
        return {
            "is_published": is_published,
            "is_none": not shadows,
            "periods": [
                {
                    "label": one.label,
                    "refusal": engine_word(one.refusal, language),
                    "parties": [] if one.diff is None else _parties(one.diff.parties, names, currency),
                }
                for one in shadows
            ],
            "total": _parties(totals(shadows), names, currency) if len(shadows) > 1 else [],
        }


def _parties(parties: tuple[PartyDiff, ...], names: dict[str, str], currency: str) -> list[dict[str, Any]]:
    moved = [one for one in parties if one.delta_minor]
    widest = max((abs(one.delta_minor) for one in moved), default=1)
    return [
        {
            "name": names.get(one.party, one.party),
            "before": money(one.before_minor, currency),
            "after": money(one.after_minor, currency),
            "delta": ("+" if one.delta_minor > 0 else "") + money(one.delta_minor, currency),
            "rises": one.delta_minor > 0,
            "width": max(1, abs(one.delta_minor) * 100 // widest),
        }
        for one in moved
    ]


def _findings(look: Look, visit: Visit) -> Table:
    word, language = rules_words(visit.language), visit.language
    columns = (word["record"], word["problem"], word["repair"])
    rows = (
        [
            words_cell(one.subject),
            words_cell(engine_word(one.problem, language)),
            words_cell(engine_word(one.mend, language)),
        ]
        for one in look.findings
    )
    return table("findings", word["checks-findings"].format(count=len(look.findings)), columns, rows)


def _steps(draft: StoredDraft, word: Any, when: Callable[[Any], str]) -> list[tuple[str, str, str]]:
    written = f"{draft.saved_by} · {when(draft.saved_at)}"
    ended = "" if draft.ended_at is None else f"{draft.ended_by} · {when(draft.ended_at)}"
    if draft.state is DraftState.WITHDRAWN:
        return [(word["step-written"], written, "done"), (word["step-withdrawn"], ended, "failed")]
    place = (DraftState.OPEN, DraftState.HANDED_IN, DraftState.RELEASED).index(draft.state)
    tones = [("now", "", ""), ("done", "now", ""), ("done", "done", "done")][place]
    names = (word["step-written"], word["step-handed-in"], word["step-released"])
    return list(zip(names, (written, "", ended), tones, strict=True))


def _edit_href(part: str, draft: StoredDraft) -> str:
    """Give the page on which a part is written."""
    kind, _, name = part.partition("/")
    page = {
        "pool": f"compose?pool={name}&",
        "numbers": f"coefficient-form?name={name}&",
        "series": f"series-form?name={name}&",
        "tariff": "price-form?",
    }.get(kind)
    return "" if page is None else f"/rules/{draft.site}/{page}draft={draft.draft}"


def _revision(form: Form) -> int:
    return form.number("revision") or 0
