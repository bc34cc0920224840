"""A synthetic park of any size: 2.5 meters a unit, four levels, three shared pools, vacancies and handovers.

Ids have one width, so that rows of a size can be made without a loop. Nothing is drawn: every number follows from the
place, so the same size gives the same park on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from device_profiles.profile import Protocol
from metering.identity import GatewayId, LeaseId, MeterId, NodeId, PartyId, PortId, SiteId, UnitId
from metering.interval import SiteCalendar
from provisioning.site import (
    ALWAYS,
    Gateway,
    Lease,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Party,
    PartyKind,
    Placement,
    SerialPort,
    Site,
    Span,
    Unit,
)

Int64Array = npt.NDArray[np.int64]

SITE = SiteId("estate")
PERIOD = "2026-07"
PROFILE = "dlt645/three-phase"
CALENDAR = SiteCalendar("Asia/Shanghai")
MONTH = CALENDAR.month(PERIOD)
SLOTS = MONTH.slot_count
HANDOVER = datetime(2026, 7, 17, 6, 0, tzinfo=UTC)
"""14:00 in Shanghai."""
UNITS_IN_BUILDING = 50
FLOORS = 5
COMMONS = 69
NODES_IN_BUILDING = 1 + FLOORS + UNITS_IN_BUILDING + COMMONS
UNITS_ON_PORT = 25
STEP_WH = 10
"""What the meters resolve, so that registers and slots agree to the watt-hour."""
VACANT_EVERY, HANDED_OVER_EVERY, FIRMS_WITH_TWO_EVERY = 250, 31, 9
_NAMES = Names("件", "part")

PLANS = {
    "flat": {"flat": ["00:00-24:00"]},
    "tou": {
        "peak": ["10:00-12:00", "14:00-19:00"],
        "flat": ["08:00-10:00", "12:00-14:00", "19:00-24:00"],
        "valley": ["00:00-08:00"],
    },
}
"""Bands of the day: `tou` needs 186 readings a month to prove a unit's own use, `flat` two."""
_RATES = {"peak": "1.0846", "flat": "0.6478", "valley": "0.2891"}


