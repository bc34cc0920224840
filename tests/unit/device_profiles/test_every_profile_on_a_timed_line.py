"""Every shipped profile by every link on a line that takes time: read whole, and within what it believes."""

from __future__ import annotations

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.living_registers import LivingRegisters
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from device_profiles.timed_line import LineMeter, Speed, TimedLine
from metering.identity import MeterId

WALL_S = 1_785_585_600
SILENCE_S = 10.0
LINKS = [
    pytest.param(profile, protocol, id=f"{profile.id}-{protocol}")
    for profile in Catalogue.shipped().profiles
    for protocol in profile.links
    if protocol not in (Protocol.PULSE, Protocol.HAND)
]


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_it_is_read_over_a_wire_that_takes_time(profile: Profile, protocol: Protocol) -> None:
    found = sorted(profile.vectors, key=lambda vector: vector.protocol is not protocol)
    address = found[0].address if found else "17"
    meter = SimulatedMeter(MeterId("m-1"), profile, protocol, address)
    speed = Speed(9600 if protocol.is_serial else 0)
    line = TimedLine([LineMeter(meter, LivingRegisters(profile, "seed", WALL_S))], speed, "seed")
    now_s = 0.0

    def carry(exchange: Exchange) -> bytes:
        nonlocal now_s
        line.hear(exchange.request, now_s)
        now_s += SILENCE_S
        return b"".join(octets for _, octets in line.due(now_s))

    codec, broadcasts = codec_of(protocol), broadcasts_of(protocol)
    for group in profile.groups:
        if group.after_freeze and broadcasts is not None:
            drive(broadcasts.freeze(), carry)
        reads = plan_reads(profile, protocol, group)
        bodies = [drive(codec.converse(address, read, PublishedSecrets()), carry) for read in reads]
        mantissas = decode_group(profile, protocol, group, bodies)
        for channel, mantissa in zip(group.channels, mantissas, strict=True):
            assert mantissa is not None
            least, most = channel.limits
            assert least <= mantissa <= most
    figures = line.figures
    assert not figures.faults
    assert 0 < figures.wire_s < now_s
    if not protocol.is_serial:
        assert figures.wire_s == pytest.approx(0.03 * figures.answers)
