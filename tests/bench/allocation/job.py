"""The job all contenders do: registers of a month to five exact amounts for every meter.

A site of one main meter, buildings of 50 floors, floors of 100 end meters. Registers of every quarter hour, some not
read, some rolled over, some fallen for no declared reason. Everything is made by formulas from a fixed seed, so every
contender makes the same inputs by itself. What has to come out, in integers (`E` energy of a slot, `rate` its price):

    ladder    E by slot: difference; rollover if it advanced by at most 1/100 of the modulus; a gap is split evenly,
              by differences of a floored straight line; a fallen register and what lies outside the readings is unknown
    own       sum of E x rate, rounded half up to fen, meter by meter
    balance   loss of a node in a slot = E - sum of E of its children; unknown where the node or a child is
    loss      factor of a node = floor((factor above x E + 2^40 x loss) / sum of E of children), factor 0 above the top;
              where the loss is unknown the factor above, where nothing was drawn below 0
              weight = sum over bands of rate x ((sum of E x factor of its floor) >> 32)
              the cost of all losses at their slots' rates, divided by these weights
    area      pool 1 at its slots' rates, by area x occupied slots
    load      pool 2, slot by slot: cost x time coefficient, by area x load rate;
              factor R = floor((cost x coefficient / 1000 << 24) / sum of key x E), key = area x 64 / contracted power
              weight = key x (sum of E x R) >> 12
    mixed     pool 3, 60 % by energy and 40 % by area: weight = (60 x energy x sum of areas + 40 x area x sum of energy)
              >> 14

Every division of a cost is by largest remainder, ties to the earlier meter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allocation_engine.loss_factors import FACTOR_BITS

Ints = npt.NDArray[np.int64]

DAYS = 31
SLOTS = DAYS * 96
FLOOR_METERS = 100
BUILDING_FLOORS = 50
MODULUS_WH = 10**9
BAND_RATES = (320_000, 680_000, 1_050_000, 1_240_000)
FEN_NANO = 10**7
LOSS_SHIFT = FACTOR_BITS - 8
MIXED_PERCENT = 60
MIXED_SHIFT = 14
LOAD_BITS = 24
LOAD_SHIFT = 12
_HOURS = ((0, 8, 0), (8, 10, 1), (10, 12, 2), (12, 14, 1), (14, 17, 2), (17, 19, 1), (19, 21, 3), (21, 24, 1))
_HELD_PART, _ROLLED_PART, _GAP_PART, _OUTAGE_PART = 5000, 1000, 200, 1000


@dataclass(frozen=True)
class Job:
    """Inputs. Rows: main, buildings, floors, end meters; `first_end` is the row of the first end meter.

    registers       int32, shape (rows, SLOTS + 1) [Wh before the multiplier], -1 where not read
    parents         row of each node's parent, -1 at the top
    multipliers     by row
    band_of_slot    index in BAND_RATES
    pool_wh         shape (3, SLOTS), energy of the shared pools [Wh]
    coefficients    time coefficient of each slot
    areas, powers   of each end meter [dm2], [W]
    occupied        slots in which each end meter's unit is let
    """

    meters: int
    first_end: int
    registers: npt.NDArray[np.int32]
    parents: Ints
    multipliers: Ints
    band_of_slot: Ints
    pool_wh: Ints
    coefficients: Ints
    areas: Ints
    powers: Ints
    occupied: Ints

    @property
    def rates(self) -> Ints:
        """Rate of each slot [10^-6 yuan per kWh]."""
        return np.array(BAND_RATES, np.int64)[self.band_of_slot]

    @property
    def keys(self) -> Ints:
        """Area by contracted power of each end meter, for pool 2."""
        return self.areas * 64 * 1000 // (self.powers * 100)


@dataclass(frozen=True)
class Amounts:
    """Results [fen], one row each for own, loss, area, load, mixed; one column an end meter."""

    fen: Ints

    @property
    def fingerprint(self) -> str:
        """Tells two results apart."""
        return hashlib.sha256(self.fen.astype("<i8").tobytes()).hexdigest()[:16]


def make_job(meters: int) -> Job:
    """Make the inputs for a site of so many end meters (a multiple of 100)."""
    draw = np.random.default_rng(20260701)
    floors = meters // FLOOR_METERS
    buildings = -(-floors // BUILDING_FLOORS)
    first_end = 1 + buildings + floors
    parents = np.concatenate(
        [
            [-1],
            np.zeros(buildings),
            1 + np.arange(floors) // BUILDING_FLOORS,
            1 + buildings + np.arange(meters) // FLOOR_METERS,
        ]
    ).astype(np.int64)
    multipliers = np.ones(first_end + meters, np.int64)
    multipliers[0], multipliers[1 : 1 + buildings] = 1000, 100
    band_of_slot = np.empty(96, np.int64)
    for first, end, band in _HOURS:
        band_of_slot[first * 4 : end * 4] = band
    job = Job(
        meters=meters,
        first_end=first_end,
        registers=np.empty((first_end + meters, SLOTS + 1), np.int32),
        parents=parents,
        multipliers=multipliers,
        band_of_slot=np.tile(band_of_slot, DAYS),
        pool_wh=draw.integers(0, 40 * meters, (3, SLOTS)),
        coefficients=draw.integers(1, 21, SLOTS),
        areas=draw.integers(2_000, 30_000, meters),
        powers=draw.integers(5, 60, meters) * 1000,
        occupied=np.where(draw.integers(0, 10, meters) == 0, draw.integers(0, SLOTS, meters), SLOTS),
    )
    _fill_registers(job, draw)
    _spoil_registers(job, draw)
    return job


def _fill_registers(job: Job, draw: np.random.Generator) -> None:
    """Write the registers of all meters, from the ends up; each node adds a loss that grows with its load's square."""
    hours = np.arange(SLOTS) // 4 % 24
    profile = (np.where((hours >= 8) & (hours < 20), 220, 60) + draw.integers(0, 40, SLOTS)).astype(np.int32)
    sums = np.zeros((job.first_end, SLOTS), np.int64)
    for first in range(job.first_end, job.registers.shape[0], FLOOR_METERS):
        rows = slice(first, first + FLOOR_METERS)
        sizes = draw.integers(20, 500, (FLOOR_METERS, 1), dtype=np.int32)
        energy = (sizes * profile >> 8) + draw.integers(0, 64, (FLOOR_METERS, SLOTS), dtype=np.uint8)
        sums[job.parents[first]] = energy.sum(axis=0)
        starts = draw.integers(0, 400_000_000, FLOOR_METERS)
        _accumulate(job.registers[rows], energy, starts)
    for row in range(job.first_end - 1, -1, -1):
        energy = sums[row] + sums[row] ** 2 // (sums[row].max() * 40)
        if row:
            sums[job.parents[row]] += energy
        job.registers[row, 0] = 1000
        job.registers[row, 1:] = 1000 + np.cumsum(energy) // job.multipliers[row]


