"""The contenders of `make bench-allocation` do the same job: on a small site, all of them give the same amounts."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.bench.allocation import metertree_kernels
from tests.bench.allocation.job import Amounts, Job, half_up, make_job, pool_fen

METERS = 200


@pytest.fixture(scope="module")
def job() -> Job:
    """Two floors of 100 meters."""
    return make_job(METERS)


@pytest.fixture(scope="module")
def ours(job: Job) -> Amounts:
    """What our kernels give."""
    return metertree_kernels.run(job, metertree_kernels.prepare(job))[0]


@pytest.mark.parametrize(
    ("contender", "needs"),
    [
        ("myems_loop", "decimal"),
        ("numpy_blocked", "numpy"),
        ("pandas_table", "pandas"),
        ("polars_lazy", "polars"),
        ("duckdb_sql", "duckdb"),
    ],
)
def test_every_contender_gives_our_amounts(job: Job, ours: Amounts, contender: str, needs: str) -> None:
    pytest.importorskip(needs)
    if needs == "duckdb":
        pytest.importorskip("pyarrow")
    module = importlib.import_module(f"tests.bench.allocation.{contender}")
    amounts, _ = module.run(job, module.prepare(job))
    assert np.array_equal(amounts.fen, ours.fen)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_no_amount(job: Job, ours: Amounts, threads: int) -> None:
    amounts, _ = metertree_kernels.run(job, metertree_kernels.prepare(job), threads)
    assert amounts.fingerprint == ours.fingerprint


def test_amounts_add_up_to_what_was_divided(job: Job, ours: Amounts) -> None:
    assert ours.fen[2:].sum(axis=1).tolist() == pool_fen(job)
    assert (ours.fen >= 0).all()


def test_the_job_holds_every_oddity(job: Job) -> None:
    ends = job.registers[job.first_end :]
    known = ends[(ends >= 0).all(axis=1)]
    falls = np.diff(known.astype(np.int64), axis=1)
    assert (ends < 0).any()
    assert (falls < -(10**8)).any(), "nothing rolled over"
    assert ((falls < 0) & (falls > -(10**8) * 9)).any(), "nothing fell"
    assert half_up(5 * 10**6) == 1
    assert half_up(5 * 10**6 - 1) == 0
