"""The long form of what kills must not do: `make trust`, or with other numbers

    python -m tests.trust.run --database 300 --broker 200 --workers 30 --brokers nats,mosquitto --seed 7

Twenty gateways send to two intake workers. The database, the broker and the workers are killed (kill -9) in the middle
of the stream, so often each, divided over the brokers. Then the same with two errors planted into the workers, which
must be found. Ends with 1 if anything was lost, doubled, or receipted ahead of its commit. What it gave goes into
docs/reliability.md with `--write`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.doubles.mosquitto import find_mosquitto
from tests.trust.broker_alone import kept_of
from tests.trust.campaign import VICTIMS, Campaign, Tally
from tests.trust.page import PAGE, Ran, write_section

ROOT = Path(__file__).parents[2]
ERRORS = {"receipt-before-commit": "database", "acknowledge-on-arrival": "workers"}
"""What is planted, and who is killed then."""
ERROR_KILLS = 20
ERROR_STALL_S = 60.0
"""NATS gives what a killed worker held to the next one after 30 s: that alone is no fault."""


@dataclass
class Line:
    """The progress: one line that is written over on a terminal, now and then a line elsewhere."""

    began_s: float
    said: tuple[str, int] = ("", -1)

    def __call__(self, tally: Tally) -> None:
        """Tell how far a campaign is."""
        spent_s = int(time.monotonic() - self.began_s)
        text = (
            f"{tally.kind:<10}{tally.victim:<9} kill {tally.kills:>3} of {tally.wanted}, {tally.sent:>7,} envelopes, "
            f"{tally.receipts:>7,} receipts, {tally.sent_again:>6,} sent again, {len(tally.faults)} faults, "
            f"{spent_s // 60}:{spent_s % 60:02} min"
        )
        if sys.stdout.isatty():
            sys.stdout.write(f"\r\033[2K{text}" + ("\n" if tally.kills == tally.wanted else ""))
        elif self.said != (so_far := (f"{tally.kind}{tally.victim}", 10 * tally.kills // max(tally.wanted, 1))):
            self.said = so_far
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.trust.run", description=__doc__)
    for victim, kills in zip(VICTIMS, (300, 200, 30), strict=True):
        parser.add_argument(f"--{victim}", type=int, default=kills, help=f"kills of {victim}, over all brokers")
    parser.add_argument("--brokers", default="nats,mosquitto" if find_mosquitto() else "nats")
    parser.add_argument("--gateways", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2, help="intake workers")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE.relative_to(ROOT)}")
    return parser.parse_args(arguments)


def campaigns(given: argparse.Namespace, line: Line) -> list[Tally]:
    """Run every campaign; the first fault ends it all."""
    kinds = given.brokers.split(",")
    done: list[Tally] = []
    for victim in VICTIMS:
        for at, kind in enumerate(kinds):
            kills = getattr(given, victim) * (at + 1) // len(kinds) - getattr(given, victim) * at // len(kinds)
            if kills:
                campaign = Campaign(
                    kind=kind,
                    victim=victim,
                    kills=kills,
                    seed=given.seed,
                    gateways=given.gateways,
                    workers=given.processes,
                    tell=line,
                )
                done.append(campaign.run())
                if done[-1].faults:
                    return done
    return done


def planted(error: str, seed: int, line: Line) -> Tally:
    """Run with an error in every worker until it is found."""
    return Campaign(
        kind="nats",
        victim=ERRORS[error],
        kills=ERROR_KILLS,
        seed=seed,
        gateways=4,
        workers=1,
        worker=("tests.trust.faulty_worker", error),
        stall_s=ERROR_STALL_S,
        tell=line,
    ).run()


def commit_of_tree() -> str:
    """The commit that is under test."""
    words = ["git", "-C", str(ROOT), "rev-parse", "--short=7", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "without git"


def main(arguments: Sequence[str]) -> int:
    """Run everything, tell what came of it."""
    given = options(arguments)
    sys.stdout.write(f"seed {given.seed}, load {os.getloadavg()[0]:.1f}\n")
    line = Line(time.monotonic())
    done = campaigns(given, line)
    faults = [f"{one.kind}, {one.victim}: {fault}" for one in done for fault in one.faults]
    found = {} if faults else {error: planted(error, given.seed, line) for error in ERRORS}
    missed = [error for error, tally in found.items() if not tally.faults]
    sys.stdout.write("".join(f"FAULT, seed {given.seed}: {fault}\n" for fault in faults))
    sys.stdout.write("".join(f"FAULT: the planted error {error} was not found\n" for error in missed))
    alone = {} if faults else {kind: kept_of(kind) for kind in given.brokers.split(",")}
    ran = Ran(datetime.now(UTC).date(), commit_of_tree(), given.seed, os.getloadavg()[1], tuple(done), found, alone)
    sys.stdout.write(ran.section())
    if given.write and not faults and not missed:
        write_section(ran)
    return 1 if faults or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
