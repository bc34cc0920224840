"""What is done at a site when meters are installed: signed, dated acts, each of which says what it changes.

An `InstallationEvent` is one act of an engineer. Events of one gateway and epoch are numbered from 1 and each names the
digest of the one before, so nothing can be left out or slipped in afterwards. The first names the voucher that the
engineer brought. How they are sealed is in `installation_events.py`, what they do to a site in `site_changes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal
from unicodedata import category

from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId, NodeId, SiteId, UnitId, check_identifier
from metering.obis import Obis
from metering.quantity import Shown
from provisioning.document import LEFT_OUT, to_document
from provisioning.place import Place
from provisioning.site import RATIO_MAX, Meter, Names, Node, Port

DIGEST_OCTETS = 32
NO_VOUCHER = bytes(DIGEST_OCTETS)
"""What the first event names as previous where the gateway was never given a voucher."""
TEXT_LENGTH_MAX = 500
_UNPLAIN = ("Cc", "Cs", "Zl", "Zp")
_TURNING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
PHOTO_OCTETS_MAX = 12 * 1024 * 1024
EVENTS_MAX = 10_000
"""A gateway reads some hundred meters; a hundred acts for each is more than its life."""


class InstallationInvalid(MeteringError):
    """An act of an installation contradicts itself."""


class EventKind(StrEnum):
    """What was done."""

    BIND = "bind"
    EXCHANGE = "exchange"
    REPARENT = "reparent"
    RATIO_CHANGE = "ratio-change"
    DECOMMISSION = "decommission"
    REPLACE = "replace"
    PORT_CHANGE = "port-change"


class PhotoKind(StrEnum):
    """What a photo shows."""

    METER = "meter"
    SEAL = "seal"
    CABINET = "cabinet"
    DISPLAY = "display"


class Severity(StrEnum):
    """How bad a finding is: money would be wrong, somebody must look, or it is told for the record."""

    WRONG = "wrong"
    DOUBTFUL = "doubtful"
    NOTE = "note"


class ReadingSource(StrEnum):
    """Who says what a register showed: the gateway over the bus, a photo of the display, a person's eyes."""

    MEASURED = "measured"
    PHOTO = "photo"
    TYPED = "typed"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture, named by what it is made of; the picture itself travels beside.

    sha256   of the file's octets; `octets` how many there are
    media    media type, such as image/jpeg
    """

    sha256: bytes
    kind: PhotoKind
    taken_at: datetime
    octets: int
    media: str

    def __post_init__(self) -> None:
        _check_digest(self.sha256, "a photo's sha256")
        _aware(self, "taken_at")
        _check_text(self.media, "a photo's media type")
        if not 1 <= self.octets <= PHOTO_OCTETS_MAX:
            raise InstallationInvalid(f"a photo of {self.octets} octets: 1 to {PHOTO_OCTETS_MAX} are allowed")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the engineer typed off the display, and what the bus said about the same register.

    typed     as typed, every digit of it; `display` what that means, None if it means nothing
    bus       None where the meter gave no value
    verdict   a code of display_proof.py
    """

    obis: Obis
    typed: str
    display: Shown | None
    bus: Shown | None
    verdict: str
    at: datetime

    def __post_init__(self) -> None:
        _aware(self, "at")
        _check_text(self.typed, "what was typed")
        check_identifier(self.verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a check found at `subject` (an id, a serial, a place).

    told       in both languages, with the mend
    accepted   why the engineer went on all the same; None if he did not have to say
    """

    code: str
    severity: Severity
    subject: str
    told: Names
    accepted: str | None

    def __post_init__(self) -> None:
        check_identifier(self.code)
        _check_text(self.subject, "the subject of a finding")
        for text in (self.told.zh, self.told.en, *(() if self.accepted is None else (self.accepted,))):
            _check_text(text, "the text of a finding")


@dataclass(frozen=True, slots=True)
class RegisterSeen:
    """What one register showed, before ct x pt, and who says so; `photo` is the SHA-256 of its picture."""

    obis: Obis
    shown: Shown
    source: ReadingSource
    photo: bytes | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        if self.photo is not None:
            _check_digest(self.photo, "the photo of a reading")
        if self.source is ReadingSource.PHOTO and self.photo is None:
            raise InstallationInvalid(f"the reading of {self.obis} is said to be of a photo and names none")
        if self.shown.mantissa < 0:
            raise InstallationInvalid(f"{self.obis} shows {self.shown}: a counting register is never below 0")


@dataclass(frozen=True, slots=True)
class Binding:
    """A meter put at a node; `meter.span.start` is when.

    unit          the lettable unit it is for; None for a meter of the building or of what all share
    read_serial   the serial that the meter itself told over the bus; None if it cannot tell
    place         where it hangs; becomes `meter.place` of the site
    seal          number of the seal that was set
    node          a metering point that the plan did not have, made with this binding
    """

    meter: Meter
    unit: UnitId | None
    read_serial: str | None
    place: Place | None
    seal: str | None
    photos: tuple[Photo, ...]
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    node: Node | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        meter = self.meter
        if meter.span.start is None or meter.span.end is not None:
            raise InstallationInvalid(f"meter {meter.id} is bound from an instant on: give its span a start and no end")
        if meter.place not in (None, self.place):
            raise InstallationInvalid(f"meter {meter.id} hangs at one place: give it in the binding")
        if self.node is not None and self.node.id != meter.node:
            raise InstallationInvalid(f"the new node {self.node.id} is not that of meter {meter.id}, {meter.node}")
        for text, what in ((self.read_serial, "the serial read"), (self.seal, "the number of the seal")):
            if text is not None:
                _check_text(text, what)

    @property
    def at(self) -> datetime:
        """From when on the meter is bound."""
        start = self.meter.span.start
        if start is None:
            raise InstallationInvalid(f"meter {self.meter.id} is bound from no instant")
        return start


@dataclass(frozen=True, slots=True)
class Bind:
    """A meter was put at a node. Binding the same meter id again corrects the binding before."""

    kind: Literal[EventKind.BIND] = field(default=EventKind.BIND, init=False)
    binding: Binding


@dataclass(frozen=True, slots=True)
class Exchange:
    """Meter `old` was replaced by that of `new` at the same node, at `new.meter.span.start`.

    closing, opening   what each settled register of the old one and of the new one showed then
    """

    kind: Literal[EventKind.EXCHANGE] = field(default=EventKind.EXCHANGE, init=False)
    old: MeterId
    closing: tuple[RegisterSeen, ...]
    new: Binding
    opening: tuple[RegisterSeen, ...]

    def __post_init__(self) -> None:
        if self.old == self.new.meter.id:
            raise InstallationInvalid(f"meter {self.old} cannot replace itself: give the new one an id of its own")
        _check_registers(self.closing, f"meter {self.old}")
        _check_registers(self.opening, f"meter {self.new.meter.id}")


@dataclass(frozen=True, slots=True)
class Reparent:
    """From `at` on, a quarter hour, `node` hangs below `parent`."""

    kind: Literal[EventKind.REPARENT] = field(default=EventKind.REPARENT, init=False)
    node: NodeId
    parent: NodeId
    at: datetime

    def __post_init__(self) -> None:
        _aware(self, "at")


@dataclass(frozen=True, slots=True)
class RatioChange:
    """From `at` on the transformers of a meter have other ratios; its registers run on.

    new        id under which the same meter counts from then on, because a meter has one ratio for its life
    registers  what each settled register showed at the change
    """

    kind: Literal[EventKind.RATIO_CHANGE] = field(default=EventKind.RATIO_CHANGE, init=False)
    meter: MeterId
    new: MeterId
    ct: int
    pt: int
    at: datetime
    registers: tuple[RegisterSeen, ...]

    def __post_init__(self) -> None:
        _aware(self, "at")
        check_identifier(self.new)
        if not 1 <= self.ct <= RATIO_MAX or not 1 <= self.pt <= RATIO_MAX:
            raise InstallationInvalid(f"ratio {self.ct} x {self.pt}: both are whole numbers from 1 to {RATIO_MAX}")
        if self.meter == self.new:
            raise InstallationInvalid(f"meter {self.meter} needs another id with another ratio: try {self.meter}-2")
        _check_registers(self.registers, f"meter {self.meter}")


@dataclass(frozen=True, slots=True)
class Decommission:
    """A meter was taken away at `at`, for good."""

    kind: Literal[EventKind.DECOMMISSION] = field(default=EventKind.DECOMMISSION, init=False)
    meter: MeterId
    at: datetime
    closing: tuple[RegisterSeen, ...]

    def __post_init__(self) -> None:
        _aware(self, "at")
        _check_registers(self.closing, f"meter {self.meter}")


@dataclass(frozen=True, slots=True)
class Replace:
    """This machine takes the place of the one that signed as `old_epoch`."""

    kind: Literal[EventKind.REPLACE] = field(default=EventKind.REPLACE, init=False)
    old_epoch: int
    reason: str

    def __post_init__(self) -> None:
        _check_text(self.reason, "the reason of a replacement")
        if self.old_epoch < 1:
            raise InstallationInvalid(f"epoch {self.old_epoch}: epochs count from 1")


@dataclass(frozen=True, slots=True)
class PortChange:
    """A port of this gateway is as found at the site: another device, other line settings, or one more."""

    kind: Literal[EventKind.PORT_CHANGE] = field(default=EventKind.PORT_CHANGE, init=False)
    port: Port


Body = Bind | Exchange | Reparent | RatioChange | Decommission | Replace | PortChange


@dataclass(frozen=True, slots=True)
class InstallationEvent:
    """One act at a site.

    number    1, 2, 3 ... of the gateway's epoch
    previous  digest of the event before; of the voucher, or NO_VOUCHER, at number 1
    by        who did it; `device` with which telephone or terminal
    """

    site: SiteId
    gateway: GatewayId
    epoch: int
    number: int
    previous: bytes
    at: datetime
    by: str
    device: str
    body: Body

    def __post_init__(self) -> None:
        check_identifier(self.site)
        check_identifier(self.gateway)
        _check_digest(self.previous, "the previous digest")
        _aware(self, "at")
        _check_text(self.by, "who did it")
        _check_text(self.device, "the device")
        for text in _texts(to_document(self.body)):
            _check_plain(text)
        if self.epoch < 1 or not 1 <= self.number <= EVENTS_MAX:
            raise InstallationInvalid(f"event {self.number} of epoch {self.epoch}: both count from 1")

    @property
    def id(self) -> str:
        """What people call the event, and the binding it makes: `gw-a-1-3`."""
        return f"{self.gateway}-{self.epoch}-{self.number}"

    @property
    def binding(self) -> Binding | None:
        """The binding that this event makes, if it makes one."""
        return binding_of(self.body)


def binding_of(body: Body) -> Binding | None:
    """Give the binding that an act makes, if it makes one."""
    if isinstance(body, Bind):
        return body.binding
    return body.new if isinstance(body, Exchange) else None


def photos_of(event: InstallationEvent) -> tuple[Photo, ...]:
    """List the photos that must travel with an event."""
    return () if event.binding is None else event.binding.photos


def registers_of(body: Body) -> tuple[tuple[MeterId, datetime, tuple[RegisterSeen, ...]], ...]:
    """Give what an act says that registers showed: meter, instant, registers."""
    match body:
        case Exchange():
            return ((body.old, body.new.at, body.closing), (body.new.meter.id, body.new.at, body.opening))
        case RatioChange():
            return ((body.meter, body.at, body.registers),)
        case Decommission():
            return ((body.meter, body.at, body.closing),)
    return ()


def _aware(item: object, name: str) -> None:
    """Keep an instant in UTC; raises InstallationInvalid for one without a zone."""
    instant: datetime = getattr(item, name)
    if instant.tzinfo is None:
        raise InstallationInvalid(f"{name} must carry a time zone")
    object.__setattr__(item, name, instant.astimezone(UTC))


def _check_digest(digest: bytes, what: str) -> None:
    if len(digest) != DIGEST_OCTETS:
        raise InstallationInvalid(f"{what} has {DIGEST_OCTETS} octets, not {len(digest)}")


def _check_text(text: str, what: str) -> None:
    if not 1 <= len(text) <= TEXT_LENGTH_MAX or not text.isprintable():
        raise InstallationInvalid(f"{what} is 1 to {TEXT_LENGTH_MAX} printable characters")


def _texts(document: Any) -> Iterator[str]:
    """Give every text of a document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for inner in document.values():
            yield from _texts(inner)
    elif isinstance(document, list | tuple):
        for inner in document:
            yield from _texts(inner)


def _check_plain(text: str) -> None:
    """Refuse what no plate, seal or name has: signs that steer a terminal or turn the writing round, or no end."""
    if len(text) > TEXT_LENGTH_MAX or any(category(sign) in _UNPLAIN or sign in _TURNING for sign in text):
        shown = ascii(text[:40])
        raise InstallationInvalid(f"{shown}: a text of an act has up to {TEXT_LENGTH_MAX} characters, no control signs")


def _check_registers(registers: tuple[RegisterSeen, ...], of: str) -> None:
    if len({one.obis for one in registers}) != len(registers):
        raise InstallationInvalid(f"{of}: a register is told twice: tell each once")
