"""Contender: numpy by hand, in blocks of one floor that stay in the cache, exact sums through BLAS.

numpy has no fast integer matrix product, so factors are cut into digits that make every product and sum exact in
float64 (below 2^53), which is what somebody who knows numpy well would do. Blocks are dealt to two threads.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.bench.allocation.job import (
    BAND_RATES,
    FACTOR_BITS,
    FLOOR_METERS,
    MODULUS_WH,
    SLOTS,
    Amounts,
    Ints,
    Job,
    divide,
    load_factors,
)

DIGIT_BITS = 20
BANDS = len(BAND_RATES)


def settle_odd(registers: Ints, multiplier: int) -> Ints:
    """Climb the ladder for one row whose plain differences do not hold."""
    energy = np.full(SLOTS, -1, np.int64)
    marks = np.flatnonzero(registers >= 0)
    advances = np.diff(registers[marks].astype(np.int64))
    fell = advances < 0
    advances[fell] += MODULUS_WH
    is_held = fell & (advances * 100 > MODULUS_WH)
    lengths = np.diff(marks)
    plain = (lengths == 1) & ~is_held
    energy[marks[:-1][plain]] = advances[plain] * multiplier
    for place in np.flatnonzero((lengths > 1) & ~is_held):
        line = advances[place] * multiplier * np.arange(lengths[place] + 1) // lengths[place]
        energy[marks[place] : marks[place + 1]] = np.diff(line)
    return energy


def settle(job: Job, first: int, end: int) -> Ints:
    """Settle a block of rows."""
    block = job.registers[first:end]
    energy = np.diff(block, axis=1)
    odd = (energy.min(axis=1) < 0) | (block.min(axis=1) < 0)
    energy *= job.multipliers[first:end, None].astype(np.int32)
    for row in np.flatnonzero(odd):
        energy[row] = settle_odd(block[row], int(job.multipliers[first + row]))
    return energy


def factors_below(
    above: Ints | int, intake: Ints, below: Ints, is_unknown: np.typing.NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """Give the loss of a node and the factor of its children, slot by slot."""
    loss = np.where(is_unknown, 0, np.maximum(intake, 0) - below)
    factor = (above * np.maximum(intake, 0) + (loss << FACTOR_BITS)) // np.maximum(below, 1)
    return loss, np.where(is_unknown, above, np.where(below > 0, factor, 0))


def prepare(job: Job) -> np.typing.NDArray[np.int32]:
    """Give memory for the energy matrix."""
    return np.zeros((len(job.registers), SLOTS), np.int32)


def run(job: Job, energy: np.typing.NDArray[np.int32], threads: int = 2) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    clock = [time.perf_counter()]
    below = np.zeros((job.first_end, SLOTS), np.int64)
    is_unknown = np.zeros((job.first_end, SLOTS), np.bool_)
    keyed = np.zeros(SLOTS)
    keys = job.keys.astype(np.float64)
    floors = range(job.first_end, len(energy), FLOOR_METERS)

    def first_pass(first: int) -> Ints:
        rows = slice(first, first + FLOOR_METERS)
        block = energy[rows] = settle(job, rows.start, rows.stop)
        floor = job.parents[first]
        is_unknown[floor] = block.min(axis=0) < 0
        block = np.maximum(block, 0)
        below[floor] = block.sum(axis=0)
        return keys[first - job.first_end : rows.stop - job.first_end] @ block

    with ThreadPoolExecutor(threads) as pool:
        for one in pool.map(first_pass, floors):
            keyed += one
        energy[: job.first_end] = settle(job, 0, job.first_end)
        for row in range(job.first_end - 1, 0, -1):
            below[job.parents[row]] += np.maximum(energy[row], 0)
            is_unknown[job.parents[row]] |= energy[row] < 0
        clock.append(time.perf_counter())
        loss_nano, factor = 0, np.zeros((job.first_end, SLOTS), np.int64)
        for row in range(job.first_end):
            above = factor[job.parents[row]] if row else 0
            loss, factor[row] = factors_below(
                above, energy[row].astype(np.int64), below[row], is_unknown[row] | (energy[row] < 0)
            )
            loss_nano += int(loss @ job.rates)
        clock.append(time.perf_counter())
        load = load_factors(job, keyed.astype(np.int64))
        masks = [job.band_of_slot == band for band in range(BANDS)]

        def second_pass(first: int) -> tuple[Ints, Ints, Ints]:
            block = np.maximum(energy[first : first + FLOOR_METERS], 0).astype(np.float64)
            gross = factor[job.parents[first]]
            digits = (gross & ((1 << DIGIT_BITS) - 1), gross >> DIGIT_BITS)
            columns = np.empty((SLOTS, 3 * BANDS + 1))
            for band, mask in enumerate(masks):
                columns[:, band] = mask
                columns[:, BANDS + band], columns[:, 2 * BANDS + band] = digits[0] * mask, digits[1] * mask
            columns[:, -1] = load
            sums = (block @ columns).astype(np.int64)
            lost = (sums[:, 2 * BANDS : 3 * BANDS] << DIGIT_BITS) + sums[:, BANDS : 2 * BANDS]
            return sums[:, :BANDS], lost, sums[:, -1]

        parts = list(pool.map(second_pass, floors))
    own, lost, loads = (np.concatenate(one) for one in zip(*parts, strict=True))
    clock.append(time.perf_counter())
    amounts = divide(job, own, lost, loads, loss_nano)
    clock.append(time.perf_counter())
    names = ("ladder and children", "loss factors", "weights", "apportionment")
    return amounts, {name: b - a for name, a, b in zip(names, clock[:-1], clock[1:], strict=True)}