def _accumulate(registers: npt.NDArray[np.int32], energy: npt.NDArray[np.int32], starts: Ints) -> None:
    registers[:, 0] = starts
    np.cumsum(energy, axis=1, out=registers[:, 1:])
    registers[:, 1:] += starts[:, None].astype(np.int32)


def _spoil_registers(job: Job, draw: np.random.Generator) -> None:
    """Roll some registers over, lose some readings, and let a few fall."""
    registers, ends = job.registers, np.arange(job.first_end, job.registers.shape[0])

    def some(part: int) -> Ints:
        return np.sort(draw.choice(ends, max(job.meters // part, 1), replace=False))

    for row in some(_ROLLED_PART):
        lifted = registers[row].astype(np.int64) - int(registers[row, 1500]) + MODULUS_WH
        registers[row] = lifted % MODULUS_WH
    for row in some(_HELD_PART):
        registers[row, 2000:] -= registers[row, 2000] // 2
    for row in some(_GAP_PART):
        registers[row, draw.integers(0, SLOTS + 1, 8)] = -1
    for row in some(_OUTAGE_PART):
        first = int(draw.integers(0, SLOTS - 300))
        registers[row, first : first + 288] = -1


def exact_parts(cost: int, weights: list[int]) -> list[int]:
    """Divide by largest remainder in unlimited integers, ties to the earlier; for contenders that have no way to."""
    total = sum(weights)
    floors = [cost * weight // total for weight in weights]
    remainders = [cost * weight % total for weight in weights]
    odd = cost - sum(floors)
    for place in sorted(range(len(weights)), key=lambda one: (-remainders[one], one))[:odd]:
        floors[place] += 1
    return floors


def half_up(nano: int) -> int:
    """Round to fen."""
    return (2 * nano + FEN_NANO) // (2 * FEN_NANO)


def load_factors(job: Job, keyed: Ints) -> Ints:
    """Give factor R of each slot."""
    costs = job.pool_wh[1] * job.rates * job.coefficients // 1000
    assert int(costs.max()) << LOAD_BITS < 2**63
    return (costs << LOAD_BITS) // np.maximum(keyed, 1)


def weights_of(job: Job, own: Ints, lost: Ints, loads: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Give the weights of losses and pools from sums by end meter (and band, for the first two)."""
    energy = own.sum(axis=1)
    assert int(job.keys.max()) * int(loads.max()) < 2**63
    return (
        (lost >> LOSS_SHIFT) @ np.array(BAND_RATES, np.int64),
        job.areas * job.occupied,
        job.keys * loads >> LOAD_SHIFT,
        MIXED_PERCENT * energy * job.areas.sum() + (100 - MIXED_PERCENT) * job.areas * energy.sum() >> MIXED_SHIFT,
    )


def own_fen(own: Ints) -> Ints:
    """Price energy by band and round each meter's to fen."""
    return (2 * (own @ np.array(BAND_RATES, np.int64)) + FEN_NANO) // (2 * FEN_NANO)


def pool_fen(job: Job) -> list[int]:
    """What the three pools cost."""
    return [half_up(int((pool_wh * job.rates).sum())) for pool_wh in job.pool_wh]


def divide(job: Job, own: Ints, lost: Ints, loads: Ints, loss_nano: int) -> Amounts:
    """Turn sums into amounts, for contenders without 128-bit integers: exactly, in Python's."""
    costs = [half_up(loss_nano), *pool_fen(job)]
    rows = [exact_parts(cost, one.tolist()) for cost, one in zip(costs, weights_of(job, own, lost, loads), strict=True)]
    return Amounts(np.array([own_fen(own).tolist(), *rows], np.int64))
