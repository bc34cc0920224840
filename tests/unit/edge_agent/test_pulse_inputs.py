"""Pulse inputs: debounced by time, counted once, on disk before they are told, and never back."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_profiles.framing.errors import AddressInvalid, FrameError
from device_profiles.framing.pulse import PulseRead, asked_input, build_reply, build_request, check_address, count_in
from device_profiles.profile import Protocol
from edge_agent.adapters import pulse_bus, pulse_store
from edge_agent.adapters.pulse_bus import PulseBus, store_path
from edge_agent.adapters.pulse_lines import (
    GET_LEVELS,
    GET_LINE,
    GpioLines,
    LineRequest,
    TextLines,
    edges_from_events,
    line_request,
    lines_of,
)
from edge_agent.adapters.pulse_store import INPUTS_MAX, SLOT_OCTETS, CountsDamaged, PulseStore, slot_of
from edge_agent.ports import BusTimeout, PortLost
from edge_agent.pulse_counter import Edge, PulseCounter
from metering.identity import GatewayId, PortId
from provisioning.site import Bias, PulsePort

MS = 1_000_000


def port(device: str = "/nonexistent/fifo", *, debounce_us: int = 0, active_low: bool = False) -> PulsePort:
    """Give a port of pulse inputs."""
    return PulsePort(PortId("pulses"), GatewayId("gw"), device, debounce_us, active_low, Bias.PULL_UP, 60)


# The counter: pure, by the times of the edges.


def counted(debounce_ms: int, *edges: tuple[bool, int], until_ms: int = 10_000, is_active: bool = False) -> int:
    """Count edges given as (level, milliseconds)."""
    counter = PulseCounter(count=0, debounce_ns=debounce_ms * MS, is_active=is_active)
    for level, at_ms in edges:
        counter.note(Edge(1, level, at_ms * MS))
    counter.settle(until_ms * MS)
    return counter.count


def test_a_pulse_is_counted_when_the_input_becomes_active() -> None:
    assert counted(10, (True, 0), (False, 100), (True, 200), (False, 300)) == 2


def test_a_bouncing_contact_is_one_pulse() -> None:
    bounces = [(at % 2 == 0, at) for at in range(9)]
    assert counted(10, *bounces, (False, 100), (True, 101), (False, 102)) == 1


def test_a_spike_shorter_than_the_debounce_time_is_none() -> None:
    assert counted(10, (True, 0), (False, 9)) == 0
    assert counted(10, (True, 0), (False, 10)) == 1


def test_a_gap_shorter_than_the_debounce_time_does_not_part_a_pulse() -> None:
    assert counted(10, (True, 0), (False, 50), (True, 55), (False, 100)) == 1


def test_a_level_that_holds_is_believed_when_it_is_asked_for() -> None:
    assert counted(10, (True, 0), until_ms=9) == 0
    assert counted(10, (True, 0), until_ms=10) == 1


def test_an_input_that_is_active_at_the_start_is_no_pulse() -> None:
    assert counted(10, (False, 100), (True, 200), is_active=True) == 1


def test_without_debounce_every_rise_counts() -> None:
    assert counted(0, (True, 0), (False, 0), (True, 0), (False, 0)) == 2


def test_an_edge_to_the_level_it_has_changes_nothing() -> None:
    assert counted(10, (True, 0), (True, 100), (True, 200), (False, 300), (False, 400)) == 1


def test_pulses_of_any_spacing_are_all_counted() -> None:
    """A meter at any speed with a contact that bounces for less than the debounce time."""
    generator = random.Random(7)
    for _ in range(50):
        at, edges, pulses = 0, [], generator.randrange(1, 40)
        for _ in range(pulses):
            for level in (True, False):
                at += generator.randrange(25, 400)
                edges.append((level, at))
                for _ in range(generator.randrange(4)):
                    at += generator.randrange(1, 5)
                    edges.append((not level, at))
                    at += generator.randrange(1, 5)
                    edges.append((level, at))
        assert counted(20, *edges, until_ms=at + 1000) == pulses


# The counts on disk.


def test_counts_come_back_as_they_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    store = PulseStore(path)
    assert store.load() == {}
    for count in range(5):
        store.save({1: count, 17: 2**63})
        assert PulseStore(path).load() == {1: count, 17: 2**63}
    assert path.stat().st_size == 2 * SLOT_OCTETS


def torn(old: bytes, new: bytes) -> Iterator[bytes]:
    """Give what a power cut may leave of a file: any prefix of the writing, any single sector, or garbage in place."""
    places = (
        *range(64),
        *range(64, SLOT_OCTETS, 512),
        *range(SLOT_OCTETS, SLOT_OCTETS + 64),
        *range(0, len(new) + 1, 512),
    )
    for upto in places:
        yield new[:upto] + old[upto:]
    for at in range(0, len(new), 512):
        yield old[:at] + new[at : at + 512] + old[at + 512 :]
        yield old[:at] + bytes(512) + old[at + 512 :] if old[at : at + 512] != new[at : at + 512] else old


def test_a_power_cut_at_any_place_of_a_save_leaves_what_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    store = PulseStore(path)
    promised = 0
    for count in (10, 20, 30, 40):
        old = path.read_bytes() if path.exists() else b""
        store.save({1: count})
        new = path.read_bytes()
        for left in torn(old.ljust(len(new), b"\0"), new) if old else ():
            path.write_bytes(left)
            assert PulseStore(path).load().get(1, 0) in (promised, count)
        path.write_bytes(new)
        promised = count


def test_a_save_never_touches_the_slot_that_holds_the_promise(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    store = PulseStore(path)
    store.save({1: 1})
    store.save({1: 2})
    old = path.read_bytes()
    store.save({1: 3})
    new = path.read_bytes()
    changed = {at // SLOT_OCTETS for at in range(len(old)) if old[at] != new[at]}
    assert len(changed) == 1
    path.write_bytes(new[: SLOT_OCTETS * min(changed)] + bytes(SLOT_OCTETS) + new[SLOT_OCTETS * (min(changed) + 1) :])
    assert PulseStore(path).load() == {1: 2}


def test_a_save_goes_on_from_the_newest_slot_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    PulseStore(path).save({1: 1})
    for count in (2, 3, 4):
        store = PulseStore(path)
        store.load()
        store.save({1: count})
    assert PulseStore(path).load() == {1: 4}


def test_a_file_of_something_else_is_not_counted_on_from(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    path.write_bytes(b"not counts")
    with pytest.raises(CountsDamaged, match="move the file away"):
        PulseStore(path).load()
    path.write_bytes(bytes(2 * SLOT_OCTETS))
    with pytest.raises(CountsDamaged):
        PulseStore(path).load()


def test_a_power_cut_while_the_file_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*words: object) -> None:
        raise OSError(f"no power for {words}")

    store = PulseStore(tmp_path / "counts")
    with monkeypatch.context() as patched:
        patched.setattr(pulse_store.os, "fsync", cut)
        with pytest.raises(OSError, match="no power"):
            store.save({1: 1})
    assert PulseStore(tmp_path / "counts").load() == {}
    store.save({1: 1})
    assert PulseStore(tmp_path / "counts").load() == {1: 1}


def test_a_save_is_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    write, sync = os.pwrite, os.fsync
    monkeypatch.setattr(pulse_store.os, "pwrite", lambda *words: (done.append("write"), write(*words))[1])
    monkeypatch.setattr(pulse_store.os, "fsync", lambda descriptor: (done.append("sync"), sync(descriptor))[1])
    store = PulseStore(tmp_path / "counts")
    store.save({1: 1})
    assert done == ["write", "sync", "sync"]  # the new file's directory too
    store.save({1: 2})
    assert done[3:] == ["write", "sync"]


def test_a_slot_holds_as_many_inputs_as_it_says() -> None:
    assert len(slot_of(1, dict.fromkeys(range(INPUTS_MAX), 1))) == SLOT_OCTETS
    with pytest.raises(ValueError, match="do not fit"):
        slot_of(1, dict.fromkeys(range(INPUTS_MAX + 1), 1))


# Where edges come from.


def test_the_kernels_structures_have_the_kernels_sizes() -> None:
    """Linux, include/uapi/linux/gpio.h: GPIO_V2_GET_LINE_IOCTL and GPIO_V2_LINE_GET_VALUES_IOCTL."""
    assert (GET_LINE, GET_LEVELS) == (0xC250B407, 0xC010B40E)
    assert LineRequest.config.offset == 288
    assert LineRequest.descriptor.offset == 588


def test_a_request_asks_for_both_edges_bias_and_debounce() -> None:
    request = line_request(port(debounce_us=5000, active_low=True), (4, 17))
    assert (request.lines_count, list(request.offsets[:3]), request.consumer) == (2, [4, 17, 0], b"metertree")
    assert request.config.flags == 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8
    (attribute, mask) = (request.config.attributes[0].attribute, request.config.attributes[0].mask)
    assert (request.config.attributes_count, attribute.id, attribute.content, mask) == (1, 3, 5000, 0b11)
    assert line_request(port(), (4,)).config.attributes_count == 0


def event(at_ns: int, *, rising: bool, line: int, number: int) -> bytes:
    """Give an event as the kernel writes it."""
    words = (1 if rising else 2, line, number, number)
    return at_ns.to_bytes(8, "little") + b"".join(word.to_bytes(4, "little") for word in words) + bytes(24)


def test_events_of_the_kernel_are_edges_and_lost_ones_show() -> None:
    numbers: dict[int, int] = {}
    octets = event(5, rising=True, line=4, number=1) + event(9, rising=False, line=4, number=2)
    assert edges_from_events(octets + b"half an event", numbers) == [Edge(4, True, 5), Edge(4, False, 9)]
    assert edges_from_events(event(20, rising=True, line=4, number=6), numbers) == [Edge(4, True, 20, missed=3)]
    assert edges_from_events(event(20, rising=True, line=5, number=9), numbers) == [Edge(5, True, 20)]


def test_a_chip_that_is_not_there_is_a_lost_port(tmp_path: Path) -> None:
    assert isinstance(lines_of(port("/dev/gpiochip99"), (1,)), GpioLines)
    assert isinstance(lines_of(port(str(tmp_path / "fifo")), (1,)), TextLines)
    with pytest.raises(PortLost, match="gpiochip99"):
        GpioLines(port("/dev/gpiochip99"), (1,)).open()
    with pytest.raises(PortLost, match="cannot be had"):
        GpioLines(port("/dev/null"), (1,)).open()
    with pytest.raises(PortLost, match="cannot be opened"):
        TextLines(port(str(tmp_path / "fifo")), (1,)).open()


def test_text_lines_are_edges_and_anything_else_is_none(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    lines = TextLines(port(str(fifo)), (1, 2))
    assert lines.open() == {1: False, 2: False}
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"1 1 100\n1 0 200\n3 1 300\nnonsense\n2 x 1\n\n1 1 -\n2 1")
        assert lines.edges() == [Edge(1, True, 100), Edge(1, False, 200)]
        writer.write(b" 400\n")
        lines.wait(1.0)
        assert lines.edges() == [Edge(2, True, 400)]
    assert lines.edges() == []
    lines.close()
    lines.close()


def test_a_plain_file_is_followed_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "edges"
    path.write_text("1 1 1\n", encoding="ascii")
    lines = TextLines(port(str(path), active_low=True), (1,))
    lines.open()
    with path.open("a", encoding="ascii") as writer:
        writer.write("1 0 5\n")
    lines.wait(0.01)
    assert lines.edges() == [Edge(1, True, 5)]
    lines.close()


# The port.


class StillClock:
    """A clock that stands."""

    def now(self) -> datetime:
        """Give the one instant."""
        return datetime(2026, 7, 1, tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        """Do not wait."""

    def sleep_until(self, instant: datetime) -> None:
        """Do not wait."""


class HandLines:
    """Edges that a test puts in."""

    def __init__(self, *inputs: int) -> None:
        self.inputs = inputs
        self.queued: list[Edge] = []
        self.is_lost = False
        self.came = threading.Event()
        self.taken = threading.Event()

    def open(self) -> dict[int, bool]:
        """Begin."""
        if self.is_lost:
            raise PortLost("pulled out")
        return dict.fromkeys(self.inputs, False)

    def close(self) -> None:
        """End."""

    def wait(self, seconds: float) -> None:
        """Wait for edges."""
        self.came.wait(min(seconds, 0.05))

    def edges(self) -> list[Edge]:
        """Give them."""
        if self.is_lost:
            raise PortLost("pulled out")
        edges, self.queued = self.queued, []
        self.came.clear()
        self.taken.set()
        return edges

    def pulse(self, line: int, times: int = 1, missed: int = 0) -> None:
        """Queue pulses."""
        for _ in range(times):
            self.queued += [Edge(line, True, 0, missed), Edge(line, False, 0)]
        self.came.set()


@pytest.fixture
def lines() -> HandLines:
    """Two inputs."""
    return HandLines(1, 17)


@pytest.fixture
def bus_at(tmp_path: Path, lines: HandLines) -> Iterator[Callable[[], PulseBus]]:
    """Build buses on one file of counts, as after restarts; closes what is open at the end."""
    built: list[PulseBus] = []

    def build() -> PulseBus:
        place = port()
        built.append(PulseBus(place, StillClock(), lines, PulseStore(store_path(tmp_path, place))))
        return built[-1]

    yield build
    for bus in built:
        bus.close()


def count_of(bus: PulseBus, line: int) -> int:
    """Read one input as a sweep does."""
    answer = bus.ask(Protocol.PULSE, str(line), PulseRead(), reply_s=1.0, late_s=1.0)
    return count_in(answer.body)


def test_pulses_are_counted_by_input_and_read(bus_at: Callable[[], PulseBus], lines: HandLines) -> None:
    bus = bus_at()
    assert bus.open()
    assert not bus.open()
    lines.pulse(1, 3)
    lines.pulse(17, 2)
    lines.pulse(99)
    assert [count_of(bus, line) for line in (1, 17)] == [3, 2]
    with pytest.raises(BusTimeout, match="no input 5"):
        count_of(bus, 5)
    assert (bus.figures.exchanges, bus.figures.silent) == (3, 1)


def test_a_count_goes_on_after_a_restart(bus_at: Callable[[], PulseBus], lines: HandLines) -> None:
    first = bus_at()
    first.open()
    lines.pulse(1, 5)
    first.close()
    second = bus_at()
    second.open()
    lines.pulse(1, 2)
    assert count_of(second, 1) == 7


def test_a_count_that_was_told_is_on_disk_already(
    bus_at: Callable[[], PulseBus], lines: HandLines, tmp_path: Path
) -> None:
    """The power goes right after the reading: what was signed must not come back smaller."""
    bus = bus_at()
    bus.open()
    lines.pulse(1, 5)
    told = count_of(bus, 1)
    assert PulseStore(store_path(tmp_path, port())).load()[1] == told == 5


def test_counts_are_written_in_time_though_nobody_asks(
    bus_at: Callable[[], PulseBus], lines: HandLines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_bus, "SAVE_S", 0.0)
    bus = bus_at()
    bus.open()
    lines.taken.clear()
    lines.pulse(1, 4)
    for _ in range(200):
        lines.taken.wait(0.05)
        lines.taken.clear()
        if PulseStore(store_path(tmp_path, port())).load().get(1) == 4:
            return
    pytest.fail("the counts were not written")


def test_nothing_is_written_while_nothing_is_counted(bus_at: Callable[[], PulseBus], tmp_path: Path) -> None:
    bus = bus_at()
    bus.open()
    for _ in range(3):
        count_of(bus, 1)
    assert not store_path(tmp_path, port()).exists()


def test_two_programs_never_count_into_one_file(bus_at: Callable[[], PulseBus], lines: HandLines) -> None:
    """A probe beside the running gateway: it would take edges away and write its own count over the gateway's."""
    running = bus_at()
    running.open()
    lines.pulse(1, 4)
    with pytest.raises(PortLost, match="another program"):
        bus_at().open()
    assert count_of(running, 1) == 4
    running.close()
    second = bus_at()
    assert second.open()
    assert count_of(second, 1) == 4


