"""Settles whole fleets at once: a matrix of registers, one meter a row, one quarter hour a column.

The ladder is that of `intervals.settle_point`, for the case that fills nearly every row of nearly every site: one
installation, registers at marks. Most rows are plain differences, and cost one pass over memory; the others are climbed
one by one. What a slot rests on is its quality; a reason in words is `settle_point`'s to give, so settlement asks here
first (`settle_plain`) and there where something wants explaining.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.blocks import in_blocks
from allocation_engine.errors import InputsInvalid
from allocation_engine.evidence import Installation, PointReading
from allocation_engine.inputs import Int64Array
from allocation_engine.intervals import SettledSpan, SlotQuality
from allocation_engine.kernels import IntArray, UInt8Array, climb_row, difference_rows
from metering.interval import Interval


@dataclass(frozen=True, slots=True, eq=False)
class FleetMeters:
    """What stands on the meters' plates, one entry a row.

    multipliers   ratio of instrument transformers, at least 1
    moduli_wh     first register the meter cannot show [Wh before the multiplier]; 0 where unknown
    power_max_w   largest plausible mean power of a slot [W]; 0 where unbounded
    """

    multipliers: Int64Array
    moduli_wh: Int64Array
    power_max_w: Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class SettledFleet:
    """Energy of every slot, and how it is known.

    energy_wh   shape (rows, slots), of the registers' type [Wh]; UNKNOWN where the quality is MISSING or HELD
    odd         rows that are not plain differences, sorted
    quality     shape (odd rows, slots), SlotQuality; every slot of the other rows is MEASURED
    """

    energy_wh: IntArray
    odd: Int64Array
    quality: UInt8Array


def settle_fleet(
    registers_wh: IntArray, meters: FleetMeters, threads: int | None = None, out: IntArray | None = None
) -> SettledFleet:
    """Settle a matrix of registers.

    registers_wh   shape (rows, marks) [Wh before the multiplier], UNKNOWN where none was read
    out            where to write the energy, for who settles one fleet after another: new memory costs half the time
    Raises         InputsInvalid where a slot could hold more than the matrix's integers do
    """
    rows, marks = registers_wh.shape
    largest = int(np.iinfo(registers_wh.dtype).max)
    energy_wh = np.empty((rows, marks - 1), registers_wh.dtype) if out is None else out
    is_plain = np.empty(rows, np.bool_)
    plausible = np.where(meters.power_max_w > 0, meters.power_max_w // 4, largest)
    limits = np.minimum(plausible, largest) // meters.multipliers

    multipliers: Int64Array = meters.multipliers.astype(registers_wh.dtype)

    def difference(first: int, end: int) -> None:
        difference_rows(registers_wh, multipliers, limits, first, end, energy_wh, is_plain)

    in_blocks(difference, rows, marks, threads)
    odd = np.flatnonzero(~is_plain)
    highest = np.maximum(registers_wh[odd].max(axis=1, initial=0), meters.moduli_wh[odd])
    if (highest > largest // meters.multipliers[odd]).any():
        raise InputsInvalid(f"registers times multipliers exceed {largest} Wh; give them as 64-bit integers")
    quality = np.empty((odd.size, marks - 1), np.uint8)

    def climb(first: int, end: int) -> None:
        for place in range(first, end):
            row = int(odd[place])
            multiplier, modulus_wh = int(meters.multipliers[row]), int(meters.moduli_wh[row])
            power_max_w = int(meters.power_max_w[row])
            climb_row(registers_wh[row], multiplier, modulus_wh, power_max_w, energy_wh[row], quality[place])

    in_blocks(climb, odd.size, marks, threads)
    return SettledFleet(energy_wh, odd, quality)


def settle_plain(
    readings: Sequence[PointReading], span: Interval, installations: Sequence[Installation]
) -> SettledSpan | None:
    """Settle one point where nothing wants explaining: one installation, a register at every mark, none fell.

    readings, installations   as `settle_point` takes them, in time order
    Returns                   what `settle_point` gives; None where that has to be asked
    """
    homes = [
        one
        for one in installations
        if (one.start is None or one.start < span.start) and (one.end is None or span.end < one.end)
    ]
    if len(homes) != 1 or [reading.mark for reading in readings] != list(span.marks()):
        return None
    (home,) = homes
    if any(reading.meter != home.meter for reading in readings):
        return None
    plate = FleetMeters(
        multipliers=np.array([home.multiplier]),
        moduli_wh=np.array([home.modulus_wh or 0]),
        power_max_w=np.array([home.power_max_w or 0]),
    )
    fleet = settle_fleet(np.array([[reading.register_wh for reading in readings]], np.int64), plate)
    if fleet.odd.size:
        return None
    return SettledSpan(tuple(fleet.energy_wh[0].tolist()), (SlotQuality.MEASURED,) * span.slot_count, ())
