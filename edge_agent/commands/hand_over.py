"""`metertree-gateway hand-over`: change the signing key; the old key vouches for the new one."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from edge_agent.key_handover import hand_over
from edge_agent.status_words import Language
from provisioning.keys import fingerprint

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

WORDS = {
    Language.EN: (
        "epoch {epoch} begins with a new key ({level}): {fingerprint}\n"
        "the old key has sealed up to batch {seq}; keep its file until the centre has receipted them\n"
        "start the gateway again: it tells the centre by itself"
    ),
    Language.ZH: (
        "纪元 {epoch} 以新密钥开始（{level}）：{fingerprint}\n"
        "旧密钥已签到第 {seq} 批；中心全部回执之前请保留其文件\n"
        "请重新启动网关：它会自行告知中心"
    ),
}


def register(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("hand-over", parents=[common], help="change the signing key; stop the gateway first")
    parser.add_argument("--key-in", metavar="URI", help="make the new key in a token: pkcs11:token=...;object=...")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Change it, and tell."""
    done = hand_over(args.config, args.key_in)
    told = {
        "epoch": done.config.epoch,
        "key_id": done.new_key.key_id.hex(),
        "fingerprint": fingerprint(done.new_key.public_key),
        "level": str(done.new_key.level),
        "last_seq_of_the_old_key": done.last_seq,
        "statement": done.digest.hex(),
    }
    if args.json:
        print(json.dumps(told))
    else:
        print(WORDS[args.lang].format(**told, seq=done.last_seq))
    return 0
