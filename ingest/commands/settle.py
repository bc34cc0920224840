"""`metertree settle`: settlement as a process of its own, beside others."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import Settings, add_settings
from ingest.program_config import SETTLE_PROGRAM, read_settle_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "settle",
        help="settle what arrives, by itself",
        description="Turn what arrived into settled days, whenever something did. Several may run, also beside "
        "`metertree serve`: each site is settled by one of them at a time. Ends on SIGTERM.",
    )
    add_settings(parser, *SETTLE_PROGRAM)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Settle until told to end."""
    from ingest.app import settle

    settle(read_settle_config(Settings(args)))
    return 0
