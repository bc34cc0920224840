"""How a function becomes a kernel: compiled once, kept on disk where that can be written, other threads run beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(kernel: Kernel) -> Kernel:
    """Compile `kernel`; with NUMBA_DISABLE_JIT it stays plain Python and takes the same arguments.

    What is kept on disk does not notice a change in another module, so a kernel calls only kernels of its own module.
    """
    made: Any
    if getattr(numba.config, "DISABLE_JIT", 0):
        return cast(Kernel, _plain(kernel))
    try:
        made = numba.njit(cache=True, nogil=True)(kernel)
    except RuntimeError:
        # Neither the package nor the home can be written: compile anew in each process instead.
        made = numba.njit(nogil=True)(kernel)
    return cast(Kernel, made)


def _plain(kernel: Callable[..., object]) -> Callable[..., object]:
    """Give records their fields as attributes, as compiled code has them."""

    def run(*arguments: Any) -> object:
        return kernel(*map(_with_fields, arguments))

    return run


def _with_fields(argument: Any) -> Any:
    is_records = isinstance(argument, np.ndarray) and argument.dtype.names is not None
    return argument.view(np.recarray) if is_records else argument
