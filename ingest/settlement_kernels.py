"""Compiled loops of settlement: registers off the wire into a matrix, and which days of it are plain.

A matrix of registers has a row for each meter and quantity of a metering point, and a column for each quarter hour.
The rows of one point lie next to each other; nearly every point has one.
"""

from __future__ import annotations

import numpy as np

from allocation_engine.compiled import compiled
from allocation_engine.kernels import BoolArray, Int64Array, UInt8Array
from ingest.store.wire_kernels import UInt32Array

UNKNOWN = -1
"""No register was read; counters never go below 0."""
PLAIN, LACKING, ODD = 0, 1, 2
"""A day with a register at every mark; one whose registers begin late or end early; any other."""
HEAD_WORDS = 5
_NULL = 0xFFFFFFFF
_INT64_MAX = 2**63 - 1


@compiled
def lay_mark(
    words: UInt32Array,
    meters: Int64Array,
    rows: Int64Array,
    quantities: Int64Array,
    factors: Int64Array,
    least: Int64Array,
    most: Int64Array,
    column: int,
    registers: Int64Array,
    odd: BoolArray,
) -> bool:
    """Put what several meters showed at one mark, in one form, into a column of the matrix.

    words        an array of mantissas for each meter as PostgreSQL sends it, end to end, in words of 32 bits
    meters       their numbers
    rows         shape (all meters, quantities), the row of a register; -1 where it is not settled
    quantities   shape (channels,), the quantity of each channel; -1 for one that is never settled
    factors      shape (channels,), base units of a mantissa's last digit
    least, most  shape (channels,), what a mantissa can be
    odd          out, by meter: what it showed is not plain: another number of channels, out of range, or other than
                 what it showed already at this mark
    Returns      False where the words are something else
    """
    place, width = 0, quantities.size
    for number in meters:
        if place + HEAD_WORDS > words.size or words[place] != 1:
            return False
        shown = np.int64(words[place + 3])
        place += HEAD_WORDS
        is_odd = shown != width
        for channel in range(shown):
            if place >= words.size:
                return False
            if words[place] == _NULL:
                place += 1
                continue
            mantissa = (np.int64(words[place + 1]) << 32) | np.int64(words[place + 2])
            place += 3
            if is_odd or mantissa < least[channel] or mantissa > most[channel]:
                is_odd = True
                continue
            row = rows[number, quantities[channel]] if quantities[channel] >= 0 else -1
            if row < 0:
                continue
            register = mantissa * factors[channel]
            is_odd = registers[row, column] != UNKNOWN and registers[row, column] != register
            registers[row, column] = register
        odd[number] |= is_odd
    return place == words.size


@compiled
def find_known(registers: Int64Array, firsts: Int64Array, lasts: Int64Array) -> None:
    """Find the first and the last column of each row that has a register; where none has, the ends of the matrix,
    the wrong way round."""
    for row in range(registers.shape[0]):
        firsts[row], lasts[row] = registers.shape[1], -1
        for column in range(registers.shape[1]):
            if registers[row, column] != UNKNOWN:
                firsts[row] = min(firsts[row], column)
                lasts[row] = column


@compiled
def reach_out(registers: Int64Array, row_first: int, row_end: int, first: int, last: int) -> tuple[int, int]:
    """Give the newest known column before `first` and the oldest after `last` of a point; those two where there is
    none."""
    before, after = -1, registers.shape[1]
    for row in range(row_first, row_end):
        column = first - 1
        while column > before and registers[row, column] == UNKNOWN:
            column -= 1
        before = max(before, column)
        column = last + 1
        while column < after and registers[row, column] == UNKNOWN:
            column += 1
        after = min(after, column)
    return (before if before >= 0 else first), (after if after < registers.shape[1] else last)


@compiled
def reach_all(
    registers: Int64Array, row_firsts: Int64Array, row_ends: Int64Array, first: int, last: int, reached: Int64Array
) -> None:
    """Do `reach_out` for every point; `reached` has shape (points, 2)."""
    for point in range(row_firsts.size):
        before, after = reach_out(registers, row_firsts[point], row_ends[point], first, last)
        reached[point, 0] = before
        reached[point, 1] = after


