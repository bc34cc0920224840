"""The park of one seed: which gateways, ports and meters, what they truly count, and what is done to them on purpose.

Energy is a pure function of true time and rises in steps of what the coarsest meter of the node can show, so that
registers are exact and the checkers need no tolerance.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from metering.identity import GatewayId, MeterId, NodeId, PortId, SiteId
from metering.interval import SiteCalendar
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from metering.quantity import Shown, Unit
from provisioning.gateway_config import FittedMeter
from provisioning.site import (
    ALWAYS,
    Exchange,
    Gateway,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Port,
    SerialPort,
    Site,
    Span,
    TcpPort,
)
from tests.doubles.edge import START

CATALOGUE = Catalogue.shipped()
HOURS = (24, 36, 48)
"""Lengths of the troubled phase [h]; the calm one comes on top."""
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
RESOLUTION_WH = 10
"""What every simulated model resolves: 0.01 kWh."""
DLT645_MODULUS_WH = 10**9
TOLERANCE_S = 60
SERIAL_MODELS = (
    ("dlt645/three-phase", Protocol.DLT645_2007),
    ("chint/dtsu666", Protocol.MODBUS_RTU),
    ("acrel/adl400", Protocol.MODBUS_RTU),
)
TCP_MODELS = (("chint/dtsu666", Protocol.MODBUS_TCP), ("acrel/adl400", Protocol.MODBUS_TCP))
STRAY = MeterId("m-stray")


@dataclass(frozen=True)
class Counter:
    """What one meter truly shows: `base_wh` at `since_ms`, and from then on a share of the node's energy."""

    base_wh: int
    since_ms: int


@dataclass(frozen=True)
class Plan:
    """What a seed does to single gateways, at hours of true time; None: nothing.

    clone   another machine starts with a copy of this gateway's card; both are taken away soon after it is calm
    rekey   the gateway is enrolled again, in epoch 2, and keeps its card
    stray   the gateway reports a meter that the centre does not know, for two hours
    """

    clone: tuple[GatewayId, int] | None
    rekey: tuple[GatewayId, int] | None
    stray: tuple[GatewayId, int] | None


@dataclass
class Park:
    """The site and the truth about it."""

    hours: int
    site: Site
    plan: Plan
    power_w: dict[NodeId, int]
    counters: dict[MeterId, Counter] = field(default_factory=dict)

    @property
    def gateways(self) -> list[GatewayId]:
        """Its gateways, in order."""
        return [gateway.id for gateway in self.site.gateways]

    @property
    def size(self) -> int:
        """About how many batches it will seal in trouble."""
        return len(self.site.ports) * self.hours

    @cached_property
    def meters(self) -> dict[MeterId, Meter]:
        """Every meter that truly hangs somewhere, the stray one too."""
        known = {meter.id: meter for meter in self.site.meters}
        stray = self._stray_meter()
        return known if stray is None else {**known, stray.id: stray}

    def fitted(self, gateway: GatewayId) -> list[FittedMeter]:
        """What a gateway is configured to read: its own meters, and for two hours the stray one."""
        mine = [meter for meter in self.meters.values() if self.site.port(meter.port).gateway == gateway]
        return [FittedMeter(one.id, one.port, one.profile, one.protocol, one.address, one.span) for one in mine]

    def energy_wh(self, node: NodeId, obis: Obis, true_ms: int) -> int:
        """Energy that went through a node from the start to `true_ms` [Wh]: every other hour it takes double power."""
        pairs, rest_ms = divmod(true_ms, 2 * HOUR_MS)
        doubled_ms = pairs * HOUR_MS + max(0, rest_ms - HOUR_MS)
        power_w = self.power_w[node] // (5 if obis == ENERGY_EXPORT else 1)
        step_wh = RESOLUTION_WH * self.multiplier(node)
        return power_w * (true_ms + doubled_ms) // (HOUR_MS * step_wh) * step_wh

    def register_wh(self, meter: MeterId, obis: Obis, true_ms: int) -> int | None:
        """Register of a meter, not rolled over [Wh]; None while it does not hang where its gateway asks for it."""
        hung = self.meters[meter]
        if START + timedelta(milliseconds=true_ms) not in hung.span:
            return None
        counter = self.counters[meter]
        passed_wh = self.energy_wh(hung.node, obis, true_ms) - self.energy_wh(hung.node, obis, counter.since_ms)
        return counter.base_wh + passed_wh // hung.multiplier

    def multiplier(self, node: NodeId) -> int:
        """The transformer ratio at a node; an exchange keeps it."""
        return next((meter.multiplier for meter in self.site.meters if meter.node == node), 1)

    def _stray_meter(self) -> Meter | None:
        if self.plan.stray is None:
            return None
        gateway, hour = self.plan.stray
        port = next(port for port in self.site.ports if port.gateway == gateway and isinstance(port, SerialPort))
        node = next(meter.node for meter in self.site.meters if meter.port == port.id)
        span = Span(START + hour * HOUR, START + (hour + 2) * HOUR)
        self.counters[STRAY] = Counter(0, hour * HOUR_MS)
        return _meter(STRAY, ("acrel/adl400", Protocol.MODBUS_RTU), port.id, 99, node, span, ct=1)


