"""The table `[loss]` as people write it, and every mistake with its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from allocation_engine.loss_rule import LossMethod, LossRule, NoLoad, NoLoadKey
from allocation_engine.rules import Rules, SiteNames
from allocation_engine.rules_file import read_rules, rules_from_document
from metering.errors import DocumentError
from metering.identity import NodeId, PartyId, UnitId

TARIFF = """\
format = 1
currency = "CNY"

[[versions]]
id = "v-1"
from = 2026-01-01

[versions.rates]
flat = "0.5"

[[versions.seasons]]
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
flat = ["00:00-24:00"]
"""
POOLS = """\
format = 1

[[pools]]
id = "own-use"
class = "exclusive"
names = { zh = "自用电", en = "Own use" }
rule = "own-use"
units = "all"
measure = "import"
from = 2026-01-01

"""
LOSS = """\
[loss]
names = { zh = "损耗", en = "Losses" }
method = "per-slot"
bearer = "owner"
from = 2026-01-01
to = 2027-01-01
review_by = 2026-12-01

[[loss.no_load]]
node = "main"
kwh_per_day = "28.8"
key = "area"
source = "nameplate of T1"

[[loss.no_load]]
node = "a"
kwh_per_day = "0.125"
key = "capacity"
capacity_kva = { u-b = "12.5", u-a = "30" }
source = "test report of T2"
"""
NAMES = SiteNames(
    nodes=frozenset(map(NodeId, ("main", "a", "b"))),
    units={UnitId("u-a"): NodeId("a"), UnitId("u-b"): NodeId("b")},
    parties=frozenset({PartyId("owner"), PartyId("t-1")}),
    owner=PartyId("owner"),
    currency="CNY",
)


def read(folder: Path, loss: str, pools: str = POOLS) -> Rules:
    """Read rules whose loss table is `loss`."""
    (folder / "tariff.toml").write_text(TARIFF, encoding="utf-8")
    (folder / "pools.toml").write_text(pools + loss, encoding="utf-8")
    return read_rules(folder, NAMES)


def mistakes(folder: Path, loss: str, pools: str = POOLS) -> list[tuple[int, str]]:
    """Line (counted from the table's header) and problem of every mistake."""
    with pytest.raises(DocumentError) as caught:
        read(folder, loss, pools)
    return [(fault.line - pools.count("\n"), fault.problem) for fault in caught.value.faults]


def test_the_table_says_who_bears_and_what_flows_without_load(tmp_path: Path) -> None:
    assert read(tmp_path, LOSS).loss == LossRule(
        names=(("en", "Losses"), ("zh", "损耗")),
        method=LossMethod.PER_SLOT,
        bearer=PartyId("owner"),
        no_load=(
            NoLoad(NodeId("main"), 28_800, NoLoadKey.AREA, (), "nameplate of T1"),
            NoLoad(
                NodeId("a"),
                125,
                NoLoadKey.CAPACITY,
                ((UnitId("u-a"), 30_000), (UnitId("u-b"), 12_500)),
                "test report of T2",
            ),
        ),
        valid_from=date(2026, 1, 1),
        valid_to=date(2027, 1, 1),
        review_by=date(2026, 12, 1),
    )


def test_a_stored_version_means_what_its_file_meant(tmp_path: Path) -> None:
    rules = read(tmp_path, LOSS)
    again = rules_from_document(rules.document, NAMES)
    assert (again.loss, again.hash) == (rules.loss, rules.hash)


def test_without_the_table_nothing_is_shared(tmp_path: Path) -> None:
    assert read(tmp_path, "").loss is None


def test_with_the_table_the_rules_are_another_version(tmp_path: Path) -> None:
    assert read(tmp_path, LOSS).hash != read(tmp_path, "").hash


@pytest.mark.parametrize(
    ("before", "after", "line", "problem"),
    [
        ('bearer = "owner"\n', "", 1, "bearer is missing"),
        ('bearer = "owner"', 'bearer = "ovner"', 4, "unknown party 'ovner'"),
        ('method = "per-slot"', 'method = "per-month"', 3, "method is 'per-month'"),
        ("to = 2027-01-01", "to = 2025-01-01", 6, "the end is not after the start"),
        ('node = "main"', 'node = "mian"', 10, "unknown node 'mian'"),
        ('node = "a"', 'node = "main"', 16, "the no-load loss of main is given twice"),
        ('kwh_per_day = "28.8"', 'kwh_per_day = "-1"', 11, "kwh_per_day is '-1'"),
        ('kwh_per_day = "28.8"', "kwh_per_day = 28.8", 11, "kwh_per_day must be a text, not 28.8"),
        ('key = "area"', 'key = "noise"', 12, "key is 'noise'"),
        ('source = "nameplate of T1"\n', "", 9, "source is missing"),
        ("capacity_kva = {", "capacity_kwa = {", 15, "capacity_kva is missing"),
        ('u-a = "30"', 'u-x = "30"', 19, "unknown unit 'u-x'"),
        ('u-a = "30"', 'u-a = "30.0001"', 19, "u-a is '30.0001'"),
        ("review_by", "review_on", 7, "unknown key 'review_on'"),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, before: str, after: str, line: int, problem: str) -> None:
    assert before in LOSS
    assert (line, problem) in mistakes(tmp_path, LOSS.replace(before, after, 1))


def test_no_pool_may_be_called_what_the_losses_are_called(tmp_path: Path) -> None:
    pools = POOLS.replace('id = "own-use"', 'id = "loss"')
    (found,) = mistakes(tmp_path, LOSS, pools)
    assert found == (1, "a pool is called 'loss', which is what the losses are called")


def test_a_pool_called_loss_is_fine_where_losses_are_not_shared(tmp_path: Path) -> None:
    assert [pool.id for pool in read(tmp_path, "", POOLS.replace('id = "own-use"', 'id = "loss"')).pools] == ["loss"]
