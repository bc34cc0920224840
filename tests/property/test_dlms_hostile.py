"""Whatever octets come, from either side: DLMS gives data or an error of ours, and round trips hold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.dlms import DLMS
from device_profiles.framing import acse, axdr, codec_of, cosem, dlms, dlms_wrapper, hdlc, xdlms
from device_profiles.framing.axdr import (
    INTEGER_OCTETS,
    SIGNED,
    AxdrReader,
    Data,
    DataTag,
    array,
    octet_string,
    structure,
)
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.dlms_security import GmacKeys, GmacSecurity
from device_profiles.framing.dlms_wrapper import wrapped
from device_profiles.framing.hdlc import HdlcAddress, HdlcFrame
from device_profiles.framing.hdlc_link import LLC_REPLY, LLC_REQUEST, LinkLimits
from device_profiles.framing.published_secrets import AUTHENTICATION, ENCRYPTION, METER_TITLE, PublishedSecrets
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from metering.errors import MeterError
from metering.obis import Obis
from metering.quantity import Unit

NAMES = ("dlms/public", "dlms/password", "dlms/keys")
WAYS = [
    pytest.param(Catalogue.shipped().by_id(name), protocol, id=f"{name}-{protocol}")
    for name in NAMES
    for protocol in DLMS.protocols
]
ADDRESS = "1"
SERVER, CLIENT = HdlcAddress.server(ADDRESS), HdlcAddress.client(16)


def numbers(tag: DataTag) -> st.SearchStrategy[Data]:
    """Give integers of a type."""
    bits = 8 * INTEGER_OCTETS[tag]
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if tag in SIGNED else (0, (1 << bits) - 1)
    return st.integers(least, most).map(lambda number: axdr.integer(tag, number))


LEAVES = st.one_of(
    st.just(axdr.NULL),
    st.sampled_from(list(INTEGER_OCTETS)).flatmap(numbers),
    st.binary(max_size=300).map(octet_string),
    st.binary(min_size=12, max_size=12).map(lambda octets: Data(DataTag.DATE_TIME, octets=octets)),
    st.binary(min_size=4, max_size=4).map(lambda octets: Data(DataTag.FLOAT32, octets=octets)),
    st.integers(0, 70).flatmap(
        lambda bits: st.binary(min_size=(bits + 7) // 8, max_size=(bits + 7) // 8).map(
            lambda octets: Data(DataTag.BIT_STRING, number=bits, octets=octets)
        )
    ),
)
ELEMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5).flatmap(
        lambda parts: st.sampled_from([array(*parts), structure(*parts)])
    ),
    max_leaves=20,
)


@given(ELEMENTS)
def test_data_go_there_and_back(element: Data) -> None:
    assert axdr.data_from_wire(element.to_wire()) == element


@given(st.lists(ELEMENTS, max_size=4))
def test_a_body_is_split_as_it_was_joined(elements: list[Data]) -> None:
    assert list(dlms.body_elements(b"".join(each.to_wire() for each in elements))) == elements


@given(
    st.integers(1, 126),
    st.one_of(st.none(), st.integers(0, 126)),
    st.integers(0, 255),
    st.binary(max_size=300),
    st.booleans(),
    st.binary(max_size=6),
)
def test_frames_go_there_and_back_within_noise(
    logical: int, physical: int | None, control: int, information: bytes, segmented: bool, noise: bytes
) -> None:
    address = HdlcAddress(logical, physical, 1 if physical is None else 2)
    frame = HdlcFrame(address, CLIENT, control, information, segmented)
    wire = frame.to_wire()
    assert hdlc.scan(wire) == ([frame], 0)
    assert hdlc.request_end(wire, 0) == len(wire)
    assert frame in hdlc.scan(noise + wire + noise)[0]
    assert hdlc.scan(wire[:-1])[0] == []


@given(st.integers(0, 4_102_444_800))
def test_moments_go_there_and_back(moment: int) -> None:
    assert cosem.moment_from_octets(cosem.moment_to_octets(moment)) == moment


READERS: list[Callable[[bytes], Any]] = [
    hdlc.scan,
    axdr.data_from_wire,
    dlms.body_elements,
    acse.AssociationRequest.from_wire,
    acse.AssociationResponse.from_wire,
    acse.Initiate.from_wire,
    LinkLimits.from_wire,
    xdlms.parse_notification,
    lambda octets: xdlms.parse_get_response(octets, 1, 1),
    lambda octets: xdlms.parse_get_response(octets, 1, 3),
    lambda octets: xdlms.block_results(octets, 1),
    lambda octets: xdlms.parse_action_response(octets, 1),
    lambda octets: xdlms.Attribute.read(AxdrReader(octets)),
    dlms_wrapper.unwrapped,
    dlms_wrapper.octets_expected,
    cosem.moment_from_octets,
    lambda octets: cosem.ScalerUnit.from_data(axdr.data_from_wire(octets)).in_unit(Unit.KWH, -2),
    lambda octets: cosem.profile_rows(axdr.data_from_wire(octets), axdr.data_from_wire(octets), 900),
]
HEADS = st.sampled_from(
    [
        *(b"", b"\x60\x1d\xa1\x09\x06\x07", b"\x61\x29", b"\xc4\x01\xc1", b"\xc4\x02\xc1", b"\xc4\x03\xc1\x03"),
        *(b"\xc7\x01\xc1", b"\x81\x80\x14", b"\x08\x00\x06\x5f\x1f\x04\x00", b"\x0f\x00\x00\x00\x01"),
        *(b"\x01\x02\x02\x02", b"\x13\x02\x02", b"\x7e\xa0\x10", b"\x00\x01\x00\x01", b"\x02\x02\x0f", bytes(8)),
    ]
)


@pytest.mark.parametrize("read", READERS, ids=range(len(READERS)))
@given(head=HEADS, octets=st.binary(max_size=80))
def test_any_octets_give_a_reading_or_an_error_of_ours(
    read: Callable[[bytes], Any], head: bytes, octets: bytes
) -> None:
    with contextlib.suppress(MeterError):
        read(head + octets)


@given(st.binary(max_size=60))
def test_any_protected_octets_are_refused(octets: bytes) -> None:
    client = GmacSecurity(GmacKeys(ENCRYPTION, AUTHENTICATION), b"MTR12345", lambda: 1)
    client.meet(METER_TITLE)
    with pytest.raises(MeterError):
        client.open_apdu(octets)


def registers(obis: Obis) -> int:
    """Give the register of every channel."""
    return 1_785_542_400 if obis.c == 1 and obis.d == 0 else 50_000


def spoilt_reply(protocol: Protocol, reply: bytes, how: str, octets: bytes, at: int) -> bytes:
    """Spoil what a meter says, below the link's checks or behind them."""
    if how == "cut":
        return reply[: at % (len(reply) + 1)]
    if how == "other":
        return octets
    if how == "changed":
        place = at % max(len(reply), 1)
        return reply[:place] + octets[:1] + reply[place + 1 :]
    if protocol is Protocol.DLMS_WRAPPER:
        source, destination, apdu = dlms_wrapper.unwrapped(reply)
        place = at % max(len(apdu), 1)
        return wrapped(source, destination, apdu[:place] + octets + apdu[place + len(octets) :])
    frame = hdlc.scan(reply)[0][0]
    place = at % max(len(frame.information), 1)
    information = frame.information[:place] + octets + frame.information[place + len(octets) :]
    return HdlcFrame(frame.destination, frame.source, frame.control, information or LLC_REPLY).to_wire()


