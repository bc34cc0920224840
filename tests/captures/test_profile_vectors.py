"""Every vector of every shipped profile, through the same codec, planner and decoder that bill."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymodbus.framer.rtu import FramerRTU

from device_profiles.catalogue import Catalogue
from device_profiles.framing import modbus_rtu
from device_profiles.profile import BILLING, ChannelKind, Evidence, Profile, Vector
from device_profiles.profile_vectors import check_vector
from metering.errors import MeterError

SHIPPED = [
    (profile, vector, f"{profile.id}-{index}")
    for profile in Catalogue.shipped().profiles
    for index, vector in enumerate(profile.vectors)
]
VECTORS = [pytest.param(profile, vector, id=name) for profile, vector, name in SHIPPED]
CHECKED = [pytest.param(profile, vector, id=name) for profile, vector, name in SHIPPED if vector.protocol.is_serial]
"""Vectors with a check octet on the line; under TCP the network's own checksum does that work."""


@pytest.mark.parametrize(("profile", "vector"), VECTORS)
def test_a_vector_decodes_to_what_it_states(profile: Profile, vector: Vector) -> None:
    check_vector(profile, vector)


@pytest.mark.parametrize(("profile", "vector"), CHECKED)
def test_each_changed_octet_of_a_reply_is_noticed(profile: Profile, vector: Vector) -> None:
    """No single wrong octet may pass for an answer; wake-up octets carry nothing and may change."""
    at_answer = len(vector.exchanges) - (2 if _ends_with_a_farewell(profile, vector) else 1)
    _, reply = vector.exchanges[at_answer]
    first = next((at for at, octet in enumerate(reply) if octet != 0xFE), len(reply))
    for at in range(first, len(reply)):
        spoilt = bytearray(reply)
        spoilt[at] ^= 0x01
        with pytest.raises(MeterError):
            check_vector(profile, _with_reply(vector, at_answer, bytes(spoilt)))


def _ends_with_a_farewell(profile: Profile, vector: Vector) -> bool:
    """Whether nothing depends on the last reply: the values came before, the meter was told goodbye."""
    try:
        check_vector(profile, _with_reply(vector, len(vector.exchanges) - 1, b""))
    except MeterError:
        return False
    return True


def _with_reply(vector: Vector, number: int, reply: bytes) -> Vector:
    exchanges = [*vector.exchanges]
    exchanges[number] = (exchanges[number][0], reply)
    return replace(vector, exchanges=tuple(exchanges))


def test_every_shipped_profile_that_counts_has_a_vector_for_what_it_bills() -> None:
    for profile in Catalogue.shipped().profiles:
        counted = {one.obis for group in profile.groups for one in group.channels if one.kind is ChannelKind.COUNTER}
        covered = {obis for vector in profile.vectors for obis, _ in vector.expected}
        billed = {channel.obis for channel in profile.group(BILLING).channels} if counted else covered
        assert billed & covered, profile.id


def test_a_profile_is_called_frame_tested_only_with_a_captured_frame() -> None:
    for profile in Catalogue.shipped().profiles:
        captured = [vector for vector in profile.vectors if not vector.derived]
        assert captured or profile.evidence is not Evidence.CAPTURES, profile.id


def test_every_dispute_is_told_in_both_languages() -> None:
    for profile in Catalogue.shipped().profiles:
        for dispute in profile.disputes:
            assert set(dispute.told) == {"zh", "en"}
            assert all(dispute.told.values())


def test_our_crc_agrees_with_an_independent_one() -> None:
    for length in range(1, 64):
        octets = bytes((7 * at + length) & 0xFF for at in range(length))
        assert modbus_rtu.with_crc(octets)[-2:] == FramerRTU.compute_CRC(octets).to_bytes(2, "big")
