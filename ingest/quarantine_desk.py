"""Another try for what is in quarantine, once its cause is mended: a key registered, a profile added, a meter wired.

It goes through the same door: signature, tree, chain and content are judged anew. An envelope that was refused although
its signature held has kept its place in the chain, so it is entered at that place; any other arrives as if sent again.
Trying twice does no harm: what is in the books already is only taken out of quarantine. No receipt goes out; the
gateway's next one says what it needs to know.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from ingest.adapters.handed_over import HandedOver
from ingest.audit_log import Verb
from ingest.intake import Intake
from ingest.ports import Arrival, Entry
from ingest.store.audit import note
from ingest.store.database import Database
from ingest.store.intake_store import PostgresGroup, PostgresIntakeStore
from ingest.store.quarantine import Kept, find_held, find_kept, forget_kept, list_kept
from ingest.verify import Proven, Reason, Rejected, Told, admit_content, prove, read_claim
from metering.clock import Clock
from metering.envelope import Signer, digest_of
from metering.errors import BooksError


class NotInQuarantine(BooksError):
    """No message of this number is in quarantine."""


class Outcome(StrEnum):
    """What another try came to."""

    ENTERED = "entered"
    ALREADY = "in-the-books-already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One try. `reason` and `detail` say why it is refused still."""

    number: int
    outcome: Outcome
    reason: str = ""
    detail: str = ""


class QuarantineDesk:
    """Lists, shows and tries again. `profiles`: hashes of those that can be decoded here."""

    def __init__(self, database: Database, signer: Signer, clock: Clock, profiles: Collection[bytes]) -> None:
        self._database = database
        self._profiles = frozenset(profiles)
        self._store = PostgresIntakeStore(database)
        self._intake = Intake(
            consumer=HandedOver(), store=self._store, signer=signer, clock=clock, profiles=self._profiles
        )

    def list(self, most: int, reason: str | None = None) -> tuple[Kept, ...]:
        """List the newest, at most `most`."""
        with self._database.transaction() as connection:
            return list_kept(connection, most, reason)

    def show(self, number: int) -> Kept:
        """Give one; raises NotInQuarantine."""
        with self._database.transaction() as connection:
            kept = find_kept(connection, number)
        if kept is None:
            raise NotInQuarantine(f"nothing is in quarantine under {number}; it may have entered the books since")
        return kept

    def replay(self, number: int) -> Replayed:
        """Try one again; raises NotInQuarantine or StoreUnreachable."""
        kept = self.show(number)
        done = self._replay(kept)
        before = {"reason": kept.reason, "gateway": kept.gateway, "epoch": kept.epoch, "seq": kept.seq}
        after = {"outcome": str(done.outcome), "reason": done.reason, "digest": digest_of(kept.octets).hex()}
        with self._database.transaction() as connection:
            note(connection, Verb.QUARANTINE_REPLAYED, f"quarantine/{number}", before=before, after=after)
        return done

    def _replay(self, kept: Kept) -> Replayed:
        number = kept.number
        arrival = Arrival(kept.topic, kept.octets)
        verdict = self._judge(arrival)
        if isinstance(verdict, Rejected):
            self._intake.take([arrival], [verdict])
            if verdict.reason != kept.reason:
                self._forget(number)
            return Replayed(number, Outcome.REFUSED, verdict.reason, verdict.detail)
        if isinstance(verdict, Told):
            return self._enter_loss(kept, arrival, verdict)
        return self._enter_in_place(kept, verdict) or self._enter_as_new(kept, arrival, verdict)

    def _enter_loss(self, kept: Kept, arrival: Arrival, told: Told) -> Replayed:
        """Enter a tombstone, as if sent again."""
        counters = self._intake.counters
        before = counters.told_lost, counters.repeated
        self._intake.take([arrival], [told])
        if (counters.told_lost, counters.repeated) == before:
            return Replayed(kept.number, Outcome.REFUSED, kept.reason, kept.detail)
        self._forget(kept.number)
        return Replayed(kept.number, Outcome.ENTERED if counters.told_lost > before[0] else Outcome.ALREADY)

    def _judge(self, arrival: Arrival) -> Proven | Told | Rejected:
        claim = read_claim(arrival.topic, arrival.octets)
        if isinstance(claim, Rejected):
            return claim
        return prove(claim, self._store.keys({claim.message.key_id}, {claim.gateway}))

    def _enter_in_place(self, kept: Kept, proven: Proven) -> Replayed | None:
        """Enter it where the ledger holds it as refused; None where the ledger does not know it."""
        owner, head = proven.owner, proven.sealed.head
        with self._store.group() as group:
            assert isinstance(group, PostgresGroup)
            group.lock_chains({owner: {head.seq}})
            held = find_held(group.connection, owner, head.seq)
            if held is None:
                return None
            if held.digest != proven.sealed.digest:
                problem = f"seq {head.seq} is held with digest {held.digest.hex()}"
                return Replayed(kept.number, Outcome.REFUSED, Reason.SEQUENCE_REPLAYED, problem)
            if held.refused is None:
                forget_kept(group.connection, kept.number)
                return Replayed(kept.number, Outcome.ALREADY)
            if held.refused == Reason.CHAIN_BROKEN:
                return Replayed(kept.number, Outcome.REFUSED, held.refused, kept.detail)
            fault = admit_content(proven.sealed, group.wiring({owner.gateway})[owner.gateway], self._profiles)
            if fault is not None:
                return Replayed(kept.number, Outcome.REFUSED, fault.reason, fault.detail)
            group.admit(Entry(proven.sealed, held.received_at, refused=None))
            forget_kept(group.connection, kept.number)
            return Replayed(kept.number, Outcome.ENTERED)

    def _enter_as_new(self, kept: Kept, arrival: Arrival, proven: Proven) -> Replayed:
        self._intake.take([arrival], [proven])
        with self._database.transaction() as connection:
            held = find_held(connection, proven.owner, proven.sealed.head.seq)
            forget_kept(connection, kept.number)
        if held is not None and held.digest == proven.sealed.digest and held.refused is None:
            return Replayed(kept.number, Outcome.ENTERED)
        reason = Reason.SEQUENCE_REPLAYED if held is None or held.refused is None else held.refused
        return Replayed(kept.number, Outcome.REFUSED, reason, "it is proven now, and in quarantine for this reason")

    def _forget(self, number: int) -> None:
        with self._database.transaction() as connection:
            forget_kept(connection, number)
