"""Every vector of every shipped profile, through the same codec, planner and decoder that bill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymodbus.framer.rtu import FramerRTU

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_answer
from device_profiles.framing import codec_of, dlt645, modbus_rtu, modbus_tcp
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.profile import Profile, Protocol, ReadRequest, Vector
from device_profiles.read_plan import plan_reads
from metering.errors import MeterError

PARSE_REQUEST: dict[Protocol, Callable[[bytes], Any]] = {
    Protocol.MODBUS_RTU: modbus_rtu.parse_request,
    Protocol.MODBUS_TCP: modbus_tcp.parse_request,
    Protocol.DLT645_2007: dlt645.parse_request,
}
"""Protocols whose vectors may ask for anything; vectors of the others ask what the planner asks."""

VECTORS = [
    pytest.param(profile, vector, id=f"{profile.id}-{index}")
    for profile in Catalogue.shipped().profiles
    for index, vector in enumerate(profile.vectors)
]
GUARDED = [each for each in VECTORS if each.values[1].protocol in PARSE_REQUEST]
"""Vectors of protocols that guard each octet of a frame by a check."""


def read_of(profile: Profile, vector: Vector) -> ReadRequest:
    """Give the read that the vector's first request asks for."""
    if vector.protocol in PARSE_REQUEST:
        read: ReadRequest = PARSE_REQUEST[vector.protocol](vector.request)[-1]
        return read
    for group in profile.groups:
        for planned in plan_reads(profile, vector.protocol, group):
            if next(codec_of(vector.protocol).converse(vector.address, planned)).request.endswith(vector.request):
                return planned
    raise AssertionError(f"{profile.id}: nothing that is planned asks {vector.request.hex(' ')}")


def conducted(profile: Profile, vector: Vector, replies: tuple[bytes, ...]) -> bytes:
    """Drive the conversation of a vector with `replies`, comparing each request; give the body."""
    at = iter(zip(vector.exchanges, replies, strict=True))

    def carry(exchange: Exchange) -> bytes:
        (request, _), reply = next(at)
        assert exchange.request.endswith(request)
        return reply

    return drive(codec_of(vector.protocol).converse(vector.address, read_of(profile, vector)), carry)


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_a_vector_decodes_to_what_it_states(profile: Profile, vector: Vector) -> None:
    body = conducted(profile, vector, tuple(reply for _, reply in vector.exchanges))
    assert decode_answer(profile, read_of(profile, vector), body) == dict(vector.expected)


@pytest.mark.parametrize(("profile", "vector"), GUARDED)
def test_each_changed_octet_of_a_reply_is_noticed(profile: Profile, vector: Vector) -> None:
    """No single wrong octet may pass for an answer; wake-up octets carry nothing and may change."""
    first = next(at for at, octet in enumerate(vector.reply) if octet != 0xFE)
    protected = range(first, len(vector.reply))
    if vector.protocol is Protocol.MODBUS_TCP:  # no check of its own beside TCP's: header, function and length
        protected = range(9)
    for at in protected:
        spoilt = bytearray(vector.reply)
        spoilt[at] ^= 0x01
        with pytest.raises(MeterError):
            conducted(profile, vector, (bytes(spoilt), *(reply for _, reply in vector.exchanges[1:])))


def test_every_shipped_profile_has_a_vector_for_its_energy() -> None:
    for profile in Catalogue.shipped().profiles:
        billed = {channel.obis for channel in profile.groups[0].channels}
        covered = {obis for vector in profile.vectors for obis, _ in vector.expected}
        assert billed & covered, profile.id


def test_our_crc_agrees_with_an_independent_one() -> None:
    for length in range(1, 64):
        octets = bytes((7 * at + length) & 0xFF for at in range(length))
        assert modbus_rtu.with_crc(octets)[-2:] == FramerRTU.compute_CRC(octets).to_bytes(2, "big")
