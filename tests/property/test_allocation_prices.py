"""Laws of prices: tiers add up over time, powers compare exactly, taxes split, and nothing depends on order."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.calendar_days import HOLIDAY, WEEKEND, WORKDAY, HolidayCalendar, plain_kinds
from allocation_engine.costs import CostStep
from allocation_engine.media import Medium, show_amount
from allocation_engine.power_factor import power_factor_hundredths
from allocation_engine.tariff import Band, Season, matching_seasons
from allocation_engine.taxes import contained
from allocation_engine.tiers import TierLimits, TierPiece, Tiers, TierSpan

AMOUNTS = st.integers(min_value=0, max_value=10**13)
PARTS = st.fractions(min_value=0, max_value=1, max_denominator=3000)


@st.composite
def tiers(draw: st.DrawFn) -> Tiers:
    """Up to five steps with rising limits."""
    limits = sorted(draw(st.sets(st.integers(min_value=1, max_value=10**13), max_size=4)))
    adds = draw(st.lists(st.integers(-(10**7), 10**7), min_size=len(limits) + 1, max_size=len(limits) + 1))
    return Tiers(TierSpan.YEAR, TierLimits.WHOLE, tuple(limits), tuple(adds))


@given(tiers(), AMOUNTS, st.integers(-(10**13), 10**13), PARTS)
def test_steps_add_up_to_the_amount(some: Tiers, before: int, amount: int, part: Fraction) -> None:
    assert sum(some.split(before, amount, part)) == amount


@given(tiers(), AMOUNTS, AMOUNTS, AMOUNTS, PARTS)
def test_two_periods_split_as_one_does(some: Tiers, before: int, first: int, second: int, part: Fraction) -> None:
    apart = zip(some.split(before, first, part), some.split(before + first, second, part), strict=True)
    assert tuple(a + b for a, b in apart) == some.split(before, first + second, part)


@given(tiers(), AMOUNTS, AMOUNTS, PARTS)
def test_no_step_takes_more_than_its_width(some: Tiers, before: int, amount: int, part: Fraction) -> None:
    limits = [0, *(limit * part.numerator // part.denominator for limit in some.upto)]
    for split, low, high in zip(some.split(before, amount, part), limits, [*limits[1:], 2**63], strict=True):
        assert 0 <= split <= high - low


@given(tiers(), AMOUNTS, AMOUNTS)
def test_the_surcharge_is_the_slow_sum_over_steps(some: Tiers, before: int, amount: int) -> None:
    piece = TierPiece("v-1", some, 0, 1, date(2026, 1, 1), before, amount, (1, 1))
    exact = Fraction(0)
    low = 0
    for high, add in zip([*some.upto, 10**30], some.adds, strict=True):
        exact += max(0, min(before + amount, high) - max(before, low)) * add
        low = high
    assert sum(step.cost_nano for step in piece.steps("kWh", Fraction(1000))) == exact


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_power_factor_lies_within_half_a_hundredth(active: int, reactive: int) -> None:
    h = power_factor_hundredths(active, reactive)
    squared, apparent = active**2, active**2 + reactive**2
    if apparent:
        # (2h - 1)/200 <= cos < (2h + 1)/200
        assert h == 0 or (2 * h - 1) ** 2 * apparent <= 40_000 * squared
        assert h == 100 or 40_000 * squared < (2 * h + 1) ** 2 * apparent


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_more_reactive_energy_never_raises_the_power_factor(active: int, reactive: int, more: int) -> None:
    assert power_factor_hundredths(active, reactive + more) <= power_factor_hundredths(active, reactive)


@given(st.integers(-(10**12), 10**12), st.fractions(0, 100, max_denominator=100))
def test_a_tax_and_its_net_add_up_to_the_gross(gross: int, percent: Fraction) -> None:
    tax = contained(gross, percent)
    exact = gross * percent / (100 + percent)
    assert abs(tax - exact) <= Fraction(1, 2)
    assert contained(-gross, percent) == -tax


@given(st.integers(-(10**13), 10**13), st.integers(-(10**9), 10**9), PARTS)
def test_a_step_is_its_product_to_half_a_nano(quantity: int, rate: int, part: Fraction) -> None:
    step = CostStep("", quantity, "kW", rate, (part.numerator, part.denominator), "")
    assert abs(step.cost_nano - quantity * rate * part) <= Fraction(1, 2)


@given(AMOUNTS, st.integers(0, 10**9), st.sampled_from([(m, u) for m in Medium for u in m.billing_units.values()]))
def test_a_price_is_amount_over_unit_times_rate(amount: int, rate: int, of: tuple[Medium, Fraction]) -> None:
    units = of[1]
    band = Band("v-1", "flat", rate, "t", "u", (units.numerator, units.denominator))
    assert abs(band.cost_nano(amount) - amount / units * rate * 1000) <= Fraction(1, 2)


@given(st.integers(-(10**15), 10**15), st.sampled_from(Medium))
def test_amounts_are_shown_exactly(amount: int, medium: Medium) -> None:
    number, unit = show_amount(amount, medium).split(" ")
    units = {"kWh": 1000, "m3": 10**6, "GJ": 10**6}[unit]
    assert Fraction(number) * units == amount


@given(
    st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=30)
)
def test_every_day_is_of_exactly_one_kind_at_each_level(day: date, free: set[date]) -> None:
    worked = frozenset(
        one + timedelta(days=1) for one in free if one.weekday() == 5 and one + timedelta(days=1) not in free
    )
    calendar = HolidayCalendar("x", frozenset({2026, 2027}), tuple(sorted((one, "feast") for one in free)), worked)
    kinds = calendar.kinds(day)
    assert ((HOLIDAY in kinds), (WEEKEND in kinds) != (WORKDAY in kinds)) == (day in free, True)
    if day not in free and day not in worked:
        assert kinds == plain_kinds(day)


@given(
    st.permutations(["every", "weekend", "holiday", "feast"]), st.sampled_from(["feast", "holiday", "weekend", "sat"])
)
def test_the_order_of_seasons_changes_nothing(order: list[str], kind: str) -> None:
    seasons = [Season((7,), (name,) * 48, () if name == "every" else (name,)) for name in order]
    chain = {"feast": ("feast", "holiday", "weekend"), "holiday": ("other", "holiday", "weekend")}
    kinds = chain.get(kind, ("sat", "weekend"))
    (found,) = matching_seasons(seasons, 7, 1, kinds)
    assert found.schedule[0] == {"feast": "feast", "holiday": "holiday"}.get(kind, "weekend")
