"""`metertree intake`: one intake worker as a process of its own, beside others."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import Settings, add_settings
from ingest.program_config import INTAKE_PROGRAM, read_intake_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "intake",
        help="run one intake worker by itself",
        description="Take the envelopes of a share of the gateways from the broker: --intake-share 2/3 is the second "
        "of three workers. Each share must have one worker, `metertree serve` among them. Ends on SIGTERM.",
    )
    add_settings(parser, *INTAKE_PROGRAM)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take envelopes until told to end."""
    from ingest.app import take_envelopes

    take_envelopes(read_intake_config(Settings(args)))
    return 0
