"""Every compiled kernel. Integers in, integers out; each has a slow exact twin in tests/reference.

Compiled code wraps around silently and indexes without checks, so callers check bounds before and conservation after.
No floats, no fastmath, no parallel loops: a kernel works on a range of rows or groups that nobody else writes, and
`blocks.py` deals the ranges out to threads, which the kernels let run side by side. So the thread count cannot change a
bit, and there is no second thread pool in the program.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allocation_engine.compiled import compiled
from allocation_engine.intervals import ROLLOVER_REACH, SlotQuality

Int64Array = npt.NDArray[np.int64]
IntArray = npt.NDArray[np.int64] | npt.NDArray[np.int32]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

MAGNITUDE_BITS = 62
"""Amounts and sums of weights stay below 2^62, so that a doubled remainder still fits 63 bits."""
UNKNOWN = -1
"""Stands for a register that was not read, and for the energy of a slot that is MISSING or HELD."""
DAY_SLOTS = 96
DIGIT = (1 << 20) - 1
"""Loss factors have 40 binary places: two digits of 20 bits below the whole."""
DIGIT_24, DIGIT_14 = (1 << 24) - 1, (1 << 14) - 1
GROSS_BITS = 18
"""A node whose loss is more than 2^18 times what was drawn below it has no children worth the name in that slot."""
SHORT_BITS = 21
"""Below 2^21 Wh a node's numerator fits 63 bits."""
MEASURED = int(SlotQuality.MEASURED)
ROLLOVER = int(SlotQuality.ROLLOVER)
ESTIMATED = int(SlotQuality.ESTIMATED)
MISSING = int(SlotQuality.MISSING)
HELD = int(SlotQuality.HELD)


@compiled
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


@compiled
def split_amount(amount: int, weights: Int64Array, total: int) -> tuple[Int64Array, Int64Array]:
    """Divide amount x weight by total for each weight, exactly, though the product needs 124 bits.

    amount   0 to 2^62 - 1
    weights  each 0 to total
    total    1 to 2^62 - 1
    Returns  quotients and remainders: quotient x total + remainder = amount x weight
    """
    quotients = np.zeros(weights.size, np.int64)
    remainders = np.zeros(weights.size, np.int64)
    bits = 0
    while amount >> bits:
        bits += 1
    for index in range(weights.size):
        weight = weights[index]
        quotient = np.int64(0)
        remainder = np.int64(0)
        # Horner's rule over the bits of the amount, reducing by the total at each step: nothing exceeds 63 bits.
        for bit in range(bits - 1, -1, -1):
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


@compiled
def difference_rows(
    registers: IntArray,
    multipliers: IntArray,
    limits: Int64Array,
    first: int,
    end: int,
    energy: IntArray,
    is_plain: BoolArray,
) -> None:
    """Take differences of successive registers in some rows, and find the rows for which that is all there is to do.

    registers    shape (rows, marks) [Wh before the multiplier], UNKNOWN where none was read
    multipliers  shape (rows,), of the registers' type
    limits       shape (rows,), largest plausible advance in one slot [Wh before the multiplier]
    energy       out, shape (rows, marks - 1) [Wh]; meaningless in rows that are not plain
    is_plain     out, shape (rows,): every register is there, none fell, none ran ahead of its limit
    """
    for row in range(first, end):
        before = registers[row, :-1]
        after = registers[row, 1:]
        slots = energy[row]
        # UNKNOWN is below every register, so a row with one anywhere starts or steps below 0.
        signs = before[0]
        most = before[0] - before[0]
        for slot in range(slots.size):
            advance = after[slot] - before[slot]
            signs |= advance
            most = max(most, advance)
            slots[slot] = advance
        is_plain[row] = signs >= 0 and most <= limits[row]
        if is_plain[row] and multipliers[row] != 1:
            for slot in range(slots.size):
                slots[slot] *= multipliers[row]


