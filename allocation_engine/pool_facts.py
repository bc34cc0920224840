"""What everybody in a pool must have been told alike: its cost, how it came about, and where its odd minor units went.

The root of a pool covers these facts (`inclusion.py`), so one root means one story. That also proves the odd units:
each line shows that it got one more exactly if its remainder reaches the *cut*, all lines together make the cost, and
with one cut for all those who got one more are those with the largest remainders, as many as the cost left over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from allocation_engine.loss_trace import LossTrace
from allocation_engine.pools import PoolClass
from allocation_engine.run import Line, PoolResult, ShareTrace
from allocation_engine.statement_content import StatedPool
from metering.envelope import encode
from metering.errors import BooksError

_FACTS = b"\x05"


class CutsDiffer(BooksError):
    """Lines of one pool speak of different total weights or of different last odd units."""


class Cut(NamedTuple):
    """Where the odd minor units of a pool ended.

    total_weight   of all its lines; 0 where they are not shares by weight
    remainder      from which remainder on lines got 1 more; 0 when nobody did. Nobody's own where that can be
    line_id        with just this remainder, line ids up to this got it: ANY_LINE unless equal remainders were told
                   apart by id; "" when nobody got 1 more
    """

    total_weight: int = 0
    remainder: int = 0
    line_id: str = ""


def is_open(pool: PoolResult) -> bool:
    """Say whether every party of the pool may know its cost, so that its tree carries sums."""
    return pool.pool_class is not PoolClass.EXCLUSIVE


def stated_pool(pool: PoolResult, root: bytes) -> StatedPool:
    """Give a pool as every statement states it."""
    shared = is_open(pool)
    return StatedPool(
        id=pool.id,
        names=pool.names,
        pool_class=pool.pool_class,
        cost_minor=pool.cost_minor if shared else None,
        charged_minor=pool.charged_minor if shared else None,
        root=root,
        days=pool.days,
        tariff=pool.tariff,
        steps=pool.steps,
        charge=pool.charge,
        ground=pool.ground,
        service=pool.service,
    )


def cut_of(lines: Iterable[Line]) -> Cut:
    """Give the one cut that all `lines` of a pool speak of; raises CutsDiffer."""
    cuts = {_cut(line) for line in lines}
    if len(cuts) > 1:
        raise CutsDiffer(f"lines of one pool speak of {len(cuts)} different cuts: {sorted(cuts)[:3]}")
    return cuts.pop() if cuts else Cut()


def facts_of(pool: StatedPool, cut: Cut) -> bytes:
    """Give the facts as they are hashed: CBOR of the pool as stated, without its root, and of the cut."""
    return encode([pool.to_facts(), list(cut)])


def facts_digest(facts: bytes) -> bytes:
    """Give the digest of facts, 32 octets."""
    return hashlib.sha256(_FACTS + facts).digest()


def _cut(line: Line) -> Cut:
    trace = line.trace
    if isinstance(trace, ShareTrace):
        return Cut(trace.total_weight, trace.cut_remainder, trace.cut_id)
    return Cut(0, trace.cut_remainder, trace.cut_id) if isinstance(trace, LossTrace) else Cut()
