"""From channels to the fewest Modbus reads that a model allows.

Registers are joined into blocks: holes up to the link's `hole_max` are read along, since one more request costs more
bus time than some unused registers. Ranges that the link forbids are never touched. Blocks of one plan get different
lengths where the map allows it, so that a late reply to another block shows by its length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from device_profiles.families.family import PlanImpossible
from device_profiles.families.modbus_source import Block, ModbusSource
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.framing.sunspec import BASES, SunSpecRead
from device_profiles.profile import LinkOptions


@dataclass(frozen=True, slots=True)
class RegisterRange:
    """Registers `first` to `last` of one function, both included."""

    function: int
    first: int
    last: int

    def touches(self, block: Block) -> bool:
        """Say whether `block` reads any of them; registers of a SunSpec model have no fixed address."""
        if isinstance(block, SunSpecRead) or block.function != self.function:
            return False
        return block.address <= self.last and self.first < block.end


@dataclass(frozen=True, slots=True)
class ModbusOptions(LinkOptions):
    """How a model may be asked.

    registers_max  most registers the model answers in one read
    hole_max       most unused registers to read along rather than ask twice
    shorter        what to try where a firmware answers no `registers_max` registers, descending
    forbid         registers that must not be read
    bases          SunSpec: where the mark may stand
    """

    registers_max: int
    hole_max: int
    shorter: tuple[int, ...] = ()
    forbid: tuple[RegisterRange, ...] = ()
    bases: tuple[int, ...] = BASES


def plan(sources: Iterable[ModbusSource], named: Iterable[ModbusSource], options: ModbusOptions) -> tuple[Block, ...]:
    """Join `sources` into blocks; `named` are all registers that the profile knows to exist."""
    blocks: list[Block] = []
    for source in sorted(sources, key=lambda each: (each.function, each.model or 0, each.first, each.end)):
        own = block_of(source, options)
        joined = _joined(blocks[-1], own, options) if blocks else None
        if joined is not None and joined.count <= options.registers_max:
            blocks[-1] = joined
        elif own.count > options.registers_max:
            raise PlanImpossible(f"registers {own.address} to {own.end - 1} are one channel, but too many for one read")
        else:
            blocks.append(own)
    return tuple(_with_distinct_lengths(blocks, named, options))


def block_of(source: ModbusSource, options: ModbusOptions) -> Block:
    """Give the block that holds all parts of one channel."""
    count = source.end - source.first
    if source.model is None:
        return ModbusRead(source.function, source.first, count)
    return SunSpecRead(source.function, source.model, source.first, count, options.bases)


def _joined(block: Block, other: Block, options: ModbusOptions) -> Block | None:
    """Stretch `block` over `other`; None when they cannot be one, or the hole between is too wide or forbidden."""
    if type(block) is not type(other) or block.function != other.function:
        return None
    if isinstance(block, SunSpecRead) and isinstance(other, SunSpecRead) and block.model != other.model:
        return None
    if max(block.address - other.end, other.address - block.end) > options.hole_max:
        return None
    address = min(block.address, other.address)
    joined = replace(block, address=address, count=max(block.end, other.end) - address)
    return None if any(each.touches(joined) for each in options.forbid) else joined


def _with_distinct_lengths(blocks: list[Block], named: Iterable[ModbusSource], options: ModbusOptions) -> list[Block]:
    """Stretch a block whose length another one has over a neighbouring register that the profile names.

    Only named registers are known to exist, so nothing else is tried; where none is near, lengths stay equal.
    """
    near = [block_of(source, options) for source in sorted(named, key=lambda each: each.first)]
    distinct: list[Block] = []
    lengths: set[int] = set()
    for block in blocks:
        neighbours = (_joined(block, other, options) for other in near)
        choices = [block, *(each for each in neighbours if each is not None and each.count <= options.registers_max)]
        fitting = next((each for each in choices if each.count not in lengths), block)
        lengths.add(fitting.count)
        distinct.append(fitting)
    return distinct
