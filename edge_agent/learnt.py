"""What single meters taught about how they want to be asked (pure).

A profile says how a model may be asked; a firmware may allow less. A meter that refuses a block which reads registers
along that nobody asked for is asked apart from then on, and one that cuts long answers gets smaller blocks. A lesson
counts only when the reading that follows from it succeeds; it is kept, and forgotten when the meter gets another
profile, address or protocol. Only Modbus plans leave this choice; other families' reads are what their meters define.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, replace

from device_profiles.families import family_of
from device_profiles.families.family import PlanImpossible
from device_profiles.families.modbus_plan import ModbusOptions, RegisterRange
from device_profiles.families.modbus_source import ModbusSource
from device_profiles.framing.errors import ExceptionReply
from device_profiles.framing.modbus_pdu import ModbusRead
from device_profiles.profile import Group, LinkOptions, Profile, Protocol, ReadRequest
from edge_agent.ports import AnswerCut
from metering.errors import MeterError

ILLEGAL_ADDRESS = 2
ILLEGAL_COUNT = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What one meter wants beyond its profile.

    registers_max   most registers in one read, None for the profile's
    apart           registers that are not read along
    """

    registers_max: int | None = None
    apart: tuple[RegisterRange, ...] = ()

    def plan(self, profile: Profile, protocol: Protocol, group: Group) -> tuple[ReadRequest, ...]:
        """Give the reads for `group` within these limits; raises PlanImpossible."""
        link = profile.link(protocol)
        options = link.options
        if isinstance(options, ModbusOptions):
            most = min(self.registers_max or options.registers_max, options.registers_max)
            options = replace(options, registers_max=most, forbid=options.forbid + self.apart)
        reads = family_of(protocol).plan(profile, replace(link, options=options), group)
        if group.atomic and len(reads) > 1:
            raise PlanImpossible(f"{profile.id}: group {group.name} is atomic and would take {len(reads)} reads")
        return reads


AS_WRITTEN = Limits()


class Lessons(typing.Protocol):
    """Where limits are kept, by a key that names the meter and how it is asked."""

    def of(self, key: str) -> Limits:
        """Give what is known; AS_WRITTEN if nothing is."""

    def keep(self, key: str, limits: Limits) -> None:
        """Remember."""


class NoLessons:
    """Remembers nothing beyond the sweep."""

    def of(self, key: str) -> Limits:
        """Give AS_WRITTEN."""
        del key
        return AS_WRITTEN

    def keep(self, key: str, limits: Limits) -> None:
        """Forget."""


def lesson(
    limits: Limits, profile: Profile, protocol: Protocol, group: Group, read: ReadRequest, error: MeterError
) -> Limits | None:
    """Say how to ask a meter that answered `read` by `error`; None where there is nothing to learn from it."""
    if not isinstance(read, ModbusRead):
        return None
    learnt: Limits | None = None
    if isinstance(error, ExceptionReply) and error.code == ILLEGAL_ADDRESS:
        holes = _holes(read, group)
        learnt = replace(limits, apart=(*limits.apart, *holes)) if holes else None
    elif isinstance(error, AnswerCut) or (isinstance(error, ExceptionReply) and error.code == ILLEGAL_COUNT):
        learnt = replace(limits, registers_max=_shorter(profile.link(protocol).options, read.count))
    if learnt is None:
        return None
    try:
        is_other = learnt.plan(profile, protocol, group) != limits.plan(profile, protocol, group)
    except PlanImpossible:
        return None
    return learnt if is_other else None


def _shorter(options: LinkOptions | None, count: int) -> int:
    """Give the next smaller block that the model's firmwares are known to take, or half."""
    known = options.shorter if isinstance(options, ModbusOptions) else ()
    return next((fewer for fewer in known if fewer < count), max(count // 2, 1))


def _holes(read: ModbusRead, group: Group) -> list[RegisterRange]:
    """Give the ranges of `read` that no channel of `group` stands in."""
    holes: list[RegisterRange] = []
    at = read.address
    sources = [channel.source for channel in group.channels if isinstance(channel.source, ModbusSource)]
    for source in sorted(sources, key=lambda each: each.first):
        if source.function != read.function or source.end <= read.address or source.first >= read.end:
            continue
        if source.first > at:
            holes.append(RegisterRange(read.function, at, source.first - 1))
        at = max(at, source.end)
    return [*holes, RegisterRange(read.function, at, read.end - 1)] if at < read.end else holes
