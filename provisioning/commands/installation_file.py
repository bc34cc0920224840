"""Options and reading that `report` and `label` share: a package, and what it does not hold itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import BinaryIO

from metering.errors import MeteringError
from provisioning.keys import read_public_key
from provisioning.package import photos_in, read_package
from provisioning.paper.fonts import ChineseFont, chinese_font
from provisioning.report import Evidence, evidence_of


class FileUnusable(MeteringError):
    """A file cannot be read or written; the text says the mend."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a package lacks, and where fonts are."""
    parser.add_argument("--order", type=Path, metavar="FILE", help="the engineer's order file, if the package has none")
    parser.add_argument(
        "--gateway-key", type=Path, metavar="FILE", help="the gateway's public key, if it has no bundle"
    )
    parser.add_argument("--grant", type=Path, metavar="FILE", help="the centre's answer")
    parser.add_argument("--fonts", type=Path, metavar="FOLDER", help="folder with a Chinese font for the PDF")


def read_evidence(args: argparse.Namespace) -> Evidence:
    """Take the evidence out of the package `args.file`."""
    key = None if args.gateway_key is None else read_public_key(args.gateway_key).public_key
    parts = [None if path is None else octets_of(path) for path in (args.grant, args.order)]
    with opened(args.file) as stream:
        return evidence_of(read_package(stream), public_key=key, grant=parts[0], order=parts[1])


def read_photos(path: Path) -> dict[bytes, bytes]:
    """Give the photos of a package by digest."""
    with opened(path) as stream:
        return dict(photos_in(stream))


def opened(path: Path) -> BinaryIO:
    """Open a file to read octets; raises FileUnusable."""
    try:
        return path.open("rb")
    except OSError as error:
        raise FileUnusable(f"{path} cannot be read: {error.strerror}; name a file that is there") from error


def octets_of(path: Path) -> bytes:
    """Read a file whole; raises FileUnusable."""
    with opened(path) as stream:
        return stream.read()


def font_of(args: argparse.Namespace) -> ChineseFont | None:
    """Give the font that was asked for; None for the machine's."""
    return None if args.fonts is None else chinese_font((args.fonts,))


def write(path: Path, octets: bytes) -> str:
    """Write a file and give its name; raises FileUnusable."""
    try:
        path.write_bytes(octets)
    except OSError as error:
        raise FileUnusable(f"{path} cannot be written: {error.strerror}; name another place") from error
    return str(path)
