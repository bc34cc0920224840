"""The loads file of a site (`loads.toml`): what flows where, what the registers show at first, which line is cut.

    [play]                        seed = 1; period = "2026-07" (not with a CSV: its rows say which month it is)
    [shapes.NAME]                 workday = [24 x 1/1000 of the peak at full local hours]; restday = [24 x ...]
    [loads.NODE]                  peak_w = 5000; shape = "NAME"; noise_per_mille = 50
    [csv]                         time = "local_time"; unread = ["column", ...]
    [csv.columns.NAME]            node = "NODE"; direction = "import" or "export" (solar: positive feeds the grid)
    [losses.NODE]                 flow_per_mille = 6; standing_w = 150
    [registers.METER]             at_start_kwh = "12345.67", as the meter shows it (before ct x pt)
    [[offline]]                   gateway = "GATEWAY"; day = 2026-07-09

A meter that is exchanged in the month is anchored at its declared final or initial reading, so the played register
always agrees with the site file; any other meter without an entry starts at a number drawn from the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from ingest.demo.loads import (
    HOURS,
    PER_MILLE,
    Int64Array,
    Loss,
    NodeEnergy,
    Shape,
    ShapedLoad,
    energy_of,
    node_powers,
    shaped_power,
)
from ingest.demo.measured_loads import Gap, read_measured_loads
from metering.errors import DocumentError, Fault, MeteringError
from metering.identity import GatewayId, MeterId, NodeId
from metering.interval import Interval
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from metering.toml_source import Place, TomlSource
from provisioning.site import Meter, Site

PEAK_W_MAX = 100_000_000
START_STEP_WH = 10
"""Drawn registers start on a whole 0.01 kWh, the finest step most meters show."""
START_STEPS = 9_000_000
"""Drawn registers start below 90,000 kWh: far from any rollover in the month."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offline:
    """A span in which a gateway's line to the centre is cut; its gateway goes on reading."""

    gateway: GatewayId
    span: Interval


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a meter's register shows at one instant [Wh, before ct x pt]; its course follows from the loads."""

    at: datetime
    register_wh: int


@dataclass(frozen=True, slots=True)
class Play:
    """A site's month, ready to be played.

    month     the whole local month; `energies` covers all of it
    played    the part that is played: the first days of the month
    gaps      slots without a measured load, by node: the node's meter is mute at their ends
    anchors   where each meter's import and export register stands
    """

    period: str
    month: Interval
    played: Interval
    energies: Mapping[NodeId, NodeEnergy]
    gaps: Mapping[NodeId, tuple[Gap, ...]]
    anchors: Mapping[tuple[MeterId, Obis], Anchor]
    offline: tuple[Offline, ...]


def read_play(path: Path, site: Site, *, csv: Path | None, days: int | None) -> Play:
    """Read a site's loads file, with the measured loads of `csv` where the file maps columns.

    days     how many days of the month to play; None for all
    Raises   DocumentError with every fault found
    """
    source = TomlSource.read(path)
    return _Reader(source, site, csv).play(days)


