"""docs/proofs.md promises its examples to strangers; this test makes them again and compares every octet."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.close_period import close_period
from allocation_engine.commitment import commit_run
from allocation_engine.inclusion import InclusionProof, leaf_of, line_digest
from allocation_engine.inputs import PeriodInputs
from allocation_engine.pool_facts import cut_of, facts_of, stated_pool
from allocation_engine.pools import PoolClass
from allocation_engine.rules import Rules
from allocation_engine.run import Line, LineKind, MeteredTrace, PoolResult, Run, ShareTrace, Trace
from allocation_engine.sum_tree import SumNode
from metering.envelope import decode_canonical, encode
from metering.identity import PartyId, PoolId, UnitId

PROOFS = Path(__file__).parents[3] / "docs" / "proofs.md"
RUN_ID = hashlib.sha256(b"metertree proof vectors, run").digest()
SALT_KEY = hashlib.sha256(b"metertree proof vectors, salt key").digest()


def published() -> dict[str, Any]:
    """The vectors as printed in docs/proofs.md."""
    block = re.search(r"<!-- vectors -->\s*```json\n(.*?)```", PROOFS.read_text(encoding="utf-8"), re.S)
    assert block is not None, "docs/proofs.md has no vector block"
    vectors: dict[str, Any] = json.loads(block.group(1))
    return vectors


@pytest.fixture
def run(make_inputs: Callable[..., PeriodInputs], make_rules: Callable[..., Rules], area_pool: dict[str, Any]) -> Run:
    """Three lines of a lift, two of a credit, two of own use: made by hand, so that no rule can move them."""
    inputs = make_inputs(energy={"lift": 1}, units={"a": (1, None)})
    closed = close_period(inputs, make_rules(inputs, area_pool))
    plain = closed.pools[0]
    shares = (("lift", "a", "t-1", 5_000), ("lift", "b", "t-2", 3_000), ("lift", None, "owner", 2_000))
    credits = (("roof", "a", "t-1", -750), ("roof", "b", "t-2", -450))
    own = (("own-use", "a", "t-1", 4_200), ("own-use", "b", "t-2", 3_100))
    pools = (
        replace(plain, id=PoolId("lift"), cost_minor=10_000, charged_minor=8_000),
        replace(plain, id=PoolId("roof"), cost_minor=-1_200, charged_minor=-1_200),
        replace(plain, id=PoolId("own-use"), cost_minor=7_300, charged_minor=7_300, pool_class=PoolClass.EXCLUSIVE),
    )
    lines = tuple(made_line(*one) for one in (*shares, *credits, *own))
    return replace(closed, id=RUN_ID.hex(), pools=pools, lines=lines)


def made_line(pool: str, unit: str | None, party: str, amount_minor: int) -> Line:
    """A line of one band, 1 kWh to the yuan."""
    where = None if unit is None else UnitId(unit)
    total_weight = {"lift": 10_000, "roof": 1_200}.get(pool)
    trace: Trace = MeteredTrace((), (), "import", (), 0, ())
    if total_weight is not None:
        trace = ShareTrace(f"{unit or 'residual'}/{party}", abs(amount_minor), total_weight, 0, False, 0, "", 0, 0)
    return Line(PoolId(pool), PartyId(party), where, LineKind.SHARE, (10 * amount_minor,), amount_minor, trace)


def refused(proof: InclusionProof, other: InclusionProof) -> Iterator[tuple[str, bytes]]:
    """Every attack of docs/proofs.md as octets that a reader must refuse."""
    first, second, *pieces = proof.lines[0].pieces
    leaf = replace(proof.lines[0], pieces=(first + 1, second - 1, *pieces))
    yield "mutated_leaf", replace(proof, lines=(leaf, *proof.lines[1:])).to_octets()
    lift, *pools = proof.pools
    high, low, *stubs = lift.stubs

    def with_stubs(*changed: SumNode) -> bytes:
        return replace(proof, pools=(replace(lift, stubs=changed), *pools)).to_octets()

    yield "mutated_sum", with_stubs(high._replace(charges=high.charges + 1), low, *stubs)
    yield (
        "moved_sum",
        with_stubs(high._replace(charges=high.charges + low.charges + 1), low._replace(charges=0, credits=1), *stubs),
    )
    yield "swapped_siblings", with_stubs(low, high, *stubs)
    yield "truncated", with_stubs(high, low, *stubs[:-1])
    yield "stub_to_spare", with_stubs(high, low, *stubs, stubs[0])
    yield "leaf_of_another_line", replace(proof, lines=(other.lines[0], *proof.lines[1:])).to_octets()
    wire = decode_canonical(proof.to_octets())
    wire[1][0][1][0][1] = -20
    yield "negative_sibling", encode(wire)


def facts_of_pool(run: Run, pool: PoolResult) -> bytes:
    """The facts of a pool as they are hashed."""
    return facts_of(stated_pool(pool, b""), cut_of(line for line in run.lines if line.pool == pool.id))


def made(run: Run) -> dict[str, Any]:
    """The same vectors, made now."""
    commitment = commit_run(run, SALT_KEY)
    opened = commitment.open(run.lines)
    lines = []
    for line, one in zip(run.lines, opened.lines, strict=True):
        digest = line_digest(RUN_ID, line)
        is_open = line.pool != "own-use"
        leaf = leaf_of(digest, one.salt, 0, one.pieces[0], is_open=is_open)
        lines.append(
            {
                "id": line.id,
                "band_energy_wh": list(line.band_energy_wh),
                "amount_minor": line.amount_minor,
                "digest": digest.hex(),
                "salt": one.salt.hex(),
                "pieces": list(one.pieces),
                "leaf_0": leaf.digest.hex(),
            }
        )
    own, others = (commitment.open(run.lines_of(PartyId(party))) for party in ("t-1", "t-2"))
    return {
        "run_id": RUN_ID.hex(),
        "salt_key": SALT_KEY.hex(),
        "lines": lines,
        "pools": [
            {
                "id": pool.id,
                "cost_minor": None if pool.id == "own-use" else pool.cost_minor,
                "facts": facts_of_pool(run, pool).hex(),
                "root": root.hex(),
            }
            for pool, root in zip(run.pools, commitment.roots.values(), strict=True)
        ],
        "commitment": commitment.root.hex(),
        "proof_of_t-1": own.to_octets().hex(),
        "refused": {name: octets.hex() for name, octets in refused(own, others)},
    }


def test_the_published_vectors_are_what_the_engine_makes(run: Run) -> None:
    vectors = made(run)
    assert published() == vectors, "docs/proofs.md is out of date; new vectors:\n" + json.dumps(vectors, indent=1)
