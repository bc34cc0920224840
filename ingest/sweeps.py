"""Envelopes as intake takes them: many at once, their readings as columns instead of as objects.

`metering.envelope` is the readable way, and the judge: what this module does not open is given to it for the reason,
and both accept the same octets with the same content (tests/property/test_sweep_columns.py). A `Sweep` has what a
`Sealed` has; its `envelope` is only made where somebody asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from ingest.sweep_kernels import READING, SWEEP, Records, UInt8Array, name_meters, read_sweeps
from ingest.tree_kernels import tree_roots
from metering.disclosure import SALT_OCTETS
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    Envelope,
    Head,
    Sealed,
    digest_of,
    parse_sealed,
    parse_sign1,
    read_head,
    to_ms,
)
from metering.identity import MeterId

_WHOLE = b"\x83\x01\x50"
"""How what is shown of the readings begins: three parts, form 1, a seed of 16 octets."""
_EMPTY_ROOT = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the parts of a whole message lie: its sealed head, the seed, the readings."""

    sealed_head: bytes
    seed_at: int

    @property
    def readings_at(self) -> int:
        """Where the array of readings begins."""
        return self.seed_at + SALT_OCTETS


@dataclass(frozen=True, slots=True)
class Columns:
    """The readings of many envelopes. `sweeps` and `readings` say where in `octets` everything lies (sweep_kernels)."""

    octets: UInt8Array
    sweeps: Records
    readings: Records


@dataclass(frozen=True)
class Sweep:
    """One whole envelope whose readings hang below its signed root; nothing here says who signed.

    place   which of the `columns.sweeps` it is
    roster  the names of its meters in order, a blank behind each: the same at every sweep of a port
    """

    octets: bytes
    digest: bytes
    head: Head
    columns: Columns
    place: int
    roster: bytes

    @cached_property
    def envelope(self) -> Envelope:
        """The same as objects."""
        return parse_sealed(self.octets).envelope

    @property
    def is_whole(self) -> bool:
        """Say whether its readings are laid out as they must be, to the last octet."""
        return bool(self.columns.sweeps[self.place]["ok"])

    @property
    def readings(self) -> Records:
        """The rows of its readings."""
        sweep = self.columns.sweeps[self.place]
        return self.columns.readings[int(sweep["first"]) : int(sweep["first"] + sweep["count"])]


Opened = Sealed | Sweep
"""An envelope that can enter the books."""


def meters_of(roster: bytes) -> list[MeterId]:
    """Give the meters of a roster."""
    return [MeterId(name) for name in roster.decode("ascii").split()]


def frame_of(octets: bytes) -> Frame | None:
    """Find the parts of a whole message; None where it is not laid out as one."""
    if len(octets) > ENVELOPE_OCTETS_MAX or len(octets) < 64 or octets[0] != 0x82:
        return None
    # A sealed head is a byte string: 58, 59 or 5a, then its length in 1, 2 or 4 octets, as few as it takes.
    begin = {0x58: 3, 0x59: 4, 0x5A: 6}.get(octets[1], 0)
    length = int.from_bytes(octets[2:begin], "big")
    if length < {3: 24, 4: 1 << 8, 6: 1 << 16}.get(begin, len(octets)):
        return None
    end = begin + length
    if octets[end : end + len(_WHOLE)] != _WHOLE or len(octets) <= end + len(_WHOLE) + SALT_OCTETS:
        return None
    return Frame(octets[begin:end], end + len(_WHOLE))


def open_sweeps(messages: Sequence[tuple[bytes, Frame, Head]]) -> list[Sweep | None]:
    """Take apart the readings of all `messages`; None where they are not those that the head's root stands for."""
    if not messages:
        return []
    sweeps = _take_apart(messages)
    columns = sweeps[0].columns
    roots = tree_roots(columns.octets, columns.sweeps, columns.readings)
    return [
        sweep if sweep.is_whole and (root.tobytes() if sweep.head.count else _EMPTY_ROOT) == sweep.head.root else None
        for sweep, root in zip(sweeps, roots, strict=True)
    ]


def sweep_of(sealed: Sealed) -> Sweep | None:
    """Take apart what was opened as objects, whose root is known to hold; None where columns cannot hold it."""
    frame = frame_of(sealed.octets)
    sweep = None if frame is None else _take_apart([(sealed.octets, frame, sealed.head)])[0]
    return sweep if sweep is not None and sweep.is_whole else None


def sweep_as_of(octets: bytes, dated: Callable[[datetime], datetime]) -> Sweep | None:
    """Take apart what is in the books, with times that were found out later; None where columns cannot hold it.

    dated   gives the true instant of one that counts from a boot

    A mark is not among them, whatever the envelope says: it was taken by a clock that did not know the time.
    Raises EnvelopeMalformed for times that are none.
    """
    frame = frame_of(octets)
    if frame is None:
        return None
    head = read_head(parse_sign1(frame.sealed_head).payload)
    sweep = _take_apart([(octets, frame, replace(head, sealed_at=dated(head.sealed_at), mark=None))])[0]
    return sweep if sweep.is_whole else None


def _take_apart(messages: Sequence[tuple[bytes, Frame, Head]]) -> list[Sweep]:
    octets = np.frombuffer(b"".join(one for one, _, _ in messages), np.uint8)
    sweeps = _layout(messages)
    readings = np.zeros(int(sweeps["count"].sum()), READING)
    read_sweeps(octets, sweeps, readings)
    names, ends = np.empty(2 * len(octets), np.uint8), np.empty(len(sweeps), np.int64)
    name_meters(octets, sweeps, readings, names, ends)
    columns, written = Columns(octets, sweeps, readings), names[: ends[-1]].tobytes()
    spans = pairwise([0, *ends.tolist()])
    return [
        Sweep(message, digest_of(frame.sealed_head), head, columns, place, written[slice(*span)])
        for place, ((message, frame, head), span) in enumerate(zip(messages, spans, strict=True))
    ]


def _layout(messages: Sequence[tuple[bytes, Frame, Head]]) -> Records:
    starts = accumulate((len(octets) for octets, _, _ in messages), initial=0)
    firsts = accumulate((head.count for _, _, head in messages), initial=0)
    return np.array(
        [
            (
                start + frame.seed_at,
                start + frame.readings_at,
                start + len(octets),
                first,
                head.count,
                len(head.profiles),
                to_ms(head.sealed_at),
                0,
            )
            for (octets, frame, head), start, first in zip(messages, starts, firsts, strict=False)
        ],
        SWEEP,
    )
