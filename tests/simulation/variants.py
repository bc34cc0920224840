"""Deliberately wrong variants of the reading chain. Each is a mistake that someone could make, and none may pass.

A variant replaces some names of the production code while worlds are played. That the checkers catch each of them is
the proof that a green simulation means something.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from allocation_engine import intervals
from allocation_engine.evidence import Installation, PointReading
from allocation_engine.intervals import SettledSpan, SlotQuality
from edge_agent.ports import BrokerUnreachable, ChainHead, Entry
from edge_agent.sealing import Sealer
from edge_agent.uplink_loop import UplinkLoop
from ingest import intake
from ingest.chain import Chain
from ingest.ports import ChainAdvance, Standing
from ingest.verify import Claim, Keys, Proven, Reason, Rejected, Repeated, check_signature
from metering.envelope import Envelope, Sealed, chain_digest, parse_sealed, seal
from metering.interval import SLOT, Interval
from metering.reading import ReadQuality
from metering.receipt import Receipt, open_receipt
from tests.doubles.edge import START
from tests.doubles.intake import MemoryGroup
from tests.doubles.sim_keys import SimSigner
from tests.doubles.sim_outbox import Disk, SimOutbox
from tests.simulation.faults import Faults, draw_faults

Patches = Mapping[str, Any]
"""Dotted names of production code, or of what stands for a disk or a database, and what takes their place."""


@dataclass(frozen=True)
class Variant:
    """One mistake. `plant` makes its patches anew for each world, so that none remembers another."""

    name: str
    plant: Callable[[], Patches]


def receipt_before_commit() -> Patches:
    """The centre sends its receipts while the transaction is still open."""

    class Hasty(intake.Intake):
        def _commit(self, arrivals: Any, verdicts: Any = None) -> None:
            verdicts = list(zip(arrivals, self.prove(arrivals), strict=True))
            proven = [item for item in verdicts if isinstance(item[1], Proven)]
            repeated = [item[1] for item in verdicts if isinstance(item[1], Repeated)]
            proven.sort(key=lambda item: (item[1].owner, item[1].sealed.head.seq))
            rejected = [item for item in verdicts if isinstance(item[1], Rejected)]
            with self._store.group() as group:
                entered = intake._GroupEntry(group, self._profiles, self._clock.now()).enter(proven, rejected, repeated)
                self._send(entered.receipts)

    return {"ingest.intake.Intake": Hasty}


def receipt_names_highest_seq() -> Patches:
    """The receipt says the highest seq that came, not how far nothing is missing."""

    class Generous(Chain):
        def advance(self, following: Any, received_at: datetime) -> ChainAdvance:
            honest = super().advance(following, received_at)
            return replace(honest, contiguous_seq=honest.highest_seq)

    return {"ingest.intake.Chain": Generous}


def free_on_puback() -> Patches:
    """The gateway takes the broker's word for the centre's."""

    class Trusting(UplinkLoop):
        def _send(self, broker: Any, after_seq: int, limit: int, live: bool) -> None:
            super()._send(broker, after_seq, limit, live)
            self._outbox.acknowledge(self._lane, self._uplink._sent_seq)

    return {"edge_agent.uplink_loop.UplinkLoop": Trusting}


def receipt_for_another_believed() -> Patches:
    """A receipt counts whomever it is for, and whatever chain it is about."""

    class Gullible(UplinkLoop):
        def _receipt(self, octets: bytes) -> None:
            own = self._gateway
            self._gateway = open_receipt(octets, self._centre).gateway
            super()._receipt(octets)
            self._gateway = own

        def _fits_chain(self, receipt: Any) -> bool:
            return True

    return {"edge_agent.uplink_loop.UplinkLoop": Gullible}


def old_epoch_forgotten() -> Patches:
    """After a new enrolment only batches of the new epoch are sent."""

    class Forgetful(UplinkLoop):
        def _next_lane(self) -> int:
            return self._epoch

    return {"edge_agent.uplink_loop.UplinkLoop": Forgetful}


def restored_centre_ignored() -> Patches:
    """A receipt that says less than an earlier one is taken for a late one, always."""

    class Deaf(UplinkLoop):
        def _recall_if_less(self, receipt: Receipt) -> None:
            pass

    return {"edge_agent.uplink_loop.UplinkLoop": Deaf}


def _restored_often(rng: random.Random) -> Faults:
    """The centre is set back often: an earlier epoch must be lost between its end and the next backup to tell."""
    return replace(draw_faults(rng), restore=0.25)


RESTORED_OFTEN: Patches = {"tests.simulation.world.draw_faults": _restored_often}


def restored_centre_silent() -> Patches:
    """After a restore the centre asks nobody: an epoch that nobody writes any more is never sent again."""

    class Silent(MemoryGroup):
        def due_resends(self, now: datetime, most: int) -> Sequence[Standing]:
            return ()

    return {"tests.doubles.intake.MemoryGroup": Silent, **RESTORED_OFTEN}


def recall_of_the_lane_only() -> Patches:
    """Only a receipt for the epoch that is being sent may say that the centre has less."""

    class Narrow(UplinkLoop):
        def _recall_if_less(self, receipt: Receipt) -> None:
            if receipt.epoch == self._lane:
                super()._recall_if_less(receipt)

    return {"edge_agent.uplink_loop.UplinkLoop": Narrow, **RESTORED_OFTEN}


def resend_without_bound() -> Patches:
    """Silence means: send again at once."""
    return {"edge_agent.uplink.SILENCE_S": 0.0, "edge_agent.uplink.SILENCE_S_MAX": 0.0}


def seq_from_clock() -> Patches:
    """The seq of a batch is counted from the time, two for each mark."""

    class Punctual(Sealer):
        def _chained(self, envelopes: Sequence[Envelope], kept_as: datetime | None) -> list[Entry]:
            sealed: list[Entry] = []
            for index, entry in enumerate(super()._chained(envelopes, kept_as)):
                envelope = parse_sealed(entry.octets).envelope
                seq = entry.seq if envelope.mark is None else 1 + 2 * ((envelope.mark - START) // SLOT) + index
                envelope = replace(envelope, seq=seq)
                if sealed:
                    envelope = replace(envelope, previous_hash=chain_digest(sealed[-1].octets))
                sealed.append(replace(entry, seq=seq, octets=seal(envelope, self._identity.signer)))
            return sealed

    return {"edge_agent.poll_cycle.Sealer": Punctual}


def publish_before_commit() -> Patches:
    """A batch goes out first and is written to disk then."""

    class Impatient(Sealer):
        def _keep(self, envelopes: Sequence[Envelope], kept_as: datetime | None) -> None:
            entries = self._chained(envelopes, kept_as)
            for entry in entries:
                try:
                    self._outbox.publish(entry.octets)  # type: ignore[attr-defined]
                except BrokerUnreachable:
                    break
            self._outbox.append(entries)
            self._appended(entries[-1].seq)

    return {"edge_agent.poll_cycle.Sealer": Impatient}


def marks_read_twice() -> Patches:
    """A clock that was set back makes the gateway read marks again that it has sealed."""

    def careless(now: datetime, _last: datetime | None, every: timedelta) -> datetime:
        passed = (now - START) % every
        return now if not passed else now + every - passed

    return {"edge_agent.poll_cycle.next_mark": careless, "tests.simulation.gateway.next_mark": careless}


def previous_hash_forgotten() -> Patches:
    """A gateway that restarts begins its chain from zero hashes, though its seq goes on."""

    class Amnesiac(SimOutbox):
        def __init__(self, disk: Disk) -> None:
            super().__init__(disk)
            self._knows = False

        def head(self, epoch: int) -> ChainHead:
            head = super().head(epoch)
            return head if self._knows else replace(head, digest=bytes(32))

        def append(self, entries: Sequence[Entry]) -> None:
            super().append(entries)
            self._knows = True

    return {"tests.doubles.sim_outbox.SimOutbox": Amnesiac}


def commit_not_synced() -> Patches:
    """The last commit of the outbox is still in a cache when the power goes."""

    class Cached(SimOutbox):
        def __init__(self, disk: Disk) -> None:
            super().__init__(disk)
            self._before = disk.copy()

        def append(self, entries: Sequence[Entry]) -> None:
            self._before = self._disk.copy()
            super().append(entries)

        def lose_power(self) -> None:
            vars(self._disk).update(vars(self._before))

    return {"tests.doubles.sim_outbox.SimOutbox": Cached}


def sealed_anew_when_resent() -> Patches:
    """What is sent a second time carries the time of sending."""

    class Restamping(SimOutbox):
        def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
            return [self._stamped(entry) for entry in super().after(epoch, seq, limit)]

        def _stamped(self, entry: Entry) -> Entry:
            envelope = parse_sealed(entry.octets).envelope
            self.times = getattr(self, "times", 0) + 1
            anew = replace(envelope, sealed_at=envelope.sealed_at + timedelta(milliseconds=self.times - 1))
            signer = SimSigner(f"{envelope.gateway} epoch {envelope.epoch}")
            return replace(entry, octets=seal(anew, signer))

    return {"tests.doubles.sim_outbox.SimOutbox": Restamping}


def repeats_known_by_mark() -> Patches:
    """A second batch of the same mark is taken for a repeat, though it is another port's."""
    seen: dict[tuple[str, datetime | None], int] = {}

    class ByMark(Chain):
        def is_repeat(self, sealed: Sealed) -> bool:
            envelope = sealed.envelope
            first_seq = seen.setdefault((envelope.gateway, envelope.mark), envelope.seq)
            return super().is_repeat(sealed) or first_seq != envelope.seq

    return {"ingest.intake.Chain": ByMark}


