"""What the proof that shares add up says to a tenant, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from allocation_engine.inclusion import ProvenPool
from allocation_engine.money import show_minor
from provisioning.site import Names

_OPEN = Names(
    zh="{pool}：您的 {own}，与其他各方合计 {others}，相加正好是该池费用 {cost} {currency}；他人的明细未公开",
    en="{pool}: yours, {own}, and {others} of all others make exactly its cost of {cost} {currency}; "
    "nobody's lines are shown",
)
_CLOSED = Names(
    zh="{pool}：您的 {own} {currency} 已列入本批次，事后不能更改；他人的电表金额不公开，也不参与相加",
    en="{pool}: yours, {own} {currency}, is fixed in the run and cannot be changed later; "
    "the amounts of others' own meters are neither shown nor added up",
)
_ROOT = Names(zh="本批次指纹：{root}", en="fingerprint of the run: {root}")
_COMPARE = Names(
    zh="同一批次的每份确认单都必须是这个指纹：请与邻户或公示核对",
    en="every statement of this run must have this fingerprint: compare it with a neighbour's or with the one posted",
)
HEADING = Names(zh="分摊是否一分不差", en="Do the shares add up?")


def proof_sentences(pools: Iterable[ProvenPool], commitment: bytes, currency: str, language: str) -> Iterator[str]:
    """Give one sentence per proven pool, then the fingerprint, and with whom to compare it."""
    for one in pools:
        name = f"{dict(one.pool.names)[language]} ({one.pool.id})"
        own = show_minor(one.own, currency)
        if one.charges is None or one.credits is None:
            yield _CLOSED.of(language).format(pool=name, own=own, currency=currency)
            continue
        cost_minor = one.charges - one.credits
        others, cost = show_minor(cost_minor - one.own, currency), show_minor(cost_minor, currency)
        yield _OPEN.of(language).format(pool=name, own=own, others=others, cost=cost, currency=currency)
    yield _ROOT.of(language).format(root=grouped(commitment))
    yield _COMPARE.of(language)


def grouped(digest: bytes) -> str:
    """Give a digest in the form in which two people compare it: groups of 4 hexadecimal digits."""
    digits = digest.hex()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
