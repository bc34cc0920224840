"""`metertree verify`: check a statement with public keys alone, and recompute one of its lines."""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.commands import Subparsers
from metering.errors import MeteringError

if TYPE_CHECKING:
    from allocation_engine.posting_check import PostingReport
    from allocation_engine.statement_content import StatementContent
    from allocation_engine.verification import Check, VerificationReport

BUNDLE_OCTETS_MAX = 64 * 1024 * 1024
"""A month of one party is well below 1 MiB; this bounds what a stranger's file can take of memory."""

_LINKS = {
    "bundle": "文件",
    "statement key": "签名密钥",
    "statement": "确认单签名",
    "evidence": "证据封包",
    "gateway signature": "网关签名",
    "reading": "读数",
    "line": "明细行",
    "pool": "费用池",
    "commitment": "批次指纹",
    "total": "合计",
    "publication": "发布",
    "posting": "公示文件",
    "posted run": "公示批次",
    "posted pool": "公示费用池",
}


class StatementUnreadable(MeteringError):
    """The statement file cannot be read, or is too large to be one."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check a statement with the centre's public key alone, and recompute a line",
        description="Check a statement file link by link, without database or network, and recompute one of its lines "
        "from its signed readings. A public posting can be checked alone, or with a statement against it. "
        "Exit code 0: everything holds; 1: something does not.",
    )
    parser.add_argument("statement", type=Path, metavar="STATEMENT", help="statement file, as downloaded")
    parser.add_argument(
        "--key", type=Path, action="append", required=True, metavar="FILE", help="a public key of the centre you trust"
    )
    parser.add_argument(
        "--posting", type=Path, metavar="FILE", help="public posting that the statement must agree with"
    )
    parser.add_argument("--line", metavar="ID", help="line to recompute (default: the largest metered one)")
    parser.add_argument("--all-spans", action="store_true", help="write out every span of the recomputed line")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language of the steps (default en)")
    parser.add_argument("--json", action="store_true", help="print the checks as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify, and say what was found."""
    from allocation_engine.posting_check import check_posting, is_posting, posted_checks
    from allocation_engine.verification import verify_bundle
    from metering.envelope import Verifier
    from provisioning.keys import public_verifier, read_public_key

    keys = [read_public_key(path) for path in args.key]
    trusted: dict[bytes, Verifier] = {key.key_id: key for key in keys}
    octets = _read(args.statement)
    if is_posting(octets):
        return _print_posting(check_posting(octets, trusted), args)
    report = verify_bundle(octets, trusted, public_verifier)
    if args.posting is not None:
        report = replace(report, checks=(*report.checks, *posted_checks(_read(args.posting), trusted, report.content)))
    if args.json:
        print(json.dumps(_document(report), ensure_ascii=False))
    else:
        _print_checks(report, args.lang)
        if report.content is not None:
            _print_line(report.content, args)
            _print_proof(report, report.content, args.lang)
            print(_standing(report)[args.lang == "en"])
        verdict = ("一切成立。", "Everything holds.") if report.holds else ("不成立：", "Does not hold: ")
        print(verdict[args.lang == "en"] + ", ".join(check.link for check in report.broken))
    return 0 if report.holds else 1


def _print_posting(report: PostingReport, args: argparse.Namespace) -> int:
    """Say what was found in a posting."""
    broken = [check.link for check in report.checks if not check.holds]
    if args.json:
        checks = [{"link": check.link, "holds": check.holds, "result": check.result} for check in report.checks]
        print(json.dumps({"holds": report.holds, "final": report.published is not None, "checks": checks}))
    else:
        _print_links(report.checks, args.lang)
        verdict = ("一切成立。", "Everything holds.") if report.holds else ("不成立：", "Does not hold: ")
        print(verdict[args.lang == "en"] + ", ".join(broken))
    return 0 if report.holds else 1


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > BUNDLE_OCTETS_MAX:
            raise StatementUnreadable(f"{path} is larger than {BUNDLE_OCTETS_MAX} octets: it is no statement")
        return path.read_bytes()
    except OSError as error:
        raise StatementUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _document(report: VerificationReport) -> dict[str, object]:
    return {
        "number": None if report.content is None else report.content.number,
        "holds": report.holds,
        "final": report.published is not None,
        "checks": [{"link": check.link, "holds": check.holds, "result": check.result} for check in report.checks],
    }


def _standing(report: VerificationReport) -> tuple[str, str]:
    if report.published is None:
        return "暂定：该核算尚未发布，金额可能变动。", "PROVISIONAL: the run is not published; amounts may change."
    return "终稿：该核算已复核、批准并发布。", "FINAL: the run was checked, approved and published."


def _print_checks(report: VerificationReport, language: str) -> None:
    if report.content is not None:
        content = report.content
        print(f"{content.number}  {content.site}  {content.label}  {content.party}")
    _print_links(report.checks, language)


def _print_links(checks: Sequence[Check], language: str) -> None:
    names = [_link(check.link, language) for check in checks]
    width = max(_columns(name) for name in names)
    for name, check in zip(names, checks, strict=True):
        print(f"  {'✓' if check.holds else '✗'} {name}{' ' * (width - _columns(name))}  {check.result}")


def _link(link: str, language: str) -> str:
    if language == "en" or link in _LINKS:
        return link if language == "en" else _LINKS[link]
    kind = max((one for one in _LINKS if link.startswith(f"{one} ")), key=len, default=link.partition(" ")[0])
    rest = link.removeprefix(kind).strip()
    return f"{_LINKS.get(kind, kind)} {rest}"


def _columns(text: str) -> int:
    """Count terminal columns: Chinese signs take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _print_line(content: StatementContent, args: argparse.Namespace) -> None:
    from ingest.explanation import Explanation, choose_line

    line = choose_line(content, args.line)
    print(f"\n{line.id}")
    for step in Explanation(content, args.lang, all_spans=args.all_spans).steps(line):
        print(f"{'  ' * (step.depth + 1)}{step.text}")
    print()


def _print_proof(report: VerificationReport, content: StatementContent, language: str) -> None:
    """Say what the inclusion proof shows; of a broken one the checks above say all there is to say."""
    from ingest.inclusion_words import HEADING, proof_sentences

    if all(check.holds for check in report.checks if check.link.startswith(("pool", "commitment"))):
        print(HEADING.of(language))
        for sentence in proof_sentences(report.pools, content.commitment, content.currency, language):
            print(f"  {sentence}")
        print()