def repeats_known_by_seq() -> Patches:
    """Whatever comes under a seq that is held is taken for a repeat of it."""

    class BySeq(Chain):
        def is_repeat(self, sealed: Sealed) -> bool:
            return sealed.envelope.seq in self._entries

    return {"ingest.intake.Chain": BySeq}


def other_content_accepted() -> Patches:
    """Another content under a held seq takes its place."""

    class Obliging(Chain):
        def fault(self, sealed: Sealed) -> Rejected | None:
            self._entries.pop(sealed.envelope.seq, None)
            return super().fault(sealed)

    class Overwriting(MemoryGroup):
        def enter(self, entries: Sequence[Any]) -> None:
            for entry in entries:
                for owner, chain in self._books.ledger.items():
                    if owner.gateway == entry.sealed.envelope.gateway:
                        chain.pop(entry.sealed.envelope.seq, None)
            # Two contents of one seq may come in one group: the later one stays.
            super().enter([*{(one.sealed.head.gateway, one.sealed.head.seq): one for one in entries}.values()])

    return {"ingest.intake.Chain": Obliging, "tests.doubles.intake.MemoryGroup": Overwriting}


def chain_not_checked() -> Patches:
    """Any rightly signed batch with a free seq is taken, whatever it names as its predecessor."""

    class Blind(Chain):
        def _follows(self, sealed: Sealed) -> bool:
            return True

    return {"ingest.intake.Chain": Blind, **previous_hash_forgotten()}


