"""What the desk shows and what it is told: plain frozen words between the desk and its faces (command line, page)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from device_profiles.profile import Protocol
from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId, NodeId, PortId, SiteId, UnitId
from metering.obis import Obis
from metering.quantity import Shown
from provisioning.site import LineSettings, Names, Port

if TYPE_CHECKING:
    from edge_agent.scanning.result import ScanResult
    from provisioning.installation import Binding, Finding
    from provisioning.order_file import Plan
    from provisioning.place import Place


class DeskRefused(MeteringError):
    """The desk does not do what it was asked; `told` says why and what to do, in both languages."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code = code
        self.told = Names(zh=zh, en=en)


class Step(StrEnum):
    """What is to be done next; a face may offer others, the desk says what it cannot do yet."""

    ORDER = "order"
    """No install order is here."""
    SCAN = "scan"
    BIND = "bind"
    CHECK = "check"
    SEAL = "seal"
    DELIVER = "deliver"
    """Sealed and measuring; the centre does not know it yet."""
    DONE = "done"
    """The grant is here; what happens at the meters from now on are later events."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, and by which device (a terminal, a telephone); both stand in what is signed."""

    by: str
    device: str


@dataclass(frozen=True, slots=True)
class OrderShown:
    """An order file, opened. Nothing secret.

    fingerprint   of the key that signed the voucher, for two people to compare
    is_anchored   whether this machine's own anchor vouches for that key; else a person has to confirm it
    """

    order: str
    site: SiteId
    gateway: GatewayId
    owner: Names
    centre_url: str
    not_after: datetime
    fingerprint: str
    is_anchored: bool


@dataclass(frozen=True, slots=True)
class BindRequest:
    """A meter to be put at a node. What is None is taken from the plan, then from what the scan found.

    found     the scanned meter: its serial number, or "PORT/ADDRESS"; None: all of port ... profile are given
    serial    as printed on the meter; None: as read over the bus
    meter     id of the meter; None: by the plan, else "m-" and the node, and a number where that is taken
    ct, pt    None: by the plan; a plan without them, or a model that counts the primary side, takes 1
    """

    node: NodeId
    unit: UnitId | None = None
    found: str | None = None
    meter: MeterId | None = None
    serial: str | None = None
    port: PortId | None = None
    protocol: Protocol | None = None
    address: str | None = None
    profile: str | None = None
    line: LineSettings | None = None
    ct: int | None = None
    pt: int | None = None
    place: Place | None = None
    seal: str | None = None


@dataclass(frozen=True, slots=True)
class Typed:
    """What the engineer typed from a display: `text` with its decimals ("1234.56"), and the unit shown beside it."""

    obis: Obis
    text: str
    unit: str


@dataclass(frozen=True, slots=True)
class LiveRegister:
    """One register as read just now; `shown` None where the meter gave none."""

    obis: Obis
    group: str
    shown: Shown | None


@dataclass(frozen=True, slots=True)
class LiveMeter:
    """One meter as read just now.

    problem   None: it answered; else what went wrong, in words
    serial    as read over the bus, None where its model cannot say
    """

    meter: MeterId
    read_at: datetime
    registers: tuple[LiveRegister, ...]
    serial: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was signed: the digest that the chain of readings begins with, when, in which epoch, how many events."""

    digest: bytes
    at: datetime
    epoch: int
    events: int


@dataclass(frozen=True, slots=True)
class EventShown:
    """One signed event of this installation; `is_delivered` once the centre has it, by whatever way."""

    number: int
    kind: str
    at: datetime
    by: str
    subject: str
    is_delivered: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the installation's way to the centre is.

    waiting    events and photos that the centre does not have yet, the bundle counted as one
    tried_at   when the network was tried last, None: never
    problem    why that failed, in words; None: it did not
    """

    is_granted: bool
    waiting: int
    tried_at: datetime | None
    problem: str | None
    has_bundle: bool = False


@dataclass(frozen=True, slots=True)
class DeskState:
    """The desk at one moment.

    key_fingerprint   of the gateway's signing key, None before the order
    ports             of this gateway, as they were found
    scans             newest result of each port
    bindings          meters that are bound and there, signed or not
    drafts            keys of what waits for the seal
    findings          of the newest look and of the drafts, those accepted with their reason
    open_findings     those of them that nobody accepted, worst first
    is_checked        whether everything was looked at since the newest draft
    has_agent         whether the agent runs in this home; it measures within seconds of the seal
    may_seal          whether there is something to sign and nothing "wrong" is open
    """

    step: Step
    order: OrderShown | None = None
    key_fingerprint: str | None = None
    has_claim: bool = False
    plan: Plan | None = None
    ports: tuple[Port, ...] = ()
    scans: Mapping[PortId, ScanResult] = field(default_factory=dict)
    bindings: tuple[Binding, ...] = ()
    drafts: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    open_findings: tuple[Finding, ...] = ()
    is_checked: bool = False
    may_seal: bool = False
    sealed: Sealed | None = None
    events: tuple[EventShown, ...] = ()
    delivery: Delivery = Delivery(is_granted=False, waiting=0, tried_at=None, problem=None)
    is_measuring: bool = False
    has_agent: bool = False
