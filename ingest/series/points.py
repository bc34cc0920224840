"""From slots to the points of a chart: all or as many as asked for, with a break wherever a slot is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from allocation_engine.kernels import Int64Array
from ingest.series.kernels import choose_extremes, choose_triangles
from ingest.series.quality import QUALITIES, PointQuality, UInt8Array
from metering.interval import SLOT_S


class Method(StrEnum):
    """How points were chosen."""

    RAW = "raw"
    """Every slot."""
    EXTREMES = "minmax"
    """Least and largest slot of each of equal spans of time: no peak is lost."""
    TRIANGLES = "lttb"
    """Largest triangles, three buckets: the shape with the fewest points."""
    SUMS = "sums"
    """Sums of slots."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """What is known of each slot of a span.

    start_s   first instant [s since 1970]
    amounts   shape (slots,), in a base unit; meaningless where `quality` is MISSING or weaker
    quality   shape (slots,), PointQuality
    """

    start_s: int
    amounts: Int64Array
    quality: UInt8Array

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Say of each slot whether it has an amount."""
        return self.quality < PointQuality.MISSING

    def tally(self) -> dict[str, int]:
        """Count the slots of each quality that occurs."""
        counts = np.bincount(self.quality, minlength=len(QUALITIES)).tolist()
        return {name: count for name, count in zip(QUALITIES, counts, strict=True) if count}


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What a chart shows, in order of time, one number per column and point.

    starts    first instant of each [s since 1970]
    amounts   in a base unit; meaningless where `known` is false: that is a break
    quality   PointQuality: of a point the weakest slot that it stands for, of a break the weakest in it
    missing   slots that are not known: in a break, or in the span of a sum
    """

    starts: Int64Array
    amounts: Int64Array
    quality: UInt8Array
    missing: Int64Array
    known: npt.NDArray[np.bool_]


def thin(slots: Slots, most: int, method: Method) -> tuple[Points, Method]:
    """Give at most `most` points, and breaks between them; says how they were chosen.

    All slots if they are few enough. Triangles keep both ends of every run of known slots, so that a gap is no wider
    on the chart than it is; where there are more ends than points, the extremes are given instead.
    """
    if slots.amounts.size <= most:
        chosen = np.flatnonzero(slots.known)
        return _with_breaks(slots, chosen, slots.quality[chosen]), Method.RAW
    if method is Method.TRIANGLES:
        runs = _runs(slots.known)
        shares = _shares(runs, most)
        if shares is not None:
            chosen, worst = np.zeros(most, np.int64), np.zeros(most, np.uint8)
            count = choose_triangles(slots.amounts, slots.quality, runs, shares, chosen, worst)
            return _with_breaks(slots, chosen[:count], worst[:count]), Method.TRIANGLES
    parts = max(most // 2, 1)
    chosen, worst = np.zeros(2 * parts, np.int64), np.zeros(2 * parts, np.uint8)
    count = choose_extremes(slots.amounts, slots.quality, parts, chosen, worst)
    return _with_breaks(slots, chosen[:count], worst[:count]), Method.EXTREMES


def _runs(known: npt.NDArray[np.bool_]) -> Int64Array:
    """Give first slot and the one after the last of each run of known slots."""
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
    return edges.reshape(-1, 2).astype(np.int64)


def _shares(runs: Int64Array, most: int) -> Int64Array | None:
    """Deal `most` points out by length, both ends of each run first; None if there are too few for the ends."""
    lengths = runs[:, 1] - runs[:, 0]
    ends = np.minimum(lengths, 2)
    left, inner = most - int(ends.sum()), lengths - ends
    if left < 0:
        return None
    shares: Int64Array = ends + np.minimum(inner, left * inner // max(int(inner.sum()), 1))
    return shares


def _with_breaks(slots: Slots, chosen: Int64Array, worst: UInt8Array) -> Points:
    """Put a break before, between and behind chosen slots wherever a slot that is not known lies there."""
    unknown = np.flatnonzero(~slots.known)
    places = np.searchsorted(unknown, chosen)
    # Of the unknown slots, those from the end of one chosen slot to the beginning of the next.
    firsts, ends = np.concatenate(([0], places)), np.concatenate((places, [unknown.size]))
    gaps = np.flatnonzero(ends > firsts)
    first_slots = unknown[firsts[gaps]]
    weakest = (
        np.maximum.reduceat(slots.quality[unknown], firsts[gaps]) if gaps.size else np.zeros(0, slots.quality.dtype)
    )
    order = np.argsort(np.concatenate((chosen, first_slots)), kind="stable")
    known = np.concatenate((np.ones(chosen.size, bool), np.zeros(gaps.size, bool)))
    columns = (
        (chosen, first_slots),
        (slots.amounts[chosen], np.zeros(gaps.size, np.int64)),
        (worst, weakest),
        (np.zeros(chosen.size, np.int64), (ends - firsts)[gaps]),
    )
    places, amounts, quality, missing = (np.concatenate(pair)[order] for pair in columns)
    return Points(slots.start_s + places * SLOT_S, amounts, quality.astype(np.uint8), missing, known[order])
