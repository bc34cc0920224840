"""From bodies of replies to mantissas, and from signed mantissas to register readings. Fails closed.

Used at the edge on what the meter sent and at the centre on what the gateway signed, by the same profile. There is no
clock in here, so a replay gives the same reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from device_profiles.forms import NotReadable, form_of
from device_profiles.profile import Channel, Dlt645Source, Group, ModbusSource, Profile, Protocol
from device_profiles.read_plan import ModbusRead, PlanImpossible, ReadRequest, covers, plan_reads
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
    """Where one channel stands in the bodies of a plan."""

    channel: Channel
    body: int
    start: int
    end: int
    to_mantissa: Callable[[bytes], int | None]


def decode_group(profile: Profile, protocol: Protocol, group: Group, bodies: Sequence[bytes]) -> tuple[int | None, ...]:
    """Give the mantissas of `group` in its channel order, from the bodies of `plan_reads` in plan order.

    Raises ProfileMismatch when a body is missing, of the wrong length or out of the register's form or range.
    """
    lengths, fields = _layout(profile, protocol, group)
    if len(bodies) != len(lengths):
        raise ProfileMismatch(profile, group.name, f"{len(bodies)} answers for {len(lengths)} reads")
    for body, length in zip(bodies, lengths, strict=True):
        if len(body) != length:
            raise ProfileMismatch(profile, group.name, f"an answer of {len(body)} octets where {length} belong")
    return tuple(_mantissa(profile, field, bodies[field.body]) for field in fields)


def decode_answer(profile: Profile, read: ReadRequest, body: bytes) -> dict[Obis, int | None]:
    """Give every channel of the profile, of whatever group, that the answer to one `read` holds whole."""
    channels = {
        channel.obis: channel for group in profile.groups for channel in group.channels if covers(read, channel)
    }
    for channel in channels.values():
        if len(body) != _body_octets(read, channel):
            raise ProfileMismatch(profile, str(channel.obis), f"an answer of {len(body)} octets")
    return {obis: _mantissa(profile, _field(read, 0, channel), body) for obis, channel in channels.items()}


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
def _layout(profile: Profile, protocol: Protocol, group: Group) -> tuple[tuple[int, ...], tuple[_Field, ...]]:
    """Give the length of each body and the field of each channel."""
    reads = plan_reads(profile, protocol, group)
    lengths = [0] * len(reads)
    fields: list[_Field] = []
    for channel in group.channels:
        body, read = next((index, read) for index, read in enumerate(reads) if covers(read, channel))
        lengths[body] = _body_octets(read, channel)
        fields.append(_field(read, body, channel))
    return tuple(lengths), tuple(fields)


def _field(read: ReadRequest, body: int, channel: Channel) -> _Field:
    form = form_of(channel)
    start = octet_offset(read, channel)
    return _Field(channel, body, start, start + form.octets, form.to_mantissa)


def octet_offset(read: ReadRequest, channel: Channel) -> int:
    """Give where `channel` begins in the body of `read` [octets]; negative when it begins before the first register."""
    source = channel.source
    if isinstance(source, ModbusSource) and isinstance(read, ModbusRead):
        return 2 * (source.address - read.address)
    if isinstance(source, Dlt645Source):
        return source.index * source.octets
    raise PlanImpossible(f"{channel.obis} cannot stand in the answer to {read}")


def _body_octets(read: ReadRequest, channel: Channel) -> int:
    source = channel.source
    if isinstance(source, Dlt645Source):
        return source.count * source.octets
    return 2 * read.count if isinstance(read, ModbusRead) else 0


def _mantissa(profile: Profile, field: _Field, body: bytes) -> int | None:
    try:
        mantissa = field.to_mantissa(body[field.start : field.end])
    except NotReadable as error:
        raise ProfileMismatch(profile, str(field.channel.obis), str(error)) from error
    _require_in_range(profile, field.channel, mantissa)
    return mantissa


def _require_in_range(profile: Profile, channel: Channel, mantissa: int | None) -> None:
    """Counters lie in [0, modulus), gauges in their plausible range, everything in 64 bits."""
    if mantissa is None:
        return
    least, most = channel.limits
    if not least <= mantissa <= most:
        raise ProfileMismatch(profile, str(channel.obis), f"mantissa {mantissa} is not within {least} to {most}")
