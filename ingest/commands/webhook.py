"""`metertree webhook`: endpoints that events are delivered to, their secrets, deliveries and dead letters."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.commands import Subparsers
from ingest.config import CENTRE_KEY, DSN, Settings, add_settings, local_caller
from ingest.webhooks.config import GUARD_SETTINGS, read_guard

if TYPE_CHECKING:
    from ingest.access.principal import Principal
    from ingest.store.webhooks import Delivery, Endpoint
    from ingest.webhooks.desk import EndpointDesk, Shown

WORDS = {
    "en": {
        "none": "no webhook endpoints yet; add one: metertree webhook add https://...",
        "all": "all",
        "line": "{id}  {state:8} {url}  kinds {kinds}  sites {sites}  waiting {waiting}  dead {dead}",
        "secret": "secret of {id}, shown this once: {secret}",
        "public": "deliveries to {id} are verified with this public key: {secret}",
        "signs": "secret {number} ({signing}) signs until {until}",
        "open end": "it is rotated",
        "removed": "{id} is removed; what waited for it is dropped",
        "tested": "test {event} is on its way; see: metertree webhook deliveries {id}",
        "replayed": "{count} deliveries begin anew",
        "delivery": "{number}  {event}  {kind:22} {state:9} tries {tries}  {last}",
        "no deliveries": "no deliveries",
        "states": {"on": "on", "off": "off", "gone": "gone", "failing": "failing"},
        "fates": {"waiting": "waiting", "delivered": "delivered", "dead": "dead"},
    },
    "zh": {
        "none": "尚无订阅地址；添加：metertree webhook add https://...",
        "all": "全部",
        "line": "{id}  {state} {url}  事件 {kinds}  园区 {sites}  待投递 {waiting}  死信 {dead}",
        "secret": "{id} 的密钥，仅显示一次：{secret}",
        "public": "投往 {id} 的内容用此公钥核验：{secret}",
        "signs": "密钥 {number}（{signing}）签名至 {until}",
        "open end": "下次更换",
        "removed": "{id} 已移除；等待投递的内容已丢弃",
        "tested": "测试 {event} 正在投递；查看：metertree webhook deliveries {id}",
        "replayed": "重新投递 {count} 件",
        "delivery": "{number}  {event}  {kind} {state} 尝试 {tries} 次  {last}",
        "no deliveries": "没有投递",
        "states": {"on": "启用", "off": "停用", "gone": "对方已撤", "failing": "持续失败"},
        "fates": {"waiting": "待投递", "delivered": "已投递", "dead": "死信"},
    },
}
_ENDPOINT = "id of the endpoint, whe_..."


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "webhook",
        help="add, list, turn, rotate, test and remove endpoints of webhooks; send events again",
        description="Events (GET /v1/event-kinds) are delivered to endpoints by the Standard Webhooks spec, by "
        "whichever program does the jobs. Nothing goes to a private address unless its --webhook-networks allows it.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _register_making(verbs)
    for name, tell in (
        ("list", "list all endpoints"),
        ("show", "show one with its secrets' standing"),
        ("on", "turn one on; what waits is tried at once"),
        ("off", "turn one off; what happens meanwhile is kept"),
        ("remove", "remove one for good"),
        ("test", "send a test to one"),
    ):
        verb = verbs.add_parser(name, help=tell)
        verb.set_defaults(run=_list if name == "list" else _act, verb=name)
        if name != "list":
            verb.add_argument("endpoint", help=_ENDPOINT)
    replay = verbs.add_parser("replay", help="send an event again, or all since an instant")
    replay.add_argument("endpoint", help=_ENDPOINT)
    replay.add_argument("event", nargs="?", help="id of the event, evt_...")
    replay.add_argument("--since", type=datetime.fromisoformat, help="instant, as 2026-08-01T00:00:00+08:00")
    replay.add_argument("--only-dead", action="store_true", help="of these the dead letters only")
    replay.set_defaults(run=_act, verb="replay")
    sent = verbs.add_parser("deliveries", help="list deliveries to one, of the newest events first")
    sent.add_argument("endpoint", help=_ENDPOINT)
    sent.add_argument("--state", choices=("waiting", "delivered", "dead"), help="dead: the dead letters")
    sent.add_argument("--most", type=int, default=50, help="how many at most (default 50)")
    sent.set_defaults(run=_deliveries)
    for verb in verbs.choices.values():
        verb.add_argument("--lang", choices=tuple(WORDS), default="en", help="language of what is shown (default en)")
        verb.add_argument("--json", action="store_true", help="as JSON, like the API")
        add_settings(verb, DSN, CENTRE_KEY, *GUARD_SETTINGS)


def _register_making(verbs: Subparsers) -> None:
    add = verbs.add_parser("add", help="add one, and show its secret this once")
    add.add_argument("url", help="https address")
    add.add_argument("--kind", action="append", dest="kinds", metavar="KIND", help="only this kind; may be repeated")
    add.add_argument("--site", action="append", dest="sites", metavar="SITE", help="only of this site; may be repeated")
    add.add_argument("--description", default="", help="what it is for")
    add.set_defaults(run=_act, verb="add")
    rotate = verbs.add_parser("rotate", help="make a new secret; the old one signs beside it for a while")
    rotate.add_argument("endpoint", help=_ENDPOINT)
    rotate.add_argument("--overlap-h", type=int, default=24, help="how long the old one signs too [h] (default 24)")
    rotate.set_defaults(run=_act, verb="rotate")
    for verb, default in ((add, "ed25519"), (rotate, None)):
        verb.add_argument("--signing", choices=("ed25519", "hmac-sha256"), default=default, help="how it is signed")


def _list(args: argparse.Namespace) -> int:
    from ingest.webhooks.documents import endpoint_document

    with _desk(args) as (desk, who):
        found = desk.list(who)
    if args.json:
        print(json.dumps([endpoint_document(one) for one in found], ensure_ascii=False, indent=2))
        return 0
    for one in found:
        print(_line(one, args.lang))
    if not found:
        print(WORDS[args.lang]["none"])
    return 0


def _act(args: argparse.Namespace) -> int:
    words: dict[str, Any] = WORDS[args.lang]
    with _desk(args) as (desk, who):
        match args.verb:
            case "add":
                shown = desk.add(_wish(args), _algorithm(args.signing), who)
            case "show":
                shown = desk.read(args.endpoint, who)
            case "rotate":
                algorithm = None if args.signing is None else _algorithm(args.signing)
                shown = desk.rotate(args.endpoint, who, algorithm=algorithm, overlap_h=args.overlap_h)
            case "on" | "off":
                turned = desk.turn(args.endpoint, args.verb, who)
                assert turned is not None
                shown = turned
            case "remove":
                desk.turn(args.endpoint, "removed", who)
                print(words["removed"].format(id=args.endpoint))
                return 0
            case "test":
                print(words["tested"].format(event=desk.test(args.endpoint, who), id=args.endpoint))
                return 0
            case _:
                wanted = {"event": args.event, "since": args.since, "only_dead": args.only_dead}
                print(words["replayed"].format(count=desk.replay(args.endpoint, who, **wanted)))
                return 0
    _show(shown, args)
    return 0


def _deliveries(args: argparse.Namespace) -> int:
    from ingest.webhooks.documents import delivery_document
    from ingest.webhooks.ladder import Fate

    state = None if args.state is None else Fate(args.state)
    with _desk(args) as (desk, who):
        found = desk.deliveries(args.endpoint, who, state=state, before=None, most=args.most)
    if args.json:
        print(json.dumps([delivery_document(one) for one in found], ensure_ascii=False, indent=2))
        return 0
    for one in found:
        print(_delivery(one, args.lang))
    if not found:
        print(WORDS[args.lang]["no deliveries"])
    return 0


@contextmanager
def _desk(args: argparse.Namespace) -> Iterator[tuple[EndpointDesk, Principal]]:
    from ingest.access.principal import admin_principal
    from ingest.store.database import Database
    from ingest.webhooks.desk import EndpointDesk
    from ingest.webhooks.signing import SecretBox
    from metering.clock import SystemClock
    from provisioning.keys import SALT_KEY, make_salt_key

    settings = Settings(args)
    salt_key = make_salt_key(Path(settings.text(CENTRE_KEY)).with_name(SALT_KEY))
    with Database(settings.text(DSN), connections=2) as database:
        desk = EndpointDesk(database, SecretBox(salt_key), read_guard(settings), SystemClock())
        yield desk, admin_principal(local_caller())


def _wish(args: argparse.Namespace) -> Any:
    from ingest.config import SettingInvalid
    from ingest.event_kinds import EventKind
    from ingest.webhooks.desk import Wish
    from metering.identity import SiteId

    try:
        kinds = None if args.kinds is None else tuple(map(EventKind, args.kinds))
    except ValueError as error:
        raise SettingInvalid(f"--kind: {error}; there are {', '.join(EventKind)}") from error
    sites = None if args.sites is None else tuple(map(SiteId, args.sites))
    return Wish(args.url, kinds, sites, args.description)


def _algorithm(text: str) -> Any:
    from ingest.webhooks.signing import Algorithm

    return Algorithm(text)


def _show(shown: Shown, args: argparse.Namespace) -> None:
    from ingest.webhooks.documents import shown_document

    if args.json:
        print(json.dumps(shown_document(shown), ensure_ascii=False, indent=2))
        return
    words: dict[str, Any] = WORDS[args.lang]
    print(_line(shown.endpoint, args.lang))
    for one in shown.secrets:
        until = words["open end"] if one.ends_at is None else f"{one.ends_at:%Y-%m-%d %H:%M}Z"
        print(words["signs"].format(number=one.number, signing=one.algorithm, until=until))
    if shown.secret is not None:
        word = "public" if shown.secret.startswith("whpk_") else "secret"
        print(words[word].format(id=shown.endpoint.endpoint, secret=shown.secret))


def _line(one: Endpoint, lang: str) -> str:
    words: dict[str, Any] = WORDS[lang]
    wants = one.wants.columns
    return str(
        words["line"].format(
            id=one.endpoint,
            state=words["states"][one.state],
            url=one.url,
            kinds=",".join(wants["kinds"] or ()) or words["all"],
            sites=",".join(wants["sites"] or ()) or words["all"],
            waiting=one.waiting,
            dead=one.dead,
        )
    )


def _delivery(one: Delivery, lang: str) -> str:
    words: dict[str, Any] = WORDS[lang]
    last = one.tries[-1] if one.tries else {}
    return str(
        words["delivery"].format(
            number=one.number,
            event=one.event,
            kind=one.kind,
            state=words["fates"][one.state],
            tries=len(one.tries),
            last=last.get("fault") or last.get("status") or "",
        )
    )
