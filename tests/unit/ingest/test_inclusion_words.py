"""What `metertree verify` tells a tenant about the proof, in both languages."""

from __future__ import annotations

import pytest

from allocation_engine.inclusion import ProvenPool
from allocation_engine.pools import PoolClass
from allocation_engine.statement_content import StatedPool
from ingest.inclusion_words import HEADING, grouped, proof_sentences
from metering.identity import PoolId

ROOT = bytes(range(32))


def pool(name: str, cost_minor: int | None) -> StatedPool:
    """A pool as a statement says it."""
    names = (("en", name.title()), ("zh", "电梯"))
    return StatedPool(PoolId(name), names, PoolClass.MUST, cost_minor, cost_minor, ROOT, ())


def told(*pools: ProvenPool, language: str = "en") -> list[str]:
    """The sentences without the two about the fingerprint."""
    return list(proof_sentences(pools, ROOT, "CNY", language))[:-2]


def test_a_shared_pool_says_mine_the_others_and_the_cost() -> None:
    lift = ProvenPool(pool("lift", 10_000), 4_431, 10_000, 0)
    (english,) = told(lift)
    assert english.startswith("Lift (lift): yours, 44.31, and 55.69 of all others make exactly its cost of 100.00 CNY;")
    assert "您的 44.31，与其他各方合计 55.69，相加正好是该池费用 100.00 CNY" in told(lift, language="zh")[0]


def test_a_credit_is_told_with_its_sign() -> None:
    roof = ProvenPool(pool("roof", -1_200), -532, 0, 1_200)
    assert "yours, -5.32, and -6.68 of all others make exactly its cost of -12.00 CNY" in told(roof)[0]


def test_of_a_closed_pool_nothing_is_told_about_others() -> None:
    own_use = ProvenPool(pool("own-use", None), 4_200, None, None)
    (english,), (chinese,) = told(own_use), told(own_use, language="zh")
    assert "yours, 42.00 CNY, is fixed in the run" in english
    assert "neither shown nor added up" in english
    assert "您的 42.00 CNY 已列入本批次" in chinese


@pytest.mark.parametrize(("language", "word"), [("en", "neighbour"), ("zh", "邻户")])
def test_the_fingerprint_is_given_with_whom_to_compare_it(language: str, word: str) -> None:
    fingerprint, advice = proof_sentences((), ROOT, "CNY", language)
    assert fingerprint.endswith("0001 0203 0405 0607 0809 0a0b 0c0d 0e0f 1011 1213 1415 1617 1819 1a1b 1c1d 1e1f")
    assert word in advice


def test_no_sentence_is_left_in_the_other_language() -> None:
    lift = ProvenPool(pool("lift", 10_000), 4_431, 10_000, 0)
    english = " ".join([HEADING.of("en"), *proof_sentences([lift], ROOT, "CNY", "en")])
    assert english.isascii()


def test_digests_are_grouped_by_four() -> None:
    assert grouped(b"\x01\x23\x45") == "0123 45"