@compiled
def climb_row(
    registers: IntArray, multiplier: int, modulus: int, power_max_w: int, energy: IntArray, quality: UInt8Array
) -> None:
    """Settle one row of registers by the ladder of `intervals.settle_point`, which is its exact twin.

    registers    shape (marks,) [Wh before the multiplier], -1 where none was read
    modulus      first register it cannot show; 0 where unknown
    power_max_w  0 where unbounded
    energy       out, shape (marks - 1,) [Wh], UNKNOWN where quality is MISSING or HELD
    quality      out, shape (marks - 1,), SlotQuality
    """
    energy[:] = UNKNOWN
    quality[:] = MISSING
    before = -1
    for mark in range(registers.size):
        if registers[mark] < 0:
            continue
        if before >= 0:
            slots = mark - before
            advance = np.int64(registers[mark]) - np.int64(registers[before])
            grade = MEASURED
            if advance < 0:
                grade = ROLLOVER if modulus > 0 and (advance + modulus) * ROLLOVER_REACH <= modulus else HELD
                advance += modulus
            advance *= multiplier
            # 4 quarter hours an hour: advance [Wh] in `slots` slots is a mean power of 4 x advance / slots [W].
            if grade != HELD and power_max_w > 0 and advance * 4 > power_max_w * slots:
                grade = HELD
            if grade != HELD and slots > 1:
                grade = ESTIMATED
            quality[before:mark] = grade
            for slot in range(slots):
                if grade != HELD:
                    energy[before + slot] = advance * (slot + 1) // slots - advance * slot // slots
        before = mark


@compiled
def fold_rows(
    energy_wh: IntArray,
    start: int,
    order: Int64Array,
    offsets: Int64Array,
    coefficients: Int64Array,
    first: int,
    end: int,
    sums: Int64Array,
    signs: Int64Array,
    weighted: Int64Array,
) -> None:
    """Add up the rows of some groups slot by slot, from slot `start` on.

    energy_wh     shape (rows, start + slots or more) [Wh]; negative where unknown, and then left out
    order         row numbers; those of group g are order[offsets[g]:offsets[g + 1]]
    coefficients  shape (rows,)
    sums          out, shape (groups, slots) [Wh]
    signs         out, shape (groups, slots): negative where some row is unknown
    weighted      added to, shape (slots,): energy x coefficient of all rows of these groups
    """
    stop = start + sums.shape[1]
    for group in range(first, end):
        total = sums[group]
        sign = signs[group]
        total[:] = 0
        sign[:] = 0
        at = offsets[group]
        # Four rows at a time: the sums are read and written once for them, which is what this loop's time goes to.
        while at + 4 <= offsets[group + 1]:
            row_a, row_b, row_c, row_d = order[at], order[at + 1], order[at + 2], order[at + 3]
            a, b = energy_wh[row_a, start:stop], energy_wh[row_b, start:stop]
            c, d = energy_wh[row_c, start:stop], energy_wh[row_d, start:stop]
            by_a, by_b, by_c, by_d = coefficients[row_a], coefficients[row_b], coefficients[row_c], coefficients[row_d]
            for slot in range(total.size):
                sign[slot] |= a[slot] | b[slot] | c[slot] | d[slot]
                wh_a, wh_b = np.int64(max(a[slot], 0)), np.int64(max(b[slot], 0))
                wh_c, wh_d = np.int64(max(c[slot], 0)), np.int64(max(d[slot], 0))
                total[slot] += wh_a + wh_b + wh_c + wh_d
                weighted[slot] += wh_a * by_a + wh_b * by_b + wh_c * by_c + wh_d * by_d
            at += 4
        while at < offsets[group + 1]:
            alone = energy_wh[order[at], start:stop]
            by = coefficients[order[at]]
            for slot in range(total.size):
                sign[slot] |= alone[slot]
                wh = np.int64(max(alone[slot], 0))
                total[slot] += wh
                weighted[slot] += wh * by
            at += 1


