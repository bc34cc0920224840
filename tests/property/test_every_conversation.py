"""Whatever comes back on the line, a conversation of any family ends: with the true numbers, or with our own error.

Each shipped profile is read from its simulated end while one answer is spoilt: an octet changed, the end cut off, noise
appended, silence, the answer twice, or the answer to another step of the same conversation. Seeded, so that a failure
can be repeated: an eight-bit checksum cannot notice everything, and a draw that it misses is no news.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import codec_of
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.published_secrets import PublishedSecrets
from device_profiles.profile import ChannelKind, Profile, Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import MeterError
from metering.identity import MeterId
from metering.obis import Obis

DRAWS, DRAWS_OF_OCTETS = 3, 24
"""Times each kind of spoiling is drawn; changed octets oftener, since most octets of a long answer are no number."""
EXCHANGES_MAX = 500
"""No conversation of a shipped profile takes a tenth of this; more would be one that does not end."""
LINKS = [
    pytest.param(profile, protocol, id=f"{profile.id}-{protocol}")
    for profile in Catalogue.shipped().profiles
    for protocol in profile.links
    if protocol is not Protocol.PULSE
]

Spoil = Callable[[random.Random, bytes, list[bytes]], bytes]


def one_octet_changed(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Flip some bits of one octet."""
    at = draw.randrange(len(reply))
    return reply[:at] + bytes((reply[at] ^ draw.randrange(1, 256),)) + reply[at + 1 :]


def cut(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Lose the end."""
    return reply[: draw.randrange(len(reply))]


def with_noise(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Append octets."""
    return reply + draw.randbytes(draw.randrange(1, 9))


def silence(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Hear nothing."""
    return b""


def twice(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Hear it again."""
    return reply + reply


def stale(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Hear the answer to another step."""
    return draw.choice([each for each in earlier if each != reply] or [b""])


def noise(draw: random.Random, reply: bytes, earlier: list[bytes]) -> bytes:
    """Hear something else altogether."""
    return draw.randbytes(draw.randrange(1, 60))


SPOILS: tuple[Spoil, ...] = (one_octet_changed, cut, with_noise, silence, twice, stale, noise)


class World:
    """A register for every channel: noon on clocks, a small number elsewhere."""

    def __init__(self, profile: Profile) -> None:
        self.registers = {
            channel.obis: 1_785_585_600 if channel.kind is ChannelKind.TIME else int(2000 / channel.scale)
            for group in profile.groups
            for channel in group.channels
        }
        for channel in profile.groups[0].channels:
            least, most = channel.limits
            self.registers[channel.obis] = int(max(least, min(most, 120_000)) / channel.scale)

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the register."""
        return self.registers.get(obis, 0)


class Line:
    """One meter; the answer of the exchange numbered `spoilt_at` is spoilt."""

    def __init__(self, profile: Profile, protocol: Protocol) -> None:
        vectors = sorted(profile.vectors, key=lambda vector: vector.protocol is not protocol)
        self.profile, self.protocol, self.address = profile, protocol, vectors[0].address
        self.world = World(profile)
        self.replies: list[bytes] = []

    def read(self, spoil: Callable[[int, bytes], bytes]) -> tuple[int | None, ...]:
        """Read the first group."""
        meter = SimulatedMeter(MeterId("m-1"), self.profile, self.protocol, self.address)
        self.replies = []

        def carry(exchange: Exchange) -> bytes:
            assert len(self.replies) < EXCHANGES_MAX, "a conversation without end"
            reply = meter.answer(exchange.request, self.world) or b""
            self.replies.append(reply)
            heard = spoil(len(self.replies) - 1, reply)
            if heard != reply:
                exchange_is_whole(exchange, heard)
            return heard

        group = self.profile.groups[0]
        bodies = [
            drive(codec_of(self.protocol).converse(self.address, read, PublishedSecrets()), carry)
            for read in plan_reads(self.profile, self.protocol, group)
        ]
        return decode_group(self.profile, self.protocol, group, bodies)


def exchange_is_whole(exchange: Exchange, heard: bytes) -> None:
    """Ask what the owner of a line asks of whatever has come, octet by octet; it may only raise our error."""
    for received in (heard, heard[: len(heard) // 2], b""):
        try:
            assert exchange.octets_expected(received) >= 0
            if exchange.check is not None:
                exchange.check(received)
        except MeterError:
            continue


@pytest.mark.parametrize(("profile", "protocol"), LINKS)
def test_a_spoilt_answer_gives_the_true_numbers_or_our_error(profile: Profile, protocol: Protocol) -> None:
    line = Line(profile, protocol)
    true = line.read(lambda _, reply: reply)
    replies = line.replies
    draw = random.Random(f"{profile.id} {protocol}")
    # Modbus answers carry neither address nor number of what was asked: telling stale ones apart is the line's part.
    spoils = [spoil for spoil in SPOILS if spoil is not stale or not protocol.is_modbus]
    for spoil in spoils:
        for _ in range(DRAWS_OF_OCTETS if spoil is one_octet_changed else DRAWS):
            at = draw.randrange(len(replies))
            try:
                shown = line.read(
                    lambda step, reply: spoil(draw, reply, replies) if step == at and reply else reply  # noqa: B023
                )
            except MeterError:
                continue
            assert shown == true or not protocol.is_serial, f"{spoil.__name__} of answer {at}"
