"""Periods of metered trees: balances, cases, gaps, prices that change and days that are not 24 hours long.

Each folder holds one `period.toml`: why it is there, the facts, the rules, and what must come out, calculated by hand.
Times are local times of the zone the case names; where a local time happens twice, it carries its offset.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
from allocation_engine.evidence import Installation, PointReading
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
    slot_of,
)
from allocation_engine.intervals import SettledSpan, settle_point
from allocation_engine.money import show_kwh, show_minor
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.run import Run
from metering.errors import BooksError
from metering.identity import MeterId, NodeId, PartyId, SiteId, UnitId
from metering.interval import SLOT, Interval, SiteCalendar

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/period.toml"))
OWNER = PartyId("owner")


@dataclass(frozen=True)
class TreeCase:
    """One case file, with its facts turned into inputs."""

    facts: Mapping[str, Any]

    @property
    def calendar(self) -> SiteCalendar:
        """The calendar of the case's zone."""
        return SiteCalendar(self.facts["zone"])

    @property
    def period(self) -> Interval:
        """The local days of the case."""
        return Interval(self.calendar.midnight(self.facts["start"]), self.calendar.midnight(self.facts["end"]))

    @cached_property
    def settled(self) -> dict[str, SettledSpan]:
        """Every node whose energy comes from registers."""
        return {name: self._settle(node) for name, node in self.facts["nodes"].items() if "meters" in node}

    @property
    def inputs(self) -> PeriodInputs:
        """The facts as the engine takes them."""
        nodes, slots = self.facts["nodes"], self.period.slot_count
        taken, given = np.zeros((len(nodes), slots), np.int64), np.zeros((len(nodes), slots), np.int64)
        quality = np.zeros(taken.shape, np.uint8)
        exceptions = []
        for row, (name, node) in enumerate(nodes.items()):
            taken[row], given[row] = node.get("wh", 0), node.get("export_wh", 0)
            for at, amount in node.get("at", {}).items():
                taken[row, self._slot(at)] = amount
            if name in self.settled:
                taken[row], quality[row] = self.settled[name].energy_wh, self.settled[name].quality
                exceptions += [(NodeId(name), one) for one in self.settled[name].exceptions]
        units = tuple(
            LettableUnit(UnitId(name), int(Decimal(unit["area_m2"]) * 10_000), unit.get("node"))
            for name, unit in self.facts["units"].items()
        )
        return PeriodInputs(
            site=SiteId("golden"),
            label="case",
            calendar=self.calendar,
            period=self.period,
            site_hash=bytes(32),
            owner=OWNER,
            nodes=tuple(self._node(name, node) for name, node in nodes.items()),
            import_wh=taken,
            export_wh=given,
            quality=quality,
            exceptions=tuple(exceptions),
            evidence=(),
            units=units,
            occupancies=fill_vacancies(units, tuple(map(self._lease, self.facts["leases"])), OWNER, slots),
        )

    @property
    def rules(self) -> Rules:
        """The rules of the case."""
        units = {UnitId(name): unit.get("node") for name, unit in self.facts["units"].items()}
        parties = frozenset({OWNER} | {PartyId(lease[1]) for lease in self.facts["leases"]})
        names = SiteNames(frozenset(map(NodeId, self.facts["nodes"])), units, parties, OWNER, self.facts["currency"])
        common = {"names": {"zh": "池", "en": "pool"}, "from": "2026-01-01"}
        pools = [self._pool({**common, **pool}) for pool in self.facts["pools"]]
        document = {
            "tariff": {"format": 1, "currency": self.facts["currency"], **self.facts["tariff"]},
            "pools": {"format": 1, "pools": pools},
            "series": {},
        }
        return rules_from_document(document, names)

    @staticmethod
    def _pool(pool: dict[str, Any]) -> dict[str, Any]:
        is_energy = "charge" not in pool and pool["rule"] not in ("standing", "minimum")
        return {"measure": "import", **pool} if is_energy else pool

    def _instant(self, text: str) -> datetime:
        instant = datetime.fromisoformat(text)
        return instant if instant.tzinfo is not None else instant.replace(tzinfo=self.calendar.tz)

    def _slot(self, text: str) -> int:
        return slot_of(self.period, self._instant(text))

    def _settle(self, node: Mapping[str, Any]) -> SettledSpan:
        installations = [
            Installation(
                meter=MeterId(one["meter"]),
                start=self._instant(one["from"]) if "from" in one else None,
                end=self._instant(one["to"]) if "to" in one else None,
                multiplier=one.get("multiplier", 1),
                modulus_wh=one.get("modulus_wh", 1_000_000_000),
                power_max_w=one.get("power_max_w"),
                initial_wh=one.get("initial_wh"),
                final_wh=one.get("final_wh"),
            )
            for one in node["meters"]
        ]
        return settle_point(list(self._readings(node)), self.period, installations)

    def _readings(self, node: Mapping[str, Any]) -> Iterator[PointReading]:
        """Give single readings, and those of meters that were read at every mark of a stretch."""
        for at, meter, register_wh in node.get("readings", ()):
            yield PointReading(self._instant(at), MeterId(meter), register_wh)
        for first, last, meter, register_wh, step_wh in node.get("steady", ()):
            marks = (self._instant(last) - self._instant(first)) // SLOT
            for number in range(marks + 1):
                at = self._instant(first) + number * SLOT
                yield PointReading(at, MeterId(meter), register_wh + number * step_wh)

    def _node(self, name: str, node: Mapping[str, Any]) -> TreeNode:
        whole = [[self.facts["start"].isoformat(), self.facts["end"].isoformat(), node.get("parent")]]
        spans = tuple(
            ParentSpan(self._slot(first), self._slot(end), NodeId(parent) if parent else None)
            for first, end, parent in node.get("parents", whole)
        )
        kind = NodeKind.END if any(span.parent for span in spans) else NodeKind.MAIN
        return TreeNode(NodeId(name), kind, spans, node.get("accuracy_ppm", 10_000))

    def _lease(self, lease: list[str]) -> Occupancy:
        unit, party, *instants = lease
        whole = (datetime.combine(day, time()).isoformat() for day in (self.facts["start"], self.facts["end"]))
        first, end = map(self._slot, instants or whole)
        return Occupancy(UnitId(unit), PartyId(party), first, end)


