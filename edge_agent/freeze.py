"""Registers of one instant: meters that can are told to freeze them at a mark, and the frozen ones are read (pure).

The command is a broadcast that no meter answers, so whether a meter obeyed shows only in what it froze: such a group
holds the time of its freeze by the meter's own clock. It counts as this mark's when that clock, in the zone the site
says its meters keep, is within `FREEZE_ERROR` of the command; else the meter is read as ever. A meter whose clock is
further off is never believed, which costs it the common instant and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from device_profiles.profile import ChannelKind, Group, Profile
from metering.interval import SiteCalendar

FREEZE_ERROR = timedelta(seconds=300)
"""Less than half a quarter hour, so that the freeze of the mark before cannot be taken for this one's."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def frozen_twin(profile: Profile, group: Group) -> Group | None:
    """Give the group of `profile` that holds the registers of `group` as they were at the freeze, with its time."""
    wanted = {channel.obis for channel in group.channels if channel.kind is ChannelKind.COUNTER}
    for twin in profile.groups:
        held = {channel.obis for channel in twin.channels}
        if twin.after_freeze and wanted and wanted <= held and _time_at(twin) is not None:
            return twin
    return None


def is_of(told_at: datetime, twin: Group, mantissas: Sequence[int | None], calendar: SiteCalendar) -> bool:
    """Say whether `mantissas` were frozen by the command sent at `told_at`."""
    place = _time_at(twin)
    shown_s = None if place is None else mantissas[place]
    if shown_s is None:
        return False
    local = calendar.local(told_at).replace(tzinfo=UTC)
    return abs(_EPOCH + timedelta(seconds=shown_s) - local) <= FREEZE_ERROR


def _time_at(twin: Group) -> int | None:
    kinds = [channel.kind for channel in twin.channels]
    return kinds.index(ChannelKind.TIME) if ChannelKind.TIME in kinds else None
