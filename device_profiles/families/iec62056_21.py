"""IEC 62056-21: a meter prints names, numbers and units; a channel names the line it stands on.

A number is brought to the channel's unit and exponent exactly; digits that the channel cannot hold are NotReadable,
never rounded. The unit that the meter prints wins: one that is unknown or does not convert is NotReadable, and only
where the meter prints none the channel's own is taken. A name that stands twice is NotReadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.iec62056_21_end import Iec62056End
from device_profiles.families.iec62056_21_source import Form, Iec62056Source, own_source
from device_profiles.forms import NotReadable
from device_profiles.framing.iec62056_21 import BlockCheck, Iec62056Read
from device_profiles.framing.iec62056_lines import DataSet, Entry, data_sets
from device_profiles.profile import Channel, Group, Link, LinkOptions, Profile, Protocol, ReadRequest, Source
from metering.quantity import Unit

_BODIES_KEPT = 16
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?\Z", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]{1,15}\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {
    **{unit.symbol.lower(): unit for unit in Unit if unit.symbol not in ("mV", "mA", "1", "1/1000", "mHz")},
    "c": Unit.DEG_C,
    "m^3": Unit.M3,
    "m3ph": Unit.M3_PER_H,
    "m^3/h": Unit.M3_PER_H,
}
"""Units as meters print them, in any case; those that differ from another one only by case are left out."""
_KJ_PER_WH = Fraction(18, 5)


class Mode(StrEnum):
    """How registers are got."""

    READ_OUT = "read-out"
    NAMES = "names"


@dataclass(frozen=True, slots=True)
class Iec62056Options(LinkOptions):
    """What an IEC 62056-21 link wants to know.

    mode      read everything out, or ask for each name in programming mode
    check     how the meter makes its check octet
    switches  whether the meter changes speed after the sign-on
    password  whether programming mode needs the password from the gateway's key folder
    """

    mode: Mode = Mode.READ_OUT
    check: BlockCheck = BlockCheck.XOR
    switches: bool = True
    password: bool = False


class Iec62056Family:
    """The IEC 62056-21 family."""

    name = "iec62056-21"
    protocols = (Protocol.IEC62056_21,)

    def read_source(self, table: CheckedTable) -> Iec62056Source:
        """Read an `iec62056-21` table."""
        source = Iec62056Source(
            name=table.text("name"),
            index=table.integer("index", 0, 99, 0),
            form=Form(table.choice("form", tuple(Form), Form.NUMBER)),
            digits=table.integer("digits", 1, 18, 8),
        )
        table.done()
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> Iec62056Options:
        """Read `mode`, `check`, `switches` and `password`."""
        del protocol
        return Iec62056Options(
            mode=Mode(table.choice("mode", tuple(Mode), Mode.READ_OUT)),
            check=BlockCheck(table.choice("check", tuple(BlockCheck), BlockCheck.XOR)),
            switches=table.boolean("switches", True),
            password=table.boolean("password", False),
        )

    def mantissa_limit(self, source: Source) -> None:
        """A printed number has as many digits as the meter likes."""
        del source

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """A counter is a number, a state is bits, a time is a time; a password belongs to programming mode."""
        for protocol, link in profile.links.items():
            options = options_of(link)
            if options.password and options.mode is Mode.READ_OUT:
                root.fault(("links", protocol), "a read-out takes no password", "leave it out, or set mode = names")
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                if own_source(channel.source).form.kind_of(channel) is not channel.kind:
                    place = ("groups", group.index, "channels", at)
                    problem = f"form {own_source(channel.source).form} does not give a {channel.kind}"
                    root.fault(place, problem, "mend form or kind")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """One session: the whole read-out, or the names of the group."""
        del profile
        options = options_of(link)
        names = dict.fromkeys(own_source(channel.source).name for channel in group.channels)
        asked = tuple(names) if options.mode is Mode.NAMES else ()
        return (Iec62056Read(asked, options.check, options.switches, options.password),)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """A read-out holds every name, a session in programming mode those it asked."""
        source = channel.source
        if not isinstance(read, Iec62056Read) or not isinstance(source, Iec62056Source):
            return False
        return not read.names or source.name in read.names

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Find the channel's line and read its number exactly."""
        del read
        source = own_source(channel.source)
        return lambda body: _mantissa(_entry(_sets(body), source), source, channel)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        options = options_of(profile.link(protocol))
        return Iec62056End(profile, address, registers, options.check)


def options_of(link: Link) -> Iec62056Options:
    """Give the options of an IEC 62056-21 link."""
    return link.options if isinstance(link.options, Iec62056Options) else Iec62056Options()


def _entry(sets: tuple[DataSet, ...], source: Iec62056Source) -> Entry:
    fitting = [each for each in sets if each.name == source.name]
    if len(fitting) != 1:
        names = ", ".join(each.name for each in sets) or "nothing"
        raise NotReadable(f"{source.name} stands {len(fitting)} times in the read-out, which has {names}")
    entries = fitting[0].entries
    if source.index >= len(entries):
        raise NotReadable(f"{source.name} has {len(entries)} entries, none at index {source.index}")
    return entries[source.index]


def _mantissa(entry: Entry, source: Iec62056Source, channel: Channel) -> int | None:
    if not entry.text or not entry.text.strip("-"):
        return None
    if source.form is Form.HEX:
        return _bits(entry.text)
    if source.form is Form.TIME:
        return _seconds(entry.text)
    if not _NUMBER.match(entry.text):
        raise NotReadable(f"{source.name}: {entry.text!r} is not a number")
    mantissa = Fraction(entry.text) * _size(entry.unit, source, channel)
    if mantissa.denominator != 1:
        problem = f"{entry.text} {entry.unit} is not a whole mantissa at 10^{channel.exponent} {channel.unit.symbol}"
        raise NotReadable(f"{source.name}: {problem}")
    return mantissa.numerator


def _size(printed: str, source: Iec62056Source, channel: Channel) -> Fraction:
    """Give mantissas per printed unit."""
    unit = channel.unit if not printed else _UNITS.get(printed.lower())
    if unit is None:
        raise NotReadable(f"{source.name}: unit {printed!r} is not known")
    size = unit.factor * channel.scale
    bases = (unit.base_symbol, channel.unit.base_symbol)
    if bases[0] == bases[1]:
        return size
    if bases == ("Wh", "kJ"):
        return size * _KJ_PER_WH
    raise NotReadable(f"{source.name}: the meter prints {printed}, the profile reads {channel.unit.symbol}")


def _bits(text: str) -> int:
    if not _HEX.match(text):
        raise NotReadable(f"{text!r} is not hex")
    return int(text, 16)


def _seconds(text: str) -> int:
    """Read year, month, day, hour, minute and, if there, second; separators may be anything."""
    digits = re.sub(r"\D", "", text)
    if len(digits) in (10, 12):
        digits = "20" + digits
    if len(digits) not in (12, 14):
        raise NotReadable(f"{text!r} is not a date and time")
    try:
        moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise NotReadable(f"{text!r}: {error}") from error
    return int((moment - _EPOCH).total_seconds())


@lru_cache(maxsize=_BODIES_KEPT)
def _sets(body: bytes) -> tuple[DataSet, ...]:
    """Take a body apart once for all channels."""
    return data_sets(body)


IEC62056_21 = Iec62056Family()
