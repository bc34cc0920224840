"""What must hold in every world, whatever went wrong: a witness who sees every step, and a verdict at the end.

Nothing here knows what was expected of a seed. The rules are the project's promises: no reading is lost once sealed,
no seq is used twice, receipts follow commits, whatever is refused is kept with its reason, two contents under one seq
are an alarm, and the settled energy of a node is what truly went through it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise, product
from typing import Any

from allocation_engine import intervals
from allocation_engine.evidence import PointReading
from allocation_engine.intervals import SlotQuality
from edge_agent.ports import Entry
from edge_agent.uplink import LIVE_MAX, SILENCE_S, WINDOW_MAX
from ingest import metering_points as points
from ingest.intake import EQUIVOCATION
from ingest.metering_points import MeteringPoint, StoredReading
from ingest.ports import Arrival, GatewayEpoch
from ingest.settlement import around
from ingest.verify import Reason
from metering.clock import ClockQuality
from metering.envelope import digest_of, parse_sealed
from metering.identity import GatewayId, MeterId
from metering.interval import SLOT, Interval, floor_to_mark
from metering.obis import ENERGY_IMPORT, Obis
from metering.receipt import open_receipt
from tests.simulation.park import CATALOGUE, Park, instant

Place = tuple[GatewayId, int, int]
"""Gateway, epoch, seq."""
RESENDS_SPARE = 4
"""Repeats allowed beyond one per session and one per silence."""

STUCK = 120
"""No batch needs so many repeats within one boot, whatever is lost: its receipt will never come."""


class Broken(AssertionError):
    """A promise was not kept."""


def require(holds: bool, problem: str) -> None:
    """Raise Broken unless `holds`; unlike `assert` it also works where -O removes those."""
    if not holds:
        raise Broken(problem)


@dataclass
class Sendings:
    """How often one machine published each seq since `since_ms` [ms]: its boot, or the centre's last fall-back."""

    since_ms: int
    times: Counter[tuple[int, int]] = field(default_factory=Counter)


