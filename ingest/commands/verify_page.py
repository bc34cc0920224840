"""`metertree verify-page`: write the one file with which anybody checks statements in a browser, offline."""

from __future__ import annotations

import argparse
from pathlib import Path

from ingest.commands import Subparsers
from metering.errors import MeteringError


class PageNotWritten(MeteringError):
    """The page cannot be written where it was asked for."""


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "verify-page",
        help="write verify.html: checks statements in a browser, offline",
        description="Write one self-contained page that checks statement files in a browser: no network, no program to "
        "install. It does what `metertree verify` does, in code of its own.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write it, e.g. verify.html")
    parser.add_argument(
        "--key", type=Path, action="append", default=[], metavar="FILE", help="public key of the centre to put in"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page and say so."""
    from ingest.verify_page import verify_page
    from provisioning.keys import fingerprint, read_public_key

    keys = [read_public_key(path).public_key for path in args.key]
    page = verify_page(keys)
    try:
        args.out.write_bytes(page)
    except OSError as error:
        raise PageNotWritten(f"{args.out} cannot be written: {error.strerror}") from error
    print(f"{args.out}: {len(page)} octets; opens in any browser, connects to nothing")
    for key in keys:
        print(f"  key {fingerprint(key)}")
    if not keys:
        print("  without a key: its reader pastes one (or write it again with --key centre.pub)")
    return 0
