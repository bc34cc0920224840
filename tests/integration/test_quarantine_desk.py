"""What is in quarantine enters the books once its cause is mended, once, through the same door."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.cli import main
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.quarantine_desk import NotInQuarantine, Outcome, QuarantineDesk
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.envelope import chain_digest, seal
from metering.receipt import open_receipt
from provisioning.keys import make_signing_key
from tests.conftest import SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness, Seen, wired

GW = Gateway()
CENTRE = SeededSigner("metertree test centre")
NEW_PROFILE = hashlib.sha256(b"a profile to come").digest()


class Room:
    """A database with an intake and a desk."""

    def __init__(self, database: Database) -> None:
        self.harness = PostgresHarness(database)
        self.consumer = MemoryConsumer()
        self.database = database
        self.intake = Intake(
            consumer=self.consumer, store=self.harness.store, signer=CENTRE, clock=ManualClock(NOW), profiles=PROFILES
        )
        self.desk = self.desk_with()

    def desk_with(self, *more: bytes) -> QuarantineDesk:
        """A desk that knows more profiles."""
        return QuarantineDesk(self.database, CENTRE, ManualClock(NOW), {*PROFILES, *more})

    def numbers(self) -> list[int]:
        """What is in quarantine, oldest first."""
        return sorted(one.number for one in self.desk.list(100))

    def see(self) -> Seen:
        """The tables."""
        return self.harness.see()


@pytest.fixture
def room(database: Database) -> Room:
    """With the gateway's site imported, and the gateway not enrolled."""
    made = Room(database)
    made.harness.wire(wired(GW))
    return made


def straight(room: Room, chain: list[Arrival]) -> None:
    """The books are those that would stand there had nothing been refused."""
    seen = room.see()
    assert seen.octets == {("gw-a", 1, seq): arrival.octets for seq, arrival in enumerate(chain, 1)}
    assert len(seen.readings) == 3 * len(chain)
    assert len({row[:4] for row in seen.readings}) == len(seen.readings)
    assert {refused for _, refused in seen.ledger.values()} == {None}
    head = seen.heads[GW.owner]
    assert (head.contiguous_seq, head.envelopes) == (len(chain), len(chain))
    assert head.head_hash == chain_digest(chain[-1].octets)
    assert seen.quarantine == []


def test_envelopes_from_before_the_key_was_registered_enter_in_their_order(room: Room) -> None:
    chain = GW.chain(3)
    room.intake.take(chain)
    assert [one.reason for one in room.desk.list(10)] == ["gateway-unknown"] * 3
    assert {room.desk.replay(number).outcome for number in room.numbers()} == {Outcome.REFUSED}
    room.harness.enrol(GW)
    assert [room.desk.replay(number).outcome for number in room.numbers()] == [Outcome.ENTERED] * 3
    straight(room, chain)


def test_a_refused_envelope_enters_at_the_place_it_kept(room: Room) -> None:
    room.harness.enrol(GW)
    room.harness.wire({GW.id: {}})
    chain = GW.chain(3)
    room.intake.take(chain[:2])
    before = room.see()
    assert {refused for _, refused in before.ledger.values()} == {"meter-unbound"}
    (first, second) = room.numbers()
    assert room.desk.replay(first).reason == "meter-unbound"
    room.harness.wire(wired(GW))
    assert room.desk.replay(second).outcome is Outcome.ENTERED
    room.intake.take(chain[2:])
    receipt = open_receipt(room.consumer.published[-1][1], CENTRE.verifier)
    assert (receipt.contiguous_seq, receipt.refused) == (3, ((1, "meter-unbound"),))
    assert room.desk.replay(first).outcome is Outcome.ENTERED
    straight(room, chain)
    assert room.see().heads[GW.owner].newest_mark == GW.envelope(3, bytes(32)).mark
    assert all(count >= 2 for count in room.see().unsettled.values())


def test_a_profile_that_was_added_lets_its_readings_in(room: Room) -> None:
    room.harness.enrol(GW)
    envelope = GW.envelope(1, bytes(32))
    strange = replace(envelope, readings=tuple(replace(one, profile_hash=NEW_PROFILE) for one in envelope.readings))
    room.intake.take([GW.sealed(strange)])
    (number,) = room.numbers()
    assert room.desk.replay(number).reason == "profile-unknown"
    assert room.desk_with(NEW_PROFILE).replay(number).outcome is Outcome.ENTERED
    straight(room, [GW.sealed(strange)])