@compiled
def gross_up(
    places: Int64Array,
    upper: Int64Array,
    intake_wh: Int64Array,
    loss_wh: Int64Array,
    below_wh: Int64Array,
    is_unknown: BoolArray,
    no_load_wh_day: Int64Array,
    first_slot: int,
    first: int,
    end: int,
    gross: Int64Array,
    rest: Int64Array,
) -> None:
    """Find how much loss each watt-hour carries below some nodes of one level of the tree, in each slot.

    A node passes on gross-of-parent x intake + its own loss, less its no-load part (see `loss.py`), to what was drawn
    below it. The quotient is cut at 2^-40, for all children alike; what the cut leaves over is kept in `rest`. The
    numerator may need 100 bits; where it does not fit 63, it is divided digit by digit, 20 bits each, as by hand.

    places          which nodes: numbers of inner nodes, all of one level
    upper           shape (inner,), the inner node above each; -1 at the top
    intake_wh       shape (inner, slots) [Wh], what each node drew
    loss_wh         shape (inner, slots) [Wh], of each node alone; 0 where unknown
    below_wh        shape (inner, slots) [Wh], what its children drew
    is_unknown      shape (inner, slots): the node's own loss is not known, and its children carry what it carries
    no_load_wh_day  shape (inner,) [Wh per day of 96 slots]
    first_slot      number of the first slot in the period
    gross           shape (inner, slots) [2^-40 Wh per Wh]; of the levels above; out: of these nodes
    rest            added to, shape (3, slots) [Wh, 2^-20 Wh, 2^-40 Wh]
    """
    for at in range(first, end):
        node = places[at]
        per_day = no_load_wh_day[node]
        for slot in range(gross.shape[1]):
            above = gross[upper[node], slot] if upper[node] >= 0 else np.int64(0)
            since = first_slot + slot
            no_load = (since + 1) * per_day // DAY_SLOTS - since * per_day // DAY_SLOTS
            below = below_wh[node, slot]
            carried = intake_wh[node, slot] - no_load
            if is_unknown[node, slot]:
                carried -= below
            high = (above >> 40) * carried + loss_wh[node, slot] - no_load
            middle = ((above >> 20) & DIGIT) * carried
            low = (above & DIGIT) * carried
            factor = np.int64(0)
            if is_unknown[node, slot]:
                factor = above
            elif below > 0 and abs(high) <= below << GROSS_BITS and abs(carried) <= below << GROSS_BITS:
                if abs(high) >> SHORT_BITS == 0 and abs(carried) >> SHORT_BITS == 0:
                    low += (high << 40) + (middle << 20)
                else:
                    quotient = high // below
                    middle += (high - quotient * below) << 20
                    factor = quotient << 40
                    quotient = middle // below
                    low += (middle - quotient * below) << 20
                    factor += quotient << 20
                quotient = low // below
                factor += quotient
                high, middle, low = np.int64(0), np.int64(0), low - quotient * below
            gross[node, slot] = factor
            rest[0, slot] += high
            rest[1, slot] += middle
            rest[2, slot] += low


@compiled
def sum_rows(
    energy_wh: IntArray,
    rows: Int64Array,
    starts: Int64Array,
    ends: Int64Array,
    edges: Int64Array,
    bands: Int64Array,
    first: int,
    end: int,
    sums: Int64Array,
) -> None:
    """Add up energy by price band, over spans of rows.

    energy_wh     shape (rows, slots) [Wh]; negative where unknown, and then left out
    rows          shape (spans,), the row of each span
    starts, ends  shape (spans,), its slots
    edges, bands  slots edges[i] <= slot < edges[i + 1] have band bands[i]
    sums          added to, shape (spans, bands)
    """
    for span in range(first, end):
        row = energy_wh[rows[span]]
        for run in range(bands.size):
            wh = np.int64(0)
            for slot in range(np.uint64(max(edges[run], starts[span])), np.uint64(min(edges[run + 1], ends[span]))):
                wh += np.int64(max(row[slot], 0))
            sums[span, bands[run]] += wh


@compiled
def weigh_rows(
    energy_wh: IntArray,
    start: int,
    rows: Int64Array,
    groups: Int64Array,
    starts: Int64Array,
    ends: Int64Array,
    ones: Int64Array,
    others: Int64Array,
    edges: Int64Array,
    bands: Int64Array,
    first: int,
    end: int,
    sums: Int64Array,
) -> None:
    """Add up energy, energy x one factor and energy x another, by price band, over spans of rows.

    Both factors at once, because reading a row costs as much as multiplying it. Slots are counted from slot `start` on.

    energy_wh     shape (rows, start + slots or more) [Wh]; negative where unknown, and then left out
    rows, groups  shape (spans,), the row and the group of factors of each span
    starts, ends  shape (spans,), its slots
    ones, others  shape (groups, slots), the factors; a single row of `others` is everybody's
    edges, bands  slots edges[i] <= slot < edges[i + 1] have band bands[i]
    sums          out, shape (spans, 3, bands)
    """
    span = first
    stop = start + ones.shape[1]
    while span < end:
        # Two spans at a time where they use the same factors over the same slots: bands are short, and this fills them.
        beside = min(span + 1, end - 1)
        if groups[beside] != groups[span] or starts[beside] != starts[span] or ends[beside] != ends[span]:
            beside = span
        left, right = energy_wh[rows[span], start:stop], energy_wh[rows[beside], start:stop]
        one, other = ones[groups[span]], others[min(groups[span], others.shape[0] - 1)]
        sums[span : beside + 1] = 0
        for run in range(bands.size):
            left_wh = left_one = left_other = np.int64(0)
            right_wh = right_one = right_other = np.int64(0)
            # Unsigned, or each index would be checked for being counted from the end, and nothing be done in parallel.
            for slot in range(np.uint64(max(edges[run], starts[span])), np.uint64(min(edges[run + 1], ends[span]))):
                wh, wh_right = np.int64(max(left[slot], 0)), np.int64(max(right[slot], 0))
                left_wh += wh
                left_one += wh * one[slot]
                left_other += wh * other[slot]
                right_wh += wh_right
                right_one += wh_right * one[slot]
                right_other += wh_right * other[slot]
            sums[span, 0, bands[run]] += left_wh
            sums[span, 1, bands[run]] += left_one
            sums[span, 2, bands[run]] += left_other
            if beside > span:
                sums[beside, 0, bands[run]] += right_wh
                sums[beside, 1, bands[run]] += right_one
                sums[beside, 2, bands[run]] += right_other
        span = beside + 1


