"""DLMS/COSEM: channels are attributes of objects, or columns of a profile's rows; the meter says how it counts.

A group is one read: one association, every attribute. Where an object has scaler and unit they are read with its value,
each time, since a body must stand for itself: the meter's word is held against the profile's, and a meter that counts
otherwise gives no reading. With `scaling = "meter"` any scaler of the same quantity is taken, if the mantissa comes out
whole. See docs/adr/0076.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from device_profiles.checked_table import CheckedTable
from device_profiles.families.dlms_end import DlmsEnd, SimulatedObject
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.fixed_layout import distinct_channels
from device_profiles.forms import NotReadable
from device_profiles.framing.acse import Mechanism
from device_profiles.framing.axdr import NULL, AxdrError, Data, DataTag
from device_profiles.framing.cosem import CLOCK, ScalerUnit, column_of, moment_from_octets, profile_rows
from device_profiles.framing.dlms import DlmsOptions, DlmsRead, body_elements
from device_profiles.framing.xdlms import Attribute, NewestEntries
from device_profiles.profile import (
    Channel,
    ChannelKind,
    Group,
    Link,
    LinkOptions,
    Profile,
    Protocol,
    ReadRequest,
    Source,
)
from metering.errors import MeteringError
from metering.obis import ENERGY_IMPORT, Obis

PROFILE_GENERIC = 7
CAPTURE_OBJECTS = 3
CAPTURE_PERIOD = 4
_SCALER_OF = {(3, 2): 3, (4, 2): 3, (5, 2): 4, (5, 3): 4}
"""Attribute scaler_unit of registers, extended registers and demand registers, by class and attribute."""
_MECHANISMS = {mechanism.name.lower(): mechanism for mechanism in Mechanism}
_FLOATS = {DataTag.FLOAT32: struct.Struct(">f"), DataTag.FLOAT64: struct.Struct(">d")}
_CLIENT_MAX = {Protocol.DLMS_HDLC: 127, Protocol.DLMS_WRAPPER: 0xFFFF}


@dataclass(frozen=True, slots=True)
class DlmsSource(Source):
    """Where a channel stands in a meter's objects.

    attribute  what is read: an attribute, or the buffer of a profile with the entries that are wanted
    column     within a profile: the attribute that its newest row shows; None outside profiles
    follows    whether any scaler of the same quantity is taken, rather than the profile's alone
    optional   whether some meters of the model have it not; it has no value there
    """

    attribute: Attribute
    column: Attribute | None = None
    follows: bool = False
    optional: bool = False

    @property
    def shown(self) -> Attribute:
        """The attribute that the number is of."""
        return self.column or self.attribute

    @property
    def scaler(self) -> Attribute | None:
        """Where its scaler and unit stand; None for objects without."""
        number = _SCALER_OF.get((self.shown.interface, self.shown.number))
        return None if number is None else Attribute(self.shown.interface, self.shown.obis, number)

    @property
    def needs(self) -> tuple[Attribute, ...]:
        """Everything that must be read for the channel."""
        scaler = () if self.scaler is None else (self.scaler,)
        if self.column is None:
            return (*scaler, self.attribute)
        return (*scaler, self.of_profile(CAPTURE_OBJECTS), self.of_profile(CAPTURE_PERIOD), self.attribute)

    def of_profile(self, number: int) -> Attribute:
        """Give another attribute of the same object."""
        return Attribute(self.attribute.interface, self.attribute.obis, number)


class DlmsFamily:
    """The DLMS/COSEM family."""

    name = "dlms"
    protocols = (Protocol.DLMS_HDLC, Protocol.DLMS_WRAPPER)

    def read_source(self, table: CheckedTable) -> DlmsSource:
        """Read a `dlms` table."""
        attribute = _attribute(table)
        column = None
        if attribute.interface == PROFILE_GENERIC:
            inner = table.table("column")
            column = _attribute(inner)
            inner.done()
            newest = NewestEntries(is_newest_first=table.boolean("newest_first", False))
            attribute = Attribute(attribute.interface, attribute.obis, attribute.number, newest)
        scaling = table.choice("scaling", ("profile", "meter"), "profile")
        source = DlmsSource(attribute, column, scaling == "meter", table.boolean("optional", False))
        table.done()
        if source.follows and source.scaler is None:
            table.fault("scaling", f"{source.shown} has no scaler in the meter", "leave `scaling` out")
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> DlmsOptions:
        """Read how the model is associated with."""
        mechanism = _MECHANISMS[table.choice("authentication", tuple(_MECHANISMS))]
        is_ciphered = table.boolean("ciphered", False)
        if is_ciphered and mechanism is not Mechanism.GMAC:
            table.fault("ciphered", "ciphering needs the keys of GMAC", 'write authentication = "gmac"')
        octets = table.integer("address_octets", 0, 4, 0) if protocol is Protocol.DLMS_HDLC else 0
        if octets == 3:
            table.fault("address_octets", "an HDLC address has 1, 2 or 4 octets", "write one of them, or leave it out")
        return DlmsOptions(table.integer("client", 1, _CLIENT_MAX[protocol]), mechanism, is_ciphered, octets)

    def mantissa_limit(self, source: Source) -> None:
        """The type of a number is the meter's choice."""
        del source

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """A moment is a clock's or a capture time; a number is neither."""
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                shown = _own(channel.source).shown
                is_moment = (shown.interface, shown.number) in ((CLOCK.interface, CLOCK.number), (4, 5), (5, 6))
                if is_moment is not (channel.kind is ChannelKind.TIME):
                    problem = f"{shown} is {'a' if is_moment else 'no'} moment, the channel is a {channel.kind}"
                    root.fault(("groups", group.index, "channels", at), problem, "mend the kind or the attribute")

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Get everything in one association, each attribute once."""
        del profile
        sources = [_own(channel.source) for channel in group.channels]
        needed = dict.fromkeys(each for source in sources for each in source.needs)
        required = {each for source in sources if not source.optional for each in source.needs}
        return (DlmsRead(tuple(needed), options_of(link), frozenset(needed) - required),)

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """Say whether everything that the channel needs is read."""
        source = channel.source
        return (
            isinstance(source, DlmsSource) and isinstance(read, DlmsRead) and set(source.needs) <= set(read.attributes)
        )

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Take the channel out of the body by the places of its attributes."""
        source = _own(channel.source)
        attributes = _own_read(read).attributes
        places = {attribute: at for at, attribute in enumerate(attributes)}

        def mantissa(body: bytes) -> int | None:
            elements = _elements(body)
            if len(elements) != len(attributes):
                raise NotReadable(f"{len(elements)} answers for {len(attributes)} attributes")
            shown = _shown(source, places, elements)
            if shown is None or shown == NULL:
                return None
            scaler = None if source.scaler is None else ScalerUnit.from_data(elements[places[source.scaler]])
            return _mantissa(channel, source, shown, scaler)

        return mantissa

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        objects = tuple(
            SimulatedObject(channel, source.attribute, source.column, source.scaler)
            for channel in distinct_channels(profile)
            for source in (_own(channel.source),)
        )
        options = options_of(profile.link(protocol))
        return DlmsEnd(objects, options, address, registers, is_wrapped=protocol is Protocol.DLMS_WRAPPER)


