"""The routes of the list of runs: how far each has come, filters, spreadsheet."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from allocation_engine.money import minor_digits
from allocation_engine.run_state import RunState
from ingest.access.policy_file import shipped_policy
from ingest.console.rendering import local_time, money
from ingest.console.review_view import stage_steps, state_tone
from ingest.console.review_words import period_words, review_words, took_words
from ingest.console.tables import Cell, Table, money_cell, number_cell, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.console.words import words
from ingest.review.stages import Mark
from ingest.review_desk import ReviewDesk, RunsPage
from ingest.store.review import RunRow, RunsWanted, SiteTerms
from metering.clock import Clock

PAGE = 20
"""Runs on a page."""
CSV_MAX = 2000
SECTION = "runs"
WAITING = frozenset({RunState.COMPUTED, RunState.CHECKED, RunState.APPROVED})
"""What somebody will open next: the newest of these is read ahead."""
_PERIOD_MAX = 24


class RunsPages:
    """The handlers, over one store."""

    def __init__(self, desk: ReviewDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def router(self) -> APIRouter:
        """Give the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/runs", self.runs, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs.csv", self.csv, methods=["GET"])
        return router

    def runs(
        self, request: Request, state: str = "", period: str = "", page: int = Query(1, ge=1, le=100_000)
    ) -> Response:
        """Show runs, newest first."""
        visit = visit_of(request)
        wanted = _wanted(visit, state, period, PAGE, (page - 1) * PAGE)
        found = self._desk.runs(wanted)
        counts = {str(one): count for one, count in found.counts.items()}
        count = sum(counts.values()) if wanted.state is None else counts.get(wanted.state, 0)
        pages = max(1, -(-count // PAGE))
        word = review_words(visit.language)
        waits = next((row.head.run for row in found.rows if row.head.state in WAITING), None)
        if waits is not None:
            self._desk.warm_soon(waits)
        return visit.page(
            "runs.html",
            section=SECTION,
            word=word,
            rows=[self._row(row, found.terms[row.head.site], visit) for row in found.rows],
            chips=_chips(visit, counts, wanted),
            period=wanted.period,
            state=wanted.state or "",
            is_filtered=bool(wanted.state or wanted.period),
            csv=f"/runs.csv?{urlencode({'state': wanted.state or '', 'period': wanted.period})}",
            number=page,
            pages=pages,
            earlier=visit.here(page=str(page - 1)) if page > 1 else "",
            later=visit.here(page=str(page + 1)) if page < pages else "",
        )

    def csv(self, request: Request, state: str = "", period: str = "") -> Response:
        """Give runs for spreadsheets: instants of stages in UTC."""
        visit = visit_of(request)
        found = self._desk.runs(_wanted(visit, state, period, CSV_MAX, 0))
        return visit.csv(_table(found, visit), "runs.csv")

    def _row(self, row: RunRow, terms: SiteTerms, visit: Visit) -> dict[str, Any]:
        """Give what the list shows of a run."""
        language, head = visit.language, row.head
        word = {**words(language), **review_words(language)}
        stages = row.stages(_ended(row, terms))
        shown = stage_steps(stages, self._clock.now(), terms.calendar, language)
        is_over = head.state is RunState.SUPERSEDED
        return {
            "href": f"/runs/{head.run}/review" if _may(visit, "pages.review") else f"/runs/{head.run}",
            "site": terms.names.of(language),
            "period": period_words(head.period),
            "state": word[f"state-{head.state}"],
            "tone": state_tone(head.state),
            "amount": money(row.amount_minor, terms.currency),
            "lines": word["lines-count"].format(count=f"{row.lines:,}"),
            "open": word["to-reason"].format(count=row.unexplained) if row.unexplained and not is_over else "",
            "stages": [] if is_over else shown,
            "booked_at": local_time(head.booked_at, terms.calendar),
            "hands": _hands(row, word) if _sees_people(visit) else [],
        }


def _may(visit: Visit, permission: str) -> bool:
    return shipped_policy().may(visit.principal, permission)


def _sees_people(visit: Visit) -> bool:
    return shipped_policy().sees(visit.principal, "runs-page", "hands")


def _wanted(visit: Visit, state: str, period: str, most: int, skip: int) -> RunsWanted:
    """Read the filter; a reader with some sites only gets those whatever he asks for."""
    allowed = getattr(visit.principal, "sites", None)
    chosen = visit.site
    sites = (str(chosen),) if chosen is not None else None if allowed is None else tuple(sorted(map(str, allowed)))
    known = RunState(state) if state in set(RunState) else None
    return RunsWanted(sites, known, period.strip()[:_PERIOD_MAX], most, skip)


def _chips(visit: Visit, counts: dict[str, int], wanted: RunsWanted) -> list[tuple[str, str, bool]]:
    word = {**words(visit.language), **review_words(visit.language)}
    chips = [(f"{word['all-states']} {sum(counts.values())}", visit.here(state="", page=""), wanted.state is None)]
    for state in RunState:
        if counts.get(state) or state == wanted.state:
            text = f"{word[f'state-{state}']} {counts.get(state, 0)}"
            chips.append((text, visit.here(state=str(state), page=""), state == wanted.state))
    return chips


def _hands(row: RunRow, word: dict[str, str]) -> list[tuple[str, str]]:
    named = zip(
        ("computed-by", "checked-by", "approved-by"),
        (row.hands.computed_by, row.hands.checked_by, row.hands.approved_by),
        strict=True,
    )
    return [(word[key], name) for key, name in named if name]


def _ended(row: RunRow, terms: SiteTerms) -> datetime:
    return terms.calendar.period(row.head.period).end


def _table(found: RunsPage, visit: Visit) -> Table:
    language = visit.language
    word = {**words(language), **review_words(language)}
    heads = ["run", "site", "period", "state", "amount", "all-lines", "computed-by", "checked-by", "approved-by"]
    columns = [word[one] for one in heads]
    for mark in Mark:
        columns.append(word[f"stage-{mark}"])
        if mark is not Mark.ENDED:
            columns.append(f"{word[f'stage-{mark}']}: {word['took']} [s]")
    return table("runs", word["runs"], columns, (_cells(row, found.terms[row.head.site], visit) for row in found.rows))


def _cells(row: RunRow, terms: SiteTerms, visit: Visit) -> list[Cell]:
    head, sees_people = row.head, _sees_people(visit)
    hands = (row.hands.computed_by, row.hands.checked_by, row.hands.approved_by)
    cells = [
        words_cell(head.run),
        words_cell(terms.names.of(visit.language), head.site),
        words_cell(head.period),
        words_cell(str(head.state)),
        money_cell(row.amount_minor, terms.currency, minor_digits(terms.currency)),
        number_cell(row.lines, 0),
        *(words_cell(name or "" if sees_people else "") for name in hands),
    ]
    for stage in row.stages(_ended(row, terms)):
        cells.append(words_cell("" if stage.at is None else stage.at.isoformat(timespec="seconds")))
        if stage.mark is not Mark.ENDED:
            took = stage.took
            shown = took_words(took, visit.language)
            cells.append(Cell(shown, "" if took is None else str(int(took.total_seconds())), True))
    return cells
