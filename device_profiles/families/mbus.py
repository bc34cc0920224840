"""M-Bus: a meter sends records that say themselves what they are; a channel names the record it is kept in.

A source names a record by quantity, function, storage, tariff, subunit and qualifiers, whatever its unit and width, or
by its header (DIF to VIFEs) to the octet. Unit and power of ten come from the record and are brought to the channel's
exactly: a counter whose counts are no whole mantissas is NotReadable, at whatever number it stands. Floats and gauges
are rounded once to the channel's exponent. Two records that fit are NotReadable as well; `nth` says which is meant.
A meter that counts by tariffs and sends no total is summed by `tariffs`; one more tariff than these is NotReadable.
A counter whose record is missing is NotReadable, anything else has no value then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from device_profiles.checked_table import CheckedTable
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.mbus_end import MbusEnd
from device_profiles.families.mbus_source import FUNCTIONS, STATUS, MbusSource, count_size, own_source, usual_media
from device_profiles.forms import NotReadable
from device_profiles.framing.errors import ExceptionReply, FrameError
from device_profiles.framing.mbus import TELEGRAMS_MAX, MbusRead, telegrams_in
from device_profiles.framing.mbus_numbers import BCD_FIELDS, FIELD_FLOAT, bits_in, number_in, seconds_in
from device_profiles.framing.mbus_records import MbusRecord, MbusTelegram, record_of_header
from device_profiles.framing.mbus_vib import QUANTITIES, UNKNOWN
from device_profiles.profile import Channel, ChannelKind, Group, Link, LinkOptions, Profile, Protocol, ReadRequest

_BODIES_KEPT = 16
_HEADER_TEXT_OCTETS_MAX = 64
_DIMENSION_MAX = 2**41
"""Storage numbers have 41 bits at most; tariffs and subunits fewer."""


@dataclass(frozen=True, slots=True)
class MbusOptions(LinkOptions):
    """What an M-Bus link wants to know.

    telegrams  how many telegrams to read at most: fewer than the meter has where the profile needs only the first
    media      media that the meter's header may name; none for those of the profile's medium
    """

    telegrams: int
    media: tuple[int, ...]


class MbusFamily:
    """The M-Bus family."""

    name = "mbus"
    protocols = (Protocol.MBUS,)

    def read_source(self, table: CheckedTable) -> MbusSource:
        """Read an `mbus` table."""
        source = _by_header(table) if "header" in table else _by_quantity(table)
        table.done()
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> MbusOptions:
        """Read `telegrams` and `media`."""
        del protocol
        return MbusOptions(
            telegrams=table.integer("telegrams", 1, TELEGRAMS_MAX, 1),
            media=tuple(table.integers("media", 0, 255)) if "media" in table else (),
        )

    def mantissa_limit(self, source: object) -> None:
        """The meter chooses width and unit, so the source alone sets no bound; see `check`."""
        del source

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """A record named by its header must be of the channel's unit, and able to show the channel's modulus."""
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                place = ("groups", group.index, "channels", at)
                source = own_source(channel.source)
                for problem in _problems(channel, source):
                    root.fault(place, problem, "mend the source, the unit or the modulus")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Read all telegrams in one conversation: a meter sends every record in any case."""
        del group
        options = _options(link)
        return (MbusRead(options.telegrams, options.media or usual_media(profile.medium)),)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """Any record may be in the telegrams."""
        return isinstance(read, MbusRead) and isinstance(channel.source, MbusSource)

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Find the channel's record and bring its count to the channel's unit and exponent."""
        del read
        source = own_source(channel.source)
        return lambda body: mantissa_in(_telegrams(body), source, channel)

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        media = _options(profile.link(protocol)).media or usual_media(profile.medium)
        return MbusEnd(profile, address, registers, media[0])


def mantissa_in(telegrams: tuple[MbusTelegram, ...], source: MbusSource, channel: Channel) -> int | None:
    """Give the mantissa of `channel`; None for "no value"; raises NotReadable."""
    if source.quantity == STATUS:
        return telegrams[0].status if telegrams and telegrams[0].status >= 0 else None
    if source.tariffs:
        return _sum_in(telegrams, source, channel)
    fitting = [record for telegram in telegrams for record in telegram.records if source.names(record)]
    if source.nth is None and len(fitting) > 1:
        raise NotReadable(f"{len(fitting)} records are {source}; the profile must say which by `nth`")
    nth = source.nth or 0
    if nth >= len(fitting):
        if channel.kind is ChannelKind.COUNTER:
            raise NotReadable(f"the meter sent no record {source}; it sent {_listed(telegrams)}")
        return None
    record = fitting[nth]
    if record.vib.record_error:
        return None
    try:
        return _mantissa(record, channel)
    except FrameError as error:
        raise NotReadable(f"{source}: {error}") from error


def _sum_in(telegrams: tuple[MbusTelegram, ...], source: MbusSource, channel: Channel) -> int | None:
    """Give the sum of the tariffs; None when one has no value; raises NotReadable when the meter has another tariff."""
    left_out = [str(record) for telegram in telegrams for record in telegram.records if source.leaves_out(record)]
    if left_out:
        raise NotReadable(f"the meter counts {', '.join(left_out)} besides tariffs {source.tariffs}")
    total = 0
    for part in source.parts:
        mantissa = mantissa_in(telegrams, part, channel)
        if mantissa is None:
            return None
        total += mantissa
    return total


def _mantissa(record: MbusRecord, channel: Channel) -> int | None:
    if channel.kind is ChannelKind.STATE:
        return bits_in(record)
    if channel.kind is ChannelKind.TIME:
        return seconds_in(record)
    number = number_in(record)
    if number is None:
        return None
    size = count_size(record.measure, channel)
    if size is None:
        raise NotReadable(f"the meter counts {record.measure.base or 'in no unit'}, the profile {channel.unit.symbol}")
    if record.field == FIELD_FLOAT or channel.kind is not ChannelKind.COUNTER:
        return round(number * size)
    if size.denominator != 1:
        raise NotReadable(f"one count of the meter is {size} x 10^{channel.exponent} {channel.unit.symbol}")
    return int(number * size)


def _options(link: Link) -> MbusOptions:
    return link.options if isinstance(link.options, MbusOptions) else MbusOptions(1, ())


def _by_header(table: CheckedTable) -> MbusSource:
    header = table.hexadecimal("header")
    try:
        record = record_of_header(header)
    except (FrameError, IndexError) as error:
        table.fault("header", f"no record begins like this: {error}", "write DIF, DIFEs, VIF and VIFEs as on the wire")
        return MbusSource("energy")
    nth = table.integer("nth", 0, 255) if "nth" in table else None
    return MbusSource(
        record.measure.quantity,
        record.function,
        record.storage,
        record.tariff,
        record.subunit,
        record.vib.qualifiers,
        nth,
        header,
    )


def _by_quantity(table: CheckedTable) -> MbusSource:
    return MbusSource(
        quantity=table.choice("quantity", (*(name for name in QUANTITIES if name != UNKNOWN), STATUS)),
        function=FUNCTIONS[table.choice("function", tuple(FUNCTIONS), "instantaneous")],
        storage=table.integer("storage", 0, _DIMENSION_MAX, 0),
        tariff=table.integer("tariff", 0, _DIMENSION_MAX, 0),
        subunit=table.integer("subunit", 0, _DIMENSION_MAX, 0),
        qualifiers=table.hexadecimal("qualifiers") if "qualifiers" in table else b"",
        nth=table.integer("nth", 0, 255) if "nth" in table else None,
        tariffs=tuple(table.integers("tariffs", 1, _DIMENSION_MAX)) if "tariffs" in table else (),
    )


def _problems(channel: Channel, source: MbusSource) -> list[str]:
    if source.quantity == STATUS and channel.kind is not ChannelKind.STATE:
        return ["the status octet of the header is a state"]
    if not source.header or channel.kind in (ChannelKind.STATE, ChannelKind.TIME):
        return []
    record = record_of_header(source.header)
    size = count_size(record.measure, channel)
    if size is None:
        return [f"the record counts {record.measure.base or 'in no unit'}, the channel {channel.unit.symbol}"]
    if channel.kind is ChannelKind.COUNTER and record.field != FIELD_FLOAT and size.denominator != 1:
        return [f"one count of the record is {size} of the channel's mantissa: choose a finer exponent"]
    if record.field in BCD_FIELDS and channel.modulus is not None:
        limit = 10 ** (2 * BCD_FIELDS[record.field]) * size
        if channel.modulus > limit:
            return [f"the record can show only mantissas below {limit}"]
    return []


def _listed(telegrams: tuple[MbusTelegram, ...]) -> str:
    return ", ".join(str(record) for telegram in telegrams for record in telegram.records) or "none"


@lru_cache(maxsize=_BODIES_KEPT)
def _telegrams(body: bytes) -> tuple[MbusTelegram, ...]:
    """Take a body apart once for all channels; raises NotReadable."""
    try:
        return tuple(telegrams_in(body))
    except (FrameError, ExceptionReply) as error:
        raise NotReadable(str(error)) from error


MBUS = MbusFamily()
