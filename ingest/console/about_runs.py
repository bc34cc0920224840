"""All pages about runs on one router, over the desks they share."""

from __future__ import annotations

from fastapi import APIRouter

from ingest.closing import Closing
from ingest.console.compare_pages import ComparePages
from ingest.console.jobs_pages import JobsPages
from ingest.console.review_pages import ReviewPages
from ingest.console.runs_pages import RunsPages
from ingest.ordered_jobs import OrderedJobs
from ingest.preview_desk import PreviewDesk
from ingest.review_desk import ReviewDesk
from ingest.store.database import Database
from metering.clock import Clock


def run_pages(database: Database, closing: Closing, clock: Clock, previews: PreviewDesk) -> APIRouter:
    """Give the routes; they stand before `/runs/{run}`, which would take `close` for a run."""
    review, jobs = ReviewDesk(database), OrderedJobs(database, closing, clock)
    router = APIRouter(include_in_schema=False)
    for pages in (
        RunsPages(review, clock),
        JobsPages(jobs, review, database, clock),
        ReviewPages(database, review, closing.desk, clock),
        ComparePages(database, review, closing.desk, previews),
    ):
        router.include_router(pages.router())
    return router