class Witness:
    """Sees what gateways seal, publish and free, what the centre commits and receipts; speaks up at once."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.sealed_octets: dict[str, dict[Place, bytes]] = {}
        self._places: dict[bytes, Place] = {}
        self.contents: dict[Place, set[bytes]] = {}
        self.arrived: dict[bytes, bytes] = {}
        self.true_energy_wh: dict[tuple[MeterId, Obis], dict[datetime, int]] = {}
        self.readings = 0
        self._contiguous: dict[GatewayEpoch, int] = {}
        self._ever: dict[GatewayEpoch, int] = {}
        self._sendings: dict[str, Sendings] = {}
        self._backup: dict[bytes, bytes] = {}
        self._restored = 0

    def sealed(self, machine: Any, entry: Entry) -> None:
        """A batch is committed in an outbox."""
        mine = self.sealed_octets.setdefault(machine.label, {})
        place = (machine.name, entry.epoch, entry.seq)
        require(place not in mine, f"{machine.label} sealed {place} twice")
        mine[place] = entry.octets
        self._places[entry.octets] = place
        self._world.note("sealed", machine.label, entry.epoch, entry.seq, digest_of(entry.octets).hex())

    def measured(self, mark: datetime, meter: MeterId, energy_wh: Mapping[tuple[MeterId, Obis], int]) -> None:
        """A measured reading of `mark` is committed; note what had truly gone through its node."""
        self.readings += 1
        for (asked, obis), true_wh in energy_wh.items():
            if asked == meter:
                self.true_energy_wh.setdefault((meter, obis), {})[mark] = true_wh

    def published(self, machine: Any, octets: bytes) -> None:
        """A batch goes out."""
        place = self._places.get(octets) or _place_of(octets)
        contents = self.contents.setdefault(place, set())
        contents.add(octets)
        require(
            len(contents) == 1 or self._world.is_cloned(machine.name), f"{machine.label} used {place} for two contents"
        )
        require(
            self.sealed_octets.get(machine.label, {}).get(place, octets) == octets,
            f"{machine.label} published {place} otherwise than it was sealed",
        )
        self._require_patience(machine, *place[1:])

    def freed(self, machine: Any, epoch: int, seq: int) -> None:
        """A gateway believes that everything up to `seq` is safe."""
        owner = GatewayEpoch(machine.name, epoch)
        require(
            seq <= self._ever.get(owner, 0), f"{machine.label} frees up to {epoch}/{seq}, which was never committed"
        )

    def committed(self, store: Any) -> None:
        """The store has committed; note how far each chain is whole."""
        for owner, chain in store.books.ledger.items():
            seq = self._contiguous.get(owner, 0)
            while seq + 1 in chain:
                seq += 1
            self._contiguous[owner] = seq
            self._ever[owner] = max(seq, self._ever.get(owner, 0))
        self._world.note("committed", store.commits)

    def receipt(self, centre: Any, octets: bytes) -> None:
        """The centre sends a receipt: it may say what is committed, no more."""
        receipt = open_receipt(octets, centre.signer.verifier)
        owner = GatewayEpoch(receipt.gateway, receipt.epoch)
        held = centre.store.books.ledger.get(owner, {})
        safe = self._contiguous.get(owner, 0)
        require(receipt.contiguous_seq <= safe, f"a receipt for {owner} says {receipt.contiguous_seq}, held is {safe}")
        if receipt.contiguous_seq:
            head = held[receipt.contiguous_seq].sealed.digest
            require(receipt.head_hash == head, f"a receipt for {owner} names a head that is not held")
        self._world.note("receipt", owner, receipt.contiguous_seq, len(receipt.refused))

    def taken(self, arrivals: Sequence[Arrival]) -> None:
        """The centre lets go of messages: each must be in the books by now."""
        for arrival in arrivals:
            self.arrived[digest_of(arrival.octets)] = arrival.octets

    def backed_up(self) -> None:
        """The centre copies its database."""
        self._backup = dict(self.arrived)

    def restored(self) -> None:
        """The centre's database is an older one."""
        self.arrived = dict(self._backup)
        self._contiguous = {}
        self._restored += 1
        self.committed(self._world.centre.store)

    def _require_patience(self, machine: Any, epoch: int, seq: int) -> None:
        """Without news, a batch goes out once more after each silence, not more often."""
        key = f"{machine.label} {machine.boots} {self._restored}"
        sendings = self._sendings.setdefault(key, Sendings(self._world.now_ms))
        sendings.times[epoch, seq] += 1
        silences = (self._world.now_ms - sendings.since_ms) / (1000 * SILENCE_S)
        allowed = RESENDS_SPARE + machine.session.sessions + silences
        times = sendings.times[epoch, seq]
        is_stuck = times > STUCK and not self._world.is_cloned(machine.name)
        require(not is_stuck, f"{machine.label} is stuck: it published {epoch}/{seq} {times} times")
        require(times <= allowed, f"{machine.label} published {epoch}/{seq} {times} times")
        is_history = seq <= machine.receipted(epoch) + WINDOW_MAX + LIVE_MAX
        is_live = seq > machine.outbox.head(epoch).seq - LIVE_MAX
        require(is_history or is_live, f"{machine.label} sends {epoch}/{seq} beyond its window")


def judge(world: Any) -> None:
    """Check everything that must hold when the world has been calm for a while."""
    check_measuring_goes_on(world)
    check_nothing_is_lost(world)
    check_chains(world)
    check_every_refusal_is_explained(world)
    check_equivocations_are_alarmed(world)
    check_energy(world)


def check_measuring_goes_on(world: Any) -> None:
    """Whatever happened, in the last calm hour every meter was measured at every mark."""
    last = floor_to_mark(instant(world.polled_until_ms))
    for machine in world.machines:
        if world.is_cloned(machine.name):
            continue
        fitted = [meter.id for meter in world.park.fitted(machine.name) if last in meter.span]
        for meter, steps in product(fitted, range(4)):
            measured = world.witness.true_energy_wh.get((meter, ENERGY_IMPORT), {})
            require(last - steps * SLOT in measured, f"{meter} is not measured any more at {last - steps * SLOT}")


def check_backlog(world: Any) -> None:
    """Half an hour of calm is enough to receipt whatever was sealed before it."""
    for machine in world.machines:
        for epoch, seq in world.sealed_before_calm.get(machine.label, {}).items():
            receipted = machine.receipted(epoch)
            require(
                receipted >= seq or world.is_cloned(machine.name),
                f"{machine.label} has {seq - receipted} batches of epoch {epoch} without receipt after half an hour",
            )