def refused_seq_left_open() -> Patches:
    """A refused batch holds no place in the chain, so receipts stop below it for ever."""

    class Leaving(intake._GroupEntry):
        def _refuse(self, chain: Any, arrival: Any, one: Any, fault: Any) -> None:
            if fault.reason is Reason.SEQUENCE_REPLAYED:
                super()._refuse(chain, arrival, one, fault)
            else:
                self._quarantine(arrival, fault)

    return {"ingest.intake._GroupEntry": Leaving}


def refusals_not_kept() -> Patches:
    """What is refused is gone."""

    class Careless(intake._GroupEntry):
        def _quarantine(self, arrival: Any, fault: Any) -> None:
            self._entered.counters.rejected[fault.reason] += 1

    return {"ingest.intake._GroupEntry": Careless}


def content_not_checked() -> Patches:
    """Readings of meters that the site does not know enter the books."""

    def obliging(*_: Any) -> None:
        return None

    return {"ingest.intake.admit_content": obliging}


def signature_not_checked() -> Patches:
    """What is well formed is believed."""

    class Believer:
        def __init__(self, verifier: Any) -> None:
            self.algorithm = verifier.algorithm

        def verifies(self, signature: bytes, message: bytes) -> bool:
            return True

    def credulous(claim: Claim, keys: Keys) -> Any:
        found = keys.of(claim)
        if not isinstance(found, Rejected):
            found = [replace(key, verifier=Believer(key.verifier)) for key in found]
        return check_signature(claim, cast(Any, SimpleNamespace(of=lambda _: found)))

    return {"ingest.intake.check_signature": credulous}


