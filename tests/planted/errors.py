"""Errors as they are made, planted at the seams of the engine, each with the test that must turn red.

An error changes one function; everything else runs as it is delivered. `stopped` are those that the engine itself
refuses to compute with, whoever looks at the result: they never reach a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from allocation_engine import (
    apportion,
    close_period,
    commitment,
    compliance,
    intervals,
    layers,
    loss_shares,
    metered,
    money,
    pricing,
    shares,
    stages,
    supply_charges,
    tariff,
    tiered,
)
from allocation_engine.errors import NotConserved
from allocation_engine.inputs import Occupancy, PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.pools import Measure
from allocation_engine.run import Line, LineKind, PoolResult
from allocation_engine.tariff import PricedSlots
from metering.identity import NodeId, PartyId, UnitId
from metering.interval import Interval, SiteCalendar

Patch = pytest.MonkeyPatch
GOLDEN = "tests/golden/test_golden_periods.py::test_a_period_gives_the_lines_it_must"
REGISTERS = "tests/golden/test_golden_periods.py::test_registers_give_the_slots_they_must"
TREES = "tests/golden/test_golden_trees.py"
TARIFFS = "tests/golden/test_golden_tariffs.py"


@dataclass(frozen=True)
class Planted:
    """One error: `plant` puts it into the engine, `caught_by` turns red, `stopped` says the engine itself refuses."""

    error: str
    plant: Callable[[Patch], None]
    caught_by: str
    stopped: bool = False


def a_slot_is_dropped(patch: Patch) -> None:
    group, add_up = pricing.group_energy, pricing.sum_spans

    def dropping(energy_wh: Any, group_of_slot: Any, *rest: Any) -> Any:
        kept = group_of_slot.copy()
        kept[np.flatnonzero(kept >= 0)[:1]] = -1
        return group(energy_wh, kept, *rest)

    patch.setattr(pricing, "group_energy", dropping)
    patch.setattr(
        pricing, "sum_spans", lambda wh, spans, runs: add_up(wh, replace(spans, starts=spans.starts + 1), runs)
    )


def two_bands_are_swapped(patch: Patch) -> None:
    _turn_bands(patch, lambda slots: [{0: 1, 1: 0}.get(band, band) for band in slots])


def the_night_begins_a_slot_late(patch: Patch) -> None:
    _turn_bands(patch, lambda slots: [slots[0], *slots[:-1]])


def _turn_bands(patch: Patch, turn: Callable[[Sequence[int]], Sequence[int]]) -> None:
    price = tariff.Tariff.price

    def turned(self: tariff.Tariff, calendar: SiteCalendar, period: Interval) -> PricedSlots:
        right = price(self, calendar, period)
        return replace(right, band_of_slot=tuple(turn(right.band_of_slot)))

    patch.setattr(tariff.Tariff, "price", turned)


def minutes_are_lost(patch: Patch) -> None:
    """08:30 is taken for 08:00, as in a system that truncates to the hour."""
    local = SiteCalendar.local
    patch.setattr(SiteCalendar, "local", lambda self, instant: local(self, instant).replace(minute=0))


def hours_are_taken_from_utc(patch: Patch) -> None:
    price = tariff.Tariff.price
    utc = SiteCalendar("UTC")
    patch.setattr(tariff.Tariff, "price", lambda self, _, period: price(self, utc, period))


def a_price_begins_a_day_early(patch: Patch) -> None:
    def holds(self: tariff.TariffVersion, day: date) -> bool:
        tomorrow = day + timedelta(days=1)
        return self.valid_from <= tomorrow and (self.valid_to is None or tomorrow < self.valid_to)

    patch.setattr(tariff.TariffVersion, "holds", holds)


def a_fen_is_lost_in_dividing(patch: Patch) -> None:
    divide = apportion._divide
    patch.setattr(apportion, "_divide", lambda *given: (*divide(*given)[:2], divide(*given)[2][:-1]))


def a_fen_is_lost_on_its_way_to_a_line(patch: Patch) -> None:
    _change_lines(patch, lambda lines: (replace(lines[0], amount_minor=lines[0].amount_minor - 1), *lines[1:]))


def a_watt_hour_is_lost_on_its_way_to_a_line(patch: Patch) -> None:
    def less(lines: Sequence[Line]) -> tuple[Line, ...]:
        first, *bands = lines[0].band_energy_wh
        return (replace(lines[0], band_energy_wh=(first - 1, *bands)), *lines[1:])

    _change_lines(patch, less)


def a_share_is_left_out(patch: Patch) -> None:
    _change_lines(patch, lambda lines: tuple(lines[1:]))


def the_residual_is_left_out(patch: Patch) -> None:
    _change_lines(patch, lambda lines: tuple(one for one in lines if one.kind is not LineKind.RESIDUAL))


def a_line_stands_twice_at_half_its_amount(patch: Patch) -> None:
    def halved(lines: Sequence[Line]) -> tuple[Line, ...]:
        one, *others = lines
        bands = tuple(zip(*((wh // 2, wh - wh // 2) for wh in one.band_energy_wh), strict=True))
        half = one.amount_minor // 2
        pieces = (
            replace(one, amount_minor=amount, band_energy_wh=wh)
            for amount, wh in zip((half, one.amount_minor - half), bands, strict=True)
        )
        return (*pieces, *others)

    _change_lines(patch, halved)


def _change_lines(patch: Patch, change: Callable[[Sequence[Line]], tuple[Line, ...]]) -> None:
    split = close_period.split_shared

    def changed(*given: Any) -> tuple[PoolResult, tuple[Line, ...]]:
        result, lines = split(*given)
        return result, change(lines)

    patch.setattr(close_period, "split_shared", changed)


def the_residual_is_charged_to_tenants(patch: Patch) -> None:
    """The residual's weight is the last in the order of ids: `residual/...` comes after the units of the case."""
    _change_weights(patch, lambda weights: np.append(weights[:-1], 0))


