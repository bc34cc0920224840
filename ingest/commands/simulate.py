"""`metertree simulate`: a site's meters answer on the wire, in played time. Runs until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from metering.errors import MeteringError
from metering.identity import GatewayId, PortId

if TYPE_CHECKING:
    from ingest.commands import Subparsers
    from ingest.demo.simulation import CuttableLine

HELP = "let a site's meters answer on the wire, in played time"


class WordInvalid(MeteringError):
    """An argument does not have the form it must have."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("simulate", help=HELP, description=HELP + "; runs until it is told to stop")
    parser.add_argument("--site", type=Path, required=True, metavar="DIR", help="folder of the site's files")
    parser.add_argument("--loads", type=Path, required=True, metavar="FILE", help="loads file (TOML) of the site")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="measured loads, where the loads file maps columns")
    parser.add_argument("--days", type=int, metavar="N", help="play only the first N days of the month")
    parser.add_argument("--time-port", type=int, required=True, metavar="PORT", help="TCP port of played time")
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="PORT=PLACE",
        help="where a port of the site answers: a path for a serial line, HOST:PORT for Modbus TCP; once for each",
    )
    parser.add_argument(
        "--line",
        action="append",
        default=[],
        metavar="GATEWAY=PORT:BROKER_PORT",
        help="a gateway's line to the broker, cut while the loads file says so",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the world until SIGTERM or SIGINT."""
    from device_profiles.catalogue import Catalogue
    from ingest.demo.loads_file import read_play
    from ingest.demo.simulation import Wiring, simulated_world
    from provisioning.site_file import read_site

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    site = read_site(args.site)
    play = read_play(args.loads, site, csv=args.csv, days=args.days)
    wiring = Wiring(
        time_port=args.time_port,
        places={PortId(port): place for port, place in map(_pair, args.place)},
        lines={GatewayId(gateway): _line(ports) for gateway, ports in map(_pair, args.line)},
    )
    with simulated_world(site, play, Catalogue.shipped(), wiring):
        stopping.wait()
    return 0


def _pair(word: str) -> tuple[str, str]:
    name, equals, place = word.partition("=")
    if not name or not equals or not place:
        raise WordInvalid(f"{word!r} is not of the form NAME=PLACE")
    return name, place


def _line(word: str) -> CuttableLine:
    from ingest.demo.simulation import CuttableLine

    ports = word.split(":")
    if len(ports) != 2 or not all(port.isdigit() for port in ports):
        raise WordInvalid(f"{word!r} is not of the form PORT:BROKER_PORT")
    return CuttableLine(int(ports[0]), int(ports[1]))
