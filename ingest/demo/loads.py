"""What flows through every node of a played site, slot by slot, in exact integers.

Theory of operation. A load is the mean power of one node in each 15-minute slot [W, integer; negative feeds back to
the grid]. It comes from a shape (an hourly profile of a workday and of a rest day, in 1/1000 of the peak, straight
lines between the full hours) with seeded noise, or from measured columns (measured_loads.py). A node with a load of
its own shows that load; a node without one shows the sum of its children and its technical loss. Energy since the
start of the play is the running sum of power: a slot of 1 W is 1/4 Wh, and only the running sum is rounded down to
Wh, so that nothing is lost over the month. Import and export are summed apart, as a meter does.

The noise generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014)
in counter form over unsigned 64-bit integers: state = key + (slot + 1) * 0x9E3779B97F4A7C15, then its two
multiply-and-shift rounds. The key of a node is the first 8 octets of SHA-256("<seed>/<node>"), so adding a node never
moves the loads of another. No float and no library generator is involved: any machine plays the same month.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from metering.errors import BooksError
from metering.identity import NodeId
from metering.interval import Interval, SiteCalendar

Int64Array = NDArray[np.int64]

PER_MILLE = 1000
SLOTS_PER_HOUR = 4
HOURS = 24
SATURDAY = 5


class LoadMissing(BooksError):
    """A node has neither a load nor children, so nobody knows what flows through it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A daily course: 24 values at the full local hours [1/1000 of the peak], for workdays and for weekends."""

    workday: tuple[int, ...]
    restday: tuple[int, ...]

    def per_mille(self, local: datetime) -> int:
        """Give the share of the peak at a local quarter hour, on the straight line between the full hours."""
        course = self.restday if local.weekday() >= SATURDAY else self.workday
        quarter = local.minute // 15
        following = course[(local.hour + 1) % HOURS]
        return (course[local.hour] * (SLOTS_PER_HOUR - quarter) + following * quarter) // SLOTS_PER_HOUR


@dataclass(frozen=True, slots=True)
class ShapedLoad:
    """One node's load: `peak_w` [W] times its shape, give or take up to `noise_per_mille` [1/1000] in each slot."""

    peak_w: int
    shape: Shape
    noise_per_mille: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Technical loss below a node: a share of the flow [1/1000] and a standing loss [W]."""

    flow_per_mille: int
    standing_w: int


NO_LOSS = Loss(flow_per_mille=0, standing_w=0)


@dataclass(frozen=True, slots=True)
class NodeEnergy:
    """Energy through one node since the play began, at each mark [Wh]; shape (slots + 1,), never falling."""

    import_wh: Int64Array
    export_wh: Int64Array


def noise(*, seed: int, node: str, count: int, bound: int) -> Int64Array:
    """Give `count` reproducible integers, each in [-bound, bound]."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{node}".encode()).digest()[:8], "big")
    state = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return (state % np.uint64(2 * bound + 1)).astype(np.int64) - bound


def shaped_power(load: ShapedLoad, *, node: str, seed: int, period: Interval, calendar: SiteCalendar) -> Int64Array:
    """Give the mean power of each slot of `period` [W], shape (slots,)."""
    marks = list(period.marks())[:-1]
    course = np.array([load.shape.per_mille(calendar.local(mark)) for mark in marks], dtype=np.int64)
    wobble = PER_MILLE + noise(seed=seed, node=node, count=len(marks), bound=load.noise_per_mille)
    return load.peak_w * course * wobble // (PER_MILLE * PER_MILLE)


def node_powers(
    own_w: Mapping[NodeId, Int64Array], parents: Mapping[NodeId, NodeId | None], losses: Mapping[NodeId, Loss]
) -> dict[NodeId, Int64Array]:
    """Give every node's power in each slot [W]: its own load, or else its children and its technical loss.

    Raises LoadMissing for a node with neither. `parents` names every node; its tree has no cycle.
    """
    children: dict[NodeId, list[NodeId]] = {node: [] for node in parents}
    for node, parent in parents.items():
        if parent is not None:
            children[parent].append(node)
    powers: dict[NodeId, Int64Array] = {}
    for node in parents:
        _fill_power(node, children, own_w, losses, powers)
    return powers


def _fill_power(
    node: NodeId,
    children: Mapping[NodeId, Sequence[NodeId]],
    own_w: Mapping[NodeId, Int64Array],
    losses: Mapping[NodeId, Loss],
    powers: dict[NodeId, Int64Array],
) -> Int64Array:
    if node in powers:
        return powers[node]
    below = [_fill_power(child, children, own_w, losses, powers) for child in children[node]]
    if node in own_w:
        powers[node] = own_w[node]
    elif below:
        flow = np.sum(below, axis=0, dtype=np.int64)
        loss = losses.get(node, NO_LOSS)
        powers[node] = flow + np.abs(flow) * loss.flow_per_mille // PER_MILLE + loss.standing_w
    else:
        raise LoadMissing(f"node {node} has no load and no children; give it a load")
    return powers[node]


def energy_of(power_w: Int64Array) -> NodeEnergy:
    """Sum power [W, per slot] into energy since the start [Wh, per mark], import and export apart."""
    return NodeEnergy(_running_wh(np.maximum(power_w, 0)), _running_wh(np.maximum(-power_w, 0)))


def _running_wh(power_w: Int64Array) -> Int64Array:
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(power_w) // SLOTS_PER_HOUR))
