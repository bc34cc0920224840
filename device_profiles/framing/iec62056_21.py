"""IEC 62056-21 mode C: sign on, agree on a speed, then read everything out or ask for names. Sans I/O, both ends.

Theory of operation. `/?address!` is answered by `/MMMZtext`: maker, speed character, text. The acknowledgement
`ACK 0 Z m` is still sent at the first speed; the meter answers at the speed of Z, which the exchange tells the line.
With m = 0 one data block follows and the session is over. With m = 1 (programming mode) the meter sends P0, takes a
password (P1) where the profile says that one is needed, answers each R1 and is released by B0.

A block runs from STX (or SOH) to ETX and a check octet: the exclusive or of all octets after the first STX or SOH up to
ETX. Some makers send the sum modulo 128 instead (Energomera CE102M, by its public captures), so the profile says which.
The data are ASCII in 7 bits with even parity; the line's settings take care of the parity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

from device_profiles.framing.conversation import NO_SECRETS, Conversation, Exchange, MeterSecrets
from device_profiles.framing.errors import AddressInvalid, AnswerMismatch, CrcError, ExceptionReply, FrameError
from device_profiles.framing.iec62056_lines import TEXT_OCTETS_MAX, data_sets
from device_profiles.profile import ReadRequest

SOH, STX, ETX, ACK, NAK = b"\x01", b"\x02", b"\x03", b"\x06", b"\x15"
CRLF = b"\r\n"
BREAK = b"B0"
BAUDS = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19_200}
ANY_METER = "*"
"""Written where a meter is alone on its line and is asked without address."""
READ_OUT, PROGRAMMING = "0", "1"

_ADDRESS = re.compile(r"[0-9A-Za-z ]{1,32}\Z", re.ASCII)
_IDENTIFICATION = re.compile(rb"/([A-Za-z]{3})([0-9A-Za-z])([^\r\n]*)\r\n")
_SIGN_ON = re.compile(rb"/\?([0-9A-Za-z ]{0,32})!\r\n")
_OPTION = re.compile(rb"\x060([0-9])([01])\r\n")
_LINE_OCTETS_MAX = 64
_OCTET_PAUSE_MS = 1500
"""Longest time between two characters of a message (6.3.14): meters stop to think between lines."""
_REACTION_MS = 200
_REACTION_MS_FAST = 20
"""Least silence before the acknowledgement; makers who write a lower-case third letter take 20 ms (6.3.14)."""


class BlockCheck(StrEnum):
    """How a meter makes the check octet."""

    XOR = "xor"
    SUM = "sum"

    def of(self, octets: bytes) -> int:
        """Give the check octet of what stands after the first STX or SOH, ETX included."""
        return reduce(xor, octets, 0) & 0x7F if self is BlockCheck.XOR else sum(octets) & 0x7F


@dataclass(frozen=True, slots=True)
class Iec62056Read(ReadRequest):
    """One session.

    names     registers to ask for in programming mode; none for a read-out of everything
    check     how the meter makes its check octet
    switches  whether the meter changes speed; many RS-485 ports stay at one
    password  whether programming mode begins with a password from the key folder
    """

    names: tuple[str, ...] = ()
    check: BlockCheck = BlockCheck.XOR
    switches: bool = True
    password: bool = False


@dataclass(frozen=True, slots=True)
class Identification:
    """How a meter presents itself; `baud` is None for a meter without mode C."""

    maker: str
    baud_character: str
    text: str

    @property
    def baud(self) -> int | None:
        """Speed that the meter offers [bit/s]."""
        return BAUDS.get(self.baud_character)

    @property
    def reaction_ms(self) -> int:
        """Silence before the acknowledgement [ms]."""
        return _REACTION_MS_FAST if self.maker[2].islower() else _REACTION_MS


def check_address(text: str) -> str:
    """Return a meter's address, or `*` for a meter alone on its line; raises AddressInvalid."""
    if text != ANY_METER and not _ADDRESS.match(text):
        raise AddressInvalid(f"{text!r} is not an IEC 62056-21 address: up to 32 letters and digits, or {ANY_METER}")
    return text


def converse(address: str, read: Iec62056Read, secrets: MeterSecrets = NO_SECRETS, /) -> Conversation:
    """Sign on and read out, or ask for `read.names` one after another."""
    greeting = yield Exchange(sign_on(address), line_octets, check=identification_in, octet_pause_ms=_OCTET_PAUSE_MS)
    meter = identification_in(greeting)
    if meter.baud is None:
        raise AnswerMismatch(f"speed character {meter.baud_character!r} is not one of mode C (0 to 6)")
    mode = PROGRAMMING if read.names else READ_OUT
    option = ACK + f"0{meter.baud_character}{mode}".encode() + CRLF
    block = yield Exchange(
        option,
        block_octets,
        check=lambda received: block_in(received, read.check),
        baud=meter.baud if read.switches else None,
        pause_ms=meter.reaction_ms,
        octet_pause_ms=_OCTET_PAUSE_MS,
    )
    content = block_in(block, read.check)
    if not read.names:
        return content
    if not content.startswith(b"P0"):
        raise AnswerMismatch(f"programming mode begins with P0, not {content[:8]!r}")
    if read.password:
        yield from _give_password(read, secrets)
    return (yield from _ask_names(read))


