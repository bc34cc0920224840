"""`metertree-provision bindings`, `approve`, `refuse`, `meters` and `history`: the second person's desk."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from metering.quantity import Shown, Unit
from provisioning.binding_words import binding_word, shown_instant
from provisioning.centre_client import CentreClient, read_token
from provisioning.commands import Subparsers, add_language
from provisioning.finding_words import verdict_words
from provisioning.gateway_config import toml_text

STATES = ("pending", "held", "refused", "approved", "superseded")


def register(commands: Subparsers) -> None:
    """Add the commands."""
    shown = commands.add_parser("bindings", help="list bindings, each beside what was planned", description=__doc__)
    shown.set_defaults(run=run, lines=lines)
    shown.add_argument("--site", help="of this site")
    shown.add_argument("--state", choices=STATES, help="only those that stand so, such as pending")
    shown.add_argument("--meter", help="of this meter")
    _add_centre(shown)
    for name, meaning in (
        ("approve", "let a binding count for money; takes an operator who is not the engineer"),
        ("refuse", "say that a binding is wrong; what rests on it stays provisional until it is corrected"),
    ):
        decided = commands.add_parser(name, help=meaning, description=__doc__)
        decided.set_defaults(run=run_decision, lines=decision_lines, decision=name)
        decided.add_argument("binding", nargs="+", help="id of the binding, such as gw-a-1-3")
        decided.add_argument("--reason", default="", help="why; needed to refuse, and where something differs")
        _add_centre(decided)
    meters = commands.add_parser(
        "meters", help="write bound meters as tables for gateways.toml", description="Take over what was bound."
    )
    meters.set_defaults(run=run_meters, lines=meter_lines)
    meters.add_argument("--site", required=True, help="of this site")
    _add_centre(meters)
    told = commands.add_parser("history", help="tell what was done at a site, and who decided", description=__doc__)
    told.set_defaults(run=run_history, lines=history_lines)
    for name in ("site", "gateway", "meter", "node"):
        told.add_argument(f"--{name}", help=f"of this {name}")
    _add_centre(told)


def run(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """List bindings."""
    return _client(args).bindings(site=args.site, state=args.state, meter=args.meter)


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """A few lines a binding: what, where, what differs, what the engineer says."""
    for one in answer["bindings"]:
        yield from _binding_lines(one, args.lang)
    if not answer["bindings"]:
        yield binding_word("nothing", args.lang)
    elif any(one["state"] == "pending" for one in answer["bindings"]):
        yield binding_word("approve-with", args.lang)


def run_decision(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Decide about bindings, one after another; the first refusal ends it."""
    client = _client(args)
    return {"bindings": [client.decide(one, args.decision, args.reason) for one in args.binding]}


def decision_lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Say where each stands now."""
    for one in answer["bindings"]:
        yield _headline(one, args.lang)


def run_meters(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Give the meters of a site as they are bound, with their exchanges."""
    found = _client(args).bindings(site=args.site, state=None, meter=None)["bindings"]
    stand = [one for one in found if one["state"] in ("pending", "approved") and one["meter"] is not None]
    meters = [table for one in stand if (table := _meter(one)) is not None]
    exchanges = [table for one in stand for table in _exchanges(one)]
    return {"meters": meters, "exchanges": exchanges}


def meter_lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """The tables as TOML."""
    tables = {key: answer[key] for key in ("meters", "exchanges") if answer[key]}
    yield toml_text(tables).rstrip() if tables else binding_word("nothing", args.lang)


