"""Every vector of every shipped profile, through the same codec, planner and decoder that bill."""

from __future__ import annotations

import pytest
from pymodbus.framer.rtu import FramerRTU

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_answer
from device_profiles.framing import codec_of, dlt645, modbus_rtu
from device_profiles.profile import Profile, Protocol, Vector
from metering.errors import MeterError

VECTORS = [
    pytest.param(profile, vector, id=f"{profile.id}-{index}")
    for profile in Catalogue.shipped().profiles
    for index, vector in enumerate(profile.vectors)
]


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_a_vector_decodes_to_what_it_states(profile: Profile, vector: Vector) -> None:
    server = {Protocol.MODBUS_RTU: modbus_rtu, Protocol.DLT645_2007: dlt645}[vector.protocol]
    address, read = server.parse_request(vector.request)
    assert address == vector.address
    codec = codec_of(vector.protocol)
    assert codec.build_request(address, read)[-len(vector.request) :] == vector.request
    assert codec.octets_expected(read, vector.reply) == len(vector.reply)
    assert decode_answer(profile, read, codec.parse_reply(address, read, vector.reply)) == dict(vector.expected)


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_each_changed_octet_of_a_reply_is_noticed(profile: Profile, vector: Vector) -> None:
    """No single wrong octet may pass for an answer; wake-up octets carry nothing and may change."""
    server = {Protocol.MODBUS_RTU: modbus_rtu, Protocol.DLT645_2007: dlt645}[vector.protocol]
    address, read = server.parse_request(vector.request)
    codec = codec_of(vector.protocol)
    first = next(at for at, octet in enumerate(vector.reply) if octet != 0xFE)
    for at in range(first, len(vector.reply)):
        spoilt = bytearray(vector.reply)
        spoilt[at] ^= 0x01
        with pytest.raises(MeterError):
            codec.parse_reply(address, read, bytes(spoilt))


def test_every_shipped_profile_has_a_vector_for_its_energy() -> None:
    for profile in Catalogue.shipped().profiles:
        billed = {channel.obis for channel in profile.group("billing").channels}
        covered = {obis for vector in profile.vectors for obis, _ in vector.expected}
        assert billed & covered, profile.id


def test_our_crc_agrees_with_an_independent_one() -> None:
    for length in range(1, 64):
        octets = bytes((7 * at + length) & 0xFF for at in range(length))
        assert modbus_rtu.with_crc(octets)[-2:] == FramerRTU.compute_CRC(octets).to_bytes(2, "big")
