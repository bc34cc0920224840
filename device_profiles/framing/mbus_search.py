"""Find every M-Bus meter on a line by its secondary address, with wildcards (EN 13757-3, 11.5). Sans I/O.

Theory of operation. Meters whose identification begins with some digits are selected together. Silence: there is none.
Otherwise one REQ_UD2 is sent: a telegram with a right checksum comes from one meter, anything else is several meters
at once, and the next digit is tried from 0 to 9. The acknowledge alone proves nothing: several meters acknowledge in
the same instant and it looks like one. A meter found is confirmed by its own header, never by the digits tried.
Meters with the same identification, or whose identification has letters for digits, cannot be told apart by digits;
they are reported as `unresolved`.

The search is a generator: it yields frames to send and is sent what came back, however broken, b"" for silence.
`conversation` makes it one that a line carries out.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from device_profiles.framing.conversation import Conversation, Exchange
from device_profiles.framing.mbus import request_frame, reset_frame, select_frame
from device_profiles.framing.mbus_address import MbusAddress, secondary_of
from device_profiles.framing.mbus_frame import (
    SELECTED,
    MbusFrame,
    acknowledge_octets,
    answer_octets,
    telegram_in,
    without_echo,
)
from device_profiles.framing.mbus_records import telegram_from_user
from metering.errors import MeterError

_DIGITS = "0123456789"
_IDENTIFICATION_DIGITS = 8


@dataclass(slots=True)
class FoundMeters:
    """What a search found.

    meters      secondary addresses of sixteen digits, in the order found
    unresolved  first digits behind which something answers that no further digit tells apart, or that is not understood
    selections  how many masks were tried
    """

    meters: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    selections: int = 0


Search = Generator[MbusFrame, bytes, FoundMeters]


def search(first_digits: str = "", *, certain: bool = False, found: FoundMeters | None = None) -> Search:
    """Search all meters whose identification begins with `first_digits`.

    certain   try every digit even where one right telegram came: telegrams of several meters may overlay each other to
              one with a right checksum, which hides a meter. About 80 selections a meter instead of a few.
    found     where finds are put as they come, for whoever wants to see them before the search ends
    """
    found = FoundMeters() if found is None else found
    yield from _search_below(first_digits, found, certain)
    yield reset_frame(SELECTED)
    return found


def conversation(first_digits: str = "", *, certain: bool = False) -> Conversation:
    """Search as a conversation that a line can carry out; returns the meters' secondary addresses, one a line.

    What is unresolved follows, each with a question mark before it.
    """
    hunt = search(first_digits, certain=certain)
    try:
        frame = next(hunt)
        while True:
            expected = acknowledge_octets if frame.user else answer_octets
            frame = hunt.send((yield Exchange(frame.to_wire(), expected, silence_is_answer=True)))
    except StopIteration as ended:
        found: FoundMeters = ended.value
        return "\n".join([*found.meters, *(f"?{digits}" for digits in found.unresolved)]).encode()


def _search_below(digits: str, found: FoundMeters, certain: bool) -> Generator[MbusFrame, bytes, bool]:
    """Search the meters whose identification begins with `digits`; say whether anything answered at all."""
    found.selections += 1
    acknowledged = yield select_frame(MbusAddress.parse(digits.ljust(_IDENTIFICATION_DIGITS, "F")))
    if not without_echo(acknowledged):
        return False
    address = _meter_of((yield request_frame(SELECTED, frame_count_bit=True)))
    is_last = len(digits) == _IDENTIFICATION_DIGITS
    if address is not None and address.startswith(digits) and (is_last or not certain):
        if address not in found.meters:
            found.meters.append(address)
        return True
    answered = False
    if not is_last:
        for digit in _DIGITS:
            answered |= yield from _search_below(digits + digit, found, certain)
    if not answered:
        found.unresolved.append(digits)
    return True


def _meter_of(received: bytes) -> str | None:
    """Give the secondary address in one right telegram; None for silence, collision or what cannot be understood."""
    try:
        telegram = telegram_from_user(telegram_in(received).user)
    except MeterError:
        return None
    return secondary_of(telegram) if telegram.identification else None
