"""`metertree-gateway simulate`: meters that are not there, on lines that take time and misbehave as told."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_profiles.catalogue import Catalogue
from device_profiles.misbehaviour import Misbehaviour
from device_profiles.profile import Protocol
from device_profiles.scenario import (
    BAUD,
    BAUD_MAX,
    BAUD_MIN,
    PARITIES,
    SEED,
    LineKind,
    LineSpec,
    Scenario,
    ScenarioInvalid,
    bounds,
    read_scenario,
    simulated_spec,
)
from device_profiles.timed_line import Speed
from edge_agent.adapters.timed_port import TimedPort, timed_port
from edge_agent.simulated_site import scenario_of
from edge_agent.status_words import Language
from metering.clock import SystemClock
from metering.toml_source import TomlSource
from provisioning.gateway_config import GatewayConfig

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

WORDS = {
    Language.EN: {
        "open": "{place}  {kind}, {meters} meters, seed {seed}",
        "ready": "ready; Ctrl-C ends it",
        "figures": "{place}  {requests} requests, {answers} answers, {octets} octets, in use {utilisation:.1%} of "
        "{elapsed:.0f} s",
        "fault": "  {name}: {count}",
    },
    Language.ZH: {
        "open": "{place}  {kind}，{meters} 块表，随机种子 {seed}",
        "ready": "就绪；按 Ctrl-C 结束",
        "figures": "{place}  请求 {requests} 次，应答 {answers} 次，{octets} 字节，"
        "{elapsed:.0f} 秒内占用 {utilisation:.1%}",
        "fault": "  {name}：{count}",
    },
}
HELP = {
    "turnaround_ms": "from the end of a request to the first octet of the answer [ms]",
    "late": "share of answers that come later [%%]",
    "late_ms": "how much later [ms]",
    "mute": "share of requests that stay unanswered [%%]",
    "garbled": "share of answers with one octet changed [%%]",
    "cut": "share of answers without their end [%%]",
    "busy": "share of requests refused as busy [%%]",
    "foreign": "share of answers under another address [%%]",
    "wrong_parity": "meters are set to another parity",
    "wrap_after_s": "counters roll over so long after the start [s]",
    "reset_at_s": "counters fall to 0 then [s]",
    "exchange_at_s": "other meters hang there from then on [s]",
    "clock_jump_at_s": "the meters' clocks jump then [s]",
    "clock_jump_s": "by so much [s]",
}


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser("simulate", help="play meters on lines that take time and misbehave as told")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scenario", type=Path, help="a scenario's TOML file: docs/simulator.md")
    source.add_argument("--config", type=Path, help="a gateway's TOML file: every line and meter of it")
    source.add_argument("--line", metavar="PATH|HOST:PORT", help="one line, with the meters of --meter")
    parser.add_argument("--meter", action="append", default=[], metavar="PROFILE@ADDRESS[@PROTOCOL]", help="repeatable")
    parser.add_argument("--baud", type=_number(BAUD_MIN, BAUD_MAX), help=f"speed of the line, {BAUD} if serial [bit/s]")
    parser.add_argument("--parity", choices=PARITIES, help="N, E or O")
    parser.add_argument("--echo", action="store_true", help="the line repeats each request")
    parser.add_argument("--noise", type=_number(0, 100), help="share of requests beside which stray octets appear [%%]")
    for each in fields(Misbehaviour):
        flag = "--" + each.name.replace("_", "-")
        if each.name == "wrong_parity":
            parser.add_argument(flag, action="store_true", default=None, help=HELP[each.name])
        else:
            parser.add_argument(flag, type=_number(*bounds(each.name)), metavar="N", help=HELP[each.name])
    parser.add_argument("--seed", type=_number(0, 10**9), help="same seed, same faults")
    parser.add_argument("--seconds", type=_number(1, 10**9), help="end by itself after this [s]")
    parser.add_argument("--profiles", type=Path, action="append", default=[], help="directory of further profiles")
    parser.add_argument("--json", action="store_true", help="print JSON, one line at the start and one at the end")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run, verbose=False)


def run(args: argparse.Namespace) -> int:
    """Open the lines, tell where, serve until told to stop, tell what happened."""
    scenario = scenario_from(args, Catalogue.load(*args.profiles))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    wall_s = int(SystemClock().now().timestamp())
    with ExitStack() as opened:
        ports: list[TimedPort] = []
        for line in scenario.lines:
            port = timed_port(line, scenario.seed, wall_s)
            opened.callback(port.stop)
            ports.append(port)
        for port in ports:
            port.start()
        _tell_open(args, scenario, ports)
        stop.wait(args.seconds)
        figures = [_figures(port) for port in ports]
    _tell_figures(args, figures)
    return 0


def scenario_from(args: argparse.Namespace, catalogue: Catalogue) -> Scenario:
    """Give what the arguments ask for; flags hold for all lines and meters. Raises MeteringError."""
    if args.meter and args.line is None:
        raise ScenarioInvalid("--meter goes with --line; a scenario and a configuration have their own meters")
    if args.scenario is not None:
        scenario = read_scenario(TomlSource.read(args.scenario), catalogue)
    elif args.config is not None:
        scenario = scenario_of(GatewayConfig.read(args.config), catalogue, SEED)
    else:
        scenario = Scenario(SEED, (_line_of(args, catalogue),))
    given = {each.name: getattr(args, each.name) for each in fields(Misbehaviour)}
    ways = {name: way for name, way in given.items() if way is not None}
    lines = tuple(_changed(line, args).with_ways(ways) for line in scenario.lines)
    return Scenario(scenario.seed if args.seed is None else args.seed, lines)


def _line_of(args: argparse.Namespace, catalogue: Catalogue) -> LineSpec:
    texts = [text.split("@") for text in args.meter]
    for text, parts in zip(args.meter, texts, strict=True):
        if len(parts) not in (2, 3) or not all(parts):
            raise ScenarioInvalid(f"--meter {text!r} is not of the form PROFILE@ADDRESS[@PROTOCOL]")
    kind = LineKind.SERIAL
    if "/" not in args.line and ":" in args.line:
        is_modbus_tcp = bool(texts) and all(parts[2:] == [Protocol.MODBUS_TCP] for parts in texts)
        kind = LineKind.MODBUS_TCP if is_modbus_tcp else LineKind.STREAM
    meters = tuple(simulated_spec(catalogue, kind, parts[0], parts[1], (*parts, "")[2]) for parts in texts)
    if not meters:
        raise ScenarioInvalid("--line needs a --meter PROFILE@ADDRESS[@PROTOCOL], once for each meter on it")
    return LineSpec(kind, args.line, Speed(BAUD if kind is LineKind.SERIAL else 0), meters)


def _changed(line: LineSpec, args: argparse.Namespace) -> LineSpec:
    """Set the line as the flags say; Modbus TCP has no speed."""
    speed = line.speed
    if line.kind is not LineKind.MODBUS_TCP:
        speed = replace(speed, baud=args.baud or speed.baud, parity=args.parity or speed.parity)
    noise = line.noise if args.noise is None else args.noise
    return replace(line, speed=speed, echo=line.echo or args.echo, noise=noise)


def _tell_open(args: argparse.Namespace, scenario: Scenario, ports: list[TimedPort]) -> None:
    if args.json:
        lines = [
            {
                "place": port.place,
                "kind": line.kind,
                "meters": [f"{one.profile.id}@{one.address}" for one in line.meters],
            }
            for line, port in zip(scenario.lines, ports, strict=True)
        ]
        print(json.dumps({"seed": scenario.seed, "lines": lines}), flush=True)
        return
    words = WORDS[args.lang]
    for line, port in zip(scenario.lines, ports, strict=True):
        told = words["open"].format(place=port.place, kind=line.kind, meters=len(line.meters), seed=scenario.seed)
        print(told, flush=True)
    print(words["ready"], flush=True)


def _figures(port: TimedPort) -> dict[str, Any]:
    figures, elapsed_s = port.line.figures, port.elapsed_s
    return {
        "place": port.place,
        "requests": figures.requests,
        "answers": figures.answers,
        "octets_asked": figures.octets_asked,
        "octets_answered": figures.octets_answered,
        "wire_s": round(figures.wire_s, 6),
        "elapsed_s": round(elapsed_s, 6),
        "utilisation": round(figures.utilisation(elapsed_s), 6),
        "faults": dict(sorted(figures.faults.items())),
    }


def _tell_figures(args: argparse.Namespace, figures: list[dict[str, Any]]) -> None:
    if args.json:
        print(json.dumps({"figures": figures}), flush=True)
        return
    words = WORDS[args.lang]
    for each in figures:
        octets = each["octets_asked"] + each["octets_answered"]
        print(words["figures"].format(octets=octets, elapsed=each["elapsed_s"], **each))
        for name, count in each["faults"].items():
            print(words["fault"].format(name=name, count=count))


def _number(least: int, most: int) -> Any:
    """Give what reads a whole number within bounds, for argparse."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return number
