"""The `metertree` command: one sub-command per module of `ingest.commands`.

Exit codes: 0 done; 1 the answer is no (faults found, a check failed, a refusal); 2 wrong call; 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ingest.commands import command_modules
from ingest.config import INTAKE_SHARE, SettingInvalid, Settings, add_settings, local_caller
from ingest.log_lines import LogFormat, set_up_logging
from ingest.program_config import LOG_FORMAT
from metering.errors import DocumentError, MeteringError

DESCRIPTION = "Metertree, the central service: signed meter readings to exact, explainable shares of shared costs."
_log = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every command found in `ingest.commands`."""
    parser = argparse.ArgumentParser(prog="metertree", description=DESCRIPTION)
    parser.add_argument("--verbose", action="store_true", help="log every step to standard error")
    add_settings(parser, LOG_FORMAT)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for module in command_modules():
        module.register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    args = build_parser().parse_args(argv)
    log_format = LogFormat.TEXT
    try:
        log_format = _log_format(args)
        set_up_logging(log_format, verbose=args.verbose, **_told_on_every_line(args))
        return _run(args)
    except DocumentError as error:
        for fault in error.faults:
            _complain(log_format, str(fault))
        return 1
    except MeteringError as error:
        _complain(log_format, f"metertree: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    """Run the command; what it changes is recorded as done by whoever runs it."""
    from ingest.caller import acting

    with acting(local_caller()):
        return int(args.run(args))


def _log_format(args: argparse.Namespace) -> LogFormat:
    text = Settings(args).text(LOG_FORMAT)
    try:
        return LogFormat(text)
    except ValueError as error:
        raise SettingInvalid(f"{LOG_FORMAT.flag}: {text!r} is neither text nor json") from error


def _told_on_every_line(args: argparse.Namespace) -> dict[str, str]:
    program = getattr(args, "command", "")
    return {"program": program, "share": Settings(args).text(INTAKE_SHARE) if program == "intake" else ""}


def _complain(log_format: LogFormat, what: str) -> None:
    """Say why a command ends, in the form of the log where machines read it."""
    if log_format is LogFormat.JSON:
        _log.error("command.failed: %s", what)
    else:
        print(what, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
