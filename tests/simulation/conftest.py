"""How many seeds are played: few by default, more where METERTREE_SIMULATION_SEEDS says so.

A single seed is played again with METERTREE_SIMULATION_FIRST=<seed> METERTREE_SIMULATION_SEEDS=1.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

SEEDS = 16
"""Seeds of the standard run; with the planted mistakes it stays below 40 s on one core."""
BATCH = 10
"""Seeds per test, so that a failure names a small group and a long run shows progress."""


def seeds() -> range:
    """The seeds of this run."""
    first = int(os.environ.get("METERTREE_SIMULATION_FIRST", "1"))
    return range(first, first + int(os.environ.get("METERTREE_SIMULATION_SEEDS", str(SEEDS))))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that asks for `seed_batch` one after the other."""
    if "seed_batch" in metafunc.fixturenames:
        every = seeds()
        batches = [every[at : at + BATCH] for at in range(0, len(every), BATCH)]
        metafunc.parametrize("seed_batch", batches, ids=lambda batch: f"{batch.start}-{batch.stop - 1}")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Worlds are noisy; what went wrong is in the trace, not in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
