"""`metertree fleet`: how every gateway stands, or all that is known of one."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from ingest.alert_config import THRESHOLD_SETTINGS, WATCH_CERTIFICATES, read_thresholds, watched_certificates
from ingest.commands import Subparsers
from ingest.config import DSN, Settings, add_settings

if TYPE_CHECKING:
    from ingest.console.words import Language
    from ingest.fleet_desk import Fleet, FleetDesk, GatewayFile


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "fleet",
        help="show how every gateway stands, or one with its gaps, events and quarantine",
        description="Show every enrolled gateway: when it was last heard, how far its marks lie behind, what is "
        "missing in its chain, its clock, its quarantine and open alerts; the worst first. With a gateway's id: its "
        "epochs, "
        "gaps, events and quarantine. Exit code 1 if no gateway has this id.",
    )
    parser.add_argument("gateway", nargs="?", help="show this one")
    parser.add_argument("--site", help="only gateways of this site")
    parser.add_argument("--state", help="only gateways in this state, e.g. silent, gap, not-well, well")
    parser.add_argument("--text", default="", help="only gateways with this in their id or site")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON, like GET /v1/gateways")
    form.add_argument("--csv", action="store_true", help="as CSV, for spreadsheets")
    parser.add_argument("--lang", choices=("zh", "en"), default="en", help="language of the table (default en)")
    add_settings(parser, DSN, *THRESHOLD_SETTINGS, WATCH_CERTIFICATES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the fleet or one gateway."""
    from ingest.console.words import Language
    from ingest.fleet import NOT_WELL, STATES
    from ingest.fleet_desk import FleetDesk
    from ingest.store.database import Database
    from metering.clock import SystemClock
    from metering.identity import GatewayId

    if args.state not in (None, NOT_WELL, *STATES):
        print(f"metertree fleet: --state is one of {', '.join((*STATES, NOT_WELL))}", file=sys.stderr)
        return 2
    settings, language = Settings(args), Language(args.lang)
    with Database(settings.text(DSN), connections=1) as database:
        desk = FleetDesk(database, SystemClock(), read_thresholds(settings), watched_certificates(settings))
        if args.gateway is None:
            return _show_fleet(desk, args, language)
        found = desk.gateway(GatewayId(args.gateway))
    if found is None:
        print(f"gateway {args.gateway} is not enrolled; list those that are: metertree fleet", file=sys.stderr)
        return 1
    _show_gateway(*found, args, language)
    return 0


def _show_fleet(desk: FleetDesk, args: argparse.Namespace, language: Language) -> int:
    from ingest.console.fleet_tables import fleet_table, lines_of
    from ingest.fleet import choose, worst_first
    from ingest.fleet_desk import standing_document

    fleet = desk.read()
    found = choose(fleet.gateways, site=args.site, state=args.state, text=args.text)
    if args.json:
        print(json.dumps({"gateways": [standing_document(one, fleet) for one in found]}, indent=1))
        return 0
    table = fleet_table(worst_first(found), fleet, language)
    if args.csv:
        sys.stdout.write(table.to_csv().decode())
        return 0
    for line in lines_of(table):
        print(line)
    if not found:
        print("no gateway is enrolled" if not fleet.gateways else "no gateway is like that")
    return 0


def _show_gateway(fleet: Fleet, file: GatewayFile, args: argparse.Namespace, language: Language) -> None:
    from ingest.console.fleet_tables import fleet_table, gateway_tables, lines_of
    from ingest.fleet_desk import gateway_document

    if args.json:
        print(json.dumps(gateway_document(file, fleet), indent=1))
        return
    tables = [fleet_table((file.standing,), fleet, language), *gateway_tables(file, fleet, language)]
    for table in tables:
        if table.rows:
            print(f"{table.title}")
            for line in lines_of(table):
                print(f"  {line}")
