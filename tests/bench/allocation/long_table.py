"""The job's inputs as the long tables that data frames and databases take, and their answers as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.bench.allocation.job import BAND_RATES, LOAD_BITS, SLOTS, Amounts, Ints, Job, divide

STATEMENTS = [
    one for one in (Path(__file__).with_name("job.sql")).read_text(encoding="utf-8").split(";\n") if one.strip()
]
Table = dict[str, Ints]


def tables(job: Job) -> dict[str, Table]:
    """Give every table column by column; registers only where one was read."""
    rows, marks = np.nonzero(job.registers >= 0)
    level = np.zeros(len(job.parents), np.int64)
    for row in range(1, len(level)):
        level[row] = level[job.parents[row]] + 1
    counts = np.bincount(job.parents[job.parents >= 0], minlength=len(level))
    costs = job.pool_wh[1] * job.rates * job.coefficients // 1000 << LOAD_BITS
    return {
        "registers": {"node": rows, "mark": marks, "register": job.registers[rows, marks].astype(np.int64)},
        "nodes": {
            "node": np.arange(len(level)),
            "parent": job.parents,
            "level": level,
            "multiplier": job.multipliers,
            "children": counts,
        },
        "ends": {"node": np.arange(job.first_end, len(level)), "key": job.keys},
        "slots": {"slot": np.arange(SLOTS), "band": job.band_of_slot, "rate": job.rates, "load_cost": costs},
    }


def amounts(job: Job, sums: Iterable[tuple[int, int, int, int, int]], loss_nano: int) -> Amounts:
    """Turn rows of (node, band, own, lost, loads) into amounts."""
    own, lost = (np.zeros((job.meters, len(BAND_RATES)), np.int64) for _ in range(2))
    loads = np.zeros(job.meters, np.int64)
    for node, band, own_wh, lost_quanta, load in sums:
        end = node - job.first_end
        own[end, band], lost[end, band] = int(own_wh), int(lost_quanta)
        loads[end] += int(load)
    return divide(job, own, lost, loads, loss_nano)
