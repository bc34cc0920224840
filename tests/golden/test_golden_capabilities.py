"""Every capability of the engine has a case that a person can read: README.md against the list here and the folders."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ([^|]+) \| (\[.+?\)(?:, \[.+?\))*) \| ([^|]+) \|$", re.M)
_LINK = re.compile(r"\[([a-z0-9-]+)\]\(([a-z0-9./-]+)\)")

CAPABILITIES = """
ladder: plain register differences
ladder: rollover
ladder: meter exchange
ladder: multiplier change
ladder: estimate with basis and reason
ladder: outage of days
ladder: what nobody can explain is held
ladder: unread slots refuse the period
more than 25 % estimated: fixed key
days of 92 and 100 slots
dated tree
energy given back behind a branch
balance: accuracy bands and cases
loss: per slot, pro rata
loss: down the tree
loss: no-load part by area
loss: no-load part by capacity
tariff: dated versions
tariff: time of use by season
tariff: weekday and holiday
tariff: lunar holidays as data
tariff: half-hour boundaries
tariff: bands over midnight
tariff: tiers by month
tariff: tiers by year to date
tariff: two-part by maximum demand
tariff: two-part by capacity
tariff: power factor 0.90, 0.85, 0.80
tariff: taxes
tariff: standing and minimum charges
tariff: water, heat and gas
driver: area
driver: energy
driver: headcount
driver: equal
driver: fixed shares
driver: metered load factor
driver: time coefficient
driver: temperature
driver: imported series with provenance and missing-value rule
pools: must
pools: negotiated, default by law, agreement that lapses
pools: exclusive
pools: bound to a metering path, nothing twice
pools: net energy, credits
pools: weights that are all zero
multi-stage: building, floor, lease
services: direct, step-down, side by side
services: reciprocal
demand charge by four methods
caps by province and date, with the check
vacancy is the owner's line
occupancy exact to the slot
rules: refused when saved, with place and mend
rules: the lobby formula, pass-through
rules: the lobby formula, spreading
rules: a formula in Chinese
rules: keys written as a formula
rules: virtual meters
rules: text and blocks are one formula
rules: stored rules mean what their files meant
runs: draft to superseded, second person
runs: dry run
runs: what-if on a rule's scope, per tenant
runs: what-if on tariff and lease
runs: difference by reading, topology, lease, tariff, rule
runs: difference by rounding
runs: corrections as delta lines
runs: shadow on past months
runs: checker of what would be missed
proofs: all shares add up, no neighbour is shown
proofs: altered leaf, sum, doubled leaf
compliance: resale price cap
compliance: sum within invoice and permitted loss
compliance: public posting
compliance: keys change at the start of a period
compliance: HeizkostenV 50-70 %
compliance: HeizkostenV section 9a
explanation: a line of each kind in Chinese and English
explanation: basis and reason of a slot
exact to the fen
""".strip().splitlines()


def listed() -> dict[str, list[tuple[str, str]]]:
    """Cases by capability, as README.md lists them: folder and file."""
    return {capability: _LINK.findall(cases) for capability, cases, _ in _ROW.findall(README)}


def folders() -> set[str]:
    """Every folder that holds a case."""
    return {path.parent.name for path in HERE.glob("*/*.toml")}


def test_every_capability_has_a_case_that_is_there() -> None:
    found = listed()
    assert set(CAPABILITIES) <= set(found), set(CAPABILITIES) - set(found)
    for capability, cases in found.items():
        assert cases, capability
        for folder, file in cases:
            assert file.split("/")[0] == folder, "the link leads to the folder it names"
            assert (HERE / file).is_file(), f"{capability}: {file}"


def test_every_case_is_listed_under_a_capability() -> None:
    named = {folder for cases in listed().values() for folder, _ in cases}
    assert folders() - named == set(), "add a line to tests/golden/README.md that says what these cases show"


def test_every_listed_case_is_computed_by_a_test() -> None:
    """A file that no test reads would be listed and checked by nobody."""
    sources = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_golden_*.py"))
    for cases in listed().values():
        for _, file in cases:
            assert f'"{Path(file).name}"' in sources or f"*/{Path(file).name}" in sources, file


def test_published_examples_are_among_the_cases() -> None:
    sources = README.split("## Sources of published examples")[1].split("##")[0]
    named = set(re.findall(r"^\| ([a-z0-9-]+) \| ", sources, re.M)) - {"case"}
    assert len(named) >= 4
    assert named <= folders()
