from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.demo.loads import (
    LoadMissing,
    Loss,
    Shape,
    ShapedLoad,
    energy_of,
    node_powers,
    noise,
    shaped_power,
)
from metering.identity import NodeId
from metering.interval import SiteCalendar

SHANGHAI = SiteCalendar("Asia/Shanghai")
JULY = SHANGHAI.month("2026-07")
RAMP = Shape(workday=tuple(range(0, 960, 40)), restday=(100,) * 24)

MAIN, SHOP, SOLAR = NodeId("main"), NodeId("shop"), NodeId("solar")
MASK = 2**64 - 1


def splitmix64(key: int, slot: int) -> int:
    """The published generator, in plain integers: the exact twin."""
    state = (key + (slot + 1) * 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_noise_is_splitmix64_in_counter_form() -> None:
    key = int.from_bytes(hashlib.sha256(b"7/shop").digest()[:8], "big")
    expected = [splitmix64(key, slot) % 161 - 80 for slot in range(500)]
    assert noise(seed=7, node="shop", count=500, bound=80).tolist() == expected


def test_splitmix64_gives_the_published_numbers() -> None:
    # First outputs of the reference implementation for seed 1234567.
    assert [splitmix64(1234567, slot) for slot in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_noise_stays_in_its_bound_and_fills_it() -> None:
    drawn = noise(seed=1, node="shop", count=2976, bound=3)
    assert set(drawn.tolist()) == {-3, -2, -1, 0, 1, 2, 3}


def test_a_bound_of_zero_is_silence() -> None:
    assert not noise(seed=1, node="shop", count=96, bound=0).any()


def test_a_shape_runs_straight_between_the_full_hours_and_wraps_at_midnight() -> None:
    wednesday = datetime(2026, 7, 1, tzinfo=SHANGHAI.tz)
    assert [RAMP.per_mille(wednesday.replace(hour=1, minute=m)) for m in (0, 15, 30, 45)] == [40, 50, 60, 70]
    assert RAMP.per_mille(wednesday.replace(hour=23, minute=45)) == 920 // 4


def test_weekends_follow_their_own_course() -> None:
    assert RAMP.per_mille(datetime(2026, 7, 4, 12, tzinfo=SHANGHAI.tz)) == 100


def test_power_is_the_peak_times_the_shape_in_local_time() -> None:
    power = shaped_power(ShapedLoad(10_000, RAMP, 0), node="shop", seed=1, period=JULY, calendar=SHANGHAI)
    assert power.dtype == np.int64
    assert power.shape == (2976,)
    assert power[48] == 4_800  # 12:00 of Wednesday 1 July


def test_a_node_with_children_shows_their_sum_and_the_loss() -> None:
    own = {SHOP: np.array([1000, 2000]), SOLAR: np.array([-3000, 0])}
    powers = node_powers(own, {MAIN: None, SHOP: MAIN, SOLAR: MAIN}, {MAIN: Loss(flow_per_mille=10, standing_w=5)})
    assert powers[MAIN].tolist() == [-2000 + 20 + 5, 2000 + 20 + 5]


def test_a_node_with_its_own_load_shows_that_and_not_its_children() -> None:
    own = {MAIN: np.array([900]), SHOP: np.array([1000])}
    assert node_powers(own, {SHOP: MAIN, MAIN: None}, {})[MAIN].tolist() == [900]


def test_a_node_with_neither_load_nor_children_is_refused() -> None:
    with pytest.raises(LoadMissing, match="shop"):
        node_powers({}, {MAIN: None, SHOP: MAIN}, {})


def test_energy_is_the_running_sum_rounded_once_and_import_and_export_are_apart() -> None:
    energy = energy_of(np.array([3, 3, -2, 3, -2]))
    assert energy.import_wh.tolist() == [0, 0, 1, 1, 2, 2]
    assert energy.export_wh.tolist() == [0, 0, 0, 0, 0, 1]


def test_the_period_begins_at_local_midnight() -> None:
    assert JULY.start == datetime(2026, 6, 30, 16, tzinfo=UTC)
