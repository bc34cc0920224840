"""CJ/T 188: water, heat and gas meters. Numbers are BCD, low octet first, most with a unit octet that the meter chose.

The unit in the answer wins over the profile's: it is converted exactly, or the number is refused. A counter that rolls
over is refused in any unit but the profile's, since its modulus would be another. An unknown unit is never guessed.
Where each number and its unit octet stand is the profile's, for makers lay answers out differently.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from device_profiles.checked_table import CheckedTable
from device_profiles.families.cjt188_units import factor_of, unit_told
from device_profiles.families.family import MantissaReader, MeterEnd, Registers
from device_profiles.families.fixed_layout import Cell, FixedLayoutEnd, PreparedAnswer, fixed_reader
from device_profiles.families.moment_layout import read_layout
from device_profiles.forms import BcdForm, Form, IntegerForm, NotReadable, RegisterType, WordOrder
from device_profiles.framing import cjt188
from device_profiles.framing.cjt188 import Cjt188Read, Cjt188ReadAddress, Cjt188Request
from device_profiles.framing.cjt188_frame import ANY_METER
from device_profiles.framing.errors import FrameError
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
from device_profiles.wall_time import BitsForm, WallTimeForm
from metering.toml_source import Place

_BODY_OCTETS_MAX = 97
_STATUS_OF_REFUSAL = 0
_BINARIES = {2: RegisterType.U16, 4: RegisterType.U32, 8: RegisterType.U64}


@dataclass(frozen=True, slots=True)
class Cjt188Source(Source):
    """Where a channel stands in an answer, counted from after identifier and serial number [octets].

    di        data identifier as printed (2 octets)
    length    length of the answer from there on: 19 for water and gas, 43 for heat by the standard
    at        where the number begins
    octets    octets of the number
    decimals  decimal places of the number as the meter sends it, in the unit it sends
    unit_at   where its unit octet stands; None where it has none and counts in the channel's unit and exponent
    unit      unit octet the model is expected to send
    binary    whether the number is binary and no digits
    bits      whether the octets are bits
    layout    how a moment stands in its octets; "" for a number
    """

    di: bytes
    length: int
    at: int
    octets: int
    decimals: int = 2
    unit_at: int | None = None
    unit: int = 0
    binary: bool = False
    bits: bool = False
    layout: str = ""

    @property
    def form(self) -> Form:
        """How the number is kept."""
        if self.layout:
            return WallTimeForm(self.layout)
        if self.bits:
            return BitsForm(self.octets)
        if self.binary:
            return IntegerForm(_BINARIES[self.octets], WordOrder.DCBA)
        return BcdForm(octets=self.octets, signed=False)


@dataclass(frozen=True, slots=True)
class Cjt188Options(LinkOptions):
    """What to know of a model's link.

    meter_type      type octet of requests: 10 cold water, 11 hot water, 20 heat, 21 cooling, 30 gas
    is_low_first    requests carry the identifier's last octet first (1F 90)
    repeats_serial  answers repeat the request's number, as the standard says
    """

    meter_type: int
    is_low_first: bool
    repeats_serial: bool


class Cjt188Family:
    """The CJ/T 188 family."""

    name = "cjt188"
    protocols = (Protocol.CJT188_2004, Protocol.CJT188_2018)

    def read_source(self, table: CheckedTable) -> Cjt188Source:
        """Read a `cjt188` table."""
        layout = read_layout(table)
        source = Cjt188Source(
            di=table.hexadecimal("di"),
            length=table.integer("length", 1, _BODY_OCTETS_MAX),
            at=table.integer("at", 0, _BODY_OCTETS_MAX),
            octets=len(layout) // 2 if layout else table.integer("octets", 1, 8),
            decimals=table.integer("decimals", 0, 9) if "unit_at" in table else 0,
            unit_at=table.integer("unit_at", 0, _BODY_OCTETS_MAX) if "unit_at" in table else None,
            unit=int.from_bytes(table.hexadecimal("unit"), "big") if "unit_at" in table else 0,
            binary=table.boolean("binary", False),
            bits=table.boolean("bits", False),
            layout=layout,
        )
        table.done()
        _check_source(table, source)
        return source

    def read_link_options(self, table: CheckedTable, protocol: Protocol) -> Cjt188Options:
        """Read the type octet and the model's habits."""
        del protocol
        meter_type = table.hexadecimal("meter_type")
        if len(meter_type) != 1:
            table.fault("meter_type", "a meter type is one octet", 'write two hex digits: "10" is cold water')
        return Cjt188Options(
            meter_type=meter_type[0] if meter_type else 0,
            is_low_first=table.choice("identifier_order", ("901F", "1F90"), "901F") == "1F90",
            repeats_serial=table.boolean("repeats_serial", True),
        )

    def mantissa_limit(self, source: Source) -> int | None:
        """A number without unit octet shows what its octets can; one with a unit octet what the unit makes of it."""
        own = _own(source)
        if own.layout or own.unit_at is not None:
            return None
        limit: int = 256**own.octets if own.binary or own.bits else 10 ** (2 * own.octets)
        return limit

    def check(self, profile: Profile, root: CheckedTable) -> None:
        """Answers for one identifier have one length, units fit channels, moduli fit what the number can show."""
        lengths: dict[bytes, int] = {}
        for group in profile.groups:
            for at, channel in enumerate(group.channels):
                place = ("groups", group.index, "channels", at)
                source = _own(channel.source)
                if lengths.setdefault(source.di, source.length) != source.length:
                    problem = f"{source.di.hex()} was {lengths[source.di]} octets above"
                    root.fault(place, problem, "make them agree")
                if (channel.kind is ChannelKind.TIME) is not bool(source.layout):
                    root.fault(place, "a moment has a layout, and nothing else has", "mend `kind` or `layout`")
                if (channel.kind is ChannelKind.STATE) is not source.bits:
                    root.fault(place, "a state is of bits, and nothing else is", "mend `kind` or `bits`")
                _check_unit(root, place, channel, source)

    def plan(self, profile: Profile, link: Link, group: Group) -> tuple[ReadRequest, ...]:
        """Ask each identifier once, in channel order."""
        del profile
        options = _options(link)
        identifiers = dict.fromkeys(_own(channel.source).di for channel in group.channels)
        return tuple(
            Cjt188Read(identifier, options.meter_type, options.is_low_first, options.repeats_serial)
            for identifier in identifiers
        )

    def covers(self, read: ReadRequest, channel: Channel) -> bool:
        """An answer holds every number of its identifier, in whichever order that is written."""
        return (
            isinstance(channel.source, Cjt188Source)
            and isinstance(read, Cjt188Read)
            and channel.source.di in (read.di, read.di[::-1])
        )

    def reader(self, read: ReadRequest, channel: Channel) -> MantissaReader:
        """Read the number at its place, and bring it from the unit in the answer to the channel's, exactly."""
        del read
        source = _own(channel.source)
        shown = fixed_reader(source.form, source.at, source.length)
        unit_at = source.unit_at
        if unit_at is None:
            return shown
        steps: dict[int, Fraction] = {}

        def converted(body: bytes) -> int | None:
            number = shown(body)
            if number is None:
                return None
            code = body[unit_at]
            if code not in steps:
                steps[code] = _steps_as_sent(channel, source, code)
            return _converted(channel, number, steps[code], code)

        return converted

    def simulated(self, profile: Profile, protocol: Protocol, address: str, registers: Registers) -> MeterEnd:
        """Give the meter's end."""
        cells: dict[bytes, dict[Source, tuple[Cell, ...]]] = {}
        for group in profile.groups:
            for channel in group.channels:
                source = _own(channel.source)
                cells.setdefault(source.di, {}).setdefault(source, _cells_of(channel, source))
        options = _options(profile.link(protocol))

        def prepare(frame: bytes) -> PreparedAnswer | None:
            try:
                asked, read = cjt188.parse_request(frame)
            except FrameError:
                return None
            if asked not in (address, ANY_METER):
                return None
            return _prepared(address, options, cells, read)

        return FixedLayoutEnd(profile, registers, prepare)


