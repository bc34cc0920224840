"""`metertree jobs`: what is done now and then, as a process of its own; and how it went."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import DSN, Settings, add_settings
from ingest.program_config import JOBS_PROGRAM, read_jobs_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "jobs",
        help="do what is done every night or every minute, by itself; show how it went",
        description="Make partitions to come and drop what is over its time every night; look for what a person must "
        "know; bring aggregates up to date. Several may run, also beside `metertree serve`: one of them leads, and "
        "when it ends another does. Ends on SIGTERM.",
    )
    add_settings(parser, *JOBS_PROGRAM)
    parser.add_argument("--status", action="store_true", help="say how each job went, and end; 1 if one failed")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do the jobs until told to end, or say how they went."""
    from ingest.app import do_jobs

    settings = Settings(args)
    if args.status:
        return _tell(settings)
    do_jobs(read_jobs_config(settings))
    return 0


def _tell(settings: Settings) -> int:
    from ingest.store.database import Database
    from ingest.store.job_log import job_runs

    with Database(settings.text(DSN), connections=1) as database, database.transaction() as connection:
        runs = job_runs(connection)
    for run in runs:
        done = "never" if run.succeeded_at is None else f"{run.succeeded_at:%Y-%m-%d %H:%M:%S} UTC"
        took = "" if run.took is None else f", took {run.took.total_seconds():.1f} s"
        failed = "" if run.fault is None else f"; failed at {run.started_at:%Y-%m-%d %H:%M:%S} UTC: {run.fault}"
        print(f"{run.job}: last done {done}{took}{failed}")
    if not runs:
        print("no job has run yet; metertree jobs does them, and metertree serve")
    return 1 if any(run.fault for run in runs) else 0
