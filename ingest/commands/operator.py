"""`metertree operator`: who may write under his own name, each with a token that is shown once."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.config import DSN, Settings, add_settings, local_caller

if TYPE_CHECKING:
    from ingest.store.database import Connection
    from ingest.store.operators import Post

WORDS = {
    "en": {
        "token": "token of {name}, shown this once (its hash is kept): {token}",
        "file": "token of {name} written to {path} (its hash is kept)",
        "use": "send it as `Authorization: Bearer <token>`; what it changes stands in the audit log under {name}",
        "removed": "the token of {name} counts no more, from the next call on",
        "changed": "{name} from the next call on: {post}",
        "all": "all sites",
        "link": "{name} chooses a password here, once, within {hours} hours (the link is shown this once): {link}",
        "none": "no operators yet; add one: metertree operator add NAME",
        "in force": "in force since {at}, by {by}",
        "gone": "removed {at}",
    },
    "zh": {
        "token": "{name} 的令牌，仅显示一次（系统只保存其哈希值）：{token}",
        "file": "{name} 的令牌已写入 {path}（系统只保存其哈希值）",
        "use": "调用时放入 `Authorization: Bearer <令牌>`；所作更改以 {name} 的名义记入审计日志",
        "removed": "{name} 的令牌从下一次调用起失效",
        "changed": "{name} 自下一次调用起：{post}",
        "all": "全部园区",
        "link": "{name} 请在 {hours} 小时内打开此链接设置密码（仅一次有效，也仅显示这一次）：{link}",
        "none": "尚无操作员；添加：metertree operator add NAME",
        "in force": "{at} 起有效，由 {by} 添加",
        "gone": "已于 {at} 移除",
    },
}


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "operator",
        help="add, list, renew and remove the people who may write under their own name",
        description="Each operator has a token of his own. What takes a second person (approving) takes a named "
        "operator: the admin token is nobody in person. A name is never given to another, since it stands in the log.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    tells = {
        "add": "add one",
        "change": "give one other roles or sites",
        "renew": "give one a new token in place of the old",
        "remove": "let a token count no more",
    }
    for name, tell in tells.items():
        verb = verbs.add_parser(name, help=tell)
        verb.add_argument("name", help="lower-case letters, digits and hyphens")
        verb.set_defaults(run=_change, verb=name)
        if name in ("add", "change"):
            verb.add_argument(
                "--role",
                action="append",
                metavar="ROLE",
                help="what he may and sees, may be given several times: administrator, energy-manager, approver, "
                "field-engineer, finance, leasing, auditor (default: approver, energy-manager and field-engineer)",
            )
            verb.add_argument(
                "--site", action="append", metavar="SITE", help="the only sites he sees; may be given several times"
            )
        if name in ("remove", "change"):
            verb.add_argument("--reason", default="", help="why, as the audit log will say it")
        else:
            verb.add_argument(
                "--out", type=Path, help="write the token into this new file (0600) instead of showing it"
            )
    link = verbs.add_parser("link", help="make the link by which one chooses the password of the console")
    link.add_argument("name", help="lower-case letters, digits and hyphens")
    link.add_argument("--url", default="http://127.0.0.1:8080", help="how he reaches the console (default %(default)s)")
    link.set_defaults(run=_link)
    listing = verbs.add_parser("list", help="list all there ever were")
    listing.set_defaults(run=_list)
    for verb in verbs.choices.values():
        verb.add_argument("--lang", choices=tuple(WORDS), default="en", help="language of what is shown (default en)")
        add_settings(verb, DSN)


def _change(args: argparse.Namespace) -> int:
    from ingest.store.operators import add_operator, change_operator, remove_operator, renew_operator

    words, caller = WORDS[args.lang], local_caller()
    with books(args) as (connection, now):
        if args.verb == "remove":
            remove_operator(connection, args.name, caller, now, args.reason)
            print(words["removed"].format(name=args.name))
            return 0
        if args.verb == "change":
            post = _post(args)
            change_operator(connection, args.name, post, caller, now, args.reason)
            print(words["changed"].format(name=args.name, post=told_post(post.roles, post.sites, words)))
            return 0
        if args.verb == "add":
            token = add_operator(connection, args.name, caller, now, _post(args))
        else:
            token = renew_operator(connection, args.name, caller, now)
        if args.out is not None:
            # Before the commit: a token that nobody could keep is not given out.
            write_secret(args.out, token)
    if args.out is None:
        print(words["token"].format(name=args.name, token=token))
    else:
        print(words["file"].format(name=args.name, path=args.out))
    print(words["use"].format(name=args.name))
    return 0


def _link(args: argparse.Namespace) -> int:
    from ingest.store.sign_ins import LINK_LASTS, make_link

    with books(args) as (connection, now):
        token = make_link(connection, args.name, local_caller(), now)
    address, hours = f"{args.url.rstrip('/')}/welcome/{token}", int(LINK_LASTS.total_seconds()) // 3600
    print(WORDS[args.lang]["link"].format(name=args.name, hours=hours, link=address))
    return 0


def _list(args: argparse.Namespace) -> int:
    from ingest.store.operators import operators

    words = WORDS[args.lang]
    with books(args) as (connection, _):
        found = operators(connection)
    for one in found:
        standing = words["in force"].format(at=_minute(one.added_at), by=one.added_by)
        if one.removed_at is not None:
            standing = words["gone"].format(at=_minute(one.removed_at))
        print(f"{one.name}  {standing}  {told_post(one.roles, one.sites, words)}")
    if not found:
        print(words["none"])
    return 0


def _post(args: argparse.Namespace) -> Post:
    from ingest.store.operators import USUAL_ROLES, Post

    return Post(tuple(args.role or USUAL_ROLES), None if args.site is None else tuple(args.site))


def told_post(roles: Sequence[str], sites: Sequence[str] | None, words: Mapping[str, str]) -> str:
    """Say what somebody may, and where."""
    return f"{', '.join(roles)} ({words['all'] if sites is None else ', '.join(sites)})"


@contextmanager
def books(args: argparse.Namespace) -> Iterator[tuple[Connection, datetime]]:
    """Lend a transaction on the database that was named, and the time."""
    from ingest.store.database import Database
    from metering.clock import SystemClock

    with Database(Settings(args).text(DSN), connections=1) as database, database.transaction() as connection:
        yield connection, SystemClock().now()


def write_secret(path: Path, secret: str) -> None:
    """Write a secret into a file that was not there, for its owner only."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret + "\n")


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
