"""The routes of long work: ordering that a period is closed, and watching how far it is, with and without a script."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from ingest.api.problems import Problem
from ingest.console.forms import Form, FormRead
from ingest.console.rendering import local_time
from ingest.console.review_words import period_words, review_words, took_words
from ingest.console.tables import Table, table, words_cell
from ingest.console.visit import Visit, visit_of
from ingest.console.words import words
from ingest.ordered_jobs import JobUnknown, OrderedJobs, Standing
from ingest.review_desk import ReviewDesk
from ingest.store.database import Database
from ingest.store.ordered_jobs import JobEvent, JobState, OrderedJob
from ingest.store.review import SiteTerms
from metering.clock import Clock
from metering.identity import SiteId
from metering.interval import CalendarInvalid

LISTED = 50
MONTHS_OFFERED = 12
SECTION = "runs"
STAGES = ("settle", "gather", "compute", "commit", "store", "seal")
LOOK_S = 0.4
"""How often a stream looks for what a job told: each look is one query."""
STREAM_S = 240.0
"""Longest stream [s]; browsers come back by themselves, with the number of the last event they have."""
STREAMS_MAX = 64
BEAT_S = 15.0
"""How often a stream says that it is there, for proxies that cut what is silent."""
TONES = {
    JobState.WAITING: "plain",
    JobState.RUNNING: "info",
    JobState.DONE: "good",
    JobState.REFUSED: "bad",
    JobState.INTERRUPTED: "warn",
}


@dataclass
class JobsPages:
    """The handlers. `_streams`: how many watch now."""

    jobs: OrderedJobs
    desk: ReviewDesk
    database: Database
    clock: Clock
    _streams: int = field(default=0, init=False)

    def router(self) -> APIRouter:
        """Give the routes; those below /runs stand before the page of a run, whose name could be `close`."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/runs/close", self.ask, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/runs/close", self.order, methods=["POST"], response_class=HTMLResponse)
        router.add_api_route("/jobs", self.list, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/jobs.csv", self.csv, methods=["GET"])
        router.add_api_route("/jobs/{job}", self.job, methods=["GET"], response_class=HTMLResponse)
        router.add_api_route("/jobs/{job}/events", self.events, methods=["GET"])
        return router

    # Closing a period

    def ask(self, request: Request, period: str = "") -> Response:
        """Show the form that orders a closing."""
        visit = visit_of(request)
        return self._form(visit, Form({"period": (period,)} if period else {}), {})

    def order(self, request: Request, form: FormRead) -> Response:
        """Order it, and lead to the job."""
        visit = visit_of(request)
        word, faults = review_words(visit.language), dict[str, str]()
        site = SiteId(form.text("site"))
        terms = self._terms(visit).get(site)
        booked_at = None
        if terms is None:
            faults["site"] = word["close-site-bad"]
        else:
            try:
                terms.calendar.period(form.text("period"))
            except CalendarInvalid as error:
                faults["period"] = f"{word['close-period-bad']}: {error}"
            booked_at = _booked_at(form.text("booked_at"), terms)
            if booked_at is None:
                faults["booked_at"] = word["close-booked-bad"]
        if faults or booked_at is None:
            return self._form(visit, form, faults)
        caller = visit.principal.caller
        draft = bool(form.text("draft"))
        job = self.jobs.order_close(site, form.text("period"), booked_at, caller, draft=draft)
        return visit.redirect(f"/jobs/{job}")

    def _form(self, visit: Visit, form: Form, faults: dict[str, str]) -> Response:
        known = self._terms(visit)
        chosen = form.text("site") or str(visit.one_site or "")
        terms = known.get(SiteId(chosen))
        months = [] if terms is None else _months(terms, self.clock.now())
        now = "" if terms is None else terms.calendar.local(self.clock.now()).strftime("%Y-%m-%dT%H:%M")
        return visit.page(
            "close.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
            section=SECTION,
            word=review_words(visit.language),
            sites=[(site, one.names.of(visit.language)) for site, one in known.items()],
            chosen=chosen,
            period=form.text("period") or (months[0] if months else ""),
            months=months,
            booked_at=form.text("booked_at") or now,
            draft=bool(form.text("draft")),
            faults=faults,
        )

    def _terms(self, visit: Visit) -> dict[SiteId, SiteTerms]:
        with self.database.transaction() as connection:
            found = self.desk.terms(connection)
        return {site: one for site, one in found.items() if visit.principal.reaches(site)}

    # Jobs

    def list(self, request: Request) -> Response:
        """Show what was ordered."""
        visit = visit_of(request)
        found = self.jobs.list(visit.principal.sites, LISTED)
        return visit.page(
            "jobs.html",
            section=SECTION,
            word=review_words(visit.language),
            table=_table(found, self._terms(visit), visit),
            links=[f"/jobs/{one.job}" for one in found],
            refresh_s=5 if any(one.is_open for one in found) else None,
        )

    def csv(self, request: Request) -> Response:
        """Give what was ordered for spreadsheets."""
        visit = visit_of(request)
        return visit.csv(_table(self.jobs.list(visit.principal.sites, LISTED), self._terms(visit), visit), "jobs.csv")

    def job(self, request: Request, job: str) -> Response:
        """Show one job; without a script the page comes anew every few seconds while it goes on."""
        visit = visit_of(request)
        found = self._find(visit, job)
        if found is None:
            return visit.missing()
        if found.job.run is not None:
            self.desk.warm_soon(found.job.run)
        terms = self._terms(visit)[found.job.order.site]
        return visit.page(
            "job.html",
            section=SECTION,
            word=review_words(visit.language),
            site=found.job.order.site,
            **_shown(found, terms, visit, self.clock.now()),
        )

    async def events(self, request: Request, job: str) -> Response:
        """Tell what a job tells as server-sent events; `Last-Event-ID` says what the watcher has seen."""
        visit = visit_of(request)
        if await run_in_threadpool(self._find, visit, job) is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"job {job} does not exist", "/jobs lists what was ordered")
        if self._streams >= STREAMS_MAX:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{STREAMS_MAX} watch already",
                "load the page instead",
                headers={"Retry-After": "5"},
            )
        seen = request.headers.get("Last-Event-ID", "")
        after = int(seen) if seen.isascii() and seen.isdigit() else 0
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(job, after, visit), media_type="text/event-stream", headers=headers)

    async def _stream(self, job: str, after: int, visit: Visit) -> AsyncIterator[str]:
        """Look again and again until the job has ended, the watcher is gone (the framework cancels), or it is time."""
        self._streams += 1
        try:
            begun_s = beat_s = time.monotonic()
            yield "retry: 1000\n\n"
            while time.monotonic() - begun_s < STREAM_S:
                found, standing = await run_in_threadpool(self.jobs.events, job, after)
                for event in found:
                    after = event.number
                    yield _sse(event.number, "progress", _told(event, visit))
                if standing is None or not standing.is_open:
                    state = "gone" if standing is None else str(standing.state)
                    yield _sse(after, "end", {"state": state})
                    return
                if found:
                    beat_s = time.monotonic()
                elif time.monotonic() - beat_s > BEAT_S:
                    beat_s = time.monotonic()
                    yield ": still there\n\n"
                    await run_in_threadpool(self.jobs.tidy)
                await asyncio.sleep(LOOK_S)
        finally:
            self._streams -= 1

    def _find(self, visit: Visit, job: str) -> Standing | None:
        try:
            found = self.jobs.find(job)
        except JobUnknown:
            return None
        return found if visit.principal.reaches(found.job.order.site) else None


