"""From keys to weights: whole numbers per grain span, exact, for everybody who takes part in a stage.

    weight = sum over cells of (area) x (numbers of the day) x (degree-days) x sum over slots of coefficient x quantity

A cell is a day, or a whole grain span where nothing changes daily; the quantity is energy, or occupied slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from allocation_engine.errors import PeriodNotReady, SeriesIncomplete
from allocation_engine.inputs import SLOT_WH_MAX, Int64Array
from allocation_engine.kernels import BoolArray
from allocation_engine.keys import Driver, Key
from allocation_engine.layers import ONE, SUM_BITS, IntegerArray, Span, add_up, roomy, slots_of, times, whole_array
from allocation_engine.pricing import PricedPeriod
from allocation_engine.subjects import Subjects
from allocation_engine.unit_numbers import MissingNumber, UnitNumbers
from allocation_engine.weighing import BandRuns, RowSpans
from allocation_engine.weighing import weigh as weigh_energy
from allocation_engine.whole_weights import whole_weights


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """Parts of the cost, one a span, and the weights they are divided by.

    parts     by span
    by        by span: what the weights are, in words
    weights   shape (rows, spans), in whole numbers; each outer group's have no common factor and a sum below 2^61
    totals    shape (outer groups, spans)
    """

    parts: tuple[Fraction, ...]
    by: tuple[str, ...]
    weights: Int64Array
    totals: Int64Array


def weigh(key: Key, subjects: Subjects, priced: PricedPeriod, spans: Sequence[Span], outer_count: int = 1) -> Weighing:
    """Weigh everybody by `key` in each grain span; raises PeriodNotReady, SeriesIncomplete, InputsInvalid."""
    cells = priced.inputs.day_spans() if key.is_daily else list(spans)
    counted = _counted(key, subjects, priced, cells)
    if Driver.AREA in key.drivers:
        shared = int(np.gcd.reduce(subjects.area_cm2)) or 1
        counted = times(counted, (subjects.area_cm2 // shared)[:, np.newaxis])
    weights, divisors = _by_days(key, subjects, [day for day, _, _ in cells], counted)
    weights = roomy(_in_spans(roomy(weights), cells, spans))
    whole, totals = whole_weights(weights, divisors, subjects.outer, outer_count)
    return Weighing((key.part,) * len(spans), (key.text,) * len(spans), whole, totals)


def _in_spans(weights: IntegerArray, cells: Sequence[Span], spans: Sequence[Span]) -> IntegerArray:
    """Add up the weights of the cells that begin in each span."""
    if cells == spans:
        return weights
    starts = np.array([first for _, first, _ in cells], np.int64)
    columns = [(weights[:, (starts >= first) & (starts < end)]).sum(axis=1) for _, first, end in spans]
    return np.stack(columns, axis=1).astype(weights.dtype)


def _counted(key: Key, subjects: Subjects, priced: PricedPeriod, cells: Sequence[Span]) -> IntegerArray:
    """Add up coefficient x quantity by row and cell."""
    coefficients = _coefficients(key, priced)
    if key.measures:
        rows, entries = subjects.metered(priced.inputs, dict(key.meters))
        return energy_by_cell(priced, entries, rows, len(subjects.ids), cells, coefficients)
    if coefficients is None:
        return slots_of(subjects.stays, len(subjects.ids), cells)
    # Slots weigh what their coefficient says: a stay weighs the difference of two sums from the start of the period.
    sums = whole_array([0, *np.cumsum(coefficients.astype(object)).tolist()])
    return slots_of(subjects.stays, len(subjects.ids), cells, sums)


def energy_by_cell(
    priced: PricedPeriod,
    entries: RowSpans,
    rows: Int64Array,
    row_count: int,
    cells: Sequence[Span],
    coefficients: IntegerArray | None,
) -> IntegerArray:
    """Add up coefficient x energy by row and cell; an entry is one meter during one stay."""
    slot_count = priced.inputs.slot_count
    by_slot = np.ones(slot_count, np.int64) if coefficients is None else coefficients
    cell_of_slot = np.full(slot_count, len(cells), np.int64)
    for place, (_, first, end) in enumerate(cells):
        cell_of_slot[first:end] = place
    found: IntegerArray
    if int(by_slot.max(initial=0)) * SLOT_WH_MAX * slot_count < 1 << SUM_BITS:
        runs = BandRuns.of(cell_of_slot, len(cells) + 1)
        factors = by_slot.astype(np.int64)[np.newaxis]
        found = weigh_energy(priced.inputs.import_wh, entries, factors, factors, runs)[:, 1]
    else:
        # Coefficients of very many digits: by coefficient and cell, multiplied in Python's integers.
        different, kinds = np.unique(by_slot, return_inverse=True)
        runs = BandRuns.of(cell_of_slot * different.size + kinds, (len(cells) + 1) * different.size)
        nothing = np.zeros((1, slot_count), np.int64)
        energy = weigh_energy(priced.inputs.import_wh, entries, nothing, nothing, runs)[:, 0]
        by_kind = energy.reshape(len(energy), len(cells) + 1, different.size).astype(object)
        found = (by_kind * different.astype(object)).sum(axis=2)
    return add_up(roomy(found)[:, : len(cells)], rows, row_count)


def _coefficients(key: Key, priced: PricedPeriod) -> IntegerArray | None:
    """Give the coefficient of each slot in whole numbers of one proportion; None where all count alike."""
    coefficients = dict(key.times)
    if not coefficients:
        return None
    missing = {band.name for band in priced.bands if band.tariff == key.times_of} - set(coefficients)
    if missing:
        raise PeriodNotReady((f"no time coefficient for the hours of {', '.join(sorted(missing))}",))
    scale = lcm(*(one.denominator for one in coefficients.values()))
    scaled = {name: int(one * scale) for name, one in coefficients.items()}
    shared = gcd(*scaled.values()) or 1
    by_band = [scaled[band.name] // shared if band.tariff == key.times_of else 0 for band in priced.bands]
    return whole_array(by_band)[priced.bands_of_slots[key.times_of]]


def _by_days(
    key: Key, subjects: Subjects, days: Sequence[date], counted: IntegerArray
) -> tuple[IntegerArray, IntegerArray | None]:
    """Multiply what was counted by the numbers of each day; give what each row must yet be divided by, if anything."""
    tables = [*key.numbers, *([] if key.rated is None else [key.rated])]
    found = [_numbers_of(table, subjects.names, days) for table in tables]
    absent = [missing for _, missing in found]
    weights = counted
    rated: IntegerArray | None = None
    if key.rated is not None:
        rated, _ = found.pop()
        absent.append(rated == 0)
    if key.degree_days is not None:
        degrees, missing = _degrees_of(key, days)
        found.append((degrees, missing))
        absent.append(missing)
    _require_present(key, subjects, days, counted, absent)
    for numbers, _ in found:
        weights = times(weights, numbers)
    if rated is None:
        return weights, None
    rated = np.where(rated == 0, 1, rated)
    if rated.shape[1] == 1:
        return weights, rated[:, 0]
    together = np.lcm.reduce(rated.astype(object), axis=1)
    return weights.astype(object) * (together[:, np.newaxis] // rated), together


def _require_present(
    key: Key, subjects: Subjects, days: Sequence[date], counted: IntegerArray, absent: Sequence[BoolArray]
) -> None:
    """Raise what the first number raises that is not there though something was counted."""
    for missing in absent:
        if missing.any():
            for row, cell in np.argwhere(missing & (counted != 0)).tolist():
                _of_day(key, subjects.names[row], days[cell])


def _of_day(key: Key, subject: str, day: date) -> Fraction:
    """Give what the numbers of one day come to, one after the other."""
    factor = ONE
    for numbers in key.numbers:
        factor *= numbers.on(subject, day)
    if key.rated is not None:
        rated_kw = key.rated.on(subject, day)
        if not rated_kw:
            raise PeriodNotReady((f"{key.rated.name} of {subject} is 0 on {day}: it has no load rate",))
        factor /= rated_kw
    return factor if key.degree_days is None else factor * key.degree_days.on(day)


def _numbers_of(table: UnitNumbers, names: Sequence[str], days: Sequence[date]) -> tuple[IntegerArray, BoolArray]:
    """Give the numbers of all subjects in whole numbers of one proportion, and which are absent.

    Returns   shape (rows, days), or (rows, 1) where they hold for all days
    """
    known = [table.days.get(name, ()) for name in names]
    holds = table.missing is MissingNumber.PREVIOUS
    if holds and all(len(one) == 1 and one[0][0] <= days[0] for one in known):
        listed: list[list[Fraction | None]] = [[one[0][1]] for one in known]
    else:
        listed = [_on_days(table, one, days) for one in known]
    scale = lcm(*{number.denominator for row in listed for number in row if number is not None})
    whole = [
        0 if number is None else number.numerator * (scale // number.denominator) for row in listed for number in row
    ]
    shared = gcd(*whole) or 1
    width = len(listed[0]) if listed else 1
    absent = np.array([number is None for row in listed for number in row], np.bool_)
    return whole_array([one // shared for one in whole]).reshape(-1, width), absent.reshape(-1, width)


def _on_days(table: UnitNumbers, known: Sequence[tuple[date, Fraction]], days: Sequence[date]) -> list[Fraction | None]:
    """Give one subject's number on each day; None where the missing rule refuses."""
    exactly = dict(known)
    if table.missing is not MissingNumber.PREVIOUS:
        default = Fraction(0) if table.missing is MissingNumber.ZERO else None
        return [exactly.get(day, default) for day in days]
    last = next((number for day, number in reversed(known) if day <= days[0]), None)
    found = []
    for day in days:
        last = exactly.get(day, last)
        found.append(last)
    return found


def _degrees_of(key: Key, days: Sequence[date]) -> tuple[IntegerArray, BoolArray]:
    """Give the degree-days of each day in whole numbers of one proportion, and which are absent; shape (1, days)."""
    found: list[Fraction | None] = []
    for day in days:
        try:
            found.append(None if key.degree_days is None else key.degree_days.on(day))
        except SeriesIncomplete:
            found.append(None)
    scale = lcm(*(one.denominator for one in found if one is not None))
    whole = whole_array([0 if one is None else int(one * scale) for one in found])
    return whole[np.newaxis], np.array([[one is None for one in found]], np.bool_)
