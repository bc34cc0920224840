"""`metertree close`: compute the allocation run of a period."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, PROFILES, Settings, add_settings

if TYPE_CHECKING:
    from allocation_engine.run import Run


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "close",
        help="compute the allocation run of a period, with its signed statements",
        description="Compute the allocation run of a period. The same facts and rules give the same run, stored once.",
    )
    parser.add_argument("site", help="id of the site")
    parser.add_argument("period", help="month (2026-07), or first and last day (2026-07-01--2026-07-15)")
    parser.add_argument(
        "--booked-at",
        required=True,
        type=datetime.fromisoformat,
        metavar="TIME",
        help="booking time the result carries, with its zone: 2026-08-01T09:00:00+08:00",
    )
    parser.add_argument("--by", default="operator", metavar="NAME", help="who computes; somebody else has to approve")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--draft", action="store_true", help="store the run without statements, to be looked at")
    way.add_argument("--dry-run", action="store_true", help="compute and print, and store nothing")
    add_settings(parser, DSN, CENTRE_KEY, PROFILES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Close the period and print the run's id."""
    from device_profiles.catalogue import Catalogue
    from ingest.closing import Closing
    from ingest.commands.run import show_run
    from ingest.settlement import Settlement
    from ingest.store.database import Database
    from metering.identity import SiteId
    from provisioning.keys import SALT_KEY, FileSigner, make_salt_key

    settings = Settings(args)
    folder = settings.text(PROFILES)
    catalogue = Catalogue.load(*([Path(folder)] if folder else []))
    key = Path(settings.text(CENTRE_KEY))
    signer, salt_key = FileSigner.read(key), make_salt_key(key.with_name(SALT_KEY))
    with Database(settings.text(DSN), connections=2) as database:
        closing = Closing(Settlement(database, catalogue), signer, salt_key)
        if args.dry_run:
            print_totals(closing.dry_run(SiteId(args.site), args.period))
            return 0
        stored, is_new = closing.close(
            SiteId(args.site), args.period, booked_at=args.booked_at, actor=args.by, draft=args.draft
        )
        print("new run" if is_new else "this run was stored before; nothing was added")
        show_run(database, stored)
    return 0


def print_totals(run: Run) -> None:
    """Print what a run would be and what each party would pay."""
    from allocation_engine.money import show_minor

    print(f"dry run  {run.id}: nothing was stored")
    for case in run.cases:
        print(f"case     {case.node}: {case.text}")
    for party in run.parties:
        print(f"party    {party}: {show_minor(run.total_minor(party), run.currency)} {run.currency}")
