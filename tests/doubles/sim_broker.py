"""A broker that keeps no promise: it loses, doubles, delays, cuts and damages messages, and forgets when restarted.

It stands between gateways and centre in simulated time and knows neither; `later(delay_ms, act)` is the world's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, Lost, ReceiptArrived
from ingest.ports import Arrival
from metering.identity import GatewayId
from metering.topics import envelope_topic, receipt_topic

Later = Callable[[int, Callable[[], None]], None]
DELAY_MS = 40
DELAY_MS_MAX = 600_000
"""A delayed message comes up to ten minutes later, after many that were sent behind it [ms]."""


@dataclass
class Weather:
    """What happens to messages on the way, each a probability."""

    rng: random.Random
    message_lost: float = 0.0
    message_doubled: float = 0.0
    message_delayed: float = 0.0
    message_truncated: float = 0.0
    message_flipped: float = 0.0
    receipt_lost: float = 0.0
    receipt_astray: float = 0.0
    session_lost: float = 0.0

    def strikes(self, rate: float) -> bool:
        """Draw one fault; no number is drawn for a fault that is off."""
        return rate > 0 and self.rng.random() < rate

    def delay_ms(self) -> int:
        """Time on the way [ms]."""
        return self.rng.randint(1_000, DELAY_MS_MAX) if self.strikes(self.message_delayed) else DELAY_MS

    def damaged(self, octets: bytes) -> bytes:
        """Give what arrives of `octets`."""
        if self.strikes(self.message_truncated):
            return octets[: self.rng.randrange(len(octets))]
        if self.strikes(self.message_flipped):
            place = self.rng.randrange(8 * len(octets))
            return bytes(octet ^ (1 << place % 8 if at == place // 8 else 0) for at, octet in enumerate(octets))
        return octets


@dataclass
class SimBroker:
    """The broker. `consumer` is the centre's persistent session."""

    weather: Weather
    later: Later
    consumer: SimConsumer = field(init=False)
    sessions: list[SimSession] = field(default_factory=list)
    is_up: bool = True
    generation: int = 0

    def __post_init__(self) -> None:
        self.consumer = SimConsumer(self)

    def carry(self, octets: bytes, gateway: GatewayId) -> None:
        """Take an envelope in: what comes out may be nothing, or several."""
        if self.weather.strikes(self.weather.message_lost):
            return
        copies = 2 if self.weather.strikes(self.weather.message_doubled) else 1
        for _ in range(copies):
            arrival = Arrival(envelope_topic(gateway), self.weather.damaged(octets))
            self._in_a_while(lambda arrival=arrival: self.consumer.deliver(arrival))

    def carry_receipt(self, topic: str, octets: bytes) -> None:
        """Take a receipt in, for every session that listens; some go astray."""
        if not self.is_up or self.weather.strikes(self.weather.receipt_lost):
            return
        astray = self.weather.strikes(self.weather.receipt_astray)
        for session in list(self.sessions):
            if astray or receipt_topic(session.gateway) == topic:
                self._in_a_while(lambda session=session: session.hear(octets))

    def go_down(self) -> None:
        """Stop, and forget every queue."""
        self.is_up = False
        self.generation += 1
        self.consumer.forget()
        for session in list(self.sessions):
            session.end("the broker went away")

    def come_up(self) -> None:
        """Start again, empty."""
        self.is_up = True

    def _in_a_while(self, act: Callable[[], None]) -> None:
        """Do `act` unless the broker was restarted meanwhile."""
        generation = self.generation
        self.later(self.weather.delay_ms(), lambda: act() if generation == self.generation else None)


class SimSession:
    """One gateway's way to the broker: the edge's `Broker` port. `sessions` counts how often it connected."""

    def __init__(self, broker: SimBroker, gateway: GatewayId, deliver: Callable[[BrokerEvent], None]) -> None:
        self.gateway = gateway
        self._broker = broker
        self._deliver = deliver
        self._is_open = False
        self.sessions = 0

    def connect(self) -> None:
        """Begin a new session; an old one ends in silence."""
        if not self._broker.is_up:
            raise BrokerUnreachable("nobody listens")
        self.close()
        self._is_open = True
        self.sessions += 1
        self._broker.sessions.append(self)
        self._broker.later(DELAY_MS, lambda: self._tell(Connected()))

    def publish(self, octets: bytes) -> None:
        """Hand over one envelope."""
        if not self._is_open:
            raise BrokerUnreachable("no session")
        self._broker.carry(octets, self.gateway)
        if self._broker.weather.strikes(self._broker.weather.session_lost):
            self.end("the line broke")

    def close(self) -> None:
        """End the session in silence."""
        self._is_open = False
        if self in self._broker.sessions:
            self._broker.sessions.remove(self)

    def end(self, reason: str) -> None:
        """End the session and say so."""
        self.close()
        self._broker.later(DELAY_MS, lambda: self._deliver(Lost(reason)))

    def hear(self, octets: bytes) -> None:
        """A receipt arrives."""
        self._tell(ReceiptArrived(octets))

    def _tell(self, event: BrokerEvent) -> None:
        if self._is_open:
            self._deliver(event)


class SimConsumer:
    """The centre's session: what was not acknowledged is delivered again after a restart of the centre."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self.waiting: list[Arrival] = []
        self.unacknowledged: list[Arrival] = []
        self.on_arrival: Callable[[Arrival], None] = lambda _: None

    def deliver(self, arrival: Arrival) -> None:
        """Queue a message for the centre."""
        self.waiting.append(arrival)
        self.on_arrival(arrival)

    def receive(self, most: int, wait_s: float) -> Sequence[Arrival]:
        """Give what waits; never blocks."""
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.unacknowledged.extend(taken)
        return taken

    def publish(self, topic: str, octets: bytes) -> None:
        """Send a receipt."""
        self._broker.carry_receipt(topic, octets)

    def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Let go of messages."""
        done = {id(arrival) for arrival in arrivals}
        self.unacknowledged = [arrival for arrival in self.unacknowledged if id(arrival) not in done]

    def reconnect(self) -> None:
        """The centre is back: what it had not acknowledged comes first."""
        self.waiting = [*self.unacknowledged, *self.waiting]
        self.unacknowledged = []

    def forget(self) -> None:
        """The broker lost its queue."""
        self.waiting, self.unacknowledged = [], []
