"""Whole periods with the lines they must give, in files that a person can read and recalculate.

Each folder holds one `case.toml`: why it is there, the facts, the rules, and what must come out. Times are local times
of Shanghai. A node has either slot energy (`wh`) or meters with readings, which are settled first.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.resources import files
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
from allocation_engine.intervals import SettledSpan, SlotQuality, settle_point
from allocation_engine.money import show_kwh, show_minor
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.tables_file import SHIPPED
from metering.errors import BooksError
from metering.identity import MeterId, NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/case.toml"))
SHANGHAI = SiteCalendar("Asia/Shanghai")
OWNER = PartyId("owner")


@dataclass(frozen=True)
class Case:
    """One case file, with its facts turned into inputs."""

    facts: Mapping[str, Any]

    @property
    def period(self) -> Interval:
        """The period of the case."""
        start = local(self.facts["start"])
        return Interval(start, start + self.facts["slots"] * timedelta(minutes=15))

    @property
    def settled(self) -> dict[str, SettledSpan]:
        """Every node whose energy comes from registers."""
        return {name: self._settle(node) for name, node in self.facts["nodes"].items() if "readings" in node}

    @property
    def inputs(self) -> PeriodInputs:
        """The facts as the engine takes them."""
        nodes, slots = self.facts["nodes"], self.facts["slots"]
        shape = (len(nodes), slots)
        energy, export = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        quality = np.zeros(shape, np.uint8)
        exceptions = []
        for row, (name, node) in enumerate(nodes.items()):
            energy[row], export[row] = node.get("wh", 0), node.get("export_wh", 0)
            if name in self.settled:
                energy[row], quality[row] = self.settled[name].energy_wh, self.settled[name].quality
                exceptions += [(NodeId(name), one) for one in self.settled[name].exceptions]
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
            import_wh=energy,
            export_wh=export,
            quality=quality,
            exceptions=tuple(exceptions),
            evidence=(),
            units=units,
            occupancies=fill_vacancies(units, tuple(self._leases()), OWNER, slots),
        )

    @property
    def rules(self) -> Rules:
        """The rules of the case."""
        units = {UnitId(name): unit.get("node") for name, unit in self.facts["units"].items()}
        parties = frozenset({OWNER} | {PartyId(lease[1]) for lease in self.facts.get("leases", [])})
        names = SiteNames(frozenset(map(NodeId, self.facts["nodes"])), units, parties, OWNER, "CNY")
        season = {"months": list(range(1, 13)), **self.facts["hours"]}
        version = {"id": "v-1", "from": "2026-01-01", "rates": self.facts["rates"], "seasons": [season]}
        tmax = self.facts.get("tmax", {})
        series = {"name": "tmax", "unit": "C", "file": "-", "column": "-", "source": "case", "missing_day": "refuse"}
        common = {"names": {"zh": "池", "en": "pool"}, "measure": "import", "from": "2026-01-01"}
        document = {
            "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
            "pools": {
                "format": 1,
                "series": [series],
                "pools": [{**common, **pool} for pool in self.facts["pools"]],
                **{
                    key: self.facts[key]
                    for key in ("unit_numbers", "services", "loss", "definitions")
                    if key in self.facts
                },
            },
            "series": {"tmax": [[day, number] for day, number in tmax.items()]},
            "unit_numbers": self.facts.get("unit_number_files", {}),
            "tables": {name: shipped(name) for name in self.facts.get("shipped", ())},
        }
        return rules_from_document(document, names)

    def _settle(self, node: Mapping[str, Any]) -> SettledSpan:
        installations = [
            Installation(
                meter=MeterId(one["meter"]),
                start=local(one["from"]) if "from" in one else None,
                end=local(one["to"]) if "to" in one else None,
                multiplier=one["multiplier"],
                modulus_wh=one["modulus_wh"],
                power_max_w=None,
                initial_wh=one.get("initial_wh"),
                final_wh=one.get("final_wh"),
            )
            for one in node["meters"]
        ]
        readings = [PointReading(local(mark), MeterId(meter), wh) for mark, meter, wh in node["readings"]]
        return settle_point(readings, self.period, installations)

    def _node(self, name: str, node: Mapping[str, Any]) -> TreeNode:
        parent = NodeId(node["parent"]) if "parent" in node else None
        kind = NodeKind.END if parent else NodeKind.MAIN
        return TreeNode(NodeId(name), kind, (ParentSpan(0, self.facts["slots"], parent),), 10_000)

    def _leases(self) -> list[Occupancy]:
        spans = [(unit, party, local(start), local(end)) for unit, party, start, end in self.facts.get("leases", [])]
        return [
            Occupancy(UnitId(unit), PartyId(party), slot_of(self.period, start), slot_of(self.period, end))
            for unit, party, start, end in spans
        ]


def local(text: str) -> datetime:
    """Read a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI.tz)


def shipped(name: str) -> dict[str, Any]:
    """Give the content of a table that is shipped."""
    return tomllib.loads(files(SHIPPED).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def read_case(folder: Path) -> Case:
    """Read one case."""
    return Case(tomllib.loads((folder / "case.toml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_period_gives_the_lines_it_must(folder: Path) -> None:
    case = read_case(folder)
    expected = case.facts["expected"]
    if "refuses" in expected:
        with pytest.raises(BooksError) as caught:
            close_period(case.inputs, case.rules)
        assert str(caught.value) == expected["refuses"]
        return
    run = close_period(case.inputs, case.rules)
    lines = {
        line.id: [f"{show_kwh(sum(line.band_energy_wh))} kWh", show_minor(line.amount_minor, run.currency)]
        for line in run.lines
    }
    assert lines == {name: list(line) for name, line in expected["lines"].items()}
    assert run.warnings == tuple(expected.get("warnings", ()))
    costs = {pool.id: show_minor(pool.cost_minor, run.currency) for pool in run.pools}
    assert costs == expected["pools"]


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_period_says_what_its_rules_rest_on(folder: Path) -> None:
    case = read_case(folder)
    expected = case.facts["expected"]
    if "refuses" in expected:
        return
    run = close_period(case.inputs, case.rules)
    for name, told in expected.get("grounds", {}).items():
        assert next(pool.ground for pool in run.pools if pool.id == name) == told
    for name, told in expected.get("fallbacks", {}).items():
        assert next(pool.fallback for pool in run.pools if pool.id == name) == told
    methods = {
        one.method: {party: show_minor(amount, run.currency) for party, amount in one.parties}
        for one in run.service_methods
    }
    assert methods == expected.get("methods", {})


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_registers_give_the_slots_they_must(folder: Path) -> None:
    case = read_case(folder)
    expected = case.facts["expected"].get("slots", {})
    assert set(expected) == set(case.settled)
    for node, (energy_wh, qualities) in expected.items():
        assert list(case.settled[node].energy_wh) == energy_wh
        assert [one.name.lower() for one in case.settled[node].quality] == qualities


def test_every_case_says_why_it_is_there() -> None:
    assert len(CASES) >= 10
    for folder in CASES:
        assert len(read_case(folder).facts["why"].split()) > 15, folder.name


def test_quality_words_of_the_cases_are_those_of_the_engine() -> None:
    words = {one.name.lower() for one in SlotQuality}
    for folder in CASES:
        for _, qualities in read_case(folder).facts["expected"].get("slots", {}).values():
            assert set(qualities) <= words
