"""Which signed readings prove a metered amount, and where each of them is sealed.

A metered line is a sum of register differences. Between two instants at which nothing changes (price band, occupant,
register epoch), only the readings at both ends matter; so a month needs some hundred readings, not three thousand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from metering.identity import GatewayId, MeterId, NodeId
from metering.obis import Obis


class EnvelopeRef(NamedTuple):
    """One sealed envelope: its place in the gateway's chain and the SHA-256 of its octets.

    A named tuple: a large site's evidence is sorted and looked up by millions of them.
    """

    gateway: GatewayId
    epoch: int
    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class PointReading:
    """One register of a metering point at one mark, trusted and decoded.

    register_wh   what the meter showed, in base units [Wh], before CT and PT
    envelope      where the reading is sealed; None where nobody asked for evidence
    by_hand       whether a person read it off the display
    """

    mark: datetime
    meter: MeterId
    register_wh: int
    envelope: EnvelopeRef | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sweeps:
    """The marks at which some meters were read together, and the envelope of each; the readings of all share it."""

    marks: tuple[datetime, ...]
    envelopes: tuple[EnvelopeRef, ...]


class SweptReadings(Sequence[PointReading]):
    """Readings of one meter, one in each of `sweeps`, as a column: a large site has millions of them.

    registers_wh   shape (marks,), int64 [Wh]
    """

    __slots__ = ("meter", "registers_wh", "sweeps")

    def __init__(self, sweeps: Sweeps, meter: MeterId, registers_wh: npt.NDArray[np.int64]) -> None:
        self.sweeps = sweeps
        self.meter = meter
        self.registers_wh = registers_wh

    def __len__(self) -> int:
        return len(self.sweeps.marks)

    def __iter__(self) -> Iterator[PointReading]:
        return map(
            PointReading, self.sweeps.marks, repeat(self.meter), self.registers_wh.tolist(), self.sweeps.envelopes
        )

    @overload
    def __getitem__(self, index: int) -> PointReading: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PointReading]: ...
    def __getitem__(self, index: int | slice) -> PointReading | Sequence[PointReading]:
        if isinstance(index, slice):
            return tuple(self)[index]
        sweeps = self.sweeps
        return PointReading(sweeps.marks[index], self.meter, int(self.registers_wh[index]), sweeps.envelopes[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, slots=True)
class Installation:
    """One register epoch of a metering point: a meter with fixed multiplier, from `start` until `end`.

    start, end    half-open; `start` None if it always hung, `end` None while it hangs
    multiplier    CT ratio x PT ratio
    modulus_wh    first value the register cannot show [Wh]; None if it never rolls over
    power_max_w   largest plausible primary power [W]; None if nobody declared one
    initial_wh    register at `start` as declared by whoever installed it [Wh]; None if not declared
    final_wh      register at `end` as declared by whoever removed it [Wh]; None if not declared

    An exchange is one installation with `final_wh` followed by one with `initial_wh` and `start` at the other's `end`.
    A changed CT ratio is the same: the same meter twice, with `final_wh` equal to `initial_wh`.
    """

    meter: MeterId
    start: datetime | None
    end: datetime | None
    multiplier: int
    modulus_wh: int | None
    power_max_w: int | None
    initial_wh: int | None
    final_wh: int | None


@dataclass(frozen=True, slots=True)
class PointEvidence:
    """What proves the energy of one metering point: its register epochs and readings, in time order."""

    node: NodeId
    obis: Obis
    installations: tuple[Installation, ...]
    readings: Sequence[PointReading]

    @property
    def marks(self) -> tuple[datetime, ...]:
        """The mark of each reading."""
        readings = self.readings
        return readings.sweeps.marks if isinstance(readings, SweptReadings) else tuple(one.mark for one in readings)

    @property
    def envelopes(self) -> tuple[EnvelopeRef | None, ...]:
        """Where each reading is sealed."""
        readings = self.readings
        return (
            readings.sweeps.envelopes
            if isinstance(readings, SweptReadings)
            else tuple(one.envelope for one in readings)
        )

    @property
    def meters(self) -> frozenset[MeterId]:
        """Whose readings they are."""
        readings = self.readings
        return (
            frozenset({readings.meter} if readings else ())
            if isinstance(readings, SweptReadings)
            else frozenset(one.meter for one in readings)
        )


def chains_of(points: Iterable[PointEvidence]) -> frozenset[tuple[GatewayId, int]]:
    """Give gateway and epoch of every envelope that holds a reading of `points`."""
    alike = {id(envelopes): envelopes for envelopes in (point.envelopes for point in points)}
    return frozenset((ref.gateway, ref.epoch) for envelopes in alike.values() for ref in envelopes if ref is not None)


def pick_readings(marks: Iterable[datetime], readings: Sequence[PointReading]) -> tuple[PointReading, ...]:
    """Give the readings that prove the register at each of `marks`.

    readings   of one metering point, in time order; from before the first mark until after the last
    Returns    the newest at or before and the oldest at or after each mark: one reading where the mark was read,
               the two that an estimate rests on where it was not
    """
    marks = list(marks)
    instants = [reading.mark for reading in readings]
    if instants == marks:
        return tuple(readings)
    wanted: set[int] = set()
    for mark in marks:
        before, after = bisect_right(instants, mark) - 1, bisect_left(instants, mark)
        wanted.update(index for index in (before, after) if 0 <= index < len(readings))
    return tuple(readings[index] for index in sorted(wanted))