def draw_park(rng: random.Random) -> Park:
    """Draw 2 to 4 gateways with their ports, meters and loads, an exchange, a rollover, and what else is planned."""
    hours = rng.choice(HOURS)
    gateways = [GatewayId(f"gw-{letter}") for letter in "abcd"[: rng.randint(2, 4)]]
    ports = [port for gateway in gateways for port in _ports(gateway, rng)]
    meters = [meter for port in ports for meter in _meters(port, rng)]
    power_w = {meter.node: rng.randint(2_000, 40_000) * meter.multiplier for meter in meters}
    counters = {meter.id: Counter(rng.randrange(10**6, 10**7, RESOLUTION_WH), 0) for meter in meters}
    rolling = [meter for meter in meters if meter.protocol is Protocol.DLT645_2007]
    if rolling:  # one of them is about to roll over
        before_wh = rng.randrange(0, 10**5, RESOLUTION_WH)
        counters[rng.choice(rolling).id] = Counter(DLT645_MODULUS_WH - before_wh, 0)
    site = _site(gateways, ports, meters, ())
    park = Park(hours, site, _draw_plan(gateways, hours, rng), power_w, counters)
    exchanged = rng.choice(meters)
    at_s = 60 * rng.randrange(60, hours * 60)
    return _exchange(park, exchanged, at_s, rng)


def _draw_plan(gateways: list[GatewayId], hours: int, rng: random.Random) -> Plan:
    """Each misfortune strikes some of the seeds; a clone and an enrolment never strike the same gateway."""
    first, second = rng.sample(gateways, 2)
    clone = (first, hours - 1) if rng.random() < 0.3 else None
    rekey = (second, rng.randrange(2, hours - 2)) if rng.random() < 0.3 else None
    stray = (rng.choice([g for g in gateways if clone is None or g != first]), rng.randrange(1, hours - 2))
    return Plan(clone, rekey, stray if rng.random() < 0.4 else None)


def _ports(gateway: GatewayId, rng: random.Random) -> Iterator[Port]:
    yield SerialPort(PortId(f"{gateway}-line"), gateway, "line", 9600, Parity.EVEN, 1, TOLERANCE_S)
    if rng.random() < 0.5:
        yield TcpPort(PortId(f"{gateway}-tcp"), gateway, "127.0.0.1", 502, TOLERANCE_S)


def _meters(port: Port, rng: random.Random) -> Iterator[Meter]:
    models = SERIAL_MODELS if isinstance(port, SerialPort) else TCP_MODELS
    for number in range(1, rng.randint(1, 2) + 1):
        node = NodeId(f"{port.id}-{number}")
        ct = rng.choice((1, 1, 20))
        yield _meter(MeterId(f"m-{node}"), rng.choice(models), port.id, number, node, ALWAYS, ct)


def _meter(
    name: MeterId, model: tuple[str, Protocol], port: PortId, number: int, node: NodeId, span: Span, ct: int
) -> Meter:
    profile, protocol = model
    address = str(number) if protocol.is_modbus else f"{202607000000 + number}"
    return Meter(name, f"serial-{name}", profile, protocol, port, address, node, span, ct, 1)


def _site(gateways: list[GatewayId], ports: list[Port], meters: list[Meter], exchanges: tuple[Exchange, ...]) -> Site:
    names = Names("模拟", "simulated")
    nodes = [Node(node, NodeKind.END, (), names, "1") for node in sorted({meter.node for meter in meters})]
    return Site(
        id=SiteId("park"),
        names=names,
        calendar=SiteCalendar("Asia/Shanghai"),
        currency="CNY",
        nodes=tuple(nodes),
        meters=tuple(meters),
        exchanges=exchanges,
        units=(),
        parties=(),
        leases=(),
        gateways=tuple(Gateway(gateway, names) for gateway in gateways),
        ports=tuple(ports),
    )


def _exchange(park: Park, old: Meter, at_s: int, rng: random.Random) -> Park:
    """Replace `old` at a minute that need not be a mark, and declare both registers."""
    at = START + timedelta(seconds=at_s)
    new_id = MeterId(f"{old.id}-2")
    model = (old.profile, old.protocol)
    number = 50 if old.protocol.is_modbus else 50_000
    new = _meter(new_id, model, old.port, number, old.node, Span(at, None), old.ct)
    closed = _meter(old.id, model, old.port, _number(old), old.node, Span(None, at), old.ct)
    park.counters[new_id] = Counter(rng.choice((0, 1_230)), 1000 * at_s)
    modulus_wh = DLT645_MODULUS_WH if old.protocol is Protocol.DLT645_2007 else None
    exchanges = tuple(
        Exchange(
            node=old.node,
            old=old.id,
            new=new_id,
            at=at,
            final=_shown(_final_wh(park, old, obis, 1000 * at_s), modulus_wh),
            initial=_shown(park.counters[new_id].base_wh, modulus_wh),
            obis=obis,
        )
        for obis in (ENERGY_IMPORT, ENERGY_EXPORT)
    )
    others = [meter for meter in park.site.meters if meter.id != old.id]
    site = _site(park.gateways, list(park.site.ports), [*others, closed, new], exchanges)
    return Park(park.hours, site, park.plan, park.power_w, park.counters)


def _number(meter: Meter) -> int:
    return int(meter.address) if meter.protocol.is_modbus else int(meter.address) - 202607000000


def _final_wh(park: Park, meter: Meter, obis: Obis, true_ms: int) -> int:
    counter = park.counters[meter.id]
    return counter.base_wh + park.energy_wh(meter.node, obis, true_ms) // meter.multiplier


def _shown(register_wh: int, modulus_wh: int | None) -> Shown:
    rolled_wh = register_wh if modulus_wh is None else register_wh % modulus_wh
    return Shown(rolled_wh // RESOLUTION_WH, -2, Unit.KWH)


def instant(true_ms: int) -> datetime:
    """The true instant `true_ms` after the start."""
    return START + timedelta(milliseconds=true_ms)
