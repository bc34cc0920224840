"""CJ/T 188 at both ends: water, heat and gas meters, read only.

Theory of operation. A request carries a data identifier and a serial number that rises with each request; the answer
repeats both. Meters send the identifier in either order whatever the request had, some answer with another type octet
than they were asked by (25 for 20), and some do not repeat the number: the profile says so. A meter is known by its
seven address octets alone. Source: CJ/T 188-2004, 6 and 7.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial

from device_profiles.framing.cjt188_frame import (
    ANY_METER,
    ANY_TYPE,
    FROM_METER,
    REFUSED,
    WAKE_UP,
    Cjt188Frame,
    answer_of,
    check_address,
    frame_at,
    octets_until_answer,
    request_end,
    scan,
)
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, one_exchange
from device_profiles.framing.errors import AnswerMismatch, ExceptionReply, FrameError
from device_profiles.profile import ReadRequest

READ = 0x01
READ_ADDRESS = 0x03
ADDRESS_ITEM = bytes.fromhex("810A")
_HEAD_OCTETS = 3
_REFUSAL_OCTETS = 3
_serials = itertools.count()

__all__ = [
    "ADDRESS_ITEM",
    "READ",
    "READ_ADDRESS",
    "Cjt188Frame",
    "Cjt188Read",
    "Cjt188ReadAddress",
    "Cjt188Request",
    "build_exception",
    "build_reply",
    "build_request",
    "check_address",
    "converse",
    "frame_at",
    "octets_expected",
    "parse_reply",
    "parse_request",
    "request_end",
    "scan",
]


@dataclass(frozen=True, slots=True)
class Cjt188Read(ReadRequest):
    """Read one data identifier.

    di              identifier as printed (2 octets): 901F for what the meter counts
    meter_type      type octet of the request: 10 cold water, 20 heat, 30 gas ...
    is_low_first    send the identifier's last octet first (1F 90)
    repeats_serial  whether the meter repeats the request's number
    serial          number to send; None to draw the next one
    """

    di: bytes
    meter_type: int
    is_low_first: bool = False
    repeats_serial: bool = True
    serial: int | None = None


@dataclass(frozen=True, slots=True)
class Cjt188ReadAddress(ReadRequest):
    """Ask whoever is on the line for its address; of use only where one meter is on the line.

    meter_type  type octet of the request; AA for any
    serial      number to send; None to draw the next one
    """

    meter_type: int = ANY_TYPE
    serial: int | None = None


Cjt188Request = Cjt188Read | Cjt188ReadAddress


def build_request(address: str, read: Cjt188Request) -> bytes:
    """Give the frame, with wake-up, that asks meter `address` for `read`; its number is 0 unless `read` has one."""
    if isinstance(read, Cjt188ReadAddress):
        control, identifier = READ_ADDRESS, ADDRESS_ITEM
    else:
        control, identifier = READ, read.di[::-1] if read.is_low_first else read.di
    return WAKE_UP + Cjt188Frame(read.meter_type, address, control, identifier + bytes((read.serial or 0,))).to_wire()


def converse(address: str, read: Cjt188Request, secrets: MeterSecrets = NO_SECRETS) -> Conversation:
    """Ask meter `address` for `read`; returns what follows identifier and number, or the address as printed."""
    del secrets
    if read.serial is None:
        read = replace(read, serial=next(_serials) & 0xFF)
    return one_exchange(build_request(address, read), octets_until_answer, partial(parse_reply, address, read))


def octets_expected(read: ReadRequest | None, received: bytes) -> int:
    """Give how many octets must arrive, at least, until `received` can hold a frame from a meter."""
    del read
    return octets_until_answer(received)


def parse_reply(address: str, read: Cjt188Request, frame: bytes) -> bytes:
    """Give the octets after identifier and number, or the address as printed; raises FrameError or ExceptionReply."""
    answer = answer_of(address, frame)
    is_address = isinstance(read, Cjt188ReadAddress)
    function = READ_ADDRESS if is_address else READ
    identifier = ADDRESS_ITEM if isinstance(read, Cjt188ReadAddress) else read.di
    if answer.control == function | FROM_METER | REFUSED:
        raise _refusal(answer)
    if answer.control != function | FROM_METER:
        raise AnswerMismatch(f"control {answer.control:#04x}; an answer to this has {function | FROM_METER:#04x}")
    got, content = answer.field[:2], answer.field[_HEAD_OCTETS:]
    if len(answer.field) < _HEAD_OCTETS or got not in (identifier, identifier[::-1]):
        raise AnswerMismatch(f"answer for {got.hex()}, asked was {identifier.hex()}")
    if isinstance(read, Cjt188Read) and read.repeats_serial and answer.field[2] != (read.serial or 0):
        raise AnswerMismatch(f"answer to request {answer.field[2]}, asked was {read.serial or 0}")
    if not is_address:
        return content
    if content or answer.address == ANY_METER:
        raise AnswerMismatch(f"no address in {frame.hex()}")
    return bytes.fromhex(answer.address)


def parse_request(frame: bytes) -> tuple[str, Cjt188Request]:
    """Give address and content of the one request in `frame`, for the meter's end; raises FrameError."""
    found, _ = scan(frame)
    if len(found) != 1 or len(found[0].field) != _HEAD_OCTETS:
        raise FrameError(f"not one CJ/T 188 request that we answer: {frame.hex()}")
    asked = found[0]
    identifier, serial = asked.field[:2], asked.field[2]
    if asked.control == READ_ADDRESS and ADDRESS_ITEM in (identifier, identifier[::-1]):
        return asked.address, Cjt188ReadAddress(asked.meter_type, serial)
    if asked.control != READ:
        raise FrameError(f"control {asked.control:#04x} is no CJ/T 188 read")
    return asked.address, Cjt188Read(identifier, asked.meter_type, serial=serial)


def build_reply(address: str, read: Cjt188Request, body: bytes) -> bytes:
    """Give the frame, with wake-up, in which meter `address` answers `read`, its identifier in the same order."""
    if isinstance(read, Cjt188ReadAddress):
        control, identifier = READ_ADDRESS, ADDRESS_ITEM
    else:
        control, identifier = READ, read.di
    field = identifier + bytes((read.serial or 0,)) + body
    return WAKE_UP + Cjt188Frame(read.meter_type, address, control | FROM_METER, field).to_wire()


def build_exception(address: str, read: Cjt188Read, status: int) -> bytes:
    """Give the frame in which meter `address` refuses a read; `status` is its status word, first octet low."""
    field = bytes((read.serial or 0,)) + status.to_bytes(2, "little")
    return WAKE_UP + Cjt188Frame(read.meter_type, address, READ | FROM_METER | REFUSED, field).to_wire()


def _refusal(answer: Cjt188Frame) -> FrameError | ExceptionReply:
    if len(answer.field) != _REFUSAL_OCTETS:
        return FrameError(f"a refusal carries a number and a status word, not {len(answer.field)} octets")
    word = int.from_bytes(answer.field[1:], "little")
    return ExceptionReply(word, status_told(word))


def status_told(word: int) -> str:
    """Say what the standard's bits of a status word mean (low octet first); the high octet is the maker's."""
    valve = ("valve open (阀门开)", "valve closed (阀门关)", "valve unclear (阀门状态不明)", "valve faulty (阀门异常)")
    told = [valve[word & 3]]
    if word & 4:
        told.append("battery low (电池欠压)")
    if rest := word & ~7:
        told.append(f"maker's bits {rest:#06x} (厂商自定义位)")
    return ", ".join(told)
