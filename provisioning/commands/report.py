"""`metertree-provision report`: make the commissioning report of a package, or verify one, both without a network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from provisioning.commands import Subparsers, add_language
from provisioning.commands.installation_file import (
    FileUnusable,
    add_options,
    font_of,
    octets_of,
    read_evidence,
    read_photos,
    write,
)
from provisioning.keys import read_public_key
from provisioning.report import ReportKind, check_report, make_report, prove
from provisioning.signers import open_signer

VERIFY = "verify"
_RIGHT = {
    "zh": "核验通过：{kind}，园区 {site}，网关 {gateway} 纪元 {epoch}；表计 {meters}，操作 {events}，错误 {wrong}",
    "en": "right: {kind}, site {site}, gateway {gateway} epoch {epoch}; {meters} meters, {events} acts, {wrong} wrong",
}
_SEALED = {
    "zh": {"gateway": "全文由网关密钥签名：{key}", "other": "全文由所给的另一密钥签名：{key}；各项操作由网关签名"},
    "en": {
        "gateway": "the whole file is signed by the gateway's key {key}",
        "other": "the whole file is signed by the other key that was given, {key}; the acts by the gateway's",
    },
}
_ANCHORED = {
    "zh": {
        True: "安装单由所给的中心密钥签发。",
        False: "中心密钥指纹 {centre}：请与安装单比对，或用 --anchor 指定。网关指纹请与箱体标签比对。",
    },
    "en": {
        True: "the order is by the centre whose key was given",
        False: "compare the centre's fingerprint {centre} with the install order, or give --anchor FILE; and the "
        "gateway's with the cabinet's label",
    },
}
_MADE = {"zh": "已生成 {path}（{seal}）", "en": "made {path} ({seal})"}
_SEAL = {
    "zh": {True: "已签名", False: "未签名：核验会拒绝；请在网关生成，或加 --key"},
    "en": {True: "signed", False: "not signed: verify will refuse it; make it at the gateway, or add --key"},
}


def register(commands: Subparsers) -> None:
    """Add the command."""
    text = "Make the commissioning report of a package (report PACKAGE), or check one (report verify FILE); offline."
    usage = (
        "metertree-provision report PACKAGE [--html FILE] [--pdf FILE] ... | metertree-provision report verify FILE ..."
    )
    parser = commands.add_parser("report", help=text, description=text, usage=usage)
    parser.add_argument("what", nargs="+", metavar="FILE", help="a package; or `verify` and a report")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="write the paper there (extra `pdf`)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="signing key that seals the report")
    parser.add_argument(
        "--anchor", type=Path, metavar="FILE", help="public key of the centre that is believed (verify)"
    )
    sealed = "public key that sealed the report, where it was not the gateway (verify); repeatable"
    parser.add_argument("--sealed-by", type=Path, action="append", default=[], metavar="FILE", help=sealed)
    add_options(parser)
    add_language(parser)
    parser.set_defaults(run=run, lines=lines)


def run(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    """Make or verify."""
    if args.what[0] == VERIFY and len(args.what) == 2:
        return _verify(args, Path(args.what[1]))
    if len(args.what) != 1:
        raise FileUnusable("give one package, or `verify` and one report")
    args.file = Path(args.what[0])
    return _make(args, clock)


def _make(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    wanted = [(kind, path) for kind, path in ((ReportKind.HTML, args.html), (ReportKind.PDF, args.pdf)) if path]
    if not wanted:
        raise FileUnusable("say where to write: --html FILE, --pdf FILE, or both")
    evidence, photos = read_evidence(args), read_photos(args.file)
    signer = None if args.key is None else open_signer(args.key)
    made_at = clock.now().replace(microsecond=0)
    font = font_of(args)
    made = []
    for kind, path in wanted:
        octets = make_report(
            evidence, kind, language=args.lang, made_at=made_at, photos=photos, signer=signer, font=font
        )
        made.append(write(path, octets))
    done = prove(evidence)
    return {
        "made": made,
        "is_sealed": signer is not None,
        "gateway": done.gateway,
        "meters": len(done.bound),
        "missing": [one.meter for one in done.missing],
        "key": done.fingerprint,
    }


def _verify(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    keys = [read_public_key(one) for one in args.sealed_by]
    anchor = None if args.anchor is None else read_public_key(args.anchor)
    found = check_report(octets_of(path), anchor=anchor, keys={one.key_id: one for one in keys})
    done = found.installation
    return {
        "kind": str(found.kind),
        "site": done.site.id,
        "gateway": done.gateway,
        "epoch": done.epoch,
        "meters": len(done.bound),
        "events": len(done.events),
        "missing": [one.meter for one in done.missing],
        "wrong": done.wrong,
        "key": found.seal_key,
        "sealed_by": found.sealed_by,
        "centre": done.centre_fingerprint,
        "is_anchored": found.is_anchored,
    }


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Say what was made, or what the file proves and what a person still compares."""
    if "made" in answer:
        for path in answer["made"]:
            yield _MADE[args.lang].format(path=path, seal=_SEAL[args.lang][answer["is_sealed"]])
        return
    yield _RIGHT[args.lang].format(**answer)
    yield _SEALED[args.lang][answer["sealed_by"]].format(**answer)
    yield _ANCHORED[args.lang][answer["is_anchored"]].format(**answer)