def run_history(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Tell what happened."""
    return _client(args).history(site=args.site, gateway=args.gateway, meter=args.meter, node=args.node)


def history_lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Acts at the site and acts of people in one order of time."""
    told = [(one["done_at"], _event_line(one, args.lang)) for one in answer["events"]]
    told += [(one["at"], _act_line(one, args.lang)) for one in answer["acts"] if one["verb"] != "event-taken"]
    told += [(one["at"], _serial_line(one, args.lang)) for one in answer.get("serials", ())]
    told += [(one["at"], _suspicion_line(one, args.lang)) for one in answer.get("suspicions", ())]
    yield from (line for _, line in sorted(told))
    if not told:
        yield binding_word("nothing", args.lang)


def _suspicion_line(one: Mapping[str, Any], language: str) -> str:
    text, mend = one["text"][language], one["mend"][language]
    return f"{shown_instant(one['at'])}  !! {one['title'][language]}: {text}\n    → {mend}"


def _serial_line(one: Mapping[str, Any], language: str) -> str:
    told = (
        f"{binding_word('serial-read', language)} {one['serial']}  {binding_word('serial-' + one['state'], language)}"
    )
    return f"{shown_instant(one['at'])}  {one['gateway']}  {one['meter']}  {told}"


def _binding_lines(one: Mapping[str, Any], language: str) -> Iterator[str]:
    yield _headline(one, language)
    yield f"    {_details(one, language)}"
    if one["expected"]:
        yield f"    {binding_word('expected', language)}: {_planned(one['expected'], language)}"
    for differs in one["differences"]:
        yield f"    {binding_word(differs['severity'], language)}: {differs[language]}"
    for found in one["findings"]:
        yield f"    {binding_word(found['severity'], language)}: {found['told'][language]}"
        if found["accepted"]:
            yield f"      {binding_word('accepted', language)}: {found['accepted']}"
    for compared in _binding_of(one["event"]).get("comparisons", ()):
        verdict = verdict_words(compared["verdict"]).of(language)
        yield f"    {compared['obis']}  {binding_word('display', language)} {compared['typed']}  {verdict}"
    if one["held_because"]:
        yield f"    {binding_word('because', language)}: {one['held_because']}"


def _headline(one: Mapping[str, Any], language: str) -> str:
    what = binding_word(one["kind"], language)
    decided = f"  {binding_word('decided', language)} {one['decided_by']}" if one["decided_by"] else ""
    decision = f": {one['decision']}" if one["decision"] else ""
    state = binding_word(one["state"], language)
    return f"{one['binding']}  {what}  {one['meter'] or one['node']}  {state}{decided}{decision}"


def _details(one: Mapping[str, Any], language: str) -> str:
    made = _binding_of(one["event"])
    meter = made.get("meter", {})
    parts = [f"{binding_word('node', language)} {one['node']}"]
    parts += [f"{binding_word('unit', language)} {one['unit']}"] if one["unit"] else []
    parts += [f"{binding_word('serial', language)} {one['serial']}"] if one["serial"] else []
    if meter:
        parts += [f"{binding_word('profile', language)} {meter['profile']}"]
        parts += [f"{binding_word('ratio', language)} {meter['ct']} x {meter['pt']}"]
        parts += [f"{binding_word('seal', language)} {made['seal']}"] if made["seal"] else []
        parts += [f"{binding_word('photos', language)} {len(made['photos'])}"]
    parts += [f"{binding_word('by', language)} {one['done_by']}", shown_instant(one["begins_at"])]
    return "  ".join(parts)


def _planned(expected: Mapping[str, Any], language: str) -> str:
    told = [(key, expected[key]) for key in ("node", "unit", "serial", "profile") if key in expected]
    told += [("ratio", f"{expected['ct']} x {expected.get('pt', 1)}")] if "ct" in expected else []
    return "  ".join(f"{binding_word(key, language)} {content}" for key, content in told)


def _event_line(one: Mapping[str, Any], language: str) -> str:
    what = binding_word(one["kind"], language)
    state = binding_word(one["binding"] or one["state"], language)
    decided = f"  {binding_word('decided', language)} {one['decided_by']}" if one["decided_by"] else ""
    why = one["reason"] or one["decision"]
    act = f"{shown_instant(one['done_at'])}  {one['event']}  {what}  {_subject(one['body'])}  {one['done_by']}"
    return f"{act}  {state}{decided}" + (f": {why}" if why else "")


def _act_line(one: Mapping[str, Any], language: str) -> str:
    why = f": {one['reason']}" if one.get("reason") else ""
    return f"{shown_instant(one['at'])}  {binding_word(one['verb'], language)}  {one['subject']}  {one['who']}{why}"


def _subject(body: Mapping[str, Any]) -> str:
    made = _binding_of(body)
    if made:
        meter = made["meter"]
        before = f"{body['old']} -> " if "old" in body else ""
        return f"{before}{meter['id']} @ {meter['node']}"
    if "new" in body:
        return f"{body['meter']} -> {body['new']} ({body['ct']} x {body['pt']})"
    if "parent" in body:
        return f"{body['node']} -> {body['parent']}"
    return str(body.get("meter") or body.get("reason") or body.get("port", {}).get("id", ""))


def _binding_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    made = body.get("binding") or body.get("new")
    return made if isinstance(made, Mapping) else {}


def _meter(one: Mapping[str, Any]) -> dict[str, Any] | None:
    made = _binding_of(one["event"])
    if not made:
        return None
    meter = {key: part for key, part in made["meter"].items() if key not in ("span", "place")}
    meter["from"] = made["meter"]["span"]["start"]
    if one["ends_at"]:
        meter["to"] = one["ends_at"]
    return meter


def _exchanges(one: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    body = one["event"]
    if one["kind"] != "exchange":
        return
    opening = {seen["obis"]: seen["shown"] for seen in body["opening"]}
    for seen in body["closing"]:
        yield {
            "node": one["node"],
            "old": body["old"],
            "new": one["meter"],
            "at": one["begins_at"],
            "obis": seen["obis"],
            "final": _shown(seen["shown"]),
            "initial": _shown(opening[seen["obis"]]),
        }


def _shown(document: Mapping[str, Any]) -> str:
    return str(Shown(document["mantissa"], document["exponent"], Unit.from_symbol(document["unit"])))


def _client(args: argparse.Namespace) -> CentreClient:
    return CentreClient(args.centre, read_token(args.token_file))


def _add_centre(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--centre", required=True, metavar="URL", help="address of the centre, http(s)://...")
    parser.add_argument("--token-file", required=True, type=Path, help="file with your operator's token")
    add_language(parser)