def options_of(link: Link) -> DlmsOptions:
    """Give how a DLMS link is associated with."""
    return _own_options(link.options)


@lru_cache(maxsize=64)
def _elements(body: bytes) -> tuple[Data, ...]:
    """Split a body once for all of its channels."""
    try:
        return body_elements(body)
    except AxdrError as error:
        raise NotReadable(str(error)) from error


def _shown(source: DlmsSource, places: dict[Attribute, int], elements: tuple[Data, ...]) -> Data | None:
    """Give the element that shows the channel; None where a profile is empty."""
    read = elements[places[source.attribute]]
    if source.column is None:
        return read
    captured = elements[places[source.of_profile(CAPTURE_OBJECTS)]]
    period = elements[places[source.of_profile(CAPTURE_PERIOD)]]
    if NULL in (captured, read):
        return None
    rows = profile_rows(captured, read, period.number)
    if len(rows) > 1:
        raise NotReadable(f"{len(rows)} rows where the newest was asked")
    return rows[0][column_of(captured, source.column)] if rows else None


def _mantissa(channel: Channel, source: DlmsSource, shown: Data, scaler: ScalerUnit | None) -> int | None:
    if channel.kind is ChannelKind.TIME:
        if shown.tag not in (DataTag.OCTET_STRING, DataTag.DATE_TIME):
            raise NotReadable(f"{shown.tag.name} is no moment")
        return moment_from_octets(shown.octets)
    if channel.kind is ChannelKind.STATE:
        return _bits(shown)
    step = Fraction(1) if scaler is None else scaler.in_unit(channel.unit, channel.exponent)
    if step != 1 and not source.follows:
        raise NotReadable(
            f"the meter counts in steps of {step} x 10^{channel.exponent} {channel.unit.symbol}: it is another model,"
            " or is set otherwise than the profile says"
        )
    if shown.tag in _FLOATS:
        return _rounded(channel, shown, step)
    if not shown.is_integer:
        raise NotReadable(f"{shown.tag.name} is no number")
    mantissa = shown.number * step
    if mantissa.denominator != 1:
        raise NotReadable(f"{shown.number} steps of {step} are no whole mantissa; it is not rounded")
    return mantissa.numerator


def _rounded(channel: Channel, shown: Data, step: Fraction) -> int | None:
    """Give a float as mantissa: rounded for a gauge, to the nearest, ties to even; never for a counter."""
    number: float = _FLOATS[shown.tag].unpack(shown.octets)[0]
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise NotReadable("an infinity")
    exact = Fraction(number) * step
    if channel.kind is ChannelKind.COUNTER and exact.denominator != 1:
        raise NotReadable(f"{number} is no whole mantissa; a counter is not rounded")
    return round(exact)


def _bits(shown: Data) -> int:
    """Give bits as a number: bit 0 of a bit string is its first, that of any other type the lowest."""
    if shown.tag is DataTag.BIT_STRING:
        text = "".join(f"{octet:08b}" for octet in shown.octets)[: shown.number]
        return int(text[::-1] or "0", 2)
    if shown.tag is DataTag.OCTET_STRING:
        return int.from_bytes(shown.octets)
    if not shown.is_integer:
        raise NotReadable(f"{shown.tag.name} holds no bits")
    return shown.number


def _attribute(table: CheckedTable) -> Attribute:
    interface = table.integer("class", 1, 0xFFFF)
    try:
        obis = Obis.parse(table.text("obis"))
    except MeteringError as error:
        table.fault("obis", str(error), "write the object's logical name, like 1-0:1.8.0")
        obis = ENERGY_IMPORT
    return Attribute(interface, obis, table.integer("attribute", 1, 127, 2))


def _own(source: Source) -> DlmsSource:
    if not isinstance(source, DlmsSource):
        raise TypeError(f"{type(source).__name__} is not a DLMS source")
    return source


def _own_read(read: ReadRequest) -> DlmsRead:
    if not isinstance(read, DlmsRead):
        raise TypeError(f"{type(read).__name__} is not a DLMS read")
    return read


def _own_options(options: LinkOptions | None) -> DlmsOptions:
    if not isinstance(options, DlmsOptions):
        raise TypeError("the link is no DLMS link")
    return options


DLMS = DlmsFamily()
