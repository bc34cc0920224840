"""`metertree-gateway address`: ask the one DL/T 645 or CJ/T 188 meter of a line for its address, at any usual speed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from device_profiles.framing import cjt188_frame, codec_of, dlt645
from device_profiles.framing.cjt188 import Cjt188ReadAddress
from device_profiles.profile import Protocol, ReadRequest
from edge_agent.port_readers import bus_of
from edge_agent.ports import Bus, BusTimeout
from edge_agent.status_words import Language
from metering.clock import SystemClock
from metering.errors import MeterError, MeteringError
from provisioning.gateway_config import GatewayConfig
from provisioning.site import LineSettings, Parity, SerialPort, StreamPort

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

REPLY_S = 0.8
"""Longest time until a meter begins to answer: 0.5 s by DL/T 645, and room for adapters [s]."""
QUESTIONS: tuple[tuple[Protocol, str, ReadRequest], ...] = (
    (Protocol.DLT645_2007, dlt645.ANY_METER, dlt645.Dlt645ReadAddress()),
    (Protocol.DLT645_1997, dlt645.ANY_METER, dlt645.Dlt645ReadAddress()),
    (Protocol.CJT188_2004, cjt188_frame.ANY_METER, Cjt188ReadAddress()),
)
"""What is asked, in this order: protocol, the address that every meter takes for its own, the read."""
USUAL_LINES = tuple(
    LineSettings(baud, parity, 1) for parity in (Parity.EVEN, Parity.NONE) for baud in (2400, 9600, 1200, 4800)
)
"""Settings that meters of these protocols are delivered with, the most usual first."""
WORDS = {
    Language.EN: {
        "found": "a meter answers on port {port}{line}",
        "next": 'write protocol = "{protocol}" and address = "{address}"',
        "several": "something answers by {protocol}{line}, but not one meter alone: disconnect the others",
        "none": "no meter answers on port {port}; --scan tries other speeds",
    },
    Language.ZH: {
        "found": "端口 {port} 上有一块表应答{line}",
        "next": '请写 protocol = "{protocol}"，address = "{address}"',
        "several": "按 {protocol}{line} 有应答，但不止一块表：请断开其余的表",
        "none": "端口 {port} 上没有表应答；--scan 可尝试其他速率",
    },
}


def register(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "address", parents=[common], help="ask the one DL/T 645 or CJ/T 188 meter of a line for its address"
    )
    parser.add_argument("--port", required=True, help="the line; exactly one meter may hang on it")
    parser.add_argument("--scan", action="store_true", help="try the usual speeds, not only the port's own")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and tell; the exit code is 1 when no meter, or more than one, answered."""
    config = GatewayConfig.read(args.config)
    port = next((port for port in config.ports if port.id == args.port), None)
    if not isinstance(port, SerialPort | StreamPort):
        raise MeteringError(f"{args.config} has no line {args.port!r} that such meters can hang on")
    lines: list[LineSettings | None] = [port.line]
    if args.scan and port.line is not None:
        own = (port.line.baud, port.line.parity, port.line.stopbits)
        lines += [each for each in USUAL_LINES if (each.baud, each.parity, each.stopbits) != own]
    bus = bus_of(port, SystemClock())
    bus.open()
    try:
        for line in lines:
            for protocol, address in _answers(bus, line):
                _tell(args, protocol, address, line)
                return 0 if address is not None else 1
    finally:
        bus.close()
    print(json.dumps({"port": args.port}) if args.json else WORDS[args.lang]["none"].format(port=args.port))
    return 1


def _answers(bus: Bus, line: LineSettings | None) -> Iterator[tuple[Protocol, str | None]]:
    """Give each protocol by which something answers, with the address, or None where no single meter did."""
    for protocol, anybody, read in QUESTIONS:
        conversation = codec_of(protocol).converse(anybody, read)
        try:
            answer = bus.converse(conversation, reply_s=REPLY_S, late_s=REPLY_S, line=line)
        except BusTimeout:
            continue
        except MeterError:
            yield protocol, None
        else:
            yield protocol, answer.body.hex().upper()


def _tell(args: argparse.Namespace, protocol: Protocol, address: str | None, line: LineSettings | None) -> None:
    if args.json:
        told = {"port": args.port, "protocol": protocol.value, "address": address}
        settings = {} if line is None else {"baud": line.baud, "parity": line.parity.value}
        print(json.dumps({**told, **settings}))
        return
    words, at = WORDS[args.lang], "" if line is None else f", {line.baud} 8{line.parity.value}{line.stopbits}"
    if address is None:
        print(words["several"].format(protocol=protocol.value, line=at))
        return
    print(words["found"].format(port=args.port, line=at))
    print("  " + words["next"].format(protocol=protocol.value, address=address))
