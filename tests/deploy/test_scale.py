"""docs/scale.md: computed from the measured pages, and its arithmetic checked by hand."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from tests.doubles.deployment import ROOT


def loaded() -> ModuleType:
    """scripts/scale.py, which is no package."""
    spec = importlib.util.spec_from_file_location("scale", ROOT / "scripts/scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scale = loaded()
ROUND = scale.Measured(
    rate=100_000,
    intake=4e-6,
    postgres=3e-6,
    wire=4_000,
    message=50e-6,
    connect=1e-3,
    idle=20_000,
    hot=250,
    columns=40,
    envelope=5_000,
    ledger=300,
    settled=2_000,
    wal=300,
    close=1.5e-3,
    settle=None,
)


def test_the_page_is_what_the_measurements_say() -> None:
    """Red after a new measurement: `make scale`."""
    assert scale.page_of(scale.measured()) == (ROOT / "docs/scale.md").read_text(encoding="utf-8")


def test_a_page_of_other_numbers_is_another() -> None:
    assert scale.page_of(ROUND) != scale.page_of(replace(ROUND, hot=300))


def test_the_arithmetic_of_900_000_meters_by_hand() -> None:
    """900,000 meters are 9,375 gateways, 1,000 readings and 10.4 envelopes a second, and 13 times that to catch up."""
    load = scale.Load(900_000, ROUND)
    assert (load.gateways, load.readings_s) == (9375, 1000)
    assert load.envelopes_s == pytest.approx(10.4167, abs=1e-4)
    assert load.intake_cores == pytest.approx(1000 * 13 * 4e-6 / 0.5)
    assert load.postgres_cores == pytest.approx(0.078)
    assert load.broker_cores == pytest.approx(10.4167 * 13 * 50e-6 * 2, rel=1e-4)
    assert load.reconnect_cores == pytest.approx(9375 / 60 * 1e-3 * 2)
    assert load.broker_memory == 187_500_000
    assert load.network == pytest.approx(41_666.7, abs=0.1)
    assert load.wal_s == pytest.approx(3_900_000)
    hot, columns, envelopes, ledger, settled = load.disk
    assert hot == 900_000 * 96 * 21 * 250
    assert columns == 900_000 * 96 * 1075 * 40
    assert envelopes == 900_000 * 1096 * 5_000
    assert ledger == 900_000 * 1096 * 300
    assert settled == 900_000 * 1096 * 2_000
    assert load.disk_all == hot + columns + envelopes + ledger + settled
    assert load.restore_h == pytest.approx(load.disk_all / 200e6 / 3600)
    assert load.close_machines == pytest.approx(900_000 * 1.5e-3 / 21_600)


def test_settlement_is_reckoned_once_it_was_measured() -> None:
    assert "| settlement of a day, on one core | meters × CPU of a meter-day | not measured yet |" in scale.page_of(
        ROUND
    )
    measured = replace(ROUND, settle=72e-6)
    assert scale.Load(1_000_000, measured).settle_h == pytest.approx(0.02)
    assert "| 0.020 h | 2.0 h |" in scale.page_of(measured)


def test_every_cost_grows_with_the_meters_alone() -> None:
    one, hundred = scale.Load(10_000, ROUND), scale.Load(1_000_000, ROUND)
    for name in ("gateways", "intake_cores", "postgres_cores", "broker_cores", "broker_memory", "network", "disk_all"):
        assert getattr(hundred, name) == pytest.approx(100 * getattr(one, name))


def test_where_a_cell_ends_is_where_its_load_is_what_there_is() -> None:
    for what, _, meters in scale.limits(ROUND):
        load = scale.Load(1, ROUND)
        used = {
            "catching up": load.readings_s * 13 * meters / ROUND.rate
            if "database" in what
            else load.envelopes_s * 13 * meters * ROUND.message / 0.5,
            "back within": load.gateways * meters / 60 * ROUND.connect / 0.5,
            "disk of": load.disk_all * meters / scale.DISK,
            "restored": load.restore_h * meters / scale.RESTORE_H,
            "closed": load.close_machines * meters / (scale.CORES / 2),
        }
        (share,) = [one for name, one in used.items() if name in what]
        assert share == pytest.approx(1)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.01234, "0.012"),
        (4.567, "4.6"),
        (45.67, "46"),
        (1111, "1,100"),
        (99_999, "100,000"),
        (0.999, "1.00"),
    ],
)
def test_numbers_are_shown_with_two_digits(number: float, text: str) -> None:
    assert scale.shown(number) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(4_000, "4.0 kB"), (7.25e9, "7.2 GB"), (1.46e12, "1.5 TB"), (2.2e15, "2.2 PB"), (12, "12 octets")],
)
def test_sizes_are_shown_in_the_unit_that_fits(size: float, text: str) -> None:
    assert scale.octets(size) == text


def test_what_a_cell_asks_more_of_than_assumed_is_said() -> None:
    page = scale.page_of(replace(ROUND, envelope=50_000))
    assert "What that asks more of than was assumed: restored within 12 h" in page
    assert "asks more of" not in scale.page_of(replace(ROUND, envelope=500, settled=200))


def test_a_measured_page_that_lost_its_row_is_refused() -> None:
    with pytest.raises(scale.PageUnreadable, match="no row with 'nothing'"):
        scale.numbers("performance.md", "nothing")
    with pytest.raises(scale.PageUnreadable, match="says nothing like"):
        scale.told("performance.md", r"nothing (\d+) like that")
