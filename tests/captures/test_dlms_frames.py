"""Every public DLMS/COSEM frame we know of, through the codecs that bill; the standard's own examples of security.

`dlms_frames.json` beside this file names the source of each frame. The ten steps of one captured session are read from
end to end by the conversation that the gateway holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_profiles.framing import dlms, hdlc, xdlms
from device_profiles.framing.acse import AssociationRequest, AssociationResponse, Conformance, Initiate, Mechanism
from device_profiles.framing.axdr import DataTag
from device_profiles.framing.conversation import Exchange, drive
from device_profiles.framing.cosem import ScalerUnit, moment_from_octets
from device_profiles.framing.dlms import DlmsOptions, DlmsRead, body_elements
from device_profiles.framing.dlms_security import GmacKeys, GmacSecurity
from device_profiles.framing.errors import ExceptionReply
from device_profiles.framing.hdlc import HdlcFrame
from device_profiles.framing.hdlc_link import LLC_REPLY, LLC_REQUEST, LinkLimits
from device_profiles.framing.xdlms import Attribute
from metering.obis import Obis

FRAMES: dict[str, dict[str, Any]] = {
    frame["id"]: frame for frame in json.loads(Path(__file__).with_name("dlms_frames.json").read_text(encoding="utf-8"))
}
LINK_FRAMES = [pytest.param(frame, id=name) for name, frame in FRAMES.items() if "apdu" not in name and frame["valid"]]
SESSION = [f"dlms-ses-{step:02}" for step in range(1, 11)]


def octets(name: str) -> bytes:
    """Give the octets of a frame."""
    return bytes.fromhex(FRAMES[name]["hex"])


def frame_of(name: str) -> HdlcFrame:
    """Give the one frame in the octets."""
    (frame,) = hdlc.scan(octets(name))[0]
    return frame


def apdu_of(name: str) -> bytes:
    """Give the APDU in a frame."""
    information = frame_of(name).information
    assert information[:3] in (LLC_REQUEST, LLC_REPLY)
    return information[3:]


def test_the_collection_is_whole() -> None:
    assert len(FRAMES) == 21
    assert sum(frame["valid"] for frame in FRAMES.values()) == 20


@pytest.mark.parametrize("frame", LINK_FRAMES)
def test_a_valid_frame_is_found_and_written_again(frame: dict[str, Any]) -> None:
    wire = bytes.fromhex(frame["hex"])
    found, missing = hdlc.scan(wire)
    assert missing == 0
    assert [each.to_wire() for each in found] == [wire]


@pytest.mark.parametrize("frame", LINK_FRAMES)
def test_a_frame_is_found_behind_noise_and_before_the_next(frame: dict[str, Any]) -> None:
    wire = bytes.fromhex(frame["hex"])
    found, _ = hdlc.scan(b"\x00\x7e\x7e\xa0" + wire + wire[1:])
    assert [each.to_wire() for each in found] == [wire, wire]


@pytest.mark.parametrize("frame", LINK_FRAMES)
def test_no_changed_octet_passes(frame: dict[str, Any]) -> None:
    wire = bytes.fromhex(frame["hex"])
    for at in range(len(wire)):
        spoilt = bytearray(wire)
        spoilt[at] ^= 0x04
        assert hdlc.scan(bytes(spoilt))[0] == []


def test_a_frame_whose_length_is_wrong_is_never_found() -> None:
    assert hdlc.scan(octets("dlms-bad-len"))[0] == []


@pytest.mark.parametrize(
    ("name", "logical", "physical", "length"),
    [
        ("dlms-snrm", 1, 16, 2),
        ("dlms-aarq", 1, 17, 2),
        ("dlms-get-req", 1, None, 1),
        ("dlms-get-req4", 1, 0x3FFF, 4),
        ("dlms-ses-01", 1, 20, 2),
    ],
)
def test_addresses_of_each_length_are_read(name: str, logical: int, physical: int | None, length: int) -> None:
    address = frame_of(name).destination
    assert (address.logical, address.physical, address.octets) == (logical, physical, length)


@pytest.mark.parametrize("name", ["dlms-ua", "dlms-ua2", "dlms-ses-02", "dlms-ses-04"])
def test_limits_of_the_link_are_read(name: str) -> None:
    expected = FRAMES[name]["expected"]
    limits = LinkLimits.from_wire(frame_of(name).information)
    assert (limits.sends, limits.takes) == (expected["max_info_tx"], expected["max_info_rx"])


@pytest.mark.parametrize(
    ("name", "mechanism", "password"), [("dlms-aarq", Mechanism.LOWEST, b""), ("dlms-ses-05", Mechanism.LOW, b"111111")]
)
def test_association_requests_are_read_and_written_again(name: str, mechanism: Mechanism, password: bytes) -> None:
    request = AssociationRequest.from_wire(apdu_of(name))
    assert (request.mechanism, request.authentication) == (mechanism, password)
    assert request.to_wire() == apdu_of(name)
    assert Initiate.from_wire(request.user_information).to_request() == request.user_information


@pytest.mark.parametrize(
    ("name", "longest", "conformance"), [("dlms-aare", 1224, 0x001E1D), ("dlms-ses-06", 100, 0x00101D)]
)
def test_association_responses_are_read_and_written_again(name: str, longest: int, conformance: int) -> None:
    response = AssociationResponse.from_wire(apdu_of(name))
    assert response.is_accepted
    assert response.to_wire() == apdu_of(name)
    agreed = Initiate.from_wire(response.user_information)
    assert (agreed.pdu_octets_max, agreed.conformance) == (longest, conformance)
    assert bool(agreed.conformance & Conformance.MULTIPLE_REFERENCES) is (name == "dlms-aare")
    assert agreed.conformance & Conformance.GET


@pytest.mark.parametrize("name", ["dlms-get-req", "dlms-get-req4"])
def test_a_get_request_is_what_we_would_send(name: str) -> None:
    assert apdu_of(name) == xdlms.get_request(1, (Attribute(3, Obis.parse("1-0:1.8.0"), 2),))


def test_a_get_response_gives_its_number() -> None:
    (element,) = xdlms.parse_get_response(octets("dlms-get-resp-apdu"), 1, 1)
    assert (element.tag, element.number) == (DataTag.DOUBLE_LONG_UNSIGNED, 5009)


def test_a_data_access_error_is_a_refusal() -> None:
    (code,) = xdlms.parse_get_response(octets("dlms-get-err-apdu"), 1, 1)
    assert code == 1
    assert isinstance(xdlms.refusal(code), ExceptionReply)
    assert "hardware fault" in str(xdlms.refusal(code))


def test_what_a_real_meter_pushes_is_read() -> None:
    expected = FRAMES["dlms-push-kamstrup"]["expected"]
    notification = xdlms.parse_notification(apdu_of("dlms-push-kamstrup"))
    assert moment_from_octets(notification.sent_at) == 1_643_050_730  # 2022-01-24 18:58:50
    elements = notification.body.elements
    pairs = zip(elements[1::2], elements[2::2], strict=True)
    pushed = {str(Obis.from_wire(name.octets)): each.number for name, each in pairs}
    for obis, number in expected.items():
        if obis[0].isdigit():
            assert pushed[obis] == number


class Password:
    """The password of the captured session."""

    def secret(self, name: str) -> bytes:
        """Give it."""
        assert name == "password"
        return b"111111"

    def next_count(self) -> int:
        """Nobody asks."""
        raise AssertionError


def test_a_captured_session_is_read_from_end_to_end() -> None:
    thermometer = Obis.parse("0-0:96.9.0")
    read = DlmsRead((Attribute(3, thermometer, 3), Attribute(3, thermometer, 2)), DlmsOptions(32, Mechanism.LOW))
    answers = iter(["dlms-ses-04", "dlms-ses-06", "dlms-ses-08", "dlms-ses-10", ""])
    sent: list[bytes] = []

    def carry(exchange: Exchange) -> bytes:
        sent.append(exchange.request)
        name = next(answers)
        if not name:
            assert exchange.silence_is_answer
            return b""
        assert exchange.check is not None
        exchange.check(octets(name))
        assert exchange.octets_expected(octets(name)) == len(octets(name))
        return octets(name)

    scaler, number = body_elements(drive(dlms.HDLC.converse("1/20", read, Password()), carry))
    assert ScalerUnit.from_data(scaler) == ScalerUnit(0, 9)
    assert number.number == 30
    assert [sent[0], sent[2], sent[3], sent[4]] == [
        octets(name) for name in ("dlms-ses-03", "dlms-ses-07", "dlms-ses-09", "dlms-ses-01")
    ]


# The Green Book's examples: table "Example for ciphered APDUs", and HLS mechanism 5.
KEYS = GmacKeys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
METER_TITLE = bytes.fromhex("4D4D4D0000BC614E")
CLIENT_TITLE = bytes.fromhex("4D4D4D0000000001")
CLOCK_REQUEST = bytes.fromhex("C0010000080000010000FF0200")
CIPHERED_REQUEST = bytes.fromhex("C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B")
AUTHENTICATED = bytes.fromhex("1001234567C0010000080000010000FF020006725D910F9221D263877516")


def test_a_protected_request_is_the_green_books() -> None:
    meter = GmacSecurity(KEYS, METER_TITLE, lambda: 0x01234567)
    assert meter.protect_apdu(CLOCK_REQUEST) == CIPHERED_REQUEST


@pytest.mark.parametrize("octets_", [CIPHERED_REQUEST[2:], AUTHENTICATED])
def test_the_green_books_protected_requests_open(octets_: bytes) -> None:
    client = GmacSecurity(KEYS, CLIENT_TITLE, lambda: 1)
    client.meet(METER_TITLE)
    assert client.open(octets_) == CLOCK_REQUEST


def test_the_challenges_are_answered_as_the_green_book_does() -> None:
    client = GmacSecurity(KEYS, CLIENT_TITLE, lambda: 1)
    assert client.answer_to(b"P6wRJ21F").hex() == "10000000011a52fe7dd3e72748973c1e28"
    meter = GmacSecurity(KEYS, METER_TITLE, lambda: 0x01234567)
    assert meter.answer_to(b"K56iVagY").hex() == "1001234567fe1466afb3dbcd4f9389e2b7"
    client.meet(METER_TITLE)
    client.check_answer(meter.answer_to(b"K56iVagY"), b"K56iVagY")
