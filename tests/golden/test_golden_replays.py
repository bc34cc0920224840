"""Two things that went wrong once, replayed: the corridor that restaurants paid for, and 237 leases nobody billed."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocation_engine.close_period import close_period
from allocation_engine.facts import Facts
from allocation_engine.inputs import (
    LettableUnit,
    NodeKind,
    Occupancy,
    ParentSpan,
    PeriodInputs,
    TreeNode,
)
from allocation_engine.money import show_minor
from allocation_engine.rule_check import RecordsMissed, check_records, check_rules, require_complete
from allocation_engine.rules import SiteNames
from allocation_engine.rules_file import rules_from_document
from allocation_engine.what_if import Scope, shadow, totals, what_if
from metering.identity import NodeId, PartyId, SiteId, UnitId
from metering.interval import Interval, SiteCalendar
from tests.golden.test_golden_periods import SHANGHAI, Case

HERE = Path(__file__).parent
OWNER = PartyId("owner")


def read_replay(name: str) -> dict[str, Any]:
    """Read a replay."""
    return tomllib.loads((HERE / name / "replay.toml").read_text(encoding="utf-8"))


def facts_of(case: Case) -> Facts:
    """Turn a case into facts."""
    units = {UnitId(name): unit.get("node") for name, unit in case.facts["units"].items()}
    parties = frozenset({OWNER} | {PartyId(lease[1]) for lease in case.facts["leases"]})
    names = SiteNames(frozenset(map(NodeId, case.facts["nodes"])), units, parties, OWNER, "CNY")
    return Facts(case.inputs, case.rules, names)


def test_the_corridor_by_responsibility_gives_each_restaurant_217_yuan_a_month_back() -> None:
    replay = read_replay("suzhou-corridor")
    before, after = facts_of(Case(replay)), facts_of(Case({**replay, "pools": replay["draft"]}))
    diff = what_if(before, after)
    shown = [
        [one.party, *(show_minor(part, "CNY") for part in (one.before_minor, one.after_minor, one.delta_minor))]
        for one in diff.parties
    ]
    assert shown == replay["expected"]["parties"]
    assert {cause: show_minor(part, "CNY") for cause, part in diff.by_cause.items()} == replay["expected"]["by_cause"]
    assert [[str(one.cause), one.subject] for one in diff.changes] == replay["expected"]["changes"]
    assert {line.unit for line in diff.lines} == {"r-1", "r-2", "o-1", "o-2"}


def test_the_corridor_split_is_no_gap_in_coverage_but_the_restaurants_are_named() -> None:
    """Nobody pays for restaurants under the draft, which here is meant; the checker still asks for it by name."""
    replay = read_replay("suzhou-corridor")
    before, after = facts_of(Case(replay)), facts_of(Case({**replay, "pools": replay["draft"]}))
    findings = check_rules(before, after)
    assert [one.subject for one in findings] == ["unit/r-1", "unit/r-2"]
    require_complete(findings, {"unit/r-1", "unit/r-2"})


class February:
    """A site of many small units: those that carry a block are listed by the new rules, the rest are not."""

    def __init__(self, replay: dict[str, Any]) -> None:
        self.units = [UnitId(f"u-{number:04}") for number in range(replay["let"])]
        self.lacking = frozenset(self.units[1000 : 1000 + replay["lacking"]])
        self.buildings = [NodeId(f"b-{number}") for number in range(replay["shadowed"]["buildings"] + 1)]
        self.shadowed = self.units[: replay["shadowed"]["units"]]

    def building(self, unit: UnitId) -> NodeId:
        """The building of a unit: the shadowed ones stand in the first three, all others in the last."""
        if unit in self.shadowed:
            return self.buildings[self.shadowed.index(unit) * 3 // len(self.shadowed)]
        return self.buildings[-1]

    @property
    def inputs(self) -> PeriodInputs:
        """One day of February."""
        calendar = SiteCalendar("Asia/Shanghai")
        period = calendar.period("2026-02-01--2026-02-01")
        slots = period.slot_count
        own = {unit: NodeId(f"n-{unit}") for unit in self.shadowed}
        nodes = [TreeNode(NodeId("light"), NodeKind.MAIN, (ParentSpan(0, slots, None),), 10_000)]
        nodes += [TreeNode(one, NodeKind.MAIN, (ParentSpan(0, slots, None),), 10_000) for one in self.buildings]
        nodes += [
            TreeNode(node, NodeKind.END, (ParentSpan(0, slots, self.building(unit)),), 10_000)
            for unit, node in own.items()
        ]
        energy = np.zeros((len(nodes), slots), np.int64)
        energy[0] = 2410
        return PeriodInputs(
            site=SiteId("chengdu"),
            label="2026-02-01--2026-02-01",
            calendar=SHANGHAI,
            period=Interval(period.start, period.end),
            site_hash=bytes(32),
            owner=OWNER,
            nodes=tuple(nodes),
            import_wh=energy,
            export_wh=np.zeros_like(energy),
            quality=np.zeros(energy.shape, np.uint8),
            exceptions=(),
            evidence=(),
            units=tuple(LettableUnit(unit, 500_000, own.get(unit)) for unit in self.units),
            occupancies=tuple(Occupancy(unit, PartyId(f"t-{unit}"), 0, slots) for unit in self.units),
        )

    def facts(self, units: Any) -> Facts:
        """The facts with the lighting shared over `units`."""
        inputs = self.inputs
        names = SiteNames(
            nodes=frozenset(node.id for node in inputs.nodes),
            units={unit.id: unit.node for unit in inputs.units},
            parties=frozenset({OWNER} | {one.party for one in inputs.occupancies}),
            owner=OWNER,
            currency="CNY",
        )
        season = {"months": list(range(1, 13)), "flat": ["00:00-24:00"]}
        version = {"id": "v-1", "from": "2026-01-01", "rates": {"flat": "1.00"}, "seasons": [season]}
        pool = {
            "id": "light",
            "names": {"zh": "照明", "en": "lighting"},
            "class": "must",
            "rule": "area",
            "path": ["light"],
            "units": units,
            "grain": "period",
            "measure": "import",
            "from": "2026-01-01",
        }
        document = {
            "tariff": {"format": 1, "currency": "CNY", "versions": [version]},
            "pools": {"format": 1, "pools": [pool]},
            "series": {},
        }
        return Facts(inputs, rules_from_document(document, names), names)


@pytest.fixture(scope="module")
def february() -> February:
    """The replay's site."""
    return February(read_replay("february-237"))


