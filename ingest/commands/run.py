"""`metertree run`: list and show allocation runs, move them on, compare them, and try other rules on them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from allocation_engine.run_state import RunUnknown
from ingest.commands import Subparsers, read_pairs
from ingest.config import CENTRE_KEY, DSN, PROFILES, Settings, add_settings
from metering.errors import BooksError

if TYPE_CHECKING:
    from allocation_engine.what_if import Scope
    from ingest.runs_desk import Act, Draft, RunsDesk
    from ingest.store.database import Connection, Database
    from ingest.store.runs import StoredRun

LISTED = 20


class FormUnknown(BooksError):
    """The name of a file does not say in which form it is wanted."""


Verb = Callable[[argparse.Namespace], int]


def register(subparsers: Subparsers) -> None:
    """Add the command and its verbs."""
    parser = subparsers.add_parser(
        "run",
        help="list, show, check, approve, publish and compare allocation runs",
        description="A run is computed, checked, approved by a second person, and published. An id may be shortened.",
    )
    _add_list(parser)
    verbs = parser.add_subparsers(title="verbs (without one: list)", metavar="VERB")
    _add_list(_verb(verbs, "list", run, "list the newest runs", ()))
    _verb(verbs, "show", _show, "show a run with its pools, statements and log", ("id",))
    _verb(verbs, "diff", _diff, "say what the second run changes against the first, line by line, with causes", _TWO)
    for name, text in (
        ("check", "say that a run was looked at, with a reason for each finding"),
        ("approve", "approve a checked run, as somebody who neither computed nor checked it"),
        ("publish", "make an approved run final; what was published before is superseded and corrected"),
    ):
        _add_act(_verb(verbs, name, _step, text, ("id",)), name)
    post = _verb(verbs, "post", _post, "write the public posting of a run: .html to print, .json sealed", ("id",))
    post.add_argument("--out", type=Path, required=True, metavar="FILE", help="FILE.html (in --lang) or FILE.json")
    add_settings(post, CENTRE_KEY)
    _add_scope(_verb(verbs, "what-if", _what_if, "say who would pay how much more under a changed site folder", _TRY))
    _verb(verbs, "preview", _preview, "say what the rules of a changed folder would charge whom, at once", _TRY)
    shadow = _verb(verbs, "shadow", _shadow, "try a changed site folder on past published periods", ("directory",))
    shadow.add_argument("--periods", type=int, default=12, metavar="N", help="newest periods to try (default 12)")
    _add_scope(shadow)


_TWO = ("id", "other")
_TRY = ("id", "directory")


def run(args: argparse.Namespace) -> int:
    """List the newest runs."""
    from ingest.console.words import Language
    from ingest.run_words import state_word
    from ingest.store.runs import list_runs

    with _database(args) as database, database.transaction() as connection:
        heads = list_runs(connection, site=args.site, period=args.period, most=LISTED)
    if args.json:
        print(json.dumps([[head.run, head.site, head.period, head.state] for head in heads]))
        return 0
    for head in heads:
        state = state_word(head.state, Language(args.lang))
        print(f"{head.run[:16]}  {head.site}  {head.period}  {state}  {head.booked_at.isoformat()}")
    return 0


def show_run(database: Database, stored: StoredRun) -> None:
    """Print the head of a run, the proof of each pool, and its statements."""
    from allocation_engine.money import show_minor
    from ingest.api.statements import standing_of
    from ingest.store.runs import party_totals
    from ingest.store.statements import numbers_of_run

    head, document = stored.head, stored.document
    currency = document["currency"]
    print(f"run      {head.run}")
    print(f"period   {head.site} {head.period}, booked at {head.booked_at.isoformat()}, {head.state}")
    for pool in document["pools"]:
        cost, charged = pool["cost_minor"], pool["charged_minor"]
        texts = [show_minor(amount, currency) for amount in (charged, cost - charged, cost)]
        print(f"pool     {pool['id']}: lines {texts[0]} + residual {texts[1]} = {texts[2]} {currency}")
    for case in document["cases"]:
        print(f"case     {case['node']}: {case['text']}")
    with database.transaction() as connection:
        totals = {one.party: one.total_minor for one in party_totals(connection, head.run)}
        for number, party in numbers_of_run(connection, head.run):
            amount = show_minor(totals[party], currency)
            print(f"stated   {number}: {amount} {currency}, {standing_of(head.state)}")


def _show(args: argparse.Namespace) -> int:
    from ingest.console.words import Language
    from ingest.provisional import provisional_of
    from ingest.provisional_words import provisional_lines
    from ingest.run_words import story_lines

    with _database(args) as database:
        with database.transaction() as connection:
            stored = _find(connection, args.id)
            waiting = provisional_of(connection, stored.head)
        if args.json:
            print(json.dumps(stored.document, ensure_ascii=False, indent=1, sort_keys=True))
            return 0
        show_run(database, stored)
        story = _desk(args, database).story(stored.head.run)
    language = Language(args.lang)
    for line in (*provisional_lines(waiting, language), *story_lines(story, stored.document["currency"], language)):
        print(line)
    return 0


def _diff(args: argparse.Namespace) -> int:
    from ingest.console.words import Language
    from ingest.run_words import diff_lines

    with _database(args) as database:
        with database.transaction() as connection:
            before, after = (_find(connection, one).head.run for one in (args.id, args.other))
        diff = _desk(args, database).diff(before, after)
    lines = diff_lines(diff, Language(args.lang))
    print(json.dumps(diff.to_document(), ensure_ascii=False) if args.json else "\n".join(lines))
    return 0


def _step(args: argparse.Namespace) -> int:
    from ingest.console.words import Language
    from ingest.run_words import open_lines, state_word

    with _database(args) as database:
        with database.transaction() as connection:
            before = _find(connection, args.id)
        desk, act = _desk(args, database), _act(args)
        if args.verb == "publish":
            stored = desk.publish(before.head.run, act)
        else:
            move = desk.check if args.verb == "check" else desk.approve
            stored = move(before.head.run, act, read_pairs(args.because, "--because"))
        unexplained = desk.story(stored.head.run).unexplained
    print(f"{stored.head.run[:16]}  {state_word(stored.head.state, Language(args.lang))}")
    for line in open_lines(unexplained, Language(args.lang)):
        print(line)
    return 0


def _post(args: argparse.Namespace) -> int:
    from ingest.console.posting_page import posting_html, read_posting
    from ingest.console.words import Language
    from ingest.posting_desk import post_run
    from provisioning.keys import FileSigner

    forms = {".html", ".json"}
    if args.out.suffix not in forms:
        raise FormUnknown(f"{args.out} is neither .html nor .json, so nobody could say what to write")
    with _database(args) as database, database.transaction() as connection:
        posted = post_run(connection, _find(connection, args.id))
    if args.out.suffix == ".html":
        view = read_posting(posted.content, posted.site, Language(args.lang), posted.state, posted.published)
        octets = posting_html(view).encode()
    else:
        octets = posted.to_file(FileSigner.read(Path(Settings(args).text(CENTRE_KEY))))
    args.out.write_bytes(octets)
    print(args.out)
    return 0


def _what_if(args: argparse.Namespace) -> int:
    from ingest.console.words import Language
    from ingest.run_words import diff_lines

    with _database(args) as database:
        with database.transaction() as connection:
            stored = _find(connection, args.id)
        diff = _desk(args, database).what_if(stored.head.run, _draft(args), _scope(args))
    lines = diff_lines(diff, Language(args.lang))
    print(json.dumps(diff.to_document(), ensure_ascii=False) if args.json else "\n".join(lines))
    return 0


def _preview(args: argparse.Namespace) -> int:
    from allocation_engine.rules_file import read_rules
    from ingest.console.words import Language
    from ingest.preview_desk import PreviewDesk
    from ingest.preview_words import preview_lines

    with _database(args) as database:
        with database.transaction() as connection:
            run_id = _find(connection, args.id).head.run
        times = [perf_counter_ns()]
        session = PreviewDesk(database, _desk(args, database).catalogue).session(run_id)
    times.append(perf_counter_ns())
    rules = read_rules(Path(args.directory), session.facts.names)
    preview = session.compare(replace(session.facts, rules=rules))
    times.append(perf_counter_ns())
    took_ms = [(after - before) // 10**6 for before, after in pairwise(times)]
    lines = preview_lines(preview, Language(args.lang), took_ms)
    print(json.dumps(preview.to_document(), ensure_ascii=False) if args.json else "\n".join(lines))
    return 1 if preview.is_refused else 0


def _shadow(args: argparse.Namespace) -> int:
    from ingest.console.words import Language
    from ingest.run_words import shadow_lines

    with _database(args) as database:
        shadows = _desk(args, database).shadow(_draft(args), args.periods, _scope(args))
    if args.json:
        print(json.dumps([one.to_document() for one in shadows], ensure_ascii=False))
    else:
        print("\n".join(shadow_lines(shadows, Language(args.lang))))
    return 1 if any(one.findings or one.diff is None for one in shadows) else 0


def _verb(
    verbs: Subparsers, name: str, run_verb: Verb, text: str, positional: tuple[str, ...]
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    meanings = {
        "id": "id of a run, or its beginning",
        "other": "id of the run that is compared with it",
        "directory": "folder with the changed site.toml, tariff.toml, pools.toml, ...",
    }
    for one in positional:
        verb.add_argument(one, metavar=one.upper(), help=meanings[one])
    if name != "list":
        _add_printing(verb)
        add_settings(verb, PROFILES)
    verb.set_defaults(run=run_verb, verb=name)
    return verb


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", help="only runs of this site")
    parser.add_argument("--period", help="only runs of this period")
    _add_printing(parser)
    parser.set_defaults(run=run)


def _add_printing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language of the texts (default en)")
    add_settings(parser, DSN)


def _add_act(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--by", required=True, metavar="NAME", help="who acts; approval needs a second person")
    parser.add_argument("--at", type=datetime.fromisoformat, metavar="TIME", help="when, with its zone (default: now)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the log")
    if name != "publish":
        told = "reason for a finding, e.g. 'case main=new transformer'; repeat for each"
        parser.add_argument("--because", action="append", default=[], metavar="SUBJECT=TEXT", help=told)
    else:
        add_settings(parser, CENTRE_KEY)


def _add_scope(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", action="append", metavar="ID", help="only this pool takes the change; repeat")
    parser.add_argument("--below", action="append", default=[], metavar="NODE", help="look only at units below; repeat")


def _database(args: argparse.Namespace) -> Database:
    from ingest.store.database import Database

    return Database(Settings(args).text(DSN), connections=1)


def _desk(args: argparse.Namespace, database: Database) -> RunsDesk:
    """Set up the desk; only publishing needs the centre's key."""
    from device_profiles.catalogue import Catalogue
    from ingest.runs_desk import RunsDesk
    from provisioning.keys import FileSigner

    settings = Settings(args)
    folder = settings.text(PROFILES)
    catalogue = Catalogue.load(*([Path(folder)] if folder else []))
    signer = FileSigner.read(Path(settings.text(CENTRE_KEY))) if args.verb == "publish" else None
    return RunsDesk(database, catalogue, signer)


