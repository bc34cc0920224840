"""`metertree statements` and `metertree statement`: links of statements for mailing, and statements on paper."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, Settings, add_settings, local_caller

if TYPE_CHECKING:
    from ingest.statement_desk import StatementDesk

DAYS = 400
WORDS = {
    "en": {
        "link": "{url}\nopens {number} until {until}; whoever has it can look, confirm and dispute",
        "gone": "the link of {number} opens nothing any more",
        "printed": "{written} statements printed, {kept} were there already: {folder}",
        "printing": "printing statements",
    },
    "zh": {
        "link": "{url}\n可打开 {number}，{until} 前有效；持有链接者可以查看、确认和提出异议",
        "gone": "{number} 的链接已失效",
        "printed": "打印 {written} 份确认单，另有 {kept} 份已在：{folder}",
        "printing": "打印确认单",
    },
}
BASE_HELP = "address under which the centre's pages are reached, as https://energy.example.com"


def register(subparsers: Subparsers) -> None:
    """Add both commands with their verbs."""
    one = subparsers.add_parser("statement", help="make or take back the link of one statement")
    verbs = one.add_subparsers(metavar="VERB", required=True)
    link = verbs.add_parser("link", help="show the link of a statement; it is made if there is none in force")
    link.add_argument("number", help="number of the statement")
    link.add_argument("--renew", action="store_true", help="make a new link; the old one opens nothing any more")
    link.add_argument("--days", type=int, default=DAYS, help=f"how long a new link opens (default {DAYS})")
    link.set_defaults(run=_link)
    revoke = verbs.add_parser("revoke", help="let the link of a statement open nothing any more")
    revoke.add_argument("number", help="number of the statement")
    revoke.add_argument("--reason", default="", help="why, as the audit log will say it")
    revoke.set_defaults(run=_revoke)
    many = subparsers.add_parser(
        "statements",
        help="links of all statements of a run, and the statements as PDF",
        description="Links are made where they are missing and stay the same, so both verbs may be repeated.",
    )
    of_run = many.add_subparsers(metavar="VERB", required=True)
    links = of_run.add_parser("links", help="list number, party, link and its last day, for mailing")
    links.add_argument("id", metavar="RUN", help="id of a run, or how it begins")
    links.add_argument("--csv", action="store_true", help="as CSV with a header")
    links.set_defaults(run=_links)
    paper = of_run.add_parser("print", help="write every statement as PDF with its code; goes on where it broke off")
    paper.add_argument("id", metavar="RUN", help="id of a run, or how it begins")
    paper.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder the files go to")
    paper.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    paper.set_defaults(run=_print)
    for verb in (link, revoke, links, paper):
        verb.add_argument("--lang", choices=tuple(WORDS), default="zh", help="language (default zh)")
        if verb is not revoke:
            verb.add_argument("--base", required=True, metavar="URL", help=BASE_HELP)
        add_settings(verb, DSN, CENTRE_KEY)


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    return int(args.run(args))


def _link(args: argparse.Namespace) -> int:
    with _desk(args) as desk:
        made = desk.link(args.number, local_caller(), renew=args.renew, days=args.days)
    told = WORDS[args.lang]["link"]
    print(told.format(url=made.url(args.base), number=made.statement, until=f"{made.expires_at:%Y-%m-%d}"))
    return 0


def _revoke(args: argparse.Namespace) -> int:
    with _desk(args) as desk:
        desk.revoke(args.number, local_caller(), args.reason)
    print(WORDS[args.lang]["gone"].format(number=args.number))
    return 0


def _links(args: argparse.Namespace) -> int:
    with _desk(args) as desk:
        found = desk.links(_run_id(desk, args.id), local_caller())
    rows = [(one.statement, one.party, one.url(args.base), f"{one.expires_at:%Y-%m-%d}") for one in found]
    if args.csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerows([("statement", "party", "link", "until"), *rows])
    else:
        for row in rows:
            print("  ".join(row))
    return 0


def _print(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.console.words import Language
    from ingest.statement_printing import PrintOrder, print_statements

    words = WORDS[args.lang]
    with _desk(args) as desk:
        links = desk.links(_run_id(desk, args.id), local_caller())
    order = PrintOrder(Settings(args).text(DSN), args.to, Language(args.lang), args.base)
    shown = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        task = progress.add_task(words["printing"], total=len(links))
        done = print_statements(
            order,
            links,
            workers=max(1, args.workers),
            watch=lambda there, _: progress.update(task, completed=there),
        )
    print(words["printed"].format(written=done.written, kept=done.kept, folder=args.to))
    return 0


def _run_id(desk: StatementDesk, beginning: str) -> str:
    from ingest.commands.run import find_run_id

    with desk.database.transaction() as connection:
        return find_run_id(connection, beginning)


@contextmanager
def _desk(args: argparse.Namespace) -> Iterator[StatementDesk]:
    from ingest.statement_desk import StatementDesk
    from ingest.store.database import Database
    from metering.clock import SystemClock
    from provisioning.keys import SALT_KEY, read_salt_key

    settings = Settings(args)
    salt_key = read_salt_key(Path(settings.text(CENTRE_KEY)).with_name(SALT_KEY))
    with Database(settings.text(DSN), connections=2) as database:
        yield StatementDesk(database, SystemClock(), salt_key)
