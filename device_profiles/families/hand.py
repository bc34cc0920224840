"""Displays that people read: a channel is all digits of a display, of which the last few are decimals.

A display of so many digits goes over to zero behind its last number, so the modulus is theirs and is not left open; how
many of them are decimals is the channel's exponent. See docs/adr/0084.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.forms import NotReadable
from device_profiles.framing.errors import FrameError
from device_profiles.framing.hand import DisplayRead, asked_meter, build_reply, digits_in
from device_profiles.profile import Channel, ChannelKind, Group, Link, Profile, Protocol, ReadRequest, Source

_DIGITS_MAX = 12


@dataclass(frozen=True, slots=True)
class DisplaySource(Source):
    """`digits` digits, decimals included."""

    digits: int


class HandFamily:
    """Displays without a bus behind them."""

    name = "display"
    protocols = (Protocol.HAND,)

    def read_source(self, table: CheckedTable) -> DisplaySource:
        """Read a `display` table."""
        source = DisplaySource(table.integer("digits", 1, _DIGITS_MAX))
        table.done()
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> None:
        """There is no link to have options."""
        del table, protocol

    def mantissa_limit(self, source: Source) -> int:
        """So many digits show so many numbers."""
        return int(10 ** _own(source).digits)

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """One register is on the display, and it goes over to zero behind its digits."""
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                place = ("groups", group.index, "channels", at)
                modulus = self.mantissa_limit(channel.source)
                if channel.kind is not ChannelKind.COUNTER:
                    root.fault((*place, "kind"), f"a display is read for no {channel.kind}", 'write kind = "counter"')
                elif channel.modulus != modulus:
                    root.fault((*place, "modulus"), "the digits say another modulus", f"write modulus = {modulus}")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """A display is one look."""
        del profile, link, group
        return (DisplayRead(),)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """The look is every channel's."""
        return isinstance(read, DisplayRead) and isinstance(channel.source, DisplaySource)

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Take the digits as they are."""
        del read, channel

        def read_digits(body: bytes) -> int:
            try:
                return digits_in(body)
            except FrameError as error:
                raise NotReadable(str(error)) from error

        return read_digits

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give a display that shows `registers`."""
        del protocol
        return DisplayEnd(profile.groups[0].channels[0], address, registers)


class DisplayEnd:
    """A display that anybody may look at."""

    def __init__(self, channel: Channel, address: str, registers: Registers) -> None:
        self._channel = channel
        self._address = address
        self._registers = registers

    def answer(self, received: bytes) -> bytes | None:
        """Show the digits to who asks for this meter."""
        register = self._registers(self._channel.obis)
        if register is None or asked_meter(received) != self._address:
            return None
        return build_reply(self._channel.mantissa_at(register))


def _own(source: Source) -> DisplaySource:
    if not isinstance(source, DisplaySource):
        raise TypeError(f"{type(source).__name__} is not a display")
    return source


HAND = HandFamily()
