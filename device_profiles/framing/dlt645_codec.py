"""DL/T 645 at both ends, for either edition: requests and answers, blocks that go on, addresses, freezes, the time.

Theory of operation. A read is one request and one answer, or a request, an answer that says more follows, and follow-up
requests until one does not. In the 2007 edition follow-ups are numbered and the number comes back; in the 1997 edition
they are not, so only the length of the whole, which the profile states, shows a lost part, and only the line's
quarantine keeps out one that comes twice. Broadcasts are not answered.
Sources: DL/T 645-2007, 7; DL/T 645-1997, 6.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from device_profiles.framing.conversation import (
    NO_SECRETS,
    Conversation,
    Exchange,
    MeterSecrets,
    broadcast,
    one_exchange,
)
from device_profiles.framing.dlt645_dialect import SET_TIME, Dialect
from device_profiles.framing.dlt645_frame import (
    ANY_METER,
    BROADCAST,
    FROM_METER,
    MORE_FOLLOWS,
    REFUSED,
    WAKE_UP,
    Dlt645Frame,
    answer_of,
    check_address,
    is_address,
    octets_until_answer,
    scan,
)
from device_profiles.framing.dlt645_requests import (
    Dlt645Freeze,
    Dlt645Read,
    Dlt645ReadAddress,
    Dlt645Request,
    Dlt645SetTime,
)
from device_profiles.framing.errors import (
    AddressMismatch,
    AnswerMismatch,
    ExceptionReply,
    FrameError,
    NotInProtocol,
)

NO_SUCH_ITEM = 0x02
OCTET_PAUSE_MS = 500
"""Longest pause between two octets of an answer (DL/T 645-2007, 5.2: Tb) [ms]."""
FOLLOW_UPS_MAX = 16
"""Most follow-up frames of one read: some 3 kB, more than any block of either edition."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A meter is asked for the next part of an answer; `number` counts from 1, None in the 1997 edition."""

    di: bytes
    number: int | None


