"""From bodies of replies to mantissas, and from signed mantissas to register readings. Fails closed.

Used at the edge on what the meter sent and at the centre on what the gateway signed, by the same profile. There is no
clock in here, so a replay gives the same reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from device_profiles.families import family_of
from device_profiles.families.family import MantissaReader, PlanImpossible
from device_profiles.forms import NotReadable
from device_profiles.profile import Channel, Group, Profile, Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from metering.errors import MeterError
from metering.obis import Obis
from metering.reading import MeterReading, ReadQuality, RegisterReading

_WITH_MANTISSAS = (ReadQuality.MEASURED, ReadQuality.LATE)


class ProfileMismatch(MeterError):
    """What the meter sent cannot have come from the model its profile describes."""

    def __init__(self, profile: Profile, place: str, problem: str) -> None:
        super().__init__(
            f"{profile.id} rev {profile.rev}, {place}: {problem} (check the model, its word order and its settings)"
        )
        self.profile_id = profile.id
        self.place = place


@dataclass(frozen=True, slots=True)
class _Field:
    """Which body of a plan one channel stands in, and how it is taken out."""

    channel: Channel
    body: int
    to_mantissa: MantissaReader
    least: int
    most: int


def decode_group(
    profile: Profile,
    protocol: Protocol,
    group: Group,
    bodies: Sequence[bytes],
    reads: tuple[ReadRequest, ...] | None = None,
) -> tuple[int | None, ...]:
    """Give the mantissas of `group` in its channel order, from the bodies of `reads` in their order.

    reads   what was asked; None for the plan of the profile's own link

    Raises ProfileMismatch when a body is missing, of the wrong length or out of the register's form or range.
    """
    count, fields = _layout(profile, protocol, group, reads)
    if len(bodies) != count:
        raise ProfileMismatch(profile, group.name, f"{len(bodies)} answers for {count} reads")
    return tuple(_mantissa(profile, field, bodies[field.body]) for field in fields)


def decode_answer(profile: Profile, read: ReadRequest, body: bytes) -> dict[Obis, int | None]:
    """Give every channel of the profile, of whatever group, that the answer to one `read` holds whole."""
    family = family_of(next(iter(profile.links)))
    channels = {
        channel.obis: channel for group in profile.groups for channel in group.channels if family.covers(read, channel)
    }
    return {
        obis: _mantissa(profile, _field(channel, 0, family.reader(read, channel)), body)
        for obis, channel in channels.items()
    }


def register_readings(profile: Profile, reading: MeterReading, mark: datetime | None) -> tuple[RegisterReading, ...]:
    """Give one register reading per channel of the group that `reading` names; without value where it has none.

    Raises ProfileMismatch when the reading was made by another profile, or does not fit its group and ranges.
    """
    if reading.profile_hash != profile.hash:
        raise ProfileMismatch(profile, reading.meter, f"the reading names profile {reading.profile_hash.hex()[:16]}")
    if not 0 <= reading.group < len(profile.groups):
        raise ProfileMismatch(profile, reading.meter, f"there is no channel group {reading.group}")
    channels = profile.groups[reading.group].channels
    mantissas = reading.mantissas
    if reading.quality not in _WITH_MANTISSAS:
        if mantissas:
            raise ProfileMismatch(profile, reading.meter, f"mantissas beside quality {reading.quality.name}")
        mantissas = (None,) * len(channels)
    if len(mantissas) != len(channels):
        raise ProfileMismatch(profile, reading.meter, f"{len(mantissas)} mantissas for {len(channels)} channels")
    for channel, mantissa in zip(channels, mantissas, strict=True):
        _require_in_range(profile, channel, mantissa)
    return tuple(
        RegisterReading(
            meter=reading.meter,
            obis=channel.obis,
            mark=mark,
            read_at=reading.ended_at,
            quality=reading.quality,
            shown=None if mantissa is None else channel.shown(mantissa),
        )
        for channel, mantissa in zip(channels, mantissas, strict=True)
    )


@lru_cache(maxsize=1024)
def _layout(
    profile: Profile, protocol: Protocol, group: Group, reads: tuple[ReadRequest, ...] | None
) -> tuple[int, tuple[_Field, ...]]:
    """Give the number of reads and the field of each channel; compiled once."""
    family = family_of(protocol)
    reads = plan_reads(profile, protocol, group) if reads is None else reads
    fields: list[_Field] = []
    for channel in group.channels:
        body = next((at for at, read in enumerate(reads) if family.covers(read, channel)), None)
        if body is None:
            raise PlanImpossible(f"{profile.id}: no read of group {group.name} holds {channel.obis}")
        fields.append(_field(channel, body, family.reader(reads[body], channel)))
    return len(reads), tuple(fields)


def _field(channel: Channel, body: int, to_mantissa: MantissaReader) -> _Field:
    return _Field(channel, body, to_mantissa, *channel.limits)


def _mantissa(profile: Profile, field: _Field, body: bytes) -> int | None:
    try:
        mantissa = field.to_mantissa(body)
    except NotReadable as error:
        raise ProfileMismatch(profile, str(field.channel.obis), str(error)) from error
    if mantissa is not None and not field.least <= mantissa <= field.most:
        _require_in_range(profile, field.channel, mantissa)
    return mantissa


def _require_in_range(profile: Profile, channel: Channel, mantissa: int | None) -> None:
    """Counters lie in [0, modulus), gauges in their plausible range, everything in 64 bits."""
    if mantissa is None:
        return
    least, most = channel.limits
    if not least <= mantissa <= most:
        raise ProfileMismatch(profile, str(channel.obis), f"mantissa {mantissa} is not within {least} to {most}")
