"""Kernels that divide and sum, beside plain arithmetic; threads and compilation change nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from allocation_engine.kernels import group_energy, split_amount

PROGRAM = """
import numpy as np
from allocation_engine.kernels import group_energy, split_amount
weights = np.arange(1, 1001, dtype=np.int64) * 7919 % 10007
quotients, remainders = split_amount(2**61 + 12345, weights, int(weights.sum()))
sums = group_energy(weights, weights % 3 - 1, weights % 5, 2, 5)
print(quotients.tolist(), remainders.tolist(), sums.tolist())
"""


def run_with(**environment: str) -> str:
    """Run the same arithmetic in another process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_thread_count_and_compilation_change_nothing() -> None:
    plain = run_with(NUMBA_DISABLE_JIT="1")
    assert run_with(NUMBA_NUM_THREADS="1") == plain
    assert run_with(NUMBA_NUM_THREADS="2") == plain


def test_an_amount_divides_exactly_although_the_product_has_124_bits() -> None:
    amount, weight, total = 2**62 - 1, 2**62 - 3, 2**62 - 2
    quotients, remainders = split_amount(amount, np.array([weight], np.int64), total)
    assert int(quotients[0]) * total + int(remainders[0]) == amount * weight


def test_slots_of_no_group_count_nowhere() -> None:
    groups, bands = np.array([0, -1, 1], np.int64), np.array([0, 0, 1], np.int64)
    assert group_energy(np.array([5, 7, 11], np.int64), groups, bands, 2, 2).tolist() == [[5, 0], [0, 11]]
