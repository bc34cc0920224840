"""The simulation's own parts: they must behave as what they stand for, or a green world means nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from device_profiles.framing import codec_of
from device_profiles.framing.errors import FrameError
from device_profiles.profile import Protocol
from edge_agent.ports import (
    BrokerEvent,
    BrokerUnreachable,
    BusTimeout,
    Connected,
    Lost,
    OutboxDamaged,
    PortLost,
    ReceiptArrived,
)
from metering.clock import ManualClock
from metering.envelope import SignatureInvalid, open_sealed, seal
from metering.identity import MeterId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from metering.topics import receipt_topic
from tests.conftest import build_envelope
from tests.doubles.edge import GATEWAY, LINE, START, CountingRegisters, asked, entry, simulated
from tests.doubles.sim_broker import DELAY_MS, SimBroker, SimSession, Weather
from tests.doubles.sim_bus import Noise, SimBus
from tests.doubles.sim_keys import SimSigner
from tests.doubles.sim_outbox import Disk, SimOutbox, SqliteDisk
from tests.simulation.faults import CALM, RATE_MAX, Faults, Fuse, PowerCut, draw_faults, flip_bit
from tests.simulation.park import DLT645_MODULUS_WH, HOUR_MS, RESOLUTION_WH, draw_park


class SimBox:
    """The simulated outbox, and how its machine dies."""

    def __init__(self, _directory: Path) -> None:
        self.disk = Disk()

    def open(self) -> Any:
        """Open it on its disk."""
        return SimOutbox(self.disk)

    def cut(self, outbox: Any) -> None:
        """Cut the power."""
        outbox.lose_power()


class SqliteBox:
    """The real outbox, and how its machine dies."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "outbox.db"

    def open(self) -> Any:
        """Open the file."""
        return SqliteDisk(self.path, GATEWAY).open()

    def cut(self, outbox: Any) -> None:
        """Cut the power."""
        outbox.lose_power()


