"""`metertree-gateway search`: find M-Bus meters on a line by their secondary addresses, before anybody reads them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from device_profiles.framing.mbus_search import conversation
from edge_agent.port_readers import bus_of
from edge_agent.status_words import Language
from metering.clock import SystemClock
from metering.errors import MeteringError
from provisioning.gateway_config import GatewayConfig
from provisioning.site import SerialPort, StreamPort

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

REPLY_S = 0.5
"""Longest time until a meter begins to answer: 330 bit times and 50 ms at 300 bit/s would be 1.15 s, at 2400 0.19 s."""
REPLY_S_SLOW = 1.2
SLOW_BAUD = 600
WORDS = {
    Language.EN: {
        "found": "{count} meters on port {port}",
        "unresolved": "something answers to {digits} and cannot be told apart: equal numbers, letters for digits, "
        "or no M-Bus meter",
        "next": 'write address = "..." with protocol = "mbus" for each meter',
    },
    Language.ZH: {
        "found": "端口 {port} 上找到 {count} 块表",
        "unresolved": "{digits} 有应答但无法区分：表号相同、表号含字母，或不是 M-Bus 表",
        "next": '请为每块表写 address = "..."，protocol = "mbus"',
    },
}


def register(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "search", parents=[common], help="find M-Bus meters by secondary address; stop the gateway first"
    )
    parser.add_argument("--port", required=True, help="the port to search")
    parser.add_argument("--first", default="", help="only meters whose number begins with these digits")
    parser.add_argument(
        "--certain", action="store_true", help="try every digit: slower, misses no meter behind another"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search and tell; the exit code is 1 when nothing was found or something stays unresolved."""
    config = GatewayConfig.read(args.config)
    port = next((port for port in config.ports if port.id == args.port), None)
    if not isinstance(port, SerialPort | StreamPort):
        raise MeteringError(f"{args.config} has no line {args.port!r} that M-Bus meters can hang on")
    if len(args.first) > 8 or not (args.first + "0").isdecimal():
        raise MeteringError(f"--first {args.first!r}: write up to 8 digits")
    line = port.line
    reply_s = REPLY_S_SLOW if line is not None and line.baud <= SLOW_BAUD else REPLY_S
    bus = bus_of(port, SystemClock())
    bus.open()
    try:
        answer = bus.converse(conversation(args.first, certain=args.certain), reply_s=reply_s, late_s=reply_s)
    finally:
        bus.close()
    told = answer.body.decode().split()
    meters = [each for each in told if not each.startswith("?")]
    unresolved = [each[1:] for each in told if each.startswith("?")]
    _tell(args, meters, unresolved)
    return 0 if meters and not unresolved else 1


def _tell(args: argparse.Namespace, meters: list[str], unresolved: list[str]) -> None:
    if args.json:
        print(json.dumps({"port": args.port, "meters": meters, "unresolved": unresolved}))
        return
    words = WORDS[args.lang]
    print(words["found"].format(count=len(meters), port=args.port))
    for meter in meters:
        print(f"  {meter}")
    for digits in unresolved:
        print("  " + words["unresolved"].format(digits=digits.ljust(8, "F")))
    if meters:
        print(words["next"])
