"""Contender: loops over meters and slots with `Decimal` and dictionaries, the way MyEMS aggregates and bills.

Written anew after the public description of its aggregation (one meter at a time, one slot at a time, a dictionary of
slots per tenant, prices looked up slot by slot); no code is taken. The database round trips of the real one are left
out, which is in its favour.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import numpy as np

from tests.bench.allocation.job import (
    BAND_RATES,
    FACTOR_BITS,
    MODULUS_WH,
    SLOTS,
    Amounts,
    Job,
    divide,
    load_factors,
)

Rows = list[list[tuple[int, Decimal]]]


def prepare(job: Job) -> Rows:
    """Give the readings of each meter as a list of (mark, register), the way a query returns them."""
    return [[(mark, Decimal(int(one))) for mark, one in enumerate(row) if one >= 0] for row in job.registers]


def settle(readings: list[tuple[int, Decimal]], multiplier: int) -> Iterator[tuple[int, Decimal]]:
    """Give the energy of each known slot of one meter."""
    for (first, before), (last, after) in pairwise(readings):
        advance = after - before
        if advance < 0:
            advance += MODULUS_WH
            if advance * 100 > MODULUS_WH:
                continue
        advance *= multiplier
        slots = last - first
        for slot in range(slots):
            yield first + slot, advance * (slot + 1) // slots - advance * slot // slots


def run(job: Job, rows: Rows) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    parents, multipliers = job.parents.tolist(), job.multipliers.tolist()
    energy = [dict(settle(readings, multipliers[row])) for row, readings in enumerate(rows)]
    children: dict[int, list[int]] = {}
    for row, parent in enumerate(parents):
        children.setdefault(parent, []).append(row)
    rates = job.rates.tolist()
    factors: dict[int, dict[int, int]] = {-1: dict.fromkeys(range(SLOTS), 0)}
    loss_nano = 0
    for row in range(job.first_end):
        factors[row] = {}
        for slot in range(SLOTS):
            above = factors[parents[row]][slot]
            below = sum(energy[child].get(slot, Decimal(0)) for child in children[row])
            is_known = slot in energy[row] and all(slot in energy[child] for child in children[row])
            factors[row][slot] = above
            if is_known:
                loss = int(energy[row][slot] - below)
                loss_nano += loss * rates[slot]
                numerator = above * int(energy[row][slot]) + (loss << FACTOR_BITS)
                factors[row][slot] = numerator // int(below) if below else 0
    keys = job.keys.tolist()
    keyed = [0] * SLOTS
    for end, key in enumerate(keys):
        for slot, one in energy[job.first_end + end].items():
            keyed[slot] += key * int(one)
    load = load_factors(job, np.array(keyed)).tolist()
    bands = job.band_of_slot.tolist()
    own, lost = (np.zeros((job.meters, len(BAND_RATES)), np.int64) for _ in range(2))
    loads = np.zeros(job.meters, np.int64)
    for end in range(job.meters):
        factor = factors[parents[job.first_end + end]]
        by_band: dict[tuple[str, int], int] = {}
        for slot, one in energy[job.first_end + end].items():
            band, wh = bands[slot], int(one)
            by_band["own", band] = by_band.get(("own", band), 0) + wh
            by_band["lost", band] = by_band.get(("lost", band), 0) + wh * factor[slot]
            by_band["load", 0] = by_band.get(("load", 0), 0) + wh * load[slot]
        for band in range(len(BAND_RATES)):
            own[end, band], lost[end, band] = by_band.get(("own", band), 0), by_band.get(("lost", band), 0)
        loads[end] = by_band.get(("load", 0), 0)
    return divide(job, own, lost, loads, loss_nano), {}
