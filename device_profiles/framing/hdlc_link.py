"""The HDLC link under DLMS/COSEM: SNRM and UA, numbered frames with segments and receive-ready, DISC. Sans I/O.

Theory of operation (IEC 62056-46, 6.4). The client sets the link up with SNRM and learns from UA how long frames may
be; parameters that UA leaves out are 128 octets. Window size is 1: each frame the client sends hands over the turn.
An APDU stands behind three LLC octets; one that is longer than a frame goes in segments, each but the last answered or
asked for by receive-ready. Sequence numbers count modulo 8 on both sides and every frame must have the one awaited, so
a late or repeated frame never becomes part of an answer. A repeated request is answered by the meter's end as before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from device_profiles.framing import hdlc
from device_profiles.framing.axdr import AxdrReader
from device_profiles.framing.conversation import Exchange
from device_profiles.framing.errors import AddressMismatch, AnswerMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.framing.hdlc import HdlcAddress, HdlcFrame

LLC_REQUEST = b"\xe6\xe6\x00"
LLC_REPLY = b"\xe6\xe7\x00"
INFORMATION_OCTETS_DEFAULT = 128
APDU_OCTETS_MAX = 0x1_0000
"""Longest APDU put together from segments: no meter's APDU is longer, its length has two octets."""
POLLS_MAX = 5
"""How often a meter that is not ready is asked again."""
_FRAME_OCTETS_MIN = 9
_FORMAT_IDENTIFIER = 0x81
_GROUP_IDENTIFIER = 0x80
_SENT_MAX = 0x05
_TAKEN_MAX = 0x06

