"""`metertree settle`: settlement as a process of its own, beside others."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from allocation_engine.run_state import RunUnknown
from ingest.commands import Subparsers
from ingest.config import DSN, PROFILES, Settings, add_settings
from ingest.program_config import SETTLE_PROGRAM, read_settle_config
from metering.errors import BooksError
from metering.identity import NodeId, SiteId

if TYPE_CHECKING:
    from device_profiles.catalogue import Catalogue
    from ingest.console.words import Language
    from ingest.store.database import Connection


class DayUnreadable(BooksError):
    """What was given for a day is none."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "settle",
        help="settle what arrives, by itself",
        description="Turn what arrived into settled days, whenever something did. Several may run, also beside "
        "`metertree serve`: each site is settled by one of them at a time. Ends on SIGTERM.",
    )
    add_settings(parser, *SETTLE_PROGRAM)
    tell = parser.add_argument_group("instead of settling, tell")
    tell.add_argument("--list", action="store_true", help="what waits, and the runs whose days have changed since")
    tell.add_argument(
        "--changes", metavar="RUN", help="the days that changed since a run was computed (id or beginning)"
    )
    tell.add_argument(
        "--explain", nargs=3, metavar=("SITE", "NODE", "DAY"), help="how a settled day came about; DAY as 2026-07-31"
    )
    tell.add_argument("--csv", action="store_true", help="with --changes: for spreadsheets")
    tell.add_argument("--lang", choices=("en", "zh"), default="en", help="language of what is told (default en)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Settle until told to end, or tell what was asked for."""
    from ingest.app import settle

    if args.list or args.changes or args.explain:
        return _tell(args)
    settle(read_settle_config(Settings(args)))
    return 0


def _tell(args: argparse.Namespace) -> int:
    from device_profiles.catalogue import Catalogue
    from ingest.console.words import Language
    from ingest.store.database import Database

    settings, language = Settings(args), Language(args.lang)
    profiles = settings.optional(PROFILES)
    with Database(settings.text(DSN), connections=1) as database, database.transaction() as connection:
        if args.explain:
            lines = _explained(
                connection, Catalogue.load(*([Path(profiles)] if profiles else [])), args.explain, language
            )
        elif args.changes:
            lines = _changes(connection, args.changes, language, csv=args.csv)
        else:
            lines = _listed(connection, language)
    print("\n".join(lines))
    return 0


def _listed(connection: Connection, language: Language) -> list[str]:
    from ingest.settlement_desk import list_waiting
    from ingest.settlement_words import changed_run_lines, waiting_lines
    from ingest.store.run_changes import CHANGES_MAX, list_changed_runs

    runs = list_changed_runs(connection, site=None, most=CHANGES_MAX)
    return [*waiting_lines(list_waiting(connection), language), *changed_run_lines(runs, language)]


def _changes(connection: Connection, beginning: str, language: Language, *, csv: bool) -> list[str]:
    from ingest.settlement_words import changes_table, settlement_word
    from ingest.store.run_changes import CHANGES_MAX, changes_since, list_changes
    from ingest.store.runs import LIST_MAX, list_runs

    heads = list_runs(connection, site=None, period=None, most=LIST_MAX)
    found = [head.run for head in heads if head.run.startswith(beginning)]
    if len(found) != 1:
        raise RunUnknown(f"{len(found)} runs begin with {beginning!r}; list them with: metertree run list")
    (run,) = found
    changed = changes_since(connection, run)
    table = changes_table(list_changes(connection, run, after=None, most=CHANGES_MAX), changed, language)
    if csv:
        return [table.to_csv().decode("utf-8-sig").rstrip()]
    if not table.rows:
        return [settlement_word("no-run-changed", language)]
    rows = ("  ".join(cell.text for cell in row) for row in table.rows)
    return [table.note, "  ".join(table.columns), *rows]


def _explained(connection: Connection, catalogue: Catalogue, place: Sequence[str], language: Language) -> list[str]:
    from ingest.settlement_desk import explain_day
    from ingest.settlement_words import story_of_day

    site, node, text = place
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise DayUnreadable(f"{text!r} is not a day of the form 2026-07-31") from error
    stories = explain_day(connection, catalogue, SiteId(site), NodeId(node), day)
    return [line for story in stories for line in story_of_day(story, language)]
