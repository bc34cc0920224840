"""Whether a run adds up, and what in it needs a person: the first thing a manager reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from allocation_engine.invoices import invoiced
from allocation_engine.rules import Rules
from allocation_engine.run_state import RunState
from ingest.review.sheet import LineChange
from metering.interval import Interval, SiteCalendar

Document = Mapping[str, Any]
FAR_PERCENT = 2
"""An invoice that is further than this from what the meters make it needs a look [percent]."""


@dataclass(frozen=True, slots=True)
class PoolSum:
    """What a pool cost and what its lines come to [minor units]; before: its cost in the period before, if any."""

    pool: str
    cost_minor: int
    lines_minor: int
    lines: int
    before_minor: int | None

    @property
    def adds_up(self) -> bool:
        """Say whether the lines are the cost, to the minor unit."""
        return self.cost_minor == self.lines_minor


@dataclass(frozen=True, slots=True)
class InvoiceSum:
    """What the supplier asked, against what meters and tariff make it [10^-3 units of the tariff, minor units].

    invoiced_minor, invoiced_milli   None where no invoices cover the period day by day
    is_expected                      the site keeps its supplier's invoices, so one that is missing is missed
    """

    tariff: str
    per: str
    numbers: tuple[str, ...]
    invoiced_milli: int | None
    invoiced_minor: int | None
    metered_milli: int
    computed_minor: int
    is_expected: bool

    @property
    def difference_minor(self) -> int | None:
        """What the invoice is more than what was computed; negative: less."""
        return None if self.invoiced_minor is None else self.invoiced_minor - self.computed_minor

    @property
    def is_far(self) -> bool:
        """Say whether the two are so far apart that somebody has to look."""
        far = self.difference_minor
        return far is not None and abs(far) * 100 > abs(self.computed_minor) * FAR_PERCENT


@dataclass(frozen=True, slots=True)
class Sums:
    """The money of a run [minor units], from what was bought to who pays it."""

    supply_minor: int
    charges_minor: int
    pooled_minor: int
    tenants_minor: int
    owner_minor: int
    unshared_minor: int
    pools: tuple[PoolSum, ...]
    invoices: tuple[InvoiceSum, ...]

    @property
    def adds_up(self) -> bool:
        """Say whether every pool is its lines, and all pools and the rest are what was bought."""
        whole = self.pooled_minor + self.unshared_minor == self.supply_minor + self.charges_minor
        lines = sum(pool.lines_minor for pool in self.pools)
        return whole and lines == self.pooled_minor and all(pool.adds_up for pool in self.pools)


class Needed(StrEnum):
    """What a run needs of a person, the most pressing first."""

    BROKEN = "broken"
    REASONS = "reasons"
    BINDINGS = "bindings"
    CHANGED = "changed"
    INVOICE = "invoice"
    OUTLIERS = "outliers"
    ESTIMATED = "estimated"
    WARNINGS = "warnings"


BLOCKING = frozenset({Needed.BROKEN, Needed.REASONS, Needed.BINDINGS})
"""Without these the run cannot go on."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing to be done or looked at, and how many of it there are."""

    what: Needed
    count: int

    @property
    def blocks(self) -> bool:
        """Say whether it stands in the way of publishing."""
        return self.what in BLOCKING


def sums_of(document: Document, lines: Sequence[LineChange], owner: str, rules: Rules | None) -> Sums:
    """Add a run up; `lines` are those of its sheet, `document` needs none. rules: None where they are not readable."""
    sums = document["reconciliation"]
    made: dict[str, tuple[int, int, int]] = {}
    by_owner = 0
    for line in lines:
        amount, count, before = made.get(line.pool, (0, 0, 0))
        is_here = line.number is not None
        made[line.pool] = (amount + line.amount_minor, count + is_here, before + line.before_minor)
        by_owner += line.amount_minor if line.party == owner else 0
    has_before = any(line.before is not None for line in lines)
    pools = tuple(
        PoolSum(
            pool["id"], pool["cost_minor"], amount, count, before if has_before and (before or not amount) else None
        )
        for pool in document["pools"]
        for amount, count, before in [made.get(pool["id"], (0, 0, 0))]
    )
    return Sums(
        supply_minor=sums["supply_minor"],
        charges_minor=sums["charges_minor"],
        pooled_minor=sums["pooled_minor"],
        tenants_minor=sums["pooled_minor"] - by_owner,
        owner_minor=by_owner,
        unshared_minor=sums["unshared_minor"],
        pools=pools,
        invoices=() if rules is None else tuple(_invoices(document, rules)),
    )


def needs_of(
    document: Document,
    sums: Sums,
    state: RunState,
    *,
    unexplained: int,
    provisional: int,
    changed_days: int,
    outliers: int,
) -> tuple[Need, ...]:
    """List what the run needs of people, the most pressing first; a run that is published or over needs nothing."""
    if state in (RunState.PUBLISHED, RunState.SUPERSEDED):
        return ()
    counts = {
        Needed.BROKEN: 0 if sums.adds_up else 1,
        Needed.REASONS: unexplained,
        Needed.BINDINGS: provisional,
        Needed.CHANGED: changed_days,
        Needed.INVOICE: sum(one.is_far or (one.is_expected and one.invoiced_minor is None) for one in sums.invoices),
        Needed.OUTLIERS: outliers,
        Needed.ESTIMATED: estimated_nodes(document),
        Needed.WARNINGS: len(document.get("warnings", ())),
    }
    return tuple(Need(what, count) for what, count in counts.items() if count)


def estimated_nodes(document: Document) -> int:
    """Count the nodes of which some slot is estimated."""
    rows = (row["slots_by_quality"] for row in document["balance"])
    return sum(any(name == "ESTIMATED" and count for name, count in qualities) for qualities in rows)


def _invoices(document: Document, rules: Rules) -> Iterator[InvoiceSum]:
    """Compare the invoices of the main tariff; the others have no sum of their own in a run."""
    period = Interval(*(datetime.fromisoformat(document["period"][side]) for side in ("start", "end")))
    sums, tariff = document["reconciliation"], rules.tariff
    bill = invoiced(rules.prices.invoices, tariff.id, SiteCalendar(document["zone"]), period)
    yield InvoiceSum(
        tariff=tariff.id,
        per=tariff.per,
        numbers=() if bill is None else bill.numbers,
        invoiced_milli=None if bill is None else bill.energy_milli,
        invoiced_minor=None if bill is None else bill.amount_minor,
        metered_milli=sums["supply_wh"],
        computed_minor=sums["supply_minor"] + sums["charges_minor"],
        is_expected=bool(rules.prices.invoices),
    )
