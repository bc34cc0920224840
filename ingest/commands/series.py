"""`metertree series`: what flowed or stood at one metering point, as CSV."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import DSN, PROFILES, Settings, add_settings

if TYPE_CHECKING:
    from ingest.series.reader import Question


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "series",
        help="write what flowed or stood at one metering point as CSV",
        description="Every slot of 15 minutes, or sums by hour, day or month of the site. A row without an amount is a "
        "gap; a sum is of what is known, and says how many slots are missing. docs/series.md tells the columns.",
    )
    parser.add_argument("node", metavar="NODE", help="metering point")
    parser.add_argument("start", metavar="FROM", help="local day such as 2026-07-01, or instant with offset")
    parser.add_argument("end", metavar="TO", help="the first day or instant no longer asked for")
    parser.add_argument("--site", help="site; may be left out where there is one")
    parser.add_argument("--obis", default="1-0:1.8.0", help="quantity (default 1-0:1.8.0, energy taken)")
    parser.add_argument("--per", choices=("slot", "hour", "day", "month"), default="slot")
    parser.add_argument("--source", choices=("settled", "registers"), help="default: settled where it is settled")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="language of the headings")
    parser.add_argument("--out", metavar="FILE", help="write to this file instead of standard output")
    add_settings(parser, DSN, PROFILES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the series; exit code 1 where it is refused, with what to ask for instead."""
    from pathlib import Path

    from device_profiles.catalogue import Catalogue
    from ingest.console.words import Language
    from ingest.series.forms import to_csv
    from ingest.series.reader import SeriesRefused, read_series
    from ingest.store.database import Database

    settings, language = Settings(args), Language(args.lang)
    profiles = settings.text(PROFILES)
    catalogue = Catalogue.load(*([Path(profiles)] if profiles else []))
    try:
        with Database(settings.text(DSN), connections=1) as database, database.transaction() as connection:
            octets = to_csv(read_series(connection, catalogue, _question(args)), language)
    except SeriesRefused as error:
        print("metertree: " + "; ".join(error.told(language)), file=sys.stderr)
        return 1
    if args.out:
        Path(args.out).write_bytes(octets)
    else:
        sys.stdout.buffer.write(octets)
    return 0


def _question(args: argparse.Namespace) -> Question:
    from ingest.series.points import Method
    from ingest.series.reader import POINTS_MAX, Question, Source
    from ingest.series.sums import Per
    from metering.identity import NodeId, SiteId
    from metering.obis import Obis

    return Question(
        node=NodeId(args.node),
        start=args.start,
        end=args.end,
        site=None if args.site is None else SiteId(args.site),
        obis=Obis.parse(args.obis),
        per=Per(args.per),
        most=POINTS_MAX,
        method=Method.EXTREMES,
        source=None if args.source is None else Source(args.source),
    )
