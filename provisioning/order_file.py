"""The order file: what an engineer takes along, signed by the centre; it works without a network.

It holds the voucher and the plan: the part of the site that concerns this gateway, without parties and leases, and the
meters that are expected there. It does not hold the claim, which goes another way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from metering.envelope import Signer, Verifier, parse_sign1
from metering.errors import MeteringError
from metering.identity import GatewayId, MeterId, NodeId, PortId, UnitId, check_identifier
from provisioning.document import LEFT_OUT
from provisioning.place import Place
from provisioning.sealed_document import read_payload, seal_document
from provisioning.site import Site
from provisioning.voucher import OpenedVoucher, open_voucher

ORDER_TAG = "metertree-order/1"
ORDER_OCTETS_MAX = 8 * 1024 * 1024
"""A site of 10,000 nodes is 3 MiB; the parts that do not concern the gateway are left out first."""
ORDER_FILE_SUFFIX = ".metertree-order"


class PlanInvalid(MeteringError):
    """The expected meters contradict the site or each other; the text says the mend."""


@dataclass(frozen=True, slots=True)
class ExpectedMeter:
    """A meter that should be found; what is None is not known beforehand.

    meter     id it will have
    profile   model, as the catalogue calls it
    port      the line it is wired to
    """

    meter: MeterId
    node: NodeId
    unit: UnitId | None = field(default=None, metadata=LEFT_OUT)
    serial: str | None = field(default=None, metadata=LEFT_OUT)
    profile: str | None = field(default=None, metadata=LEFT_OUT)
    ct: int | None = field(default=None, metadata=LEFT_OUT)
    pt: int | None = field(default=None, metadata=LEFT_OUT)
    place: Place | None = field(default=None, metadata=LEFT_OUT)
    port: PortId | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        check_identifier(self.meter)
        check_identifier(self.node)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the engineer should find: `site` without parties and leases, and the meters expected at this gateway.

    Meters of `site` that are expected are planned only: they yield to what is bound (site_changes.changed).
    """

    site: Site
    expected: tuple[ExpectedMeter, ...]

    def __post_init__(self) -> None:
        for name in ("meter", "node", "serial"):
            _check_once(name, (getattr(one, name) for one in self.expected))
        ports = {port.id for port in self.site.ports}
        nodes = {node.id for node in self.site.nodes}
        units = {unit.id: unit.node for unit in self.site.units}
        for one in self.expected:
            if one.node not in nodes:
                raise PlanInvalid(f"meter {one.meter} is expected at {one.node}, which is no node of the site: add it")
            if one.port is not None and one.port not in ports:
                raise PlanInvalid(
                    f"meter {one.meter} is expected on port {one.port}, which the gateway has not: "
                    f"name one of {', '.join(sorted(ports)) or 'its ports'}"
                )
            if one.unit is not None and units.get(one.unit) != one.node:
                raise PlanInvalid(f"meter {one.meter} is expected at {one.node}, which is not the node of {one.unit}")

    @property
    def planned(self) -> frozenset[MeterId]:
        """Ids of the expected meters."""
        return frozenset(one.meter for one in self.expected)


@dataclass(frozen=True, slots=True)
class _Order:
    voucher: bytes
    plan: Plan


@dataclass(frozen=True, slots=True)
class OpenedOrder:
    """An order file with its voucher (as sealed, and opened) and its plan."""

    voucher: OpenedVoucher
    sealed_voucher: bytes
    plan: Plan


def plan_of(site: Site, gateway: GatewayId, expected: Iterable[ExpectedMeter] = ()) -> Plan:
    """Make the plan of a gateway: what the site says of it, and `expected` beside, or instead at the same node."""
    listed = tuple(expected)
    nodes = {one.node for one in listed}
    ports = site.ports_of(gateway)
    ours = site.meters_of(gateway)
    units = {unit.node: unit.id for unit in site.units}
    told = {
        meter.id: ExpectedMeter(
            meter.id,
            meter.node,
            units.get(meter.node),
            meter.serial,
            meter.profile,
            meter.ct,
            meter.pt,
            meter.place,
            meter.port,
        )
        for meter in ours
        if meter.span.end is None and meter.node not in nodes
    }
    _check_once("meter", (one.meter for one in listed))
    told |= {one.meter: one for one in listed}
    extract = replace(
        site,
        gateways=(site.gateway(gateway),),
        ports=ports,
        meters=ours,
        exchanges=(),
        parties=(),
        leases=(),
    )
    return Plan(extract, tuple(told[meter] for meter in sorted(told)))


def _check_once(name: str, told: Iterable[str | None]) -> None:
    times = Counter(one for one in told if one is not None)
    twice = sorted(one for one, count in times.items() if count > 1)
    if twice:
        raise PlanInvalid(f"{name} {twice[0]!r} is expected twice: list each meter once")


def seal_order_file(voucher: bytes, plan: Plan, signer: Signer) -> bytes:
    """Sign an order file at the centre; `voucher` is sealed already."""
    return seal_document(ORDER_TAG, _Order(voucher, plan), signer)


def open_order_file(octets: bytes, anchor: Verifier | None) -> OpenedOrder:
    """Verify, then read an order file and its voucher; raises EnvelopeMalformed or SignatureInvalid.

    anchor   as for `open_voucher`: without one, whoever signed the voucher must have signed the plan
    """
    message = parse_sign1(octets, ORDER_OCTETS_MAX)
    order = read_payload(ORDER_TAG, _Order, message, octets_max=ORDER_OCTETS_MAX)
    opened = open_voucher(order.voucher, anchor)
    message.require(anchor or opened.centre)
    return OpenedOrder(opened, order.voucher, order.plan)
