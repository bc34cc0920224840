"""Our contender: the engine's own functions over the matrix, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba
import numpy as np

from allocation_engine.apportion import apportion_rows
from allocation_engine.blocks import in_blocks
from allocation_engine.kernels import IntArray
from allocation_engine.ladder import FleetMeters, settle_fleet
from allocation_engine.loss_factors import loss_factors_over
from allocation_engine.tree import span_of
from allocation_engine.weighing import BandRuns, RowSpans, weigh
from tests.bench.allocation.job import (
    BAND_RATES,
    MODULUS_WH,
    SLOTS,
    Amounts,
    Ints,
    Job,
    half_up,
    load_factors,
    own_fen,
    pool_fen,
    weights_of,
)


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def prepare(job: Job) -> IntArray:
    """Give memory for the energy matrix, as a worker that closes one site after another has it."""
    return np.zeros((len(job.registers), SLOTS), np.int32)


def bound(job: Job, memory: IntArray) -> dict[str, float]:
    """Time what this machine needs only to move the memory of each pass: two threads, nothing calculated [s]."""
    rows = len(memory)
    passes: dict[str, Callable[[int, int], object]] = {
        "copy": lambda first, end: np.copyto(memory[first:end], job.registers[first:end, :SLOTS]),
        "read": lambda first, end: read_rows(memory[first:end]),
    }
    read_rows(memory[:1])
    seconds = {}
    for name, task in passes.items():
        started = time.perf_counter()
        in_blocks(task, rows, SLOTS)  # type: ignore[arg-type]
        seconds[name] = time.perf_counter() - started
    return seconds


@numba.njit(nogil=True)
def read_rows(matrix: IntArray) -> int:
    """Add up a matrix, which takes as long as reading it."""
    total = 0
    for row in range(matrix.shape[0]):
        for slot in range(matrix.shape[1]):
            total += matrix[row, slot]
    return total


def run(job: Job, memory: IntArray, threads: int | None = None) -> tuple[Amounts, dict[str, float]]:
    """Do the job; gives the amounts, and the seconds each stage took."""
    stage = Stages()
    with stage("ladder"):
        rows = len(job.registers)
        plates = FleetMeters(job.multipliers, np.full(rows, MODULUS_WH), np.zeros(rows, np.int64))
        energy_wh = settle_fleet(job.registers, plates, threads, memory).energy_wh
    with stage("children"):
        tree = span_of(job.parents, 0, SLOTS)
        keys = np.concatenate([np.zeros(job.first_end, np.int64), job.keys])
        below_wh, is_unknown, keyed = tree.fold_weighted(energy_wh, keys, threads)
    with stage("loss factors"):
        no_load = np.zeros(rows, np.int64)
        loss = loss_factors_over(tree, energy_wh, None, below_wh, is_unknown, no_load, threads)
    with stage("weights"):
        sums = _weigh(job, energy_wh, tree.place_above, loss.gross, keyed, threads)
    with stage("apportionment"):
        fen = _divide(job, sums, int((loss.loss_wh.sum(axis=0) * job.rates).sum()))
    return Amounts(fen), stage.seconds


def _weigh(job: Job, energy_wh: IntArray, above: Ints, gross: Ints, keyed: Ints, threads: int | None) -> Ints:
    """Sum energy, energy x loss factor and energy x factor R of every end meter by band."""
    ends = np.arange(job.first_end, len(energy_wh))
    spans = RowSpans(ends, above[ends], np.zeros(ends.size, np.int64), np.full(ends.size, SLOTS))
    load = load_factors(job, keyed)[None, :]
    return weigh(energy_wh, spans, gross, load, BandRuns.of(job.band_of_slot, len(BAND_RATES)), threads)


def _divide(job: Job, sums: Ints, loss_nano: int) -> Ints:
    own, lost, loads = sums[:, 0], sums[:, 1], sums[:, 2].sum(axis=1)
    costs = [half_up(loss_nano), *pool_fen(job)]
    parts = [apportion_rows(cost, one) for cost, one in zip(costs, weights_of(job, own, lost, loads), strict=True)]
    return np.stack([own_fen(own), *parts])
