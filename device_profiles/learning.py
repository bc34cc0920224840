"""What a meter teaches when it refuses or cuts an answer: a narrower link, by which its reads are planned anew. Pure.

Firmware of one model differs in how many registers it answers at once and in which unused ones it lets be read along.
So a failed read is not only a fault: the planner is given the link that would have avoided it. A link only ever gets
narrower, in few steps, so learning ends. Whoever asks the meter keeps what was learnt; a profile never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from device_profiles.families.modbus import options_of
from device_profiles.families.modbus_plan import RegisterRange
from device_profiles.families.modbus_source import own
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ILLEGAL_ADDRESS, ILLEGAL_COUNT, ModbusRead
from device_profiles.profile import Link, Profile, ReadRequest
from device_profiles.read_plan import PlanImpossible, plan_reads
from metering.errors import MeterError


@dataclass(frozen=True, slots=True)
class Learned:
    """What is kept of a meter between restarts: plain numbers, to be applied to its profile's link.

    registers_max  most registers it answers at once; None for what the profile says
    unbridged      (function, first, last) of unused registers that it does not let be read along
    """

    registers_max: int | None = None
    unbridged: tuple[tuple[int, int, int], ...] = ()

    def applied(self, link: Link) -> Link:
        """Give `link` narrowed by what was learnt; links of other families stay as they are."""
        if not link.protocol.is_modbus or self == Learned():
            return link
        options = options_of(link)
        registers_max = min(options.registers_max, self.registers_max or options.registers_max)
        ranges = tuple(RegisterRange(*each) for each in self.unbridged)
        forbid = (*options.forbid, *(each for each in ranges if each not in options.forbid))
        return replace(link, options=replace(options, registers_max=registers_max, forbid=forbid))


def learn(profile: Profile, link: Link, learned: Learned, read: ReadRequest, failure: MeterError) -> Learned | None:
    """Give what `failure` of `read` adds to `learned`; None when it teaches nothing.

    link   the profile's link without what was learnt

    An illegal address in a block that bridges holes: those holes are left out from now on. An illegal count, or an
    answer that is not whole: fewer registers at once. Nothing is learnt that would tear an atomic group apart.
    """
    if not isinstance(read, ModbusRead):
        return None
    more = _learnt(profile, link, learned, read, failure)
    return more if more is not None and _can_plan(profile, more.applied(link)) else None


def _learnt(profile: Profile, link: Link, learned: Learned, read: ModbusRead, failure: MeterError) -> Learned | None:
    if isinstance(failure, ExceptionReply) and failure.code == ILLEGAL_ADDRESS:
        holes = tuple(hole for hole in holes_in(profile, read) if hole not in learned.unbridged)
        return replace(learned, unbridged=learned.unbridged + holes) if holes else None
    if isinstance(failure, FrameError) or (isinstance(failure, ExceptionReply) and failure.code == ILLEGAL_COUNT):
        fewer = [count for count in options_of(link).shorter if count < read.count]
        return replace(learned, registers_max=fewer[0] if fewer else read.count // 2) if read.count > 1 else None
    return None


def _can_plan(profile: Profile, link: Link) -> bool:
    """Say whether every group can still be read: channels whole, and atomic groups in one read."""
    try:
        for group in profile.groups:
            plan_reads(profile, link.protocol, group, link)
    except PlanImpossible:
        return False
    return True


def holes_in(profile: Profile, read: ModbusRead) -> tuple[tuple[int, int, int], ...]:
    """Give (function, first, last) of each stretch of `read` that no channel of the profile names."""
    named = [own(channel.source) for group in profile.groups for channel in group.channels]
    known = {
        address + at
        for source in named
        if source.function == read.function and source.model is None
        for address, count in source.places
        for at in range(count)
    }
    holes: list[tuple[int, int, int]] = []
    for address in range(read.address, read.end):
        if address in known:
            continue
        if holes and holes[-1][2] == address - 1:
            holes[-1] = (read.function, holes[-1][1], address)
        else:
            holes.append((read.function, address, address))
    return tuple(holes)
