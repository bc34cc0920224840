"""Telegrams of M-Bus meters, taken apart into records (EN 13757-3): fixed and variable data structure. Pure.

Theory of operation. The user octets of a telegram are the CI octet, a header and, in the variable structure, records
one after another: DIF and DIFEs (which value it is: function, storage, tariff, subunit, width), VIF and VIFEs (which
quantity), then the octets. A record is taken apart here and not yet read: what a number means stands in
`mbus_numbers`. Octets that end inside a record, chains longer than the standard allows, or a layout that is not known
raise FrameError, so a telegram is never read in part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.mbus_vib import (
    FIXED,
    FIXED_SAME_BUT_STORED,
    NO_MEASURE,
    VIF_FIRST_EXTENSION,
    VIF_SECOND_EXTENSION,
    VIF_TEXT,
    Measure,
    Vib,
    vib_from_codes,
)

CI_ERROR = 0x70
CI_LONG_HEADER = 0x72
CI_FIXED = 0x73
CI_LONG_HEADER_TRANSPORT = 0x7A
"""Used with the long header's short form: access number, status, signature (EN 13757-3, table 2)."""
CI_NO_HEADER = 0x78
_HIGH_FIRST = 0x04
"""Set in CI 76 and 77: numbers come high octet first (mode 2)."""

EXTENSION_CHAIN_MAX = 10
"""Most DIFEs or VIFEs of one record (EN 13757-3, 6.3)."""
RECORDS_MAX = 255

_LONG_HEADER_OCTETS = 12
_SHORT_HEADER_OCTETS = 4
_FIXED_OCTETS = 16
_DIF_MANUFACTURER = 0x0F
_DIF_MORE_FOLLOWS = 0x1F
_DIF_IDLE = 0x2F
_SPECIAL = 0x0F
_EXTENSION = 0x80
_WIDTHS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
_FIELD_VARIABLE = 13
_FIELD_FIXED_BINARY = 4
_FIELD_FIXED_BCD = 12
_ENCRYPTION_MODE = 0x1F00
"""Mode bits of the signature (configuration) word."""
_ENCRYPTED_MODES = (2, 3, 4, 5, 7, 13)
"""DES and AES modes (EN 13757-3 and -7). Old meters put anything into this word, so other modes say nothing."""

_APPLICATION_ERRORS = (
    "unspecified error",
    "CI field not known",
    "buffer too long",
    "too many records",
    "end of record too early",
    "more than ten DIFEs",
    "more than ten VIFEs",
    "reserved",
    "application too busy to answer",
    "too many read-outs",
)


class Function(IntEnum):
    """What a record's number is: the present one, an extreme, or the one while the meter was in error."""

    INSTANTANEOUS = 0
    MAXIMUM = 1
    MINIMUM = 2
    DURING_ERROR = 3


@dataclass(frozen=True, slots=True)
class MbusRecord:
    """One record, taken apart.

    header     DIB and VIB as on the wire; empty in the fixed structure
    field      low four bits of the DIF: how `octets` are to be read
    octets     low octet first, without the length octet of a variable field
    """

    header: bytes
    function: Function
    storage: int
    tariff: int
    subunit: int
    field: int
    vib: Vib
    octets: bytes

    @property
    def measure(self) -> Measure:
        """Quantity and size of one count."""
        return self.vib.measure

    def __str__(self) -> str:
        parts = [self.measure.quantity]
        parts += [self.function.name.lower().replace("_", "-")] * (self.function is not Function.INSTANTANEOUS)
        parts += [
            f"{name} {number}"
            for name, number in (("storage", self.storage), ("tariff", self.tariff), ("subunit", self.subunit))
            if number
        ]
        parts += [f"qualifiers {self.vib.qualifiers.hex()}"] * bool(self.vib.qualifiers)
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class MbusTelegram:
    """One telegram.

    identification  the eight digits (or hex nibbles) printed on the meter, "" when the header is not there
    manufacturer    three letters, "" when not there
    version, medium, access, status   of the header; -1 when not there
    manufacturer_octets   what follows DIF 0F or 1F
    more_follows          the meter has further telegrams
    """

    identification: str
    manufacturer: str
    version: int
    medium: int
    access: int
    status: int
    records: tuple[MbusRecord, ...]
    manufacturer_octets: bytes = b""
    more_follows: bool = False


