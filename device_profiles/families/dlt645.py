"""DL/T 645: channels stand in the answers to data identifiers, as BCD numbers side by side, low octet first."""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.fixed_layout import (
    Cell,
    FixedLayoutEnd,
    PreparedAnswer,
    distinct_channels,
    fixed_reader,
)
from device_profiles.forms import BcdForm
from device_profiles.framing import dlt645
from device_profiles.framing.dlt645 import Dlt645Read
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Channel, Group, Link, Profile, Protocol, ReadRequest, Source

_BODY_OCTETS_MAX = 196


@dataclass(frozen=True, slots=True)
class Dlt645Source(Source):
    """Where a channel stands in the answers of a DL/T 645-2007 meter.

    di      data identifier as printed, DI3 first (4 octets)
    octets  octets of one BCD number
    index   which number of the answer, from 0
    count   numbers in the answer: 1, or more for a block (DI ending in FF)
    signed  whether the top bit is a sign; never so for forward and reverse energy
    """

    di: bytes
    octets: int
    index: int = 0
    count: int = 1
    signed: bool = False

    @property
    def start(self) -> int:
        """Where the number begins in the body [octets]."""
        return self.index * self.octets

    @property
    def body_octets(self) -> int:
        """Length of the whole body."""
        return self.count * self.octets

    @property
    def form(self) -> BcdForm:
        """How the number is kept."""
        return BcdForm(octets=self.octets, signed=self.signed)


class Dlt645Family:
    """The DL/T 645 family."""

    name = "dlt645"
    protocols = (Protocol.DLT645_2007,)

    def read_source(self, table: CheckedTable) -> Dlt645Source:
        """Read a `dlt645` table."""
        identifier = table.hexadecimal("di")
        source = Dlt645Source(
            di=identifier,
            octets=table.integer("octets", 1, 8),
            index=table.integer("index", 0, 63, 0),
            count=table.integer("count", 1, 64, 1),
            signed=table.boolean("signed", False),
        )
        table.done()
        if len(identifier) != 4:
            table.fault("di", "a data identifier has 8 hex digits", "write DI3 DI2 DI1 DI0, as printed")
        if source.index >= source.count or source.body_octets > _BODY_OCTETS_MAX:
            table.fault("index", "the answer has no such number", "give index < count, and at most 196 octets in all")
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> None:
        """DL/T 645 links have no options."""
        del table, protocol

    def mantissa_limit(self, source: Source) -> int:
        """A number of n octets shows 2 n digits."""
        limit: int = 10 ** (2 * _own(source).octets)
        return limit

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """Answers for one identifier must have one length."""
        lengths: dict[bytes, int] = {}
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                source = _own(channel.source)
                length = lengths.setdefault(source.di, source.body_octets)
                if length != source.body_octets:
                    place = ("groups", group.index, "channels", at)
                    root.fault(place, f"{source.di.hex()} was {length} octets above", "make them agree")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Ask each identifier once, in channel order."""
        del profile, link
        identifiers = dict.fromkeys(_own(channel.source).di for channel in group.channels)
        return tuple(Dlt645Read(identifier) for identifier in identifiers)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """An answer holds every number of its identifier."""
        return (
            isinstance(channel.source, Dlt645Source) and isinstance(read, Dlt645Read) and read.di == channel.source.di
        )

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Read the BCD number at its place."""
        del read
        source = _own(channel.source)
        return fixed_reader(source.form, source.start, source.body_octets)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        del protocol

        def prepare(frame: bytes) -> PreparedAnswer | None:
            try:
                asked, read = dlt645.parse_request(frame)
            except FrameError:
                return None
            return _prepared(profile, address, read) if asked == address else None

        return FixedLayoutEnd(profile, registers, prepare)


def _prepared(profile: Profile, address: str, read: Dlt645Read) -> PreparedAnswer:
    channels = [channel for channel in distinct_channels(profile) if DLT645.covers(read, channel)]
    sources = [_own(channel.source) for channel in channels]
    return PreparedAnswer(
        octets=max((source.body_octets for source in sources), default=0),
        cells=tuple(
            Cell.of(channel, source.form, source.start) for channel, source in zip(channels, sources, strict=True)
        ),
        framed=lambda body: dlt645.build_reply(address, read, body),
        refusal=dlt645.build_exception(address, read, dlt645.NO_SUCH_ITEM),
    )


def _own(source: Source) -> Dlt645Source:
    if not isinstance(source, Dlt645Source):
        raise TypeError(f"{type(source).__name__} is not a DL/T 645 source")
    return source


DLT645 = Dlt645Family()
