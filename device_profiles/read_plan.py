"""From channels to the fewest reads the model allows.

Modbus registers are joined into blocks: holes up to the link's `hole_max` are read along, since one more request costs
more bus time than some unused registers. Blocks of one plan get different lengths where the map allows it, so that a
late reply to another block shows by its length. DL/T 645 data identifiers are asked once each, in channel order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from device_profiles.profile import Channel, Dlt645Source, Group, Link, ModbusSource, Profile, Protocol
from metering.errors import MeteringError

REGISTERS_MAX = 125
"""Most registers of one Modbus read (Modbus application protocol 1.1b3, 6.3)."""


class PlanImpossible(MeteringError):
    """A group cannot be read as its profile demands."""


@dataclass(frozen=True, slots=True)
class ModbusRead:
    """Read `count` registers from `address` by function 3 or 4."""

    function: int
    address: int
    count: int

    @property
    def end(self) -> int:
        """Address of the register after the last."""
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class Dlt645Read:
    """Read one data identifier, written as printed: DI3 first (4 octets)."""

    di: bytes


ReadRequest = ModbusRead | Dlt645Read


@lru_cache(maxsize=1024)
def plan_reads(profile: Profile, protocol: Protocol, group: Group) -> tuple[ReadRequest, ...]:
    """Give the reads for `group`, in the order in which the decoder wants their bodies.

    Raises NotInProfile when the model does not speak `protocol`, PlanImpossible when an atomic group does not fit.
    """
    link = profile.link(protocol)
    reads: tuple[ReadRequest, ...]
    if protocol.is_modbus:
        named = {source for each in profile.groups for source in _modbus_sources(each.channels)}
        reads = _plan_modbus(_modbus_sources(group.channels), named, link)
    else:
        identifiers = (channel.source.di for channel in group.channels if isinstance(channel.source, Dlt645Source))
        reads = tuple(Dlt645Read(di) for di in dict.fromkeys(identifiers))
    if group.atomic and len(reads) > 1:
        raise PlanImpossible(f"{profile.id}: group {group.name} is atomic but takes {len(reads)} reads by {protocol}")
    return reads


def covers(read: ReadRequest, channel: Channel) -> bool:
    """Say whether the answer to `read` holds `channel` whole."""
    source = channel.source
    if isinstance(source, Dlt645Source):
        return isinstance(read, Dlt645Read) and read.di == source.di
    return (
        isinstance(read, ModbusRead)
        and read.function == source.function
        and read.address <= source.address
        and source.end <= read.end
    )


def _modbus_sources(channels: Iterable[Channel]) -> list[ModbusSource]:
    return [channel.source for channel in channels if isinstance(channel.source, ModbusSource)]


def _plan_modbus(sources: list[ModbusSource], named: set[ModbusSource], link: Link) -> tuple[ModbusRead, ...]:
    registers_max = min(link.registers_max or REGISTERS_MAX, REGISTERS_MAX)
    blocks: list[ModbusRead] = []
    for source in sorted(sources, key=lambda each: (each.function, each.address, each.end)):
        joined = _joined(blocks[-1], source, link.hole_max) if blocks else None
        if joined is not None and joined.count <= registers_max:
            blocks[-1] = joined
        else:
            blocks.append(ModbusRead(source.function, source.address, source.count))
    return tuple(_with_distinct_lengths(blocks, named, link.hole_max, registers_max))


def _joined(block: ModbusRead, source: ModbusSource, hole_max: int) -> ModbusRead | None:
    """Stretch `block` over `source`; None when the function differs or the hole is too wide."""
    before, after = block.address - source.end, source.address - block.end
    if source.function != block.function or max(before, after) > hole_max:
        return None
    address = min(block.address, source.address)
    return ModbusRead(block.function, address, max(block.end, source.end) - address)


def _with_distinct_lengths(
    blocks: list[ModbusRead], named: set[ModbusSource], hole_max: int, registers_max: int
) -> list[ModbusRead]:
    """Stretch a block whose length another one has over a neighbouring register that the profile names.

    Only named registers are known to exist, so nothing else is tried; where none is near, lengths stay equal.
    """
    distinct: list[ModbusRead] = []
    lengths: set[int] = set()
    for block in blocks:
        neighbours = (_joined(block, source, hole_max) for source in sorted(named, key=lambda each: each.address))
        choices = [block, *(each for each in neighbours if each is not None and each.count <= registers_max)]
        fitting = next((each for each in choices if each.count not in lengths), block)
        lengths.add(fitting.count)
        distinct.append(fitting)
    return distinct
