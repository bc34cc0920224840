"""Makes the check of a changed frame right again, so that what lies behind the check is tried too."""

from __future__ import annotations

import random
from collections.abc import Callable

from device_profiles.framing import hdlc, modbus_rtu
from device_profiles.profile import Protocol

Mend = Callable[[random.Random, bytes], bytes]


def modbus(_draw: random.Random, frame: bytes) -> bytes:
    """CRC-16 over all but the last two octets."""
    return modbus_rtu.with_crc(frame[:-2])


def summed(draw: random.Random, frame: bytes) -> bytes:
    """Begin, length and sum of DL/T 645 and CJ/T 188: 68 ... length data sum 16."""
    at = frame.find(b"\x68")
    if at < 0 or len(frame) < at + 14:
        return frame
    body = bytearray(frame[at:-2])
    if draw.random() < 0.8:
        place = 9 if frame[at + 7] == 0x68 else 10
        body[place] = (len(body) - place - 1) & 0xFF
    return frame[:at] + bytes(body) + bytes((sum(body) & 0xFF, 0x16))


def mbus(_draw: random.Random, frame: bytes) -> bytes:
    """Lengths and sum of a long M-Bus frame: 68 L L 68 ... sum 16."""
    if len(frame) < 9 or frame[0] != 0x68:
        return frame
    body = frame[4:-2][:255]
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


def hdlc_frame(_draw: random.Random, frame: bytes) -> bytes:
    """Length and last check of one HDLC frame: 7E A0 length ... check check 7E."""
    if len(frame) < 9 or frame[0] != 0x7E:
        return frame
    body = bytearray(frame[1:-3])
    length = len(body) + 2
    body[0], body[1] = body[0] & 0xF8 | length >> 8 & 7, length & 0xFF
    return b"\x7e" + bytes(body) + hdlc.fcs16(bytes(body)) + b"\x7e"


def wrapper(_draw: random.Random, frame: bytes) -> bytes:
    """Length of a DLMS wrapper: its last two octets of eight."""
    return frame[:6] + (len(frame[8:]) & 0xFFFF).to_bytes(2, "big") + frame[8:] if len(frame) > 8 else frame


def tcp(_draw: random.Random, frame: bytes) -> bytes:
    """Length of a Modbus TCP header."""
    return frame[:4] + (len(frame[6:]) & 0xFFFF).to_bytes(2, "big") + frame[6:] if len(frame) > 6 else frame


def read_out(_draw: random.Random, frame: bytes) -> bytes:
    """Block check of IEC 62056-21: all after the first control octet, combined by exclusive or."""
    if len(frame) < 4 or frame[0] not in (0x01, 0x02):
        return frame
    check = 0
    for octet in frame[1:-1]:
        check ^= octet
    return frame[:-1] + bytes((check & 0x7F,))


MENDS: dict[Protocol, Mend] = {
    Protocol.MODBUS_RTU: modbus,
    Protocol.MODBUS_TCP: tcp,
    Protocol.DLT645_2007: summed,
    Protocol.DLT645_1997: summed,
    Protocol.CJT188_2004: summed,
    Protocol.CJT188_2018: summed,
    Protocol.MBUS: mbus,
    Protocol.IEC62056_21: read_out,
    Protocol.DLMS_HDLC: hdlc_frame,
    Protocol.DLMS_WRAPPER: wrapper,
}
