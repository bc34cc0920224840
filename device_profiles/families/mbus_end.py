"""The meter's end of M-Bus for any profile: reset, selection, frame count bit, telegrams with more to follow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from device_profiles.families.family import Registers
from device_profiles.families.fixed_layout import distinct_channels
from device_profiles.families.mbus_source import STATUS, MbusSource, count_size, own_source
from device_profiles.framing.errors import FrameError
from device_profiles.framing.mbus import CI_SELECT
from device_profiles.framing.mbus_address import MbusAddress, matches
from device_profiles.framing.mbus_frame import (
    ACKNOWLEDGE,
    ANY_METER,
    FRAME_COUNT_BIT,
    REQ_UD2,
    RSP_UD,
    SELECTED,
    SND_NKE,
    SND_UD,
    MbusFrame,
    scan,
)
from device_profiles.framing.mbus_numbers import BCD_FIELDS, octets_of, time_octets
from device_profiles.framing.mbus_records import CI_LONG_HEADER, record_of_header
from device_profiles.framing.mbus_vib import (
    FIRST_EXTENSION,
    PRIMARY,
    SECOND_EXTENSION,
    VIF_FIRST_EXTENSION,
    VIF_SECOND_EXTENSION,
)
from device_profiles.profile import Channel, ChannelKind, Profile

_RECORD_OCTETS_MAX = 230
"""Records of one telegram: 255 less control, address, CI, header and the DIF that says that more follow."""
_MORE_FOLLOWS = b"\x1f"
_FIELD_32 = 4
_FIELD_64 = 7
_FIELD_TIME = 4
_FIELD_STATE = 2
_EXTENSION = 0x80
_MANUFACTURER = "b535"
"""MMU: the letters that the public M-Bus documentation uses for nobody."""


class MbusEnd:
    """One simulated meter, primary or secondary address. Registers are asked anew for each first telegram."""

    def __init__(self, profile: Profile, address: str, registers: Registers, medium: int) -> None:
        asked = MbusAddress.parse(address)
        self._primary = 0 if asked.primary is None else asked.primary
        self.secondary = _full_secondary(asked, medium)
        self._registers = registers
        self._present = profile.groups[0].channels[0].obis
        self._channels = list(distinct_channels(profile))
        self._selected = False
        self._count_bit: bool | None = None
        self._telegrams: list[bytes] = []
        self._at = 0
        self._access = 0

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one whole request."""
        frames, _ = scan(received)
        if len(frames) != 1 or self._registers(self._present) is None:
            return None
        frame = frames[0]
        if frame.control | FRAME_COUNT_BIT == SND_UD | FRAME_COUNT_BIT and frame.user[:1] == bytes((CI_SELECT,)):
            return self._select(frame)
        if frame.address not in (self._primary, ANY_METER) and not (frame.address == SELECTED and self._selected):
            return None
        if frame.control == SND_NKE:
            self._count_bit = None
            self._selected = self._selected and frame.address != SELECTED
            return ACKNOWLEDGE
        if frame.control | FRAME_COUNT_BIT == REQ_UD2 | FRAME_COUNT_BIT:
            return self._telegram(bool(frame.control & FRAME_COUNT_BIT))
        return None

    def _select(self, frame: MbusFrame) -> bytes | None:
        mask = frame.user[1:]
        if frame.address != SELECTED or len(mask) != 8:
            return None
        self._selected = matches((mask[3::-1] + mask[4:]).hex().upper(), self.secondary)
        self._count_bit = None
        return ACKNOWLEDGE if self._selected else None

    def _telegram(self, count_bit: bool) -> bytes:
        """Send the next telegram, or the last one again when the frame count bit has not changed."""
        if self._count_bit is None:
            self._telegrams, self._at = list(self._built()), 0
        elif count_bit is not self._count_bit:
            self._at = (self._at + 1) % len(self._telegrams)
            if self._at == 0:
                self._telegrams = list(self._built())
        self._count_bit = count_bit
        return MbusFrame(RSP_UD, self._primary, self._telegrams[self._at]).to_wire()

    def _built(self) -> Iterator[bytes]:
        """Lay the records out in as many telegrams as they need."""
        parts: list[bytes] = [b""]
        status = 0
        for channel in self._channels:
            mantissa = self._mantissa(channel)
            if own_source(channel.source).quantity == STATUS:
                status = mantissa & 0xFF
                continue
            record = b"".join(_records(channel, mantissa))
            if len(parts[-1]) + len(record) > _RECORD_OCTETS_MAX:
                parts.append(b"")
            parts[-1] += record
        for at, part in enumerate(parts):
            self._access = (self._access + 1) & 0xFF
            octets = bytes.fromhex(self.secondary)
            header = octets[3::-1] + octets[4:] + bytes((self._access, status, 0, 0))
            yield bytes((CI_LONG_HEADER,)) + header + part + (_MORE_FOLLOWS if at + 1 < len(parts) else b"")

    def _mantissa(self, channel: Channel) -> int:
        register = self._registers(channel.obis)
        return 0 if register is None else channel.mantissa_at(register)