def _act(args: argparse.Namespace) -> Act:
    from ingest.runs_desk import Act
    from metering.clock import SystemClock

    return Act(args.by, SystemClock().now() if args.at is None else args.at, args.reason)


def _draft(args: argparse.Namespace) -> Draft:
    from device_profiles.catalogue import Catalogue
    from ingest.runs_desk import Draft
    from ingest.site_folder import read_site_folder

    folder = Settings(args).text(PROFILES)
    return Draft(*read_site_folder(Path(args.directory), Catalogue.load(*([Path(folder)] if folder else []))))


def _scope(args: argparse.Namespace) -> Scope:
    from allocation_engine.what_if import Scope
    from metering.identity import NodeId, PoolId

    pools = None if args.pool is None else frozenset(map(PoolId, args.pool))
    return Scope(pools, frozenset(map(NodeId, args.below)))


def find_run_id(connection: Connection, beginning: str) -> str:
    """Give the id of the one run that begins so; raises RunUnknown."""
    from ingest.store.runs import LIST_MAX, list_runs

    heads = list_runs(connection, site=None, period=None, most=LIST_MAX)
    found = [head for head in heads if head.run.startswith(beginning)]
    if len(found) != 1:
        raise RunUnknown(f"{len(found)} runs begin with {beginning!r}; list them with: metertree run list")
    return found[0].run


def _find(connection: Connection, beginning: str) -> StoredRun:
    from ingest.store.runs import find_run

    stored = find_run(connection, find_run_id(connection, beginning))
    assert stored is not None
    return stored
