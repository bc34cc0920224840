"""How fast a backlog leaves the outbox, and what it writes to the card in a day. A minute

    python -m tests.bench.edge.outbox_speed

Drained: the production outbox on this machine's disk, the production uplink, and a centre in the same process that
proves nothing and signs a receipt for every 32 envelopes: the gateway's own share. Written: every write of SQLite is
counted by the disk it writes to (tests/doubles/power_cut.py), log and checkpoints, over `DAYS` days of sweeps.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.ports import BrokerEvent, Connected, Entry, ReceiptArrived
from edge_agent.uplink_loop import UplinkLoop
from metering.envelope import chain_digest, seal
from metering.identity import MeterId
from metering.receipt import Receipt, seal_receipt
from tests.conftest import MARK, SeededSigner, build_envelope
from tests.doubles.edge import GATEWAY
from tests.doubles.power_cut import ForgetfulDisk

BACKLOG = 20_000
GROUP = 32
DAYS = 10
CHECKPOINT_PAGES = 1000
"""SQLite's own."""
_SIGNER, _CENTRE = SeededSigner("metertree bench gateway"), SeededSigner("metertree bench centre")


@dataclass(frozen=True)
class Budget:
    """What one way of reading writes in a day, beside the envelopes themselves."""

    what: str
    envelope_octets: int
    envelopes: int
    written_octets: int
    syncs: int


def sweep_of(meters: int) -> bytes:
    """One sealed sweep of so many meters."""
    envelope = build_envelope()
    (first, *_) = envelope.readings
    readings = tuple(replace(first, meter=MeterId(f"m-u-{number:05}")) for number in range(meters))
    return seal(replace(envelope, gateway=GATEWAY, readings=readings), _SIGNER)


class NearCentre:
    """The centre and its broker, in this process."""

    def __init__(self, deliver: Callable[[BrokerEvent], None], seqs: Mapping[bytes, int]) -> None:
        self._deliver = deliver
        self._seqs = seqs
        self.begun_s = 0.0
        self.taken = 0
        self._ahead: dict[int, bytes] = {}

    def connect(self) -> None:
        """Stand at once."""
        self.begun_s = time.perf_counter()
        self._deliver(Connected())

    def publish(self, octets: bytes) -> None:
        """Take one; live ones come ahead of history."""
        self._ahead[self._seqs[octets]] = octets
        newest = b""
        while self.taken + 1 in self._ahead:
            self.taken += 1
            newest = self._ahead.pop(self.taken)
        if newest and (self.taken % GROUP == 0 or self.taken == BACKLOG):
            receipt = Receipt(GATEWAY, 1, self.taken, chain_digest(newest), MARK + timedelta(milliseconds=self.taken))
            self._deliver(ReceiptArrived(seal_receipt(receipt, _CENTRE)))

    def close(self) -> None:
        """Nothing is open."""


def drain(folder: Path) -> tuple[float, int]:
    """Give the envelopes a second at which a backlog leaves, and the octets of one."""
    outbox = SqliteOutbox(folder / "outbox.db", GATEWAY, lambda _: b"")
    previous, envelope = bytes(32), build_envelope()
    entries = []
    for seq in range(1, BACKLOG + 1):
        octets = seal(replace(envelope, gateway=GATEWAY, seq=seq, previous_hash=previous), _SIGNER)
        previous = chain_digest(octets)
        entries.append(Entry(1, seq, MARK, MARK, octets))
    for begin in range(0, BACKLOG, 500):
        outbox.append(entries[begin : begin + 500])
    heard = _stop_at(lambda: loop)
    loop = UplinkLoop(gateway=GATEWAY, epoch=1, outbox=outbox, centre=_CENTRE.verifier, on_receipt=heard)
    centre = NearCentre(loop.deliver, {one.octets: one.seq for one in entries})
    loop.run(centre)
    spent_s = time.perf_counter() - centre.begun_s
    assert outbox.receipted(1) == BACKLOG
    outbox.close()
    return BACKLOG / spent_s, len(entries[0].octets)


def _stop_at(loop: Callable[[], UplinkLoop]) -> Callable[[Receipt, float], None]:
    def stop_at_the_end(receipt: Receipt, _: float) -> None:
        if receipt.contiguous_seq == BACKLOG:
            loop().stop()

    return stop_at_the_end


def written(what: str, meters: int, ports: int, every_min: int) -> Budget:
    """Count what a day of sweeps writes, receipts included."""
    disk = ForgetfulDisk()
    outbox = SqliteOutbox(Path("/outbox.db"), GATEWAY, lambda _: b"", connect=disk.connect)
    outbox._connection.wal_autocheckpoint(CHECKPOINT_PAGES)
    octets, marks = sweep_of(meters), DAYS * 1440 // every_min
    before = counts_of(disk)
    for number in range(marks):
        mark = MARK + timedelta(minutes=number * every_min)
        outbox.append([Entry(1, number * ports + port, mark, mark, octets) for port in range(1, ports + 1)])
        outbox.acknowledge(1, (number + 1) * ports)
    written_octets, syncs = (after - one for after, one in zip(counts_of(disk), before, strict=True))
    outbox.close()
    disk.switch_off()
    return Budget(what, len(octets), marks * ports // DAYS, written_octets // DAYS, syncs // DAYS)


def counts_of(disk: ForgetfulDisk) -> tuple[int, int]:
    """Octets and syncs so far."""
    return disk.counts.octets, disk.counts.syncs


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        rate, octets = drain(Path(folder))
    out = sys.stdout.write
    out(f"load {os.getloadavg()[0]:.1f}\n")
    out(f"drained: {rate:,.0f} envelopes/s of {octets} octets ({BACKLOG:,} in the outbox)\n")
    out("| reading | envelopes a day | octets of one | written a day | syncs a day | written / octets of envelopes |\n")
    for what, meters, ports, every_min in (
        ("10 meters on 1 port, every 15 min", 10, 1, 15),
        ("100 meters on 1 port, every 15 min", 100, 1, 15),
        ("100 meters on 4 ports, every 15 min", 25, 4, 15),
        ("100 meters on 1 port, every minute", 100, 1, 1),
    ):
        one = written(what, meters, ports, every_min)
        share = one.written_octets / (one.envelopes * one.envelope_octets)
        out(
            f"| {one.what} | {one.envelopes:,} | {one.envelope_octets:,} | {one.written_octets / 1e6:.2f} MB "
            f"| {one.syncs:,} | {share:.1f} |\n"
        )


if __name__ == "__main__":
    main()
