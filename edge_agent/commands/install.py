"""`metertree-gateway install ...`: the installation desk at a terminal; every step can be broken off and taken up."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from device_profiles.catalogue import Catalogue
from edge_agent.commands import install_later
from edge_agent.commands.install_arguments import (
    add_binding_arguments,
    read_file,
    request_of,
    typed_of,
    who_of,
    write_file,
)
from edge_agent.commands.install_words import ask, ask_yes, prompt
from edge_agent.installation import telling
from edge_agent.installation.desk import Desk
from edge_agent.installation.home import DEFAULT_HOME, Home
from edge_agent.installation.reporting import report_file
from edge_agent.installation.view import BindRequest, DeskRefused, Who
from edge_agent.installation.words import refused
from edge_agent.scanning import words as scan_words
from edge_agent.scanning.result import ScanProgress
from edge_agent.status_words import Language
from metering.clock import SystemClock
from metering.identity import MeterId, NodeId, PortId
from metering.obis import ENERGY_IMPORT
from metering.quantity import Unit
from provisioning.display_readout import read_display
from provisioning.installation import Severity
from provisioning.package import package_name
from provisioning.report.seal import ReportKind
from provisioning.wiring_proof import Clamp

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

Step = Callable[[Desk, argparse.Namespace], object]


def register(commands: Subparsers) -> None:
    """Add the command and its steps."""
    parser = commands.add_parser(
        "install", help="install this gateway and its meters, from the order to the grant; each step works offline"
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", type=Path, default=DEFAULT_HOME, help=f"the gateway's folder ({DEFAULT_HOME})")
    common.add_argument("--by", help="who does it; asked for once, then remembered")
    common.add_argument("--profiles", type=Path, action="append", default=[], help="directory of further profiles")
    common.add_argument("--json", action="store_true", help="print JSON, ask nothing")
    common.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")

    def step(name: str, run: Step, told: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, parents=[common], help=told, description=told)
        one.set_defaults(run=_run, step=run, verbose=False)
        return one

    step("status", lambda *_: 0, "show how the installation stands and what is next")
    begin = step("begin", _begin, "take the install order, make this gateway's keys")
    begin.add_argument("file", type=Path, metavar="ORDER", help="the order file")
    begin.add_argument("--confirm", metavar="FINGERPRINT", help="the fingerprint as the back office says it")
    begin.add_argument("--claim-file", type=Path, help="a file with the claim; asked for if left out")
    port = step("port", _port, "say where a port of the plan really is")
    port.add_argument("port")
    port.add_argument("place", help="a device such as /dev/ttyUSB0, or host:port")
    scan = step("scan", _scan, "find the meters on a line")
    scan.add_argument("port")
    scan.add_argument("--all", action="store_true", help="go on when all planned ones are found; ask the unlikely too")
    scan.add_argument("--expect", action="append", default=[], metavar="SERIAL", help="a meter the plan does not have")
    bind = step("bind", _bind, "put a meter at a node; without a node, goes through all that are planned")
    bind.add_argument("node", nargs="?", help="metering point of the tree")
    add_binding_arguments(bind)
    _meter_steps(step)
    _whole_steps(step)
    install_later.register(step)


def _meter_steps(step: Callable[[str, Step, str], argparse.ArgumentParser]) -> None:
    for name, run, told in (
        ("unbind", _unbind, "take back a binding that is not sealed yet"),
        ("read", _read, "show what a meter shows now"),
        ("compare", _compare, "compare what the display shows with the bus"),
        ("photo", _photo, "keep a picture with a binding"),
        ("wiring", _wiring, "judge the wiring of a meter from what it shows under load"),
    ):
        one = step(name, run, told)
        one.add_argument("meter", help="id of a bound meter")
        if name == "compare":
            one.add_argument(
                "shown",
                nargs="*",
                metavar="[OBIS=]TEXT",
                help="1234.56, or 1-0:2.8.0=7.80; asked for if left out",
            )
        if name == "photo":
            one.add_argument("kind", help="meter, seal, cabinet or display")
            one.add_argument("file", type=Path, metavar="PICTURE", help="JPEG or PNG")
        if name == "wiring":
            one.add_argument("--clamp", action="append", default=[], metavar="L1=AMPERES", help="primary amperes")
            one.add_argument("--rotation", choices=("right", "wrong"), help="what a rotation tester says")


def _whole_steps(step: Callable[[str, Step, str], argparse.ArgumentParser]) -> None:
    check = step("check", _check, "look at everything")
    check.add_argument("--offline", action="store_true", help="ask no meter")
    check.add_argument("--window", type=int, default=0, metavar="S", help="compare energies over so many seconds")
    accept = step("accept", _accept, "go on in spite of a finding")
    accept.add_argument("code")
    accept.add_argument("subject")
    accept.add_argument("--reason", help="why; it is signed")
    seal = step("seal", _seal, "sign everything and measure at once")
    seal.add_argument("--claim-file", type=Path, help="a file with the claim, where it is still missing")
    step("deliver", _deliver, "try this gateway's own network once")
    package = step("package", _package, "write the file for a telephone or a stick")
    package.add_argument("file", type=Path, nargs="?", metavar="FILE", help="file or folder; this folder if left out")
    grant = step("grant", _grant, "take the centre's answer from a file")
    grant.add_argument("file", type=Path, metavar="GRANT")
    step("events", _events, "list what was signed")
    report = step("report", _report, "write the commissioning report, sealed with this gateway's key")
    report.add_argument("file", type=Path, metavar="FILE", help="what ends with .pdf is paper, anything else HTML")


def _run(args: argparse.Namespace) -> int:
    """Do one step and show how the desk stands after it; `check` ends with 1 where something is wrong and open."""
    try:
        home = Home(args.home.resolve())
        folders = [*args.profiles, *([home.profiles] if home.profiles.is_dir() else [])]
        with closing(Desk(home, Catalogue.load(*folders), SystemClock())) as desk:
            shown = args.step(desk, args)
            state = desk.state()
    except DeskRefused as error:
        if args.json:
            told = {"zh": error.told.zh, "en": error.told.en}
            print(json.dumps({"refused": error.code, "told": told}, ensure_ascii=False))
        else:
            print(error.told.of(args.lang), file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(shown if isinstance(shown, dict) else telling.state_document(state), ensure_ascii=False))
    elif not isinstance(shown, dict):
        for line in telling.state_lines(state, args.lang):
            print(line)
    return int(args.step is _check and any(one.severity is Severity.WRONG for one in state.open_findings))


def _begin(desk: Desk, args: argparse.Namespace) -> object:
    octets = read_file(args.file)
    order = desk.look_at(octets)
    confirmed = args.confirm
    if not args.json:
        for line in telling.order_lines(order, args.lang):
            print(line)
        if not order.is_anchored and confirmed is None and ask_yes("confirm", args.lang):
            confirmed = order.fingerprint
    if not order.is_anchored and confirmed is None:
        raise refused("unconfirmed", fingerprint=order.fingerprint)
    who = who_of(desk, args)
    desk.begin(octets, who, confirmed=confirmed)
    if not desk.state().has_claim:
        _take_claim(desk, args, who)
    return None


def _take_claim(desk: Desk, args: argparse.Namespace, who: Who) -> None:
    """Take the claim from a file or the keyboard, never from the command line, which others may read."""
    if args.claim_file is not None:
        desk.claim(read_file(args.claim_file).decode("ascii", "replace").strip(), who)
    elif not args.json:
        typed = ask("claim", args.lang)
        if typed:
            desk.claim(typed, who)


def _port(desk: Desk, args: argparse.Namespace) -> object:
    desk.set_port(PortId(args.port), args.place, who_of(desk, args))
    return None


def _scan(desk: Desk, args: argparse.Namespace) -> object:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    catalogue = Catalogue.load(*args.profiles)
    is_live = sys.stderr.isatty() and not args.json

    def tell(progress: ScanProgress) -> None:
        if args.json:
            print(json.dumps(scan_words.progress_document(progress), ensure_ascii=False), flush=True)
            return
        if is_live:
            print("\r\x1b[K", end="", file=sys.stderr)
        if progress.newest is not None:
            print(scan_words.row(len(progress.found), progress.newest, catalogue, args.lang), flush=True)
        if is_live:
            print(scan_words.status(progress, args.lang), end="", file=sys.stderr, flush=True)

    who = who_of(desk, args)
    if not args.json:
        print(scan_words.head(args.lang))
    result = desk.scan(PortId(args.port), who, tell, stop, is_thorough=args.all, also=args.expect)
    if args.json:
        return scan_words.result_document(result)
    if is_live:
        print("\r\x1b[K", end="", file=sys.stderr)
    for line in scan_words.findings(result, args.lang):
        print(line)
    return None


def _bind(desk: Desk, args: argparse.Namespace) -> object:
    who = who_of(desk, args)
    if args.node is not None:
        desk.bind(request_of(args, NodeId(args.node)), who)
        return None
    if args.json:
        raise refused("incomplete", missing="node")
    state = desk.state()
    bound = {one.meter.node for one in state.bindings}
    for expected in () if state.plan is None else state.plan.expected:
        if expected.node in bound:
            continue
        typed = ask(
            "found", args.lang, node=expected.node, serial=expected.serial or "-", model=expected.profile or "-"
        )
        if typed:
            _bind_told(desk, BindRequest(NodeId(expected.node), found=typed), who, args.lang)
    return None


def _bind_told(desk: Desk, wanted: BindRequest, who: Who, language: Language) -> None:
    """Bind, or say why not and go on with the next."""
    try:
        binding = desk.bind(wanted, who)
    except DeskRefused as error:
        print("  " + error.told.of(language), file=sys.stderr)
        return
    print("  " + telling.binding_line(binding, desk.state(), language))


def _unbind(desk: Desk, args: argparse.Namespace) -> object:
    desk.unbind(MeterId(args.meter), who_of(desk, args))
    return None


def _read(desk: Desk, args: argparse.Namespace) -> object:
    live = desk.read(MeterId(args.meter))
    if not args.json:
        for line in telling.live_lines(live, args.lang):
            print(line)
    return telling.live_document(live)


def _compare(desk: Desk, args: argparse.Namespace) -> object:
    who = who_of(desk, args)
    shown = args.shown
    if not shown and not args.json:
        typed = ask("display", args.lang, meter=args.meter, obis=ENERGY_IMPORT)
        shown = [f"{ENERGY_IMPORT}={typed}"] if typed else []
    comparisons = desk.compare(MeterId(args.meter), typed_of(shown), who)
    if not args.json:
        for one in comparisons:
            print(f"{one.obis}  {one.typed}  {one.bus if one.bus is not None else '-'}  {telling.told(one, args.lang)}")
    return None


def _photo(desk: Desk, args: argparse.Namespace) -> object:
    photo = desk.photograph(MeterId(args.meter), args.kind, read_file(args.file), who_of(desk, args))
    if not args.json:
        print(f"{photo.kind} {photo.sha256.hex()[:16]} {photo.octets}")
    return None


def _wiring(desk: Desk, args: argparse.Namespace) -> object:
    clamps = []
    for part in args.clamp:
        phase, _, text = part.partition("=")
        clamps.append(Clamp(phase.upper(), read_display(text, Unit.A).shown))
    rotation = None if args.rotation is None else args.rotation == "right"
    desk.judge_wiring(MeterId(args.meter), who_of(desk, args), clamps=clamps, is_rotation_right=rotation)
    return None


def _check(desk: Desk, args: argparse.Namespace) -> object:
    if args.window and not args.json:
        print(prompt("window", args.lang, seconds=args.window), file=sys.stderr)
    desk.check(who_of(desk, args), with_meters=not args.offline, window_s=args.window)
    return None


def _accept(desk: Desk, args: argparse.Namespace) -> object:
    reason = args.reason or ("" if args.json else ask("reason", args.lang))
    desk.accept(args.code, args.subject, reason, who_of(desk, args))
    return None


def _seal(desk: Desk, args: argparse.Namespace) -> object:
    who = who_of(desk, args)
    state = desk.state()
    if state.sealed is None and not state.has_claim:
        _take_claim(desk, args, who)
    desk.seal(who)
    return None


def _deliver(desk: Desk, args: argparse.Namespace) -> object:
    del args
    desk.deliver()
    return None


def _package(desk: Desk, args: argparse.Namespace) -> object:
    octets = desk.package()
    state = desk.state()
    assert state.order is not None
    path: Path = args.file or Path.cwd()
    if path.is_dir():
        path = path / package_name(state.order.gateway, SystemClock().now())
    write_file(path, octets)
    if not args.json:
        print(path)
        return None
    return {"package": str(path), "octets": len(octets)}


def _report(desk: Desk, args: argparse.Namespace) -> object:
    kind = ReportKind.PDF if args.file.suffix.lower() == ".pdf" else ReportKind.HTML
    octets = report_file(desk, kind, args.lang.value, SystemClock().now())
    write_file(args.file, octets)
    if not args.json:
        print(args.file)
        return {}
    return {"report": str(args.file), "octets": len(octets)}


def _grant(desk: Desk, args: argparse.Namespace) -> object:
    desk.take_grant(read_file(args.file))
    return None


def _events(desk: Desk, args: argparse.Namespace) -> object:
    state = desk.state()
    if not args.json:
        for line in telling.event_lines(state.events, args.lang):
            print(line)
    return {"events": telling.state_document(state)["events"]}
