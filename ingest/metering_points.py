"""What a site's metering points are to the allocation engine: register epochs, and stored readings as registers.

The only translation between three vocabularies: meters hang at nodes (`provisioning`), registers have a modulus and a
side of the transformers (`device_profiles`), energy comes from installations and point readings (`allocation_engine`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from allocation_engine.evidence import EnvelopeRef, Installation, PointReading
from allocation_engine.intervals import point_reading
from device_profiles.catalogue import Catalogue, ProfileUnknown
from device_profiles.decode import ProfileMismatch, register_readings
from device_profiles.profile import BILLING, Channel, ChannelKind, Profile, Side
from metering.identity import MeterId, NodeId
from metering.obis import SETTLED_QUANTITIES, Obis
from metering.quantity import Shown
from metering.reading import MeterReading
from provisioning.site import Meter, Site

_log = logging.getLogger(__name__)

Declared = Mapping[tuple[MeterId, Obis], Shown]
"""What registers showed when their meters were exchanged."""


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One meter in one stored sweep: its reading, the mark it was aligned to (None: none), where it is sealed.

    by_hand   whether a person read it off the display
    """

    reading: MeterReading
    mark: datetime | None
    envelope: EnvelopeRef | None
    by_hand: bool = False


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


def metering_points(
    site: Site, catalogue: Catalogue, nodes: Iterable[NodeId] | None = None
) -> tuple[MeteringPoint, ...]:
    """Give every node and quantity that some meter of the node counts, of all nodes or these; raises ProfileUnknown."""
    finals = {(one.old, one.obis): one.final for one in reversed(site.exchanges)}
    initials = {(one.new, one.obis): one.initial for one in reversed(site.exchanges)}
    return tuple(
        MeteringPoint(node, obis, tuple(_installation(*one, initials, finals) for one in counting))
        for node in ((one.id for one in site.nodes) if nodes is None else nodes)
        for obis in SETTLED_QUANTITIES
        if (counting := list(_counting(site, catalogue, node, obis)))
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
                known = point_reading(register, one.envelope, by_hand=one.by_hand)
                if known is not None:
                    registers[register.obis].append(known)
    for known_readings in registers.values():
        known_readings.sort(key=lambda reading: (reading.mark, reading.meter, reading.register_wh))
    return registers


def _counting(site: Site, catalogue: Catalogue, node: NodeId, obis: Obis) -> Iterator[tuple[Meter, Profile, Channel]]:
    """Give the meters of a node that count `obis`, in the order they were fitted, with the channel that does."""
    for meter in site.meters_at(node):
        profile = catalogue.by_id(meter.profile)
        channel = _counter(profile, obis)
        if channel is not None:
            yield meter, profile, channel


@lru_cache(maxsize=1024)
def _counter(profile: Profile, obis: Obis) -> Channel | None:
    """Find the channel that counts `obis` among those that are billed, if the model has one.

    What a model counts in other groups (export that only some units answer, say) is shown but not read at every mark.
    """
    channels = (channel for group in profile.groups if group.name == BILLING for channel in group.channels)
    return next((one for one in channels if one.obis == obis and one.kind is ChannelKind.COUNTER), None)


@lru_cache(maxsize=1024)
def _modulus_wh(profile: Profile, obis: Obis) -> int | None:
    channel = _counter(profile, obis)
    return None if channel is None or channel.modulus is None else channel.shown(channel.modulus).to_base()


def _installation(
    meter: Meter, profile: Profile, channel: Channel, initials: Declared, finals: Declared
) -> Installation:
    initial, final = (declared.get((meter.id, channel.obis)) for declared in (initials, finals))
    return Installation(
        meter=meter.id,
        start=meter.span.start,
        end=meter.span.end,
        multiplier=meter.multiplier if profile.side is Side.SECONDARY else 1,
        modulus_wh=_modulus_wh(profile, channel.obis),
        power_max_w=None,
        initial_wh=None if initial is None else initial.to_base(),
        final_wh=None if final is None else final.to_base(),
    )
