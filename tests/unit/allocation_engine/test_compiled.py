"""How a function becomes a kernel: where nothing can be cached, and without the compiler."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from allocation_engine.compiled import compiled

ROW = np.dtype([("begin", np.int64), ("end", np.int64)])


def stretch(rows: Any) -> int:
    """Write a field of the first record and sum another of all."""
    rows[0].end = 7
    total = 0
    for place in range(len(rows)):
        total += rows[place].end
    return total


def test_where_nothing_can_be_cached_kernels_compile_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(*, nogil: bool, cache: bool = False) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        assert nogil
        return lambda kernel: kernel

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    monkeypatch.setattr(numba, "njit", njit)
    assert compiled(sum)([1, 2]) == 3


@pytest.mark.parametrize("without_compiler", [0, 1])
def test_records_have_their_fields_with_and_without_the_compiler(
    monkeypatch: pytest.MonkeyPatch, without_compiler: int
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", without_compiler)
    kernel = compiled(stretch)
    assert hasattr(kernel, "py_func") == (not without_compiler)
    rows = np.array([(0, 1), (1, 3)], ROW)
    assert kernel(rows) == 10
    assert rows["end"].tolist() == [7, 3]
