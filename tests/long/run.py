"""The long form of the allocation's property tests: `make test-long`, or with other numbers

    python -m tests.long.run --divisions 1000000 --times 20 --workers 2 --seed 7

First random divisions, then all property tests of the allocation with `--times` their examples. Prints what ran, from
which seed and how long it took; ends with 1 if a law was broken, and says which seed shows it again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from tests.long.divisions import PIECE, Tally, check_piece

ROOT = Path(__file__).parents[2]
PROPERTIES = "tests/property"
REPORTS = 20
Say = Callable[[str], object]


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def divide(count: int, seed: int, workers: int, tell: Say = say) -> Tally:
    """Check `count` random divisions on `workers` processes, and tell how far it is."""
    pieces = [min(PIECE, count - first) for first in range(0, count, PIECE)]
    tally, told = Tally(), 0
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        under_way = [pool.submit(check_piece, seed, place, size) for place, size in enumerate(pieces)]
        for done in as_completed(under_way):
            tally.add(done.result())
            if tally.broken:
                pool.shutdown(cancel_futures=True)
                break
            reached = tally.divisions * REPORTS // count
            if reached > told:
                told = reached
                tell(f"  {tally.divisions:>9,} of {count:,} divisions, {tally.parts:,} parts")
    return tally


def run_properties(tests: Sequence[str], times: int, seed: int, workers: int) -> dict[str, int]:
    """Run property tests with `times` their examples; gives the counts of the plugin."""
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.json"
        command = [sys.executable, "-m", "pytest", "-p", "tests.long.more_examples", "-n", str(workers)]
        command += ["--dist", "load", "-q", "--timeout", "3600", "--times", str(times), "--tally", str(tally)]
        subprocess.run([*command, f"--hypothesis-seed={seed}", *tests], cwd=ROOT, check=False)
        counts: dict[str, int] = json.loads(tally.read_text(encoding="utf-8"))
        return counts


def property_tests() -> list[str]:
    """All property tests of the allocation."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / PROPERTIES).glob("test_allocation_*.py"))


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.long.run", description=__doc__)
    parser.add_argument("--divisions", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20, help="0 leaves the property tests out")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--tests", nargs="*", default=property_tests())
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run both parts."""
    given = options(arguments)
    say(f"seed {given.seed}, {given.workers} processes")
    started = time.monotonic()
    tally = divide(given.divisions, given.seed, given.workers)
    divided = time.monotonic()
    say(f"divisions: {tally.divisions:,} with {tally.parts:,} parts, {tally.credits:,} of them credits,")
    say(f"  {tally.ties:,} with equal weights, {tally.chunked:,} by 1, 2, 3 and 16 threads; {divided - started:.0f} s")
    for broken in tally.broken:
        say(f"BROKEN, seed {given.seed}, {broken}")
    counts = {"failed": 0}
    if given.times and not tally.broken:
        counts = run_properties(given.tests, given.times, given.seed, given.workers)
        shown = ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))
        say(f"property tests x {given.times}: {shown}; {time.monotonic() - divided:.0f} s")
    say(f"to run the same again: python -m tests.long.run --seed {given.seed} ...")
    return 1 if tally.broken or counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
