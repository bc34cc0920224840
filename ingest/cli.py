"""The `metertree` command: one sub-command per module of `ingest.commands`.

Exit codes: 0 done; 1 the answer is no (faults found, a check failed, a refusal); 2 wrong call; 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ingest.commands import command_modules
from metering.errors import DocumentError, MeteringError

DESCRIPTION = "Metertree, the central service: signed meter readings to exact, explainable shares of shared costs."


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every command found in `ingest.commands`."""
    parser = argparse.ArgumentParser(prog="metertree", description=DESCRIPTION)
    parser.add_argument("--verbose", action="store_true", help="log every step to standard error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in command_modules():
        module.register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    args = build_parser().parse_args(argv)
    _set_up_logging(verbose=args.verbose)
    try:
        return int(args.run(args))
    except DocumentError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 1
    except MeteringError as error:
        print(f"metertree: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _set_up_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for talkative in ("httpx", "psycopg.pool", "numba"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
