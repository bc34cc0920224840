"""`metertree migrate`: bring the database to the newest schema, and its big tables into their layout."""

from __future__ import annotations

import argparse
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import DSN, STORAGE_SETTINGS, Settings, add_settings, read_storage

if TYPE_CHECKING:
    from ingest.store.database import Database
    from ingest.store.layout import Storage


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring the database to the newest schema",
        description="Apply the migrations the database lacks, all in one transaction; then lay out readings and "
        "envelopes as hypertables (TimescaleDB) or as partitions by month, each step in its own transaction. Safe to "
        "run again, also after it was broken off.",
    )
    add_settings(parser, DSN, *STORAGE_SETTINGS)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument(
        "--to-hypertables",
        action="store_true",
        help="turn partitions into hypertables, where TimescaleDB was installed later; writes every row anew",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Migrate, and say what was done."""
    from ingest.store.aggregates import fill_new_aggregates
    from ingest.store.database import Database
    from ingest.store.layout import arrange, convert
    from ingest.store.migrate import migrate_schema
    from metering.clock import SystemClock

    settings = Settings(args)
    storage, now = read_storage(settings), SystemClock().now()
    with Database(settings.text(DSN), connections=1) as database:
        if args.dry_run:
            return _foretell(database, storage, now, to_hypertables=args.to_hypertables)
        applied = migrate_schema(database)
        for name in applied:
            print(f"applied {name}")
        done: list[str] = []
        for what in chain(convert(database, storage) if args.to_hypertables else (), arrange(database, storage, now)):
            print(what)
            done.append(what)
        for what in fill_new_aggregates(database, done):
            print(what)
    if not (applied or done):
        print("the database is up to date")
    return 0


def _foretell(database: Database, storage: Storage, now: datetime, *, to_hypertables: bool) -> int:
    """Print what migrating would do now; a step that another one makes possible shows once that one is done."""
    from ingest.store.layout import missing_steps, steps_to_hypertables
    from ingest.store.migrate import unapplied_migrations

    for name in unapplied_migrations(database):
        print(f"would apply {name}")
    with database.transaction() as connection:
        steps = steps_to_hypertables(connection, storage) if to_hypertables else missing_steps(connection, storage, now)
    for step in steps:
        print(f"would do: {step.what}\n    {step.statement}")
    return 0
