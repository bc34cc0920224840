"""`metertree client`: the programs that use the API, and their keys, each shown once."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path

from ingest.commands import Subparsers
from ingest.commands.operator import books, told_post, write_secret
from ingest.config import DSN, add_settings, local_caller

OVERLAP_H = 24
WORDS = {
    "en": {
        "key": "key of {name}, shown this once (its hash is kept): {key}",
        "file": "key of {name} written to {path} (its hash is kept)",
        "use": "send it as `Authorization: Bearer <key>`, or change it for a token: POST /v1/oauth/token",
        "overlap": "keys before it count for {hours} h more",
        "removed": "no key of {name} counts any more, from the next call on",
        "ended": "{key} counts no more, from the next call on",
        "none": "no clients yet; add one: metertree client add NAME --role billing",
        "in force": "in force",
        "gone": "removed {at}",
        "all": "all sites",
        "ends": "ends {at}",
        "past": "ended {at}",
        "for good": "no end",
        "used": "used {at}",
        "unused": "never used",
        "no key": "{client} has no key {key} in force; list them: metertree client list",
    },
    "zh": {
        "key": "{name} 的密钥，仅显示一次（系统只保存其哈希值）：{key}",
        "file": "{name} 的密钥已写入 {path}（系统只保存其哈希值）",
        "use": "调用时放入 `Authorization: Bearer <密钥>`，或换取短期令牌：POST /v1/oauth/token",
        "overlap": "旧密钥在 {hours} 小时内仍有效",
        "removed": "{name} 的全部密钥从下一次调用起失效",
        "ended": "{key} 从下一次调用起失效",
        "none": "尚无接入方；添加：metertree client add NAME --role billing",
        "in force": "有效",
        "gone": "已于 {at} 移除",
        "all": "全部园区",
        "ends": "{at} 到期",
        "past": "已于 {at} 终止",
        "for good": "长期有效",
        "used": "最近使用 {at}",
        "unused": "从未使用",
        "no key": "{client} 没有有效密钥 {key}；查看：metertree client list",
    },
}


def register(subparsers: Subparsers) -> None:
    """Add the command with its verbs."""
    parser = subparsers.add_parser(
        "client",
        help="add, list and remove the programs that use the API, and make, rotate and end their keys",
        description="A client is a program such as billing. It has a role, the sites it sees, and keys with an end and "
        "with scopes; a key that is rotated leaves the one before in force for a while.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, tell in (
        ("add", "add a program with its first key"),
        ("key", "make one more key"),
        ("rotate", "make a key in place of those there are, which count a while longer"),
        ("end", "let one key count no more"),
        ("remove", "let a program in no more"),
        ("list", "list programs and keys"),
    ):
        _arguments(name, verbs.add_parser(name, help=tell))
    for verb in verbs.choices.values():
        verb.add_argument("--lang", choices=tuple(WORDS), default="en", help="language of what is shown (default en)")
        add_settings(verb, DSN)


def _arguments(name: str, verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=_list if name == "list" else _change, verb=name)
    if name != "list":
        verb.add_argument("name", help="lower-case letters, digits and hyphens")
    if name == "add":
        verb.add_argument("--role", action="append", required=True, help="billing, finance, leasing or auditor")
        verb.add_argument("--site", action="append", help="the only sites it sees; may be given several times")
    if name in ("add", "key"):
        verb.add_argument("--scope", action="append", help="a permission the key is limited to; several times")
    if name in ("add", "key", "rotate"):
        verb.add_argument("--days", type=_days, help="after how many days the key ends (default: never)")
        verb.add_argument("--out", type=Path, help="write the key into this new file (0600) instead of showing it")
    if name == "rotate":
        verb.add_argument(
            "--overlap-hours", type=_hours, default=OVERLAP_H, help=f"how long others count still (default {OVERLAP_H})"
        )
    if name == "end":
        verb.add_argument("key", help="its shown part, mtk_...")
    if name == "remove":
        verb.add_argument("--reason", default="", help="why, as the audit log will say it")


def _change(args: argparse.Namespace) -> int:
    from ingest.store.clients import add_client, end_keys, make_key, remove_client, rotate_key

    words, caller = WORDS[args.lang], local_caller()
    with books(args) as (connection, now):
        if args.verb == "remove":
            remove_client(connection, args.name, caller, now, args.reason)
            print(words["removed"].format(name=args.name))
            return 0
        if args.verb == "end":
            is_ended = end_keys(connection, args.name, args.key, now, caller, now)
            print(words["ended" if is_ended else "no key"].format(key=args.key, client=args.name))
            return 0 if is_ended else 1
        ends_at = None if args.days is None else now + timedelta(days=args.days)
        if args.verb == "rotate":
            key = rotate_key(connection, args.name, timedelta(hours=args.overlap_hours), caller, now, ends_at)
        else:
            if args.verb == "add":
                add_client(connection, args.name, args.role, args.site, caller, now)
            key = make_key(connection, args.name, caller, now, scopes=args.scope, ends_at=ends_at)
        if args.out is not None:
            # Before the commit: a key that nobody could keep is not given out.
            write_secret(args.out, key)
    shown = "key" if args.out is None else "file"
    print(words[shown].format(name=args.name, key=key, path=args.out))
    if args.verb == "rotate":
        print(words["overlap"].format(hours=args.overlap_hours))
    print(words["use"])
    return 0


def _list(args: argparse.Namespace) -> int:
    from ingest.store.clients import clients, keys

    words = WORDS[args.lang]
    with books(args) as (connection, now):
        found, known = clients(connection), keys(connection)
    for one in found:
        standing = words["in force"] if one.removed_at is None else words["gone"].format(at=_minute(one.removed_at))
        print(f"{one.name}  {standing}  {told_post(one.roles, one.sites, words)}")
        for key in known:
            if key.client != one.name:
                continue
            end = words["for good"]
            if key.ends_at is not None:
                end = words["ends" if key.counts(now) else "past"].format(at=_minute(key.ends_at))
            used = words["unused"] if key.used_at is None else words["used"].format(at=_minute(key.used_at))
            print(f"    {key.key}  {end}  {used}" + (f"  {' '.join(key.scopes)}" if key.scopes is not None else ""))
    if not found:
        print(words["none"])
    return 0


def _days(text: str) -> int:
    return _within(text, 3650)


def _hours(text: str) -> int:
    return _within(text, 24 * 90)


def _within(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {most}")
    return int(text)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
