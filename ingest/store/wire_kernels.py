"""Compiled loops over arrays in PostgreSQL's binary form; see wired_days.py for the form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allocation_engine.compiled import compiled
from allocation_engine.kernels import Int64Array, IntArray

UInt32Array = npt.NDArray[np.uint32]

LAID, TOO_WIDE, DAMAGED = 0, 1, 2
HEAD_WORDS = 5
CELL_WORDS = 3


@compiled
def lay_days(words: UInt32Array, firsts: Int64Array, lengths: Int64Array, into: IntArray) -> int:
    """Put arrays of bigint that lie end to end into slots of a row.

    words     the octets as numbers of 32 bits
    firsts    first slot of each array; `lengths` are their elements
    Returns   LAID; TOO_WIDE at a number that `into` has no room for; DAMAGED where the words are something else.
    """
    place = 0
    for day in range(firsts.size):
        length, first = lengths[day], firsts[day]
        end = place + HEAD_WORDS + length * CELL_WORDS
        if end > words.size or first < 0 or first + length > into.size:
            return DAMAGED
        if words[place] != 1 or words[place + 1] != 0 or words[place + 3] != length:
            return DAMAGED
        place += HEAD_WORDS
        for slot in range(first, first + length):
            number = (np.int64(words[place + 1]) << 32) | np.int64(words[place + 2])
            into[slot] = number
            if words[place] != 8:
                return DAMAGED
            if into[slot] != number:
                return TOO_WIDE
            place += CELL_WORDS
    return LAID if place == words.size else DAMAGED