@compiled
def _lonely(
    known_firsts: Int64Array, known_lasts: Int64Array, row_first: int, row_end: int, home: int, first: int, last: int
) -> bool:
    """Say whether no other row of the point has a register from column `first` to `last`."""
    for row in range(row_first, row_end):
        if row != home and known_firsts[row] <= last and known_lasts[row] >= first:
            return False
    return True


@compiled
def _nearest(slots: Int64Array, column: int, step: int) -> int:
    """Give the nearest known column from `column` on, in steps; there is one."""
    while slots[column] == UNKNOWN:
        column += step
    return column


@compiled
def _rises(slots: Int64Array, first: int, last: int) -> bool:
    """Say whether there is a register in each column, and none fell."""
    if slots[first] < 0:
        return False
    fell = slots[first] - slots[first]
    for column in range(first, last):
        fell |= slots[column + 1] - slots[column]
    return bool(fell >= 0)


@compiled
def _grade(
    slots: Int64Array, opens: int, closes: int, earlier: bool, later: bool, may_lack: bool
) -> tuple[int, int, int]:
    """Grade the day between two columns, and give the first and the last column of what bears on it."""
    first = opens
    while first <= closes and slots[first] == UNKNOWN:
        first += 1
    if first > closes:
        if not may_lack or (earlier and later):
            return ODD, 0, -1
        if earlier:
            first = _nearest(slots, opens - 1, -1)
            return LACKING, first, first
        if later:
            first = _nearest(slots, closes + 1, 1)
            return LACKING, first, first
        return LACKING, 0, -1
    last = _nearest(slots, closes, -1)
    if not _rises(slots, first, last):
        return ODD, 0, -1
    if first == opens and last == closes:
        return PLAIN, first, last
    if not may_lack or (first > opens and earlier) or (last < closes and later):
        return ODD, 0, -1
    return LACKING, first, last


@compiled
def grade_days(
    registers: Int64Array,
    row_firsts: Int64Array,
    row_ends: Int64Array,
    homes: Int64Array,
    may_lack: BoolArray,
    multipliers: Int64Array,
    opens: Int64Array,
    closes: Int64Array,
    touched: BoolArray,
    energy: Int64Array,
    quality: UInt8Array,
    grades: UInt8Array,
    windows: Int64Array,
) -> None:
    """Settle the days of points that need no explaining; the ladder is that of `intervals.settle_point`.

    homes, multipliers  shape (points, days): the row of the meter that hung there throughout the day, with time to
                        spare at both ends, or -1; its ratio
    may_lack            shape (points,): nothing was declared of that meter, and it hung there as far as the matrix goes
    opens, closes       shape (days,): columns of the first and the last mark
    touched             shape (points, days): which to settle
    energy, quality     out, shape (points, days, slots), zeros before: energy [Wh], and 4 (missing) where it is lacking
    grades              out, shape (points, days)
    windows             out, shape (points, days, 2): first and last column of the registers that bear on the day, all
                        of them known; -1 for the last where there is none. Meaningless where ODD.
    """
    rows, columns = registers.shape
    firsts, lasts = np.empty(rows, np.int64), np.empty(rows, np.int64)
    find_known(registers, firsts, lasts)
    for point in range(row_firsts.size):
        for day in range(opens.size):
            if not touched[point, day]:
                continue
            home, grade, first, last = homes[point, day], ODD, 0, -1
            begin, end, mine = opens[day], closes[day], row_firsts[point]
            if home >= 0 and _lonely(firsts, lasts, mine, row_ends[point], home, begin, end):
                alone = may_lack[point] and _lonely(firsts, lasts, mine, row_ends[point], home, 0, columns)
                earlier, later = firsts[home] < begin, lasts[home] > end
                grade, first, last = _grade(registers[home], begin, end, earlier, later, alone)
            if grade != ODD and last >= first and registers[home, last] > _INT64_MAX // multipliers[point, day]:
                grade = ODD
            grades[point, day] = grade
            windows[point, day, 0], windows[point, day, 1] = first, last
            if grade == ODD:
                continue
            if grade == LACKING:
                for slot in range(end - begin):
                    if begin + slot < first or begin + slot >= last:
                        quality[point, day, slot] = 4
            for column in range(max(first, begin), min(last, end)):
                advance = registers[home, column + 1] - registers[home, column]
                energy[point, day, column - begin] = advance * multipliers[point, day]