def telegram_from_user(user: bytes) -> MbusTelegram:
    """Take the user octets of a telegram apart; raises FrameError, or ExceptionReply for an application error."""
    ci, rest = user[0] & ~_HIGH_FIRST if user[0] in (0x76, 0x77) else user[0], user[1:]
    high_first = user[0] != ci
    if ci == CI_ERROR:
        code = rest[0] if rest else 0
        known = code < len(_APPLICATION_ERRORS)
        raise ExceptionReply(code, _APPLICATION_ERRORS[code] if known else "a code the standard does not name")
    if ci == CI_FIXED:
        return _fixed(rest, high_first)
    if ci == CI_LONG_HEADER:
        return _with_long_header(rest, high_first)
    if ci == CI_LONG_HEADER_TRANSPORT:
        if len(rest) < _SHORT_HEADER_OCTETS:
            raise FrameError(f"a short header has {_SHORT_HEADER_OCTETS} octets, not {len(rest)}")
        _require_plain(rest[2:4])
        return _telegram("", "", -1, -1, rest[0], rest[1], rest[_SHORT_HEADER_OCTETS:], high_first)
    if ci == CI_NO_HEADER:
        return _telegram("", "", -1, -1, -1, -1, rest, high_first)
    raise FrameError(f"CI {user[0]:#04x} is no telegram that can be read")


def manufacturer_letters(octets: bytes) -> str:
    """Give the three letters of a manufacturer word, low octet first (EN 13757-3, 5.6)."""
    word = int.from_bytes(octets, "little") & 0x7FFF
    return "".join(chr((word >> shift & 0x1F) + 64) for shift in (10, 5, 0))


def manufacturer_octets(letters: str) -> bytes:
    """Give the manufacturer word of three capital letters, low octet first."""
    first, second, third = (ord(letter) - 64 for letter in letters)
    return (first << 10 | second << 5 | third).to_bytes(2, "little")


def _with_long_header(rest: bytes, high_first: bool) -> MbusTelegram:
    if len(rest) < _LONG_HEADER_OCTETS:
        raise FrameError(f"a header has {_LONG_HEADER_OCTETS} octets, not {len(rest)}")
    _require_plain(rest[10:12])
    order = -1 if high_first else 1
    return _telegram(
        rest[0:4][::order][::-1].hex().upper(),
        manufacturer_letters(rest[4:6][::order]),
        rest[6],
        rest[7],
        rest[8],
        rest[9],
        rest[_LONG_HEADER_OCTETS:],
        high_first,
    )


def _require_plain(signature: bytes) -> None:
    if (int.from_bytes(signature, "little") & _ENCRYPTION_MODE) >> 8 in _ENCRYPTED_MODES:
        raise FrameError(f"the telegram is encrypted (configuration {signature.hex()}); it cannot be read")


def _telegram(
    identification: str,
    manufacturer: str,
    version: int,
    medium: int,
    access: int,
    status: int,
    octets: bytes,
    high_first: bool,
) -> MbusTelegram:
    records: list[MbusRecord] = []
    at = 0
    tail, more = b"", False
    while at < len(octets):
        if octets[at] == _DIF_IDLE:
            at += 1
            continue
        if octets[at] & _SPECIAL == _SPECIAL:
            if octets[at] not in (_DIF_MANUFACTURER, _DIF_MORE_FOLLOWS):
                raise FrameError(f"DIF {octets[at]:#04x} is reserved")
            tail, more = octets[at + 1 :], octets[at] == _DIF_MORE_FOLLOWS
            break
        record, at = _record(octets, at, high_first)
        records.append(record)
    return MbusTelegram(identification, manufacturer, version, medium, access, status, tuple(records), tail, more)


class _Reader:
    """Octets taken one after another; asking for more than there are raises FrameError."""

    def __init__(self, octets: bytes, at: int) -> None:
        self.octets = octets
        self.at = at

    def take(self, count: int) -> bytes:
        """Give the next `count` octets."""
        taken = self.octets[self.at : self.at + count]
        if len(taken) != count:
            raise FrameError("the telegram ends inside a record")
        self.at += count
        return taken

    def chain(self, count_max: int) -> bytes:
        """Give octets up to and with the first without extension bit, at most `count_max`."""
        taken = self.take(1)
        while taken[-1] & _EXTENSION:
            if len(taken) == count_max:
                raise FrameError(f"more than {count_max - 1} extensions in one record")
            taken += self.take(1)
        return taken


