"""`metertree-gateway doctor`: look at all that a gateway needs, say what is wrong and how to mend it."""

from __future__ import annotations

import argparse
import contextlib
import json
from typing import TYPE_CHECKING

from edge_agent.app import OUTBOX_FILE
from edge_agent.doctor import Verdict, examine
from edge_agent.ordered_settings import OrderedSettings
from edge_agent.status_words import Language
from metering.errors import MeteringError
from provisioning.gateway_config import GatewayConfig
from provisioning.keys import read_public_key

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

SIGNS = {Verdict.WELL: "ok  ", Verdict.WARNING: "warn", Verdict.FAULT: "FAIL"}


def register(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor", parents=[common], help="look for what is wrong, and how to mend it; exit code 1 if there are faults"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, and tell."""
    config = GatewayConfig.read(args.config)
    with contextlib.suppress(MeteringError):  # the look at the keys tells it
        config = OrderedSettings(config, read_public_key(config.centre_public_key)).in_force()
    findings = list(examine(config, args.profiles, OUTBOX_FILE))
    tongue = 0 if args.lang is Language.ZH else 1
    if args.json:
        told = [
            {"what": one.what, "verdict": one.verdict.value, "text": one.text[tongue], "mend": one.mend[tongue]}
            for one in findings
        ]
        print(json.dumps(told, ensure_ascii=False))
    else:
        for one in findings:
            mend = f"  -> {one.mend[tongue]}" if one.mend[tongue] else ""
            print(f"{SIGNS[one.verdict]}  {one.what:<14} {one.text[tongue]}{mend}")
    return 1 if any(one.verdict is Verdict.FAULT for one in findings) else 0
