"""What a profile says about a meter model: its links, its groups of channels, where each register stands.

A reading names its profile by content (`Profile.hash`) and its channel group by index, so the order of mantissas in a
signed envelope can be recovered years later. Mantissas are always as the meter shows them; CT and PT ratios are the
site's and are applied by the centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from metering.errors import MeteringError
from metering.obis import Obis
from metering.quantity import Shown, Unit

MANTISSA_LIMIT = 2**63
"""Envelopes carry mantissas as signed 64-bit integers."""


class NotInProfile(MeteringError):
    """A profile has no channel group of this name, or no link for this protocol."""


class Protocol(StrEnum):
    """How a meter is spoken to. Modbus RTU and TCP differ in framing only and share register sources."""

    MODBUS_RTU = "modbus-rtu"
    MODBUS_TCP = "modbus-tcp"
    DLT645_2007 = "dlt645-2007"

    @property
    def is_modbus(self) -> bool:
        """Say whether registers are addressed the Modbus way."""
        return self is not Protocol.DLT645_2007


class ChannelKind(StrEnum):
    """A counter only rises (and may roll over); a gauge shows the moment."""

    COUNTER = "counter"
    GAUGE = "gauge"


class Side(StrEnum):
    """Which side of CT and PT the registers count: secondary ones need the site's ratios, primary ones do not."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class RegisterType(StrEnum):
    """Type of a number kept in 16-bit Modbus registers: u unsigned, s signed, f IEEE 754; then its width [bit]."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"

    @property
    def bits(self) -> int:
        """Width [bit]."""
        return int(self.value[1:])

    @property
    def is_float(self) -> bool:
        """Say whether the number is an IEEE float, which has no mantissa of its own."""
        return self.value[0] == "f"

    @property
    def is_signed(self) -> bool:
        """Say whether the number can be negative."""
        return self.value[0] != "u"


class WordOrder(StrEnum):
    """Order of octets on the wire; A is the most significant. CDAB is "low word first"."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


@dataclass(frozen=True, slots=True)
class ModbusSource:
    """Where a channel stands in the Modbus map.

    function  3 holding registers, 4 input registers
    address   register number on the wire, from 0
    exponent  floats only: the register counts 10^exponent of the channel's unit
    invalid   octets as read that mean "no value"
    """

    function: int
    address: int
    type: RegisterType
    order: WordOrder = WordOrder.ABCD
    exponent: int = 0
    invalid: tuple[bytes, ...] = ()

    @property
    def count(self) -> int:
        """Number of 16-bit registers."""
        return self.type.bits // 16

    @property
    def end(self) -> int:
        """Address of the register after the last."""
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class Dlt645Source:
    """Where a channel stands in the answers of a DL/T 645-2007 meter.

    di      data identifier as printed, DI3 first (4 octets)
    octets  octets of one BCD number
    index   which number of the answer, from 0
    count   numbers in the answer: 1, or more for a block (DI ending in FF)
    signed  whether the top bit is a sign; never so for forward and reverse energy
    """

    di: bytes
    octets: int
    index: int = 0
    count: int = 1
    signed: bool = False


Source = ModbusSource | Dlt645Source


@dataclass(frozen=True, slots=True)
class Channel:
    """One register of a model: mantissa x 10^`exponent` in `unit`.

    modulus    counters: first mantissa the register cannot show, None when no document states it
    plausible  gauges: least and most mantissa the model can show, both included; None when not bounded
    """

    obis: Obis
    unit: Unit
    exponent: int
    kind: ChannelKind
    modulus: int | None
    source: Source
    plausible: tuple[int, int] | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Least and most mantissa, both included; what no document bounds is bounded by 64 bits."""
        if self.kind is ChannelKind.COUNTER:
            return 0, (MANTISSA_LIMIT if self.modulus is None else self.modulus) - 1
        return self.plausible or (-MANTISSA_LIMIT, MANTISSA_LIMIT - 1)

    def shown(self, mantissa: int) -> Shown:
        """Give `mantissa` its exponent and unit."""
        return Shown(mantissa, self.exponent, self.unit)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are read together; `index` goes into the envelope. Atomic: all come from one answer."""

    index: int
    name: str
    channels: tuple[Channel, ...]
    atomic: bool


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """Serial settings of a model: speeds it can be set to [bit/s], usual one first; parity N, E or O; stop bits."""

    bauds: tuple[int, ...]
    parity: str
    stop_bits: int


@dataclass(frozen=True, slots=True)
class Link:
    """How a model speaks one protocol.

    serial         None for Modbus TCP
    registers_max  most registers the model answers in one read (Modbus), else None
    hole_max       most unused registers to read along rather than ask twice (Modbus)
    reply_ms_max   longest time from the end of a request to the first octet of the reply [ms]
    """

    protocol: Protocol
    serial: SerialSettings | None
    registers_max: int | None
    hole_max: int
    reply_ms_max: int


@dataclass(frozen=True, slots=True)
class Vector:
    """A request and reply with what the reply must decode to; kept in the profile, outside its hash.

    derived   true when the frames were computed by rule, false when captured from a meter
    expected  a mantissa per channel, None for "no value"
    """

    protocol: Protocol
    address: str
    request: bytes
    reply: bytes
    expected: tuple[tuple[Obis, int | None], ...]
    derived: bool
    origin: str


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A meter model. Two profiles are equal when their content is.

    id         maker/model; `rev` rises with each published change
    canonical  deterministic CBOR of the content without vectors; `hash` is its SHA-256
    """

    id: str
    rev: int
    names: dict[str, str]
    side: Side
    links: dict[Protocol, Link]
    groups: tuple[Group, ...]
    canonical: bytes
    hash: bytes
    vectors: tuple[Vector, ...] = field(default=())

    def group(self, name: str) -> Group:
        """Find a channel group (`billing`, `status` ...); raises NotInProfile."""
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise NotInProfile(f"profile {self.id} has no group {name!r}; it has {known}")

    def link(self, protocol: Protocol) -> Link:
        """Give the link for `protocol`; raises NotInProfile when the model does not speak it."""
        if protocol not in self.links:
            raise NotInProfile(f"profile {self.id} does not speak {protocol}; it speaks {', '.join(self.links)}")
        return self.links[protocol]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)
