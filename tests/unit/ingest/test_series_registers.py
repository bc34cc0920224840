"""What meters showed as series: rollover, exchange, gaps, transformers; nothing guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import ChannelKind
from ingest.metering_points import RegisterPlace, register_places
from ingest.series.forms import shown_unit
from ingest.series.quality import PointQuality
from ingest.series.registers import ByMeter, advances, gauges, quantities
from ingest.store.series import Standings
from metering.obis import Obis
from metering.quantity import QuantityNotExact
from provisioning.site import Meter, Span
from tests.doubles.series_books import CT, MODULUS, PROFILE, STEP_WH, site_in

CATALOGUE = Catalogue.shipped()
IMPORT, VOLTS, AMPERES = (Obis.parse(one) for one in ("1-0:1.8.0", "1-0:32.7.0", "1-0:31.7.0"))
EDGES = np.arange(0, 5 * 900, 900)
MEASURED, ROLLOVER, MISSING, HELD, UNSETTLED = (
    int(PointQuality[name]) for name in ("MEASURED", "ROLLOVER", "MISSING", "HELD", "UNSETTLED")
)


def place_of(obis: Obis) -> RegisterPlace:
    own = CATALOGUE.by_id(PROFILE).hash
    return next(one for one in register_places(CATALOGUE, obis) if one.profile_hash == own)


def showing(*pairs: tuple[int, int], obis: Obis = IMPORT) -> Standings:
    at, mantissas = zip(*pairs, strict=True)
    return Standings(place_of(obis), np.array(at), np.array(mantissas))


def fitted(start: int | None = None, end: int | None = None) -> Meter:
    edges = (None if one is None else datetime.fromtimestamp(one, UTC) for one in (start, end))
    return replace(site_in("Asia/Shanghai").meters[0], span=Span(*edges))


def advanced(*shown: tuple[Meter, tuple[Standings, ...]]) -> list[int | str]:
    by_meter: ByMeter = shown
    amounts, quality = advances(CATALOGUE, EDGES, by_meter)
    return [
        amount if one < MISSING else PointQuality(one).name
        for amount, one in zip(amounts.tolist(), quality.tolist(), strict=True)
    ]


def test_a_counter_advances_behind_its_transformers() -> None:
    shown = showing((0, 5), (900, 7), (1800, 7), (2700, 100), (3600, 101))
    assert advanced((fitted(), (shown,))) == [2 * STEP_WH, 0, 93 * STEP_WH, STEP_WH]


def test_the_order_of_readings_and_two_alike_of_one_instant_change_nothing() -> None:
    shown = showing((3600, 101), (900, 7), (900, 7), (0, 5), (2700, 100), (1800, 7))
    assert advanced((fitted(), (shown,))) == [2 * STEP_WH, 0, 93 * STEP_WH, STEP_WH]


def test_between_edges_that_were_not_both_read_there_is_a_gap() -> None:
    shown = showing((0, 5), (1800, 7), (1805, 8), (2700, 9), (3600, 10))
    assert advanced((fitted(), (shown,))) == ["MISSING", "MISSING", 2 * STEP_WH, STEP_WH]


def test_a_register_that_fell_is_held_unless_it_rolled_over() -> None:
    shown = showing((0, MODULUS - 1), (900, 4), (1800, 3), (2700, 3), (3600, 4))
    amounts, quality = advances(CATALOGUE, EDGES, [(fitted(), (shown,))])
    assert amounts.tolist()[0] == 5 * STEP_WH
    assert quality.tolist() == [ROLLOVER, HELD, MEASURED, MEASURED]


def test_a_slot_in_which_the_meter_was_exchanged_is_left_open() -> None:
    old = showing((0, 5), (900, 7), (1800, 9))
    new = showing((1800, 0), (2700, 3), (3600, 4))
    shown = advanced((fitted(None, 1000), (old,)), (fitted(1000), (new,)))
    assert shown == [2 * STEP_WH, "UNSETTLED", 3 * STEP_WH, STEP_WH]


def test_an_exchange_at_an_edge_leaves_no_gap() -> None:
    old, new = showing((0, 5), (900, 7), (1800, 9)), showing((1800, 0), (2700, 3), (3600, 4))
    shown = advanced((fitted(None, 1800), (old,)), (fitted(1800), (new,)))
    assert shown == [2 * STEP_WH, 2 * STEP_WH, 3 * STEP_WH, STEP_WH]


def test_readings_of_one_instant_that_differ_and_those_out_of_range_are_held() -> None:
    shown = showing((0, 5), (900, 7), (900, 8), (1800, 9), (2700, MODULUS), (3600, 12))
    assert advanced((fitted(), (shown,))) == ["HELD", "HELD", "HELD", "HELD"]


def test_a_gauge_shows_its_moment_and_voltage_is_not_multiplied_by_the_ampere_ratio() -> None:
    volts = showing((0, 2301), (900, 2299), (2700, 2310), obis=VOLTS)
    amounts, quality = gauges(CATALOGUE, EDGES[:-1], [(fitted(), (volts,))])
    assert amounts[quality == MEASURED].tolist() == [230_100, 229_900, 231_000]
    assert quality.tolist() == [MEASURED, MEASURED, MISSING, MEASURED]
    amperes = showing((0, -1500), obis=AMPERES)
    assert gauges(CATALOGUE, EDGES[:1], [(fitted(), (amperes,))])[0].tolist() == [-1500 * CT]


def test_without_a_meter_nothing_is_known() -> None:
    amounts, quality = advances(CATALOGUE, EDGES, [])
    assert quality.tolist() == [UNSETTLED] * 4
    assert not amounts.any()
    assert advanced((fitted(), ())) == ["MISSING"] * 4


def test_quantities_are_what_the_models_know_each_once() -> None:
    meters = (fitted(), fitted())
    found = {str(one.obis): one for one in quantities(CATALOGUE, meters)}
    assert (found["1-0:1.8.0"].unit, found["1-0:1.8.0"].kind) == ("Wh", ChannelKind.COUNTER)
    assert (found["1-0:32.7.0"].unit, found["1-0:32.7.0"].kind) == ("mV", ChannelKind.GAUGE)
    assert len(found) == len(quantities(CATALOGUE, meters))


def test_a_clock_and_the_bits_of_a_state_are_no_quantities() -> None:
    profile = CATALOGUE.by_id("dlt645/three-phase-full")
    kinds = {channel.kind for group in profile.groups for channel in group.channels}
    assert kinds == set(ChannelKind)
    shown = {one.kind for one in quantities(CATALOGUE, (replace(fitted(), profile=profile.id),))}
    assert shown == {ChannelKind.COUNTER, ChannelKind.GAUGE}


@pytest.mark.parametrize("model", [profile.id for profile in CATALOGUE.profiles])
def test_every_channel_of_every_model_is_whole_in_its_decimals_and_has_a_unit_people_read(model: str) -> None:
    meter = replace(fitted(), profile=model)
    for one in quantities(CATALOGUE, (meter,)):
        assert shown_unit(one)[1] >= 3 or one.unit == "s"
        profile = CATALOGUE.by_id(model)
        groups = {group.index: group.channels for group in profile.groups}
        places = [place for place in register_places(CATALOGUE, one.obis) if place.profile_hash == profile.hash]
        for place in places:
            channel = groups[place.group][place.position]
            low, high = channel.limits
            mantissa = min(max(3, low), high)
            register = Standings(place, EDGES[:1], np.array([mantissa]))
            amounts, quality = gauges(CATALOGUE, EDGES[:1], [(replace(meter, ct=1, pt=1), (register,))], one.decimals)
            exact = mantissa * Fraction(10) ** channel.exponent * channel.unit.factor
            assert quality.tolist() == [MEASURED]
            assert Fraction(amounts.tolist()[0], 10**one.decimals) == exact


def test_a_register_kept_finer_than_asked_is_refused_not_cut() -> None:
    fine = next(
        (one, meter)
        for meter in (replace(fitted(), profile=profile.id) for profile in CATALOGUE.profiles)
        for one in quantities(CATALOGUE, (meter,))
        if one.decimals
    )
    place = next(
        one
        for one in register_places(CATALOGUE, fine[0].obis)
        if one.profile_hash == CATALOGUE.by_id(fine[1].profile).hash
    )
    register = Standings(place, EDGES[:1], np.array([3]))
    with pytest.raises(QuantityNotExact, match="finer"):
        gauges(CATALOGUE, EDGES[:1], [(fine[1], (register,))], 0)
