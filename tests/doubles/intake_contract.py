"""What intake does with a store behind it: the same tests for the store in memory and for PostgreSQL."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from ingest.intake import Intake
from ingest.ports import Arrival
from metering.clock import ClockQuality, ClockState, ManualClock
from metering.envelope import (
    ENVELOPE_OCTETS_MAX,
    chain_digest,
    decode_canonical,
    disclose,
    encode,
    open_sealed,
    seal,
    sign1,
)
from metering.identity import MeterId
from metering.interval import SLOT
from metering.receipt import Receipt, open_receipt
from metering.topics import envelope_topic, receipt_topic
from provisioning.site import Span
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import BUNDLE_HASH, METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, StoreHarness, wired

GW = Gateway()
OTHER = Gateway("gw-b")
CENTRE = SeededSigner("metertree test centre")


class Desk:
    """An intake over a store, with a broker in memory."""

    def __init__(self, harness: StoreHarness) -> None:
        self.harness = harness
        self.consumer = MemoryConsumer()
        self.commits = 0
        self.intake = Intake(
            consumer=self.consumer,
            store=harness.store,
            signer=CENTRE,
            clock=ManualClock(NOW),
            profiles=PROFILES,
            on_commit=self._count_commit,
        )

    def _count_commit(self) -> None:
        self.commits += 1

    def take(self, *arrivals: Arrival) -> None:
        """Take all in one group."""
        self.intake.take(arrivals)

    def receipts(self) -> list[Receipt]:
        """Every receipt that was sent, opened with the centre's key."""
        return [open_receipt(octets, CENTRE.verifier) for _, octets in self.consumer.published]

    def last_receipt(self) -> Receipt:
        """The newest of them."""
        return self.receipts()[-1]

    def reasons(self) -> dict[str, int]:
        """What stands in quarantine, by reason."""
        return dict(Counter(reason for reason, _, _, _ in self.harness.see().quarantine))


