"""The gateway's ports in memory, and a small park of meters that all edge tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, drive
from device_profiles.profile import Protocol, ReadRequest
from device_profiles.simulated_meter import SimulatedMeter
from edge_agent.ports import Answer, BrokerUnreachable, ChainHead, Entry, OutboxDamaged
from edge_agent.sweep import AskedMeter
from metering.clock import Clock, ManualClock
from metering.envelope import chain_digest, encode
from metering.identity import GatewayId, MeterId, PortId
from metering.obis import Obis
from provisioning.gateway_config import FittedMeter
from provisioning.site import ALWAYS, LineSettings, Parity, SerialPort, Span, TcpPort

GATEWAY = GatewayId("gw-a")
START = datetime(2026, 6, 30, 16, tzinfo=UTC)
QUARTER = timedelta(minutes=15)

Location = tuple[str, str, Protocol, str]
"""Meter, profile, protocol, address."""

LINE: tuple[Location, ...] = (
    ("m-bldg-a", "dlt645/three-phase", Protocol.DLT645_2007, "202607000001"),
    ("m-u-a101", "dlt645/three-phase", Protocol.DLT645_2007, "202607000002"),
    ("m-u-a102", "dlt645/three-phase", Protocol.DLT645_2007, "202607000003"),
    ("m-u-a201", "dlt645/three-phase", Protocol.DLT645_2007, "202607000004"),
    ("m-u-a202", "dlt645/three-phase", Protocol.DLT645_2007, "202607000005"),
    ("m-u-a301", "dlt645/three-phase", Protocol.DLT645_2007, "202607000006"),
    ("m-lift", "chint/dtsu666", Protocol.MODBUS_RTU, "7"),
    ("m-fire-pump", "chint/dtsu666", Protocol.MODBUS_RTU, "8"),
    ("m-lobby-ac", "acrel/adl400", Protocol.MODBUS_RTU, "9"),
    ("m-guard-room", "acrel/adl400", Protocol.MODBUS_RTU, "10"),
)
"""Ten meters of two protocols on one RS-485 line."""

UNITS: tuple[Location, ...] = (
    ("m-main", "eastron/sdm630", Protocol.MODBUS_TCP, "1"),
    ("m-bldg-b", "acrel/adl400", Protocol.MODBUS_TCP, "2"),
    ("m-common", "chint/dtsu666", Protocol.MODBUS_TCP, "3"),
)
"""Three meters behind one Modbus TCP endpoint."""


class PlayedManualClock(ManualClock):
    """A manual clock that goes to a mark as played time does: exactly, and back if need be."""

    def sleep_until(self, instant: datetime) -> None:
        """Show `instant`."""
        self._now = instant


class CountingRegisters:
    """Every meter shows `base_wh` plus its own offset.

    off      the meters that are off the bus
    hiccups  the meters that miss their next request only
    """

    def __init__(self, base_wh: int = 1_000_000) -> None:
        self.base_wh = base_wh
        self.off: set[str] = set()
        self.hiccups: set[str] = set()

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register [Wh]; a direction's own hundred-Wh digit tells import from export."""
        if meter in self.off or meter in self.hiccups:
            self.hiccups.discard(meter)
            return None
        offset = sum(meter.encode()) % 90
        return (self.base_wh // 1000 + offset) * 1000 + 100 * obis.c


def serial_port(device: Path | str, tolerance_s: int = 60) -> SerialPort:
    """The line at 9600 8E1."""
    return SerialPort(PortId("line-a"), GATEWAY, str(device), 9600, Parity.EVEN, 1, tolerance_s)


def tcp_port(number: int, tolerance_s: int = 60) -> TcpPort:
    """The endpoint on the loopback."""
    return TcpPort(PortId("tcp-b"), GATEWAY, "127.0.0.1", number, tolerance_s)


def simulated(locations: Sequence[Location]) -> list[SimulatedMeter]:
    """Meters as the world has them."""
    catalogue = Catalogue.shipped()
    return [
        SimulatedMeter(MeterId(meter), catalogue.by_id(profile), protocol, address)
        for meter, profile, protocol, address in locations
    ]


def fitted(location: Location, port: str, span: Span = ALWAYS) -> FittedMeter:
    """A meter as the gateway's configuration has it."""
    meter, profile, protocol, address = location
    return FittedMeter(MeterId(meter), PortId(port), profile, protocol, address, span)


def asked(locations: Sequence[Location], port: str = "line-a", span: Span = ALWAYS) -> list[AskedMeter]:
    """Meters as a sweep asks them: the billing group."""
    catalogue = Catalogue.shipped()
    return [AskedMeter.prepare(fitted(location, port, span), catalogue, "billing") for location in locations]


def entry(seq: int, epoch: int = 1, octets: bytes | None = None, sealed_at: datetime | None = None) -> Entry:
    """A batch for outbox tests: the frame of an envelope around any octets, since the outbox looks no deeper."""
    mark = START + seq * QUARTER
    head = octets or hashlib.sha256(b"%d/%d" % (epoch, seq)).digest() * 40
    return Entry(epoch, seq, sealed_at or mark, mark, encode([head, [2, []]]))


class MemoryOutbox:
    """An outbox that forgets with the process, unbounded."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.acknowledged: dict[int, int] = {}
        self.heads_of_freed: dict[int, int] = {}
        self.commits = 0

    def head(self, epoch: int) -> ChainHead:
        """Give the newest batch of `epoch`."""
        own = [each for each in self.entries if each.epoch == epoch]
        if not own:
            return ChainHead(epoch, self.heads_of_freed.get(epoch, 0), bytes(32), None)
        return ChainHead(epoch, own[-1].seq, chain_digest(own[-1].octets), own[-1].mark)

    def newest_mark(self) -> datetime | None:
        """Give the latest mark of any epoch."""
        return max((each.mark for each in self.entries if each.mark is not None), default=None)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add the next batches."""
        for each in entries:
            if each.seq != self.head(each.epoch).seq + 1:
                raise OutboxDamaged(f"batch {each.seq} does not follow")
            self.entries.append(each)
        self.commits += 1

    def after(self, epoch: int, seq: int, limit: int) -> list[Entry]:
        """Give entries above `seq`."""
        return [each for each in self.entries if each.epoch == epoch and each.seq > seq][:limit]

    def receipted(self, epoch: int) -> int:
        """Give the highest receipted seq."""
        return self.acknowledged.get(epoch, 0)

    def acknowledge(self, epoch: int, seq: int) -> None:
        """Note a receipt."""
        self.acknowledged[epoch] = max(self.receipted(epoch), min(seq, self.head(epoch).seq))

    def recall(self, epoch: int, seq: int) -> None:
        """Note that less is receipted."""
        self.acknowledged[epoch] = min(self.receipted(epoch), seq)

    def unfinished_epochs(self) -> list[int]:
        """List epochs with unreceipted batches."""
        epochs = sorted({each.epoch for each in self.entries} | self.heads_of_freed.keys())
        return [epoch for epoch in epochs if self.receipted(epoch) < self.head(epoch).seq]


Turn = bytes | Exception
"""What a scripted bus does with one request: give this body, or raise."""


class ScriptedBus:
    """A bus that answers by a script; each transaction takes `seconds` of the clock."""

    def __init__(self, clock: Clock, answer: Callable[[str, ReadRequest], Turn], seconds: float = 0.0) -> None:
        self._clock = clock
        self._answer = answer
        self._seconds = seconds
        self.is_open = False
        self.opened = 0
        self.open_failures: list[Exception] = []
        self.asked: list[tuple[str, ReadRequest, float]] = []
        self.told: list[bytes] = []

    def open(self) -> bool:
        """Open, or raise the next of `open_failures`."""
        if self.is_open:
            return False
        if self.open_failures:
            raise self.open_failures.pop(0)
        self.opened += 1
        self.is_open = True
        return True

    def close(self) -> None:
        """Close."""
        self.is_open = False

    def ask(
        self,
        protocol: Protocol,
        address: str,
        request: ReadRequest,
        *,
        reply_s: float,
        late_s: float,
        line: LineSettings | None = None,
        secrets: MeterSecrets = NO_SECRETS,
    ) -> Answer:
        """Answer by the script."""
        assert self.is_open
        assert reply_s <= late_s
        self.asked.append((address, request, reply_s))
        started_at = self._clock.now()
        self._clock.sleep(self._seconds)
        turn = self._answer(address, request)
        if isinstance(turn, Exception):
            raise turn
        return Answer(turn, started_at, self._clock.now(), self._seconds)

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Take a broadcast; each of its exchanges goes to `told`."""
        assert self.is_open
        started_at = self._clock.now()
        body = drive(conversation, lambda exchange: self.told.append(exchange.request) or b"")
        return Answer(body, started_at, self._clock.now(), 0.0)


class ScriptedBroker:
    """A broker that keeps what is published; it refuses sessions or messages when told to."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.sessions = 0
        self.closed = 0
        self.is_away = False
        self.takes_messages = True

    def connect(self) -> None:
        """Begin a session."""
        if self.is_away:
            raise BrokerUnreachable("away")
        self.sessions += 1

    def publish(self, octets: bytes) -> None:
        """Keep one message."""
        if not self.takes_messages:
            raise BrokerUnreachable("gone")
        self.published.append(octets)

    def close(self) -> None:
        """End the session."""
        self.closed += 1