def test_an_input_that_is_left_out_keeps_its_count(
    bus_at: Callable[[], PulseBus], lines: HandLines, tmp_path: Path
) -> None:
    bus = bus_at()
    bus.open()
    lines.pulse(1, 1)
    lines.pulse(17, 9)
    bus.close()
    lines.inputs = (1,)
    second = bus_at()
    second.open()
    lines.pulse(1, 1)
    assert count_of(second, 1) == 2
    assert PulseStore(store_path(tmp_path, port())).load() == {1: 2, 17: 9}


def test_lost_edges_are_told_and_never_made_up(
    bus_at: Callable[[], PulseBus], lines: HandLines, caplog: pytest.LogCaptureFixture
) -> None:
    bus = bus_at()
    bus.open()
    lines.pulse(1, missed=6)
    assert count_of(bus, 1) == 1
    assert bus.missed == 6
    assert "edges-missed" in caplog.messages


def test_a_port_that_goes_away_is_lost_and_can_be_opened_again(
    bus_at: Callable[[], PulseBus], lines: HandLines
) -> None:
    bus = bus_at()
    bus.open()
    lines.pulse(1, 2)
    assert count_of(bus, 1) == 2
    lines.is_lost = True
    with pytest.raises(PortLost):
        count_of(bus, 1)
    bus.close()
    with pytest.raises(PortLost):
        bus.open()
    lines.is_lost = False
    assert bus.open()
    lines.pulse(1, 1)
    assert count_of(bus, 1) == 3


def test_a_disk_that_refuses_is_no_reading(
    bus_at: Callable[[], PulseBus], lines: HandLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_at()
    bus.open()
    lines.pulse(1, 2)

    def full(self: PulseStore, counts: object) -> None:
        del self, counts
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(PulseStore, "save", full)
        with pytest.raises(PortLost, match="cannot be written"):
            count_of(bus, 1)
    assert count_of(bus, 1) == 2


# The frame.


def test_a_request_names_its_input_and_a_count_has_eight_octets() -> None:
    assert asked_input(build_request("17")) == "17"
    assert count_in(build_reply(2**64 - 1)) == 2**64 - 1
    assert asked_input(b"PULSE 01\n") is asked_input(b"") is None
    with pytest.raises(FrameError, match="8 octets"):
        count_in(b"1234567")


@pytest.mark.parametrize("text", ["01", "1000", "", "-1", "a"])
def test_an_input_is_a_number(text: str) -> None:
    assert check_address("0") == "0"
    with pytest.raises(AddressInvalid):
        check_address(text)
