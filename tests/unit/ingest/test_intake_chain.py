"""One chain through one group, without a store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chain import STEP, Chain, neighbours
from ingest.ports import ChainState, LedgerEntry
from metering.envelope import Sealed, digest_of, parse_sealed
from metering.tombstone import Tombstone
from tests.conftest import MARK
from tests.doubles.chains import BUNDLE_HASH, Gateway
from tests.doubles.store_harness import NOW

GW = Gateway()
ZEROS = bytes(32)


def sealed_chain(length: int) -> list[Sealed]:
    """A run of envelopes."""
    return [parse_sealed(arrival.octets) for arrival in GW.chain(length)]


LINKS = sealed_chain(12)


def empty() -> Chain:
    """A chain nothing has come of."""
    return Chain(ChainState(0, ZEROS, 0, {}), bundle_hash=BUNDLE_HASH)


def nothing(_seq: int, _most: int) -> list[tuple[int, bytes]]:
    """A store with nothing beyond."""
    return []


def test_neighbours_are_the_seqs_on_both_sides() -> None:
    assert neighbours({1, 5}) == {1, 2, 4, 5, 6}


def test_an_empty_chain_stays_at_zero() -> None:
    advance = empty().advance(nothing, NOW)
    assert (advance.contiguous_seq, advance.head_hash, advance.newest_mark) == (0, ZEROS, None)


@given(st.permutations(range(12)))
def test_any_order_of_arrival_ends_at_the_same_head(order: list[int]) -> None:
    chain = empty()
    for index in order:
        assert chain.fault(LINKS[index]) is None
        chain.enter(LINKS[index], refused=False)
    advance = chain.advance(nothing, NOW)
    assert (advance.contiguous_seq, advance.head_hash) == (12, LINKS[-1].digest)
    assert (advance.envelopes, advance.newest_mark) == (12, LINKS[-1].envelope.mark)


@given(st.sets(st.integers(0, 11), min_size=1))
def test_the_head_stands_before_the_first_gap(present: set[int]) -> None:
    chain = empty()
    for index in present:
        chain.enter(LINKS[index], refused=False)
    missing = min(set(range(13)) - present)
    advance = chain.advance(nothing, NOW)
    assert advance.contiguous_seq == missing
    assert advance.head_hash == (LINKS[missing - 1].digest if missing else ZEROS)
    assert advance.highest_seq == max(present) + 1


def test_a_refused_envelope_keeps_its_place_and_brings_no_mark() -> None:
    chain = empty()
    chain.enter(LINKS[0], refused=False)
    chain.enter(LINKS[1], refused=True)
    advance = chain.advance(nothing, NOW)
    assert (advance.contiguous_seq, advance.envelopes, advance.newest_mark) == (2, 1, MARK)


@given(st.sets(st.integers(2, 11), min_size=1), st.data())
def test_a_chain_with_any_of_its_batches_told_as_lost_ends_at_the_same_head(
    lost: set[int], data: st.DataObject
) -> None:
    runs = [seq for seq in sorted(lost) if seq - 1 not in lost]
    stones = [
        Tombstone(
            gateway=GW.id,
            epoch=1,
            first_seq=first,
            last_seq=(last := next(seq for seq in range(first, 13) if seq + 1 not in lost)),
            last_digest=LINKS[last - 1].digest,
            previous_hash=LINKS[first - 2].digest,
        )
        for first in runs
    ]
    chain = empty()
    kept = [link for link in LINKS if link.head.seq not in lost]
    for one in data.draw(st.permutations([*kept, *stones])):
        if isinstance(one, Tombstone):
            assert chain.loss_fault(one) is None
            chain.lose(one)
        else:
            assert chain.fault(one) is None
            chain.enter(one, refused=False)
    advance = chain.advance(nothing, NOW)
    assert (advance.contiguous_seq, advance.head_hash) == (12, LINKS[-1].digest)


def test_what_the_ledger_holds_decides_repeat_or_replay() -> None:
    entries = {2: LedgerEntry(LINKS[1].digest, LINKS[1].envelope.previous_hash)}
    chain = Chain(ChainState(2, LINKS[1].digest, 2, entries), bundle_hash=BUNDLE_HASH)
    clone = parse_sealed(GW.other(2, LINKS[0].digest).octets)
    assert chain.is_repeat(LINKS[1])
    assert not chain.is_repeat(clone)
    fault = chain.fault(clone)
    assert fault is not None
    assert fault.reason == "sequence-replayed"
    assert fault.sealed is clone


@pytest.mark.parametrize("named", [ZEROS, BUNDLE_HASH])
def test_seq_one_names_zeros_or_the_bundle(named: bytes) -> None:
    assert empty().fault(parse_sealed(GW.chain(1, previous_hash=named)[0].octets)) is None


def test_the_store_is_asked_only_beyond_what_is_known_and_in_steps() -> None:
    asked: list[tuple[int, int]] = []
    stored = {seq: digest_of(b"%d" % seq) for seq in range(2, 2502)}

    def following(seq: int, most: int) -> list[tuple[int, bytes]]:
        asked.append((seq, most))
        return [(found, stored[found]) for found in sorted(stored) if found > seq][:most]

    chain = Chain(ChainState(0, ZEROS, 2501, {}), bundle_hash=BUNDLE_HASH)
    chain.enter(LINKS[0], refused=False)
    advance = chain.advance(following, NOW)
    assert (advance.contiguous_seq, advance.head_hash) == (2501, stored[2501])
    assert asked == [(1, STEP), (1001, STEP), (2001, STEP)]


def test_a_gap_in_the_store_stops_the_walk() -> None:
    def following(seq: int, _most: int) -> list[tuple[int, bytes]]:
        return [(2, b"b" * 32), (4, b"d" * 32)] if seq == 1 else [(4, b"d" * 32)]

    chain = Chain(ChainState(0, ZEROS, 4, {}), bundle_hash=BUNDLE_HASH)
    chain.enter(LINKS[0], refused=False)
    advance = chain.advance(following, NOW)
    assert (advance.contiguous_seq, advance.head_hash) == (2, b"b" * 32)
