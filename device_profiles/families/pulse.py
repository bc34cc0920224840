"""Pulse inputs: a channel is the number of pulses times what one is worth.

The worth of a pulse is printed on the meter (800 imp/kWh, 10 L/imp), so it stands in the profile, is part of its hash
and thereby signed with each reading; a whole factor more (a CT before the meter) is the site's. Where a pulse is a
fraction of a mantissa the register is floored as a display is: the count itself loses nothing, so what is cut off one
reading is in the next. See docs/adr/0075.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.forms import NotReadable
from device_profiles.framing.errors import FrameError
from device_profiles.framing.pulse import PulseRead, asked_input, build_reply, count_in
from device_profiles.profile import Channel, ChannelKind, Group, Link, Profile, Protocol, ReadRequest, Source

_WORTH_MAX = 10**9


@dataclass(frozen=True, slots=True)
class PulseSource(Source):
    """`pulses` pulses make `make` mantissas of the channel."""

    pulses: int
    make: int


class PulseFamily:
    """The pulse inputs."""

    name = "pulse"
    protocols = (Protocol.PULSE,)

    def read_source(self, table: CheckedTable) -> PulseSource:
        """Read a `pulse` table."""
        source = PulseSource(table.integer("pulses", 1, _WORTH_MAX), table.integer("make", 1, _WORTH_MAX))
        table.done()
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> None:
        """Pulse links have no options."""
        del table, protocol

    def mantissa_limit(self, source: Source) -> None:
        """The gateway counts without end."""
        del source

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """What counts pulses is a counter."""
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                if channel.kind is not ChannelKind.COUNTER:
                    place = ("groups", group.index, "channels", at, "kind")
                    root.fault(place, f"pulses do not give a {channel.kind}", 'write kind = "counter"')

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """An input has one count."""
        del profile, link, group
        return (PulseRead(),)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """The count is every channel's."""
        return isinstance(read, PulseRead) and isinstance(channel.source, PulseSource)

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Multiply by what a pulse is worth."""
        del read
        source = _own(channel.source)

        def read_count(body: bytes) -> int:
            try:
                return count_in(body) * source.make // source.pulses
            except FrameError as error:
                raise NotReadable(str(error)) from error

        return read_count

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the counter of an input whose meter shows `registers`."""
        del protocol
        return PulseEnd(profile.groups[0].channels[0], address, registers)


class PulseEnd:
    """A counter as the gateway would have it after the meter had counted up to its true register."""

    def __init__(self, channel: Channel, address: str, registers: Registers) -> None:
        self._channel = channel
        self._source = _own(channel.source)
        self._address = address
        self._registers = registers

    def answer(self, received: bytes) -> bytes | None:
        """Give the count of the asked input."""
        register = self._registers(self._channel.obis)
        if register is None or asked_input(received) != self._address:
            return None
        pulses, make = self._source.pulses, self._source.make
        scaled = self._channel.mantissa_at(register) * pulses
        return build_reply(-(-scaled // make) if pulses >= make else scaled // make)


def _own(source: Source) -> PulseSource:
    if not isinstance(source, PulseSource):
        raise TypeError(f"{type(source).__name__} is not a pulse source")
    return source


PULSE = PulseFamily()
