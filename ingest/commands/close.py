"""`metertree close`: compute the allocation run of a period, of one site or of many."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, PROFILES, Settings, add_settings
from metering.errors import MeteringError

if TYPE_CHECKING:
    from allocation_engine.run import Run
    from ingest.many_sites.board import Board
    from ingest.many_sites.order import CloseOrder, Pool, Way
    from ingest.many_sites.site_task import WorkerSettings
    from metering.identity import SiteId

INTERRUPTED = 130


class DatabaseBehind(MeteringError):
    """The database lacks a migration of this program."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "close",
        help="compute the allocation run of a period, with its signed statements; of one site, or of many at once",
        usage="metertree close SITE PERIOD --booked-at TIME [options]\n"
        "       metertree close --sites all|A,B,...|FILE PERIOD --booked-at TIME [--executor local|dask] [options]",
        description="Compute the allocation run of a period. The same facts and rules give the same run, stored once. "
        "With --sites each site is closed by a worker process; one that is refused does not stop the others. "
        "Exit code 0: every site is closed; 1: one is not; 130: stopped by Ctrl-C, what was closed is kept.",
    )
    site = parser.add_argument("site", metavar="SITE", help="id of the site; left out with --sites")
    period = parser.add_argument(
        "period", metavar="PERIOD", help="month (2026-07), or first and last day (2026-07-01--2026-07-15)"
    )
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
    many = parser.add_argument_group("many sites")
    many.add_argument(
        "--sites",
        action=_ManySites,
        places=(site, period),
        metavar="SITES",
        help="all (of the database), ids with commas between, or a file with one id a line (a name with / or .)",
    )
    many.add_argument(
        "--executor", choices=("local", "dask"), help="processes of this machine (default), or Dask workers"
    )
    many.add_argument("--workers", type=_count, metavar="N", help="worker processes here; default one per processor")
    many.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask cluster; default one of this machine")
    many.add_argument("--json", action="store_true", help="print one JSON document; progress goes to standard error")
    add_settings(parser, DSN, CENTRE_KEY, PROFILES)
    parser.set_defaults(run=run, wrong_call=parser.error)


class _ManySites(argparse.Action):
    """`--sites` takes the place of SITE: then one word is enough, and it is the period."""

    def __init__(self, *, places: tuple[argparse.Action, argparse.Action], **parts: Any) -> None:
        super().__init__(**parts)
        self._places = places

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        _option: str | None = None,
    ) -> None:
        for place in self._places:
            place.required = False
        setattr(namespace, self.dest, values)


def run(args: argparse.Namespace) -> int:
    """Close the period and print the run's id, or one line for each site."""
    if args.sites is None:
        if args.executor or args.workers or args.scheduler or args.json:
            args.wrong_call("--executor, --workers, --scheduler and --json go with --sites")
        return _close_one(args)
    if args.site is None or args.period is not None:
        args.wrong_call("with --sites give one PERIOD, and no SITE")
    if args.scheduler and (args.workers or args.executor != "dask"):
        args.wrong_call("--scheduler goes with --executor dask, and without --workers")
    args.period = args.site
    return _close_many(args)


def _close_one(args: argparse.Namespace) -> int:
    from device_profiles.catalogue import Catalogue
    from ingest.closing import Closing
    from ingest.closing_progress import ClosingProgress
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
        closing = Closing(Settlement(database, catalogue), signer, salt_key, sealers=os.cpu_count() or 1)
        if args.dry_run:
            print_totals(closing.dry_run(SiteId(args.site), args.period))
            return 0
        with ClosingProgress() as watch:
            stored, is_new = closing.close(
                SiteId(args.site), args.period, booked_at=args.booked_at, actor=args.by, draft=args.draft, watch=watch
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


def _close_many(args: argparse.Namespace) -> int:
    from rich.console import Console

    from ingest.many_sites.board import Board

    order, sites, settings = _prepared(args)
    board = Board(Console(stderr=args.json, highlight=False), sites)
    was_stopped = not _followed(_pool(args, settings), order, sites, board)
    if args.json:
        print(json.dumps(_document(args, board), ensure_ascii=False))
    else:
        board.print_summary()
    if was_stopped:
        return INTERRUPTED
    return 0 if all(outcome.result.is_good for outcome in board.outcomes) else 1


def _prepared(args: argparse.Namespace) -> tuple[CloseOrder, tuple[SiteId, ...], WorkerSettings]:
    """Look at everything that would stop every site alike, once and before anything starts."""
    from ingest.closing import BookingTimeNaive
    from ingest.many_sites.order import CloseOrder
    from ingest.many_sites.site_list import read_site_list
    from ingest.many_sites.site_task import WorkerSettings, open_closing
    from ingest.store.migrate import is_migrated
    from ingest.store.sites import site_ids
    from provisioning.keys import SALT_KEY, make_salt_key

    settings = WorkerSettings.read(Settings(args))
    if args.booked_at.tzinfo is None:
        raise BookingTimeNaive("--booked-at carries no time zone; write it as 2026-08-01T09:00:00+08:00")
    make_salt_key(Path(settings.centre_key).with_name(SALT_KEY))
    with open_closing(settings) as (closing, mark):
        database = closing.settlement.database
        if not is_migrated(database):
            raise DatabaseBehind("the database is not up to date; run: metertree migrate")
        with database.transaction() as connection:
            sites = read_site_list(args.sites, lambda: site_ids(connection))
    return CloseOrder(args.period, args.booked_at, args.by, _way(args), mark), sites, settings


def _way(args: argparse.Namespace) -> Way:
    from ingest.many_sites.order import Way

    return Way.DRAFT if args.draft else Way.DRY_RUN if args.dry_run else Way.STORE


def _pool(args: argparse.Namespace, settings: WorkerSettings) -> Pool:
    from ingest.many_sites.dask_pool import DaskPool
    from ingest.many_sites.local_pool import LocalPool, cores

    workers = args.workers or cores()
    if args.executor == "dask":
        return DaskPool(settings, workers, args.scheduler)
    return LocalPool(settings, workers)


def _followed(pool: Pool, order: CloseOrder, sites: Sequence[SiteId], board: Board) -> bool:
    """Show what happens until every site has ended; say whether it came so far before Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with board, closing(pool.events(order, sites)) as events:
            for event in events:
                board.show(event)
    except KeyboardInterrupt:
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
    return True


def _document(args: argparse.Namespace, board: Board) -> dict[str, Any]:
    outcomes = board.outcomes
    return {
        "period": args.period,
        "booked_at": args.booked_at.isoformat(),
        "way": _way(args),
        "executor": args.executor or "local",
        "seconds": round(board.seconds, 3),
        "closed": sum(outcome.result.is_good for outcome in outcomes),
        "not_closed": sum(not outcome.result.is_good for outcome in outcomes),
        "sites": [outcome.to_document() for outcome in outcomes],
    }


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count
