"""Every compiled kernel. Integers in, integers out; each has a slow exact twin in tests/reference.

Compiled code wraps around silently and indexes without checks, so callers check bounds before and conservation after.
No floats, no fastmath, no parallel loops: the thread count cannot change a bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., object])

MAGNITUDE_BITS = 62
"""Amounts and sums of weights stay below 2^62, so that a doubled remainder still fits 63 bits."""


def _compiled(kernel: Kernel) -> Kernel:
    compiled: Any
    try:
        compiled = numba.njit(cache=True)(kernel)
    except RuntimeError:
        # Neither the package nor the home can be written: compile anew in each process instead.
        compiled = numba.njit(kernel)
    return cast(Kernel, compiled)


@_compiled
def group_energy(
    energy_wh: Int64Array, group_of_slot: Int64Array, band_of_slot: Int64Array, group_count: int, band_count: int
) -> Int64Array:
    """Add up slot energy by group and price band.

    energy_wh      shape (slots,) [Wh]
    group_of_slot  shape (slots,), 0 to group_count - 1, or -1 where the slot counts nowhere
    band_of_slot   shape (slots,), 0 to band_count - 1
    Returns        shape (group_count, band_count) [Wh]
    """
    sums = np.zeros((group_count, band_count), np.int64)
    for slot in range(energy_wh.size):
        if group_of_slot[slot] >= 0:
            sums[group_of_slot[slot], band_of_slot[slot]] += energy_wh[slot]
    return sums


@_compiled
def split_amount(amount: int, weights: Int64Array, total: int) -> tuple[Int64Array, Int64Array]:
    """Divide amount x weight by total for each weight, exactly, though the product needs 124 bits.

    amount   0 to 2^62 - 1
    weights  each 0 to total
    total    1 to 2^62 - 1
    Returns  quotients and remainders: quotient x total + remainder = amount x weight
    """
    quotients = np.zeros(weights.size, np.int64)
    remainders = np.zeros(weights.size, np.int64)
    for index in range(weights.size):
        weight = weights[index]
        quotient = np.int64(0)
        remainder = np.int64(0)
        # Horner's rule over the bits of the amount, reducing by the total at each step: nothing exceeds 63 bits.
        for bit in range(MAGNITUDE_BITS - 1, -1, -1):
            quotient <<= 1
            remainder <<= 1
            if remainder >= total:
                remainder -= total
                quotient += 1
            if (amount >> bit) & 1:
                remainder += weight
                if remainder >= total:
                    remainder -= total
                    quotient += 1
        quotients[index] = quotient
        remainders[index] = remainder
    return quotients, remainders