@pytest.mark.parametrize(("profile", "protocol"), WAYS)
@given(
    group=st.integers(0, 5),
    exchange_at=st.integers(0, 6),
    how=st.sampled_from(["cut", "other", "changed", "behind", "behind"]),
    octets=st.binary(min_size=1, max_size=8),
    at=st.integers(0, 400),
)
def test_a_meter_that_lies_gives_a_reading_or_an_error_of_ours(
    profile: Profile, protocol: Protocol, group: int, exchange_at: int, how: str, octets: bytes, at: int
) -> None:
    chosen = profile.groups[group]
    end = DLMS.simulated(profile, protocol, ADDRESS, registers)
    count = 0

    def carry(exchange: Exchange) -> bytes:
        nonlocal count
        reply = end.answer(exchange.request) or b""
        count += 1
        if count != exchange_at + 1 or not reply:
            return reply
        spoilt = spoilt_reply(protocol, reply, how, octets, at)
        for run in range(0, len(spoilt), 7):
            try:
                assert exchange.octets_expected(spoilt[:run]) >= 0
            except MeterError:
                break
        return spoilt

    with contextlib.suppress(MeterError):
        bodies = [
            drive(codec_of(protocol).converse(ADDRESS, read, PublishedSecrets()), carry)
            for read in plan_reads(profile, protocol, chosen)
        ]
        decode_group(profile, protocol, chosen, bodies)


@pytest.mark.parametrize(("profile", "protocol"), WAYS)
@given(apdus=st.lists(st.tuples(HEADS, st.binary(max_size=60)), max_size=6), raw=st.binary(max_size=40))
def test_the_meters_end_stands_whatever_it_is_asked(
    profile: Profile, protocol: Protocol, apdus: list[tuple[bytes, bytes]], raw: bytes
) -> None:
    end = DLMS.simulated(profile, protocol, ADDRESS, registers)
    end.answer(raw)
    if protocol is Protocol.DLMS_HDLC:
        end.answer(HdlcFrame(SERVER, CLIENT, hdlc.SNRM).to_wire())
    for number, (head, octets) in enumerate(apdus):
        apdu = head + octets
        if protocol is Protocol.DLMS_WRAPPER:
            end.answer(wrapped(16, 1, apdu))
        else:
            control = hdlc.information_control(number % 8, 0)
            end.answer(HdlcFrame(SERVER, CLIENT, control, (LLC_REQUEST + apdu)[:128]).to_wire())
