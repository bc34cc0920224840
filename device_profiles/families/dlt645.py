"""DL/T 645: channels stand in the answers to data identifiers, low octet first: BCD numbers, moments, bits.

Both editions share sources; identifiers have four octets in 2007 and two in 1997.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles.checked_table import CheckedTable
from device_profiles.families.dlt645_end import Dlt645Cell, Dlt645End
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.fixed_layout import Cell, fixed_reader
from device_profiles.families.moment_layout import read_layout
from device_profiles.forms import BcdForm, Form
from device_profiles.framing.dlt645 import CODEC_1997, CODEC_2007, Dlt645Read
from device_profiles.profile import Channel, ChannelKind, Group, Link, Profile, Protocol, ReadRequest, Source
from device_profiles.wall_time import BitsForm, WallTimeForm

_BODY_OCTETS_MAX = 2000
_CODECS = {Protocol.DLT645_2007: CODEC_2007, Protocol.DLT645_1997: CODEC_1997}


@dataclass(frozen=True, slots=True)
class Dlt645Source(Source):
    """Where a channel stands in the answers of a DL/T 645 meter.

    di      data identifier as printed, DI3 first (4 octets; 2 in 1997)
    octets  octets of the number
    index   which number of the answer, from 0, where all are of one length
    count   numbers in the answer: 1, or more for a block (DI ending in FF)
    signed  whether the top bit is a sign; never so for forward and reverse energy
    at      where the number begins in an answer of several forms [octets]; None: by `index`
    length  length of such an answer [octets]; None: by `count`
    layout  how a moment stands in its octets (`mmhhDDMMYY`); "" for a number
    bits    whether the octets are bits and no digits
    also    second identifier whose answer follows the first: a meter's date and time
    """

    di: bytes
    octets: int
    index: int = 0
    count: int = 1
    signed: bool = False
    at: int | None = None
    length: int | None = None
    layout: str = ""
    bits: bool = False
    also: bytes = b""

    @property
    def start(self) -> int:
        """Where the number begins in the body [octets]."""
        return self.index * self.octets if self.at is None else self.at

    @property
    def body_octets(self) -> int:
        """Length of the whole body."""
        return self.count * self.octets if self.length is None else self.length

    @property
    def form(self) -> Form:
        """How the number is kept."""
        if self.layout:
            return WallTimeForm(self.layout, is_joined=bool(self.also))
        return BitsForm(self.octets) if self.bits else BcdForm(octets=self.octets, signed=self.signed)


class Dlt645Family:
    """The DL/T 645 family."""

    name = "dlt645"
    protocols = (Protocol.DLT645_2007, Protocol.DLT645_1997)

    def read_source(self, table: CheckedTable) -> Dlt645Source:
        """Read a `dlt645` table."""
        layout = read_layout(table)
        source = Dlt645Source(
            di=table.hexadecimal("di"),
            octets=len(layout) // 2 if layout else table.integer("octets", 1, 8),
            index=table.integer("index", 0, 63, 0),
            count=table.integer("count", 1, 64, 1),
            signed=table.boolean("signed", False),
            at=table.integer("at", 0, _BODY_OCTETS_MAX) if "at" in table else None,
            length=table.integer("length", 1, _BODY_OCTETS_MAX) if "length" in table else None,
            layout=layout,
            bits=table.boolean("bits", False),
            also=table.hexadecimal("also") if "also" in table else b"",
        )
        table.done()
        _check_source(table, source)
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> None:
        """DL/T 645 links have no options."""
        del table, protocol

    def mantissa_limit(self, source: Source) -> int | None:
        """A number of n octets shows 2 n digits, or 8 n bits."""
        own = _own(source)
        if own.layout:
            return None
        limit: int = 256**own.octets if own.bits else 10 ** (2 * own.octets)
        return limit

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """Answers for one identifier must have one length, identifiers that of the edition, and forms fit kinds."""
        lengths: dict[tuple[bytes, bytes], int] = {}
        di_octets = {_CODECS[protocol].dialect.di_octets for protocol in profile.links}
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                place = ("groups", group.index, "channels", at)
                source = _own(channel.source)
                length = lengths.setdefault((source.di, source.also), source.body_octets)
                if length != source.body_octets:
                    root.fault(place, f"{source.di.hex()} was {length} octets above", "make them agree")
                if {len(source.di)} != di_octets or len(source.also) not in {0, *di_octets}:
                    problem = "a data identifier has 8 hex digits, of the 1997 edition 4"
                    root.fault(place, problem, "write it as printed, and give each edition a profile of its own")
                if (channel.kind is ChannelKind.TIME) is not bool(source.layout):
                    root.fault(place, "a moment has a layout, and nothing else has", "mend `kind` or `layout`")
                if (channel.kind is ChannelKind.STATE) is not source.bits:
                    root.fault(place, "a state is of bits, and nothing else is", "mend `kind` or `bits`")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Ask each identifier once, in channel order."""
        del profile, link
        sources = [_own(channel.source) for channel in group.channels]
        return tuple(dict.fromkeys(Dlt645Read(source.di, source.also) for source in sources))

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """An answer holds every number of its identifier."""
        source = channel.source
        return (
            isinstance(source, Dlt645Source)
            and isinstance(read, Dlt645Read)
            and (read.di, read.also) == (source.di, source.also)
        )

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Read the number at its place."""
        del read
        source = _own(channel.source)
        return fixed_reader(source.form, source.start, source.body_octets)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end; it freezes, and splits long answers."""
        cells: dict[bytes, list[Dlt645Cell]] = {}
        for group in profile.groups:
            for channel in group.channels:
                for identifier, cell in _cells_of(channel, is_frozen=group.after_freeze):
                    if cell not in cells.setdefault(identifier, []):
                        cells[identifier].append(cell)
        return Dlt645End(_CODECS[protocol], address, profile.groups[0].channels[0].obis, registers, cells)


