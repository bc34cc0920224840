"""What a profile says about a meter model: its links, its groups of channels, where each register stands.

A reading names its profile by content (`Profile.hash`) and its channel group by index, so the order of mantissas in a
signed envelope can be recovered years later. Mantissas are always as the meter shows them; CT and PT ratios are the
site's and are applied by the centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from metering.errors import MeteringError
from metering.obis import Obis
from metering.quantity import Shown, Unit

BILLING = "billing"
"""The group that is read at every mark and settled; the first of every profile that counts anything."""
MANTISSA_LIMIT = 2**63
"""Envelopes carry mantissas as signed 64-bit integers."""


class NotInProfile(MeteringError):
    """A profile has no channel group of this name, or no link for this protocol."""


class Protocol(StrEnum):
    """How a meter is spoken to. The Modbus ones differ in framing only and share register sources."""

    MODBUS_RTU = "modbus-rtu"
    MODBUS_TCP = "modbus-tcp"
    MODBUS_RTU_OVER_TCP = "modbus-rtu-over-tcp"
    DLT645_2007 = "dlt645-2007"
    DLT645_1997 = "dlt645-1997"
    CJT188_2004 = "cjt188-2004"
    CJT188_2018 = "cjt188-2018"
    MBUS = "mbus"
    DLMS_HDLC = "dlms-hdlc"
    DLMS_WRAPPER = "dlms-wrapper"
    IEC62056_21 = "iec62056-21"
    PULSE = "pulse"
    HAND = "hand"

    @property
    def is_modbus(self) -> bool:
        """Say whether registers are addressed the Modbus way."""
        return self in (Protocol.MODBUS_RTU, Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP)

    @property
    def is_serial(self) -> bool:
        """Say whether the meter hangs on a serial line of the gateway, so that speed and parity matter."""
        return self not in _WITHOUT_LINE


_WITHOUT_LINE = (
    *(Protocol.MODBUS_TCP, Protocol.MODBUS_RTU_OVER_TCP, Protocol.DLMS_WRAPPER),
    *(Protocol.PULSE, Protocol.HAND),
)


class ChannelKind(StrEnum):
    """What a channel's mantissa is.

    counter  only rises, and may roll over
    gauge    shows the moment
    state    bits, each with a meaning of its own
    time     seconds from 1970-01-01T00:00 by the meter's own wall clock; it knows no zone
    """

    COUNTER = "counter"
    GAUGE = "gauge"
    STATE = "state"
    TIME = "time"


class Side(StrEnum):
    """Which side of CT and PT the registers count: secondary ones need the site's ratios, primary ones do not."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class Evidence(StrEnum):
    """What a profile rests on.

    captures   frames of a meter of this model decode to what it showed ("frame-tested")
    registers  a register map that code in use reads by, no frame of a meter ("register map only")
    documents  the maker's manual or a standard alone ("from manual")
    """

    CAPTURES = "captures"
    REGISTERS = "registers"
    DOCUMENTS = "documents"

    def told(self, language: str) -> str:
        """Say it in `language`, zh or en."""
        return _EVIDENCE_TOLD[self][language]


_EVIDENCE_TOLD = {
    Evidence.CAPTURES: {"zh": "报文实测", "en": "frame-tested"},
    Evidence.REGISTERS: {"zh": "仅寄存器表", "en": "register map only"},
    Evidence.DOCUMENTS: {"zh": "依据说明书", "en": "from manual"},
}


class Source:
    """Where a channel stands in what its meter answers; each family (device_profiles/families) has its own."""

    __slots__ = ()


class LinkOptions:
    """What a family wants to know of a link beyond speed and patience; each family has its own, or none."""

    __slots__ = ()