def check_nothing_is_lost(world: Any) -> None:
    """What gateways sealed, what their disks hold and what the centre holds are one set; nothing waits any more."""
    for machine in world.machines:
        if world.is_cloned(machine.name):
            continue
        sealed = world.witness.sealed_octets.get(machine.label, {})
        on_disk = {
            (machine.name, entry.epoch, entry.seq): entry.octets
            for epoch in (1, machine.epoch)
            for entry in machine.after(epoch, 0, len(sealed) + 1)
        }
        require(sealed == on_disk, f"the disk of {machine.label} does not hold what was sealed")
        held = {place: octets for place, octets in _held(world) if place[0] == machine.name}
        missing = sorted(sealed.keys() - held.keys())
        require(not missing, f"the centre lacks {len(missing)} batches of {machine.label}, first {missing[:1]}")
        require(held == sealed, f"the centre holds other batches of {machine.label} than were sealed")
        for epoch in (1, machine.epoch):
            head, receipted = machine.head(epoch).seq, machine.receipted(epoch)
            require(head == receipted, f"{machine.label} waits for receipts of epoch {epoch}: {receipted} of {head}")


def check_chains(world: Any) -> None:
    """Each chain counts from 1, every link holds, and marks only go forward."""
    for owner, chain in world.centre.store.books.ledger.items():
        if world.is_cloned(owner.gateway):
            continue
        require(sorted(chain) == list(range(1, len(chain) + 1)), f"the chain of {owner} has gaps")
        require(world.centre.store.books.heads[owner].contiguous_seq == len(chain), f"{owner} is not known to be whole")
        entries = [chain[seq] for seq in sorted(chain)]
        require(entries[0].sealed.envelope.previous_hash == bytes(32), f"the chain of {owner} begins nowhere")
        for before, after in pairwise(entries):
            seq = after.sealed.envelope.seq
            require(after.sealed.envelope.previous_hash == before.sealed.digest, f"{owner} is broken before {seq}")
        marks = [entry.sealed.head.mark for entry in entries if entry.sealed.head.mark is not None]
        require(marks == sorted(marks), f"{owner} goes back in time")


def check_every_refusal_is_explained(world: Any) -> None:
    """Every message is either in the ledger as it came or in quarantine with a reason; good ones are not refused."""
    books = world.centre.store.books
    kept: dict[bytes, list[Any]] = {}
    for refusal, _ in books.quarantine.values():
        kept.setdefault(refusal.digest, []).append(refusal)
    entered = {digest_of(entry.sealed.octets): entry for chain in books.ledger.values() for entry in chain.values()}
    for digest, octets in world.witness.arrived.items():
        entry = entered.get(digest)
        is_told = any(refusal.reason in set(Reason) and refusal.octets == octets for refusal in kept.get(digest, ()))
        require(is_told or (entry is not None and entry.refused is None), f"{digest.hex()} vanished without a reason")
    for entry in entered.values():
        for reading in entry.sealed.envelope.readings if entry.refused is None else ():
            if entry.sealed.head.clock.quality is ClockQuality.UNKNOWN:
                continue
            mark, sender = entry.sealed.envelope.mark or reading.ended_at, entry.sealed.envelope.gateway
            is_bound = world.park.site.gateway_of(reading.meter, mark) == sender
            require(is_bound, f"{reading.meter} is in the books, though {sender} may not report it at {mark}")
    for refusals in kept.values():
        for refusal in refusals:
            if refusal.proven and not world.is_cloned(refusal.claim[0].gateway):
                is_stray = world.park.plan.stray is not None and refusal.reason == Reason.METER_UNBOUND
                require(is_stray, f"a good batch was refused: {refusal.claim} {refusal.reason} {refusal.detail}")


