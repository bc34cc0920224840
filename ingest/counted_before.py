"""What each customer took before a period began, for tiers that count on: from settled days, or from older books.

A unit's customer counts while he occupied it, to the slot; a shared pool counts always. Where a slot since the tiers
began is not settled, nothing is given, and the period cannot be closed until an opening says what older books say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from allocation_engine.inputs import CountedBefore, PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.metered import counted_nodes
from allocation_engine.pools import Pool
from allocation_engine.prices import Opening
from allocation_engine.rules import Rules
from allocation_engine.tiered import Customer, customers_before
from metering.identity import NodeId

InputsOf = Callable[[date, date], PeriodInputs]
"""Gives the bare inputs of the local days `first` to `last`, both included."""


def count_before(inputs: PeriodInputs, rules: Rules, inputs_of: InputsOf) -> tuple[CountedBefore, ...]:
    """Count what tiers need to know from before the period; see the module for what is left out."""
    first_day = inputs.calendar.days(inputs.period)[0]
    pools = {pool.id: pool for pool in rules.pools}
    loaded: dict[date, PeriodInputs] = {}
    found = []
    for customer, spans in sorted(customers_before(inputs, rules).items()):
        for since in spans:
            opening = _opening(rules.prices.openings, pools[customer.pool], customer, since, first_day)
            start = since if opening is None else opening.day
            amount = 0 if opening is None else opening.amount
            if start < first_day:
                if start not in loaded:
                    loaded[start] = inputs_of(start, date.fromordinal(first_day.toordinal() - 1))
                counted = _count(loaded[start], pools[customer.pool], customer)
                if counted is None:
                    continue
                amount += counted
            found.append(CountedBefore(customer.pool, customer.unit, customer.party, since, amount))
    return tuple(found)


def _opening(
    openings: Sequence[Opening], pool: Pool, customer: Customer, since: date, first_day: date
) -> Opening | None:
    """Give the newest opening of the customer that lies between the turn of his tiers and the period."""
    fitting = [
        one
        for one in openings
        if (one.unit, one.party, one.tariff) == (customer.unit, customer.party, pool.tariff)
        and since < one.day <= first_day
        and one.day.year == since.year
        and since == date(since.year, 1, 1)
    ]
    return max(fitting, key=lambda one: one.day, default=None)


def _count(earlier: PeriodInputs, pool: Pool, customer: Customer) -> int | None:
    """Add up the customer's slots; None where one of them is not known."""
    nodes = counted_nodes(pool, earlier, customer.unit)
    total = 0
    for first, end in _spans(earlier, customer):
        for sign, counted in ((1, nodes), (-1, pool.deduct)):
            for node in counted:
                amount = _net(earlier, pool, node, first, end)
                if amount is None:
                    return None
                total += sign * amount
    return total


def _net(earlier: PeriodInputs, pool: Pool, node: NodeId, first: int, end: int) -> int | None:
    row = earlier.row(node)
    if (earlier.quality[row, first:end] >= SlotQuality.MISSING).any():
        return None
    given = int(earlier.export_wh[row, first:end].sum()) if len(pool.measure.registers) > 1 else 0
    return int(earlier.import_wh[row, first:end].sum()) - given


def _spans(earlier: PeriodInputs, customer: Customer) -> Iterator[tuple[int, int]]:
    if customer.unit is None:
        yield 0, earlier.slot_count
        return
    for one in earlier.occupancies_of(customer.unit):
        if one.party == customer.party:
            yield one.first, one.end
