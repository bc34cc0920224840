"""`metertree alerts`: what an operator must know of, who takes care of it, and a look by hand."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from ingest.alert_config import ALERT_SETTINGS, read_alerting
from ingest.commands import Subparsers
from ingest.config import DSN, STORAGE_SETTINGS, Settings, add_settings

if TYPE_CHECKING:
    from ingest.alert_rules import Alert
    from ingest.console.words import Language


def register(subparsers: Subparsers) -> None:
    """Add the command with its three verbs."""
    parser = subparsers.add_parser(
        "alerts",
        help="list and acknowledge alerts, or look for them now",
        description="What an operator must know of: silent gateways, gaps, clones, clocks, quarantine, settlement, "
        "partitions, disks, backups, certificates. One open alert for each cause; it closes when the cause is gone.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list open alerts, or all")
    listing.add_argument("--all", action="store_true", help="closed ones too")
    listing.add_argument("--kind", help="only of this kind, e.g. gateway-silent")
    listing.add_argument("--gateway", help="only of this gateway")
    listing.add_argument("--most", type=int, default=100, help="how many at most (default 100)")
    listing.set_defaults(run=_list)
    acknowledge = verbs.add_parser("acknowledge", help="say who takes care; this also ends an equivocation")
    acknowledge.add_argument("numbers", type=int, nargs="+", metavar="NUMBER")
    acknowledge.add_argument("--by", required=True, help="who takes care")
    acknowledge.add_argument("--note", default="", help="what there is to say about it")
    acknowledge.set_defaults(run=_acknowledge)
    look = verbs.add_parser("look", help="look now; exit code 1 while a critical one is open that nobody acknowledged")
    add_settings(look, *STORAGE_SETTINGS, *ALERT_SETTINGS)
    look.set_defaults(run=_look)
    for verb in (listing, acknowledge, look):
        verb.add_argument("--json", action="store_true", help="as JSON, like GET /v1/alerts")
        verb.add_argument("--lang", choices=("zh", "en"), default="en", help="language (default en)")
        add_settings(verb, DSN)
    listing.add_argument("--csv", action="store_true", help="as CSV, for spreadsheets")


def _list(args: argparse.Namespace) -> int:
    from ingest.console.fleet_tables import alerts_table
    from ingest.console.words import Language
    from ingest.store.alerts import Wanted, list_alerts
    from ingest.store.database import Database

    scope = None if args.gateway is None else "gateway"
    wanted = Wanted(not args.all, args.kind, scope, args.gateway, args.most)
    with Database(Settings(args).text(DSN), connections=1) as database, database.transaction() as connection:
        found = list_alerts(connection, wanted)
    if args.csv:
        sys.stdout.write(alerts_table(found, {}, Language(args.lang)).to_csv().decode())
        return 0
    _print(found, args)
    return 0


def _acknowledge(args: argparse.Namespace) -> int:
    from ingest.store.alerts import acknowledge
    from ingest.store.database import Database
    from metering.clock import SystemClock

    now = SystemClock().now()
    with Database(Settings(args).text(DSN), connections=1) as database, database.transaction() as connection:
        done = tuple(acknowledge(connection, one, by=args.by, note=args.note, now=now) for one in args.numbers)
    _print(done, args)
    return 0


def _look(args: argparse.Namespace) -> int:
    from ingest.alert_rules import Severity
    from ingest.alerts import evaluate
    from ingest.store.database import Database
    from metering.clock import SystemClock

    settings = Settings(args)
    alerting = read_alerting(settings)
    with Database(settings.text(DSN), connections=1) as database, database.transaction() as connection:
        found = evaluate(connection, SystemClock().now(), alerting)
    _print(found.is_open, args)
    urgent = (one for one in found.is_open if one.severity is Severity.CRITICAL and one.acknowledged_by is None)
    return 1 if any(urgent) else 0


def _print(found: tuple[Alert, ...], args: argparse.Namespace) -> None:
    from ingest.alert_words import alert_document
    from ingest.console.words import Language

    if args.json:
        print(json.dumps({"alerts": [alert_document(one) for one in found]}, indent=1, ensure_ascii=False))
        return
    for one in found:
        print("\n".join(_lines(one, Language(args.lang))))
    if not found:
        print("no alert" if getattr(args, "all", False) else "no alert is open")


def _lines(one: Alert, language: Language) -> list[str]:
    from ingest.alert_words import UTC_CALENDAR, alert_mend, alert_text, instant_words, severity_word

    state = instant_words(one.opened_at, UTC_CALENDAR)
    state += f" .. {instant_words(one.closed_at, UTC_CALENDAR)}" if one.closed_at is not None else ""
    told = [f"{one.alert}  {severity_word(one.severity, language)}  {state}  {alert_text(one, language)}"]
    if one.detail.get("gateways"):
        told.append(f"    {' '.join(one.detail['gateways'])}")
    if one.acknowledged_by is not None:
        told.append(
            f"    ✓ {one.acknowledged_by} {instant_words(one.acknowledged_at, UTC_CALENDAR)} {one.note}".rstrip()
        )
    if one.is_open:
        told.append(f"    → {alert_mend(one, language)}")
    return told
