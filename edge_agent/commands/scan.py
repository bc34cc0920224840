"""`metertree-gateway scan`: find the meters on a line whose protocols, settings and addresses nobody wrote down."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from device_profiles.catalogue import Catalogue
from edge_agent.line_loan import borrowed
from edge_agent.port_readers import bus_of
from edge_agent.scanning import words
from edge_agent.scanning.result import ExpectedMeter, FoundMeter, Progress, ScanEnd, ScanProgress, ScanResult
from edge_agent.scanning.scan import scan
from edge_agent.scanning.setting import SettingRefused, set_address, set_baud
from edge_agent.status_words import Language
from metering.clock import SystemClock
from metering.errors import MeteringError
from metering.identity import GatewayId, PortId
from provisioning.gateway_config import GatewayConfig
from provisioning.site import Parity, Port, PulsePort, SerialPort, StreamPort, TcpPort

if TYPE_CHECKING:
    from edge_agent.commands import Subparsers

NOBODY = GatewayId("scan")
TOLERANCE_S = 1
ASK = {
    Language.EN: "Set unit {address} ({model}) to {what}? Type yes: ",
    Language.ZH: "将 {address} 号表（{model}）设为 {what}？输入 yes 确认：",
}
SET = {Language.EN: "unit {address} is now {what}, read back", Language.ZH: "{address} 号表现为 {what}，已回读确认"}
YES = ("yes", "y", "是")


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "scan", help="find the meters on a line: protocols, settings, addresses, models, numbers"
    )
    parser.add_argument("port", metavar="PORT", help="a port of the configuration, or any name with --device or --tcp")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--config", type=Path, help="the gateway's TOML file; a running gateway lends the line")
    place.add_argument("--device", help="a serial device, such as /dev/ttyUSB0")
    place.add_argument("--tcp", metavar="HOST:PORT", help="a transparent serial converter")
    place.add_argument("--modbus-tcp", metavar="HOST:PORT", help="a Modbus TCP gateway or meter")
    parser.add_argument("--baud", type=int, default=9600, help="likely speed of --device [bit/s]")
    parser.add_argument("--parity", type=Parity, choices=list(Parity), default=Parity.NONE, help="its likely parity")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="SERIAL[@MODEL[@ADDRESS]]",
        help="a meter of the plan; repeatable",
    )
    parser.add_argument("--all", action="store_true", help="go on when all expected are found; ask the unlikely too")
    parser.add_argument("--state", type=Path, help="where an interrupted scan is kept")
    parser.add_argument("--new", action="store_true", help="begin anew, whatever an interrupted scan knew")
    parser.add_argument("--set-address", action="append", default=[], metavar="FROM=TO", help="then set a unit id")
    parser.add_argument("--set-baud", action="append", default=[], metavar="ADDRESS=BAUD", help="then set a speed")
    parser.add_argument("--yes", action="store_true", help="set without asking")
    parser.add_argument("--profiles", type=Path, action="append", default=[], help="directory of further profiles")
    parser.add_argument("--json", action="store_true", help="print JSON, one event a line")
    parser.add_argument("--lang", type=Language, choices=list(Language), default=Language.EN, help="zh or en")
    parser.set_defaults(run=run, verbose=False)


def run(args: argparse.Namespace) -> int:
    """Scan, tell, set what is to be set; the exit code is 1 when something is missing or doubled."""
    catalogue = Catalogue.load(*args.profiles)
    cancel = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cancel.set())
    with ExitStack() as loan:
        port, state = _port_and_state(args, loan, cancel)
        if args.new:
            state.unlink(missing_ok=True)
        if not args.json:
            print(words.head(args.lang))
        result = scan(
            port,
            catalogue,
            [expected(text) for text in args.expect],
            _teller(args, catalogue),
            everything=args.all,
            cancel=cancel,
            state=state,
        )
        _tell(args, result)
        _set_all(args, catalogue, port, result)
    return 1 if result.missing or result.duplicates or result.end is ScanEnd.CANCELLED else 0


def expected(text: str) -> ExpectedMeter:
    """Read `SERIAL[@MODEL[@ADDRESS]]`; raises MeteringError."""
    parts = text.split("@")
    if len(parts) > 3 or not any(parts):
        raise MeteringError(f"--expect {text!r}: write SERIAL@MODEL@ADDRESS, what is not known left out")
    serial, profile, address = (*parts, "", "")[:3]
    return ExpectedMeter(serial=serial, profile=profile, address=address)


def _port_and_state(
    args: argparse.Namespace, loan: ExitStack, cancel: threading.Event
) -> tuple[SerialPort | StreamPort | TcpPort, Path]:
    """Give the port, borrowed from a running gateway if it is one of its own, and where the scan is kept."""
    file = f"scan-{args.port.strip('/').replace('/', '-')}.json"
    if args.config is not None:
        config = GatewayConfig.read(args.config)
        port = next((each for each in config.ports if each.id == args.port), None)
        if port is None:
            known = ", ".join(each.id for each in config.ports)
            raise MeteringError(f"{args.config} has no port {args.port!r}; it has {known}")
        if config.state_dir.is_dir():
            loan.enter_context(borrowed(config.state_dir, port.id, cancel))
        return _scanned(port), args.state or config.state_dir / file
    state = args.state or Path(f".metertree-{file}")
    name = PortId("scan")
    if args.device is not None:
        return SerialPort(name, NOBODY, args.device, args.baud, args.parity, 1, TOLERANCE_S), state
    host, _, number = (args.tcp or args.modbus_tcp).rpartition(":")
    if not host or not number.isdecimal():
        raise MeteringError(f"{args.tcp or args.modbus_tcp!r} is not of the form host:port")
    kind = TcpPort if args.tcp is None else StreamPort
    return kind(name, NOBODY, host, int(number), TOLERANCE_S), state


def _scanned(port: Port) -> SerialPort | StreamPort | TcpPort:
    if isinstance(port, PulsePort):
        raise MeteringError(f"port {port.id} counts pulses; nobody on it can be asked")
    return port


def _teller(args: argparse.Namespace, catalogue: Catalogue) -> Progress:
    """Give what tells progress: rows as they come, and below them, on a terminal, one line that is written over."""
    is_live = sys.stderr.isatty()

    def tell(progress: ScanProgress) -> None:
        if args.json:
            print(json.dumps(words.progress_document(progress), ensure_ascii=False), flush=True)
            return
        if is_live:
            print("\r\x1b[K", end="", file=sys.stderr)
        if progress.newest is not None:
            print(words.row(len(progress.found), progress.newest, catalogue, args.lang), flush=True)
        if is_live:
            print(words.status(progress, args.lang), end="", file=sys.stderr, flush=True)

    return tell


def _tell(args: argparse.Namespace, result: ScanResult) -> None:
    if args.json:
        print(json.dumps(words.result_document(result), ensure_ascii=False), flush=True)
        return
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    for line in words.findings(result, args.lang):
        print(line)


def _set_all(
    args: argparse.Namespace, catalogue: Catalogue, port: SerialPort | StreamPort | TcpPort, result: ScanResult
) -> None:
    """Set what the arguments ask for, each after a question; the first that cannot be set ends it."""
    wishes = [(set_address, text) for text in args.set_address] + [(set_baud, text) for text in args.set_baud]
    if not wishes or result.end is ScanEnd.CANCELLED:
        return
    bus = bus_of(port, SystemClock())
    bus.open()
    try:
        for act, text in wishes:
            address, _, to = text.partition("=")
            meter = next((each for each in result.found if each.address == address), None)
            if meter is None or not to.isdecimal():
                raise SettingRefused(f"{text!r}: no meter alone was found at {address}, or {to!r} is no number")
            what = f"{address} -> {to}"
            if not (args.yes or _agreed(args, catalogue, meter, what)):
                continue
            moved = (
                set_address(bus, catalogue, meter, to)
                if act is set_address
                else set_baud(bus, catalogue, meter, int(to))
            )
            _tell_set(args, moved, what)
    finally:
        bus.close()


def _agreed(args: argparse.Namespace, catalogue: Catalogue, meter: FoundMeter, what: str) -> bool:
    told = catalogue.by_id(meter.profile).settable.told.get(args.lang.value) if meter.profile else None
    if told:
        print(told, file=sys.stderr)
    model = words.model(meter, catalogue, args.lang)
    print(ASK[args.lang].format(address=meter.address, model=model, what=what), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in YES


def _tell_set(args: argparse.Namespace, moved: FoundMeter, what: str) -> None:
    if args.json:
        print(json.dumps({"event": "set", "meter": words.meter_document(moved)}, ensure_ascii=False), flush=True)
    else:
        print(SET[args.lang].format(address=moved.address, what=what))