@pytest.fixture(params=[SimBox, SqliteBox])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Both outboxes, one after the other."""
    return request.param(tmp_path)


def sealed(seq: int, epoch: int = 1) -> Any:
    """A batch with real octets."""
    return entry(seq, epoch, seal(build_envelope(seq), SimSigner("outbox")))


def test_what_was_appended_survives_a_power_cut(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1), sealed(2)])
    head = outbox.head(1)
    box.cut(outbox)
    again = box.open()
    assert again.head(1) == head
    assert [each.seq for each in again.after(1, 0, 10)] == [1, 2]
    assert again.newest_mark() == head.mark


def test_a_receipt_is_forgotten_by_a_power_cut_unless_a_batch_followed(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1), sealed(2)])
    outbox.acknowledge(1, 1)
    outbox.append([sealed(3)])
    outbox.acknowledge(1, 2)
    assert outbox.receipted(1) == 2
    box.cut(outbox)
    assert box.open().receipted(1) == 1


def test_an_orderly_end_writes_receipts(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1)])
    outbox.acknowledge(1, 1)
    outbox.close()
    assert box.open().receipted(1) == 1


def test_a_recall_survives_a_power_cut(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1), sealed(2)])
    outbox.acknowledge(1, 2)
    outbox.recall(1, 1)
    box.cut(outbox)
    again = box.open()
    assert (again.receipted(1), again.unfinished_epochs()) == (1, [1])
    again.recall(1, 2)
    assert again.receipted(1) == 1


def test_a_batch_that_does_not_follow_is_refused(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1)])
    with pytest.raises(OutboxDamaged):
        outbox.append([sealed(3)])
    assert outbox.head(1).seq == 1


def test_a_receipt_never_covers_more_than_there_is(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1)])
    outbox.acknowledge(1, 7)
    outbox.acknowledge(1, 0)
    assert outbox.receipted(1) == 1


def test_epochs_are_chains_of_their_own_and_the_oldest_unfinished_comes_first(box: Any) -> None:
    outbox = box.open()
    outbox.append([sealed(1), sealed(2)])
    outbox.append([sealed(1, epoch=2)])
    assert outbox.unfinished_epochs() == [1, 2]
    outbox.acknowledge(1, 2)
    assert outbox.unfinished_epochs() == [2]
    assert [each.seq for each in outbox.after(1, 1, 10)] == [2]
    assert outbox.newest_mark() == sealed(2).mark


def test_a_copied_disk_is_another_disk() -> None:
    disk = Disk()
    SimOutbox(disk).append([sealed(1)])
    clone = SimOutbox(disk.copy())
    clone.append([sealed(2)])
    assert SimOutbox(disk).head(1).seq == 1
    assert clone.head(1).seq == 2


def test_a_simulated_signature_holds_only_for_its_octets_and_key() -> None:
    octets = seal(build_envelope(), SimSigner("a"))
    assert open_sealed(octets, SimSigner("a").verifier).envelope == build_envelope()
    with pytest.raises(SignatureInvalid):
        open_sealed(octets, SimSigner("b").verifier)
    assert seal(build_envelope(), SimSigner("a")) == octets


class Air:
    """A broker and the events it puts off."""

    def __init__(self, **rates: float) -> None:
        self.put_off: list[tuple[int, Callable[[], None]]] = []
        weather = Weather(random.Random(1), **rates)
        self.broker = SimBroker(weather, lambda delay_ms, act: self.put_off.append((delay_ms, act)))
        self.heard: list[BrokerEvent] = []
        self.session = SimSession(self.broker, GATEWAY, self.heard.append)
        self.session.connect()
        self.pass_by()

    def pass_by(self) -> list[int]:
        """Let everything happen that was put off; give the delays [ms]."""
        waiting, self.put_off = self.put_off, []
        for _, act in waiting:
            act()
        return [delay_ms for delay_ms, _ in waiting]

    @property
    def arrived(self) -> list[bytes]:
        """What reached the centre."""
        return [arrival.octets for arrival in self.broker.consumer.waiting]


def test_in_good_weather_every_message_arrives_once_and_in_order() -> None:
    air = Air()
    for octets in (b"one", b"two", b"three"):
        air.session.publish(octets)
    assert air.pass_by() == [DELAY_MS] * 3
    assert air.arrived == [b"one", b"two", b"three"]
    assert air.heard == [Connected()]


def test_messages_are_lost_doubled_delayed_or_damaged() -> None:
    outcomes: dict[str, list[bytes]] = {}
    for kind in ("lost", "doubled", "truncated", "flipped"):
        air = Air(**{f"message_{kind}": 1.0})
        air.session.publish(b"a message")
        air.pass_by()
        outcomes[kind] = air.arrived
    assert outcomes["lost"] == []
    assert outcomes["doubled"] == [b"a message"] * 2
    assert b"a message".startswith(outcomes["truncated"][0])
    assert outcomes["truncated"] != [b"a message"]
    differing = [one ^ two for one, two in zip(outcomes["flipped"][0], b"a message", strict=True) if one != two]
    assert len(differing) == 1
    assert differing[0].bit_count() == 1
    late = Air(message_delayed=1.0)
    late.session.publish(b"a message")
    assert late.pass_by()[0] > DELAY_MS


def test_a_receipt_reaches_its_gateway_and_goes_astray_only_when_told() -> None:
    for rate, expected in ((0.0, []), (1.0, [ReceiptArrived(b"receipt")])):
        air = Air(receipt_astray=rate)
        air.broker.consumer.publish(receipt_topic(GATEWAY), b"mine")
        air.pass_by()
        assert air.heard[1] == ReceiptArrived(b"mine")
        other = "m/1/gw-z/down/receipt"
        air.broker.consumer.publish(other, b"receipt")
        air.pass_by()
        assert air.heard[2:] == expected


def test_a_broker_that_goes_down_forgets_and_says_so() -> None:
    air = Air()
    air.session.publish(b"waits")
    air.pass_by()
    air.session.publish(b"is on the way")
    air.broker.go_down()
    air.pass_by()
    assert air.arrived == []
    assert isinstance(air.heard[-1], Lost)
    with pytest.raises(BrokerUnreachable):
        air.session.publish(b"nobody there")
    with pytest.raises(BrokerUnreachable):
        air.session.connect()
    air.broker.come_up()
    air.session.connect()
    assert air.session.sessions == 2


def test_a_message_that_was_not_acknowledged_comes_again() -> None:
    air = Air()
    for octets in (b"one", b"two"):
        air.session.publish(octets)
    air.pass_by()
    consumer = air.broker.consumer
    first, _ = consumer.receive(10, 0.0)
    consumer.acknowledge([first])
    consumer.reconnect()
    assert air.arrived == [b"two"]


PROTOCOL_PLACES = {Protocol.DLT645_2007: 0, Protocol.MODBUS_RTU: 6}


@pytest.mark.parametrize("place", PROTOCOL_PLACES.values(), ids=[each.value for each in PROTOCOL_PLACES])
def test_no_flipped_bit_of_a_serial_answer_becomes_another_reading(place: int) -> None:
    """The bus may flip any bit of a reply: the codecs must refuse it, or find the same body."""
    meter, asks = simulated(LINE)[place], asked(LINE)[place]
    codec, registers = codec_of(meter.protocol), CountingRegisters()
    request = codec.build_request(meter.address, asks.reads[0])
    reply = meter.answer(request, registers)
    assert reply is not None
    body = codec.parse_reply(meter.address, asks.reads[0], reply)
    for bit in range(8 * len(reply)):
        damaged = bytearray(reply)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert codec.parse_reply(meter.address, asks.reads[0], bytes(damaged)) == body
        except FrameError:
            continue


def bus(registers: CountingRegisters, **rates: float) -> tuple[SimBus, ManualClock]:
    """A line with the usual meters."""
    clock = ManualClock(START)
    return SimBus(simulated(LINE), registers, clock, Noise(random.Random(2), **rates)), clock


def ask(line: SimBus, place: int = 0) -> Any:
    """Ask one meter its first request."""
    meter = asked(LINE)[place]
    fitted = meter.fitted
    return line.ask(fitted.protocol, fitted.address, meter.reads[0], reply_s=0.5, late_s=0.5)


def test_an_ask_takes_the_clock_s_time() -> None:
    line, clock = bus(CountingRegisters())
    answer = ask(line)
    assert answer.started_at == START
    assert START < answer.ended_at == clock.now()


def test_a_silent_meter_costs_its_timeout() -> None:
    registers = CountingRegisters()
    registers.off.add(LINE[0][0])
    line, clock = bus(registers)
    with pytest.raises(BusTimeout):
        ask(line)
    assert (clock.now() - START).total_seconds() == 0.5


def test_a_bus_is_late_noisy_or_gone_when_told() -> None:
    late, _ = bus(CountingRegisters(), late=1.0)
    answer = ask(late)
    assert (answer.ended_at - answer.started_at).total_seconds() > 60
    noisy, _ = bus(CountingRegisters(), flipped=1.0)
    with pytest.raises(FrameError):
        ask(noisy, PROTOCOL_PLACES[Protocol.MODBUS_RTU])
    gone, _ = bus(CountingRegisters(), lost=1.0)
    with pytest.raises(PortLost):
        ask(gone)


def test_a_fuse_blows_at_its_rate_and_never_when_it_is_off() -> None:
    calm = Fuse(random.Random(3), 0.0)
    for _ in range(1000):
        calm.step("ask")
    blown = 0
    weak = Fuse(random.Random(3), 0.1)
    for _ in range(1000):
        try:
            weak.step("ask")
        except PowerCut:
            blown += 1
    assert 50 < blown < 150
    assert not isinstance(PowerCut("ask"), Exception)


def test_a_mixture_of_faults_leaves_some_out_and_keeps_within_bounds() -> None:
    drawn = [draw_faults(random.Random(seed)) for seed in range(200)]
    for kind in fields(Faults):
        rates = [getattr(faults, kind.name) for faults in drawn]
        assert 0.3 < sum(rate > 0 for rate in rates) / len(rates) < 0.7
        assert max(rates) <= getattr(RATE_MAX, kind.name)
    assert not any(getattr(CALM, kind.name) for kind in fields(Faults))


def test_a_flipped_bit_is_one_bit() -> None:
    flipped = flip_bit(bytes(10), random.Random(4))
    assert sum(octet.bit_count() for octet in flipped) == 1


@pytest.mark.parametrize("seed", range(8))
def test_true_energy_rises_in_steps_that_every_meter_can_show(seed: int) -> None:
    park = draw_park(random.Random(seed))
    for meter in park.site.meters:
        node = meter.node
        for obis in (ENERGY_IMPORT, ENERGY_EXPORT):
            energies = [park.energy_wh(node, obis, minute * 60_000) for minute in range(0, 48 * 60, 7)]
            assert energies == sorted(energies)
            assert energies[-1] > energies[0]
            assert all(energy_wh % (RESOLUTION_WH * meter.multiplier) == 0 for energy_wh in energies)


@pytest.mark.parametrize("seed", range(8))
def test_an_exchange_is_declared_as_the_meters_showed_it(seed: int) -> None:
    park = draw_park(random.Random(seed))
    for exchange in park.site.exchanges:
        at_ms = int((exchange.at - START).total_seconds()) * 1000
        shown_wh = park.register_wh(exchange.old, exchange.obis, at_ms - 1)
        assert shown_wh is not None
        assert 0 <= exchange.final.to_base() - shown_wh % DLT645_MODULUS_WH <= RESOLUTION_WH
        assert park.register_wh(exchange.old, exchange.obis, at_ms) is None
        assert park.register_wh(exchange.new, exchange.obis, at_ms) == exchange.initial.to_base()
        assert park.register_wh(exchange.new, exchange.obis, at_ms - 1) is None


def test_a_stray_meter_is_configured_for_two_hours_and_unknown_to_the_site() -> None:
    park = next(park for seed in range(30) if (park := draw_park(random.Random(seed))).plan.stray is not None)
    assert park.plan.stray is not None
    gateway, hour = park.plan.stray
    stray = next(meter for meter in park.fitted(gateway) if meter.id == MeterId("m-stray"))
    assert stray.id not in {meter.id for meter in park.site.meters}
    assert park.register_wh(stray.id, ENERGY_IMPORT, hour * HOUR_MS) is not None
    assert park.register_wh(stray.id, ENERGY_IMPORT, (hour + 2) * HOUR_MS) is None
