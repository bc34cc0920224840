"""HDLC frames and the numbered link over them: segments in both directions, late frames, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device_profiles.framing import hdlc
from device_profiles.framing.conversation import Exchange
from device_profiles.framing.errors import (
    AddressInvalid,
    AddressMismatch,
    AnswerMismatch,
    CrcError,
    ExceptionReply,
    FrameError,
)
from device_profiles.framing.hdlc import HdlcAddress, HdlcFrame
from device_profiles.framing.hdlc_link import LLC_REPLY, LLC_REQUEST, HdlcClient, HdlcServer, LinkLimits

METER = HdlcAddress.server("1/17")
GATEWAY = HdlcAddress.client(16)
REQUEST = bytes(range(0x40, 0x60))
ANSWER = b"\x7e" * 40


class Line:
    """A meter at the other end that answers every request with ANSWER, and what went over the line."""

    def __init__(self, limits: LinkLimits | None = None, answer: bytes = ANSWER) -> None:
        self.asked: list[bytes] = []
        self.carried: list[tuple[bytes, bytes]] = []
        self.end = HdlcServer(
            METER, lambda apdu: self.asked.append(apdu) or answer, lambda: None, limits or LinkLimits()
        )
        self.spoil: Callable[[int, bytes], bytes] = lambda _, octets: octets

    def carry(self, exchange: Exchange) -> bytes:
        """Carry out one exchange."""
        reply = self.spoil(len(self.carried), self.end.answer(exchange.request) or b"")
        self.carried.append((exchange.request, reply))
        return reply


def conversed(line: Line, request: bytes = REQUEST) -> bytes:
    """Connect, transfer, release."""
    client = HdlcClient(METER, GATEWAY)

    def whole():  # type: ignore[no-untyped-def]
        yield from client.connect()
        answer = yield from client.transfer(request)
        yield from client.release()
        return answer

    conversation = whole()
    try:
        exchange = next(conversation)
        while True:
            exchange = conversation.send(line.carry(exchange))
    except StopIteration as ended:
        answer: bytes = ended.value
        return answer


@pytest.mark.parametrize(
    ("text", "octets", "wire"),
    [
        ("1", 0, "03"),
        ("1/16", 0, "02 21"),
        ("16/17", 2, "20 23"),
        ("1/17", 4, "00 02 00 23"),
        ("1/200", 0, "00 02 02 91"),
        ("1", 2, "02 01"),
        ("1/17", 1, "02 23"),
        ("200/16382", 0, "02 90 fe fd"),
    ],
)
def test_addresses_on_the_wire(text: str, octets: int, wire: str) -> None:
    address = HdlcAddress.server(text, octets)
    assert address.to_wire() == bytes.fromhex(wire)
    assert HdlcAddress.from_wire(bytes.fromhex(wire)) == address


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("", 0),
        ("0", 0),
        ("0/1", 0),
        ("1/", 0),
        ("1/16383", 0),
        ("x", 0),
        ("16383", 4),
        ("0/17", 1),
        ("-1", 0),
        ("1 ", 0),
    ],
)
def test_what_is_no_address_is_refused(text: str, octets: int) -> None:
    with pytest.raises(AddressInvalid, match="write logical/physical"):
        HdlcAddress.server(text, octets)


def test_a_transfer_in_one_frame_each_way() -> None:
    line = Line()
    assert conversed(line) == ANSWER
    assert line.asked == [REQUEST]
    assert len(line.carried) == 3
    for request, _ in line.carried:
        assert len(hdlc.scan(request)[0]) == 1


@pytest.mark.parametrize("takes", [4, 7, 35, 36, 128])
@pytest.mark.parametrize("sends", [4, 16, 43, 44, 128])
def test_long_apdus_go_in_segments_both_ways(takes: int, sends: int) -> None:
    line = Line(LinkLimits(sends=sends, takes=takes))
    assert conversed(line) == ANSWER
    assert line.asked == [REQUEST]
    for request, reply in line.carried:
        for frame in hdlc.scan(request)[0]:
            assert len(frame.information) <= takes
        for frame in hdlc.scan(reply)[0]:
            assert len(frame.information) <= max(sends, len(LinkLimits().to_wire()))


def test_the_numbers_go_round_after_seven() -> None:
    line = Line(LinkLimits(sends=8), answer=bytes(300))
    assert conversed(line) == bytes(300)
    numbers = [frame.send_number for _, reply in line.carried for frame in hdlc.scan(reply)[0] if frame.is_information]
    assert numbers[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 0]


def test_limits_left_out_are_128_octets() -> None:
    assert LinkLimits.from_wire(b"") == LinkLimits(128, 128)
    assert LinkLimits.from_wire(bytes.fromhex("81800305019a")) == LinkLimits(sends=0x9A, takes=128)
    assert LinkLimits.from_wire(LinkLimits(300, 200).to_wire()) == LinkLimits(300, 200)


@pytest.mark.parametrize("information", ["80 81 00", "81 80 05", "81 80 03 06 01 03", "81 80 03 05 02 01"])
def test_limits_of_no_form_are_refused(information: str) -> None:
    with pytest.raises(FrameError):
        LinkLimits.from_wire(bytes.fromhex(information))


def frame(control: int, information: bytes = b"", source: HdlcAddress = METER, *, segmented: bool = False) -> bytes:
    """Build a frame to the gateway."""
    return HdlcFrame(GATEWAY, source, control, information, segmented).to_wire()


def answered(at: int, octets: bytes) -> Line:
    """Have exchange `at` answered by `octets`."""
    line = Line()
    line.spoil = lambda now, reply: octets if now == at else reply
    return line


def test_a_repeated_frame_is_not_taken_for_the_next() -> None:
    line = Line(LinkLimits(sends=20))
    first: list[bytes] = []

    def repeat(at: int, reply: bytes) -> bytes:
        if at == 1:
            first.append(reply)
        return first[0] if at == 2 else reply

    line.spoil = repeat
    with pytest.raises(AnswerMismatch, match="frame 0 awaiting 1, not 1 awaiting 1"):
        conversed(line)


def test_an_answer_to_an_earlier_request_is_not_taken() -> None:
    with pytest.raises(AnswerMismatch):
        conversed(answered(1, frame(hdlc.information_control(0, 0), LLC_REPLY + b"late")))


def test_another_meters_answer_is_refused() -> None:
    other = HdlcAddress.server("1/18")
    with pytest.raises(AddressMismatch):
        conversed(answered(0, frame(hdlc.UA, source=other)))


@pytest.mark.parametrize(
    ("control", "error"), [(hdlc.DM, ExceptionReply), (hdlc.FRMR, FrameError), (0x30, AnswerMismatch)]
)
def test_a_link_that_is_refused(control: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        conversed(answered(0, frame(control)))


@pytest.mark.parametrize("control", [hdlc.DM, hdlc.FRMR])
def test_a_link_that_breaks(control: int) -> None:
    with pytest.raises(FrameError, match=r"dropped the link|rejects our frame"):
        conversed(answered(1, frame(control)))


def test_an_answer_without_llc_octets_is_refused() -> None:
    with pytest.raises(FrameError, match="no LLC octets"):
        conversed(answered(1, frame(hdlc.information_control(0, 1), b"\xc4\x01\xc1\x00")))


def test_a_meter_that_never_gets_ready_is_given_up() -> None:
    line = Line()
    line.spoil = lambda at, reply: frame(hdlc.receive_ready_control(1)) if at else reply
    with pytest.raises(FrameError, match="not ready 6 times"):
        conversed(line)


def test_a_meter_that_is_not_ready_at_once_is_asked_again() -> None:
    line = Line()
    real: list[bytes] = []

    def late(at: int, reply: bytes) -> bytes:
        if at == 1:
            real.append(reply)
            return frame(hdlc.receive_ready_control(1))
        return real[0] if at == 2 else reply

    line.spoil = late
    assert conversed(line) == ANSWER


def test_a_segment_answered_by_an_answer_is_refused() -> None:
    line = Line(LinkLimits(takes=10))
    line.spoil = lambda at, reply: frame(hdlc.information_control(0, 1), LLC_REPLY + b"x") if at == 1 else reply
    with pytest.raises(AnswerMismatch, match="not answered by receive-ready"):
        conversed(line)


def test_frames_of_one_window_are_put_together() -> None:
    line = Line()
    first = frame(hdlc.information_control(0, 1) & ~hdlc.FINAL, LLC_REPLY + b"one ", segmented=True)
    line.spoil = lambda at, reply: first[:-1] + frame(hdlc.information_control(1, 1), b"two") if at == 1 else reply
    assert conversed(line) == b"one two"


def test_silence_and_noise_are_told_apart() -> None:
    with pytest.raises(FrameError, match="no answer in"):
        conversed(answered(1, b"\x00\x01"))
    good = frame(hdlc.information_control(0, 1), LLC_REPLY + b"abc")
    with pytest.raises(CrcError, match="right checks"):
        conversed(answered(1, good[:-3] + bytes((good[-3] ^ 1,)) + good[-2:]))


def test_every_changed_octet_of_every_answer_is_refused() -> None:
    """Up to the release: what comes then changes nothing."""
    clean = Line(LinkLimits(sends=20, takes=20))
    conversed(clean)
    for at, (_, reply) in enumerate(clean.carried[:-1]):
        for place in range(len(reply)):
            line = Line(LinkLimits(sends=20, takes=20))
            line.spoil = lambda now, octets, at=at, place=place: (
                octets[:place] + bytes((octets[place] ^ 0x10,)) + octets[place + 1 :] if now == at else octets
            )
            with pytest.raises((FrameError, ExceptionReply)):
                conversed(line)


def test_a_frame_whose_header_check_is_wrong_is_never_found() -> None:
    """Its other check is right: whoever changed the header computed that one anew."""
    good = frame(hdlc.information_control(0, 1), LLC_REPLY + b"abc")
    assert len(hdlc.scan(good)[0]) == 1
    body = bytearray(good[1:-3])
    body[6] ^= 0x01
    assert hdlc.scan(b"\x7e" + body + hdlc.fcs16(bytes(body)) + b"\x7e")[0] == []


def test_what_is_expected_grows_with_what_has_come() -> None:
    client = HdlcClient(METER, GATEWAY)
    exchange = next(client.connect())
    answer = frame(hdlc.UA, LinkLimits().to_wire())
    assert exchange.octets_expected(b"") == 9
    assert exchange.octets_expected(answer[:3]) == len(answer)
    assert exchange.octets_expected(answer) == len(answer)
    assert exchange.octets_expected(exchange.request) > len(exchange.request)
    assert exchange.octets_expected(exchange.request + answer) == len(exchange.request + answer)


def test_an_echo_is_not_an_answer() -> None:
    exchange = next(HdlcClient(METER, GATEWAY).connect())
    assert exchange.check is not None
    exchange.check(exchange.request + frame(hdlc.UA))
    with pytest.raises(FrameError, match="no answer"):
        exchange.check(exchange.request)


def request_frame(control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
    """Build a frame to the meter."""
    return HdlcFrame(METER, GATEWAY, control, information, segmented).to_wire()


def test_the_meters_end_answers_a_repeated_request_as_before() -> None:
    line = Line()
    line.end.answer(request_frame(hdlc.SNRM))
    asked = request_frame(hdlc.information_control(0, 0), LLC_REQUEST + REQUEST)
    assert line.end.answer(asked) == line.end.answer(asked)
    assert line.asked == [REQUEST]


def test_the_meters_end_keeps_to_its_link() -> None:
    line = Line()

    def control_of(octets: bytes) -> int | None:
        reply = line.end.answer(octets)
        return None if reply is None else hdlc.scan(reply)[0][0].control

    assert control_of(request_frame(hdlc.information_control(0, 0), LLC_REQUEST)) == hdlc.DM
    assert control_of(request_frame(hdlc.DISC)) == hdlc.DM
    assert control_of(request_frame(hdlc.SNRM)) == hdlc.UA
    assert control_of(request_frame(hdlc.information_control(3, 0), LLC_REQUEST)) == hdlc.FRMR
    assert control_of(request_frame(hdlc.information_control(0, 0), bytes(129))) == hdlc.FRMR
    assert control_of(request_frame(hdlc.UI)) == hdlc.FRMR
    assert control_of(request_frame(hdlc.receive_ready_control(0))) == hdlc.receive_ready_control(0)
    assert control_of(request_frame(hdlc.DISC)) == hdlc.UA
    assert line.end.answer(frame(hdlc.UA)) is None
    assert line.end.answer(b"noise") is None
