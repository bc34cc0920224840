"""SPINE: from the facts and rules of one period to its run.

require_ready -> price -> balance -> split each pool -> prove conservation -> taxes and caps -> run
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

from allocation_engine.balance import balance_tree, cases_of, charged_loads
from allocation_engine.collector import collector_paused
from allocation_engine.compliance import check_caps, check_warnings, shown_taxes
from allocation_engine.errors import NotConserved
from allocation_engine.fixed_charges import add_tax, split_fixed
from allocation_engine.inputs import PeriodInputs
from allocation_engine.legal_default import rule_warnings
from allocation_engine.loss import split_loss
from allocation_engine.metered import split_metered
from allocation_engine.pools import DirectRule, MinimumRule, OwnUseRule, Pool, StandingRule
from allocation_engine.pricing import PricedPeriod
from allocation_engine.readiness import require_ready
from allocation_engine.reconciliation import reconcile
from allocation_engine.rules import Rules
from allocation_engine.run import Line, PoolResult, Run
from allocation_engine.service_comparison import compare_methods, service_costs
from allocation_engine.service_costs import ServiceCost
from allocation_engine.shares import split_shared
from allocation_engine.taxes import taxes_in_force
from metering.envelope import encode

ENGINE_VERSION = "3"
"""Rises with every change that can move a fen or change the form of a run."""


@collector_paused()
def close_period(inputs: PeriodInputs, rules: Rules) -> Run:
    """Balance the tree, price and split every pool.

    Raises      PeriodNotReady with every reason found; AllWeightsZero, TariffIncomplete, SeriesIncomplete,
                FormulaUndefined, InputsInvalid; NotConserved if this engine is wrong
    Invariant   for every pool, lines with residual add up to its cost; same inputs and rules give an equal run
    """
    require_ready(inputs, rules)
    inputs_hash = inputs.hash
    priced = PricedPeriod.of(inputs, *rules.prices.tariffs).with_charges(rules.prices)
    balance = balance_tree(inputs)
    pools, lines = _split_all(priced, rules)
    checks = tuple(check_caps(rules.prices, inputs, pools, lines))
    return Run(
        id=hashlib.sha256(encode([ENGINE_VERSION, inputs_hash, rules.hash])).hexdigest(),
        engine_version=ENGINE_VERSION,
        site=inputs.site,
        label=inputs.label,
        zone=inputs.calendar.zone,
        period=inputs.period,
        currency=rules.tariff.currency,
        site_hash=inputs.site_hash,
        inputs_hash=inputs_hash,
        rules_hash=rules.hash,
        bands=priced.bands,
        balance=balance,
        cases=cases_of(balance, charged_loads(inputs, rules.pools)),
        warnings=(*_warnings(inputs, rules), *check_warnings(checks)),
        pools=pools,
        lines=lines,
        reconciliation=reconcile(priced, pools),
        taxes=tuple(shown_taxes(rules.prices, inputs, lines)),
        checks=checks,
        service_methods=tuple(compare_methods(priced, rules)),
    )


def _split_all(priced: PricedPeriod, rules: Rules) -> tuple[tuple[PoolResult, ...], tuple[Line, ...]]:
    """Split every pool in turn, share the losses, then add the taxes that prices do not include."""
    pools: list[PoolResult] = []
    lines: list[Line] = []
    taxes = taxes_in_force(rules.prices.taxes, priced.inputs.calendar.days(priced.inputs.period))
    services = service_costs(priced, rules)
    for pool in rules.pools:
        _keep(_split(pool, priced, lines, services.get(pool.id)), pools, lines)
    if rules.loss is not None:
        _keep(split_loss(rules.loss, rules.pools, priced), pools, lines)
    untaxed = tuple(lines)
    for tax in taxes:
        if not tax.included:
            _keep(add_tax(tax, priced, untaxed), pools, lines)
    return tuple(pools), tuple(lines)


def _keep(split: tuple[PoolResult, tuple[Line, ...]], pools: list[PoolResult], lines: list[Line]) -> None:
    _require_conserved(*split)
    _require_once(*split, pools)
    pools.append(split[0])
    lines.extend(split[1])


def _split(
    pool: Pool, priced: PricedPeriod, earlier: Sequence[Line], service: ServiceCost | None
) -> tuple[PoolResult, tuple[Line, ...]]:
    if isinstance(pool.rule, OwnUseRule | DirectRule):
        return split_metered(pool, priced)
    if isinstance(pool.rule, StandingRule | MinimumRule):
        return split_fixed(pool, priced, earlier)
    return split_shared(pool, priced, service)


def _require_conserved(result: PoolResult, lines: Sequence[Line]) -> None:
    charged = sum(line.amount_minor for line in lines)
    if charged != result.cost_minor:
        raise NotConserved(f"pool {result.id} costs {result.cost_minor} and its lines add up to {charged}")
    for band, energy_wh in enumerate(result.band_energy_wh):
        shared_wh = sum(line.band_energy_wh[band] for line in lines)
        if shared_wh != energy_wh:
            raise NotConserved(f"pool {result.id} has {energy_wh} Wh in band {band} and its lines {shared_wh} Wh")


def _require_once(result: PoolResult, lines: Sequence[Line], pools: Sequence[PoolResult]) -> None:
    """A pool or a line that stands twice adds up like any other, and is charged twice."""
    if any(pool.id == result.id for pool in pools):
        raise NotConserved(f"pool {result.id} is split twice")
    if len({(line.unit, line.party) for line in lines}) != len(lines):
        raise NotConserved(f"pool {result.id} has two lines of one unit and party")


def _warnings(inputs: PeriodInputs, rules: Rules) -> Iterator[str]:
    last_day = inputs.calendar.local(inputs.period.end - timedelta(microseconds=1)).date()
    for pool in rules.pools:
        if pool.review_by is not None and pool.review_by <= last_day:
            yield f"pool {pool.id} was due for review by {pool.review_by}"
        yield from rule_warnings(pool, inputs.calendar.days(inputs.period))
    if rules.loss is not None and rules.loss.review_by is not None and rules.loss.review_by <= last_day:
        yield f"the sharing of losses was due for review by {rules.loss.review_by}"
