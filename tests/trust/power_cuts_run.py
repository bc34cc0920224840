"""The long form of the power cuts, second half of `make trust`

    python -m tests.trust.power_cuts_run --cuts 20000 --normal 2000 --seed 7 --write

Cuts the power with `synchronous` FULL, as the gateway has it, then with NORMAL, which must lose. Ends with 1 if FULL
lost or damaged anything, or NORMAL lost nothing. `--write` puts what it gave into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.trust.page import PAGE
from tests.trust.power_cuts import PowerTally, cut_power

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- power cuts: begin -->", "<!-- power cuts: end -->"
_HEAD = (
    "| synchronous | cuts | of them with writes nobody had synced | marks appended | lost | damaged | time |\n"
    "|---|---|---|---|---|---|---|\n"
)


def row(name: str, tally: PowerTally) -> str:
    """One line of the table."""
    found = f"{tally.lost:,} | {tally.damaged:,} | {tally.seconds:.0f} s"
    return f"| {name} | {tally.cuts:,} | {tally.reopened_torn:,} | {tally.appended:,} | {found} |\n"


def section(full: PowerTally, normal: PowerTally, seed: int) -> str:
    """What stands in docs/reliability.md."""
    ran = ("git", "rev-parse", "--short", "HEAD")
    commit = subprocess.run(ran, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    now = datetime.now(UTC)
    return (
        f"{BEGIN}\n{now.day} {now:%B %Y}, commit {commit}, seed {seed}, 2 processors shared with other work (load "
        f"{os.getloadavg()[1]:.1f}).\n\n{_HEAD}{row('FULL', full)}{row('NORMAL', normal)}{END}\n"
    )


def write_section(text: str, page: Path = PAGE) -> None:
    """Put the section in the place of the last one."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + text + rest.partition(f"{END}\n")[2], encoding="utf-8")


def main() -> int:
    """Run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=20_000)
    parser.add_argument("--normal", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**8))
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    sys.stdout.write(f"{wanted.cuts:,} power cuts, seed {wanted.seed}\n")
    full = cut_power(wanted.cuts, wanted.seed)
    normal = cut_power(wanted.normal, wanted.seed, synchronous="normal")
    text = section(full, normal, wanted.seed)
    sys.stdout.write(text + "".join(f"{fault}\n" for fault in full.faults))
    if wanted.write:
        write_section(text)
    return int(bool(full.lost or full.damaged or not normal.lost))


if __name__ == "__main__":
    sys.exit(main())
