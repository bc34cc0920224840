"""Runs one contender in a process of its own and prints what it took.

`python -m tests.bench.allocation.one NAME METERS [REPEATS]`; of several runs the best counts, and the first is told.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

from tests.bench.allocation.job import make_job


def main(name: str, meters: str, repeats: str = "1") -> None:
    """Make the inputs, let the contender take them in, and time its job."""
    started = time.perf_counter()
    job = make_job(int(meters))
    made = time.perf_counter()
    contender = importlib.import_module(f"tests.bench.allocation.{name}")
    held = contender.prepare(job)
    prepared = time.perf_counter()
    best, stages, fingerprint, first_s = float("inf"), {}, "", 0.0
    bound: dict[str, float] = {}
    for number in range(int(repeats)):
        before = time.perf_counter()
        amounts, found = contender.run(job, held)
        took = time.perf_counter() - before
        first_s = first_s if number else took
        if took < best:
            best, stages = took, found
        assert fingerprint in ("", amounts.fingerprint), "two runs differ"
        fingerprint = amounts.fingerprint
        if hasattr(contender, "bound"):
            # In turn with the job, so that a busy moment of the machine does not tell for or against it.
            moved = contender.bound(job, held)
            bound = {name: min(took, bound.get(name, took)) for name, took in moved.items()}
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result: dict[str, Any] = {
        "name": name,
        "meters": int(meters),
        "make_s": made - started,
        "prepare_s": prepared - made,
        "first_s": first_s,
        "job_s": best,
        "stages": stages,
        "fingerprint": fingerprint,
        "peak_mib": peak_kib // 1024,
        "bound": bound,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