def _sse(number: int, event: str, body: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {event}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"


def _told(event: JobEvent, visit: Visit) -> dict[str, Any]:
    """Give an event with what a page writes of it."""
    stage, done, of = (event.body.get(name) for name in ("stage", "done", "of"))
    word = review_words(visit.language)
    note = f"{done:,} / {of:,}" if isinstance(of, int) and of > 1 else ""
    return {**event.body, "text": word.get(f"work-{stage}", str(stage)), "note": note}


def _shown(found: Standing, terms: SiteTerms, visit: Visit, now: datetime) -> dict[str, Any]:
    """Give what the page of a job shows."""
    job, word = found.job, review_words(visit.language)
    newest = None if found.newest is None else _told(found.newest, visit)
    stage = None if newest is None else newest["stage"]
    reached = STAGES.index(stage) if stage in STAGES else -1
    ended = job.ended_at or now
    took = None if job.started_at is None else max(ended - job.started_at, timedelta())
    is_done = job.state is JobState.DONE
    return {
        "job": job.job,
        "is_open": job.is_open,
        "state": str(job.state),
        "state_word": word[f"job-{job.state}"],
        "tone": TONES[job.state],
        "title": word["job-close"].format(subject=period_words(job.order.subject)),
        "site_title": terms.names.of(visit.language),
        "ordered_by": job.order.ordered_by,
        "ordered_at": local_time(job.ordered_at, terms.calendar),
        "took": took_words(took, visit.language),
        "run": job.run,
        "outcome": job.told,
        "again": f"/runs/close?period={job.order.subject}",
        "text": word["work-waiting"] if newest is None else newest["text"],
        "note": "" if newest is None else newest["note"],
        "done": 0 if newest is None else newest["done"],
        "of": None if newest is None or newest["of"] <= 1 else newest["of"],
        "steps": [
            (
                word[f"work-{one}"],
                "",
                "done" if is_done or place < reached else _now_tone(job) if place == reached else "",
            )
            for place, one in enumerate(STAGES)
        ],
        "stages": STAGES,
    }


def _now_tone(job: OrderedJob) -> str:
    return "now" if job.is_open else "failed"


def _table(found: tuple[OrderedJob, ...], terms: dict[SiteId, SiteTerms], visit: Visit) -> Table:
    word = {**words(visit.language), **review_words(visit.language)}
    rows = (
        [
            words_cell(word["job-close"].format(subject=period_words(one.order.subject)), one.job),
            words_cell(terms[one.order.site].names.of(visit.language), one.order.site),
            words_cell(word[f"job-{one.state}"], str(one.state), TONES[one.state]),
            words_cell(one.order.ordered_by),
            words_cell(local_time(one.ordered_at, terms[one.order.site].calendar), one.ordered_at.isoformat()),
            words_cell(
                took_words(
                    None if one.started_at is None or one.ended_at is None else one.ended_at - one.started_at,
                    visit.language,
                )
            ),
        ]
        for one in found
    )
    columns = (word[one] for one in ("jobs", "site", "state", "ordered-by", "ordered", "took"))
    return table("jobs", "", columns, rows)


def _months(terms: SiteTerms, now: datetime) -> list[str]:
    """List the months that are over, newest first."""
    day = terms.calendar.local(now).date().replace(day=1)
    months = []
    for _ in range(MONTHS_OFFERED):
        day = (day - timedelta(days=1)).replace(day=1)
        months.append(f"{day:%Y-%m}")
    return months


def _booked_at(text: str, terms: SiteTerms) -> datetime | None:
    """Read a local time of the site; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=terms.calendar.tz)
