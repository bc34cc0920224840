"""Numbers, texts and times in M-Bus records, read and written exactly (EN 13757-3, annex A). Pure.

Integers and BCD are whole counts; the record's measure says what one count is. A float (data field 5) has no exact
decimal form and says so by its type. None is "no value": the patterns the standard reserves for it.
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from device_profiles.framing.errors import FrameError
from device_profiles.framing.mbus_records import MbusRecord

FIELD_NONE = 0
FIELD_FLOAT = 5
FIELD_SELECTION = 8
FIELD_VARIABLE = 13
BCD_FIELDS = {9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
BINARY_FIELDS = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOAT = struct.Struct("<f")
_CENTURY_PIVOT = 80
"""Two-digit years up to this are 20xx where the meter gives no century."""


def number_in(record: MbusRecord) -> Fraction | None:
    """Give the count that stands in `record`; None for "no value"; raises FrameError for what is no number.

    A whole number is exact. A float gives the fraction it is, which has few decimal digits that mean anything.
    """
    octets = record.octets
    if record.field in (FIELD_NONE, FIELD_SELECTION):
        return None
    if record.field in BINARY_FIELDS:
        return _signed(octets)
    if record.field in BCD_FIELDS:
        return _bcd(octets)
    if record.field == FIELD_FLOAT:
        number: float = _FLOAT.unpack(octets)[0]
        if math.isinf(number):
            raise FrameError(f"{octets.hex()} is an infinity")
        return None if math.isnan(number) else Fraction(number)
    return _variable_number(octets)


def bits_in(record: MbusRecord) -> int | None:
    """Give the octets of `record` as a set of bits, low octet first; raises FrameError for what is no set of bits."""
    if record.field not in BINARY_FIELDS and record.field not in BCD_FIELDS:
        return None if record.field in (FIELD_NONE, FIELD_SELECTION) else _no_number(record)
    return int.from_bytes(record.octets, "little")


def text_in(record: MbusRecord) -> str:
    """Give a text field as read from left to right; raises FrameError when `record` holds no text."""
    if record.field != FIELD_VARIABLE or record.octets[0] > 0xBF:
        raise FrameError("the record holds no text")
    return record.octets[:0:-1].decode("latin-1")


def seconds_in(record: MbusRecord) -> int | None:
    """Give seconds since 1970-01-01T00:00 of the meter's own wall clock, from types F, G and I; None when not valid."""
    octets = record.octets
    if record.field == 2:
        return _seconds(0, 0, 0, octets, century=None)
    if record.field == 4:
        if octets[0] & 0x80:
            return None
        return _seconds(octets[1] & 0x1F, octets[0] & 0x3F, 0, octets[2:4], century=octets[1] >> 5 & 3)
    if record.field == 6:
        if octets[1] & 0x80:
            return None
        return _seconds(octets[2] & 0x1F, octets[1] & 0x3F, octets[0] & 0x3F, octets[3:5], century=None)
    raise FrameError(f"data field {record.field} holds no time")


def octets_of(count: int, field: int) -> bytes:
    """Write `count` into a binary or BCD field, as a meter does; raises FrameError when it does not fit."""
    try:
        if field in BINARY_FIELDS:
            return count.to_bytes(BINARY_FIELDS[field], "little", signed=True)
        digits = str(abs(count)).rjust(2 * BCD_FIELDS[field], "0")
        if len(digits) > 2 * BCD_FIELDS[field] or (count < 0 and digits[0] != "0"):
            raise OverflowError
        return bytes.fromhex("F" + digits[1:] if count < 0 else digits)[::-1]
    except (OverflowError, KeyError) as error:
        raise FrameError(f"{count} does not fit data field {field}") from error


def time_octets(seconds: int) -> bytes:
    """Write seconds since 1970-01-01T00:00 as date and time of type F (to the minute)."""
    moment = _EPOCH + timedelta(seconds=seconds)
    year = moment.year - (1900 if moment.year < 2000 else 2000)
    low, high = (year & 7) << 5 | moment.day, (year >> 3) << 4 | moment.month
    century = 1 if moment.year >= 2000 else 0
    return bytes((moment.minute, century << 5 | moment.hour, low, high))


def _signed(octets: bytes) -> Fraction | None:
    """Type B: two's complement; the most negative number is "no value"."""
    if octets[-1] == 0x80 and not any(octets[:-1]):
        return None
    return Fraction(int.from_bytes(octets, "little", signed=True))


def _bcd(octets: bytes) -> Fraction | None:
    """Type A: digits, low octet first; a first digit F is a minus; all F is "no value"."""
    digits = octets[::-1].hex()
    if digits.strip("f") == "":
        return None
    negative = digits[0] == "f"
    if negative:
        digits = digits[1:]
    if not digits.isdecimal():
        raise FrameError(f"{octets[::-1].hex()} is not BCD")
    return Fraction(-int(digits) if negative else int(digits))


def _variable_number(octets: bytes) -> Fraction | None:
    lvar, content = octets[0], octets[1:]
    if 0xC0 <= lvar <= 0xC9 or 0xD0 <= lvar <= 0xD9:
        digits = content[::-1].hex()
        if digits and not digits.isdecimal():
            raise FrameError(f"{digits} is not BCD")
        return Fraction(int(digits or "0") * (-1 if lvar >= 0xD0 else 1))
    if 0xE0 <= lvar <= 0xEF and content:
        return _signed(content)
    raise FrameError("the record holds a text, not a number")


def _no_number(record: MbusRecord) -> int:
    raise FrameError(f"data field {record.field} holds no set of bits")


def _seconds(hour: int, minute: int, second: int, day_and_month: bytes, *, century: int | None) -> int | None:
    day, month = day_and_month[0] & 0x1F, day_and_month[1] & 0x0F
    year = day_and_month[0] >> 5 | (day_and_month[1] & 0xF0) >> 1
    if not day or not month:
        return None
    if century:
        year += 1900 + 100 * century
    else:
        year += 2000 if year <= _CENTURY_PIVOT else 1900
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise FrameError(f"no moment: {error}") from error
    return int((moment - _EPOCH).total_seconds())