class _UnitOctet:
    """A unit octet as a form of its own; it is the same whatever the register."""

    octets = 1

    def __init__(self, code: int) -> None:
        self._octets = bytes((code,))

    def to_mantissa(self, wire: bytes) -> int:
        """Give the code."""
        return wire[0]

    def to_octets(self, mantissa: int) -> bytes:
        """Give the octet."""
        del mantissa
        return self._octets


def _prepared(
    address: str,
    options: Cjt188Options,
    cells: dict[bytes, dict[Source, tuple[Cell, ...]]],
    read: Cjt188Request,
) -> PreparedAnswer:
    """Lay out the answer to one request; what the model does not have is refused."""
    typed = replace(read, meter_type=options.meter_type)
    if isinstance(typed, Cjt188ReadAddress):
        told = cjt188.build_reply(address, typed, b"")
        return PreparedAnswer(octets=0, cells=(), framed=bytes, refusal=told)
    asked = next((each for each in (typed.di, typed.di[::-1]) if each in cells), None)
    found = cells[asked] if asked is not None else {}
    return PreparedAnswer(
        octets=max((_own(source).length for source in found), default=0),
        cells=tuple(cell for parts in found.values() for cell in parts),
        framed=lambda body: cjt188.build_reply(address, typed, body),
        refusal=cjt188.build_exception(address, typed, _STATUS_OF_REFUSAL),
    )


