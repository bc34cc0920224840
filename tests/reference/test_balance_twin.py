"""The balance of any small dated tree, done again slot by slot, in plain integers and by its definition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isqrt
from random import Random

import numpy as np
import pytest

from allocation_engine import blocks
from allocation_engine.balance import BAND_WH_MIN, COVERAGE, balance_tree
from allocation_engine.inputs import NodeKind, ParentSpan, PeriodInputs, TreeNode
from allocation_engine.intervals import SlotQuality
from metering.identity import NodeId, PartyId, SiteId
from metering.interval import Interval, SiteCalendar

EVENING = datetime(2026, 7, 1, 15, 0, tzinfo=UTC)
"""An hour before midnight in Shanghai: slots 0 to 3 are one local day, those from 4 on the next."""


def random_inputs(seed: Random, *, unknown: bool) -> PeriodInputs:
    """Up to eight nodes that may move twice, leave the tree, give back, and not be known."""
    count, slots = seed.randint(1, 8), seed.randint(1, 14)
    nodes = []
    for row in range(count):
        cuts = sorted({0, slots, *(seed.randint(0, slots) for _ in range(seed.randint(0, 2)))})
        spans = []
        for first, end in pairwise(cuts):
            parent = NodeId(f"n-{seed.randrange(row)}") if row and seed.random() < 0.9 else None
            if seed.random() < 0.9:
                spans.append(ParentSpan(first, end, parent))
        nodes.append(TreeNode(NodeId(f"n-{row}"), NodeKind.END, tuple(spans), seed.choice([2_000, 5_000, 10_000])))
    shape = (count, slots)
    kind = seed.choice([np.int32, np.int64])
    energy = [np.array([[seed.randint(0, 10**6) for _ in range(slots)] for _ in range(count)], kind) for _ in range(2)]
    energy[1][[row for row in range(count) if seed.random() < 0.6]] = 0
    quality = np.zeros(shape, np.uint8)
    if unknown:
        for _ in range(seed.randint(0, 6)):
            quality[seed.randrange(count), seed.randrange(slots)] = seed.randint(0, int(max(SlotQuality)))
    order = list(range(count))
    seed.shuffle(order)
    return PeriodInputs(
        site=SiteId("park"),
        label="2026-07",
        calendar=SiteCalendar("Asia/Shanghai"),
        period=Interval(EVENING, EVENING + slots * timedelta(minutes=15)),
        site_hash=bytes(32),
        owner=PartyId("owner"),
        nodes=tuple(nodes[row] for row in order),
        import_wh=energy[0][order],
        export_wh=energy[1][order],
        quality=quality[order],
        exceptions=(),
        evidence=(),
        units=(),
        occupancies=(),
    )


class Plain:
    """The same facts as dictionaries, and the balance by its definition."""

    def __init__(self, inputs: PeriodInputs) -> None:
        names = [node.id for node in inputs.nodes]
        self.inputs, self.slots = inputs, range(inputs.slot_count)
        self.taken = {one: row.tolist() for one, row in zip(names, inputs.import_wh, strict=True)}
        self.given = {one: row.tolist() for one, row in zip(names, np.asarray(inputs.export_wh), strict=True)}
        self.known = {one: (row < 4).tolist() for one, row in zip(names, inputs.quality, strict=True)}
        self.parents = {node.id: node.parents for node in inputs.nodes}
        self.ppm = {node.id: node.accuracy_ppm for node in inputs.nodes}

    def net(self, node: str, slot: int) -> int:
        """Import less export."""
        return int(self.taken[NodeId(node)][slot] - self.given[NodeId(node)][slot])

    def hung(self, node: str, slot: int) -> list[str]:
        """Who is said to hang below a node in a slot."""
        said = ((one, span) for one, spans in self.parents.items() for span in spans)
        return [one for one, span in said if span.parent == node and span.first <= slot < span.end]

    def children(self, node: str, slot: int) -> list[str]:
        """Who hangs below a node in a slot; below a node that is not part of the tree, nobody does."""
        up: str | None = node
        while up is not None:
            at = [span.parent for span in self.parents[NodeId(up)] if span.first <= slot < span.end]
            if not at:
                return []
            up = at[0]
        return self.hung(node, slot)

    def loss(self, node: str, slot: int) -> int:
        """What is gone, as far as everything is known."""
        below = self.children(node, slot)
        if not all(self.known[NodeId(one)][slot] for one in (node, *below)):
            return 0
        return self.net(node, slot) - sum(self.net(one, slot) for one in below)

    def band(self, node: str) -> int:
        """Two standard errors: the node's own, and each child's on what it counted while it hung here."""
        counted = {NodeId(node): sum(self.taken[NodeId(node)]) + sum(self.given[NodeId(node)])}
        for slot in self.slots:
            for one in map(NodeId, self.hung(node, slot)):
                counted[one] = counted.get(one, 0) + self.taken[one][slot] + self.given[one][slot]
        squares = sum((self.ppm[one] * wh) ** 2 for one, wh in counted.items())
        return max(COVERAGE * isqrt(squares) // 10**6, BAND_WH_MIN)


def compare(inputs: PeriodInputs) -> None:
    """Hold every field of every node against the definition."""
    plain = Plain(inputs)
    balance = balance_tree(inputs)
    assert [one.node for one in balance] == sorted(plain.taken)
    days = [range(first, end) for _, first, end in inputs.day_spans()]
    for one in balance:
        node = one.node
        taken, given = sum(plain.taken[node]), sum(plain.given[node])
        assert (one.import_wh, one.export_wh, one.net_wh) == (taken, given, taken - given)
        assert sum(count for _, count in one.slots_by_quality) == inputs.slot_count
        if not any(plain.children(node, slot) for slot in plain.slots):
            assert (one.children_wh, one.loss_wh, one.band_wh, one.day_loss_wh) == (None, None, None, ())
            continue
        below = [(child, slot) for slot in plain.slots for child in plain.children(node, slot)]
        known = [plain.net(child, slot) for child, slot in below if plain.known[NodeId(child)][slot]]
        assert one.children_wh == sum(known)
        assert one.day_loss_wh == tuple(sum(plain.loss(node, slot) for slot in day) for day in days)
        assert (one.loss_wh, one.band_wh) == (sum(one.day_loss_wh), plain.band(node))


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_every_balance_is_the_one_of_the_definition(seed: int, unknown: bool) -> None:
    compare(random_inputs(Random(seed), unknown=unknown))


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELLS_MIN", 1)
    for number in range(20):
        compare(random_inputs(Random(number), unknown=True))