class _Reader:
    """Reads one loads file and collects faults as it goes."""

    def __init__(self, source: TomlSource, site: Site, csv: Path | None) -> None:
        self._source = source
        self._site = site
        self._csv = csv
        self._faults: list[Fault] = []
        self._seed = 0

    def play(self, days: int | None) -> Play:
        """Read all of it; raises DocumentError with every fault."""
        known = {"play", "shapes", "loads", "csv", "losses", "registers", "offline"}
        for key in self._source.content.keys() - known:
            place = next((place for place in self._source.lines if place[0] == key), (key,))
            self._complain(*place, problem=f"{key!r} is not known here", mend=f"known: {', '.join(sorted(known))}")
        self._seed = self._integer("play", "seed", least=0, most=2**63)
        measured, gaps, period = self._measured()
        month = self._month(period)
        played = self._played(month, days)
        own = {**self._shaped(month), **measured}
        losses = self._losses()
        offline = tuple(self._offline())
        anchors = self._anchors(month)
        parents = {node.id: node.parent_at(month.start) for node in self._site.nodes}
        self._require_fixed_tree(month)
        self._raise_faults()
        energies = {node: energy_of(power) for node, power in node_powers(own, parents, losses).items()}
        return Play(period, month, played, energies, gaps, anchors, offline)

    def _measured(self) -> tuple[dict[NodeId, Int64Array], dict[NodeId, tuple[Gap, ...]], str]:
        """Read the mapped columns of the CSV file, by node, and the month it holds."""
        columns = self._table("csv", "columns")
        if not columns:
            if self._csv is not None:
                mend = "add [csv.columns.NAME] with node and direction for each column"
                self._complain("csv", problem=f"no column of {self._csv.name} is mapped to a node", mend=mend)
            return {}, {}, self._text("play", "period")
        if self._csv is None:
            mend = "give it: metertree demo --loads FILE.csv"
            self._complain("csv", problem="this site's loads come from a CSV file, and none is given", mend=mend)
            self._raise_faults()
            return {}, {}, ""
        signs = {name: self._sign("csv", "columns", name, "direction") for name in columns}
        nodes = {name: self._node("csv", "columns", name, "node") for name in columns}
        time_column = self._text("csv", "time")
        self._raise_faults()
        loads = read_measured_loads(
            self._csv,
            time_column=time_column,
            columns=list(columns),
            unread=self._typed(list, [], "a list of columns", ("csv", "unread")),
            calendar=self._site.calendar,
        )
        powers = {nodes[name]: signs[name] * load.power_w for name, load in loads.columns.items()}
        gaps = {nodes[name]: load.gaps for name, load in loads.columns.items() if load.gaps}
        return powers, gaps, loads.period

    def _shaped(self, month: Interval) -> dict[NodeId, Int64Array]:
        """Work out the loads that follow a shape, by node."""
        shapes = {name: self._shape(name) for name in self._table("shapes")}
        powers: dict[NodeId, Int64Array] = {}
        for name in self._table("loads"):
            node = self._checked_node(name, "loads", name)
            shape = shapes.get(self._text("loads", name, "shape"))
            peak_w = self._integer("loads", name, "peak_w", least=-PEAK_W_MAX, most=PEAK_W_MAX)
            noise_per_mille = self._integer("loads", name, "noise_per_mille", least=0, most=PER_MILLE)
            if shape is None:
                self._complain("loads", name, "shape", problem="there is no such shape", mend="add [shapes.NAME]")
                continue
            load = ShapedLoad(peak_w, shape, noise_per_mille)
            powers[node] = shaped_power(load, node=node, seed=self._seed, period=month, calendar=self._site.calendar)
        return powers

    def _shape(self, name: str) -> Shape:
        courses = []
        for key in ("workday", "restday"):
            course = self._found("shapes", name, key)
            if not isinstance(course, list) or len(course) != HOURS or not all(type(each) is int for each in course):
                mend = "give the load at 0, 1, ... 23 o'clock in 1/1000 of the peak"
                self._complain("shapes", name, key, problem="not 24 whole numbers", mend=mend)
                course = [0] * HOURS
            courses.append(tuple(course))
        return Shape(*courses)

    def _losses(self) -> dict[NodeId, Loss]:
        return {
            self._checked_node(name, "losses", name): Loss(
                flow_per_mille=self._integer("losses", name, "flow_per_mille", least=0, most=PER_MILLE),
                standing_w=self._integer("losses", name, "standing_w", least=0, most=PEAK_W_MAX),
            )
            for name in self._table("losses")
        }

    def _offline(self) -> Iterator[Offline]:
        gateways = {gateway.id for gateway in self._site.gateways}
        for index, entry in enumerate(self._source.content.get("offline", [])):
            gateway, day = entry.get("gateway"), entry.get("day")
            if gateway not in gateways:
                mend = f"the site has: {', '.join(sorted(gateways))}"
                self._complain("offline", index, "gateway", problem=f"no gateway {gateway!r}", mend=mend)
            elif type(day) is not date:
                self._complain("offline", index, "day", problem=f"{day!r} is no day", mend="write day = 2026-07-09")
            else:
                yield Offline(GatewayId(gateway), self._site.calendar.day(day))

    def _anchors(self, month: Interval) -> dict[tuple[MeterId, Obis], Anchor]:
        """Say where every meter's registers stand: declared, written in this file, or drawn; export starts at zero."""
        meters = {meter.id: meter for meter in self._site.meters}
        anchors = {(meter, ENERGY_EXPORT): Anchor(month.start, 0) for meter in meters}
        for meter in meters.values():
            anchors[meter.id, ENERGY_IMPORT] = Anchor(month.start, self._drawn_start(meter))
        for name in self._table("registers"):
            if MeterId(name) not in meters:
                self._complain("registers", name, problem=f"the site has no meter {name!r}", mend="mend the id")
            start_wh = self._kwh("registers", name, "at_start_kwh")
            anchors[MeterId(name), ENERGY_IMPORT] = Anchor(month.start, start_wh)
        for exchange in self._site.exchanges:
            if exchange.at in month:
                anchors[exchange.old, exchange.obis] = Anchor(exchange.at, exchange.final.to_base())
                anchors[exchange.new, exchange.obis] = Anchor(exchange.at, exchange.initial.to_base())
        return anchors

    def _drawn_start(self, meter: Meter) -> int:
        drawn = hashlib.sha256(f"{self._seed}/register/{meter.id}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") % START_STEPS * START_STEP_WH

    def _kwh(self, *place: str) -> int:
        """Read a register as text [kWh] into Wh."""
        text = self._text(*place)
        try:
            register_wh = Decimal(text) * 1000
        except InvalidOperation:
            register_wh = Decimal(-1)
        if not register_wh.is_finite() or register_wh < 0 or register_wh != int(register_wh):
            self._complain(*place, problem=f"{text!r} is not a register in kWh", mend='write it as "12345.67"')
            return 0
        return int(register_wh)

    def _month(self, period: str) -> Interval:
        try:
            return self._site.calendar.month(period)
        except MeteringError as error:
            self._complain("play", "period", problem=str(error), mend='write it as "2026-07"')
            raise DocumentError(tuple(self._faults)) from error

    def _played(self, month: Interval, days: int | None) -> Interval:
        """Give the first `days` of the month, or all of it when it has no more."""
        if days is None:
            return month
        first = self._site.calendar.local(month.start).date()
        return Interval(month.start, min(month.end, self._site.calendar.midnight(first + timedelta(days=days))))

    def _require_fixed_tree(self, month: Interval) -> None:
        moved = [
            node.id
            for node in self._site.nodes
            if len({node.parent_at(mark) for mark in (month.start, month.end - timedelta(minutes=15))}) > 1
        ]
        if moved:
            problem = f"{', '.join(moved)} changes its parent in the month; the play keeps one tree"
            self._complain("play", problem=problem, mend="choose another month")

    def _sign(self, *place: str) -> int:
        text = self._text(*place)
        if text not in ("import", "export"):
            self._complain(*place, problem=f"{text!r} is no direction", mend='write "import" or "export"')
        return -1 if text == "export" else 1

    def _node(self, *place: str) -> NodeId:
        return self._checked_node(self._text(*place), *place)

    def _checked_node(self, name: str, *place: str) -> NodeId:
        if all(node.id != name for node in self._site.nodes):
            self._complain(*place, problem=f"the site has no node {name!r}", mend="mend the id")
        return NodeId(name)

    def _table(self, *place: str) -> dict[str, Any]:
        found = self._found(*place)
        return found if isinstance(found, dict) else {}

    def _text(self, *place: str) -> str:
        return self._typed(str, "", "a text", place)

    def _integer(self, *place: str, least: int, most: int) -> int:
        number = self._typed(int, least, f"a whole number from {least} to {most}", place)
        if not least <= number <= most:
            self._complain(*place, problem=f"{number} is out of range", mend=f"give {least} to {most}")
        return number

    def _typed(self, kind: type[T], instead: T, wanted: str, place: Place) -> T:
        found = self._found(*place)
        if type(found) is kind:
            return found
        problem = f"{place[-1]} is missing" if found is None else f"{place[-1]} is {found!r}"
        self._complain(*place, problem=problem, mend=f"give {wanted}")
        return instead

    def _found(self, *place: str | int) -> Any:
        found: Any = self._source.content
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _complain(self, *place: str | int, problem: str, mend: str) -> None:
        self._faults.append(self._source.fault(*place, problem=problem, mend=mend))

    def _raise_faults(self) -> None:
        if self._faults:
            raise DocumentError(tuple(self._faults))
