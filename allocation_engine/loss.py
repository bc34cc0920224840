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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from allocation_engine.apportion import round_parts, roundest
from allocation_engine.errors import NotConserved
from allocation_engine.inputs import Int64Array, Occupancy, PeriodInputs
from allocation_engine.kernels import DAY_SLOTS
from allocation_engine.loss_factors import FACTOR_BITS, ONE, REST_UNITS, LossFactors, find_loss_factors
from allocation_engine.loss_rule import LOSS_POOL, LossRule, NoLoad, NoLoadKey
from allocation_engine.loss_trace import LINE_BITS, LossTrace, cost_unit, line_id
from allocation_engine.media import Medium
from allocation_engine.money import to_minor
from allocation_engine.pools import DirectRule, OwnUseRule, Pool, PoolClass
from allocation_engine.pricing import PricedPeriod
from allocation_engine.run import ANY_LINE, Line, LineKind, PoolResult
from allocation_engine.tree import TreeSpan, tree_spans
from allocation_engine.weighing import BandRuns, RowSpans, weigh_exactly
from metering.identity import NodeId, PartyId, UnitId

Payer = tuple[UnitId | None, PartyId]


@dataclass(slots=True)
class _Account:
    """What one line has gathered, by band: energy drawn [Wh], and loss carried and no-load part [2^-40 Wh]."""

    drawn_wh: list[int]
    carried: list[int]
    no_load: list[int]


@dataclass(slots=True)
class _Accounts:
    """All lines by payer, and the loss they must add up to, by band [Wh]."""

    band_count: int
    bearer: Payer
    lines: dict[Payer, _Account] = field(default_factory=dict)
    loss_wh: list[int] = field(default_factory=list)

    def of(self, payer: Payer) -> _Account:
        """Give the account of `payer`, opening it on first use."""
        if payer not in self.lines:
            self.lines[payer] = _Account(*([0] * self.band_count for _ in range(3)))
        return self.lines[payer]


def split_loss(rule: LossRule, pools: Iterable[Pool], priced: PricedPeriod) -> tuple[PoolResult, tuple[Line, ...]]:
    """Share the losses of the electricity tree.

    pools    the other pools: whose energy they charge is where the tree ends, so nothing is charged twice
    Raises   OutOfRange; NotConserved if this engine is wrong
    """
    inputs = priced.inputs
    payers = payer_nodes(inputs, pools)
    nodes = [node if node.medium is Medium.ELECTRICITY else replace(node, parents=()) for node in inputs.nodes]
    spans = tree_spans(nodes, inputs.slot_count, payers)
    accounts = _Accounts(len(priced.bands), (None, rule.bearer), loss_wh=[0] * len(priced.bands))
    accounts.of(accounts.bearer)
    for span in spans:
        _SpanShare(rule, priced, payers, span, accounts).share()
    path = sorted({inputs.nodes[row].id for span in spans for row in span.inner})
    return _result(rule, priced, tuple(path), accounts)


def payer_nodes(inputs: PeriodInputs, pools: Iterable[Pool]) -> dict[NodeId, UnitId | None]:
    """Say at which nodes energy is charged, and to which unit; None where it is a common load."""
    payers: dict[NodeId, UnitId | None] = {}
    for pool in pools:
        match pool.rule:
            case OwnUseRule(units):
                own = {unit: inputs.unit(unit).node for unit in units}
                payers |= {node: unit for unit, node in own.items() if node is not None}
            case DirectRule(unit):
                payers |= dict.fromkeys(pool.path, unit)
            case _:
                payers |= dict.fromkeys(pool.path, None)
    return payers


class _Held(NamedTuple):
    """Slots of a tree span in which somebody answers for the energy of a node."""

    payer: Payer
    start: int
    end: int


