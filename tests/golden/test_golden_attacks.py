"""Shares that somebody changed between the run and the tenant: each attempt with what the tenant is told."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from allocation_engine.commitment import commit_run
from allocation_engine.inclusion import InclusionProof, require_pool
from allocation_engine.pool_facts import stated_pool
from allocation_engine.proof import Broken
from allocation_engine.run import Line
from allocation_engine.statement_content import StatedPool
from tests.golden.test_golden_proofs import line, minor, pool_of

CASE = tomllib.loads((Path(__file__).parent / "shares-altered-on-the-way" / "altered.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Shown:
    """What the tenant has in his hands: his lines, the pool's cost as told, and the proof."""

    lines: tuple[Line, ...]
    cost_minor: int
    pool: StatedPool
    proof: InclusionProof

    def require(self) -> int:
        """Check it as the tenant does; give what all shares come to."""
        pool = replace(self.pool, cost_minor=self.cost_minor)
        content: Any = SimpleNamespace(lines=self.lines, pools=(pool,), run_id=bytes.fromhex(CASE["run"]))
        proven = require_pool(content, self.proof, pool)
        assert proven.charges is not None
        return proven.charges

    def with_stubs(self, change: Any) -> Shown:
        """The same with other branches."""
        (pool,) = self.proof.pools
        return replace(self, proof=replace(self.proof, pools=(replace(pool, stubs=tuple(change([*pool.stubs]))),)))

    def with_opening(self, **changes: Any) -> Shown:
        """The same with another opening of the line."""
        (opening,) = self.proof.lines
        return replace(self, proof=replace(self.proof, lines=(replace(opening, **changes),)))


def shown() -> Shown:
    """What an honest centre hands out."""
    lines = [line(name, amount) for name, amount in CASE["lines"].items()]
    cost = sum(one.amount_minor for one in lines)
    pool = pool_of(lines)
    run: Any = SimpleNamespace(id=CASE["run"], pools=[pool], lines=lines)
    commitment = commit_run(run, bytes.fromhex(CASE["salt_key"]))
    own = tuple(one for one in lines if one.party == CASE["party"])
    return Shown(own, cost, stated_pool(pool, commitment.roots[pool.id]), commitment.open(own))


def attempts(honest: Shown) -> Mapping[str, Shown]:
    """Each attempt as it reaches the tenant."""
    (opening,) = honest.proof.lines
    first, second, *others = opening.pieces
    lower = replace(honest.lines[0], amount_minor=minor("49.99"))
    return {
        "a leaf": honest.with_opening(pieces=(first + 1, second - 1, *others)),
        "a sum": honest.with_stubs(lambda stubs: [stubs[0]._replace(charges=stubs[0].charges + 1), *stubs[1:]]),
        "two sums traded": honest.with_stubs(
            lambda stubs: [
                stubs[0]._replace(charges=stubs[1].charges),
                stubs[1]._replace(charges=stubs[0].charges),
                *stubs[2:],
            ]
        ),
        "a leaf twice": replace(
            honest,
            lines=honest.lines * 2,
            proof=replace(honest.proof, lines=honest.proof.lines * 2),
        ),
        "a branch left out": honest.with_stubs(lambda stubs: stubs[:-1]),
        "a line told lower": replace(honest, lines=(lower,)),
        "a cost told lower": replace(honest, cost_minor=honest.cost_minor - 1),
    }


def test_what_an_honest_centre_hands_out_holds() -> None:
    honest = shown()
    assert honest.require() == sum(minor(amount) for amount in CASE["lines"].values())


@pytest.mark.parametrize("attempt", CASE["attempts"])
def test_whatever_is_altered_is_found_out(attempt: str) -> None:
    with pytest.raises(Broken) as caught:
        attempts(shown())[attempt].require()
    assert (caught.value.link, str(caught.value)) == ("pool lift", CASE["attempts"][attempt])


def test_no_attempt_is_left_out_of_the_sheet() -> None:
    assert set(attempts(shown())) == set(CASE["attempts"])
    assert len(CASE["why"].split()) > 25