@cache
def read_case(folder: Path) -> TreeCase:
    """Read one case."""
    return TreeCase(tomllib.loads((folder / "period.toml").read_text(encoding="utf-8")))


@cache
def run_of(folder: Path) -> Run:
    """The run of a case, computed once."""
    case = read_case(folder)
    return close_period(case.inputs, case.rules)


def about(key: str) -> pytest.MarkDecorator:
    """Run a test with every case that expects something under `key`."""
    found = [(folder, read_case(folder).facts["expect"].get(key)) for folder in CASES]
    wanted = [pytest.param(folder, one, id=folder.name) for folder, one in found if one is not None]
    assert wanted, key
    return pytest.mark.parametrize(("folder", "wanted"), wanted)


def closing() -> pytest.MarkDecorator:
    """Run a test with every case that closes."""
    folders = [one for one in CASES if "refuses" not in read_case(one).facts["expect"]]
    return pytest.mark.parametrize("folder", folders, ids=lambda folder: folder.name)


@about("lines")
def test_lines_are_those_calculated_by_hand(folder: Path, wanted: Mapping[str, list[str]]) -> None:
    run = run_of(folder)
    found = {
        line.id: [show_kwh(sum(line.band_energy_wh)), show_minor(line.amount_minor, run.currency)] for line in run.lines
    }
    assert found == wanted


@about("bands")
def test_energy_of_each_pool_falls_into_the_bands_of_the_local_clock(
    folder: Path, wanted: Mapping[str, Mapping[str, str]]
) -> None:
    run = run_of(folder)
    for pool in run.pools:
        bands = zip(run.bands, pool.band_energy_wh, strict=True)
        assert {f"{band.version} {band.name}": show_kwh(wh) for band, wh in bands if wh} == wanted[pool.id]


@about("balance")
def test_the_balance_of_each_node_is_that_calculated_by_hand(
    folder: Path, wanted: Mapping[str, Mapping[str, str]]
) -> None:
    for node in run_of(folder).balance:
        found = {"net": node.net_wh, "children": node.children_wh, "loss": node.loss_wh, "band": node.band_wh}
        shown = {name: show_kwh(wh) for name, wh in found.items() if wh is not None}
        assert {name: shown.get(name) for name in wanted[node.node]} == wanted[node.node]
        assert ("children" in shown) is ("loss" in wanted[node.node])


@about("day_losses")
def test_losses_are_known_day_by_day(folder: Path, wanted: Mapping[str, list[str]]) -> None:
    found = {node.node: node.day_loss_wh for node in run_of(folder).balance}
    for name, losses in wanted.items():
        assert [show_kwh(wh) for wh in found[NodeId(name)]] == losses


