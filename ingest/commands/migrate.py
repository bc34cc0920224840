"""`metertree migrate`: bring the database to the newest schema."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import DSN, Settings, add_settings


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring the database to the newest schema",
        description="Apply the migrations the database lacks, all in one transaction. Safe to run again.",
    )
    add_settings(parser, DSN)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Migrate, and say what was applied."""
    from ingest.store.database import Database
    from ingest.store.migrate import migrate

    with Database(Settings(args).text(DSN), connections=1) as database:
        applied = migrate(database)
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("the database is up to date")
    return 0
