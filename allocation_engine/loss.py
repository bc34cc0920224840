"""Losses of the site's own wires and transformers, shared among those whose energy they carried.

What a node drew and its children did not is its loss. In each slot it is carried by the children in proportion to
what they drew, on top of what the node carries itself (`loss_factors.py`); so it runs down the tree, slot by slot, to
whoever is charged for the energy there. The no-load part of a transformer flows whether or not anybody draws: it goes
by floor area or contracted capacity to the units below. Common loads, meters that nobody is charged by, and what
nobody can carry are the bearer's.

Every watt-hour of loss is in exactly one line: counted in quanta of 2^-40 Wh and compared with the registers before
anything is rounded, then cut to 2^-20 Wh a line, and priced and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from allocation_engine.apportion import round_parts, roundest
from allocation_engine.errors import NotConserved
from allocation_engine.inputs import PeriodInputs
from allocation_engine.loss_factors import FACTOR_BITS
from allocation_engine.loss_rule import LOSS_POOL, LossRule
from allocation_engine.loss_shares import Accounts, SpanShare, sum_by_band
from allocation_engine.loss_trace import LINE_BITS, LossTrace, cost_unit, line_id
from allocation_engine.media import Medium
from allocation_engine.money import to_minor
from allocation_engine.pools import DirectRule, OwnUseRule, Pool, PoolClass
from allocation_engine.pricing import PricedPeriod
from allocation_engine.run import ANY_LINE, Line, LineKind, PoolResult
from allocation_engine.tree import tree_spans
from metering.identity import NodeId, UnitId


def split_loss(rule: LossRule, pools: Iterable[Pool], priced: PricedPeriod) -> tuple[PoolResult, tuple[Line, ...]]:
    """Share the losses of the electricity tree.

    pools    the other pools: whose energy they charge is where the tree ends, so nothing is charged twice
    Raises   OutOfRange; NotConserved if this engine is wrong
    """
    inputs = priced.inputs
    payers = payer_nodes(inputs, pools)
    nodes = [node if node.medium is Medium.ELECTRICITY else replace(node, parents=()) for node in inputs.nodes]
    spans = tree_spans(nodes, inputs.slot_count, payers)
    accounts = Accounts(len(priced.bands), (None, rule.bearer), loss_wh=[0] * len(priced.bands))
    accounts.of(accounts.bearer)
    for span in spans:
        SpanShare(rule, priced, payers, span, accounts).share()
    path = sorted({inputs.nodes[row].id for span in spans for row in span.inner})
    return _result(rule, priced, tuple(path), accounts)


def payer_nodes(inputs: PeriodInputs, pools: Iterable[Pool]) -> dict[NodeId, UnitId | None]:
    """Say at which nodes energy is charged, and to which unit; None where it is a common load."""
    payers: dict[NodeId, UnitId | None] = {}
    for pool in pools:
        if pool.measure.medium is not Medium.ELECTRICITY:
            continue
        match pool.rule:
            case OwnUseRule(units):
                own = {unit: inputs.unit(unit).node for unit in units}
                payers |= {node: unit for unit, node in own.items() if node is not None}
            case DirectRule(unit):
                payers |= dict.fromkeys(pool.path, unit)
            case _:
                payers |= dict.fromkeys(pool.path, None)
    return payers


def _result(
    rule: LossRule, priced: PricedPeriod, path: tuple[NodeId, ...], accounts: Accounts
) -> tuple[PoolResult, tuple[Line, ...]]:
    lines = _lines(priced, accounts)
    cost_nano = priced.cost_nano(accounts.loss_wh)
    result = PoolResult(
        id=LOSS_POOL,
        names=rule.names,
        pool_class=PoolClass.MUST,
        path=path,
        deduct=(),
        band_energy_wh=tuple(accounts.loss_wh),
        cost_nano=cost_nano,
        cost_minor=to_minor(cost_nano, priced.currency),
        charged_minor=sum(line.amount_minor for line in lines if line.kind is LineKind.LOSS),
        days=(),
        fallback=None,
    )
    return result, lines


def _lines(priced: PricedPeriod, accounts: Accounts) -> tuple[Line, ...]:
    _require_conserved(accounts)
    traces = _cut(accounts)
    payers = {line_id(*payer): payer for payer in accounts.lines}
    bands = [
        round_parts({one: trace.quanta[band] for one, trace in traces.items()}, 1 << LINE_BITS, loss_wh)
        for band, loss_wh in enumerate(accounts.loss_wh)
    ]
    costs = {one: trace.cost_quanta(priced.bands) for one, trace in traces.items()}
    unit = cost_unit(priced.currency)
    amounts = round_parts(costs, unit, to_minor(priced.cost_nano(accounts.loss_wh), priced.currency))
    extra = sorted((-(costs[one] % unit), one) for one in costs if amounts[one] != costs[one] // unit)
    others = [costs[one] % unit for one in costs if amounts[one] == costs[one] // unit]
    last, last_id = extra[-1] if extra else (0, "")
    cut = roundest(max(others, default=-1), -last) if extra else 0
    return tuple(
        Line(
            pool=LOSS_POOL,
            party=party,
            unit=lettable,
            kind=LineKind.RESIDUAL if lettable is None else LineKind.LOSS,
            band_energy_wh=tuple(band[one] for band in bands),
            amount_minor=amounts[one],
            trace=replace(
                traces[one],
                extra=amounts[one] != costs[one] // unit,
                cut_remainder=-last if cut is None else cut,
                cut_id=last_id if cut is None or not extra else ANY_LINE,
            ),
        )
        for one, (lettable, party) in sorted(payers.items(), key=lambda item: (item[1][0] is None, item[0]))
    )


def _require_conserved(accounts: Accounts) -> None:
    for band, loss_wh in enumerate(accounts.loss_wh):
        shared = sum(account.carried[band] + account.no_load[band] for account in accounts.lines.values())
        if shared != loss_wh << FACTOR_BITS:
            raise NotConserved(f"{loss_wh} Wh of loss in band {band} and {shared} / 2^{FACTOR_BITS} Wh in its lines")


def _cut(accounts: Accounts) -> dict[str, LossTrace]:
    """Cut every line to 2^-20 Wh; the bearer's takes what is left over, so that each band still adds up."""
    shift = FACTOR_BITS - LINE_BITS
    cut = {
        line_id(*payer): LossTrace(
            line_id=line_id(*payer),
            drawn_wh=tuple(account.drawn_wh),
            carried=tuple(one >> shift for one in account.carried),
            no_load=tuple(one >> shift for one in account.no_load),
        )
        for payer, account in accounts.lines.items()
    }
    shared = [sum(column) for column in zip(*(trace.quanta for trace in cut.values()), strict=True)]
    over = [(loss_wh << LINE_BITS) - one for loss_wh, one in zip(accounts.loss_wh, shared, strict=True)]
    bearer = cut[line_id(*accounts.bearer)]
    cut[bearer.line_id] = replace(bearer, carried=tuple(sum_by_band(bearer.carried, over)))
    return cut
