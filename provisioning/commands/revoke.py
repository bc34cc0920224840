"""`metertree-provision revoke`: let a gateway's key count no more, at once and for good."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metering.clock import Clock
from metering.errors import MeteringError
from metering.identity import GatewayId, check_identifier
from provisioning.centre_client import CentreClient, read_token
from provisioning.commands import Subparsers, add_language

_WORDS = {
    "en": {
        "ask": "{gateway} is revoked for good: whatever its key signs goes to quarantine. Type its id again: ",
        "done": "{gateway}: epoch {epochs} revoked; nothing more that its key signs enters the books",
        "before": "{gateway} was revoked already; nothing was changed",
        "line": "  epoch {epoch}  {at}  by {by}: {reason}",
        "next": "To use it again: metertree-provision order; on the machine install begin and replace {old}, or "
        "enrol --epoch {epoch}.",
    },
    "zh": {
        "ask": "{gateway} 将被永久吊销：其密钥签名的一切都进隔离区。请再次输入其编号：",
        "done": "{gateway}：纪元 {epochs} 已吊销；其密钥签名的报文不再入账",
        "before": "{gateway} 此前已吊销，未作更改",
        "line": "  纪元 {epoch}  {at}  {by}：{reason}",
        "next": "如需再用：metertree-provision order 开安装单；在机器上 install begin、replace {old}，"
        "或以纪元 {epoch} 注册。",
    },
}


class NotAgreed(MeteringError):
    """Nobody confirmed what cannot be taken back."""


def register(commands: Subparsers) -> None:
    """Add the command."""
    text = "Revoke a gateway: its key counts no more, at once and for good, whatever session it has open."
    parser = commands.add_parser("revoke", help=text, description=text)
    parser.add_argument("gateway", help="id of the gateway")
    parser.add_argument("--reason", required=True, help="why, as others will read it")
    parser.add_argument("--epoch", type=int, help="only this epoch; all without it")
    parser.add_argument("--centre", required=True, metavar="URL", help="address of the centre, http(s)://...")
    parser.add_argument(
        "--token-file", required=True, type=Path, help="file with your operator's token, or the centre's admin token"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_language(parser)
    parser.set_defaults(run=run, lines=lines)


def run(args: argparse.Namespace, clock: Clock) -> dict[str, Any]:  # noqa: ARG001 every command has this shape
    """Ask, and revoke."""
    gateway = GatewayId(check_identifier(args.gateway))
    client = CentreClient(args.centre, read_token(args.token_file))
    if not args.yes and (args.json or input(_WORDS[args.lang]["ask"].format(gateway=gateway)).strip() != gateway):
        raise NotAgreed("nothing was revoked: confirm with the gateway's id, or with --yes")
    return dict(client.revoke(gateway, args.reason, args.epoch))


def lines(answer: Mapping[str, Any], args: argparse.Namespace) -> Iterator[str]:
    """Tell what was revoked, and what to do next."""
    words, gateway = _WORDS[args.lang], answer["gateway"]
    epochs = ", ".join(map(str, answer["revoked"]))
    yield (words["done"] if answer["revoked"] else words["before"]).format(gateway=gateway, epochs=epochs)
    for one in answer["revocations"]:
        yield words["line"].format(**one)
    old = max(one["epoch"] for one in answer["revocations"])
    yield words["next"].format(old=old, epoch=old + 1)
