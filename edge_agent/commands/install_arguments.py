"""Arguments that several steps of `metertree-gateway install` share, and what they mean to the desk."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from device_profiles.profile import Protocol
from edge_agent.commands.install_words import ask
from edge_agent.installation.desk import Desk
from edge_agent.installation.view import BindRequest, Typed, Who
from edge_agent.installation.words import refused
from metering.errors import MeteringError
from metering.identity import MeterId, NodeId, PortId, UnitId
from metering.obis import ENERGY_IMPORT, Obis
from provisioning.place import E7, Place


def add_binding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be said of a meter."""
    parser.add_argument("--found", help="the scanned meter: its serial number, or PORT/ADDRESS")
    parser.add_argument("--serial", help="as printed on the meter")
    parser.add_argument("--unit", help="lettable unit that it feeds")
    parser.add_argument("--meter", help="id it is to have")
    parser.add_argument("--port", help="where it hangs, if it was not scanned")
    parser.add_argument("--protocol", type=Protocol, choices=list(Protocol), metavar="PROTOCOL")
    parser.add_argument("--address", help="on its line")
    parser.add_argument("--profile", help="model, such as eastron/sdm630")
    parser.add_argument("--ct", type=int, help="ratio of the current transformers, 1 without")
    parser.add_argument("--pt", type=int, help="ratio of the voltage transformers")
    parser.add_argument("--place", metavar="LAT,LON[,M]", help="where it hangs, WGS-84 degrees, and how exactly [m]")
    parser.add_argument("--note", help="where it hangs, in words")
    parser.add_argument("--seal", help="number of the seal")


def who_of(desk: Desk, args: argparse.Namespace) -> Who:
    """Say who acts: as told, as remembered, or asked."""
    by = args.by or desk.last_by() or (None if args.json else ask("by", args.lang))
    if not by:
        raise refused("no-name")
    return Who(by, f"terminal of {socket.gethostname()}")


def request_of(args: argparse.Namespace, node: NodeId) -> BindRequest:
    """Give what was said of a meter."""
    return BindRequest(
        node=node,
        unit=None if args.unit is None else UnitId(args.unit),
        found=args.found,
        meter=None if args.meter is None else MeterId(args.meter),
        serial=args.serial,
        port=None if args.port is None else PortId(args.port),
        protocol=args.protocol,
        address=args.address,
        profile=args.profile,
        ct=args.ct,
        pt=args.pt,
        place=_place(args.place, args.note),
        seal=args.seal,
    )


def _place(text: str | None, note: str | None) -> Place | None:
    if text is None:
        return None
    try:
        lat, lon, *more = (Fraction(one.strip()) for one in text.split(","))
        return Place(round(lat * E7), round(lon * E7), round(more[0] * 100) if more else None, note)
    except (ValueError, ZeroDivisionError, MeteringError) as error:
        problem = f"--place {text!r}: write degrees, latitude first, such as 31.2989500,120.5853000 ({error})"
        raise MeteringError(problem) from error


def typed_of(parts: Sequence[str]) -> list[Typed]:
    """Read `OBIS=TEXT`, the unit behind the digits if one is given; digits alone are imported energy."""
    found = []
    for part in parts:
        obis, mark, text = part.partition("=")
        if not mark and part.strip().replace(".", "", 1).isdecimal():
            obis, text = str(ENERGY_IMPORT), part
        if not text.strip():
            raise MeteringError(f"{part!r}: write a register and what the display shows, such as 1-0:1.8.0=1234.56")
        found.append(Typed(Obis.parse(obis.strip()), text.strip(), ""))
    return found


def read_file(path: Path) -> bytes:
    """Read a file that was named; raises MeteringError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MeteringError(f"{path} cannot be read: {error.strerror}; name the file") from error


def write_file(path: Path, octets: bytes) -> None:
    """Write a file that was named; raises MeteringError."""
    try:
        path.write_bytes(octets)
    except OSError as error:
        raise MeteringError(f"{path} cannot be written: {error.strerror}; name another place") from error
