"""Compiled loops that choose which slots of a series are shown; see points.py for what they are given."""

from __future__ import annotations

from allocation_engine.compiled import compiled
from allocation_engine.kernels import Int64Array
from ingest.series.quality import UInt8Array

UNKNOWN = 4
"""First PointQuality whose slot has no amount: written out, because a kernel reads no other module."""


@compiled
def choose_extremes(amounts: Int64Array, quality: UInt8Array, parts: int, chosen: Int64Array, worst: UInt8Array) -> int:
    """Choose the least and the largest known slot of each of `parts` equal parts, in order of time.

    chosen   gets the slots, `worst` the weakest known quality of the part of each; both hold 2 x parts
    Returns how many were chosen.
    """
    count = 0
    for part in range(parts):
        first, end = part * amounts.size // parts, (part + 1) * amounts.size // parts
        least, most, weakest = -1, -1, 0
        for slot in range(first, end):
            if quality[slot] >= UNKNOWN:
                continue
            weakest = max(weakest, int(quality[slot]))
            if least < 0 or amounts[slot] < amounts[least]:
                least = slot
            if most < 0 or amounts[slot] > amounts[most]:
                most = slot
        if least >= 0:
            chosen[count], worst[count] = min(least, most), weakest
            count += 1
        if least != most:
            chosen[count], worst[count] = max(least, most), weakest
            count += 1
    return count


@compiled
def choose_triangles(
    amounts: Int64Array,
    quality: UInt8Array,
    runs: Int64Array,
    shares: Int64Array,
    chosen: Int64Array,
    worst: UInt8Array,
) -> int:
    """Choose slots by largest triangles (S. Steinarsson, 2013, section 4.2), each run of known slots by itself.

    runs     shape (runs, 2): first slot, and the one after the last
    shares   how many to choose of each: at least both ends, at most all
    chosen   gets the slots, `worst` the weakest quality of the slots each stands for
    Returns how many were chosen.
    """
    count = 0
    for run in range(shares.size):
        first, end, share = runs[run, 0], runs[run, 1], shares[run]
        if share >= end - first:
            for slot in range(first, end):
                chosen[count], worst[count] = slot, quality[slot]
                count += 1
            continue
        inner = end - first - 2
        chosen[count], worst[count] = first, quality[first]
        count += 1
        before = first
        for part in range(share - 2):
            low = first + 1 + part * inner // (share - 2)
            high = first + 1 + (part + 1) * inner // (share - 2)
            beyond = min(first + 1 + (part + 2) * inner // (share - 2), end - 1) if part < share - 3 else end
            ahead_x, ahead_y = 0.0, 0.0
            for slot in range(high, beyond):
                ahead_x += slot
                ahead_y += amounts[slot]
            ahead_x, ahead_y = ahead_x / (beyond - high), ahead_y / (beyond - high)
            largest, best, weakest = -1.0, low, 0
            for slot in range(low, high):
                weakest = max(weakest, int(quality[slot]))
                # Differences first: products of whole registers would lose their last digits.
                area = abs(
                    (before - ahead_x) * (float(amounts[slot]) - float(amounts[before]))
                    - (before - slot) * (ahead_y - float(amounts[before]))
                )
                if area > largest:
                    largest, best = area, slot
            chosen[count], worst[count] = best, weakest
            count += 1
            before = best
        chosen[count], worst[count] = end - 1, quality[end - 1]
        if share == 2:  # no part between the ends: what lies there counts for the later one
            for slot in range(first, end):
                worst[count] = max(worst[count], quality[slot])
        count += 1
    return count