Frames = Generator[Exchange, bytes, list[HdlcFrame]]


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What UA says of the meter: longest information field it sends, and takes [octets]."""

    sends: int = INFORMATION_OCTETS_DEFAULT
    takes: int = INFORMATION_OCTETS_DEFAULT

    def to_wire(self) -> bytes:
        """Give the parameters of a UA, window sizes 1."""
        parameters = b"".join(
            bytes((identifier, 2)) + octets.to_bytes(2)
            for identifier, octets in ((_SENT_MAX, self.sends), (_TAKEN_MAX, self.takes))
        )
        parameters += bytes.fromhex("070400000001080400000001")
        return bytes((_FORMAT_IDENTIFIER, _GROUP_IDENTIFIER, len(parameters))) + parameters

    @classmethod
    def from_wire(cls, information: bytes) -> LinkLimits:
        """Read the information field of a UA, empty or not; raises FrameError."""
        if not information:
            return cls()
        reader = AxdrReader(information)
        if reader.take(2) != bytes((_FORMAT_IDENTIFIER, _GROUP_IDENTIFIER)):
            raise FrameError(f"link parameters of an unknown form: {information.hex()}")
        group = AxdrReader(reader.string())
        found: dict[int, int] = {}
        while group.rest:
            identifier = group.octet()
            found[identifier] = int.from_bytes(group.string())
        sends, takes = (found.get(each, INFORMATION_OCTETS_DEFAULT) for each in (_SENT_MAX, _TAKEN_MAX))
        if min(sends, takes) < len(LLC_REQUEST) + 1:
            raise FrameError(f"the meter takes no information: {information.hex()}")
        return cls(sends, takes)


class HdlcClient:
    """The gateway's side of one link to one meter, for one conversation."""

    is_numbered = True

    def __init__(self, server: HdlcAddress, client: HdlcAddress) -> None:
        self._server = server
        self._client = client
        self._send = self._receive = 0
        self._limits = LinkLimits()

    def connect(self) -> Generator[Exchange, bytes, None]:
        """Set the link up; raises ExceptionReply when the meter refuses it."""
        frames = yield from self._exchange(hdlc.SNRM | hdlc.FINAL)
        answer = frames[-1]
        if answer.control in (hdlc.DM, hdlc.FRMR):
            raise ExceptionReply(answer.control, "the meter does not set up a link")
        if answer.control != hdlc.UA:
            raise AnswerMismatch(f"control {answer.control:#04x} answers SNRM; UA has {hdlc.UA:#04x}")
        self._limits = LinkLimits.from_wire(answer.information)
        self._send = self._receive = 0

    def transfer(self, apdu: bytes) -> Generator[Exchange, bytes, bytes]:
        """Send an APDU and give the one that answers it."""
        octets, longest = LLC_REQUEST + apdu, self._limits.takes
        for at in range(0, len(octets) - longest, longest):
            frames = yield from self._information(octets[at : at + longest], segmented=True)
            if not frames[-1].is_receive_ready:
                raise AnswerMismatch("a segment was not answered by receive-ready")
        last = (len(octets) - 1) // longest * longest
        frames = yield from self._information(octets[last:], segmented=False)
        answer = yield from self._gathered(frames)
        if not answer.startswith(LLC_REPLY):
            raise FrameError(f"no LLC octets before the APDU: {answer[:3].hex()}")
        return answer[len(LLC_REPLY) :]

    def release(self) -> Generator[Exchange, bytes, None]:
        """End the link, and the association with it. Whatever comes back, or nothing: the answers are here already."""
        yield Exchange(self._frame(hdlc.DISC | hdlc.FINAL).to_wire(), self._octets_expected, silence_is_answer=True)

    def _gathered(self, frames: list[HdlcFrame]) -> Generator[Exchange, bytes, bytes]:
        """Put an answer together from its segments, asking for each that is missing."""
        answer, polls = b"", 0
        while True:
            for frame in frames:
                if frame.is_information:
                    self._accept(frame)
                    answer += frame.information
            if len(answer) > APDU_OCTETS_MAX:
                raise FrameError(f"an answer of more than {APDU_OCTETS_MAX} octets")
            numbered = [frame for frame in frames if frame.is_information]
            if numbered and not numbered[-1].segmented:
                return answer
            polls = 0 if numbered else polls + 1
            if polls > POLLS_MAX:
                raise FrameError(f"the meter was not ready {polls} times")
            frames = yield from self._exchange(hdlc.receive_ready_control(self._receive))

    def _accept(self, frame: HdlcFrame) -> None:
        if frame.send_number != self._receive or frame.receive_number != self._send:
            raise AnswerMismatch(
                f"frame {frame.send_number} awaiting {frame.receive_number}, not {self._receive} awaiting {self._send}"
            )
        self._receive = (self._receive + 1) % 8

    def _information(self, octets: bytes, *, segmented: bool) -> Frames:
        control = hdlc.information_control(self._send, self._receive)
        self._send = (self._send + 1) % 8
        frames = yield from self._exchange(control, octets, segmented=segmented)
        if frames[-1].is_receive_ready and frames[-1].receive_number != self._send:
            raise AnswerMismatch(f"the meter awaits frame {frames[-1].receive_number}, not {self._send}")
        return frames

    def _exchange(self, control: int, information: bytes = b"", *, segmented: bool = False) -> Frames:
        request = self._frame(control, information, segmented=segmented).to_wire()
        received = yield Exchange(request, self._octets_expected, check=self._frames)
        frames = self._frames(received)
        if any(frame.control == hdlc.FRMR for frame in frames):
            raise FrameError("the meter rejects our frame")
        if frames[-1].control == hdlc.DM and control != hdlc.SNRM:
            raise FrameError("the meter has dropped the link")
        return frames

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> HdlcFrame:
        return HdlcFrame(self._server, self._client, control, information, segmented)

    def _octets_expected(self, received: bytes) -> int:
        """Await a frame to us that hands the turn back; frames carry their length."""
        frames, missing = hdlc.scan(received)
        if any(frame.destination == self._client and frame.is_final for frame in frames):
            return len(received)
        return len(received) + (missing or _FRAME_OCTETS_MIN)

    def _frames(self, received: bytes) -> list[HdlcFrame]:
        """Give the meter's frames in what came; echoes of requests and unasked notifications are stepped over."""
        found, _ = hdlc.scan(received)
        to_us = [frame for frame in found if frame.destination == self._client and frame.control & ~0x10 != 0x03]
        if not to_us:
            if bytes((hdlc.FLAG,)) in received and not found:
                raise CrcError(f"no frame with right checks in {received.hex()}")
            raise FrameError(f"no answer in {received.hex()}")
        for frame in to_us:
            if frame.source != self._server:
                raise AddressMismatch(f"answer from {frame.source}, asked was {self._server}")
        if not to_us[-1].is_final:
            raise FrameError("the meter has not ended its answer")
        return to_us


