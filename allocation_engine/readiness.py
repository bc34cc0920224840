"""What stands in the way of closing a period: unknown energy, rules that do not hold, energy charged twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from allocation_engine.errors import PeriodNotReady
from allocation_engine.inputs import PeriodInputs
from allocation_engine.intervals import SlotQuality
from allocation_engine.pools import OwnUseRule, Pool
from allocation_engine.pricing import spread
from allocation_engine.rules import Rules
from allocation_engine.tree import nodes_above, parents_of
from metering.identity import NodeId


def require_ready(inputs: PeriodInputs, rules: Rules) -> None:
    """Raise PeriodNotReady with every reason that is found."""
    reasons = (*_unsettled(inputs), *_lapsed(inputs, rules), *_charged_twice(inputs, rules), *_mixed(inputs, rules))
    if reasons:
        raise PeriodNotReady(reasons)


def _unsettled(inputs: PeriodInputs) -> Iterator[str]:
    """Name every node of the tree with slots whose energy is not known."""
    rows = np.flatnonzero(inputs.quality.max(axis=1, initial=0) >= SlotQuality.MISSING).tolist()
    told: dict[tuple[NodeId, SlotQuality], dict[str, None]] = {}
    for at, one in inputs.exceptions if rows else ():
        told.setdefault((at, one.quality), {})[f"{one.reason}: {one.basis}"] = None
    for row in rows:
        node = inputs.nodes[row]
        in_tree = spread([(0, span.first, span.end) for span in node.parents], inputs.slot_count) == 0
        for quality in (SlotQuality.HELD, SlotQuality.MISSING):
            slots = np.flatnonzero((inputs.quality[row] == quality) & in_tree)
            if slots.size:
                since = inputs.calendar.local(inputs.mark(int(slots[0]))).isoformat(timespec="minutes")
                why = "; ".join(told.get((node.id, quality), ())) or "no reason recorded"
                yield f"{node.id}: {slots.size} slots {quality.name.lower()} from {since} on ({why})"


def _lapsed(inputs: PeriodInputs, rules: Rules) -> Iterator[str]:
    days = inputs.calendar.days(inputs.period)
    dated = [(f"pool {pool.id}", pool.valid_from, pool.valid_to) for pool in rules.pools]
    if rules.loss is not None:
        dated.append(("the sharing of losses", rules.loss.valid_from, rules.loss.valid_to))
    for what, valid_from, valid_to in dated:
        if valid_from > days[0] or (valid_to is not None and valid_to <= days[-1]):
            until = f" to {valid_to}" if valid_to else ""
            yield f"{what} holds from {valid_from}{until}, not for all of {days[0]} to {days[-1]}"


def _charged_twice(inputs: PeriodInputs, rules: Rules) -> Iterator[str]:
    """Name every node whose energy is in two pools, itself or inside a node above it."""
    parents = parents_of(inputs.nodes)
    charged: dict[NodeId, Pool] = {}
    for pool in rules.pools:
        for node in _path(pool, inputs):
            if node in charged:
                yield f"node {node} is charged by pool {charged[node].id} and by pool {pool.id}"
            charged[node] = pool
    for node, pool in charged.items():
        all_above = nodes_above(node, parents)
        for above in all_above:
            other = charged.get(above)
            if other is not None and not ({node, *all_above} & set(other.deduct)):
                yield f"node {node} of pool {pool.id} lies below {above} of pool {other.id}; deduct it there"


def _mixed(inputs: PeriodInputs, rules: Rules) -> Iterator[str]:
    """Name every node through which something else flows than its pool counts."""
    media = {node.id: node.medium for node in inputs.nodes}
    for pool in rules.pools:
        for node in (*_path(pool, inputs), *pool.deduct):
            if media.get(node, pool.measure.medium) is not pool.measure.medium:
                yield f"pool {pool.id} counts {pool.measure.medium} at node {node}, which meters {media[node]}"


def _path(pool: Pool, inputs: PeriodInputs) -> tuple[NodeId, ...]:
    if isinstance(pool.rule, OwnUseRule):
        nodes = (pool.rule.node_of(unit, inputs.unit(unit).node) for unit in pool.rule.units)
        return tuple(node for node in nodes if node is not None)
    return pool.path