@compiled
def mix_rows(
    weights: Int64Array,
    groups: Int64Array,
    layers: Int64Array,
    factors: Int64Array,
    slack: Int64Array,
    fraction_digits: int,
    first: int,
    end: int,
    whole: Int64Array,
    fraction: Int64Array,
) -> None:
    """Add up weight x factor over the columns of some rows, with factors of any number of binary places, from below.

    A digit has 24 bits, so a column adds less than 2^50 to each digit of a sum and thousands of columns may be added
    up before anything is carried. The true factor is at most `slack` units of its last place above the one given; the
    sums are given as they are and with all slack added.

    weights    shape (rows, columns), 0 to 2^62 - 1
    groups     shape (rows, layers), the group of each row in each layer
    layers     shape (columns,), the layer a column belongs to
    factors    shape (groups, columns, digits), lowest digit first, the last one with the sign
    slack      shape (groups, columns), below 2^20
    fraction_digits   how many digits of a factor stand after the point, 2 at least
    whole      out, shape (2, rows), the floors of the sums, below 2^62 either way
    fraction   out, shape (2, rows), what is left, cut to 2^-48 [2^-48]
    """
    digits = factors.shape[2] + 3
    sums = np.zeros((2, digits), np.int64)
    for row in range(first, end):
        sums[:] = 0
        for column in range(weights.shape[1]):
            weight = weights[row, column]
            if weight == 0:
                continue
            group = groups[row, layers[column]]
            low, middle, high = weight & DIGIT_24, (weight >> 24) & DIGIT_24, weight >> 48
            more = slack[group, column]
            sums[1, 0] += low * more
            sums[1, 1] += middle * more
            sums[1, 2] += high * more
            for digit in range(factors.shape[2]):
                factor = factors[group, column, digit]
                sums[0, digit] += low * factor
                sums[0, digit + 1] += middle * factor
                sums[0, digit + 2] += high * factor
        for digit in range(digits):
            sums[1, digit] += sums[0, digit]
        for bound in range(2):
            total = sums[bound]
            for digit in range(digits - 1):
                total[digit + 1] += total[digit] >> 24
                total[digit] &= DIGIT_24
            at = fraction_digits
            fraction[bound, row] = total[at - 1] << 24 | total[at - 2]
            whole[bound, row] = total[at] | total[at + 1] << 24 | (total[at + 2] & DIGIT_14) << 48
            # The bits above are copies of the sign, and the lowest of them is bit 62.
            if total[at + 2] & (DIGIT_14 + 1):
                whole[bound, row] -= 1 << 62


@compiled
def peak_rows(
    energy_wh: IntArray,
    rows: Int64Array,
    starts: Int64Array,
    ends: Int64Array,
    edges: Int64Array,
    first: int,
    end: int,
    sums: Int64Array,
    peaks: Int64Array,
) -> None:
    """Find the sum and the largest slot of spans of rows, within each span of the period.

    energy_wh     shape (rows, slots) [Wh], never negative
    rows          shape (entries,); starts, ends: its slots
    edges         shape (spans, 2), slots [first, end) of each span of the period
    sums, peaks   out, shape (entries, spans) [Wh]; 0 where an entry does not touch a span
    """
    for entry in range(first, end):
        energy = energy_wh[rows[entry]]
        for span in range(edges.shape[0]):
            total = most = np.int64(0)
            for slot in range(max(starts[entry], edges[span, 0]), min(ends[entry], edges[span, 1])):
                wh = np.int64(energy[slot])
                total += wh
                most = max(most, wh)
            sums[entry, span] = total
            peaks[entry, span] = most


@compiled
def add_rows(
    energy_wh: IntArray, rows: Int64Array, starts: Int64Array, ends: Int64Array, first: int, end: int, sums: Int64Array
) -> None:
    """Add up spans of rows, slot by slot, for slots first <= slot < end.

    energy_wh   shape (rows, slots) [Wh]
    rows        shape (entries,); starts, ends: its slots
    sums        added to, shape (slots,) [Wh]
    """
    for entry in range(rows.size):
        energy = energy_wh[rows[entry]]
        for slot in range(max(starts[entry], first), min(ends[entry], end)):
            sums[slot] += energy[slot]
