"""A site and its settled days as the inputs of a period: slots, spans, what is missing, what has no meter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from allocation_engine.errors import InputsInvalid
from allocation_engine.intervals import Reason, SlotException, SlotQuality
from device_profiles.catalogue import Catalogue
from ingest.console.words import Language
from ingest.engine_words import engine_word
from ingest.metering_points import MeteringPoint, StoredReading, decode, metering_points, register_places
from ingest.period_inputs import period_inputs, site_names
from ingest.store.settled import SettledDay
from metering.identity import MeterId, NodeId, PartyId, UnitId
from metering.interval import SLOT
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.reading import MeterReading, ReadQuality
from provisioning.site import Site
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
CATALOGUE = Catalogue.shipped()
JULY = "2026-07"
NODE = NodeId("u-a101")


@pytest.fixture(scope="module")
def site() -> Site:
    """The example park."""
    return read_site(PARK)


@pytest.fixture(scope="module")
def points(site: Site) -> tuple[MeteringPoint, ...]:
    """What its meters count."""
    return metering_points(site, CATALOGUE)


def day(node: str, number: int, energy_wh: int, quality: SlotQuality = SlotQuality.MEASURED) -> SettledDay:
    return SettledDay(NodeId(node), ENERGY_IMPORT, date(2026, 7, number), (energy_wh,) * 96, (int(quality),) * 96, ())


def test_only_what_the_billing_group_counts_is_settled(site: Site) -> None:
    """Some EM24 answer an exception for export: it is shown where it comes, and no slot waits for it."""
    meters = tuple(replace(one, profile="carlo-gavazzi/em24") if one.node == NODE else one for one in site.meters)
    asked = metering_points(replace(site, meters=meters), CATALOGUE, [NODE])
    assert [one.obis for one in asked] == [ENERGY_IMPORT]
    assert [one.obis for one in metering_points(site, CATALOGUE, [NODE])] == [ENERGY_IMPORT, ENERGY_EXPORT]


def test_settled_days_lie_in_their_slots_and_everything_else_is_missing(
    site: Site, points: tuple[MeteringPoint, ...]
) -> None:
    inputs = period_inputs(site, JULY, points, [day(NODE, 2, 7)], ())
    row = inputs.row(NODE)
    assert inputs.import_wh.sum() == inputs.import_wh[row, 96:192].sum() == 7 * 96
    assert set(inputs.quality[row, :96]) == {SlotQuality.MISSING}
    # Export was not settled, so the slots of July 2 are only as good as that.
    assert set(inputs.quality[row, 96:192]) == {SlotQuality.MISSING}


def test_the_quality_of_a_slot_is_the_worse_of_import_and_export(site: Site, points: tuple[MeteringPoint, ...]) -> None:
    days = [
        day(NODE, 1, 7, SlotQuality.ESTIMATED),
        SettledDay(NODE, ENERGY_EXPORT, date(2026, 7, 1), (0,) * 96, (int(SlotQuality.MEASURED),) * 96, ()),
    ]
    inputs = period_inputs(site, JULY, points, days, ())
    assert set(inputs.quality[inputs.row(NODE), :96]) == {SlotQuality.ESTIMATED}


def test_a_node_whose_meters_do_not_count_export_exports_nothing(site: Site) -> None:
    points = [point for point in metering_points(site, CATALOGUE) if point.obis == ENERGY_IMPORT]
    inputs = period_inputs(site, JULY, points, [day(NODE, 1, 7)], ())
    assert set(inputs.quality[inputs.row(NODE), :96]) == {SlotQuality.MEASURED}
    assert not inputs.export_wh.any()


def test_a_node_without_any_meter_is_missing_not_zero(site: Site) -> None:
    inputs = period_inputs(site, JULY, [], [], ())
    assert np.all(inputs.quality == SlotQuality.MISSING)


def test_days_outside_the_period_are_left_out(site: Site, points: tuple[MeteringPoint, ...]) -> None:
    inputs = period_inputs(site, "2026-07-02--2026-07-03", points, [day(NODE, 1, 7), day(NODE, 4, 9)], ())
    assert inputs.slot_count == 192
    assert not inputs.import_wh.any()


def test_an_exception_over_midnight_is_taken_once_and_one_of_last_month_not_at_all(
    site: Site, points: tuple[MeteringPoint, ...]
) -> None:
    start = site.calendar.period(JULY).start

    def exception(first: int, last: int) -> SlotException:
        return SlotException(
            SlotQuality.ESTIMATED, Reason.GAP, start + first * SLOT, start + last * SLOT, 1, "two registers"
        )

    over, before, at_start = exception(90, 100), exception(-9, 0), exception(0, 0)
    days = [
        SettledDay(NODE, ENERGY_IMPORT, date(2026, 7, number), (0,) * 96, (0,) * 96, exceptions)
        for number, exceptions in ((1, (over, before, at_start)), (2, (over,)))
    ]
    inputs = period_inputs(site, JULY, points, days, ())
    assert inputs.exceptions == ((NODE, at_start), (NODE, over))


def test_an_exception_of_energy_given_back_says_so_and_stands_beside_that_of_energy_taken(
    site: Site, points: tuple[MeteringPoint, ...]
) -> None:
    start = site.calendar.period(JULY).start
    gap = SlotException(SlotQuality.ESTIMATED, Reason.GAP, start, start + 4 * SLOT, 1, "m-1 read 3 Wh")
    days = [
        SettledDay(NODE, obis, date(2026, 7, 1), (0,) * 96, (0,) * 96, (gap,))
        for obis in (ENERGY_IMPORT, ENERGY_EXPORT)
    ]
    told = [one.basis for _, one in period_inputs(site, JULY, points, days, ()).exceptions]
    assert told == ["energy given back: m-1 read 3 Wh", "m-1 read 3 Wh"]
    assert engine_word(told[0], Language.ZH) == "上网电量：m-1 read 3 Wh"


def test_every_slot_of_every_unit_has_an_occupant_and_a_handover_splits_at_its_slot(
    site: Site, points: tuple[MeteringPoint, ...]
) -> None:
    inputs = period_inputs(site, JULY, points, [], ())
    occupants = inputs.occupancies_of(UnitId("a202"))
    handover = (datetime(2026, 7, 17, 6, tzinfo=UTC) - inputs.period.start) // SLOT
    assert [(one.party, one.first, one.end) for one in occupants] == [
        ("t-04", 0, handover),
        ("t-05", handover, 2976),
    ]
    assert [one.party for one in inputs.occupancies_of(UnitId("b202"))] == [site.owner.id]


def test_a_handover_off_the_quarter_hour_is_refused(site: Site, points: tuple[MeteringPoint, ...]) -> None:
    document = site.to_document()
    lease = next(lease for lease in document["leases"] if lease["party"] == "t-05")
    lease["span"]["start"] = "2026-07-17T06:07:00Z"
    with pytest.raises(InputsInvalid, match="quarter hour"):
        period_inputs(Site.from_document(document), JULY, points, [], ())


def test_a_node_that_moves_has_a_parent_per_span(site: Site, points: tuple[MeteringPoint, ...]) -> None:
    document = site.to_document()
    node = next(node for node in document["nodes"] if node["id"] == "u-a101")
    moved_at = "2026-07-10T16:00:00Z"
    node["placements"] = [
        {"parent": "bldg-a", "span": {"start": None, "end": moved_at}},
        {"parent": "bldg-b", "span": {"start": moved_at, "end": None}},
    ]
    inputs = period_inputs(Site.from_document(document), JULY, points, [], ())
    parents = inputs.nodes[inputs.row(NODE)].parents
    assert [(one.parent, one.first, one.end) for one in parents] == [("bldg-a", 0, 960), ("bldg-b", 960, 2976)]


def test_a_month_with_a_clock_change_has_its_own_number_of_slots(site: Site) -> None:
    document = site.to_document() | {"calendar": {"zone": "Europe/Berlin"}}
    berlin = Site.from_document(document)
    assert period_inputs(berlin, "2026-03", [], [], ()).slot_count == 31 * 96 - 4
    assert period_inputs(berlin, "2026-10", [], [], ()).slot_count == 31 * 96 + 4


def test_rules_may_speak_of_every_id_of_the_site(site: Site) -> None:
    names = site_names(site)
    assert names.units[UnitId("a101")] == "u-a101"
    assert {"owner", "t-01"} <= names.parties
    assert names.owner == PartyId("owner")


def test_an_exchange_makes_two_epochs_joined_by_its_declared_registers(points: tuple[MeteringPoint, ...]) -> None:
    point = next(point for point in points if (point.node, point.obis) == ("u-a102", ENERGY_IMPORT))
    old, new = point.installations
    assert (old.meter, new.meter) == ("m-u-a102", "m-u-a102-2")
    assert old.end == new.start
    assert (old.final_wh, new.initial_wh) == (18_342_670, 120)
    assert (old.initial_wh, new.final_wh) == (None, None)


def test_transformer_ratios_count_only_for_registers_behind_them(points: tuple[MeteringPoint, ...]) -> None:
    multipliers = {point.node: point.installations[0].multiplier for point in points}
    assert (multipliers[NodeId("bldg-a")], multipliers[NodeId("bldg-b")]) == (40, 20)
    assert multipliers[NodeId("main")] == 1


def test_readings_that_cannot_bound_a_slot_are_left_out() -> None:
    profile = CATALOGUE.by_id("dlt645/three-phase")
    group = profile.group("billing")
    mark = datetime(2026, 7, 1, tzinfo=UTC)

    def stored(
        quality: ReadQuality, number: int | None, *, at: datetime | None = mark, profile_hash: bytes = profile.hash
    ) -> StoredReading:
        mantissas = () if quality is ReadQuality.NO_ANSWER else (number,) * len(group.channels)
        reading = MeterReading(
            MeterId("m"), profile_hash, group.index, mark, mark + timedelta(seconds=1), quality, mantissas
        )
        return StoredReading(reading, at, None)

    readings = [
        stored(ReadQuality.NO_ANSWER, None),
        stored(ReadQuality.LATE, 5),
        stored(ReadQuality.MEASURED, None),
        stored(ReadQuality.MEASURED, 5, at=None),
        stored(ReadQuality.MEASURED, -1),
        stored(ReadQuality.MEASURED, 5, profile_hash=bytes(32)),
        stored(ReadQuality.MEASURED, 7),
    ]
    registers = decode(readings, CATALOGUE)
    step = group.channels[0].shown(1).to_base()
    assert [reading.register_wh for reading in registers[ENERGY_IMPORT]] == [7 * step]


def test_registers_are_found_where_each_profile_keeps_them() -> None:
    for place in register_places(CATALOGUE, ENERGY_IMPORT):
        profile = CATALOGUE.by_hash(place.profile_hash)
        assert profile.groups[place.group].channels[place.position].obis == ENERGY_IMPORT
    counting = {
        profile.hash
        for profile in CATALOGUE.profiles
        if any(channel.obis == ENERGY_IMPORT for group in profile.groups for channel in group.channels)
    }
    assert {place.profile_hash for place in register_places(CATALOGUE, ENERGY_IMPORT)} == counting
