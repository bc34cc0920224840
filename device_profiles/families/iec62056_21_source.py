"""Which line of an IEC 62056-21 read-out a channel stands on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from device_profiles.profile import Channel, ChannelKind, Source


class Form(StrEnum):
    """How the entry is printed: a decimal number, bits in hex, or a date with time."""

    NUMBER = "number"
    HEX = "hex"
    TIME = "time"

    def kind_of(self, channel: Channel) -> ChannelKind:
        """Give the kind that a channel of this form must have."""
        if self is Form.HEX:
            return ChannelKind.STATE
        if self is Form.TIME:
            return ChannelKind.TIME
        return channel.kind if channel.kind in (ChannelKind.COUNTER, ChannelKind.GAUGE) else ChannelKind.GAUGE


@dataclass(frozen=True, slots=True)
class Iec62056Source(Source):
    """An entry of a data set.

    name    as the meter prints it, to the letter: `1.8.0`, `1-0:1.8.0*255`, `ET0PE`
    index   which entry under the name, from 0
    digits  digits that a simulated meter prints
    """

    name: str
    index: int = 0
    form: Form = Form.NUMBER
    digits: int = 8


def own_source(source: Source) -> Iec62056Source:
    """Give `source` as one of this family."""
    if not isinstance(source, Iec62056Source):
        raise TypeError(f"{type(source).__name__} is not an IEC 62056-21 source")
    return source