def weights_of_two_units_are_swapped(patch: Patch) -> None:
    _change_weights(patch, lambda weights: np.concatenate([weights[1::-1], weights[2:]]))


def _change_weights(patch: Patch, change: Callable[[Any], Any]) -> None:
    divide = shares.divide_rows
    patch.setattr(shares, "divide_rows", lambda amount, weights: divide(amount, change(weights)))


def export_is_added(patch: Patch) -> None:
    energy = pricing.PricedPeriod.energy

    def added(self: pricing.PricedPeriod, nodes: Sequence[NodeId], deduct: Any, measure: Measure) -> Any:
        plain = energy(self, nodes, deduct, Measure.IMPORT)
        if measure is Measure.IMPORT:
            return plain
        return 2 * plain - energy(self, nodes, deduct, measure)

    patch.setattr(pricing.PricedPeriod, "energy", added)


def what_is_taken_off_is_added(patch: Patch) -> None:
    energy = pricing.PricedPeriod.energy
    patch.setattr(
        pricing.PricedPeriod,
        "energy",
        lambda self, nodes, deduct, measure: energy(self, (*nodes, *deduct), (), measure),
    )


def a_credit_is_charged(patch: Patch) -> None:
    divide = shares.divide_rows
    patch.setattr(shares, "divide_rows", lambda amount, weights: divide(abs(amount), weights))


def ties_go_to_the_largest_id(patch: Patch) -> None:
    divide = apportion._divide

    def backwards(amount: int, weights: Any, total: int) -> tuple[Any, Any, Any]:
        quotients, remainders, ranking = divide(amount, weights[::-1].copy(), total)
        return quotients[::-1].copy(), remainders[::-1].copy(), weights.size - 1 - ranking

    patch.setattr(apportion, "_divide", backwards)