def test_a_second_try_does_nothing(room: Room) -> None:
    room.intake.take(GW.chain(1))
    (number,) = room.numbers()
    room.harness.enrol(GW)
    room.desk.replay(number)
    before = room.see()
    with pytest.raises(NotInQuarantine):
        room.desk.replay(number)
    assert room.see() == before


def test_what_came_again_by_itself_is_only_taken_out(room: Room) -> None:
    chain = GW.chain(1)
    room.intake.take(chain)
    room.harness.enrol(GW)
    room.intake.take(chain)
    (number,) = room.numbers()
    assert room.desk.replay(number).outcome is Outcome.ALREADY
    straight(room, chain)


def test_a_clone_stays_where_it_is(room: Room) -> None:
    room.harness.enrol(GW)
    room.intake.take([*GW.chain(1), GW.other(1, bytes(32))])
    before = room.see()
    (number,) = room.numbers()
    done = room.desk.replay(number)
    assert (done.outcome, done.reason) == (Outcome.REFUSED, "sequence-replayed")
    assert room.see() == before


def test_a_clone_that_was_unproven_is_proven_a_clone(room: Room) -> None:
    room.intake.take([GW.other(1, bytes(32))])
    room.harness.enrol(GW)
    chain = GW.chain(1)
    room.intake.take(chain)
    (number,) = room.numbers()
    assert room.desk.replay(number).reason == "sequence-replayed"
    assert room.see().octets == {("gw-a", 1, 1): chain[0].octets}


def test_a_broken_chain_is_not_mended_by_trying(room: Room) -> None:
    room.harness.enrol(GW)
    room.intake.take([*GW.chain(1), *GW.chain(1, first=2, previous_hash=hashlib.sha256(b"elsewhere").digest())])
    before = room.see()
    (number,) = room.numbers()
    assert room.desk.replay(number).reason == "chain-broken"
    assert room.see() == before


def test_rubbish_stays_rubbish_and_is_counted(room: Room) -> None:
    room.intake.take([Arrival(GW.topic, b"rubbish")])
    (number,) = room.numbers()
    assert room.desk.replay(number).reason == "malformed"
    assert room.desk.show(number).times == 2


def test_a_reason_that_changed_takes_the_place_of_the_old_one(room: Room) -> None:
    stranger = SeededSigner("not registered")
    room.intake.take([Arrival(GW.topic, seal(GW.envelope(1, bytes(32)), stranger))])
    room.harness.enrol(GW)
    (number,) = room.numbers()
    assert room.desk.replay(number).reason == "key-unknown"
    assert [one.reason for one in room.desk.list(10)] == ["key-unknown"]


def test_a_list_may_be_of_one_reason(room: Room) -> None:
    room.intake.take([Arrival(GW.topic, b"rubbish"), *GW.chain(2)])
    assert [one.reason for one in room.desk.list(10, "malformed")] == ["malformed"]
    assert len(room.desk.list(2)) == 2


def test_the_command_lists_shows_and_tries_again(
    room: Room, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_signing_key(tmp_path / "centre.key")
    monkeypatch.setenv("METERTREE_DSN", migrated_dsn)
    monkeypatch.setenv("METERTREE_CENTRE_KEY", str(tmp_path / "centre.key"))
    (first,) = GW.chain(1)
    room.intake.take([first, Arrival(GW.topic, b"rubbish")])
    told, rubbish = room.numbers()
    if room.desk.show(told).reason == "malformed":
        told, rubbish = rubbish, told

    def say(*words: str) -> tuple[int, str]:
        code = main(["quarantine", *words])
        return code, capsys.readouterr().out

    code, text = say("list")
    assert (code, text.count("\n")) == (0, 2)
    assert say("list", "--reason", "malformed")[1].startswith(f"{rubbish} malformed unproven x1")
    assert say("list", "--reason", "none")[1] == "nothing is in quarantine for none\n"
    code, text = say("show", str(told), "--out", str(tmp_path / "octets"))
    assert "m-lift: [99999999, None] MEASURED" in text
    assert "unproven: so it says" in text
    assert (tmp_path / "octets").read_bytes() == first.octets
    assert "no envelope" in say("show", str(rubbish))[1]
    assert say("replay", str(told), str(rubbish))[0] == 1
    assert say("replay") == (2, "name the numbers to try again, or a --reason\n")
    room.harness.enrol(GW)
    assert say("replay", "--reason", "gateway-unknown")[1].startswith(f"{told} refused profile-unknown")
    assert say("replay", "999999")[0] == 1
