"""Arrays of slots as PostgreSQL sends them, many days end to end, as matrices of days and slots without a loop.

An array on the wire is five numbers of 32 bits (dimensions, whether any element is NULL, type, length, first index),
then each element with its length before it, all with the most significant octet first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.kernels import Int64Array, IntArray
from ingest.store.wire_kernels import DAMAGED, LAID, lay_days
from metering.errors import BooksError

ENERGY_FORM = "i8"
"""bigint[]"""
QUALITY_FORM = "i2"
"""smallint[]"""
_EPOCH_ORDINAL = date(2000, 1, 1).toordinal()
HEAD_NUMBERS = 5
HEAD_OCTETS = 4 * HEAD_NUMBERS
_DIMENSIONS, _NULLS, _LENGTH = 0, 1, 3

DaySlots = tuple[Sequence[date], npt.NDArray[Any]]
"""Days, and a matrix with one row for each of them."""


class ArrayDamaged(BooksError):
    """An array does not have the form of one on the wire."""


def wired_numbers(form: str, octets: bytes) -> npt.NDArray[Any] | None:
    """Read one array of any number of dimensions whose elements have `form`, such as "i8"; None if one is NULL.

    Raises ArrayDamaged.
    """
    dimensions, has_nulls = (int.from_bytes(octets[place : place + 4]) for place in (0, 4))
    if has_nulls:
        return None
    start = 12 + 8 * dimensions
    lengths = [int.from_bytes(octets[place : place + 4]) for place in range(12, start, 8)]
    cells = np.frombuffer(octets[start:], _cell(form)) if (len(octets) - start) % _cell(form).itemsize == 0 else None
    if cells is None or len(octets) < 12 or len(cells) != (math.prod(lengths) if lengths else 0):
        raise ArrayDamaged("an array ends early, or something follows it")
    if (cells["octets"] != np.dtype(form).itemsize).any():
        raise ArrayDamaged("an array has an element of another length")
    return cells["number"].reshape(lengths or (0,)).astype(form)


@lru_cache(maxsize=64)
def wired_dates(octets: bytes | None) -> tuple[date, ...]:
    """Read an array of dates; a period has few different ones. None gives none. Raises ArrayDamaged."""
    numbers = None if octets is None else wired_numbers("i4", octets)
    return () if numbers is None else tuple(date.fromordinal(_EPOCH_ORDINAL + one) for one in numbers.tolist())


def _cell(form: str) -> np.dtype[Any]:
    return np.dtype([("octets", ">i4"), ("number", f">{form}")])


@dataclass(frozen=True, slots=True)
class WiredDays:
    """Days, and the arrays of their slots end to end; `form` is ENERGY_FORM or QUALITY_FORM."""

    form: str
    days: tuple[date, ...]
    octets: bytes

    def lay(self, firsts: Int64Array, lengths: Int64Array, into: IntArray) -> bool:
        """Put each day's energy into a row, from its first slot on; False if a number needs more bits than there are.

        lengths   how many slots each day has; raises ArrayDamaged where a day has another number of them
        """
        if not self.days:
            return True
        whole = self.form == ENERGY_FORM and len(self.octets) % 4 == 0
        words = np.frombuffer(self.octets, ">u4").astype(np.uint32) if whole else np.zeros(0, np.uint32)
        ended = lay_days(words, firsts, lengths, into)
        if ended == DAMAGED:
            raise ArrayDamaged(
                f"the slots of {self.days[0]} or a day up to {self.days[-1]} are no array of their length"
            )
        return ended == LAID

    def blocks(self) -> Iterator[DaySlots]:
        """Give the days in blocks of equal length: all at once unless clocks changed; raises ArrayDamaged."""
        if not self.days:
            return
        length = self._length(0)
        record = self._record(length)
        if len(self.octets) == record.itemsize * len(self.days):
            rows = np.frombuffer(self.octets, record)
            if (rows["head"][:, _LENGTH] == length).all():
                yield self.days, self._numbers(rows)
                return
        place = 0
        for day in self.days:
            record = self._record(self._length(place))
            if place + record.itemsize > len(self.octets):
                raise ArrayDamaged(f"the slots of {day} end early")
            yield (day,), self._numbers(np.frombuffer(self.octets, record, 1, place))
            place += record.itemsize
        if place != len(self.octets):
            raise ArrayDamaged(f"{len(self.octets) - place} octets follow the slots of {self.days[-1]}")

    def _length(self, place: int) -> int:
        """Read how many slots the array has that begins at `place`."""
        head = self.octets[place : place + HEAD_OCTETS]
        if len(head) < HEAD_OCTETS or head[:4] != b"\0\0\0\1":
            raise ArrayDamaged("the slots of a day are no array of one dimension")
        return int.from_bytes(head[4 * _LENGTH : 4 * _LENGTH + 4])

    def _record(self, length: int) -> np.dtype[Any]:
        return np.dtype([("head", ">i4", HEAD_NUMBERS), ("cells", _cell(self.form), length)])

    def _numbers(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cells = rows["cells"]
        width = np.dtype(self.form).itemsize
        if not len(rows) or (rows["head"][:, _DIMENSIONS] != 1).any() or (cells["octets"] != width).any():
            raise ArrayDamaged("a day has a slot without a number")
        return cells["number"]