def each_share_is_rounded_and_the_rest_goes_to_the_largest(patch: Patch) -> None:
    def dumped(amount: int, weights: Any, total: int) -> tuple[Any, Any, Any]:
        rounded = np.array([(2 * amount * int(one) + total) // (2 * total) for one in weights], np.int64)
        rounded[int(np.argmax(weights))] += amount - int(rounded.sum())
        return rounded, np.zeros_like(weights), np.zeros(0, np.int64)

    patch.setattr(apportion, "_divide", dumped)


def each_band_is_rounded_before_the_sum(patch: Patch) -> None:
    cost = pricing.PricedPeriod.cost_nano
    fen = 10**7

    def rounded(self: pricing.PricedPeriod, band_energy_wh: Sequence[int]) -> int:
        alone = ([wh * (i == band) for i, wh in enumerate(band_energy_wh)] for band in range(len(band_energy_wh)))
        return sum(money.divide(cost(self, one), fen) * fen for one in alone)

    patch.setattr(pricing.PricedPeriod, "cost_nano", rounded)


def a_stage_rounds_its_parts(patch: Patch) -> None:
    passed_on = stages._passed_on

    def rounded(*given: Any) -> list[list[Fraction]]:
        return [[Fraction(round(part * 10), 10) for part in parts] for parts in passed_on(*given)]

    patch.setattr(stages, "_passed_on", rounded)


def halves_below_zero_round_up(patch: Patch) -> None:
    patch.setattr(money, "divide", lambda numerator, denominator: (2 * numerator + denominator) // (2 * denominator))


def a_child_is_counted_twice(patch: Patch) -> None:
    balance = close_period.balance_tree

    def doubled(inputs: PeriodInputs) -> Any:
        energy_wh = inputs.import_wh.copy()
        child = next(row for row, node in enumerate(inputs.nodes) if any(span.parent for span in node.parents))
        energy_wh[child] *= 2
        return balance(replace(inputs, import_wh=energy_wh))

    patch.setattr(close_period, "balance_tree", doubled)


def a_moved_node_stays_where_it_was(patch: Patch) -> None:
    balance = close_period.balance_tree

    def stays(inputs: PeriodInputs) -> Any:
        nodes = tuple(
            replace(node, parents=(replace(node.parents[0], end=node.parents[-1].end),)) for node in inputs.nodes
        )
        return balance(replace(inputs, nodes=nodes))

    patch.setattr(close_period, "balance_tree", stays)


def a_rollover_is_taken_for_a_fall(patch: Patch) -> None:
    patch.setattr(intervals, "ROLLOVER_REACH", 10**30)


def a_fall_is_taken_for_a_rollover(patch: Patch) -> None:
    patch.setattr(intervals, "ROLLOVER_REACH", 1)


def a_fall_is_clipped_to_nothing(patch: Patch) -> None:
    join = intervals._join

    def clipped(before: Any, after: Any) -> Any:
        link = join(before, after)
        fell = before.epoch == after.epoch and after.register_wh < before.register_wh
        return link._replace(energy_wh=0, quality=SlotQuality.MEASURED, reason=None) if fell else link

    patch.setattr(intervals, "_join", clipped)


def a_multiplier_is_forgotten(patch: Patch) -> None:
    join = intervals._join

    def plain(before: Any, after: Any) -> Any:
        link = join(before, after)
        return link._replace(energy_wh=link.energy_wh // before.installation.multiplier)

    patch.setattr(intervals, "_join", plain)


def a_gap_counts_nothing(patch: Patch) -> None:
    join = intervals._join

    def empty(before: Any, after: Any) -> Any:
        link = join(before, after)
        return link._replace(energy_wh=0) if after.at - before.at > 900 else link

    patch.setattr(intervals, "_join", empty)


def an_occupancy_lacks_its_last_slot(patch: Patch) -> None:
    _change_takers(patch, lambda occupancies, _: [replace(one, end=one.end - 1) for one in occupancies])


def an_own_meter_lacks_the_last_slot_of_an_occupancy(patch: Patch) -> None:
    occupants = pricing.PricedPeriod.occupants

    def shorter(self: pricing.PricedPeriod, unit: UnitId) -> dict[PartyId, tuple[Occupancy, ...]]:
        found = occupants(self, unit)
        return {party: (*ones[:-1], replace(ones[-1], end=ones[-1].end - 1)) for party, ones in found.items()}

    patch.setattr(pricing.PricedPeriod, "occupants", shorter)


def vacancy_is_charged_to_the_tenants(patch: Patch) -> None:
    _change_takers(patch, lambda occupancies, owner: [one for one in occupancies if one.party != owner])


class _OtherOccupancies:
    """The inputs of a period as they are, but for who held what."""

    def __init__(self, inputs: PeriodInputs, occupancies: Sequence[Occupancy]) -> None:
        self._inputs, self.occupancies = inputs, tuple(occupancies)

    def occupancies_of(self, unit: UnitId) -> tuple[Occupancy, ...]:
        """Those of a unit, in slot order."""
        return tuple(sorted((one for one in self.occupancies if one.unit == unit), key=lambda one: one.first))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inputs, name)


def _change_takers(patch: Patch, change: Callable[[Sequence[Occupancy], PartyId], Sequence[Occupancy]]) -> None:
    find = layers.Takers.of

    def changed(inputs: Any, *given: Any) -> layers.Takers:
        return find(_OtherOccupancies(inputs, change(inputs.occupancies, inputs.owner)), *given)

    patch.setattr(layers.Takers, "of", staticmethod(changed))


def a_tax_is_taken_on_the_tax(patch: Patch) -> None:
    add = close_period.add_tax

    def compound(tax: Any, priced: Any, lines: Sequence[Line]) -> tuple[PoolResult, tuple[Line, ...]]:
        _, first = add(tax, priced, lines)
        return add(replace(tax, pools=None), priced, (*lines, *first))

    patch.setattr(close_period, "add_tax", compound)


def a_tax_is_added_twice(patch: Patch) -> None:
    force = close_period.taxes_in_force
    patch.setattr(close_period, "taxes_in_force", lambda *given: force(*given) * 2)


def a_cap_is_checked_against_the_month_before(patch: Patch) -> None:
    find = compliance.invoiced

    def before(invoices: Sequence[Any], name: str, calendar: SiteCalendar, period: Interval) -> Any:
        length = period.end - period.start
        return find(invoices, name, calendar, Interval(period.start - length, period.end - length))

    patch.setattr(compliance, "invoiced", before)


def tiers_begin_anew_every_month(patch: Patch) -> None:
    pieces = tiered.tier_pieces

    def anew(*given: Any) -> tuple[Any, ...]:
        return tuple(replace(one, before=0) for one in pieces(*given))

    patch.setattr(metered, "tier_pieces", anew)


def a_power_factor_is_cut_instead_of_rounded(patch: Patch) -> None:
    factor = supply_charges.power_factor_hundredths
    patch.setattr(supply_charges, "power_factor_hundredths", lambda *given: factor(*given) - 1)


def losses_are_shared_by_the_month(patch: Patch) -> None:
    """Every slot carries the mean: who draws at the peak pays too little."""
    find = loss_shares.find_loss_factors

    def flat(*given: Any) -> Any:
        factors = find(*given)
        mean = np.broadcast_to(factors.gross.mean(axis=1, dtype=np.int64)[:, None], factors.gross.shape)
        return replace(factors, gross=mean.copy())

    patch.setattr(loss_shares, "find_loss_factors", flat)


def a_proof_has_a_wrong_sum(patch: Patch) -> None:
    cut = commitment._cut_up

    def more(amount: int, *given: Any) -> tuple[int, ...]:
        first, *others = cut(amount, *given)
        return (first + 1, *others)

    patch.setattr(commitment, "_cut_up", more)


def _all() -> Iterator[Planted]:
    many = f"{GOLDEN}[one-fen-over-many]"
    night, lobby = f"{GOLDEN}[time-of-use-over-midnight]", f"{GOLDEN}[lobby-at-24-26-31-36-40]"
    tree_lines = f"{TREES}::test_lines_are_those_calculated_by_hand"
    tree_balance = f"{TREES}::test_the_balance_of_each_node_is_that_calculated_by_hand"
    tariff_lines = f"{TARIFFS}::test_lines_are_as_calculated_by_hand"
    tariff_pools = f"{TARIFFS}::test_pools_cost_what_was_calculated_by_hand"
    yield Planted("a dropped slot", a_slot_is_dropped, night)
    yield Planted("a swapped band", two_bands_are_swapped, night)
    yield Planted("a lost fen in dividing", a_fen_is_lost_in_dividing, many, stopped=True)
    yield Planted("a lost fen on a line", a_fen_is_lost_on_its_way_to_a_line, lobby, stopped=True)
    yield Planted("a lost watt-hour on a line", a_watt_hour_is_lost_on_its_way_to_a_line, lobby, stopped=True)
    yield Planted("a lost share", a_share_is_left_out, lobby, stopped=True)
    yield Planted("a lost residual", the_residual_is_left_out, lobby, stopped=True)
    yield Planted("a line that stands twice", a_line_stands_twice_at_half_its_amount, lobby, stopped=True)
    yield Planted("a residual charged to tenants", the_residual_is_charged_to_tenants, lobby)
    yield Planted("a wrong sign of export", export_is_added, f"{GOLDEN}[negative-pool]")
    yield Planted(
        "a wrong sign of what is taken off", what_is_taken_off_is_added, f"{tree_lines}[sub-let-kiosk-deducted]"
    )
    yield Planted("a wrong sign of a credit", a_credit_is_charged, f"{GOLDEN}[negative-pool]", stopped=True)
    yield Planted("a wrong order of ties", ties_go_to_the_largest_id, many)
    yield Planted(
        "the rest dumped on the largest",
        each_share_is_rounded_and_the_rest_goes_to_the_largest,
        "tests/reference/test_apportion_twin.py::test_two_thousand_seeded_pools_of_fifty_tenants_agree",
    )
    yield Planted("a band over midnight late by a slot", the_night_begins_a_slot_late, night)
    yield Planted("minutes lost from the hour", minutes_are_lost, f"{tree_lines}[half-hour-boundary]")
    yield Planted("hours of another zone", hours_are_taken_from_utc, night)
    yield Planted("a price a day early", a_price_begins_a_day_early, f"{tree_lines}[price-change-on-the-16th]")
    yield Planted("a child counted twice", a_child_is_counted_twice, f"{tree_balance}[tree-negative-loss]")
    yield Planted(
        "a moved node left at its old parent",
        a_moved_node_stays_where_it_was,
        f"{tree_balance}[tree-re-parented-on-the-17th]",
    )
    yield Planted("a rollover taken for a fall", a_rollover_is_taken_for_a_fall, f"{REGISTERS}[rollover]")
    yield Planted(
        "a fall taken for a rollover", a_fall_is_taken_for_a_rollover, f"{REGISTERS}[register-fell-undeclared]"
    )
    yield Planted("a fall clipped to nothing", a_fall_is_clipped_to_nothing, f"{REGISTERS}[rollover]")
    yield Planted("a forgotten multiplier", a_multiplier_is_forgotten, f"{REGISTERS}[exchange-with-another-multiplier]")
    yield Planted("a gap that counts nothing", a_gap_counts_nothing, f"{REGISTERS}[gap-estimated]")
    yield Planted("a lost slot of an occupancy", an_occupancy_lacks_its_last_slot, f"{GOLDEN}[handover-17th-14-00]")
    yield Planted("a lost slot of an own meter", an_own_meter_lacks_the_last_slot_of_an_occupancy, night)
    yield Planted("vacancy charged to tenants", vacancy_is_charged_to_the_tenants, f"{GOLDEN}[vacancy]")
    yield Planted("swapped weights", weights_of_two_units_are_swapped, f"{GOLDEN}[building-floor-lease]")
    yield Planted("a part rounded at a stage", a_stage_rounds_its_parts, f"{GOLDEN}[building-floor-lease]")
    yield Planted(
        "a sum rounded band by band", each_band_is_rounded_before_the_sum, f"{tree_lines}[price-change-on-the-16th]"
    )
    yield Planted(
        "a half below zero rounded up",
        halves_below_zero_round_up,
        "tests/unit/allocation_engine/test_money.py"
        "::test_a_fen_is_ten_million_nano_yuan_and_halves_round_away_from_zero[-5000000--1]",
    )
    yield Planted("a tax on the tax", a_tax_is_taken_on_the_tax, f"{tariff_lines}[standing-minimum-and-tax]")
    yield Planted("a tax added twice", a_tax_is_added_twice, f"{tariff_lines}[standing-minimum-and-tax]", stopped=True)
    yield Planted(
        "a cap checked against another month",
        a_cap_is_checked_against_the_month_before,
        f"{TARIFFS}::test_caps_are_checked_with_their_numbers[resale-cap]",
    )
    yield Planted("tiers that forget the year", tiers_begin_anew_every_month, f"{tariff_lines}[tiers-year-zhejiang]")
    yield Planted(
        "a power factor cut off",
        a_power_factor_is_cut_instead_of_rounded,
        f"{tariff_pools}[two-part-and-power-factor]",
    )
    yield Planted(
        "losses shared by the month",
        losses_are_shared_by_the_month,
        f"{GOLDEN}[loss-by-slot-not-by-month]",
        stopped=True,
    )
    yield Planted(
        "a proof with a wrong sum",
        a_proof_has_a_wrong_sum,
        "tests/golden/test_golden_proofs.py::test_a_proof_shows_what_it_must_and_no_more[shares-without-neighbours]",
        stopped=True,
    )


PLANTED = tuple(_all())
STOPPED = tuple(one for one in PLANTED if one.stopped)

REFUSES = NotConserved
"""What the engine raises for every error in `STOPPED`."""