class Dlt645Codec:
    """One edition of DL/T 645, without state."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def check_address(self, text: str) -> str:
        """Return `text` if it is one meter's address of 12 decimal digits; raises AddressInvalid."""
        return check_address(text)

    def build_request(self, address: str, request: Dlt645Request) -> bytes:
        """Give the frame, with wake-up, that puts `request` to meter `address`; of a double read its first."""
        function, field = self._asked(request)
        return WAKE_UP + Dlt645Frame(address, function, field).to_wire()

    def octets_expected(self, request: Dlt645Request | None, received: bytes) -> int:
        """Give how many octets must arrive, at least, until `received` can hold a frame from a meter."""
        del request
        return octets_until_answer(received)

    def parse_reply(self, address: str, request: Dlt645Request, frame: bytes) -> bytes:
        """Give the body of an answer that fits one frame; raises a FrameError or ExceptionReply.

        The body is what follows the data identifier, or the meter's address as printed, or nothing for a freeze.
        """
        answer = answer_of(address, frame)
        function, field = self._asked(request)
        if isinstance(request, Dlt645ReadAddress):
            return self._address_in(answer, function, field)
        content, goes_on = self._content(answer, function, field if isinstance(request, Dlt645Read) else b"")
        if goes_on:
            raise AnswerMismatch("the answer goes on in further frames; ask by a conversation, or for less")
        return content

    def converse(self, address: str, request: Dlt645Request, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
        """Put `request` to meter `address`, with every follow-up it takes; returns the body of the whole answer."""
        del secrets
        if not isinstance(request, Dlt645Read):
            parse = partial(self.parse_reply, address, request)
            asked = self.build_request(address, request)
            return (yield from one_exchange(asked, octets_until_answer, parse, octet_pause_ms=OCTET_PAUSE_MS))
        body = yield from self._whole(address, request.di)
        return body + ((yield from self._whole(address, request.also)) if request.also else b"")

    def set_time(self, local: datetime) -> Conversation:
        """Tell every meter on the line the wall-clock time `local` (naive, in the meters' own zone)."""
        return broadcast(self.build_request(BROADCAST, Dlt645SetTime(local)))

    def freeze(self) -> Conversation:
        """Have every meter on the line copy its registers now; raises NotInProtocol in an edition without it."""
        return broadcast(self.build_request(BROADCAST, Dlt645Freeze()))

    def parse_request(self, frame: bytes) -> tuple[str, Dlt645Request | FollowUp]:
        """Give address and content of the one request in `frame`, as the meter's end reads it; raises FrameError."""
        found, _ = scan(frame)
        request = self._request_of(found[0]) if len(found) == 1 else None
        if request is None:
            raise FrameError(f"not one {self.dialect.name} request that we answer: {frame.hex()}")
        return found[0].address, request

    def build_reply(self, address: str, read: Dlt645Read, body: bytes, *, goes_on: bool = False) -> bytes:
        """Give the frame, with wake-up, in which meter `address` answers `read`, or begins to."""
        control = self.dialect.read | FROM_METER | MORE_FOLLOWS * goes_on
        return WAKE_UP + Dlt645Frame(address, control, read.di[::-1] + body).to_wire()

    def build_follow_up_reply(self, address: str, asked: FollowUp, body: bytes, *, goes_on: bool) -> bytes:
        """Give the frame in which meter `address` goes on with an answer."""
        control = self.dialect.follow | FROM_METER | MORE_FOLLOWS * goes_on
        field = asked.di[::-1] + body + _number(asked.number)
        return WAKE_UP + Dlt645Frame(address, control, field).to_wire()

    def build_address_reply(self, address: str) -> bytes:
        """Give the frame in which meter `address` says its address."""
        octets = bytes.fromhex(address)[::-1]
        if self.dialect.read_address is None:
            return self.build_reply(address, Dlt645Read(self.dialect.address_di), octets)
        return WAKE_UP + Dlt645Frame(address, self.dialect.read_address | FROM_METER, octets).to_wire()

    def build_exception(self, address: str, request: Dlt645Request | FollowUp, code: int) -> bytes:
        """Give the frame in which meter `address` refuses `request` with error word `code`."""
        function = self.dialect.follow if isinstance(request, FollowUp) else self._asked(request)[0]
        return WAKE_UP + Dlt645Frame(address, function | FROM_METER | REFUSED, bytes((code,))).to_wire()

    def build_done(self, address: str, request: Dlt645Freeze) -> bytes:
        """Give the frame in which meter `address` says that it froze its registers."""
        return WAKE_UP + Dlt645Frame(address, self._asked(request)[0] | FROM_METER, b"").to_wire()

    def _asked(self, request: Dlt645Request) -> tuple[int, bytes]:
        """Give function and field of a request; raises NotInProtocol for what the edition does not have."""
        dialect = self.dialect
        if isinstance(request, Dlt645SetTime):
            return SET_TIME, request.to_wire()
        if isinstance(request, Dlt645Freeze):
            if dialect.freeze is None:
                raise NotInProtocol(f"{dialect.name} has no freeze command")
            return dialect.freeze, request.to_wire()
        if isinstance(request, Dlt645ReadAddress) and dialect.read_address is not None:
            return dialect.read_address, b""
        identifier = request.di if isinstance(request, Dlt645Read) else dialect.address_di
        if len(identifier) != dialect.di_octets:
            problem = f"{identifier.hex()} is no identifier of {dialect.name}"
            raise NotInProtocol(f"{problem}: those have {dialect.di_octets} octets")
        return dialect.read, identifier[::-1]

    def _whole(self, address: str, identifier: bytes) -> Conversation:
        """Read one identifier with all that follows."""
        dialect, head = self.dialect, identifier[::-1]
        content, goes_on = yield from self._part(address, dialect.read, self._asked(Dlt645Read(identifier))[1], head)
        parts = [content]
        while goes_on:
            if len(parts) > FOLLOW_UPS_MAX:
                raise AnswerMismatch(f"the answer goes on beyond {FOLLOW_UPS_MAX} follow-up frames")
            number = _number(len(parts) if dialect.is_numbered else None)
            content, goes_on = yield from self._part(address, dialect.follow, head + number, head, number)
            parts.append(content)
        return b"".join(parts)

    def _part(
        self, address: str, function: int, field: bytes, head: bytes, tail: bytes = b""
    ) -> Generator[Exchange, bytes, tuple[bytes, bool]]:
        """Ask once; give what stands between `head` and `tail` in the answer, and whether the answer goes on."""

        def parse(received: bytes) -> tuple[bytes, bool]:
            content, goes_on = self._content(answer_of(address, received), function, head)
            if not content.endswith(tail):
                raise AnswerMismatch(f"follow-up {content[-1:].hex()}, asked was {tail.hex()}")
            return content[: len(content) - len(tail)], goes_on

        request = WAKE_UP + Dlt645Frame(address, function, field).to_wire()
        received = yield Exchange(
            request, octets_until_answer, check=lambda octets: parse(octets)[0], octet_pause_ms=OCTET_PAUSE_MS
        )
        return parse(received)

    def _content(self, answer: Dlt645Frame, function: int, head: bytes) -> tuple[bytes, bool]:
        """Give what follows `head` in an answer to `function`, and whether the answer goes on."""
        if answer.control == function | FROM_METER | REFUSED:
            raise self._refusal(answer)
        if answer.control & ~MORE_FOLLOWS != function | FROM_METER:
            raise AnswerMismatch(f"control {answer.control:#04x}; an answer to this has {function | FROM_METER:#04x}")
        if not answer.field.startswith(head):
            got, asked = answer.field[: len(head)][::-1], head[::-1]
            raise AnswerMismatch(f"answer for {got.hex()}, asked was {asked.hex()}")
        return answer.field[len(head) :], bool(answer.control & MORE_FOLLOWS)

    def _address_in(self, answer: Dlt645Frame, function: int, head: bytes) -> bytes:
        """Give the address a meter listens to: its frame's, but for meters that answer under the common one."""
        content, goes_on = self._content(answer, function, head)
        if len(content) != 6 or goes_on:
            raise AnswerMismatch(f"an address of {len(content)} octets")
        stated = content[::-1].hex().upper()
        heard = stated if answer.address == ANY_METER else answer.address
        if not is_address(heard):
            raise AnswerMismatch(f"{heard} is no meter's address")
        if heard != stated and self.dialect.read_address is not None:
            raise AddressMismatch(f"meter {heard} says that its address is {stated}")
        return bytes.fromhex(heard)

    def _request_of(self, frame: Dlt645Frame) -> Dlt645Request | FollowUp | None:
        """Give what a frame asks; None for what the meter's end does not know."""
        dialect, field = self.dialect, frame.field
        identifier, rest = field[: dialect.di_octets][::-1], field[dialect.di_octets :]
        if frame.control == dialect.read and len(identifier) == dialect.di_octets and not rest:
            asks_address = dialect.read_address is None and frame.address == ANY_METER
            return Dlt645ReadAddress() if asks_address and identifier == dialect.address_di else Dlt645Read(identifier)
        if frame.control == dialect.follow and len(rest) == dialect.is_numbered:
            return FollowUp(identifier, rest[0] if rest else None)
        if frame.control == dialect.read_address and not field:
            return Dlt645ReadAddress()
        if frame.control == dialect.freeze and field == Dlt645Freeze().to_wire():
            return Dlt645Freeze()
        return None

    def _refusal(self, answer: Dlt645Frame) -> FrameError | ExceptionReply:
        if len(answer.field) != 1:
            return FrameError(f"a refusal carries one error word, not {len(answer.field)} octets")
        return ExceptionReply(answer.field[0], self.dialect.meaning(answer.field[0]))


def _number(number: int | None) -> bytes:
    return b"" if number is None else bytes((number,))
