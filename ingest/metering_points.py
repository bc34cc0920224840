"""What a site's metering points are to the allocation engine: register epochs, and stored readings as registers.

The only translation between three vocabularies: meters hang at nodes (`provisioning`), registers have a modulus and a
side of the transformers (`device_profiles`), energy comes from installations and point readings (`allocation_engine`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from allocation_engine.evidence import EnvelopeRef, Installation, PointReading
from allocation_engine.intervals import point_reading
from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.decode import ProfileMismatch, register_readings
from device_profiles.profile import Channel, ChannelKind, Profile, Side
from metering.identity import NodeId
from metering.obis import SETTLED_QUANTITIES, Obis
from metering.reading import MeterReading
from provisioning.site import Meter, Site

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One meter in one stored sweep: its reading, the mark it was aligned to (None: none), where it is sealed."""

    reading: MeterReading
    mark: datetime | None
    envelope: EnvelopeRef | None


@dataclass(frozen=True, slots=True)
class RegisterPlace:
    """Where one register stands in stored readings: profile (by content), group, and position in mantissas from 0."""

    profile_hash: bytes
    group: int
    position: int


@dataclass(frozen=True, slots=True)
class MeteringPoint:
    """One node and quantity, with its register epochs in time order."""

    node: NodeId
    obis: Obis
    installations: tuple[Installation, ...]


def metering_points(site: Site, catalogue: Catalogue) -> tuple[MeteringPoint, ...]:
    """Give every node and quantity that some meter of the node counts; raises ProfileUnknown."""
    return tuple(
        MeteringPoint(node.id, obis, installations)
        for node in site.nodes
        for obis in SETTLED_QUANTITIES
        if (installations := _installations(site, catalogue, node.id, obis))
    )


def register_places(catalogue: Catalogue, obis: Obis) -> tuple[RegisterPlace, ...]:
    """Give every place in which a known profile keeps a register."""
    return tuple(
        RegisterPlace(profile.hash, group.index, position)
        for profile in catalogue.profiles
        for group in profile.groups
        for position, channel in enumerate(group.channels)
        if channel.obis == obis
    )


def decode(stored: Iterable[StoredReading], catalogue: Catalogue) -> dict[Obis, list[PointReading]]:
    """Turn stored readings into registers per quantity, in time order.

    Left out is what cannot bound a slot: silent, late, unaligned or void readings, and those that do not fit their own
    profile. The latter are logged: the slots they leave open become estimates or exceptions, never a guessed number.
    """
    registers: dict[Obis, list[PointReading]] = {obis: [] for obis in SETTLED_QUANTITIES}
    for one in stored:
        try:
            decoded = register_readings(catalogue.by_hash(one.reading.profile_hash), one.reading, one.mark)
        except (ProfileUnknown, ProfileMismatch) as error:
            _log.warning("settlement.undecodable meter=%s mark=%s: %s", one.reading.meter, one.mark, error)
            continue
        for register in decoded:
            if register.obis in registers:
                known = point_reading(register, one.envelope)
                if known is not None:
                    registers[register.obis].append(known)
    for known_readings in registers.values():
        known_readings.sort(key=lambda reading: (reading.mark, reading.meter, reading.register_wh))
    return registers


def _installations(site: Site, catalogue: Catalogue, node: NodeId, obis: Obis) -> tuple[Installation, ...]:
    return tuple(
        _installation(site, meter, profile, channel, obis)
        for meter in site.meters_at(node)
        for profile in (catalogue.by_id(meter.profile),)
        for channel in _counters(profile, obis)
    )


def _counters(profile: Profile, obis: Obis) -> Iterator[Channel]:
    """Give the channel that counts `obis`, if the model has one; the first, should two groups hold it."""
    channels = (channel for group in profile.groups for channel in group.channels)
    found = next((one for one in channels if one.obis == obis and one.kind is ChannelKind.COUNTER), None)
    if found is not None:
        yield found


def _installation(site: Site, meter: Meter, profile: Profile, channel: Channel, obis: Obis) -> Installation:
    declared = [one for one in site.exchanges if one.obis == obis]
    initial = next((one.initial for one in declared if one.new == meter.id), None)
    final = next((one.final for one in declared if one.old == meter.id), None)
    return Installation(
        meter=meter.id,
        start=meter.span.start,
        end=meter.span.end,
        multiplier=meter.multiplier if profile.side is Side.SECONDARY else 1,
        modulus_wh=None if channel.modulus is None else channel.shown(channel.modulus).to_base(),
        power_max_w=None,
        initial_wh=None if initial is None else initial.to_base(),
        final_wh=None if final is None else final.to_base(),
    )
