"""Rules that are refused when they are saved, each with the place and the mend that its author is shown.

`refused.toml` has one site and one good set of rules; each `[[rule]]` is a change that somebody might write.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.rules import SiteNames
from allocation_engine.rules_file import read_rules
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId

CASE = tomllib.loads((Path(__file__).parent / "rules-refused-when-saved" / "refused.toml").read_text("utf-8"))
OWNER = PartyId("owner")
NAMES = SiteNames(
    frozenset(map(NodeId, CASE["nodes"])),
    {UnitId(unit): node or None for unit, node in CASE["units"].items()},
    frozenset({OWNER}),
    OWNER,
    "CNY",
)


def save(folder: Path, pools: str) -> None:
    """Save a site's rules as `metertree site import` would read them."""
    (folder / "tariff.toml").write_text(CASE["tariff"], encoding="utf-8")
    (folder / "pools.toml").write_text(pools, encoding="utf-8")
    (folder / "weather.csv").write_text("day,tmax_c\n2026-07-01,31.0\n", encoding="utf-8")
    read_rules(folder, NAMES)


@pytest.mark.parametrize("rule", CASE["rule"], ids=lambda rule: rule["name"])
def test_a_rule_that_cannot_hold_is_refused_with_its_place(rule: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        save(tmp_path, rule["pools"])
    assert [str(one).removeprefix(f"{tmp_path}/") for one in caught.value.faults] == rule["refused"]


@pytest.mark.parametrize("rule", CASE["rule"], ids=lambda rule: rule["name"])
def test_the_mended_rule_is_saved(rule: dict[str, Any], tmp_path: Path) -> None:
    mended = rule["pools"]
    for wrong, right in rule["mended"].items():
        assert wrong in mended
        mended = mended.replace(wrong, right)
    save(tmp_path, mended)


def test_every_refusal_says_why_it_is_there() -> None:
    assert len(CASE["why"].split()) > 25
    assert all(len(rule["why"].split()) > 8 for rule in CASE["rule"])
