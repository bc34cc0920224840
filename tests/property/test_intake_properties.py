"""Whatever arrives, in whatever order, cut and number, and wherever commits fail: intake's invariants hold."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.intake import Intake
from ingest.ports import Arrival, StoreUnreachable
from ingest.verify import Proven, Rejected, prove, read_claim
from metering.clock import ManualClock
from metering.envelope import EnvelopeMalformed, chain_digest
from metering.receipt import open_receipt
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, MemoryHarness, wired

GW_A, GW_B = Gateway("gw-a"), Gateway("gw-b")
CENTRE = SeededSigner("metertree test centre")
LENGTH = 8
CHAINS = {gateway: gateway.chain(LENGTH) for gateway in (GW_A, GW_B)}
CLONES = {
    gateway: [
        gateway.other(seq, bytes(32) if seq == 1 else chain_digest(chain[seq - 2].octets))
        for seq in range(1, LENGTH + 1)
    ]
    for gateway, chain in CHAINS.items()
}
RUBBISH = [
    Arrival(GW_A.topic, b""),
    Arrival(GW_A.topic, b"rubbish"),
    Arrival("not/a/topic", CHAINS[GW_A][0].octets),
    Arrival(GW_B.topic, CHAINS[GW_A][0].octets),
    Gateway("gw-z").chain(1)[0],
]

genuine = st.builds(
    lambda gateway, index: CHAINS[gateway][index], st.sampled_from([GW_A, GW_B]), st.integers(0, LENGTH - 1)
)
cloned = st.builds(
    lambda gateway, index: CLONES[gateway][index], st.sampled_from([GW_A, GW_B]), st.integers(0, LENGTH - 1)
)
anything = st.one_of(genuine, genuine, genuine, cloned, st.sampled_from(RUBBISH))
groups = st.lists(st.tuples(st.lists(anything, min_size=1, max_size=12), st.booleans()), max_size=12)
"""Groups of arrivals, each with whether its first commit fails."""


@dataclass
class Play:
    """A store after a play, and what was published."""

    harness: MemoryHarness
    consumer: MemoryConsumer


def play(script: list[tuple[list[Arrival], bool]]) -> Play:
    """Take group after group; a group whose commit fails is delivered again."""
    harness = MemoryHarness()
    harness.enrol(GW_A, GW_B)
    harness.wire(wired(GW_A, GW_B))
    consumer = MemoryConsumer()
    intake = Intake(consumer=consumer, store=harness.store, signer=CENTRE, clock=ManualClock(NOW), profiles=PROFILES)
    for arrivals, fails in script:
        if fails:
            harness.store.faults = [StoreUnreachable("away")]
            with contextlib.suppress(StoreUnreachable):
                intake.take(arrivals)
        harness.store.faults = []
        intake.take(arrivals)
    return Play(harness, consumer)


@given(groups)
def test_each_seq_is_held_once_by_whoever_came_first(script: list[tuple[list[Arrival], bool]]) -> None:
    seen = play(script).harness.see()
    sent: set[bytes] = set()
    for arrival in (arrival for arrivals, _ in script for arrival in arrivals):
        with contextlib.suppress(EnvelopeMalformed):
            sent.add(chain_digest(arrival.octets))
    for (name, epoch, _), (digest, refused) in seen.ledger.items():
        assert (name in ("gw-a", "gw-b"), epoch) == (True, 1)
        assert digest in sent
        assert refused in (None, "chain-broken")
    assert len(seen.readings) == 3 * len(seen.octets)
    assert len({row[:4] for row in seen.readings}) == len(seen.readings)


@given(groups)
def test_nothing_that_arrives_is_lost(script: list[tuple[list[Arrival], bool]]) -> None:
    """Every message is in the books or in quarantine, octet for octet."""
    books = play(script).harness.store.books
    kept = {entry.sealed.octets for chain in books.ledger.values() for entry in chain.values()}
    kept |= {refusal.octets for refusal, _ in books.quarantine.values()}
    assert {arrival.octets for arrivals, _ in script for arrival in arrivals} <= kept


@given(groups)
def test_a_receipt_never_claims_more_than_is_committed(script: list[tuple[list[Arrival], bool]]) -> None:
    played = play(script)
    ledger = played.harness.see().ledger
    last: dict[str, int] = {}
    for _, octets in played.consumer.published:
        receipt = open_receipt(octets, CENTRE.verifier)
        assert receipt.contiguous_seq >= last.get(receipt.gateway, 0)
        last[receipt.gateway] = receipt.contiguous_seq
        for seq in range(1, receipt.contiguous_seq + 1):
            assert (receipt.gateway, 1, seq) in ledger
        head = ledger[receipt.gateway, 1, receipt.contiguous_seq][0] if receipt.contiguous_seq else bytes(32)
        assert receipt.head_hash == head


@given(groups)
def test_failed_commits_change_nothing_in_the_end(script: list[tuple[list[Arrival], bool]]) -> None:
    with_faults = play(script).harness.see()
    without = play([(arrivals, False) for arrivals, _ in script]).harness.see()
    assert with_faults == without


@given(st.permutations(range(LENGTH)), st.integers(1, LENGTH))
def test_order_and_cut_of_a_whole_chain_do_not_matter(order: list[int], cut: int) -> None:
    chain = [CHAINS[GW_A][index] for index in order]
    seen = play([(chain[start : start + cut], False) for start in range(0, LENGTH, cut)]).harness.see()
    whole = play([(CHAINS[GW_A], False)]).harness.see()
    assert (seen.octets, seen.readings, seen.heads) == (whole.octets, whole.readings, whole.heads)


@given(st.binary(max_size=300), st.text(max_size=40))
def test_any_octets_on_any_topic_are_refused_never_an_error(octets: bytes, topic: str) -> None:
    for address in (topic, GW_A.topic):
        claim = read_claim(address, octets)
        assert isinstance(claim if isinstance(claim, Rejected) else prove(claim, [GW_A.key]), Rejected)


@settings(max_examples=400)
@given(st.integers(0, len(CHAINS[GW_A][0].octets) - 1), st.integers(1, 255))
def test_every_changed_octet_of_an_envelope_is_refused(place: int, change: int) -> None:
    octets = bytearray(CHAINS[GW_A][0].octets)
    octets[place] ^= change
    claim = read_claim(GW_A.topic, bytes(octets))
    assert isinstance(claim if isinstance(claim, Rejected) else prove(claim, [GW_A.key, GW_B.key]), Rejected)


@given(st.integers(0, len(CHAINS[GW_A][0].octets) - 1))
def test_every_truncation_of_an_envelope_is_refused(length: int) -> None:
    claim = read_claim(GW_A.topic, CHAINS[GW_A][0].octets[:length])
    assert isinstance(claim if isinstance(claim, Rejected) else prove(claim, [GW_A.key]), Rejected)


@pytest.mark.parametrize("gateway", [GW_A, GW_B], ids=lambda gateway: gateway.name)
def test_an_untouched_envelope_is_proven(gateway: Gateway) -> None:
    claim = read_claim(gateway.topic, CHAINS[gateway][0].octets)
    assert not isinstance(claim, Rejected)
    proven = prove(claim, [GW_A.key, GW_B.key])
    assert isinstance(proven, Proven)
    assert proven.owner == gateway.owner