def subtracted_across_exchange() -> Patches:
    """The new meter's register minus the old one's, as if nobody had exchanged them."""

    def settle(readings: Sequence[PointReading], span: Interval, installations: Sequence[Installation]) -> SettledSpan:
        first = replace(installations[0], end=None, final_wh=None)
        as_one = [replace(reading, meter=first.meter) for reading in readings]
        return SETTLE(as_one, span, [first])

    return {"allocation_engine.intervals.settle_point": settle}


def negative_differences_clipped() -> Patches:
    """A register that fell counts as zero."""

    def join(before: Any, after: Any) -> Any:
        link = JOIN(before, after)
        fell = before.epoch == after.epoch and after.register_wh < before.register_wh
        return link._replace(energy_wh=0, quality=SlotQuality.MEASURED, reason=None) if fell else link

    return {"allocation_engine.intervals._join": join}


def gaps_count_nothing() -> Patches:
    """Energy between two registers far apart is dropped."""

    def settle(readings: Sequence[PointReading], span: Interval, installations: Sequence[Installation]) -> SettledSpan:
        settled = SETTLE(readings, span, installations)
        pairs = zip(settled.energy_wh, settled.quality, strict=True)
        kept = tuple(0 if quality == SlotQuality.ESTIMATED else energy_wh for energy_wh, quality in pairs)
        return replace(settled, energy_wh=kept)

    return {"allocation_engine.intervals.settle_point": settle}


def transformer_ratio_forgotten() -> Patches:
    """Registers behind transformers are taken for primary ones."""

    def settle(readings: Sequence[PointReading], span: Interval, installations: Sequence[Installation]) -> SettledSpan:
        return SETTLE(readings, span, [replace(one, multiplier=1) for one in installations])

    return {"allocation_engine.intervals.settle_point": settle}


def late_readings_bound_slots() -> Patches:
    """A reading that came long after its mark is used as if it were of the mark."""

    def lenient(reading: Any, envelope: Any, **how: Any) -> PointReading | None:
        punctual = replace(reading, quality=ReadQuality.MEASURED) if reading.quality is ReadQuality.LATE else reading
        return POINT_READING(punctual, envelope, **how)

    return {"ingest.metering_points.point_reading": lenient}


SETTLE = intervals.settle_point
JOIN = intervals._join
POINT_READING = intervals.point_reading

PLANTED = (
    receipt_before_commit,
    receipt_names_highest_seq,
    free_on_puback,
    receipt_for_another_believed,
    old_epoch_forgotten,
    restored_centre_ignored,
    restored_centre_silent,
    recall_of_the_lane_only,
    resend_without_bound,
    seq_from_clock,
    publish_before_commit,
    marks_read_twice,
    previous_hash_forgotten,
    commit_not_synced,
    sealed_anew_when_resent,
    repeats_known_by_mark,
    repeats_known_by_seq,
    other_content_accepted,
    chain_not_checked,
    refused_seq_left_open,
    refusals_not_kept,
    content_not_checked,
    signature_not_checked,
    subtracted_across_exchange,
    negative_differences_clipped,
    gaps_count_nothing,
    transformer_ratio_forgotten,
    late_readings_bound_slots,
)
VARIANTS = tuple(Variant(plant.__name__.replace("_", " "), plant) for plant in PLANTED)
