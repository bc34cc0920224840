"""`metertree erase`: take the names of a party, or of an engineer, out of everything that is not hashed or signed."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from ingest.commands.backup import CallUnclear, plain_errors
from ingest.config import DSN, Settings, add_settings

if TYPE_CHECKING:
    from ingest.store.database import Connection
    from ingest.store.erasure import ErasurePlan

WORDS = {
    "en": {
        "goes": "goes: {texts}, out of {records} records ({where})",
        "party_where": "versions of site {site}",
        "engineer_where": "install orders",
        "stays": "stays: the id {subject}, its leases, lines and amounts; {statements} statements (the newest of "
        "{newest}), which name the id alone and stay verifiable; the hash of each version of the site",
        "engineer_stays": "stays: the orders themselves, under a pseudonym, and what was enrolled by them",
        "none": "none",
        "mention": "stays, too, and is for you to look at: the same text in {table}.{column}, {rows} rows",
        "known": "who knows all else of the site's description can still test a guess at the name against its hash",
        "backups": "older backups hold it until they are deleted; restored, it is erased again if a newer backup is "
        "in the same folder",
        "ask": "erase this for good? type the id {subject} again: ",
        "not": "nothing was erased",
        "done": "erased, and noted as erasure {number}",
    },
    "zh": {
        "goes": "删除：{texts}，共 {records} 条记录（{where}）",
        "party_where": "园区 {site} 的各版本",
        "engineer_where": "安装工单",
        "stays": "保留：编号 {subject} 及其租约、明细与金额；{statements} 份确认单（最新 {newest}），"
        "其中只有编号，仍可验证；园区各版本的哈希值",
        "engineer_stays": "保留：工单本身（改用代号）及其登记结果",
        "none": "无",
        "mention": "同样保留，请自行核对：{table}.{column} 中有相同文字，{rows} 行",
        "known": "知道园区资料其余全部内容的人，仍可用哈希值验证对名称的猜测",
        "backups": "旧备份在删除之前仍含有该名称；若同一文件夹中有更新的备份，恢复时会再次删除",
        "ask": "确定永久删除？请再次输入编号 {subject}：",
        "not": "未删除任何内容",
        "done": "已删除，记录为第 {number} 号",
    },
}


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "erase",
        help="take the names of a party or of an engineer out of the store",
        description="Take personal data out of everything that is not hashed or signed: names of a party, once no "
        "lease of it is in force; the name of an engineer, once no install order waits for him. Shows first what goes "
        "and what stays provable, and asks. Statements, runs and lines name ids only and do not change.",
    )
    parser.add_argument("kind", choices=("party", "engineer", "list"), help="whose data; list: what was erased so far")
    parser.add_argument("subject", nargs="?", metavar="ID", help="SITE/PARTY, or the engineer as the orders name him")
    parser.add_argument("--reason", help="why, as it will be noted; no names")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--lang", choices=tuple(WORDS), default="en", help="language of what is shown (default en)")
    add_settings(parser, DSN)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show, ask, erase."""
    from ingest.store.database import Database
    from ingest.store.erasure import erase, sweep_out
    from metering.clock import SystemClock

    words, now = WORDS[args.lang], SystemClock().now()
    with plain_errors(), Database(Settings(args).text(DSN), connections=1) as database:
        if args.kind == "list":
            with database.transaction() as connection:
                return _list(connection)
        if not args.subject or not (args.reason or args.dry_run):
            raise CallUnclear("say whose: erase party SITE/PARTY, or erase engineer NAME; and why: --reason TEXT")
        with database.transaction() as connection:
            plan = _plan(connection, args, now)
        print("\n".join(_shown(plan, words)))
        if args.dry_run:
            return 0
        if not args.yes and not _agreed(plan, words):
            print(words["not"])
            return 1
        with database.transaction() as connection:
            done = erase(connection, _plan(connection, args, now), args.reason, now)
        sweep_out(database)
    print(words["done"].format(number=done.erasure))
    return 0


def _list(connection: Connection) -> int:
    from ingest.store.erasure_log import list_erasures

    for one in list_erasures(connection):
        place = f"{one.site}/{one.subject}" if one.site else one.subject[:16]
        print(f"{one.erasure}  {one.erased_at.isoformat()}  {one.kind} {place}  {one.reason}")
    return 0


def _plan(connection: Connection, args: argparse.Namespace, now: datetime) -> ErasurePlan:
    from ingest.store.erasure import plan_engineer, plan_party
    from metering.identity import PartyId, SiteId

    if args.kind == "engineer":
        return plan_engineer(connection, args.subject, now)
    site, _, party = args.subject.partition("/")
    if not party:
        raise CallUnclear(f"{args.subject!r} does not say which site: give SITE/PARTY, e.g. park/t-04")
    return plan_party(connection, SiteId(site), PartyId(party), now)


def _shown(plan: ErasurePlan, words: dict[str, str]) -> list[str]:
    texts = ", ".join(f'"{text}"' for text in plan.texts)
    where = words[f"{plan.kind}_where"].format(site=plan.site)
    newest = words["none"] if plan.newest is None else plan.newest.date().isoformat()
    lines = [words["goes"].format(texts=texts, records=plan.records, where=where)]
    if plan.kind == "party":
        stays = words["stays"].format(subject=plan.subject, statements=plan.statements, newest=newest)
        lines += [stays, words["known"]]
    else:
        lines.append(words["engineer_stays"])
    lines += [words["mention"].format(table=table, column=column, rows=rows) for table, column, rows in plan.mentions]
    return [*lines, words["backups"]]


def _agreed(plan: ErasurePlan, words: dict[str, str]) -> bool:
    print(words["ask"].format(subject=plan.subject), end="", flush=True)
    return sys.stdin.readline().strip() == plan.subject