class _SpanShare:
    """Shares the losses of one standing tree into accounts."""

    def __init__(
        self,
        rule: LossRule,
        priced: PricedPeriod,
        payers: Mapping[NodeId, UnitId | None],
        span: TreeSpan,
        accounts: _Accounts,
    ) -> None:
        self._rule, self._inputs, self._payers = rule, priced.inputs, payers
        self._span, self._accounts = span, accounts
        self._band_of_slot = priced.band_of_slot[span.first : span.end]
        self._bands = BandRuns.of(self._band_of_slot, len(priced.bands))
        self._occupancies: dict[UnitId, list[Occupancy]] = {}
        for one in self._inputs.occupancies:
            self._occupancies.setdefault(one.unit, []).append(one)

    def share(self) -> None:
        """Share the whole span."""
        inputs, span = self._inputs, self._span
        no_load_wh_day = np.zeros(len(inputs.nodes), np.int64)
        for one in self._rule.no_load:
            no_load_wh_day[inputs.row(one.node)] = one.wh_per_day
        export_wh = np.asarray(inputs.export_wh) if inputs.export_wh.any() else None
        factors = find_loss_factors(span, inputs.import_wh, export_wh, no_load_wh_day)
        self._add_losses(factors)
        self._add_carried(factors)
        for one in self._rule.no_load:
            for place in np.flatnonzero(span.inner == inputs.row(one.node)):
                self._add_no_load(one, factors.carried_above(int(place)))

    def _add_losses(self, factors: LossFactors) -> None:
        accounts, bearer = self._accounts, self._accounts.of(self._accounts.bearer)
        accounts.loss_wh = _sum(accounts.loss_wh, self._by_band(factors.loss_wh.sum(axis=0)))
        for rest, bits in zip(factors.rest, REST_UNITS, strict=True):
            bearer.carried = _sum(bearer.carried, [amount << bits for amount in self._by_band(rest)])

    def _by_band(self, amounts: Int64Array) -> list[int]:
        """Add up one amount per slot of the span by band, without bound."""
        return [sum(amounts[self._band_of_slot == band].tolist()) for band in range(self._bands.count)]

    def _add_carried(self, factors: LossFactors) -> None:
        """Charge every leaf of the tree what its energy carried."""
        span, nodes = self._span, self._inputs.nodes
        above = span.place_above
        leaves = span.order[~np.isin(span.order, span.inner)]
        pieces = [(int(row), held) for row in leaves for held in self._held(self._payers.get(nodes[row].id))]
        energy_wh = self._inputs.import_wh[:, span.first : span.end]
        spans = RowSpans.of([(row, int(above[row]), held.start, held.end) for row, held in pieces])
        drawn, carried = weigh_exactly(energy_wh, spans, factors.gross, self._bands)
        for (_, held), drawn_wh, quanta in zip(pieces, drawn.tolist(), carried, strict=True):
            account = self._accounts.of(held.payer)
            account.drawn_wh = _sum(account.drawn_wh, drawn_wh)
            account.carried = _sum(account.carried, quanta)

    def _held(self, unit: UnitId | None) -> Iterator[_Held]:
        """Say who answers for a unit, or for common energy (None), over which slots of the span."""
        first, end = self._span.first, self._span.end
        if unit is None:
            yield _Held(self._accounts.bearer, 0, end - first)
            return
        for one in self._occupancies[unit]:
            if one.first < end and first < one.end:
                yield _Held((unit, one.party), max(one.first, first) - first, min(one.end, end) - first)

    def _add_no_load(self, no_load: NoLoad, above: Int64Array) -> None:
        """Share the no-load part of one node, with what is lost on its way there, among the units below the node."""
        first, end = self._span.first, self._span.end
        keys = self._keys(no_load)
        pieces = [(unit, held) for unit in keys for held in self._held(unit)]
        whole = RowSpans.of([(0, 0, 0, end - first), *((0, 0, held.start, held.end) for _, held in pieces)])
        energy_wh = np.diff(np.arange(first, end + 1) * no_load.wh_per_day // DAY_SLOTS)[None, :]
        _, (left, *parts) = weigh_exactly(energy_wh, whole, (above + ONE)[None, :], self._bands)
        total_key = sum(keys.values())
        for (unit, held), part in zip(pieces, parts, strict=True):
            quanta = [one * keys[unit] // total_key for one in part]
            account = self._accounts.of(held.payer)
            account.no_load = _sum(account.no_load, quanta)
            left = [one - taken for one, taken in zip(left, quanta, strict=True)]
        bearer = self._accounts.of(self._accounts.bearer)
        bearer.no_load = _sum(bearer.no_load, left)

    def _keys(self, no_load: NoLoad) -> dict[UnitId, int]:
        """Give area [cm2] or capacity [VA] of each unit that is charged for energy below the node."""
        inputs, top = self._inputs, self._inputs.row(no_load.node)
        capacities = dict(no_load.capacities)
        keys: dict[UnitId, int] = {}
        for node, unit in sorted(self._payers.items()):
            row = inputs.row(node)
            while row >= 0 and row != top:
                row = int(self._span.parents[row])
            if unit is not None and row == top:
                keys[unit] = inputs.unit(unit).area_cm2 if no_load.key is NoLoadKey.AREA else capacities.get(unit, 0)
        return {unit: key for unit, key in keys.items() if key}


def _result(
    rule: LossRule, priced: PricedPeriod, path: tuple[NodeId, ...], accounts: _Accounts
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


def _lines(priced: PricedPeriod, accounts: _Accounts) -> tuple[Line, ...]:
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


def _require_conserved(accounts: _Accounts) -> None:
    for band, loss_wh in enumerate(accounts.loss_wh):
        shared = sum(account.carried[band] + account.no_load[band] for account in accounts.lines.values())
        if shared != loss_wh << FACTOR_BITS:
            raise NotConserved(f"{loss_wh} Wh of loss in band {band} and {shared} / 2^{FACTOR_BITS} Wh in its lines")


def _cut(accounts: _Accounts) -> dict[str, LossTrace]:
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
    cut[bearer.line_id] = replace(bearer, carried=tuple(_sum(bearer.carried, over)))
    return cut


def _sum(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]