class ReadRequest:
    """One read, as its codec wants it asked; each family has its own. Frozen and hashable."""

    __slots__ = ()


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
        if self.kind is not ChannelKind.GAUGE:
            return self.plausible or (0, MANTISSA_LIMIT - 1)
        return self.plausible or (-MANTISSA_LIMIT, MANTISSA_LIMIT - 1)

    def shown(self, mantissa: int) -> Shown:
        """Give `mantissa` its exponent and unit."""
        return Shown(mantissa, self.exponent, self.unit)

    def mantissa_at(self, register: int) -> int:
        """Give what the meter shows at a true `register` [base units]: floored to its resolution, rolled over."""
        scale = self.scale
        mantissa = register * scale.numerator // scale.denominator
        return mantissa if self.modulus is None else mantissa % self.modulus

    @property
    def scale(self) -> Fraction:
        """Mantissas per base unit."""
        return 1 / (self.unit.factor * Fraction(10) ** self.exponent)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are read together; `index` goes into the envelope.

    atomic        all come from one answer
    after_freeze  the registers hold what the meter froze at the last broadcast freeze
    every_s       how often the model's group is worth reading where the site says nothing [s]; None for every mark
    """

    index: int
    name: str
    channels: tuple[Channel, ...]
    atomic: bool
    after_freeze: bool = False
    every_s: int | None = None

    def __hash__(self) -> int:
        # Plans and decoders are looked up by group at every reading; hashing all channels costs more than decoding.
        return hash((self.index, self.name))


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """Serial settings of a model: speeds it can be set to [bit/s], usual one first; parity N, E or O; stop bits."""

    bauds: tuple[int, ...]
    parity: str
    stop_bits: int
    data_bits: int = 8


@dataclass(frozen=True, slots=True)
class Link:
    """How a model speaks one protocol.

    serial        None where no serial line of the gateway is used
    reply_ms_max  longest time from the end of a request to the first octet of the reply [ms]
    options       what the family wants to know further; None for most
    """

    protocol: Protocol
    serial: SerialSettings | None
    reply_ms_max: int
    options: LinkOptions | None = None


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """A document a profile was written from. `version` and `page` are "" where the document has none."""

    title: str
    version: str = ""
    page: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A point on which sources disagree, told in each language: what they say, and what this profile does."""

    point: str
    told: dict[str, str]


@dataclass(frozen=True, slots=True)
class Probe:
    """A register that tells this model from others, or one meter of the model from another; for commissioning.

    expected   least and most mantissa that a meter of this model shows; None for a serial number
    score      how much a match says, 1 to 100: a frequency within bounds little, a model number everything
    is_serial  whether the register is the meter's serial number
    """

    source: Source
    expected: tuple[int, int] | None
    score: int
    is_serial: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """A register by which a meter's address or speed is set.

    codes   what is written for which speed [bit/s]; empty where the number itself is written
    """

    source: Source
    codes: tuple[tuple[int, int], ...] = ()

    def mantissa(self, number: int) -> int | None:
        """Give what is written for an address or a speed; None where the model has no such one."""
        return dict(self.codes).get(number) if self.codes else number


@dataclass(frozen=True, slots=True)
class Settable:
    """What of a model can be set over the line, and what a person must do for it, in each language."""

    address: Setting | None = None
    baud: Setting | None = None
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vector:
    """A conversation with what its answers must decode to; kept in the profile, outside its hash.

    exchanges  request and reply of each exchange; most protocols have one
    derived    true when the frames were computed by rule, false when captured from a meter
    expected   a mantissa per channel, None for "no value"
    """

    protocol: Protocol
    address: str
    exchanges: tuple[tuple[bytes, bytes], ...]
    expected: tuple[tuple[Obis, int | None], ...]
    derived: bool
    origin: str

    @property
    def request(self) -> bytes:
        """The first request."""
        return self.exchanges[0][0]

    @property
    def reply(self) -> bytes:
        """The reply to the first request."""
        return self.exchanges[0][1]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A meter model. Two profiles are equal when their content is.

    id         maker/model; `rev` rises with each published change
    canonical  deterministic CBOR of the content without vectors, disputes and commissioning; `hash` is its SHA-256
    settable   how its address and speed are set, for commissioning; stands beside the hash, as some probes do
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
    medium: str = "electricity"
    evidence: Evidence = Evidence.DOCUMENTS
    sources: tuple[DocumentSource, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    probes: tuple[Probe, ...] = ()
    settable: Settable = field(default_factory=Settable)

    def group(self, name: str) -> Group:
        """Find a channel group (`billing`, `status` ...); raises NotInProfile."""
        for group in self.groups:
            if group.name == name:
                return group
        known = ", ".join(group.name for group in self.groups)
        raise NotInProfile(f"profile {self.id} has no group {name!r}; it has {known}")

    def link(self, protocol: Protocol) -> Link:
        """Give the link for `protocol`; raises NotInProfile when the model does not speak it.

        RTU over TCP is RTU behind a device server, so every model with an RTU link has that link too.
        """
        if (
            protocol is Protocol.MODBUS_RTU_OVER_TCP
            and protocol not in self.links
            and Protocol.MODBUS_RTU in self.links
        ):
            return replace(self.links[Protocol.MODBUS_RTU], protocol=protocol, serial=None)
        if protocol not in self.links:
            raise NotInProfile(f"profile {self.id} does not speak {protocol}; it speaks {', '.join(self.links)}")
        return self.links[protocol]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)
