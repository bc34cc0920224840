"""What a tenant sees in a proof, written down so that a person can add it up."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from allocation_engine.commitment import commit_run
from allocation_engine.money import show_minor
from allocation_engine.pools import PoolClass
from allocation_engine.run import Line, LineKind, MeteredTrace, PoolResult
from metering.identity import PartyId, PoolId, UnitId

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/proof.toml"))


def minor(text: str) -> int:
    """Read 12.34 as 1234."""
    return int(text.replace(".", ""))


def line(name: str, amount: str) -> Line:
    """A share as the case writes it."""
    pool, unit, party = name.split("/")
    where = None if unit == "residual" else UnitId(unit)
    kind = LineKind.RESIDUAL if where is None else LineKind.SHARE
    trace = MeteredTrace((), (), "import", (), 0, ())  # the commitment looks at the cut of shares only
    return Line(PoolId(pool), PartyId(party), where, kind, (0,), minor(amount), trace)


def pool_of(lines: list[Line]) -> PoolResult:
    """The pool that these lines make."""
    cost_minor = sum(one.amount_minor for one in lines)
    names = (("en", "Lift"), ("zh", "电梯"))
    totals = (0,), 10**7 * cost_minor, cost_minor, cost_minor
    return PoolResult(lines[0].pool, names, PoolClass.MUST, (), (), *totals, (), None)


def seen(case: dict[str, Any]) -> dict[str, Any]:
    """What the proof of the case's party shows."""
    lines = [line(name, amount) for name, amount in case["lines"].items()]
    cost_minor = sum(one.amount_minor for one in lines)
    pool = pool_of(lines)
    run: Any = SimpleNamespace(id=case["run"], pools=[pool], lines=lines)
    commitment = commit_run(run, bytes.fromhex(case["salt_key"]))
    own = [one for one in lines if one.party == case["party"]]
    proof = commitment.open(own)
    sums = [stub.charges - stub.credits for stub in proof.pools[0].stubs]
    return {
        "own": show_minor(sum(one.amount_minor for one in own), "CNY"),
        "pieces": [show_minor(piece, "CNY") for opening in proof.lines for piece in opening.pieces],
        "stubs": [show_minor(one, "CNY") for one in sums],
        "others": show_minor(sum(sums), "CNY"),
        "cost": show_minor(cost_minor, "CNY"),
        "commitment": commitment.root.hex(),
    }


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_proof_shows_what_it_must_and_no_more(folder: Path) -> None:
    case = tomllib.loads((folder / "proof.toml").read_text(encoding="utf-8"))
    expected = case["expected"]
    found = seen(case)
    assert found == expected
    assert sum(map(minor, expected["pieces"])) == minor(expected["own"])
    assert minor(expected["own"]) + sum(map(minor, expected["stubs"])) == minor(expected["cost"])
    others = {amount for name, amount in case["lines"].items() if not name.endswith(f"/{case['party']}")}
    assert not others & set(expected["stubs"])
