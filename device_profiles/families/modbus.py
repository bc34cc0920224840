"""Modbus: channels stand in 16-bit registers, read in blocks by function 3 or 4, or as models of a SunSpec map."""

from __future__ import annotations

from device_profiles.checked_table import CheckedTable
from device_profiles.families import modbus_source
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.modbus_end import meter_end
from device_profiles.families.modbus_plan import ModbusOptions, RegisterRange, block_of, plan
from device_profiles.families.modbus_source import ModbusSource, form_of, own
from device_profiles.framing.modbus_pdu import REGISTERS_MAX, ModbusRead
from device_profiles.framing.sunspec import BASES, SunSpecRead
from device_profiles.profile import Channel, Group, Link, Profile, Protocol, ReadRequest, Source

__all__ = ["MODBUS", "ModbusOptions", "ModbusSource", "RegisterRange", "form_of", "options_of"]


class ModbusFamily:
    """The Modbus family."""

    name = "modbus"
    protocols = (Protocol.MODBUS_RTU, Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP)

    def read_source(self, table: CheckedTable) -> ModbusSource:
        """Read a `modbus` table."""
        return modbus_source.read_source(table)

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> ModbusOptions:
        """Read the limits of one read, what must not be read, and where a SunSpec map may begin."""
        del protocol
        registers_max = table.integer("registers_max", 1, REGISTERS_MAX)
        shorter = table.integers("shorter", 1, REGISTERS_MAX) if "shorter" in table else []
        if sorted({registers_max, *shorter}, reverse=True) != [registers_max, *shorter]:
            table.fault("shorter", f"{shorter} does not descend from {registers_max}", "write [50, 20], largest first")
        bases = table.integers("bases", 0, 0xFFFF) if "bases" in table else []
        if "bases" in table and not bases:
            table.fault("bases", "no base address", "leave `bases` out to try 40000, 50000 and 0")
        return ModbusOptions(
            registers_max=registers_max,
            hole_max=table.integer("hole_max", 0, REGISTERS_MAX),
            shorter=tuple(shorter),
            forbid=tuple(_forbidden(entry) for entry in table.tables("forbid", at_least=0)),
            bases=tuple(bases) or BASES,
        )

    def mantissa_limit(self, source: Source) -> int | None:
        """An integer is bounded by its width; a float or a number with a scale register is not."""
        return modbus_source.mantissa_limit(own(source))

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """No channel may stand where reading is forbidden; channels that share a scale register share an exponent."""
        scales: dict[tuple[int | None, int], int] = {}
        forbidden = [each for link in profile.links.values() for each in options_of(link).forbid]
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                place = ("groups", group.index, "channels", at)
                source = own(channel.source)
                block = block_of(source, options_of(next(iter(profile.links.values()))))
                if any(each.touches(block) for each in forbidden):
                    root.fault(place, f"registers of {channel.obis} are forbidden by the link", "mend one of them")
                if source.scale is None:
                    continue
                power = channel.exponent - source.exponent
                if scales.setdefault((source.model, source.scale), power) != power:
                    problem = f"scale register {source.scale} serves another power of ten above"
                    root.fault(place, problem, "give channels of one scale register one exponent")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Join the group's registers into blocks of distinct lengths."""
        named = dict.fromkeys(own(channel.source) for each in profile.groups for channel in each.channels)
        return plan([own(channel.source) for channel in group.channels], named, options_of(link))

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """Say whether all registers of the channel lie in the block."""
        source = channel.source
        if not isinstance(source, ModbusSource) or not isinstance(read, ModbusRead | SunSpecRead):
            return False
        model = read.model if isinstance(read, SunSpecRead) else None
        is_there = (read.function, model) == (source.function, source.model)
        return is_there and read.address <= source.first and source.end <= read.end

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Read the registers at their place in the block."""
        if not isinstance(read, ModbusRead | SunSpecRead):
            raise TypeError(f"{type(read).__name__} is not a Modbus read")
        return modbus_source.reader(read, channel)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        return meter_end(profile, protocol, address, options_of(profile.link(protocol)), registers)


def options_of(link: Link) -> ModbusOptions:
    """Give the limits of a Modbus link."""
    if not isinstance(link.options, ModbusOptions):
        raise TypeError(f"the link for {link.protocol} is no Modbus link")
    return link.options


def _forbidden(table: CheckedTable) -> RegisterRange:
    forbidden = RegisterRange(
        function=table.integer("function", 3, 4),
        first=table.integer("first", 0, 0xFFFF),
        last=table.integer("last", 0, 0xFFFF),
    )
    table.done()
    if forbidden.last < forbidden.first:
        table.fault("last", f"{forbidden.last} comes before {forbidden.first}", "write the lower address first")
    return forbidden


MODBUS = ModbusFamily()