@about("cases")
def test_cases_are_raised_where_accuracy_explains_too_little(folder: Path, wanted: list[str]) -> None:
    run = run_of(folder)
    assert [one.node for one in run.cases] == wanted
    assert run.approvable is not bool(wanted)
    for one in run.cases:
        assert one.text.startswith(f"{one.node}: {show_kwh(one.loss_wh)} kWh are unaccounted for")


@about("qualities")
def test_slots_are_known_as_they_must(folder: Path, wanted: Mapping[str, list[list[Any]]]) -> None:
    settled = read_case(folder).settled
    assert set(settled) == set(wanted)
    for name, runs in wanted.items():
        grouped = itertools.groupby(settled[name].quality)
        assert [[quality.name.lower(), len(list(slots))] for quality, slots in grouped] == runs


@about("spans")
def test_no_watt_hour_is_made_or_lost_between_registers(folder: Path, wanted: Mapping[str, str]) -> None:
    settled = read_case(folder).settled
    assert {name: show_kwh(sum(one.energy_wh)) for name, one in settled.items()} == wanted


@about("slot_count")
def test_a_local_day_has_the_slots_its_clock_shows(folder: Path, wanted: int) -> None:
    case = read_case(folder)
    assert case.period.slot_count == wanted
    assert sum(end - first for _, first, end in case.inputs.day_spans()) == wanted


@about("refuses")
def test_a_period_that_cannot_be_closed_says_why(folder: Path, wanted: str) -> None:
    case = read_case(folder)
    with pytest.raises(BooksError) as caught:
        close_period(case.inputs, case.rules)
    assert str(caught.value) == wanted


@about("supply")
def test_what_was_supplied_less_what_is_pooled_stays_with_the_owner(folder: Path, wanted: Mapping[str, str]) -> None:
    run = run_of(folder)
    shown = {
        name: show_minor(getattr(run.reconciliation, f"{name}_minor"), run.currency)
        for name in ("supply", "pooled", "unshared")
    }
    assert shown == wanted
    assert run.reconciliation.supply_minor == run.reconciliation.pooled_minor + run.reconciliation.unshared_minor


@closing()
def test_facts_in_any_order_give_the_same_bytes(folder: Path) -> None:
    case, run = read_case(folder), run_of(folder)
    inputs = case.inputs
    order = list(range(len(inputs.nodes)))[::-1]
    turned = replace(
        inputs,
        nodes=tuple(inputs.nodes[row] for row in order),
        import_wh=inputs.import_wh[order],
        export_wh=inputs.export_wh[order],
        quality=inputs.quality[order],
        exceptions=inputs.exceptions[::-1],
        units=inputs.units[::-1],
        occupancies=inputs.occupancies[::-1],
    )
    assert close_period(turned, case.rules) == run
    assert close_period(turned, case.rules).to_document() == run.to_document()


@closing()
def test_every_pool_of_a_case_is_what_its_lines_add_up_to(folder: Path) -> None:
    run = run_of(folder)
    for pool in run.pools:
        lines = [line for line in run.lines if line.pool == pool.id]
        assert sum(line.amount_minor for line in lines) == pool.cost_minor
        assert tuple(sum(column) for column in zip(*(line.band_energy_wh for line in lines), strict=True)) == (
            pool.band_energy_wh
        )


@closing()
def test_a_lease_cut_in_two_on_any_mark_pays_the_same(folder: Path) -> None:
    case, run = read_case(folder), run_of(folder)
    cut = []
    for one in case.inputs.occupancies:
        middle = (one.first + one.end) // 2
        cut += [replace(one, end=middle), replace(one, first=middle)] if one.first < middle else [one]
    again = close_period(replace(case.inputs, occupancies=tuple(cut)), case.rules)
    assert {one.id: one.amount_minor for one in again.lines} == {one.id: one.amount_minor for one in run.lines}


def test_every_period_says_why_it_is_there() -> None:
    assert len(CASES) >= 10
    for folder in CASES:
        assert len(read_case(folder).facts["why"].split()) > 25, folder.name


def test_periods_start_and_end_at_local_midnight() -> None:
    for folder in CASES:
        case = read_case(folder)
        assert isinstance(case.facts["start"], date)
        assert case.calendar.local(case.period.end - timedelta(microseconds=1)).date() < case.facts["end"]