def check_equivocations_are_alarmed(world: Any) -> None:
    """Two contents of one seq at the centre are an alarm, and nothing else is."""
    alarmed = {
        (owner.gateway, owner.epoch, seq)
        for kind, owner, seq in world.centre.store.books.alarms
        if kind == EQUIVOCATION
    }
    for place, contents in world.witness.contents.items():
        arrived = [octets for octets in contents if digest_of(octets) in world.witness.arrived]
        require(len(arrived) < 2 or place in alarmed, f"{place} came with {len(arrived)} contents and nobody was told")
    accused = {gateway for gateway, _, _ in alarmed}
    for machine in world.machines:
        sealed = world.witness.sealed_octets.get(machine.label, {})
        others = world.witness.sealed_octets.get(f"{machine.name}+", {}) if world.is_cloned(machine.name) else {}
        differs = any(octets != others.get(place, octets) for place, octets in sealed.items())
        require(not differs or machine.name in accused, f"{machine.name} was cloned, and nobody was told")
    for gateway in accused:
        require(world.is_cloned(gateway), f"{gateway} is accused of two contents, but has no clone")


def check_energy(world: Any) -> None:
    """What is settled for a node is what truly went through it between its first and its last measured mark."""
    for point in points.metering_points(world.park.site, CATALOGUE):
        meters = {one.meter for one in point.installations}
        gateway = world.park.site.port(world.park.meters[min(meters)].port).gateway
        if world.is_cloned(gateway):
            continue
        readings = points.decode(_stored(world, gateway, meters), CATALOGUE)[point.obis]
        if len({reading.mark for reading in readings}) > 1:
            _check_point(world, point, readings)


def _check_point(world: Any, point: MeteringPoint, readings: Sequence[PointReading]) -> None:
    truth: dict[datetime, int] = {}
    for one in point.installations:
        truth |= world.witness.true_energy_wh.get((one.meter, point.obis), {})
    span = Interval(readings[0].mark, readings[-1].mark)
    settled = intervals.settle_point(readings, span, point.installations)
    place = f"{point.node} {point.obis}"
    weakest = max(settled.quality)
    require(weakest < SlotQuality.MISSING, f"{place} is {weakest.name}: {settled.exceptions}")
    require(span.start in truth and span.end in truth, f"{place} begins or ends with what nobody measured")
    true_wh = truth[span.end] - truth[span.start]
    require(sum(settled.energy_wh) == true_wh, f"{place} settled {sum(settled.energy_wh)} Wh, true are {true_wh} Wh")
    for index, (energy_wh, quality) in enumerate(zip(settled.energy_wh, settled.quality, strict=True)):
        opens = span.start + index * SLOT
        if quality in (SlotQuality.MEASURED, SlotQuality.ROLLOVER):
            require(opens in truth and opens + SLOT in truth, f"{place} claims to be measured at {opens}")
            require(energy_wh == truth[opens + SLOT] - truth[opens], f"{place} has wrong energy at {opens}")
    by_day = [energy_wh for day in _days(world.park, span) for energy_wh in _settled_day(point, readings, day, span)]
    require(by_day == list(settled.energy_wh), f"{place} settles to something else day by day")


def _settled_day(
    point: MeteringPoint, readings: Sequence[PointReading], day: Interval, span: Interval
) -> Iterator[int]:
    """Settle one local day from the readings around it, as the service does; give the slots inside `span`."""
    settled = intervals.settle_point(around(readings, day), day, point.installations)
    for index, energy_wh in enumerate(settled.energy_wh):
        if day.start + index * SLOT in span:
            yield energy_wh


def _days(park: Park, span: Interval) -> list[Interval]:
    calendar = park.site.calendar
    return [calendar.day(day) for day in calendar.days(span)]


def _place_of(octets: bytes) -> Place:
    envelope = parse_sealed(octets).envelope
    return envelope.gateway, envelope.epoch, envelope.seq


def _held(world: Any) -> Iterator[tuple[Place, bytes]]:
    for owner, chain in world.centre.store.books.ledger.items():
        for seq, entry in chain.items():
            yield (owner.gateway, owner.epoch, seq), entry.sealed.octets


def _stored(world: Any, gateway: GatewayId, meters: set[MeterId]) -> Iterator[StoredReading]:
    for owner, chain in world.centre.store.books.ledger.items():
        for entry in chain.values():
            envelope = entry.sealed.envelope
            if owner.gateway == gateway and entry.refused is None and envelope.mark is not None:
                for reading in envelope.readings:
                    if reading.meter in meters:
                        yield StoredReading(reading, envelope.mark, None)