class IntakeContract:
    """Subclasses give the fixture `harness`."""

    @pytest.fixture
    def desk(self, harness: StoreHarness) -> Desk:
        """An intake that knows two gateways and their meters."""
        harness.enrol(GW, OTHER)
        harness.wire(wired(GW, OTHER))
        return Desk(harness)

    # What is accepted.

    def test_an_envelope_enters_the_books_with_its_readings_and_octets(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        desk.take(first)
        seen = desk.harness.see()
        assert seen.octets == {("gw-a", 1, 1): first.octets}
        assert seen.readings == [
            ("gw-a", 1, 1, "m-lift", MARK, (99999999, None)),
            ("gw-a", 1, 1, "m-u-a101", MARK, (1234567, 0)),
            ("gw-a", 1, 1, "m-u-a102", MARK, ()),
        ]
        assert seen.quarantine == []
        assert desk.consumer.acknowledged == [first]

    def test_a_receipt_reports_the_head_of_the_chain_to_its_gateway(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(*chain)
        assert desk.receipts() == [Receipt(GW.id, 1, 3, chain_digest(chain[-1].octets), NOW)]
        assert desk.consumer.published[0][0] == receipt_topic(GW.id)

    def test_gateways_in_one_group_each_get_their_receipt(self, desk: Desk) -> None:
        desk.take(*GW.chain(2), *OTHER.chain(1))
        assert [(receipt.gateway, receipt.contiguous_seq) for receipt in desk.receipts()] == [("gw-a", 2), ("gw-b", 1)]

    def test_order_within_a_group_does_not_matter(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(*reversed(chain))
        assert desk.last_receipt().contiguous_seq == 5
        assert desk.reasons() == {}

    def test_the_first_envelope_may_name_the_enrolment_bundle(self, desk: Desk) -> None:
        desk.take(*GW.chain(2, previous_hash=BUNDLE_HASH))
        assert desk.last_receipt().contiguous_seq == 2

    def test_new_readings_mark_their_days_as_unsettled(self, desk: Desk) -> None:
        chain = GW.chain(1)
        desk.take(*chain)
        assert desk.harness.see().unsettled == {(meter, MARK.date()): 1 for meter in METERS}
        desk.take(*chain)
        assert set(desk.harness.see().unsettled.values()) == {1}
        desk.take(*GW.chain(1, first=2, previous_hash=chain_digest(chain[0].octets)))
        assert set(desk.harness.see().unsettled.values()) == {2}

    def test_a_commit_with_news_is_announced_and_one_without_is_not(self, desk: Desk) -> None:
        chain = GW.chain(1)
        desk.take(*chain)
        desk.take(*chain)
        assert desk.commits == 1

    def test_an_unaligned_sweep_is_due_when_it_was_read(self, desk: Desk) -> None:
        envelope = replace(GW.envelope(1, bytes(32)), mark=None)
        desk.take(GW.sealed(envelope))
        seen = desk.harness.see()
        assert {row[4] for row in seen.readings} == {reading.ended_at for reading in envelope.readings}
        assert seen.heads[GW.owner].newest_mark is None

    def test_a_second_epoch_is_a_chain_of_its_own_under_its_own_key(self, desk: Desk) -> None:
        later = Gateway("gw-a", epoch=2)
        desk.harness.enrol(later)
        desk.take(*GW.chain(2), *later.chain(1))
        desk.take(*GW.chain(3)[2:])
        heads = desk.harness.see().heads
        assert (heads[GW.owner].contiguous_seq, heads[later.owner].contiguous_seq) == (3, 1)

    # Order, gaps, repeats.

    def test_a_gap_shows_in_the_receipt_until_the_late_envelope_comes(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(*chain[:2], *chain[3:])
        assert desk.last_receipt().contiguous_seq == 2
        assert desk.last_receipt().head_hash == chain_digest(chain[1].octets)
        assert desk.harness.see().heads[GW.owner].highest_seq == 5
        desk.take(chain[2])
        assert desk.last_receipt().contiguous_seq == 5
        assert desk.last_receipt().head_hash == chain_digest(chain[4].octets)

    def test_a_late_envelope_enters_the_books(self, desk: Desk) -> None:
        chain = GW.chain(4)
        desk.take(*chain[:1], *chain[2:])
        desk.take(chain[1])
        seen = desk.harness.see()
        assert seen.octets == {("gw-a", 1, seq): arrival.octets for seq, arrival in enumerate(chain, 1)}
        assert (seen.quarantine, seen.heads[GW.owner].envelopes) == ([], 4)

    def test_a_long_run_behind_a_gap_is_counted_in_at_once(self, desk: Desk) -> None:
        chain = GW.chain(1300)
        for start in range(1, 1300, 256):
            desk.take(*chain[start : start + 256])
        assert desk.last_receipt().contiguous_seq == 0
        assert desk.last_receipt().head_hash == bytes(32)
        desk.take(chain[0])
        assert desk.last_receipt().contiguous_seq == 1300

    # What is told as lost.

    def test_a_tombstone_closes_the_gap_and_is_told(self, desk: Desk) -> None:
        chain = GW.chain(8)
        desk.take(*chain[:2], *chain[5:])
        assert desk.last_receipt().contiguous_seq == 2
        desk.take(GW.tombstone(chain, 3, 5))
        assert desk.last_receipt() == Receipt(GW.id, 1, 8, chain_digest(chain[-1].octets), NOW)
        seen = desk.harness.see()
        assert seen.alarms == [("batches-lost", "gw-a", 1, 3)]
        assert sorted(seq for _, _, seq in seen.octets) == [1, 2, 6, 7, 8]
        assert seen.quarantine == []
        assert desk.intake.counters.told_lost == 1

    def test_a_tombstone_may_come_before_what_is_around_it(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(GW.tombstone(chain, 2, 4))
        assert desk.last_receipt().contiguous_seq == 0
        desk.take(chain[4])
        assert desk.last_receipt().contiguous_seq == 0
        desk.take(chain[0])
        assert desk.last_receipt() == Receipt(GW.id, 1, 5, chain_digest(chain[4].octets), NOW)

    def test_a_receipt_may_end_at_a_tombstone(self, desk: Desk) -> None:
        chain = GW.chain(4)
        desk.take(chain[0], GW.tombstone(chain, 2, 4))
        assert desk.last_receipt() == Receipt(GW.id, 1, 4, chain_digest(chain[3].octets), NOW)

    def test_the_envelope_behind_a_tombstone_must_name_its_digest(self, desk: Desk) -> None:
        chain = GW.chain(4)
        desk.take(chain[0], GW.tombstone(chain, 2, 3))
        desk.take(GW.other(4, bytes(range(32))))
        assert desk.reasons() == {"chain-broken": 1}

    def test_a_tombstone_that_its_successor_does_not_name_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(4)
        desk.take(chain[0], chain[3], GW.tombstone(chain, 2, 3, last_digest=bytes(range(32))))
        assert desk.reasons() == {"chain-broken": 1}
        assert desk.last_receipt().contiguous_seq == 1

    def test_a_tombstone_that_does_not_follow_what_is_held_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(4)
        desk.take(chain[0], GW.tombstone(chain, 2, 3, previous_hash=bytes(range(32))))
        assert desk.reasons() == {"chain-broken": 1}
        assert desk.last_receipt().contiguous_seq == 1

    def test_a_tombstone_over_another_content_raises_the_alarm_of_a_clone(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(*chain, GW.tombstone(chain, 2, 3, last_digest=bytes(range(32))))
        assert desk.reasons() == {"sequence-replayed": 1}
        assert desk.harness.see().alarms == [("equivocation", "gw-a", 1, 3)]

    def test_an_envelope_that_turns_up_in_a_run_told_as_lost_is_taken(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(chain[0], GW.tombstone(chain, 2, 4), chain[4])
        desk.take(chain[3], chain[2])
        assert sorted(seq for _, _, seq in desk.harness.see().octets) == [1, 3, 4, 5]
        assert desk.last_receipt().contiguous_seq == 5

    def test_another_content_at_the_end_of_a_run_told_as_lost_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(chain[0], GW.tombstone(chain, 2, 4))
        desk.take(GW.other(4, chain_digest(chain[2].octets)))
        assert desk.reasons() == {"sequence-replayed": 1}

    def test_a_run_that_is_told_again_and_longer_is_one_alarm(self, desk: Desk) -> None:
        chain = GW.chain(8)
        desk.take(chain[0], chain[7])
        for last_seq in (4, 4, 6, 7):
            desk.take(GW.tombstone(chain, 2, last_seq))
        assert desk.last_receipt().contiguous_seq == 8
        assert desk.harness.see().alarms == [("batches-lost", "gw-a", 1, 2)]
        assert desk.intake.counters.repeated == 1

    def test_a_tombstone_of_batches_that_all_arrived_tells_nothing(self, desk: Desk) -> None:
        chain = GW.chain(5)
        desk.take(*chain)
        desk.take(GW.tombstone(chain, 2, 4))
        assert desk.harness.see().alarms == []
        assert desk.last_receipt().contiguous_seq == 5

    def test_a_tombstone_by_another_key_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(4)
        stone = OTHER.tombstone(chain, 2, 3, gateway=GW.id)
        desk.take(chain[0], Arrival(GW.topic, stone.octets), stone)
        assert desk.reasons() == {"key-unknown": 1, "topic-mismatch": 1}
        assert desk.last_receipt().contiguous_seq == 1

    def test_a_damaged_tombstone_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(4)
        octets = bytearray(GW.tombstone(chain, 2, 3).octets)
        octets[-1] ^= 1
        desk.take(Arrival(GW.topic, bytes(octets)), Arrival(GW.topic, b"\xd2\x84"))
        assert desk.reasons() == {"malformed": 1, "signature-invalid": 1}

    def test_a_repeat_is_counted_dropped_and_receipted_again(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(*chain)
        before = desk.harness.see()
        desk.take(*chain)
        after = desk.harness.see()
        assert after.readings == before.readings
        assert after.octets == before.octets
        assert after.quarantine == []
        assert after.heads[GW.owner] == replace(before.heads[GW.owner], repeats=3)
        assert desk.receipts()[0] == desk.receipts()[1]

    def test_a_known_head_over_changed_readings_is_no_repeat(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        desk.take(first)
        head, (form, seed, readings) = decode_canonical(first.octets)
        desk.take(Arrival(first.topic, encode([head, [form, seed, readings[1:]]])))
        desk.take(Arrival(first.topic, first.octets[:-3]))
        assert desk.reasons() == {"malformed": 2}
        assert len(desk.harness.see().readings) == 3

    def test_a_repeat_is_not_proven_again(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        chain = GW.chain(2)
        desk.take(chain[0])
        asked: list[str] = []
        monkeypatch.setattr("ingest.intake.check_signature", lambda claim, _: asked.append(claim.topic))
        desk.take(chain[0])
        assert asked == []
        assert desk.harness.see().heads[GW.owner].repeats == 1

    def test_a_known_head_with_another_signature_is_no_repeat(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        desk.take(first)
        head, shown = decode_canonical(first.octets)
        desk.take(Arrival(first.topic, encode([head[:-1] + bytes([head[-1] ^ 1]), shown])))
        assert desk.reasons() == {"signature-invalid": 1}

    def test_a_known_envelope_on_the_topic_of_another_is_no_repeat(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        desk.take(first)
        desk.take(Arrival(OTHER.topic, first.octets))
        assert desk.reasons() == {"topic-mismatch": 1}

    def test_an_envelope_twice_in_one_group_enters_once(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        desk.take(first, first, first)
        assert len(desk.harness.see().readings) == 3
        assert desk.harness.see().heads[GW.owner].repeats == 2
        assert len(desk.consumer.acknowledged) == 3

    def test_a_flood_of_repeats_in_any_cut_leaves_each_envelope_once(self, desk: Desk) -> None:
        chain = GW.chain(40)
        flood = [chain[(7 * step) % 40] for step in range(400)]
        for start in range(0, 400, 33):
            desk.take(*flood[start : start + 33])
        seen = desk.harness.see()
        assert len(seen.readings) == 3 * 40
        assert sorted(seen.octets) == [("gw-a", 1, seq) for seq in range(1, 41)]
        assert seen.heads[GW.owner].envelopes + seen.heads[GW.owner].repeats == 400

    # What is refused, reason by reason.

    def check_refused(self, desk: Desk, arrival: Arrival, reason: str) -> None:
        """Nothing enters the books; the octets stand in quarantine under `reason`, unproven; the broker is told."""
        desk.take(arrival)
        seen = desk.harness.see()
        assert (seen.ledger, seen.readings, seen.octets) == ({}, [], {})
        assert seen.quarantine == [(reason, False, None, 1)]
        assert desk.consumer.acknowledged == [arrival]
        assert desk.receipts() == []
        assert desk.intake.counters.rejected == {reason: 1}

    def test_an_oversized_message_is_refused(self, desk: Desk) -> None:
        self.check_refused(desk, Arrival(GW.topic, bytes(ENVELOPE_OCTETS_MAX + 1)), "too-big")

    @pytest.mark.parametrize("octets", [b"", b"\0", b"hello", b"\xd2\x84", b"\xff" * 40])
    def test_a_message_that_is_no_envelope_is_refused(self, desk: Desk, octets: bytes) -> None:
        self.check_refused(desk, Arrival(GW.topic, octets), "malformed")

    def test_a_truncated_envelope_is_refused(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        self.check_refused(desk, Arrival(first.topic, first.octets[:-1]), "malformed")

    def test_a_signed_payload_that_is_no_envelope_is_refused(self, desk: Desk) -> None:
        self.check_refused(desk, Arrival(GW.topic, sign1(encode([1, 2, 3]), GW.signer)), "malformed")

    def test_one_changed_octet_of_the_signature_is_refused(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        head, shown = decode_canonical(first.octets)
        changed = encode([head[:-1] + bytes([head[-1] ^ 1]), shown])
        self.check_refused(desk, Arrival(first.topic, changed), "signature-invalid")

    def test_one_changed_reading_under_a_good_signature_is_refused(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        head, (form, seed, readings) = decode_canonical(first.octets)
        changed = encode([head, [form, seed, [[*readings[0][:6], [7, 7], *readings[0][7:]], *readings[1:]]]])
        self.check_refused(desk, Arrival(first.topic, changed), "malformed")

    def test_an_envelope_shown_in_part_is_refused(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        self.check_refused(desk, Arrival(first.topic, disclose(first.octets, {MeterId("m-lift")})), "malformed")

    def test_another_key_under_the_same_key_id_is_refused(self, desk: Desk) -> None:
        class Forger(SeededSigner):
            """Signs with its own key and names another's."""

        forger = Forger("somebody else")
        forger.key_id = GW.signer.key_id
        self.check_refused(desk, Arrival(GW.topic, seal(GW.envelope(1, bytes(32)), forger)), "signature-invalid")

    def test_a_gateway_that_is_not_enrolled_is_refused(self, desk: Desk) -> None:
        self.check_refused(desk, Gateway("gw-z").chain(1)[0], "gateway-unknown")

    def test_a_key_that_is_not_registered_is_refused(self, desk: Desk) -> None:
        stranger = SeededSigner("not registered")
        self.check_refused(desk, Arrival(GW.topic, seal(GW.envelope(1, bytes(32)), stranger)), "key-unknown")

    def test_a_key_does_not_sign_for_another_epoch(self, desk: Desk) -> None:
        envelope = replace(GW.envelope(1, bytes(32)), epoch=2)
        self.check_refused(desk, GW.sealed(envelope), "key-unknown")

    def test_a_gateway_cannot_sign_for_another(self, desk: Desk) -> None:
        envelope = replace(GW.envelope(1, bytes(32)), gateway=OTHER.id)
        self.check_refused(desk, Arrival(OTHER.topic, seal(envelope, GW.signer)), "key-unknown")

    def test_an_envelope_on_the_topic_of_another_gateway_is_refused(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        self.check_refused(desk, Arrival(OTHER.topic, first.octets), "topic-mismatch")

    @pytest.mark.parametrize(
        "topic", ["", "m", "m/0/gw-a/up/envelope", "m/1/GW A/up/envelope", "x/\0/gw-a/up/envelope"]
    )
    def test_a_topic_outside_the_grammar_is_refused(self, desk: Desk, topic: str) -> None:
        assert topic != envelope_topic(GW.id)
        self.check_refused(desk, Arrival(topic, GW.chain(1)[0].octets), "topic-invalid")

    def test_the_same_rubbish_again_is_counted_not_stored(self, desk: Desk) -> None:
        rubbish = Arrival(GW.topic, b"hello")
        desk.take(rubbish, rubbish)
        desk.take(rubbish)
        assert desk.harness.see().quarantine == [("malformed", False, None, 3)]

    def test_rubbish_does_not_hold_up_what_comes_with_it(self, desk: Desk) -> None:
        chain = GW.chain(2)
        desk.take(Arrival(GW.topic, b"hello"), chain[0], Arrival("x", b""), chain[1])
        assert desk.last_receipt().contiguous_seq == 2
        assert len(desk.consumer.acknowledged) == 4

    # What is refused although it is rightly signed: it holds its place, and the chain runs on.

    def test_another_content_under_a_seq_is_held_and_raises_the_alarm(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(*chain)
        before = desk.harness.see()
        desk.take(GW.other(2, chain_digest(chain[0].octets)))
        seen = desk.harness.see()
        assert (seen.ledger, seen.readings) == (before.ledger, before.readings)
        assert seen.quarantine == [("sequence-replayed", True, ("gw-a", 1, 2), 1)]
        assert seen.alarms == [("equivocation", "gw-a", 1, 2)]
        assert desk.last_receipt().refused == ((2, "sequence-replayed"),)

    def test_two_contents_in_one_group_are_told_apart(self, desk: Desk) -> None:
        desk.take(GW.chain(1)[0], GW.other(1, bytes(32)))
        seen = desk.harness.see()
        assert len(seen.octets) == 1
        assert seen.alarms == [("equivocation", "gw-a", 1, 1)]

    def test_the_same_alarm_is_raised_once(self, desk: Desk) -> None:
        desk.take(GW.chain(1)[0])
        for _ in range(3):
            desk.take(GW.other(1, bytes(32)))
        assert len(desk.harness.see().alarms) == 1

    def test_an_envelope_that_names_another_predecessor_is_refused_and_the_chain_runs_on(self, desk: Desk) -> None:
        (first,) = GW.chain(1)
        broken = GW.chain(2, first=2, previous_hash=hashlib.sha256(b"elsewhere").digest())
        desk.take(first, *broken)
        seen = desk.harness.see()
        assert seen.ledger["gw-a", 1, 2] == (chain_digest(broken[0].octets), "chain-broken")
        assert seen.quarantine == [("chain-broken", True, ("gw-a", 1, 2), 1)]
        assert sorted(seen.octets) == [("gw-a", 1, 1), ("gw-a", 1, 3)]
        assert desk.last_receipt() == Receipt(
            GW.id, 1, 3, chain_digest(broken[1].octets), NOW, refused=((2, "chain-broken"),)
        )

    def test_a_first_envelope_with_a_foreign_predecessor_is_refused(self, desk: Desk) -> None:
        desk.take(*GW.chain(1, previous_hash=hashlib.sha256(b"elsewhere").digest()))
        assert desk.reasons() == {"chain-broken": 1}

    def test_a_late_envelope_that_its_successor_does_not_name_is_refused(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(chain[0], chain[2])
        desk.take(GW.other(2, chain_digest(chain[0].octets)))
        assert desk.reasons() == {"chain-broken": 1}
        assert desk.last_receipt().contiguous_seq == 3

    def test_a_reading_by_an_unknown_profile_is_refused(self, desk: Desk) -> None:
        envelope = GW.envelope(1, bytes(32))
        strange = replace(envelope.readings[0], profile_hash=hashlib.sha256(b"strange").digest())
        desk.take(GW.sealed(replace(envelope, readings=(*envelope.readings, strange))))
        assert desk.harness.see().readings == []
        assert desk.last_receipt().refused == ((1, "profile-unknown"),)
        assert desk.last_receipt().contiguous_seq == 1

    def test_a_reading_of_a_meter_of_another_gateway_is_refused(self, desk: Desk) -> None:
        desk.harness.wire({GW.id: {}, OTHER.id: METERS})
        desk.take(*GW.chain(1))
        assert desk.harness.see().readings == []
        assert desk.last_receipt().refused == ((1, "meter-unbound"),)

    def test_a_reading_outside_the_span_of_its_meter_is_refused(self, desk: Desk) -> None:
        until = MARK + SLOT
        spans = {**METERS, MeterId("m-lift"): Span(None, until)}
        desk.harness.wire({GW.id: spans, OTHER.id: {}})
        desk.take(*GW.chain(3))
        assert sorted(desk.harness.see().octets) == [("gw-a", 1, 1)]
        assert desk.last_receipt().refused == ((2, "meter-unbound"), (3, "meter-unbound"))

    def test_no_reading_is_refused_because_its_clock_does_not_know_the_time(self, desk: Desk) -> None:
        desk.harness.wire({GW.id: dict.fromkeys(METERS, Span(MARK + timedelta(days=400), None)), OTHER.id: {}})
        envelope = replace(GW.envelope(1, bytes(32)), clock=ClockState(ClockQuality.UNKNOWN, None))
        desk.take(GW.sealed(envelope))
        assert desk.reasons() == {}

    def test_a_refused_envelope_that_comes_again_is_a_repeat(self, desk: Desk) -> None:
        desk.harness.wire({GW.id: {}, OTHER.id: {}})
        (first,) = GW.chain(1)
        desk.take(first)
        desk.take(first)
        assert desk.harness.see().heads[GW.owner].repeats == 1
        assert desk.harness.see().quarantine == [("meter-unbound", True, ("gw-a", 1, 1), 1)]

    def test_a_new_version_of_the_site_counts_from_the_next_group(self, desk: Desk) -> None:
        chain = GW.chain(3)
        desk.take(chain[0])
        desk.harness.wire({GW.id: {}, OTHER.id: METERS})
        desk.take(chain[1])
        desk.harness.wire(wired(GW, OTHER))
        desk.take(chain[2])
        assert sorted(desk.harness.see().octets) == [("gw-a", 1, 1), ("gw-a", 1, 3)]

    def test_only_the_newest_refusals_are_named_in_a_receipt(self, desk: Desk) -> None:
        desk.harness.wire({GW.id: {}, OTHER.id: {}})
        desk.take(*GW.chain(130))
        refused = desk.last_receipt().refused
        assert [seq for seq, _ in refused] == list(range(31, 131))
        assert desk.last_receipt().contiguous_seq == 130

    def test_counters_tell_what_became_of_everything(self, desk: Desk) -> None:
        chain = GW.chain(2)
        desk.take(*chain, chain[0], Arrival(GW.topic, b"hello"))
        counters = desk.intake.counters
        assert (counters.received, counters.accepted, counters.readings, counters.repeated) == (4, 2, 6, 1)
        assert counters.rejected == {"malformed": 1}
        assert (counters.groups, counters.receipts) == (1, 1)

    def test_what_is_in_the_books_still_verifies(self, desk: Desk) -> None:
        desk.take(*GW.chain(4))
        previous = bytes(32)
        for _, octets in sorted(desk.harness.see().octets.items()):
            sealed = open_sealed(octets, GW.signer.verifier)
            assert sealed.envelope.previous_hash == previous
            previous = sealed.digest