def _check_source(table: CheckedTable, source: Dlt645Source) -> None:
    if len(source.di) not in (2, 4):
        table.fault("di", "a data identifier has 8 hex digits, of the 1997 edition 4", "write DI3 DI2 DI1 DI0")
    if (source.at is None) is not (source.length is None):
        table.fault("at", "an answer of several forms needs `at` and `length`", "give both, or `index` and `count`")
    if source.at is not None and ("index" in table or "count" in table):
        table.fault("at", "`at` stands beside `index` or `count`", "give one way to find the number")
    is_within = source.start + source.octets <= source.body_octets <= _BODY_OCTETS_MAX
    if source.index >= source.count or not is_within:
        table.fault("index", "the answer has no such number", f"keep within it, and within {_BODY_OCTETS_MAX} octets")
    if source.also and "ss" not in source.layout:
        table.fault("also", "only a date and a time of day are asked together", "give a `layout` with date, then ss")
    if source.bits and (source.layout or source.signed):
        table.fault("bits", "bits have no sign and no layout", "leave one out")


def _cells_of(channel: Channel, *, is_frozen: bool) -> list[tuple[bytes, Dlt645Cell]]:
    """Give where a channel stands in the answer to each of its identifiers; a joined one stands in two."""
    source = _own(channel.source)
    cell = Cell.of(channel, source.form, source.start)
    if not source.also:
        return [(source.di, Dlt645Cell(cell, source.body_octets, 0, is_frozen))]
    first_octets = source.layout.index("ss") // 2
    return [
        (source.di, Dlt645Cell(cell, first_octets, 0, is_frozen)),
        (source.also, Dlt645Cell(cell, source.body_octets - first_octets, first_octets, is_frozen)),
    ]


def _own(source: Source) -> Dlt645Source:
    if not isinstance(source, Dlt645Source):
        raise TypeError(f"{type(source).__name__} is not a DL/T 645 source")
    return source


DLT645 = Dlt645Family()