def _give_password(read: Iec62056Read, secrets: MeterSecrets) -> Conversation:
    command = with_check(SOH + b"P1" + STX + b"(" + secrets.secret("password") + b")" + ETX, read.check)
    answer = yield Exchange(command, acknowledge_octets)
    if answer != ACK:
        raise ExceptionReply(answer[0] if answer else 0, "the meter does not take the password")
    return b""


def _ask_names(read: Iec62056Read) -> Conversation:
    body = b""
    for name in read.names:
        command = with_check(SOH + b"R1" + STX + name.encode() + b"()" + ETX, read.check)
        answer = yield Exchange(
            command,
            block_octets,
            check=lambda received: block_in(received, read.check),
            octet_pause_ms=_OCTET_PAUSE_MS,
        )
        body += named(name, block_in(answer, read.check)) + CRLF
    release = with_check(SOH + BREAK + ETX, read.check)
    yield Exchange(release, len, expects_reply=False)
    return body


def sign_on(address: str) -> bytes:
    """Give the sign-on of a meter."""
    return b"/?" + (b"" if address == ANY_METER else address.encode()) + b"!" + CRLF


def line_octets(received: bytes) -> int:
    """Give the length of a line that ends by CR LF; raises FrameError when it is too long."""
    end = received.find(CRLF)
    if end >= 0:
        return end + 2
    if len(received) > _LINE_OCTETS_MAX:
        raise FrameError("no line ends where an identification should")
    return len(received) + 1


def block_octets(received: bytes) -> int:
    """Give the length of a block with its check octet, or of a NAK; raises FrameError when it never ends."""
    if received[:1] == NAK:
        return 1
    end = received.find(ETX)
    if end >= 0:
        return end + 2
    if len(received) > TEXT_OCTETS_MAX:
        raise FrameError(f"no block ends within {TEXT_OCTETS_MAX} octets")
    return len(received) + 1


def acknowledge_octets(received: bytes) -> int:
    """Give 1 for an ACK or NAK, or the length of a block, by which a meter refuses."""
    return 1 if received[:1] in (ACK, NAK, b"") else block_octets(received)


def identification_in(received: bytes) -> Identification:
    """Read an identification line; raises FrameError."""
    match = _IDENTIFICATION.fullmatch(received)
    if match is None:
        raise FrameError(f"no identification line: {received!r}")
    maker, character, text = (part.decode("latin-1") for part in match.groups())
    return Identification(maker, character, text)


def with_check(message: bytes, check: BlockCheck) -> bytes:
    """Append the check octet to a message that begins with SOH or STX and ends with ETX."""
    return message + bytes((check.of(message[1:]),))


def block_in(received: bytes, check: BlockCheck) -> bytes:
    """Give what stands between STX (or SOH) and ETX; raises FrameError, CrcError or ExceptionReply."""
    if received == NAK:
        raise ExceptionReply(NAK[0], "the meter did not understand (NAK)")
    if received[:1] not in (SOH, STX) or len(received) < 3 or received[-2:-1] != ETX:
        raise FrameError(f"no block from STX to ETX: {received[:40]!r}")
    if received[-1] != check.of(received[1:-1]):
        raise CrcError(f"check octet {received[-1]:#04x}, computed by {check}: {check.of(received[1:-1]):#04x}")
    return received[1:-2]


def named(name: str, content: bytes) -> bytes:
    """Give the answer to one name; raises ExceptionReply for a refusal, AnswerMismatch for another name."""
    sets = data_sets(content)
    if not sets:
        raise FrameError(f"no number in {content!r}")
    if not sets[0].name:
        raise ExceptionReply(0, f"the meter refuses {name}: {content.decode('latin-1').strip()}")
    if sets[0].name != name:
        raise AnswerMismatch(f"answer for {sets[0].name}, asked was {name}")
    return content


def request_end(octets: bytes, at: int) -> int | None:
    """Give where the whole request that begins at `at` ends; None when none does. The meter's end uses it."""
    for pattern in (_SIGN_ON, _OPTION):
        if match := pattern.match(octets, at):
            return match.end()
    if octets[at : at + 1] == SOH and (end := octets.find(ETX, at)) >= 0 and end + 2 <= len(octets):
        return end + 2
    return None


def asked_address(request: bytes) -> str | None:
    """Give the address in a sign-on (`*` without one); None for any other request."""
    match = _SIGN_ON.fullmatch(request)
    return None if match is None else match.group(1).decode() or ANY_METER


def chosen_mode(request: bytes) -> str | None:
    """Give the mode in an acknowledgement (0 read-out, 1 programming); None for any other request."""
    match = _OPTION.fullmatch(request)
    return None if match is None else match.group(2).decode()
