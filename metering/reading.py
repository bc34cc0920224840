"""What a meter answered: one register at one instant (RegisterReading), one meter in one sweep (MeterReading)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from metering.identity import MeterId
from metering.obis import Obis
from metering.quantity import Shown


class ReadQuality(IntEnum):
    """How one meter's answer in a sweep came about."""

    MEASURED = 0
    """The meter answered, every check held."""
    NO_ANSWER = 1
    """The meter stayed silent through its retries; there are no mantissas."""
    REFUSED = 2
    """The meter answered with an error; there are no mantissas."""
    INVALID = 3
    """An answer came and failed its checks (CRC, address, length, pattern); there are no mantissas."""
    LATE = 4
    """The meter answered, but later after the mark than the port's tolerance."""


@dataclass(frozen=True, slots=True)
class MeterReading:
    """One meter's answer in one sweep, as it goes into the envelope.

    profile_hash  SHA-256 of the canonical profile; with `group` it binds the order of `mantissas`
    group         index of the profile's channel group that was read
    started_at    first octet of the request; `ended_at` last octet of the answer (gateway clock, to the ms)
    mantissas     one per channel of the group, in profile order; None where the meter has no value
    frames        raw reply frames, kept only on request
    """

    meter: MeterId
    profile_hash: bytes
    group: int
    started_at: datetime
    ended_at: datetime
    quality: ReadQuality
    mantissas: tuple[int | None, ...]
    frames: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """One register at one instant, decoded by its profile.

    mark      the wall-clock quarter hour the sweep was aligned to; None for an unaligned read
    read_at   when the answer ended (gateway clock)
    shown     what the meter showed; None when the reading carries no value (see `quality`)
    """

    meter: MeterId
    obis: Obis
    mark: datetime | None
    read_at: datetime
    quality: ReadQuality
    shown: Shown | None
