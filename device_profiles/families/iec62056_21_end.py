"""The meter's end of IEC 62056-21 for any profile: sign-on, read-out, programming mode with names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from device_profiles.families.family import Registers
from device_profiles.families.fixed_layout import distinct_channels
from device_profiles.families.iec62056_21_source import Form, own_source
from device_profiles.framing.iec62056_21 import (
    ACK,
    ANY_METER,
    CRLF,
    ETX,
    NAK,
    READ_OUT,
    SOH,
    STX,
    BlockCheck,
    asked_address,
    block_in,
    chosen_mode,
    with_check,
)
from device_profiles.profile import Channel, Profile
from metering.errors import MeterError
from metering.quantity import Unit

_IDENTIFICATION = b"/MTR5SIMULATED" + CRLF
_REFUSAL = b"(01)"
_COMMAND = re.compile(rb"(P1|R1)\x02([^()]*)\(([^()]*)\)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Iec62056End:
    """One simulated meter. It is signed on from its sign-on until the read-out, a break or another meter's sign-on."""

    def __init__(self, profile: Profile, address: str, registers: Registers, check: BlockCheck) -> None:
        self._address = address
        self._registers = registers
        self._check = check
        self._present = profile.groups[0].channels[0].obis
        self._lines: dict[str, dict[int, Channel]] = {}
        for channel in distinct_channels(profile):
            source = own_source(channel.source)
            self._lines.setdefault(source.name, {})[source.index] = channel
        self._signed_on = False

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one whole request."""
        asked = asked_address(received)
        if asked is not None:
            is_there = self._registers(self._present) is not None
            self._signed_on = is_there and asked in (self._address, ANY_METER)
            return _IDENTIFICATION if self._signed_on else None
        if not self._signed_on:
            return None
        mode = chosen_mode(received)
        if mode == READ_OUT:
            self._signed_on = False
            lines = b"".join(self._line(name) + CRLF for name in self._lines)
            return self._block(STX, lines + b"!" + CRLF)
        if mode is not None:
            return self._block(SOH, b"P0" + STX + b"(00000000)")
        return self._command(received)

    def _command(self, received: bytes) -> bytes | None:
        try:
            content = block_in(received, self._check)
        except MeterError:
            return NAK
        if content == b"B0":
            self._signed_on = False
            return None
        match = _COMMAND.match(content)
        if match is None:
            return NAK
        if match.group(1) == b"P1":
            return ACK
        name = match.group(2).decode("latin-1")
        return self._block(STX, self._line(name) + CRLF if name in self._lines else _REFUSAL)

    def _line(self, name: str) -> bytes:
        channels = self._lines[name]
        entries = [self._entry(channels.get(index)) for index in range(max(channels) + 1)]
        return name.encode() + b"".join(b"(" + entry.encode() + b")" for entry in entries)

    def _entry(self, channel: Channel | None) -> str:
        if channel is None:
            return ""
        source = own_source(channel.source)
        mantissa = channel.mantissa_at(self._registers(channel.obis) or 0)
        if source.form is Form.HEX:
            return f"{mantissa:X}"
        if source.form is Form.TIME:
            return (_EPOCH + timedelta(seconds=mantissa)).strftime("%y%m%d%H%M%S")
        unit = "" if channel.unit is Unit.ONE else f"*{channel.unit.symbol}"
        return _printed(mantissa, channel.exponent, source.digits) + unit

    def _block(self, start: bytes, content: bytes) -> bytes:
        return with_check(start + content + ETX, self._check)


def _printed(mantissa: int, exponent: int, digits: int) -> str:
    sign, text = "-" * (mantissa < 0), str(abs(mantissa)).rjust(digits, "0")
    if exponent >= 0:
        return sign + text + "0" * exponent
    text = text.rjust(1 - exponent, "0")
    return f"{sign}{text[:exponent]}.{text[exponent:]}"
