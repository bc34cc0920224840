"""Modbus: channels stand in 16-bit registers, read in blocks by function 3 or 4.

Registers are joined into blocks: holes up to the link's `hole_max` are read along, since one more request costs more
bus time than some unused registers. Blocks of one plan get different lengths where the map allows it, so that a late
reply to another block shows by its length.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from device_profiles.forms import FloatForm, Form, IntegerForm, RegisterType, WordOrder
from device_profiles.framing import modbus_pdu, modbus_rtu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.framing.modbus_pdu import REGISTERS_MAX, ModbusRead
from device_profiles.profile import Channel, Group, Link, LinkOptions, Profile, Protocol, ReadRequest, Source


@dataclass(frozen=True, slots=True)
class ModbusSource(Source):
    """Where a channel stands in the Modbus map.

    function  3 holding registers, 4 input registers
    address   register number on the wire, from 0
    exponent  floats only: the register counts 10^exponent of the channel's unit
    invalid   octets as read that mean "no value"
    """

    function: int
    address: int
    type: RegisterType
    order: WordOrder = WordOrder.ABCD
    exponent: int = 0
    invalid: tuple[bytes, ...] = ()

    @property
    def count(self) -> int:
        """Number of 16-bit registers."""
        return self.type.bits // 16

    @property
    def end(self) -> int:
        """Address of the register after the last."""
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class ModbusOptions(LinkOptions):
    """How a model may be asked.

    registers_max  most registers the model answers in one read
    hole_max       most unused registers to read along rather than ask twice
    forbid         ranges that are never read along, each its first and last register
    """

    registers_max: int
    hole_max: int
    forbid: tuple[tuple[int, int], ...] = ()


class ModbusFamily:
    """The Modbus family."""

    name = "modbus"
    protocols = (Protocol.MODBUS_RTU, Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP)

    def read_source(self, table: CheckedTable) -> ModbusSource:
        """Read a `modbus` table."""
        source = ModbusSource(
            function=table.integer("function", 3, 4),
            address=table.integer("address", 0, 0xFFFF),
            type=RegisterType(table.choice("type", tuple(RegisterType))),
            order=WordOrder(table.choice("order", tuple(WordOrder), WordOrder.ABCD)),
            exponent=table.integer("exponent", -9, 9, 0),
            invalid=tuple(table.hexadecimals("invalid")),
        )
        table.done()
        if "exponent" in table and not source.type.is_float:
            table.fault("exponent", "an integer register counts in the channel's exponent", "leave it out here")
        if source.end > 0x10000:
            table.fault("address", "the register ends beyond FFFF", "mend the address")
        if any(len(pattern) != 2 * source.count for pattern in source.invalid):
            table.fault("invalid", f"a pattern of {source.type} has {4 * source.count} hex digits", "write it whole")
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> ModbusOptions:
        """Read the limits of one read."""
        del protocol
        return ModbusOptions(
            registers_max=table.integer("registers_max", 1, REGISTERS_MAX),
            hole_max=table.integer("hole_max", 0, REGISTERS_MAX),
        )

    def mantissa_limit(self, source: Source) -> int | None:
        """An integer is bounded by its width; a float is not."""
        kind = _own(source).type
        return None if kind.is_float else 1 << kind.bits - kind.is_signed

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """Single tables show all."""
        del profile, root

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Join the group's registers into blocks of distinct lengths."""
        named = {_own(channel.source) for each in profile.groups for channel in each.channels}
        return _plan([_own(channel.source) for channel in group.channels], named, options_of(link))

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """Say whether all registers of the channel lie in the block."""
        source = channel.source
        return (
            isinstance(read, ModbusRead)
            and isinstance(source, ModbusSource)
            and read.function == source.function
            and read.address <= source.address
            and source.end <= read.end
        )

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Read the registers at their place in the block."""
        block, source = _own_read(read), _own(channel.source)
        return fixed_reader(form_of(channel), 2 * (source.address - block.address), 2 * block.count)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        if protocol is Protocol.MODBUS_TCP:
            return _TcpEnd(FixedLayoutEnd(profile, registers, lambda frame: _prepare_tcp(profile, address, frame)))
        return FixedLayoutEnd(profile, registers, lambda frame: _prepare_rtu(profile, protocol, address, frame))


class _TcpEnd:
    """Carries the transaction id past the prepared answers, which are kept for transaction 0."""

    def __init__(self, end: MeterEnd) -> None:
        self._end = end

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply under the request's transaction id."""
        reply = self._end.answer(b"\0\0" + received[2:])
        return None if reply is None else received[:2] + reply[2:]


def options_of(link: Link) -> ModbusOptions:
    """Give the limits of a Modbus link."""
    if not isinstance(link.options, ModbusOptions):
        raise TypeError(f"the link for {link.protocol} is no Modbus link")
    return link.options


