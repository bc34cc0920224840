"""Commands of `metertree`. Every module here is one command:

register(subparsers)   adds the parser, its help and `set_defaults(run=run)`
run(args) -> int       does the work and gives the exit code

Modules keep heavy imports (numba, psycopg, uvicorn) inside `run`, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, cast

from metering.errors import MeteringError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = argparse._SubParsersAction


class PairUnreadable(MeteringError):
    """An argument does not have the form SUBJECT=TEXT."""


class Command(Protocol):
    """What a module of this package offers."""

    def register(self, subparsers: Subparsers) -> None:
        """Add the command's parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; give the exit code."""


def command_modules() -> list[Command]:
    """Import every command, in alphabetical order."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return [cast(Command, importlib.import_module(f"{__name__}.{name}")) for name in names]


def read_pairs(texts: Iterable[str], flag: str) -> dict[str, str]:
    """Read arguments of the form SUBJECT=TEXT; raises PairUnreadable."""
    pairs = {}
    for text in texts:
        subject, _, told = (part.strip() for part in text.partition("="))
        if not subject or not told:
            raise PairUnreadable(f"{flag} {text!r} is not of the form SUBJECT=TEXT")
        pairs[subject] = told
    return pairs