def record_of_header(header: bytes) -> MbusRecord:
    """Read DIB and VIB alone, as a record without octets; raises FrameError unless `header` is just that."""
    reader = _Reader(header, 0)
    record = _header(reader)
    if reader.at != len(header):
        raise FrameError(f"{header[reader.at :].hex()} follows the header of the record")
    return record


def _header(reader: _Reader) -> MbusRecord:
    begun = reader.at
    dib = reader.chain(EXTENSION_CHAIN_MAX + 1)
    storage, tariff, subunit = dib[0] >> 6 & 1, 0, 0
    for n, dife in enumerate(dib[1:]):
        storage |= (dife & 0x0F) << 1 + 4 * n
        tariff |= (dife >> 4 & 3) << 2 * n
        subunit |= (dife >> 6 & 1) << n
    vib = vib_from_codes(*_vib_octets(reader))
    function = Function(dib[0] >> 4 & 3)
    return MbusRecord(reader.octets[begun : reader.at], function, storage, tariff, subunit, dib[0] & 0x0F, vib, b"")


def _record(octets: bytes, at: int, high_first: bool) -> tuple[MbusRecord, int]:
    reader = _Reader(octets, at)
    record = _header(reader)
    order = -1 if high_first else 1
    if record.field != _FIELD_VARIABLE:
        return replace(record, octets=reader.take(_WIDTHS[record.field])[::order]), reader.at
    lvar = reader.take(1)
    return replace(record, octets=lvar + reader.take(_variable_length(lvar[0]))[::order]), reader.at


def _vib_octets(reader: _Reader) -> tuple[bytes, str]:
    """Give VIF and VIFEs, and the unit's text where the VIF says that it is spelt (it stands right after the VIF)."""
    first = reader.take(1)
    text = ""
    if first[0] & ~_EXTENSION == VIF_TEXT:
        spelt = reader.take(reader.take(1)[0])
        text = spelt[::-1].decode("latin-1")
    if not first[0] & _EXTENSION:
        return first, text
    room = EXTENSION_CHAIN_MAX + (first[0] in (VIF_FIRST_EXTENSION, VIF_SECOND_EXTENSION))
    return first + reader.chain(room), text


def _variable_length(lvar: int) -> int:
    """Give the octets that follow a length octet (EN 13757-3, 6.3.3); raises FrameError for reserved ones."""
    if lvar <= 0xBF:
        return lvar
    if lvar <= 0xC9 or 0xD0 <= lvar <= 0xD9:
        return lvar & 0x0F
    if 0xE0 <= lvar <= 0xEF:
        return lvar & 0x0F
    if lvar in (0xF0, 0xF1, 0xF2, 0xF3, 0xF4):
        return 4 * (lvar - 0xEC)
    raise FrameError(f"length octet {lvar:#04x} is reserved")


def _fixed(rest: bytes, high_first: bool) -> MbusTelegram:
    """Read the fixed structure: two counters, which may be BCD or binary, present or stored (M-Bus 4.8, 6.2)."""
    if len(rest) != _FIXED_OCTETS:
        raise FrameError(f"the fixed structure has {_FIXED_OCTETS} octets, not {len(rest)}")
    order = -1 if high_first else 1
    identification = rest[0:4][::order][::-1].hex().upper()
    status = rest[5]
    field = _FIELD_FIXED_BINARY if status & 1 else _FIELD_FIXED_BCD
    storage = status >> 1 & 1
    units = [octet & 0x3F for octet in rest[6:8]]
    medium = (rest[7] >> 6) << 2 | rest[6] >> 6
    records: list[MbusRecord] = []
    for n, unit in enumerate(units):
        stored = storage
        if unit == FIXED_SAME_BUT_STORED and n:
            unit, stored = units[0], storage + 1
        vib = Vib(FIXED.get(unit, NO_MEASURE))
        octets = rest[8 + 4 * n : 12 + 4 * n][::order]
        records.append(MbusRecord(b"", Function.INSTANTANEOUS, stored, 0, 0, field, vib, octets))
    return MbusTelegram(identification, "", -1, medium, rest[4], status, tuple(records))
