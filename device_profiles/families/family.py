"""What a protocol family is to the rest: how its sources are written, planned, decoded, simulated (docs/adr/0072).

A family is a stateless object. The planner, the decoder, the profile checker and the simulated meter know families only
by this protocol, so a new one is its own module here, its codec in `framing`, and a line in each of the two registers.
"""

from __future__ import annotations

import typing
from collections.abc import Callable

from device_profiles.checked_table import CheckedTable
from device_profiles.profile import Channel, Group, Link, LinkOptions, Profile, Protocol, ReadRequest, Source
from metering.errors import MeteringError
from metering.obis import Obis

MantissaReader = Callable[[bytes], int | None]
"""From the body of one read to one channel's mantissa, exactly; None for "no value"; raises forms.NotReadable."""

Registers = Callable[[Obis], int | None]
"""True registers of one simulated meter in base units [Wh, mV ...]; None while the meter is off the bus."""


class PlanImpossible(MeteringError):
    """A group cannot be read as its profile demands."""


class MeterEnd(typing.Protocol):
    """The meter's end of the line. It keeps state as its protocol does: association, selection, frame count."""

    def answer(self, received: bytes) -> bytes | None:
        """Give the reply to one whole request; None when it is not for this meter, or the meter is off the bus."""


class Family(typing.Protocol):
    """A family of protocols that share sources."""

    @property
    def name(self) -> str:
        """Key of the source table in a [[groups.channels]] entry."""

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols by which these sources can be read."""

    def read_source(self, table: CheckedTable) -> Source:
        """Read a channel's source table and call `table.done()`; mistakes go to `table.fault`."""

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> LinkOptions | None:
        """Read the family's own keys of a link; do not call `done()`."""

    def mantissa_limit(self, source: Source) -> int | None:
        """Give the first mantissa that the register's form cannot show; None when the form sets no bound."""

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """Note what single tables cannot show: sources that contradict each other or the link."""

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Give the fewest reads for `group`; raises PlanImpossible."""

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """Say whether the answer to `read` holds `channel` whole."""

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Compile how `channel` is taken out of the body of `read`, which covers it. Called once, then kept.

        The reader fails closed: a body of a wrong length, form or unit raises NotReadable; energy is never rounded.
        """

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end for any profile of the family."""
