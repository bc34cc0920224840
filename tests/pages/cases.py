"""The golden cases as the teaching pages use them: computed once, by the engine, from the files a person can read."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from allocation_engine.close_period import close_period
from allocation_engine.money import show_minor
from allocation_engine.run import Line, NodeBalance, PoolResult, Run
from tests.golden import test_golden_changes, test_golden_periods, test_golden_tariffs, test_golden_trees

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
_READERS = (
    ("case.toml", test_golden_periods.read_case),
    ("period.toml", test_golden_trees.read_case),
    ("facts.toml", test_golden_tariffs.read_case),
)


@cache
def case(name: str) -> Any:
    """The facts of a case."""
    folder = GOLDEN / name
    for file, read in _READERS:
        if (folder / file).exists():
            return read(folder)
    raise LookupError(f"no case {name}")


@cache
def run(name: str) -> Run:
    """The run of a case."""
    found = case(name)
    return close_period(found.inputs, found.rules)


@cache
def changes(name: str) -> tuple[Any, list[Any]]:
    """A case that is closed twice, and its changes."""
    facts = tomllib.loads((GOLDEN / name / "change.toml").read_text(encoding="utf-8"))
    return test_golden_changes.ChangeCase(facts), facts["change"]


def raw(name: str, file: str) -> dict[str, Any]:
    """The content of a file of a case."""
    return tomllib.loads((GOLDEN / name / file).read_text(encoding="utf-8"))


def line(name: str, line_id: str) -> Line:
    """One line of a case."""
    return next(one for one in run(name).lines if one.id == line_id)


def pool(name: str, pool_id: str) -> PoolResult:
    """One pool of a case."""
    return next(one for one in run(name).pools if one.id == pool_id)


def node(name: str, node_id: str) -> NodeBalance:
    """The balance of one node of a case."""
    return next(one for one in run(name).balance if one.node == node_id)


def money(amount_minor: int) -> str:
    """An amount with thousands apart."""
    whole, _, cents = show_minor(amount_minor, "CNY").partition(".")
    return f"{int(whole):,}.{cents}" if abs(int(whole)) >= 1000 else f"{whole}.{cents}"


def amount(name: str, line_id: str) -> str:
    """The amount of one line."""
    return money(line(name, line_id).amount_minor)


def kwh(energy_wh: int) -> str:
    """An energy with thousands apart and three decimals."""
    sign, rest = ("-" if energy_wh < 0 else ""), abs(energy_wh)
    return f"{sign}{rest // 1000:,}.{rest % 1000:03d}"


def energy(name: str, line_id: str) -> str:
    """The energy of one line."""
    return kwh(sum(line(name, line_id).band_energy_wh))
