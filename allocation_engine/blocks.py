"""Deals ranges of rows out to threads. Kernels hold no lock while they run, and write only their own range.

All sums are of integers, so neither the number of threads nor the size of a range changes any result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

CELLS_MIN = 1 << 18
"""Fewer cells than this are not worth a thread: they take less than a millisecond."""
RANGES_PER_THREAD = 4
"""So that a thread that was held up leaves little behind."""


def in_blocks(task: Callable[[int, int], None], count: int, cells_each: int, threads: int | None = None) -> None:
    """Call `task(first, end)` so that every number below `count` is in exactly one range.

    cells_each   work behind one number [cells], to choose the number of threads by
    threads      how many to use at most; None for one per processor
    """
    threads = min(threads or os.cpu_count() or 1, max(count * cells_each // CELLS_MIN, 1))
    if threads == 1:
        task(0, count)
        return
    ranges = threads * RANGES_PER_THREAD
    edges = [count * number // ranges for number in range(ranges + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(task, edges[:-1], edges[1:]))
