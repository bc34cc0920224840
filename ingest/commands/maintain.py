"""`metertree maintain`: make the partitions to come, and drop what is over its time. Run it every night."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import DSN, STORAGE_SETTINGS, Settings, add_settings, read_storage


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "maintain",
        help="make the partitions to come, and drop what is over its time",
        description="Make the partitions to come or the policies that settings ask for, then drop what is older than "
        "its time. Envelopes stay while a statement that must be provable rests on them. Safe to run at any time.",
    )
    add_settings(parser, DSN, *STORAGE_SETTINGS)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Maintain the store, and say what was done."""
    from ingest.store.database import Database
    from ingest.store.layout import missing_steps
    from ingest.store.retention import maintain, steps_of_retention
    from metering.clock import SystemClock

    settings = Settings(args)
    storage, now = read_storage(settings), SystemClock().now()
    done = 0
    with Database(settings.text(DSN), connections=1) as database:
        if args.dry_run:
            with database.transaction() as connection:
                for step in (*missing_steps(connection, storage, now), *steps_of_retention(connection, storage, now)):
                    print(f"would do: {step.what}\n    {step.statement}")
            return 0
        for what in maintain(database, storage, now):
            print(what)
            done += 1
    if not done:
        print("nothing to do")
    return 0
