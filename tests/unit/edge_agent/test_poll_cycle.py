"""The spine: marks, seals, commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from device_profiles.read_plan import ReadRequest
from edge_agent.poll_cycle import Identity, PollCycle
from edge_agent.ports import OutboxDamaged
from edge_agent.sweep import PortReader
from metering.clock import ManualClock
from metering.envelope import Sealed, chain_digest, open_sealed
from provisioning.site import ALWAYS, Span
from tests.doubles.edge import (
    GATEWAY,
    LINE,
    QUARTER,
    START,
    UNITS,
    Location,
    MemoryOutbox,
    ScriptedBus,
    asked,
    entry,
    serial_port,
    tcp_port,
)

BOOT = bytes(range(16))


def zeros(address: str, request: ReadRequest) -> bytes:
    """Registers that are all zero."""
    return bytes(2 * request.count)  # type: ignore[union-attr]


class Bench:
    """A poll cycle on scripted buses: one serial port, and if wanted a TCP port beside it."""

    def __init__(
        self, signer: Any, executor: Executor, *, outbox: MemoryOutbox, with_tcp: bool = False, span: Span = ALWAYS
    ) -> None:
        self.outbox = outbox
        self.appended: list[int] = []
        ports = [(serial_port("line"), LINE[6:])] + ([(tcp_port(502), UNITS)] if with_tcp else [])
        self.readers = [self._reader(port, locations, span) for port, locations in ports]
        self.clock = ManualClock(START - timedelta(seconds=60))
        self.cycle = PollCycle(
            identity=Identity(GATEWAY, 1, BOOT, signer),
            readers=self.readers,
            outbox=outbox,
            clock=self.clock,
            every=QUARTER,
            executor=executor,
            appended=self.appended.append,
        )
        self.verifier = signer.verifier

    def opened(self) -> list[Sealed]:
        """Every envelope in the outbox, verified."""
        return [open_sealed(each.octets, self.verifier) for each in self.outbox.entries]

    def _reader(self, port: Any, locations: tuple[Location, ...], span: Span) -> PortReader:
        clock = ManualClock(START - timedelta(seconds=60))
        bus = ScriptedBus(clock, zeros, seconds=0.01 * len(locations))
        return PortReader(port, bus, clock, asked(locations, port.id, span), threading.Event())


@pytest.fixture
def executor() -> Iterator[Executor]:
    """Threads for the ports."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_each_mark_gives_one_sealed_envelope_in_a_chain(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox())
    marks = [bench.cycle.poll_next() for _ in range(3)]
    assert marks == [START, START + QUARTER, START + 2 * QUARTER]
    first, second, third = bench.opened()
    assert [each.envelope.mark for each in (first, second, third)] == marks
    assert [each.envelope.seq for each in (first, second, third)] == [1, 2, 3]
    assert first.envelope.previous_hash == bytes(32)
    assert second.envelope.previous_hash == first.digest
    assert third.envelope.previous_hash == second.digest
    assert first.envelope.boot == BOOT
    assert len(first.envelope.readings) == 4
    assert bench.appended == [1, 2, 3]


def test_the_chain_of_an_installed_gateway_begins_with_its_bundle(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox())
    bench.cycle.sealer._identity = Identity(GATEWAY, 1, BOOT, gateway_signer, bytes(range(32)))
    bench.cycle.poll_next()
    bench.cycle.poll_next()
    first, second = bench.opened()
    assert first.envelope.previous_hash == bytes(range(32))
    assert second.envelope.previous_hash == first.digest


def test_all_ports_of_a_mark_are_one_commit_in_the_order_of_the_configuration(
    gateway_signer: Any, executor: Executor
) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox(), with_tcp=True)
    bench.cycle.poll_next()
    serial, tcp = bench.opened()
    assert bench.outbox.commits == 1
    assert serial.envelope.readings[0].meter == "m-lift"
    assert tcp.envelope.readings[0].meter == "m-main"
    assert tcp.envelope.previous_hash == serial.digest
    assert serial.envelope.sealed_at == tcp.envelope.sealed_at


def test_nothing_is_sealed_before_it_was_read(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox(), with_tcp=True)
    bench.cycle.poll_next()
    for sealed in bench.opened():
        assert all(reading.ended_at <= sealed.envelope.sealed_at for reading in sealed.envelope.readings)


def test_a_mark_read_again_after_a_crash_gives_the_same_octets(gateway_signer: Any, executor: Executor) -> None:
    undisturbed = Bench(gateway_signer, executor, outbox=MemoryOutbox(), with_tcp=True)
    for _ in range(4):
        undisturbed.cycle.poll_next()
    outbox = MemoryOutbox()
    crashed = Bench(gateway_signer, executor, outbox=outbox, with_tcp=True)
    crashed.cycle.poll_next()
    crashed.cycle.poll_next()
    for reader in crashed.readers:
        reader.sweep(START + 2 * QUARTER)  # and killed before the commit
    again = Bench(gateway_signer, executor, outbox=outbox, with_tcp=True)
    assert again.cycle.poll_next() == START + 2 * QUARTER
    again.cycle.poll_next()
    assert outbox.entries == undisturbed.outbox.entries


def test_a_mark_whose_commit_failed_is_polled_again(gateway_signer: Any, executor: Executor) -> None:
    class FullOnce(MemoryOutbox):
        """Fails its first commit."""

        def append(self, entries: Any) -> None:
            if not self.commits:
                self.commits = 1
                raise OutboxDamaged("disk full")
            super().append(entries)

    bench = Bench(gateway_signer, executor, outbox=FullOnce())
    with pytest.raises(OutboxDamaged):
        bench.cycle.poll_next()
    assert bench.appended == []
    assert bench.cycle.poll_next() == START
    assert bench.opened()[0].envelope.seq == 1


def test_a_mark_without_meters_leaves_no_envelope_and_time_goes_on(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox(), span=Span(START + QUARTER, None))
    assert bench.cycle.poll_next() == START
    assert bench.outbox.entries == []
    assert bench.cycle.poll_next() == START + QUARTER
    assert bench.opened()[0].envelope.seq == 1


def test_a_clock_that_is_behind_after_a_new_enrolment_brings_no_mark_back(
    gateway_signer: Any, executor: Executor
) -> None:
    outbox = MemoryOutbox()
    outbox.append([entry(1, epoch=9, octets=b"of the epoch before")])
    bench = Bench(gateway_signer, executor, outbox=outbox)
    assert bench.cycle.poll_next() == START + 2 * QUARTER


def test_the_digest_of_an_entry_is_the_next_link(gateway_signer: Any, executor: Executor) -> None:
    bench = Bench(gateway_signer, executor, outbox=MemoryOutbox())
    bench.cycle.poll_next()
    bench.cycle.poll_next()
    assert bench.opened()[1].envelope.previous_hash == chain_digest(bench.outbox.entries[0].octets)