@dataclass(frozen=True)
class Estate:
    """A park of `units` lettable units, a multiple of 50, under the tariff `plan`."""

    units: int
    plan: str

    @property
    def buildings(self) -> int:
        """How many buildings of 50 units and 125 meters."""
        return self.units // UNITS_IN_BUILDING

    @property
    def meters(self) -> int:
        """All meters, with the one of the supply."""
        return 1 + self.buildings * NODES_IN_BUILDING

    def nodes_of(self, building: int) -> list[str]:
        """Building, floors, units, common loads: the rows of `energy_of`."""
        units = range(building * UNITS_IN_BUILDING, (building + 1) * UNITS_IN_BUILDING)
        return [
            f"b{building:06d}",
            *(f"f{building * FLOORS + floor:06d}" for floor in range(FLOORS)),
            *(f"u{unit:06d}" for unit in units),
            *(f"c{building * COMMONS + common:06d}" for common in range(COMMONS)),
        ]

    def energy_of(self, building: int) -> Int64Array:
        """Import of every node of a building by slot [Wh]; 0.3 % is lost on the way to each floor."""
        draw = np.random.default_rng(building)
        ends = draw.integers(0, 40, (UNITS_IN_BUILDING + COMMONS, SLOTS), np.int64) * STEP_WH
        floors = np.zeros((FLOORS, SLOTS), np.int64)
        for end in range(len(ends)):
            floors[end % FLOORS] += ends[end]
        floors += floors // 300 // STEP_WH * STEP_WH
        return np.concatenate([floors.sum(axis=0, keepdims=True), floors, ends])

    def registers_of(self, building: int) -> Int64Array:
        """What the units' meters show at every mark of the month [Wh]."""
        first = 1 + FLOORS
        energy = self.energy_of(building)[first : first + UNITS_IN_BUILDING]
        shown = np.zeros((UNITS_IN_BUILDING, SLOTS + 1), np.int64)
        np.cumsum(energy, axis=1, out=shown[:, 1:])
        return shown + 1_000_000

    def site(self) -> Site:
        """The dated model."""
        floors = self.buildings * FLOORS
        return Site(
            id=SITE,
            names=_NAMES,
            calendar=CALENDAR,
            currency="CNY",
            nodes=tuple(self._nodes()),
            meters=tuple(self._meters()),
            exchanges=(),
            units=tuple(
                Unit(UnitId(f"r{unit:06d}"), NodeId(f"b{unit // UNITS_IN_BUILDING:06d}"), *self._area(unit), _NAMES)
                for unit in range(self.units)
            ),
            parties=(Party(PartyId("owner"), PartyKind.OWNER, _NAMES), *self._tenants()),
            leases=tuple(self._leases()),
            gateways=tuple(Gateway(GatewayId(f"g{one:06d}"), _NAMES) for one in range(self.buildings)),
            ports=tuple(self._port(port) for port in range(2 * self.buildings)) + tuple(map(self._side, range(floors))),
        )

    def rules(self) -> dict[str, Any]:
        """Own use, and three shared pools: by area, by area x persons x hours, by energy."""
        commons = [f"c{number:06d}" for number in range(self.buildings * COMMONS)]
        shared = {
            "class": "negotiated",
            "agreement": "annex 1",
            "names": {"zh": "公摊", "en": "Shared"},
            "units": "all",
        }
        shared |= {"measure": "import", "grain": "period", "fallback": "owner", "from": "2026-01-01"}
        times = {band: str(1 + number) for number, band in enumerate(PLANS[self.plan])}
        own = {"id": "own-use", "class": "exclusive", "names": {"zh": "自用电", "en": "Own use"}, "rule": "own-use"}
        pools = [
            own | {"units": "all", "measure": "import", "from": "2026-01-01"},
            shared | {"id": "corridors", "rule": "area", "path": commons[0::3]},
            shared | {"id": "lifts", "rule": "keys", "path": commons[1::3]}
            | {"keys": [{"by": ["area", "persons"], "times": times}]},
            shared | {"id": "chillers", "rule": "keys", "path": commons[2::3], "keys": [{"by": ["energy"]}]},
        ]  # fmt: skip
        persons = {"name": "persons", "unit": "1", "source": "made up"}
        persons["values"] = {f"r{unit:06d}": str(1 + unit * 7 % 23) for unit in range(self.units)}  # type: ignore[assignment]
        bands = PLANS[self.plan]
        version = {"id": "v1", "from": "2026-01-01", "rates": {band: _RATES[band] for band in bands}}
        seasons = [{"months": list(range(1, 13)), **bands}]
        tariff = {"format": 1, "currency": "CNY", "versions": [version | {"seasons": seasons}]}
        return {"tariff": tariff, "pools": {"format": 1, "unit_numbers": [persons], "pools": pools}, "series": {}}

    def _area(self, unit: int) -> tuple[int, NodeId]:
        return 300_000 + unit * 7919 % 2_000_000, NodeId(f"u{unit:06d}")

    def _nodes(self) -> list[Node]:
        nodes = [Node(NodeId("m000000"), NodeKind.MAIN, (), _NAMES, "0.5S")]
        for building in range(self.buildings):
            top, *rest = self.nodes_of(building)
            nodes.append(_node(top, NodeKind.BRANCH, "m000000", "0.5S"))
            floors, ends = rest[:FLOORS], rest[FLOORS:]
            nodes += [_node(floor, NodeKind.BRANCH, top, "1") for floor in floors]
            nodes += [_node(end, NodeKind.END, floors[number % FLOORS], "1") for number, end in enumerate(ends)]
        return nodes

    def _meters(self) -> list[Meter]:
        places = [("m000000", "q000000")]
        for building in range(self.buildings):
            for number, node in enumerate(self.nodes_of(building)):
                unit = number - 1 - FLOORS
                on_unit_port = 0 <= unit < UNITS_IN_BUILDING
                side = f"q{building * FLOORS + number % FLOORS:06d}"
                places.append((node, f"p{2 * building + unit // UNITS_ON_PORT:06d}" if on_unit_port else side))
        return [
            Meter(
                *(MeterId(f"m-{node}"), f"{number:012d}", PROFILE, Protocol.DLT645_2007, PortId(port)),
                *(f"{number:012d}", NodeId(node), ALWAYS, 1, 1),
            )
            for number, (node, port) in enumerate(places)
        ]

    def _port(self, port: int) -> SerialPort:
        line = ("/dev/ttyS0", 9600, Parity.EVEN, 1, 20)
        return SerialPort(PortId(f"p{port:06d}"), GatewayId(f"g{port // 2:06d}"), *line)

    def _side(self, floor: int) -> SerialPort:
        line = ("/dev/ttyS1", 9600, Parity.EVEN, 1, 20)
        return SerialPort(PortId(f"q{floor:06d}"), GatewayId(f"g{floor // FLOORS:06d}"), *line)

    def _tenants(self) -> list[Party]:
        ids = sorted({lease.party for lease in self._leases()})
        return [Party(one, PartyKind.TENANT, _NAMES) for one in ids]

    def _leases(self) -> list[Lease]:
        """One unit in 250 is vacant, one in 31 changes hands at the 17th, every ninth firm has two units."""
        leases = []
        for unit in range(self.units):
            lease, place = f"l{unit:06d}", UnitId(f"r{unit:06d}")
            firm = unit - 1 if unit % FIRMS_WITH_TWO_EVERY == 1 else unit
            party = PartyId(f"t{firm:06d}")
            if unit % VACANT_EVERY == 7:
                continue
            if unit % HANDED_OVER_EVERY == 5:
                leases.append(Lease(LeaseId(f"{lease}a"), party, place, Span(None, HANDOVER)))
                leases.append(Lease(LeaseId(f"{lease}b"), PartyId(f"n{unit:06d}"), place, Span(HANDOVER, None)))
            else:
                leases.append(Lease(LeaseId(lease), party, place, ALWAYS))
        return leases

    def marks(self) -> list[datetime]:
        """Every mark that proves some unit's own use."""
        hours = {int(span[: span.index(":")]) for spans in PLANS[self.plan].values() for span in spans}
        starts = {MONTH.start, MONTH.end, HANDOVER}
        if self.plan != "flat":
            days = CALENDAR.days(MONTH)
            starts |= {CALENDAR.midnight(day) + timedelta(hours=hour) for day in days for hour in hours}
        return sorted(starts)


def _node(node: str, kind: NodeKind, parent: str, accuracy: str) -> Node:
    return Node(NodeId(node), kind, (Placement(NodeId(parent), ALWAYS),), _NAMES, accuracy)
