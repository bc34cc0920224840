"""`metertree serve`: intake, settlement, jobs, API and console in one process."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import Settings, add_settings
from ingest.program_config import SERVE_PROGRAM, read_all_in_one_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the central service: intake, settlement, jobs, API and console",
        description="Take envelopes from the broker, settle them, answer the API, show the console, do what is done "
        "every night. Ends on SIGTERM. The same in parts: metertree intake, settle, api and jobs.",
    )
    add_settings(parser, *SERVE_PROGRAM)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to end."""
    from ingest.app import serve

    serve(read_all_in_one_config(args, Settings(args)))
    return 0
