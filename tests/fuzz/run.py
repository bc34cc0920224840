"""`make fuzz`: every decoder tried with changed octets for ten minutes each, or with other numbers

    python -m tests.fuzz.run --seconds 60 --only mbus dlms-hdlc --seed 7 --workers 2

Guided by what comes out: a case that ends in a way not seen before (another error, or another wording of it) is kept
and changed further. Prints a line for each target, and each find with the case that shows it again; ends with 1 if
there was one. --write puts the table into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from metering.errors import MeteringError
from tests.fuzz.mutation import mutated
from tests.fuzz.report import write
from tests.fuzz.targets import Case, Target, mended, targets

SECONDS = 600
KEPT_MAX = 4_000
"""Cases that are kept of one target; then new ones take the place of old ones."""
FROM_SEEDS = 0.5
"""Share of the cases that begin at a right answer: what is kept is mostly refused, and what follows from it as well."""
FINDS_MAX = 10
_NUMBERS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"|b'[^']*'|0x[0-9a-f]+|[0-9a-f]{4,}")


@dataclass
class Found:
    """What fuzzing one target gave. `endings` counts how cases ended; `finds` are cases that ended as they must not."""

    name: str
    cases: int = 0
    kept: int = 0
    took_s: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)
    finds: list[str] = field(default_factory=list)


def fuzz(target: Target, draw: random.Random, *, cases: int | None = None, seconds: float | None = None) -> Found:
    """Try a target with so many cases, or for so long [s]."""
    found, seen = Found(target.name), set[str]()
    corpus = list(target.seeds)
    began = time.monotonic()
    for seed in target.seeds:
        seen.add(_ending(target, seed, found))
    while _goes_on(found, began, cases, seconds):
        start = draw.choice(target.seeds if draw.random() < FROM_SEEDS else corpus)
        changed = mended(draw, target, mutated(draw, start.octets, [draw.choice(corpus).octets]))
        case = Case(changed, start.place)
        ending = _ending(target, case, found)
        if ending not in seen:
            seen.add(ending)
            if len(corpus) < KEPT_MAX:
                corpus.append(case)
            else:
                corpus[draw.randrange(len(corpus))] = case
    found.kept, found.took_s = len(corpus) - len(target.seeds), time.monotonic() - began
    return found


def _goes_on(found: Found, began: float, cases: int | None, seconds: float | None) -> bool:
    if len(found.finds) >= FINDS_MAX:
        return False
    return found.cases < cases if cases is not None else time.monotonic() - began < (seconds or SECONDS)


def _ending(target: Target, case: Case, found: Found) -> str:
    """Try a case and say how it ended, numbers and quotations left out."""
    found.cases += 1
    try:
        target.attempt(case)
    except MeteringError as error:
        found.endings[type(error).__name__] += 1
        return f"{case.place} {type(error).__name__} {_NUMBERS.sub('_', str(error))[:120]}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a find
        found.endings["FIND"] += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        find = f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}"
        if not any(known.startswith(find) for known in found.finds):
            found.finds.append(f"{find}: {error} | place {case.place} octets {case.octets.hex()}")
        return find
    found.endings["accepted"] += 1
    return f"{case.place} accepted"


def fuzz_named(name: str, seed: int, seconds: float) -> Found:
    """Fuzz the target `name` in this process."""
    return fuzz(targets()[name], random.Random(f"{seed} {name}"), seconds=seconds)


def run(names: Sequence[str], seed: int, seconds: float, workers: int) -> Iterator[Found]:
    """Fuzz targets beside one another; give each as it ends."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(fuzz_named, name, seed, seconds) for name in names]):
            yield done.result()


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each target")
    parser.add_argument("--only", nargs="+", metavar="TARGET", choices=sorted(targets()), help="these targets")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    args = parser.parse_args()
    names = args.only or list(targets())
    print(f"fuzz: {len(names)} targets, {args.seconds:g} s each, seed {args.seed}", flush=True)
    results = []
    for found in run(names, args.seed, args.seconds, args.workers):
        results.append(found)
        endings = ", ".join(f"{name} {count:,}" for name, count in found.endings.most_common(6))
        print(
            f"  {found.name}: {found.cases:,} cases, {found.kept:,} kept, {found.took_s:.0f} s: {endings}", flush=True
        )
        for find in found.finds:
            print(f"    FIND {find}", flush=True)
    if args.write:
        write(results, args.seed, args.seconds)
    return 1 if any(found.finds for found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
