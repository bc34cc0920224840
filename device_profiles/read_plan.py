"""From channels to the fewest reads the model allows; how is the family's matter."""

from __future__ import annotations

from functools import lru_cache

from device_profiles.families import FAMILIES, family_of
from device_profiles.families.family import PlanImpossible
from device_profiles.framing.dlt645 import Dlt645Read
from device_profiles.framing.modbus_pdu import REGISTERS_MAX, ModbusRead
from device_profiles.profile import Channel, Group, Link, Profile, Protocol, ReadRequest

__all__ = ["REGISTERS_MAX", "Dlt645Read", "ModbusRead", "PlanImpossible", "ReadRequest", "covers", "plan_reads"]


@lru_cache(maxsize=1024)
def plan_reads(profile: Profile, protocol: Protocol, group: Group, link: Link | None = None) -> tuple[ReadRequest, ...]:
    """Give the reads for `group`, in the order in which the decoder wants their bodies.

    link   the link with what asking this meter has taught (device_profiles/learning.py); None for the profile's own

    Raises NotInProfile when the model does not speak `protocol`, PlanImpossible when an atomic group does not fit.
    """
    reads = family_of(protocol).plan(profile, link or profile.link(protocol), group)
    if group.atomic and len(reads) > 1:
        raise PlanImpossible(f"{profile.id}: group {group.name} is atomic but takes {len(reads)} reads by {protocol}")
    return reads


def covers(read: ReadRequest, channel: Channel) -> bool:
    """Say whether the answer to `read` holds `channel` whole."""
    return any(family.covers(read, channel) for family in FAMILIES)