class HdlcServer:
    """The meter's side of one link. `respond` turns an APDU into its answer; `restart` forgets the association."""

    def __init__(
        self,
        server: HdlcAddress,
        respond: Callable[[bytes], bytes | None],
        restart: Callable[[], None],
        limits: LinkLimits,
    ) -> None:
        self._server = server
        self._respond = respond
        self._restart = restart
        self._limits = limits
        self._client: HdlcAddress | None = None
        self._send = self._receive = 0
        self._inward = self._outward = b""
        self._last: HdlcFrame | None = None

    def answer(self, received: bytes) -> bytes | None:
        """Give the frame that answers the last frame to this meter in `received`; None when there is none."""
        frames, _ = hdlc.scan(received)
        to_us = [frame for frame in frames if frame.destination == self._server]
        if not to_us:
            return None
        reply = self._answered(to_us[-1])
        return None if reply is None else reply.to_wire()

    def _answered(self, frame: HdlcFrame) -> HdlcFrame | None:
        if frame.control == hdlc.SNRM:
            self._forget()
            self._client = frame.source
            return self._frame(frame.source, hdlc.UA, self._limits.to_wire())
        is_linked = frame.source == self._client
        if frame.control == hdlc.DISC:
            self._forget()
            self._client = None
            return self._frame(frame.source, hdlc.UA if is_linked else hdlc.DM)
        if not is_linked:
            return self._frame(frame.source, hdlc.DM)
        if frame.is_receive_ready:
            return self._next_segment(frame)
        return self._taken(frame) if frame.is_information else self._frame(frame.source, hdlc.FRMR)

    def _taken(self, frame: HdlcFrame) -> HdlcFrame | None:
        """Take an information frame; one that was taken before is answered as before."""
        if frame.send_number == (self._receive - 1) % 8 and self._last is not None:
            return self._last
        if frame.send_number != self._receive or len(frame.information) > self._limits.takes:
            return self._frame(frame.source, hdlc.FRMR)
        self._receive = (self._receive + 1) % 8
        self._inward += frame.information
        if frame.segmented:
            self._last = self._frame(frame.source, hdlc.receive_ready_control(self._receive))
            return self._last
        inward, self._inward = self._inward, b""
        response = self._respond(inward.removeprefix(LLC_REQUEST)) if inward.startswith(LLC_REQUEST) else None
        if response is None:
            return None
        self._outward = LLC_REPLY + response
        return self._sent(frame.source)

    def _next_segment(self, frame: HdlcFrame) -> HdlcFrame:
        if self._last is not None and frame.receive_number == self._last.send_number:
            return self._last
        if not self._outward:
            return self._frame(frame.source, hdlc.receive_ready_control(self._receive))
        return self._sent(frame.source)

    def _sent(self, client: HdlcAddress) -> HdlcFrame:
        segment, self._outward = self._outward[: self._limits.sends], self._outward[self._limits.sends :]
        control = hdlc.information_control(self._send, self._receive)
        self._send = (self._send + 1) % 8
        self._last = self._frame(client, control, segment, segmented=bool(self._outward))
        return self._last

    def _frame(
        self, client: HdlcAddress, control: int, information: bytes = b"", *, segmented: bool = False
    ) -> HdlcFrame:
        return HdlcFrame(client, self._server, control, information, segmented)

    def _forget(self) -> None:
        self._send = self._receive = 0
        self._inward = self._outward = b""
        self._last = None
        self._restart()
