"""Compiled kernels of intake: they take the readings of many envelopes apart at once.

Theory of operation. `read_sweeps` walks over the CBOR of whole envelopes without building an object per reading. It
takes exactly what `metering.envelope` takes, in canonical form only (a property test holds the two against each other),
and notes where each field lies. Compiled code indexes without checks, so every read is bounded by `end` first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.compiled import compiled

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
Records = npt.NDArray[Any]

SWEEP = np.dtype(
    [(name, np.int64) for name in ("seed_at", "readings_at", "end", "first", "count", "profiles", "sealed_ms", "ok")]
)
"""One envelope: where its seed and its readings begin, where it ends, which rows of the readings are its own."""
READING = np.dtype(
    [
        *((name, np.int64) for name in ("sweep", "begin", "end", "meter_at", "meter_end", "profile", "group")),
        *((name, np.int64) for name in ("started_ms", "ended_ms", "quality", "mantissas_at", "mantissas")),
    ]
)
"""One reading: its sweep, where its octets, its meter's name and its mantissas lie; times in ms since 1970."""
YEAR_1_MS, YEAR_9999_MS = -62_135_596_800_000, 253_402_300_799_999
AGE_MS_MAX = 1 << 47
NAME_OCTETS_MAX = 64
UINT, NEGATIVE, OCTETS, TEXT, ARRAY, SIMPLE = 0, 1, 2, 3, 4, 7
NULL = 22


@compiled
def _head(octets: UInt8Array, at: int, end: int) -> tuple[int, int, int]:
    """Read the head of a CBOR item in its shortest form: major type, argument, what follows; -1 where it is not one."""
    if at >= end:
        return -1, 0, end
    major, low = int(octets[at] >> 5), int(octets[at] & 31)
    if low < 24:
        return major, low, at + 1
    if low > 27:
        return -1, 0, end
    size = 1 << (low - 24)
    if at + 1 + size > end:
        return -1, 0, end
    argument = 0
    for place in range(at + 1, at + 1 + size):
        argument = (argument << 8) | int(octets[place])
    # What needs the 64th bit has become negative: no integer of ours is that large.
    least = 24 if size == 1 else 1 << (4 * size)
    if argument < least:
        return -1, 0, end
    return major, argument, at + 1 + size


@compiled
def _integer(octets: UInt8Array, at: int, end: int, least: int, most: int) -> tuple[bool, int, int]:
    """Read an integer from `least` to `most`: whether it is one, the integer, what follows."""
    major, argument, after = _head(octets, at, end)
    number = argument if major == UINT else -1 - argument
    return major in (UINT, NEGATIVE) and least <= number <= most, number, after


@compiled
def _is_name(octets: UInt8Array, at: int, end: int) -> bool:
    """Say whether an identifier stands there: lower-case letters, digits and inner hyphens, 1 to 64 of them."""
    if not 1 <= end - at <= NAME_OCTETS_MAX or octets[at] == 45 or octets[end - 1] == 45:
        return False
    for place in range(at, end):
        sign = octets[place]
        if not (97 <= sign <= 122 or 48 <= sign <= 57 or sign == 45):
            return False
    return True


@compiled
def _skip_mantissas(octets: UInt8Array, at: int, end: int, count: int) -> int:
    """Give the place behind `count` mantissas, or 0."""
    for _ in range(count):
        major, argument, after = _head(octets, at, end)
        if not (major in (UINT, NEGATIVE) or (major == SIMPLE and argument == NULL and after == at + 1)):
            return 0
        at = after
    return at


@compiled
def _skip_frames(octets: UInt8Array, at: int, end: int) -> int:
    """Give the place behind an array of byte strings, or 0."""
    major, count, at = _head(octets, at, end)
    if major != ARRAY:
        return 0
    for _ in range(count):
        major, length, at = _head(octets, at, end)
        if major != OCTETS or length > end - at:
            return 0
        at += length
    return at


@compiled
def _read(octets: UInt8Array, at: int, end: int, profiles: int, sealed_ms: int, row: Any) -> int:
    """Note in `row` where the fields of one reading lie; give the place behind it, or 0 if it is none."""
    row.begin = at
    major, length, at = _head(octets, at, end)
    if major != ARRAY or length != 8:
        return 0
    major, length, at = _head(octets, at, end)
    if major != TEXT or length > end - at or not _is_name(octets, at, at + length):
        return 0
    row.meter_at, row.meter_end = at, at + length
    good, row.profile, at = _integer(octets, at + length, end, 0, profiles - 1)
    fine, row.group, at = _integer(octets, at, end, 0, 255)
    early, started, at = _integer(octets, at, end, -AGE_MS_MAX, AGE_MS_MAX)
    late, ended, at = _integer(octets, at, end, -AGE_MS_MAX, AGE_MS_MAX)
    known, row.quality, at = _integer(octets, at, end, 0, 4)
    if not (good and fine and early and late and known):
        return 0
    row.started_ms, row.ended_ms = sealed_ms - started, sealed_ms - ended
    if not (YEAR_1_MS <= row.started_ms <= YEAR_9999_MS and YEAR_1_MS <= row.ended_ms <= YEAR_9999_MS):
        return 0
    major, length, at = _head(octets, at, end)
    if major != ARRAY:
        return 0
    row.mantissas_at, row.mantissas = at, length
    at = _skip_mantissas(octets, at, end, length)
    if at:
        at = _skip_frames(octets, at, end)
    row.end = at
    return at


@compiled
def read_sweeps(octets: UInt8Array, sweeps: Records, readings: Records) -> None:
    """Fill `readings` from the envelopes in `octets`; a sweep is `ok` if it holds what it must, to the last octet."""
    for number in range(len(sweeps)):
        sweep = sweeps[number]
        major, count, at = _head(octets, sweep.readings_at, sweep.end)
        good = major == ARRAY and count == sweep.count
        for place in range(sweep.count):
            if good:
                row = readings[sweep.first + place]
                row.sweep = number
                at = _read(octets, at, sweep.end, sweep.profiles, sweep.sealed_ms, row)
                good = at > 0
        sweep.ok = 1 if good and at == sweep.end else 0
        if sweep.ok == 0:
            for row in readings[sweep.first : sweep.first + sweep.count]:
                row.sweep, row.begin, row.end = number, 0, 0


@compiled
def name_meters(octets: UInt8Array, sweeps: Records, readings: Records, names: UInt8Array, ends: Int64Array) -> None:
    """Write the meters of each sweep that is ok one after the other into `names`, a blank behind each.

    ends   where the names of a sweep end
    """
    to = 0
    for place in range(len(sweeps)):
        sweep = sweeps[place]
        if sweep.ok == 1:
            for row in readings[sweep.first : sweep.first + sweep.count]:
                for at in range(row.meter_at, row.meter_end):
                    names[to] = octets[at]
                    to += 1
                names[to] = 32
                to += 1
        ends[place] = to


@compiled
def take_mantissas(octets: UInt8Array, readings: Records, numbers: Int64Array, known: UInt8Array) -> None:
    """Write all mantissas one after the other; `known` is 0 where the meter had no value."""
    to = 0
    for row in readings:
        at = row.mantissas_at
        for _ in range(row.mantissas):
            major, argument, at = _head(octets, at, row.end)
            known[to] = 0 if major == SIMPLE else 1
            numbers[to] = 0 if major == SIMPLE else argument if major == UINT else -1 - argument
            to += 1
