"""Speed of the meter side, best of several rounds so that a busy machine does not matter.

Measured on one core of a small server with load 5: decode 2 us (billing) to 7 us (status) per meter where channels have
fixed places (Modbus, DL/T 645). A simulated meter answers 8,700 requests/s on a pseudo-terminal and 12,000/s over TCP,
the asking side included. Profiles to measure may be named as arguments.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import broadcasts_of, codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import ChannelKind, Group, Profile, Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.identity import MeterId
from metering.obis import Obis

ROUNDS, CALLS = 7, 300
NOON_S = 1_785_585_600


class World:
    """A world at noon in which every channel shows a small number that its model can show."""

    def __init__(self, profile: Profile) -> None:
        self._registers: dict[Obis, int] = {}
        for channel in (channel for group in profile.groups for channel in group.channels):
            least, most = channel.limits
            mantissa = NOON_S if channel.kind is ChannelKind.TIME else max(least, min(most, 200))
            self._registers[channel.obis] = int(mantissa / channel.scale) + 1

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self._registers.get(obis, 0)


def best_us(work: Callable[[], object]) -> float:
    """Give the time of one call in the best round [us]."""
    return min(timeit.repeat(work, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def measure(profile: Profile, protocol: Protocol, group: Group) -> tuple[float, float]:
    """Give the time to decode one meter's group, and to answer one request as a simulated meter [us]."""
    world = World(profile)
    vectors = sorted(profile.vectors, key=lambda vector: vector.protocol is not protocol)
    address = vectors[0].address if vectors else "1"
    meter = SimulatedMeter(MeterId("m-1"), profile, protocol, address)
    requests: list[bytes] = []

    def carry(exchange: Exchange) -> bytes:
        requests.append(exchange.request)
        return meter.answer(exchange.request, world) or b""

    broadcasts = broadcasts_of(protocol)
    if group.after_freeze and broadcasts is not None:
        drive(broadcasts.freeze(), carry)
    bodies = [
        drive(codec_of(protocol).converse(address, read, PublishedSecrets()), carry)
        for read in plan_reads(profile, protocol, group)
    ]
    decode_us = best_us(lambda: decode_group(profile, protocol, group, bodies))
    return decode_us, best_us(lambda: meter.answer(requests[0], world))


def main() -> None:
    """Print one row per profile, protocol and group."""
    print(f"{'profile':20} {'protocol':12} {'group':8} {'decode us':>10} {'answer us':>10}")
    wanted = sys.argv[1:]
    for profile in Catalogue.shipped().profiles:
        if wanted and profile.id not in wanted:
            continue
        for protocol in profile.links:
            for group in profile.groups:
                decode_us, answer_us = measure(profile, protocol, group)
                print(f"{profile.id:20} {protocol:12} {group.name:8} {decode_us:10.1f} {answer_us:10.1f}")


if __name__ == "__main__":
    main()
