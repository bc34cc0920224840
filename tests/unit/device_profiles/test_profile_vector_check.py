"""Vectors are tried by the codec and decoder that bill, and one that does not fit is refused with what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.framing import modbus_rtu
from device_profiles.framing.errors import CrcError, ExceptionReply
from device_profiles.profile import Vector
from device_profiles.profile_vectors import VectorDiffers, check_vector
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis

SDM630 = Catalogue.shipped().by_id("eastron/sdm630")
VECTOR = next(vector for vector in SDM630.vectors if ENERGY_IMPORT in dict(vector.expected))
FREQUENCY = Obis.parse("1-0:14.7.0")


def stating(vector: Vector, **expected: int | None) -> Vector:
    """The vector, stating something else of import and export."""
    stated = {**dict(vector.expected)}
    stated |= {{"imported": ENERGY_IMPORT, "exported": ENERGY_EXPORT}[name]: each for name, each in expected.items()}
    return replace(vector, expected=tuple(stated.items()))


def test_every_vector_of_a_shipped_profile_fits() -> None:
    for vector in SDM630.vectors:
        check_vector(SDM630, vector)


def test_another_number_than_stated_is_told_with_both() -> None:
    shown = dict(VECTOR.expected)[ENERGY_IMPORT]
    with pytest.raises(VectorDiffers, match=f"1-0:1.8.0 decodes to {shown}, stated is 5"):
        check_vector(SDM630, stating(VECTOR, imported=5))
    with pytest.raises(VectorDiffers, match="stated is None"):
        check_vector(SDM630, stating(VECTOR, imported=None))


def test_a_channel_the_answer_does_not_hold_is_told() -> None:
    more = replace(VECTOR, expected=(*VECTOR.expected, (FREQUENCY, 5000)))
    with pytest.raises(VectorDiffers, match=r"14\.7\.0 decodes to nothing, stated is 5000"):
        check_vector(SDM630, more)


def test_a_spoilt_frame_is_refused_by_the_codec() -> None:
    (request, reply) = VECTOR.exchanges[0]
    with pytest.raises(CrcError):
        check_vector(SDM630, replace(VECTOR, exchanges=((request, reply[:-1] + b"\0"),)))


def test_a_refusal_is_no_number() -> None:
    request = VECTOR.request
    address, read = modbus_rtu.parse_request(request)
    with pytest.raises(ExceptionReply):
        check_vector(SDM630, replace(VECTOR, exchanges=((request, modbus_rtu.build_exception(address, read, 2)),)))


def test_a_request_that_no_read_asks_is_told() -> None:
    foreign = next(vector for vector in Catalogue.shipped().by_id("mbus/water").vectors)
    (vector, *_) = (replace(foreign, protocol=VECTOR.protocol, address="1"),)
    with pytest.raises(VectorDiffers, match="no read of the profile asks"):
        check_vector(SDM630, vector)


def test_a_vector_longer_than_the_conversation_is_told() -> None:
    with pytest.raises(VectorDiffers, match="goes on after the conversation has ended"):
        check_vector(SDM630, replace(VECTOR, exchanges=(*VECTOR.exchanges, (b"\x01", b"\x02"))))


def test_a_shorter_vector_leaves_the_meter_silent() -> None:
    with pytest.raises(VectorDiffers):
        check_vector(SDM630, replace(VECTOR, exchanges=((b"\x01", b"\x02"),)))
