"""`metertree serve`: intake, settlement, API and console in one process."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import SERVE_SETTINGS, Settings, add_settings, read_serve_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        help="run the central service: intake, settlement, API and console",
        description="Take envelopes from the broker, settle them, answer the API, show the console. Ends on SIGTERM.",
    )
    add_settings(parser, *SERVE_SETTINGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to end."""
    from ingest.app import serve

    serve(read_serve_config(Settings(args)))
    return 0
