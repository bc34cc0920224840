"""Periods under every kind of price, as folders of real rules files with facts and results a person can recalculate.

`facts.toml` says why the case is there, the facts, and what must come out; `tariff.toml`, `pools.toml` and any
`invoices.toml` are read as a site's own files are. Slots are in base units: Wh, or mL and kJ of other media.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
from allocation_engine.inputs import (
    CountedBefore,
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
    fill_vacancies,
    slot_of,
)
from allocation_engine.media import Medium
from allocation_engine.money import show_minor
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from allocation_engine.run import ChargeTrace, MeteredTrace, Run
from allocation_engine.tiered import tier_steps
from metering.errors import BooksError
from metering.identity import NodeId, PartyId, PoolId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/facts.toml"))
SHANGHAI = SiteCalendar("Asia/Shanghai")
OWNER = PartyId("owner")


@dataclass(frozen=True)
class Case:
    """One folder: facts, and rules read from its files."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def period(self) -> Interval:
        """The local days of the case."""
        return Interval(SHANGHAI.midnight(self.facts["start"]), SHANGHAI.midnight(self.facts["end"]))

    @property
    def inputs(self) -> PeriodInputs:
        """The facts as the engine takes them."""
        nodes, slots = self.facts["nodes"], self.period.slot_count
        taken = np.zeros((len(nodes), slots), np.int64)
        for row, node in enumerate(nodes.values()):
            taken[row] = node["wh"]
            for at, amount in node.get("at", {}).items():
                taken[row, self._slot(datetime.fromisoformat(at))] = amount
        units = tuple(
            LettableUnit(UnitId(name), int(Decimal(unit["area_m2"]) * 10_000), unit.get("node"))
            for name, unit in self.facts["units"].items()
        )
        return PeriodInputs(
            site=SiteId("golden"),
            label="case",
            calendar=SHANGHAI,
            period=self.period,
            site_hash=bytes(32),
            owner=OWNER,
            nodes=tuple(self._node(name, node) for name, node in nodes.items()),
            import_wh=taken,
            export_wh=np.zeros_like(taken),
            quality=np.zeros(taken.shape, np.uint8),
            exceptions=(),
            evidence=(),
            units=units,
            occupancies=fill_vacancies(units, tuple(map(self._lease, self.facts["leases"])), OWNER, slots),
            counted_before=tuple(
                CountedBefore(PoolId(pool), UnitId(unit), PartyId(party), since, int(Decimal(kwh) * 1000))
                for pool, unit, party, since, kwh in self.facts.get("before", ())
            ),
        )

    @property
    def names(self) -> SiteNames:
        """What the rules may speak of."""
        units = {UnitId(name): unit.get("node") for name, unit in self.facts["units"].items()}
        parties = frozenset({OWNER} | {PartyId(lease[1]) for lease in self.facts["leases"]})
        return SiteNames(frozenset(map(NodeId, self.facts["nodes"])), units, parties, OWNER, "CNY")

    @property
    def rules(self) -> Rules:
        """The rules of the case."""
        return read_rules(self.folder, self.names)

    def _slot(self, local: datetime) -> int:
        return slot_of(self.period, local.replace(tzinfo=SHANGHAI.tz))

    def _node(self, name: str, node: Mapping[str, Any]) -> TreeNode:
        parent = NodeId(node["parent"]) if "parent" in node else None
        kind = NodeKind.END if parent else NodeKind.MAIN
        spans = (ParentSpan(0, self.period.slot_count, parent),)
        return TreeNode(NodeId(name), kind, spans, 10_000, Medium(node.get("medium", "electricity")))

    def _lease(self, lease: list[Any]) -> Occupancy:
        unit, party, *days = lease
        first, end = days or (self.facts["start"], self.facts["end"])
        spans = (self._slot(datetime.combine(day, time())) for day in (first, end))
        return Occupancy(UnitId(unit), PartyId(party), *spans)


def read_case(folder: Path) -> Case:
    """Read one case."""
    return Case(folder, tomllib.loads((folder / "facts.toml").read_text(encoding="utf-8")))


@cache
def run_of(folder: Path) -> Run:
    """The run of a case, computed once."""
    case = read_case(folder)
    return close_period(case.inputs, case.rules)


def about(key: str) -> pytest.MarkDecorator:
    """Run a test with every case that expects something under `key`."""
    cases = [case for case in map(read_case, CASES) if key in case.facts["expect"]]
    assert cases, key
    return pytest.mark.parametrize(
        ("case", "wanted"), [pytest.param(one, one.facts["expect"][key], id=one.folder.name) for one in cases]
    )


