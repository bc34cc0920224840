"""`metertree site`: check, import and show the description of a site."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers, read_pairs
from ingest.config import DSN, PROFILES, Settings, add_settings, read_storage
from ingest.console.rendering import area_m2
from metering.clock import SystemClock
from metering.identity import NodeId

if TYPE_CHECKING:
    from allocation_engine.rules import Rules
    from device_profiles.catalogue import Catalogue
    from provisioning.site import Site


def register(subparsers: Subparsers) -> None:
    """Add the command and its three verbs."""
    parser = subparsers.add_parser(
        "site",
        help="check, import or show the description of a site",
        description="A site is a folder of TOML files; examples/park is one to copy.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, run_verb, text in (
        ("check", _check, "find every mistake in the files, with file and line"),
        ("import", _import, "check, then store the site as its newest version"),
        ("show", _show, "check, then print the tree with meters, units and leases"),
    ):
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("directory", type=Path, metavar="DIR", help="folder with site.toml, gateways.toml, ...")
        add_settings(verb, PROFILES, *([DSN] if name == "import" else []))
        verb.set_defaults(run=run_verb)
        if name == "import":
            told = "leave out a record the new rules miss, e.g. 'unit/b202=let to nobody'; repeat for each"
            verb.add_argument(
                "--lang", choices=("en", "zh"), default="en", help="language of the findings (default en)"
            )
            verb.add_argument("--exclude", action="append", default=[], metavar="SUBJECT=REASON", help=told)


def _check(args: argparse.Namespace) -> int:
    site, rules = _read(args)
    print(
        f"{args.directory}: site {site.id} is sound: {len(site.nodes)} nodes, {len(site.meters)} meters, "
        f"{len(site.units)} units, {len(site.leases)} leases, {len(rules.pools)} pools"
    )
    return 0


def _import(args: argparse.Namespace) -> int:
    from allocation_engine.rule_check import RecordsMissed, require_complete
    from ingest.console.words import Language
    from ingest.run_words import finding_lines
    from ingest.runs_desk import Draft, RunsDesk
    from ingest.store.aggregates import fill_new_aggregates
    from ingest.store.database import Database
    from ingest.store.layout import arrange_aggregates
    from ingest.store.run_log import add_exclusions
    from ingest.store.sites import import_site

    site, rules = _read(args)
    excluded = read_pairs(args.exclude, "--exclude")
    settings = Settings(args)
    with Database(settings.text(DSN), connections=1) as database:
        desk = RunsDesk(database, _catalogue(args), None)
        try:
            require_complete(desk.findings(Draft(site, rules)), excluded)
        except RecordsMissed as error:
            if args.lang == Language.EN:
                raise
            print("\n".join(finding_lines(error.findings, Language(args.lang))), file=sys.stderr)
            return 1
        with database.transaction() as connection:
            version, is_new = import_site(connection, site, rules.document, imported_at=SystemClock().now())
            if is_new:
                add_exclusions(connection, site.id, version.version, excluded)
        verdict = "imported as" if is_new else "is unchanged since"
        told = list(arrange_aggregates(database, read_storage(settings), SystemClock().now()))
        told += fill_new_aggregates(database, told)
    print(f"site {site.id} {verdict} version {version.version} ({version.hash.hex()[:16]})")
    for what in told:
        print(what)
    return 0


def _show(args: argparse.Namespace) -> int:
    site, rules = _read(args)
    print(
        f"{site.id}  {site.names.en} / {site.names.zh}  {site.calendar.zone}  {site.currency}  {site.hash.hex()[:16]}"
    )
    for line in _tree(site, None, "", SystemClock().now()):
        print(line)
    for pool in rules.pools:
        print(f"pool {pool.id}  {pool.pool_class}  {' '.join(pool.path)}")
    return 0


def _tree(site: Site, parent: NodeId | None, trunk: str, instant: datetime) -> Iterator[str]:
    """Draw what hangs below `parent` at `instant`, with the meter and the lettable unit of each node."""
    below = [node for node in site.nodes if node.parent_at(instant) == parent]
    for node in below:
        last = node is below[-1]
        meters = [f"{meter.id} {meter.profile} x{meter.multiplier}" for meter in site.meters_at(node.id)]
        units = [f"unit {unit.id} {area_m2(unit.area_cm2)} m2" for unit in site.units if unit.node == node.id]
        name = f"{node.id} ({node.names.en} / {node.names.zh})"
        yield f"{trunk}{'└ ' if last else '├ '}{name}  {'; '.join(meters + units)}"
        yield from _tree(site, node.id, trunk + ("  " if last else "│ "), instant)


def _read(args: argparse.Namespace) -> tuple[Site, Rules]:
    from ingest.site_folder import read_site_folder

    return read_site_folder(args.directory, _catalogue(args))


def _catalogue(args: argparse.Namespace) -> Catalogue:
    from device_profiles.catalogue import Catalogue

    folder = Settings(args).text(PROFILES)
    return Catalogue.load(*([Path(folder)] if folder else []))