def _cells_of(channel: Channel, source: Cjt188Source) -> tuple[Cell, ...]:
    """Place a number, and its unit octet where it has one."""
    if source.unit_at is None:
        return (Cell.of(channel, source.form, source.at),)
    steps = _steps(channel, source, source.unit)
    scale = channel.scale * steps
    modulus = None if channel.modulus is None else int(channel.modulus * steps)
    number = Cell(channel.obis, source.at, source.form, scale.numerator, scale.denominator, modulus)
    return number, Cell(channel.obis, source.unit_at, _UnitOctet(source.unit), 0, 1, None)


def _steps_as_sent(channel: Channel, source: Cjt188Source, code: int) -> Fraction:
    """Give the steps for a unit octet that came; raises NotReadable where the register would roll over elsewhere."""
    if channel.modulus is not None and code != source.unit:
        problem = f"the meter counts in {unit_told(code)}, this profile in {unit_told(source.unit)}"
        raise NotReadable(f"{problem}; it would roll over elsewhere: take the profile of that unit")
    return _steps(channel, source, code)


def _steps(channel: Channel, source: Cjt188Source, code: int) -> Fraction:
    """Give how many steps of a number in unit `code` one mantissa of the channel is; raises NotReadable."""
    factor = factor_of(code, channel.unit.base_symbol)
    if factor is None:
        raise NotReadable(f"the meter counts in {unit_told(code)}, which cannot become {channel.unit.symbol}")
    return Fraction(10**source.decimals) / (channel.scale * factor)


def _converted(channel: Channel, number: int, steps: Fraction, code: int) -> int:
    mantissa, rest = divmod(number * steps.denominator, steps.numerator)
    if rest:
        resolution = f"10^{channel.exponent} {channel.unit.symbol}"
        raise NotReadable(f"{number} in {unit_told(code)} is no whole number of {resolution}: take another profile")
    return mantissa


def _check_source(table: CheckedTable, source: Cjt188Source) -> None:
    if len(source.di) != 2:
        table.fault("di", "a data identifier has 4 hex digits", "write it as printed: 901F")
    if source.at + source.octets > source.length:
        table.fault("at", f"the number ends beyond the answer's {source.length} octets", "mend `at` or `length`")
    if source.unit_at is not None and (
        source.unit_at >= source.length or source.at <= source.unit_at < source.at + source.octets
    ):
        table.fault("unit_at", "the unit octet stands within the number or beyond the answer", "mend it")
    if sum((source.binary, source.bits, bool(source.layout))) > 1:
        table.fault("", "`binary`, `bits` and `layout` exclude each other", "leave all but one out")
    if source.binary and source.octets not in _BINARIES:
        table.fault("octets", f"a binary number has {', '.join(map(str, _BINARIES))} octets", "mend it")


def _check_unit(root: CheckedTable, place: Place, channel: Channel, source: Cjt188Source) -> None:
    """The expected unit octet must become the channel's unit exactly, and the modulus be within the digits."""
    if source.unit_at is None:
        return
    try:
        steps = _steps(channel, source, source.unit)
    except NotReadable as error:
        root.fault(place, str(error), "mend `unit` here, or the unit of the channel")
        return
    if (1 / steps).denominator != 1:
        problem = f"{10.0**-source.decimals:g} of {unit_told(source.unit)} is no whole number of the channel's steps"
        root.fault(place, problem, "give the channel a finer exponent")
    elif channel.modulus is not None and channel.modulus * steps > 10 ** (2 * source.octets):
        problem = f"the number can show only mantissas below {10 ** (2 * source.octets) / steps}"
        root.fault(place, problem, "mend the modulus")


def _options(link: Link) -> Cjt188Options:
    if not isinstance(link.options, Cjt188Options):
        raise TypeError(f"the link of {link.protocol} has no CJ/T 188 options")
    return link.options


def _own(source: Source) -> Cjt188Source:
    if not isinstance(source, Cjt188Source):
        raise TypeError(f"{type(source).__name__} is not a CJ/T 188 source")
    return source


CJT188 = Cjt188Family()