def test_a_field_that_237_records_lack_is_found_237_times_with_a_repair(february: February) -> None:
    records = {unit: {"block": None if unit in february.lacking else "b"} for unit in february.units}
    findings = check_records(records, {"block": "enter the block of the unit"}, "unit")
    assert len(findings) == 237
    assert {one.record for one in findings} == february.lacking
    assert findings[0].to_document() == {
        "subject": "unit/u-1000",
        "problem": "it has no block, so the rule passes it by",
        "mend": "enter the block of the unit",
    }


def test_rules_that_pass_237_let_units_by_are_refused_with_237_findings(february: February) -> None:
    in_force, draft = february.facts("all"), february.facts([u for u in february.units if u not in february.lacking])
    findings = check_rules(in_force, draft)
    with pytest.raises(RecordsMissed, match="237 records would be missed") as caught:
        require_complete(findings, ())
    assert {one.record for one in caught.value.findings} == february.lacking
    with pytest.raises(RecordsMissed, match="1 records would be missed"):
        require_complete(findings, [one.subject for one in findings[1:]])
    require_complete(findings, [one.subject for one in findings])


def test_a_shadow_on_42_units_in_3_buildings_sees_only_those_and_sends_nothing(february: February) -> None:
    in_force, draft = february.facts("all"), february.facts([u for u in february.units if u not in february.lacking])
    [seen] = shadow([(in_force, draft)], Scope(nodes=frozenset(february.buildings[:-1])))
    assert seen.diff is not None
    assert {line.unit for line in seen.diff.lines} == set(february.shadowed)
    assert len(seen.diff.parties) == 42
    assert len(seen.findings) == 237
    assert totals([seen]) == seen.diff.parties


def test_repaired_rules_charge_each_of_the_237_exactly_once(february: February) -> None:
    in_force = february.facts("all")
    repaired = february.facts(sorted(february.units))
    assert check_rules(in_force, repaired) == ()
    run = close_period(repaired.inputs, repaired.rules)
    charged = [line.unit for line in run.lines if line.unit in february.lacking]
    assert len(charged) == len(set(charged)) == 237
    assert replace(run, id="") == replace(
        close_period(in_force.inputs, in_force.rules), id="", rules_hash=run.rules_hash
    )


def test_every_replay_says_why_it_is_there() -> None:
    for folder in sorted(HERE.glob("*/replay.toml")):
        assert len(read_replay(folder.parent.name)["why"].split()) > 40
