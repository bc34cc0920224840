"""`metertree run`: show the stored allocation runs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import DSN, Settings, add_settings
from metering.errors import BooksError

if TYPE_CHECKING:
    from ingest.store.database import Database
    from ingest.store.runs import StoredRun

LISTED = 20


class RunUnknown(BooksError):
    """No stored run begins with the id that was given."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="list allocation runs, or show one with its pools and statements",
        description="List the newest allocation runs, or show one. An id may be shortened to what is unique.",
    )
    parser.add_argument("id", nargs="?", help="id of a run, or its beginning")
    parser.add_argument("--json", action="store_true", help="print the whole document of the run")
    add_settings(parser, DSN)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, or show."""
    from ingest.store.database import Database
    from ingest.store.runs import LIST_MAX, find_run, list_runs

    with Database(Settings(args).text(DSN), connections=1) as database:
        with database.transaction() as connection:
            heads = list_runs(connection, site=None, period=None, most=LIST_MAX if args.id else LISTED)
            if args.id is None:
                for head in heads:
                    print(f"{head.run[:16]}  {head.site}  {head.period}  {head.state}  {head.booked_at.isoformat()}")
                return 0
            found = [head for head in heads if head.run.startswith(args.id)]
            if len(found) != 1:
                raise RunUnknown(f"{len(found)} runs begin with {args.id!r}; list them with: metertree run")
            stored = find_run(connection, found[0].run)
        assert stored is not None
        if args.json:
            print(json.dumps(stored.document, ensure_ascii=False, indent=1, sort_keys=True))
        else:
            show_run(database, stored)
    return 0


def show_run(database: Database, stored: StoredRun) -> None:
    """Print the head of a run with what it is held to, the proof of each pool, and its statements."""
    from allocation_engine.money import show_minor
    from ingest.store.statements import numbers_of_run

    head, document = stored.head, stored.document
    currency = document["currency"]
    print(f"run      {head.run}")
    print(f"root     {document['commitment']['root']}  (the same on every statement; post it)")
    print(f"period   {head.site} {head.period}, booked at {head.booked_at.isoformat()}, {head.state}")
    for pool in document["pools"]:
        cost, charged = pool["cost_minor"], pool["charged_minor"]
        texts = [show_minor(amount, currency) for amount in (charged, cost - charged, cost)]
        print(f"pool     {pool['id']}: lines {texts[0]} + residual {texts[1]} = {texts[2]} {currency}")
    for case in document["cases"]:
        print(f"case     {case['node']}: {case['text']}")
    with database.transaction() as connection:
        for number, party in numbers_of_run(connection, head.run):
            total = sum(line["amount_minor"] for line in document["lines"] if line["party"] == party)
            print(f"stated   {number}: {show_minor(total, currency)} {currency}")