def _full_secondary(address: MbusAddress, medium: int) -> str:
    """Fill what the address leaves open, as a real meter has one of each."""
    open_secondary = address.secondary or f"{address.primary:08d}FFFFFFFF"
    identification = open_secondary[:8].replace("F", "0")
    usual = f"{_MANUFACTURER}01{medium:02x}"
    rest = "".join(
        given if given.strip("F") else filling
        for given, filling in zip(_rest(open_secondary[8:]), _rest(usual), strict=True)
    )
    return (identification + rest).upper()


def _rest(digits: str) -> tuple[str, str, str]:
    return digits[:4], digits[4:6], digits[6:8]


def _records(channel: Channel, mantissa: int) -> Iterator[bytes]:
    """Give the record of a channel; all of a sum stands in its first tariff."""
    for at, part in enumerate(own_source(channel.source).parts):
        yield _record(channel, part, 0 if at else mantissa)


def _record(channel: Channel, source: MbusSource, mantissa: int) -> bytes:
    if source.header:
        record = record_of_header(source.header)
        size = count_size(record.measure, channel) or Fraction(1)
        return source.header + _content(channel, record.field, int(mantissa / size))
    codes, size = _vib_for(channel, source)
    field = {ChannelKind.TIME: _FIELD_TIME, ChannelKind.STATE: _FIELD_STATE}.get(channel.kind, _FIELD_32)
    count = int(mantissa * size)
    if field == _FIELD_32 and not -(2**31) < max(abs(count), int((channel.modulus or 0) * size)) < 2**31:
        field = _FIELD_64
    return _dib(source, field) + codes + _content(channel, field, count)


def _content(channel: Channel, field: int, count: int) -> bytes:
    if channel.kind is ChannelKind.TIME:
        return time_octets(count)[: 4 if field == _FIELD_TIME else 2]
    if channel.kind is ChannelKind.STATE:
        return count.to_bytes(16, "little")[: BCD_FIELDS.get(field, field)]
    return octets_of(count, field)


def _dib(source: MbusSource, field: int) -> bytes:
    """Write DIF and as many DIFEs as storage, tariff and subunit need."""
    octets = [field | source.function << 4 | (source.storage & 1) << 6]
    storage, tariff, subunit = source.storage >> 1, source.tariff, source.subunit
    while storage or tariff or subunit:
        octets[-1] |= _EXTENSION
        octets.append(storage & 0x0F | (tariff & 3) << 4 | (subunit & 1) << 6)
        storage, tariff, subunit = storage >> 4, tariff >> 2, subunit >> 1
    return bytes(octets)


def _vib_for(channel: Channel, source: MbusSource) -> tuple[bytes, Fraction]:
    """Find the VIF whose count is the channel's mantissa, or the coarsest finer one; with counts per mantissa."""
    tables = (
        (b"", PRIMARY),
        (bytes((VIF_SECOND_EXTENSION,)), SECOND_EXTENSION),
        (bytes((VIF_FIRST_EXTENSION,)), FIRST_EXTENSION),
    )
    choices: list[tuple[Fraction, bytes]] = []
    for prefix, table in tables:
        for code, measure in table.items():
            if measure.quantity != source.quantity:
                continue
            if channel.kind in (ChannelKind.STATE, ChannelKind.TIME):
                choices.append((Fraction(1), prefix + bytes((code,))))
                continue
            size = count_size(measure, channel)
            if size is not None and (1 / size).denominator == 1:
                choices.append((1 / size, prefix + bytes((code,))))
    if not choices:
        raise FrameError(f"M-Bus has no way to show {channel.obis} in {channel.unit.symbol} as {source.quantity}")
    size, codes = min(choices)
    for qualifier in source.qualifiers:
        codes = codes[:-1] + bytes((codes[-1] | _EXTENSION, qualifier))
    return codes, size
