"""Charges, tiers and other media explained in both languages, and a node of another medium as inputs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from allocation_engine.costs import CostStep
from allocation_engine.intervals import SlotQuality
from allocation_engine.media import Medium, show_amount
from allocation_engine.run import ChargeTrace, Line, LineKind, MeteredTrace
from allocation_engine.statement_content import StatementContent
from allocation_engine.tiers import TierLimits, TierPiece, Tiers, TierSpan
from allocation_engine.verification import verify_bundle
from device_profiles.catalogue import Catalogue
from ingest.explanation import Explanation
from ingest.metering_points import MeteringPoint, metering_points
from ingest.period_inputs import node_media, period_inputs
from ingest.store.settled import SettledDay
from metering.envelope import Algorithm
from metering.identity import NodeId
from metering.obis import HEAT_ENERGY, WATER_VOLUME
from provisioning.keys import public_verifier
from provisioning.site import NodeKind
from provisioning.site_file import read_site
from tests.doubles.memory_centre import bundle_of
from tests.doubles.park_books import CENTRE, PARK


@pytest.fixture(scope="module")
def content() -> StatementContent:
    """The proven statement of a tenant of the park."""
    keys = {CENTRE.key_id: public_verifier(Algorithm.EDDSA, CENTRE.public_key)}
    found = verify_bundle(bundle_of("t-01"), keys, public_verifier).content
    assert found is not None
    return found


def explain(content: StatementContent, line: Line, language: str) -> list[str]:
    """The texts of every step."""
    return [step.text for step in Explanation(content, language, all_spans=False).steps(line)]


STEP = CostStep("standing charge 2026-07", 1000, "month", 12_000_000, (1, 4), "occupied part of the month")


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "en",
            [
                "This line is the sum of these steps.",
                "standing charge 2026-07: 1.00 month x 12.00 CNY/month x 1/4 = 3.00 (occupied part of the month)",
                "sum 3.00, rounded once = 3.00 CNY",
            ],
        ),
        (
            "zh",
            [
                "本行由下列各项相加得出。",
                "standing charge 2026-07：1.00 month × 12.00 CNY/month × 1/4 = 3.00（occupied part of the month）",
                "合计 3.00，四舍五入一次 = 3.00 CNY",
            ],
        ),
    ],
)
def test_a_charge_is_explained_step_by_step(content: StatementContent, language: str, told: list[str]) -> None:
    own = content.lines[0]
    line = replace(own, kind=LineKind.CHARGE, amount_minor=300, trace=ChargeTrace((STEP,), ()))
    assert explain(content, line, language) == told


def test_tiers_are_explained_with_where_the_party_stood(content: StatementContent) -> None:
    own = next(line for line in content.lines if isinstance(line.trace, MeteredTrace))
    assert isinstance(own.trace, MeteredTrace)
    tiers = Tiers(TierSpan.YEAR, TierLimits.WHOLE, (2_760_000,), (0, 50_000))
    piece = TierPiece(content.bands[0].version, tiers, 0, 96, date(2026, 1, 1), 2_500_000, 300_000, (1, 1))
    found = explain(content, replace(own, trace=replace(own.trace, tiers=(piece,))), "en")
    assert "tiers: 2500.000 kWh counted since 2026-01-01 before this, 300.000 kWh here" in found
    assert any(text.startswith("tier 2 of") and "40.00 kWh x 0.05 CNY/kWh x 1 = 2.00" in text for text in found)


def test_the_steps_of_a_shared_charge_are_explained(content: StatementContent) -> None:
    shared = next(line for line in content.lines if line.kind is LineKind.SHARE)
    pools = tuple(replace(pool, steps=(STEP,), charge="basic") for pool in content.pools)
    assert any(
        text.startswith("standing charge 2026-07") for text in explain(replace(content, pools=pools), shared, "en")
    )


@pytest.mark.parametrize(
    ("amount", "medium", "shown"),
    [
        (1234, Medium.ELECTRICITY, "1.234 kWh"),
        (24_000_000, Medium.WATER, "24.000 m3"),
        (1, Medium.GAS, "0.000001 m3"),
        (-8_640_000, Medium.HEAT, "-8.640 GJ"),
    ],
)
def test_amounts_are_shown_in_the_unit_people_know(amount: int, medium: Medium, shown: str) -> None:
    assert show_amount(amount, medium) == shown


def test_a_water_meter_makes_its_node_one_of_water() -> None:
    park = read_site(PARK)
    node = NodeId("u-a101")
    own_supply = {one.id: replace(one, kind=NodeKind.MAIN, placements=()) for one in park.nodes if one.id == node}
    site = replace(park, nodes=tuple(own_supply.get(one.id, one) for one in park.nodes))
    points = tuple(point for point in metering_points(site, Catalogue.shipped()) if point.node != node)
    points += (MeteringPoint(node, WATER_VOLUME, ()),)
    assert node_media(points)[node] is Medium.WATER
    settled = SettledDay(node, WATER_VOLUME, date(2026, 7, 1), (250_000,) * 96, (0,) * 96, ())
    inputs = period_inputs(site, "2026-07", points, [settled], ())
    row = inputs.row(node)
    assert inputs.nodes[row].medium is Medium.WATER
    assert inputs.import_wh[row, :96].tolist() == [250_000] * 96
    assert set(inputs.quality[row, :96]) == {SlotQuality.MEASURED}
    assert set(inputs.quality[row, 96:]) == {SlotQuality.MISSING}


def test_every_medium_has_its_own_register() -> None:
    assert len({medium.register for medium in Medium}) == 4
    assert Medium.HEAT.register == HEAT_ENERGY
    assert [medium.base_unit for medium in Medium] == ["Wh", "mL", "mL", "kJ"]