def money(amount_minor: int | None) -> str:
    """An amount as people write it."""
    return "" if amount_minor is None else show_minor(amount_minor, "CNY")


@about("lines")
def test_lines_are_as_calculated_by_hand(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    assert {line.id: money(line.amount_minor) for line in run.lines} | wanted == {
        line.id: money(line.amount_minor) for line in run.lines
    }


@about("pools")
def test_pools_cost_what_was_calculated_by_hand(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    costs = {pool.id: money(pool.cost_minor) for pool in run.pools}
    assert {pool: costs[pool] for pool in wanted} == wanted


@about("bands")
def test_energy_falls_into_the_bands_of_the_calendar(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    wanted = {band: Decimal(kwh) for band, kwh in wanted.items()}
    found = {
        band.name: Decimal(wh) / 1000 for band, wh in zip(run.bands, run.pools[0].band_energy_wh, strict=True) if wh
    }
    assert found == wanted


@about("steps")
def test_steps_say_what_each_tier_adds(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    lines = {line.id: line.trace for line in run.lines}
    for line_id, steps in wanted.items():
        trace = lines[line_id]
        assert isinstance(trace, MeteredTrace)
        found = tier_steps(run.bands, "main", trace.tiers)
        shown = [[one.what, Decimal(one.quantity_milli) / 1000, Decimal(one.rate_micro) / 10**6] for one in found]
        assert shown == [[what, Decimal(kwh), Decimal(add)] for what, kwh, add in steps]


@about("notes")
def test_steps_say_where_their_quantities_come_from(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    notes = {pool.id: list(dict.fromkeys(step.note for step in pool.steps)) for pool in run.pools}
    assert {pool: notes[pool] for pool in wanted} == wanted


@about("taxes")
def test_taxes_are_shown(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    for party, taxes in wanted.items():
        found = [[one.tax, money(one.gross_minor), money(one.tax_minor)] for one in run.taxes if one.party == party]
        assert found == taxes


@about("checks")
def test_caps_are_checked_with_their_numbers(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    found = [
        [one.cap, one.party or "", money(one.charged_minor), money(one.limit_minor), one.holds] for one in run.checks
    ]
    assert found == wanted
    assert run.approvable is case.facts["expect"]["approvable"]
    assert list(run.warnings) == case.facts["expect"]["warnings"]


@about("reconciliation")
def test_what_was_supplied_is_reconciled_with_what_is_pooled(case: Case, wanted: Any) -> None:
    run = run_of(case.folder)
    names = ("supply", "charges", "pooled", "unshared")
    assert {name: money(getattr(run.reconciliation, f"{name}_minor")) for name in names} == wanted


@about("days")
def test_days_say_which_number_drove_them_and_when_it_was_observed(case: Case, wanted: Any) -> None:
    for pool in run_of(case.folder).pools:
        found = [
            [one.day, money(one.cost_nano // 10**7), number, observed_on, str(Fraction(*one.passed_on))]
            for one in pool.days
            for _, number, observed_on in one.inputs
        ]
        assert found == [
            [day, cost, str(Decimal(number).normalize()), *rest] for day, cost, number, *rest in wanted[pool.id]
        ]


@about("refuses")
def test_a_period_that_lacks_what_its_rules_need_is_refused(case: Case, wanted: str) -> None:
    with pytest.raises(BooksError) as caught:
        close_period(case.inputs, case.rules)
    assert str(caught.value) == wanted


def closing() -> pytest.MarkDecorator:
    """Run a test with every case that closes."""
    folders = [one for one in CASES if "refuses" not in read_case(one).facts["expect"]]
    return pytest.mark.parametrize("folder", folders, ids=lambda folder: folder.name)


@closing()
def test_every_charge_is_the_sum_of_its_steps(folder: Path) -> None:
    run = run_of(folder)
    for line in run.lines:
        if isinstance(line.trace, ChargeTrace):
            exact = sum(
                Fraction(step.quantity_milli * step.rate_micro * step.part[0], step.part[1])
                for step in line.trace.steps
            )
            assert abs(exact / 10**7 - line.amount_minor) <= Fraction(1, 2)


@closing()
def test_stored_rules_give_the_same_run(folder: Path) -> None:
    case, run = read_case(folder), run_of(folder)
    assert close_period(case.inputs, rules_from_document(case.rules.document, case.names)) == run
