"""How one simulated meter misbehaves on the line, and what its registers do that honest ones do not. Pure.

Shares are percent of a meter's answers. What an answer becomes is drawn from a seeded generator, so a run can be
repeated; each spoilt answer is counted by the name of what spoilt it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from device_profiles.framing import dlt645_frame, modbus_pdu, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Protocol

TURNAROUND_MS = 30
LATE_MS = 600
BUSY = 6
"""Modbus exception: server device busy."""
_MODBUS_RTU = (Protocol.MODBUS_RTU, Protocol.MODBUS_RTU_OVER_TCP)
_DLT645 = (Protocol.DLT645_2007, Protocol.DLT645_1997)


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What one meter does; the default is an honest one.

    turnaround_ms   from the end of a request to the first octet of the answer [ms]
    late, late_ms   share of answers that begin so much later [%, ms], even into the next request
    mute            share of requests that stay unanswered [%]
    garbled         share of answers with one octet changed [%]
    cut             share of answers without their end [%]
    busy            share of requests refused as busy, where the protocol has a word for it, else unanswered [%]
    foreign         share of answers under another meter's address [%], Modbus only
    wrong_parity    the meter is set to another parity: octets that the parity bit gives away arrive as 00
    wrap_after_s    counters roll over so long after the start [s]
    reset_at_s      counters fall to 0 so long after the start [s]
    exchange_at_s   another meter, with other registers, hangs there from then on [s]
    clock_jump_at_s, clock_jump_s   the meter's clock jumps then, by so much [s]
    """

    turnaround_ms: int = TURNAROUND_MS
    late: int = 0
    late_ms: int = LATE_MS
    mute: int = 0
    garbled: int = 0
    cut: int = 0
    busy: int = 0
    foreign: int = 0
    wrong_parity: bool = False
    wrap_after_s: int | None = None
    reset_at_s: int | None = None
    exchange_at_s: int | None = None
    clock_jump_at_s: int | None = None
    clock_jump_s: int = 0


HONEST = Misbehaviour()
SHARES = ("late", "mute", "garbled", "cut", "busy", "foreign")


@dataclass(frozen=True, slots=True)
class Spoilt:
    """What comes of an answer: octets (none: silence), how much later it begins [s], and what was done to it."""

    octets: bytes
    later_s: float = 0.0
    names: tuple[str, ...] = ()


def spoilt(draw: random.Random, ways: Misbehaviour, protocol: Protocol, request: bytes, reply: bytes) -> Spoilt:
    """Give what the line gets instead of `reply`."""
    if _happens(draw, ways.mute):
        return Spoilt(b"", names=("mute",))
    if _happens(draw, ways.busy):
        return Spoilt(_refusal(protocol, request), names=("busy",))
    names: list[str] = []
    later_s = 0.0
    if _happens(draw, ways.late):
        names.append("late")
        later_s = ways.late_ms / 1000
    if _happens(draw, ways.foreign) and (other := _for_another(protocol, reply)):
        names.append("foreign")
        reply = other
    if _happens(draw, ways.garbled):
        names.append("garbled")
        at = draw.randrange(len(reply))
        reply = reply[:at] + bytes((reply[at] ^ draw.randrange(1, 256),)) + reply[at + 1 :]
    if _happens(draw, ways.cut):
        names.append("cut")
        reply = reply[: draw.randrange(len(reply))]
    if ways.wrong_parity:
        names.append("wrong-parity")
        reply = bytes(0 if octet.bit_count() % 2 else octet for octet in reply)
    return Spoilt(reply, later_s, tuple(names))


def _happens(draw: random.Random, percent: int) -> bool:
    return percent > 0 and draw.randrange(100) < percent


def _refusal(protocol: Protocol, request: bytes) -> bytes:
    """Say "busy" in the protocol's words; silence where it has none."""
    try:
        if protocol in _MODBUS_RTU:
            address, read = modbus_rtu.parse_request(request)
            return modbus_rtu.build_exception(address, read, BUSY)
        if protocol is Protocol.MODBUS_TCP:
            transaction, address, read = modbus_tcp.parse_request(request)
            return modbus_tcp.build_exception(address, read, BUSY, transaction)
    except FrameError:
        return b""
    if protocol in _DLT645:
        frames, _ = dlt645_frame.scan(request)
        return b"" if not frames else dlt645_frame.Dlt645Frame(frames[0].address, 0xD1, b"\x01").to_wire()
    return b""


def _for_another(protocol: Protocol, reply: bytes) -> bytes:
    if protocol in _MODBUS_RTU:
        return modbus_rtu.with_crc(bytes((reply[0] % modbus_pdu.UNIT_ID_MAX + 1,)) + reply[1:-2])
    if protocol is Protocol.MODBUS_TCP:
        return reply[:6] + bytes((reply[6] % modbus_pdu.UNIT_ID_MAX + 1,)) + reply[7:]
    return b""
