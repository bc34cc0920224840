"""SPINE: from the facts and rules of one period to its run.

require_ready -> price -> balance -> split each pool -> prove conservation -> run
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np

from allocation_engine.balance import balance_tree, cases_of
from allocation_engine.errors import NotConserved
from allocation_engine.inputs import PeriodInputs
from allocation_engine.metered import split_metered
from allocation_engine.money import to_minor
from allocation_engine.pools import DirectRule, OwnUseRule, Pool
from allocation_engine.pricing import PricedPeriod, spread
from allocation_engine.readiness import require_ready
from allocation_engine.rules import Rules
from allocation_engine.run import Line, PoolResult, Reconciliation, Run
from allocation_engine.shares import split_shared
from metering.envelope import encode

ENGINE_VERSION = "1"
"""Rises with every change that can move a fen or change the form of a run."""


def close_period(inputs: PeriodInputs, rules: Rules) -> Run:
    """Balance the tree, price and split every pool.

    Raises      PeriodNotReady with every reason found; AllWeightsZero, TariffIncomplete, SeriesIncomplete,
                FormulaUndefined, InputsInvalid; NotConserved if this engine is wrong
    Invariant   for every pool, lines with residual add up to its cost; same inputs and rules give an equal run
    """
    require_ready(inputs, rules)
    priced = PricedPeriod.of(inputs, rules.tariff)
    balance = balance_tree(inputs)
    split = [_split(pool, priced, rules) for pool in rules.pools]
    for result, lines in split:
        _require_conserved(result, lines)
    return Run(
        id=hashlib.sha256(encode([ENGINE_VERSION, inputs.hash, rules.hash])).hexdigest(),
        engine_version=ENGINE_VERSION,
        site=inputs.site,
        label=inputs.label,
        zone=inputs.calendar.zone,
        period=inputs.period,
        currency=rules.tariff.currency,
        site_hash=inputs.site_hash,
        inputs_hash=inputs.hash,
        rules_hash=rules.hash,
        bands=priced.bands,
        balance=balance,
        cases=cases_of(balance),
        warnings=tuple(_warnings(inputs, rules)),
        pools=tuple(result for result, _ in split),
        lines=tuple(line for _, lines in split for line in lines),
        reconciliation=_reconcile(priced, [result for result, _ in split]),
    )


def _split(pool: Pool, priced: PricedPeriod, rules: Rules) -> tuple[PoolResult, tuple[Line, ...]]:
    if isinstance(pool.rule, OwnUseRule | DirectRule):
        return split_metered(pool, priced)
    return split_shared(pool, priced, rules)


def _require_conserved(result: PoolResult, lines: Sequence[Line]) -> None:
    charged = sum(line.amount_minor for line in lines)
    if charged != result.cost_minor:
        raise NotConserved(f"pool {result.id} costs {result.cost_minor} and its lines add up to {charged}")
    for band, energy_wh in enumerate(result.band_energy_wh):
        shared_wh = sum(line.band_energy_wh[band] for line in lines)
        if shared_wh != energy_wh:
            raise NotConserved(f"pool {result.id} has {energy_wh} Wh in band {band} and its lines {shared_wh} Wh")


def _warnings(inputs: PeriodInputs, rules: Rules) -> Iterator[str]:
    last_day = inputs.calendar.local(inputs.period.end - timedelta(microseconds=1)).date()
    for pool in rules.pools:
        if pool.review_by is not None and pool.review_by <= last_day:
            yield f"pool {pool.id} was due for review by {pool.review_by}"


def _reconcile(priced: PricedPeriod, pools: Sequence[PoolResult]) -> Reconciliation:
    inputs = priced.inputs
    supply_wh = np.zeros(inputs.slot_count, np.int64)
    for row, node in enumerate(inputs.nodes):
        for span in node.parents:
            if span.parent is None:
                supply_wh[span.first : span.end] += inputs.import_wh[row, span.first : span.end]
    by_band = priced.by_band(supply_wh, spread([(0, 0, inputs.slot_count)], inputs.slot_count), 1)[0]
    supply_minor = to_minor(priced.cost_nano(by_band), priced.currency)
    pooled_minor = sum(pool.cost_minor for pool in pools)
    return Reconciliation(int(supply_wh.sum()), supply_minor, pooled_minor, supply_minor - pooled_minor)