def form_of(channel: Channel) -> Form:
    """Give the form in which the meter keeps `channel`."""
    source = _own(channel.source)
    if source.type.is_float:
        return FloatForm(source.type, source.order, source.invalid, power=source.exponent - channel.exponent)
    return IntegerForm(source.type, source.order, source.invalid)


def _own(source: Source) -> ModbusSource:
    if not isinstance(source, ModbusSource):
        raise TypeError(f"{type(source).__name__} is not a Modbus source")
    return source


def _own_read(read: ReadRequest) -> ModbusRead:
    if not isinstance(read, ModbusRead):
        raise TypeError(f"{type(read).__name__} is not a Modbus read")
    return read


def _plan(sources: Iterable[ModbusSource], named: set[ModbusSource], options: ModbusOptions) -> tuple[ModbusRead, ...]:
    blocks: list[ModbusRead] = []
    for source in sorted(sources, key=lambda each: (each.function, each.address, each.end)):
        joined = _joined(blocks[-1], source, options) if blocks else None
        if joined is not None and joined.count <= options.registers_max:
            blocks[-1] = joined
        else:
            blocks.append(ModbusRead(source.function, source.address, source.count))
    return tuple(_with_distinct_lengths(blocks, named, options))


def _joined(block: ModbusRead, source: ModbusSource, options: ModbusOptions) -> ModbusRead | None:
    """Stretch `block` over `source`; None when the function differs, the hole is too wide, or must not be read."""
    before, after = block.address - source.end, source.address - block.end
    if source.function != block.function or max(before, after) > options.hole_max:
        return None
    first, end = (source.end, block.address) if before > 0 else (block.end, source.address)
    if _is_forbidden(first, end, options):
        return None
    address = min(block.address, source.address)
    return ModbusRead(block.function, address, max(block.end, source.end) - address)


def _is_forbidden(first: int, end: int, options: ModbusOptions) -> bool:
    """Say whether registers from `first` to before `end` touch a range that is never read along."""
    return any(first <= last and begin < end for begin, last in options.forbid)


def _with_distinct_lengths(
    blocks: list[ModbusRead], named: set[ModbusSource], options: ModbusOptions
) -> list[ModbusRead]:
    """Stretch a block whose length another one has over a neighbouring register that the profile names.

    Only named registers are known to exist, so nothing else is tried; where none is near, lengths stay equal.
    """
    distinct: list[ModbusRead] = []
    lengths: set[int] = set()
    known = [source for source in named if not _is_forbidden(source.address, source.end, options)]
    known.sort(key=lambda each: each.address)
    for block in blocks:
        neighbours = (_joined(block, source, options) for source in known)
        choices = [block, *(each for each in neighbours if each is not None and each.count <= options.registers_max)]
        fitting = next((each for each in choices if each.count not in lengths), block)
        lengths.add(fitting.count)
        distinct.append(fitting)
    return distinct


def _prepare_rtu(profile: Profile, protocol: Protocol, address: str, frame: bytes) -> PreparedAnswer | None:
    try:
        asked, read = modbus_rtu.parse_request(frame)
    except FrameError:
        return None
    if asked != address:
        return None
    return PreparedAnswer(
        octets=2 * read.count,
        cells=_cells(profile, protocol, read),
        framed=lambda body: modbus_rtu.build_reply(address, read, body),
        refusal=modbus_rtu.build_exception(address, read, modbus_pdu.ILLEGAL_ADDRESS),
    )


def _prepare_tcp(profile: Profile, address: str, frame: bytes) -> PreparedAnswer | None:
    try:
        _, asked, read = modbus_tcp.parse_request(frame)
    except FrameError:
        return None
    if asked != address:
        return None
    return PreparedAnswer(
        octets=2 * read.count,
        cells=_cells(profile, Protocol.MODBUS_TCP, read),
        framed=lambda body: modbus_tcp.build_reply(address, read, body),
        refusal=modbus_tcp.build_exception(address, read, modbus_pdu.ILLEGAL_ADDRESS),
    )


def _cells(profile: Profile, protocol: Protocol, read: ModbusRead) -> tuple[Cell, ...]:
    """Lay out every channel that the answer to `read` holds at least in part; none when the model would refuse it."""
    if read.count > options_of(profile.link(protocol)).registers_max:
        return ()
    return tuple(
        Cell.of(channel, form_of(channel), 2 * (_own(channel.source).address - read.address))
        for channel in distinct_channels(profile)
        if _touches(read, _own(channel.source))
    )


def _touches(read: ModbusRead, source: ModbusSource) -> bool:
    return read.function == source.function and source.address < read.end and read.address < source.end


MODBUS = ModbusFamily()
