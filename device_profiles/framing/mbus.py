"""Reading an M-Bus meter: reset or select, then all its telegrams (EN 13757-2, 5.7; EN 13757-3, 11.3). Sans I/O.

Theory of operation. A read keeps no state from the one before, so it begins by clearing the meter's frame count bit:
SND_NKE to a primary address, or the selection by secondary address, which clears it too. Then REQ_UD2 with the bit set;
while the telegram says that more follow (DIF 1F), REQ_UD2 with the bit changed each time. A meter that missed the
change sends its last telegram again: two equal telegrams in a row are refused, or one part would stand for two.
An answer must come from the address that was asked; after a selection the header must be that of the selected meter.

The body of a read is every telegram's user octets with their length before each, so that the fixed and the variable
structure pass unchanged to where records become registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_profiles.framing.conversation import NO_SECRETS, Conversation, Exchange, MeterSecrets
from device_profiles.framing.errors import AddressMismatch, AnswerMismatch, FrameError
from device_profiles.framing.mbus_address import MbusAddress
from device_profiles.framing.mbus_frame import (
    ANY_METER,
    FRAME_COUNT_BIT,
    REQ_UD2,
    SELECTED,
    SND_NKE,
    SND_UD,
    MbusFrame,
    acknowledge_octets,
    answer_octets,
    require_acknowledge,
    telegram_in,
)
from device_profiles.framing.mbus_records import MbusTelegram, telegram_from_user
from device_profiles.profile import ReadRequest

CI_SELECT = 0x52
TELEGRAMS_MAX = 64
"""More telegrams than any meter has; a meter that never ends must not hold the line."""


@dataclass(frozen=True, slots=True)
class MbusRead(ReadRequest):
    """Read a meter's telegrams until it has no more, at most `telegrams`.

    media   media the meter may name in its header; none for any
    """

    telegrams: int = 1
    media: tuple[int, ...] = ()


def check_address(text: str) -> str:
    """Return a well-formed address: primary as it is, secondary with all sixteen digits; raises AddressInvalid."""
    return str(MbusAddress.parse(text))


def converse(address: str, read: MbusRead, secrets: MeterSecrets = NO_SECRETS, /) -> Conversation:
    """Reset or select the meter, then ask for its telegrams."""
    del secrets
    meter = MbusAddress.parse(address)
    begin = reset_frame(meter.link) if meter.primary is not None else select_frame(meter)
    require_acknowledge((yield Exchange(begin.to_wire(), acknowledge_octets, check=require_acknowledge)))
    users: list[bytes] = []
    frame_count_bit = True
    while True:
        request = request_frame(meter.link, frame_count_bit=frame_count_bit).to_wire()
        frame = telegram_in((yield Exchange(request, answer_octets, check=telegram_in)))
        telegram = checked_telegram(meter, frame)
        if read.media and telegram.medium not in read.media:
            raise AnswerMismatch(f"the meter's medium is {telegram.medium:#04x}, the profile reads {_hex(read.media)}")
        require_next(frame.user, users)
        users.append(frame.user)
        if not telegram.more_follows or len(users) == read.telegrams:
            return body_of(users)
        frame_count_bit = not frame_count_bit


def reset_frame(address: int) -> MbusFrame:
    """SND_NKE: clear the frame count bit; the meter acknowledges."""
    return MbusFrame(SND_NKE, address)


def select_frame(address: MbusAddress) -> MbusFrame:
    """SND_UD that selects a meter by its secondary address, and deselects every other; the meter acknowledges."""
    return MbusFrame(SND_UD | FRAME_COUNT_BIT, SELECTED, bytes((CI_SELECT,)) + address.mask)


def request_frame(address: int, *, frame_count_bit: bool) -> MbusFrame:
    """REQ_UD2: ask for the next telegram."""
    return MbusFrame(REQ_UD2 | (FRAME_COUNT_BIT if frame_count_bit else 0), address)


def checked_telegram(address: MbusAddress, frame: MbusFrame) -> MbusTelegram:
    """Take the answer of the meter that was asked apart; raises AddressMismatch, FrameError or ExceptionReply."""
    if address.primary not in (None, ANY_METER, frame.address):
        raise AddressMismatch(f"answer from address {frame.address}, asked was {address}")
    telegram = telegram_from_user(frame.user)
    if not address.fits(telegram):
        raise AddressMismatch(f"answer from meter {telegram.identification}, asked was {address}")
    return telegram


def body_of(telegrams: list[bytes]) -> bytes:
    """Join the user octets of telegrams."""
    return b"".join(bytes((len(user),)) + user for user in telegrams)


def telegrams_in(body: bytes) -> Iterator[MbusTelegram]:
    """Take a body apart into telegrams; raises FrameError."""
    at = 0
    while at < len(body):
        end = at + 1 + body[at]
        if end > len(body) or not body[at]:
            raise FrameError("a telegram of the body is cut off")
        yield telegram_from_user(body[at + 1 : end])
        at = end


def require_next(user: bytes, earlier: list[bytes]) -> None:
    """Check that a telegram is not the one before it, sent again; raises AnswerMismatch."""
    if earlier and user == earlier[-1]:
        raise AnswerMismatch("the meter sent the same telegram twice: it did not see the frame count bit change")


def _hex(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"{number:#04x}" for number in numbers)
