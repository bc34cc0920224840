"""`metertree api`: API and console as a process of their own."""

from __future__ import annotations

import argparse

from ingest.commands import Subparsers
from ingest.config import Settings, add_settings
from ingest.program_config import API_PROGRAM, read_api_config


def register(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "api",
        help="answer the API and show the console, by itself",
        description="Answer the API, also envelopes over HTTP, and show the console. Needs no broker. Several may run "
        "behind a proxy. Ends on SIGTERM.",
    )
    add_settings(parser, *API_PROGRAM)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer until told to end."""
    from ingest.app import answer_calls

    answer_calls(read_api_config(Settings(args)))
    return 0
