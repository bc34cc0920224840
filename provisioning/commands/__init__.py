"""The subcommands of `metertree-provision` beyond the first ones, one module each.

A module's `register(commands)` adds its parser. Its default `run(args, clock)` gives the answer as a mapping, which
`--json` prints as it is; the default `lines(answer, args)`, where there is one, gives the lines that a person reads
instead of a table. Only `cli.py` prints. A key `exit_code` of the answer is the command's exit code and is not printed.
"""

from __future__ import annotations

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
LANGUAGES = ("zh", "en")


def add_language(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command for people has."""
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="language (default en)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
