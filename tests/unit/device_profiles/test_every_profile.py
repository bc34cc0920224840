"""Every shipped profile by every link: its simulated meter is read over frames and shows what the world says."""

from __future__ import annotations

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import Channel, ChannelKind, Group, Profile, Protocol
from device_profiles.profile_file import profile_from_canonical
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import Obis

METER = MeterId("m-1")
PROFILES = Catalogue.shipped().profiles
LINKS = [
    pytest.param(profile, protocol, id=f"{profile.id}-{protocol}") for profile in PROFILES for protocol in profile.links
]
MOMENT_S = 1_785_585_600
"""2026-08-01T12:00 on a meter's wall clock [s since 1970]."""


def address_of(profile: Profile, protocol: Protocol) -> str:
    """The address that the profile's own vectors use, or one of the protocol's usual form."""
    found = sorted(profile.vectors, key=lambda vector: vector.protocol is not protocol)
    return found[0].address if found else "17"


def register_of(channel: Channel) -> int:
    """A true register [base units] that the model can show, and a pulse of every weight too."""
    if channel.kind is ChannelKind.TIME:
        return MOMENT_S
    if channel.kind is ChannelKind.STATE:
        return 5000
    least, most = channel.limits
    mantissa = min(most, 120_000) if channel.kind is ChannelKind.COUNTER else max(least, min(most, 2000))
    exact = mantissa / channel.scale
    return -(-exact.numerator // exact.denominator)


class World:
    """What every channel of a group shows; all others nothing."""

    def __init__(self, profile: Profile, group: Group) -> None:
        channels = [channel for each in profile.groups for channel in each.channels]
        self.registers = {channel.obis: register_of(channel) for channel in (*channels, *group.channels)}
        self.is_there = True

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers.get(obis, 0) if self.is_there else None


def read_group(meter: SimulatedMeter, group: Group, world: World) -> tuple[int | None, ...]:
    """Read a group as a gateway does."""

    def carry(exchange: Exchange) -> bytes:
        return meter.answer(exchange.request, world) or b""

    codec, broadcasts = codec_of(meter.protocol), broadcasts_of(meter.protocol)
    if group.after_freeze and broadcasts is not None:
        drive(broadcasts.freeze(), carry)
    bodies = [
        drive(codec.converse(meter.address, read, PublishedSecrets()), carry)
        for read in plan_reads(meter.profile, meter.protocol, group)
    ]
    return decode_group(meter.profile, meter.protocol, group, bodies)


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_the_simulated_meter_shows_what_the_world_says(profile: Profile, protocol: Protocol) -> None:
    for group in profile.groups:
        meter = SimulatedMeter(METER, profile, protocol, address_of(profile, protocol))
        world = World(profile, group)
        expected = tuple(channel.mantissa_at(world.registers[channel.obis]) for channel in group.channels)
        assert read_group(meter, group, world) == expected, group.name


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_a_meter_off_the_bus_is_silent(profile: Profile, protocol: Protocol) -> None:
    meter = SimulatedMeter(METER, profile, protocol, address_of(profile, protocol))
    world = World(profile, profile.groups[0])
    world.is_there = False
    read = plan_reads(profile, protocol, profile.groups[0])[0]
    exchange = next(codec_of(protocol).converse(meter.address, read, PublishedSecrets()))
    assert not meter.answer(exchange.request, world)


@pytest.mark.parametrize("profile", [pytest.param(profile, id=profile.id) for profile in PROFILES])
def test_a_profile_comes_back_whole_from_its_canonical_form(profile: Profile) -> None:
    again = profile_from_canonical(profile.canonical)
    assert again == profile
    assert (again.groups, again.links) == (profile.groups, profile.links)
    assert again.probes == profile.probes[: len(again.probes)]  # what is only for commissioning stands beside the hash


@pytest.mark.parametrize("profile", [pytest.param(profile, id=profile.id) for profile in PROFILES])
def test_a_profile_is_told_in_both_languages_with_its_sources(profile: Profile) -> None:
    assert set(profile.names) == {"zh", "en"}
    assert all(profile.names.values())
    assert profile.sources
