"""`metertree-gateway status`: how the running gateway stands; without one, what its outbox says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.adapters.face_port import FaceUnreachable, ask_face
from edge_agent.adapters.sqlite_outbox import read_extents
from edge_agent.app import OUTBOX_FILE
from edge_agent.status_words import Language, status_lines, word
from provisioning.gateway_config import GatewayConfig

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers


def register(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status", parents=[common], help="show how the running gateway stands; exit code 1 if it does not run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    config = GatewayConfig.read(args.config)
    try:
        if config.face is None:
            raise FaceUnreachable(f"{args.config} opens no port: write [face] with host and port")
        document = ask_face(config.face)
    except FaceUnreachable as error:
        return _show_still(config, str(error), args)
    if args.json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        for line in status_lines(document, args.lang):
            print(line)
    return 0


def _show_still(config: GatewayConfig, reason: str, args: argparse.Namespace) -> int:
    """Say what can be known of a gateway that does not answer."""
    path: Path = config.state_dir / OUTBOX_FILE
    extents = read_extents(path) if path.exists() else []
    waiting = sum(extent.head.seq - extent.receipted_seq for extent in extents)
    if args.json:
        document = {"gateway": config.gateway, "running": False, "reason": reason, "outbox": {"waiting": waiting}}
        print(json.dumps(document, ensure_ascii=False))
        return 1
    print(f"{word('gateway', args.lang)} {config.gateway}  {word('not-running', args.lang)}")
    print(f"  {reason}")
    print(f"  {word('outbox', args.lang)}  {waiting} {word('waiting', args.lang)}")
    return 1
