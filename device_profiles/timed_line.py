"""A line on which octets take their time and answers meet: everything but the operating system. Pure, time is given.

Theory of operation. Octets heard at an instant are on the wire from then on, one character time each, or from when the
wire has carried those before them. A request is whole when its last octet has passed. Each meter it is for begins its
answer one turnaround later; what the answer becomes is drawn (`misbehaviour.spoilt`). Every octet of it arrives at the
end of its own character. Two answers on the wire at once collide octet by octet: the line shows 0 where either does,
so the octets are ANDed. A request that is sent into an answer is heard by no meter: both sides drove the wire. Without
a speed (Modbus TCP) octets take no time and cannot meet.

A line is repeatable: the same requests at the same instants with the same seed give the same octets.
"""

from __future__ import annotations

import random
from bisect import insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from device_profiles.framing import iec62056_21, modbus_pdu, modbus_tcp
from device_profiles.framing.errors import FrameError
from device_profiles.framing.mixed_line import request_ends, split_requests
from device_profiles.living_registers import LivingRegisters
from device_profiles.misbehaviour import HONEST, Misbehaviour, spoilt
from device_profiles.profile import Protocol
from device_profiles.simulated_meter import SimulatedMeter

NOISE_OCTETS_MAX = 3

Hearer = Hashable
"""Who is at the other end: the one gateway of a serial line, or one connection."""
Splitter = Callable[[bytes], tuple[list[bytes], bytes]]
"""Gives whole requests, and the octets that may begin the next one."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How octets go over the wire: speed [bit/s], 0 where there is no wire; parity N, E or O; stop and data bits."""

    baud: int
    parity: str = "N"
    stop_bits: int = 1
    data_bits: int = 8

    @property
    def char_s(self) -> float:
        """Time of one character: start bit, data bits, parity, stop bits [s]."""
        bits = 1 + self.data_bits + (self.parity != "N") + self.stop_bits
        return bits / self.baud if self.baud else 0.0


@dataclass(frozen=True, slots=True)
class LineMeter:
    """One meter on the line, what it measures, and how it misbehaves.

    speed   how the meter itself is set; None: always as the line is
    """

    meter: SimulatedMeter
    registers: LivingRegisters
    ways: Misbehaviour = HONEST
    speed: Speed | None = None

    def hears(self, request: bytes, speed: Speed) -> bool:
        """Say whether a request sent at `speed` reaches the meter as octets and not as garbage.

        Receivers look at the first stop bit only, so their number does not matter. A meter of IEC 62056-21 goes on at
        the speed it has offered; which meter has is its own end's affair.
        """
        own = self.speed
        if own is None or (self.meter.baud or own.baud, own.parity) == (speed.baud, speed.parity):
            return True
        return self.meter.protocol is Protocol.IEC62056_21 and iec62056_21.asked_address(request) is None


@dataclass(slots=True)
class LineFigures:
    """What has happened on a line.

    octets_asked, octets_answered   what gateways sent, and what meters put on the wire
    wire_s                          time of requests, turnarounds and answers [s], as a plan reckons it without gaps
    faults                          how often, by name: those of `Misbehaviour`, and collision, noise, unheard
    """

    requests: int = 0
    answers: int = 0
    octets_asked: int = 0
    octets_answered: int = 0
    wire_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def utilisation(self, elapsed_s: float) -> float:
        """Give the share of the time that the line was in use."""
        return self.wire_s / elapsed_s if elapsed_s > 0 else 0.0


@dataclass(slots=True)
class _Octet:
    """One octet under way: it is on the wire for one character time until `end_s` [s]."""

    end_s: float
    order: int
    to: Hearer
    octet: int
    is_answer: bool

    def __lt__(self, other: _Octet) -> bool:
        return (self.end_s, self.order) < (other.end_s, other.order)


class TimedLine:
    """Meters on one wire. Instants are seconds of any clock that does not go back; the first is the line's start.

    noise   share of requests beside which stray octets appear [%]
    """

    def __init__(
        self,
        meters: Iterable[LineMeter],
        speed: Speed,
        seed: str,
        *,
        started_s: float = 0.0,
        echo: bool = False,
        noise: int = 0,
    ) -> None:
        self.figures = LineFigures()
        self._meters = tuple(meters)
        self._speed = speed
        self._char_s = speed.char_s
        self._draw = random.Random(seed)
        self._started_s = started_s
        self._echo = echo
        self._noise = noise
        self._split = _splitter(meter.meter.protocol for meter in self._meters)
        self._rests: dict[Hearer, bytes] = {}
        self._asked_until_s = started_s
        self._under_way: list[_Octet] = []
        self._order = 0

    @property
    def follows(self) -> bool:
        """Whether meters have settings of their own, so that it matters how a gateway sets its end."""
        return any(each.speed is not None for each in self._meters)

    def set_speed(self, speed: Speed) -> None:
        """Note how the gateway has set its end: what it sends from now on goes, and is heard, like that."""
        if speed != self._speed:
            self._speed, self._char_s = speed, speed.char_s
            self._rests.clear()

    def hear(self, octets: bytes, at_s: float, to: Hearer = 0) -> None:
        """Take in what a gateway has sent; answers go back `to` it. Raises FrameError where it is no Modbus TCP."""
        begun_s = max(at_s, self._asked_until_s)
        self._asked_until_s = begun_s + len(octets) * self._char_s
        self.figures.octets_asked += len(octets)
        self.figures.wire_s += len(octets) * self._char_s
        if self._echo:
            self._put(octets, begun_s, to, is_answer=False)
        requests, rest = self._split(self._rests.get(to, b"") + octets)
        self._rests[to] = rest
        for request in requests:
            self._ask(request, begun_s, to)

    def forget(self, to: Hearer) -> None:
        """Drop what is under way to somebody who has hung up."""
        self._rests.pop(to, None)
        self._under_way = [each for each in self._under_way if each.to != to]

    def due(self, now_s: float) -> list[tuple[Hearer, bytes]]:
        """Take out what has arrived by now, in order, in pieces as they came."""
        pieces: list[tuple[Hearer, bytearray]] = []
        passed = 0
        for each in self._under_way:
            if each.end_s > now_s:
                break
            passed += 1
            if not pieces or pieces[-1][0] != each.to:
                pieces.append((each.to, bytearray()))
            pieces[-1][1].append(each.octet)
        del self._under_way[:passed]
        return [(to, bytes(octets)) for to, octets in pieces]

    @property
    def next_due_s(self) -> float | None:
        """When the next octet has arrived [s]; None when none is under way."""
        return self._under_way[0].end_s if self._under_way else None

    def _ask(self, request: bytes, begun_s: float, to: Hearer) -> None:
        """Let every meter hear one request, as on any line."""
        self.figures.requests += 1
        ended_s = self._asked_until_s
        if self._is_driven(begun_s, ended_s):
            self.figures.faults["unheard"] += 1
            return
        is_known, quiet_from_s, answering_s = False, ended_s, 0.0
        for each in self._meters:
            if not each.hears(request, self._speed):
                continue
            each.registers.at_s = ended_s - self._started_s
            reply = each.meter.answer(request, each.registers)
            if reply is None:
                continue
            is_known = True
            passed_s, used_s = self._answer(each, request, reply, ended_s, to)
            quiet_from_s, answering_s = max(quiet_from_s, passed_s), max(answering_s, used_s)
        self.figures.wire_s += answering_s
        if not is_known and len(request) > 6 and self._meters[0].meter.protocol is Protocol.MODBUS_TCP:
            self._put(_device_silent(request), ended_s + HONEST.turnaround_ms / 1000, to, is_answer=True)
        self._disturb(ended_s, quiet_from_s, to)

    def _answer(
        self, meter: LineMeter, request: bytes, reply: bytes, asked_s: float, to: Hearer
    ) -> tuple[float, float]:
        """Put on the wire what comes of an answer; gives when it has passed, and how long it used the line [s]."""
        outcome = spoilt(self._draw, meter.ways, meter.meter.protocol, request, reply)
        self.figures.faults.update(outcome.names)
        if not outcome.octets:
            return asked_s, 0.0
        turnaround_s = meter.ways.turnaround_ms / 1000
        self.figures.answers += 1
        self.figures.octets_answered += len(outcome.octets)
        answer_s = len(outcome.octets) * self._char_s
        begun_s = asked_s + turnaround_s + outcome.later_s
        if self._put(outcome.octets, begun_s, to, is_answer=True):
            self.figures.faults["collision"] += 1
        return begun_s + answer_s, turnaround_s + answer_s

    def _disturb(self, asked_s: float, quiet_from_s: float, to: Hearer) -> None:
        """Make stray octets: before the answer, or some characters after it."""
        if self._noise <= 0 or self._draw.randrange(100) >= self._noise:
            return
        octets = self._draw.randbytes(self._draw.randint(1, NOISE_OCTETS_MAX))
        begun_s = asked_s if self._draw.random() < 0.5 else quiet_from_s
        self.figures.faults["noise"] += 1
        self._put(octets, begun_s + self._draw.randint(1, 10) * self._char_s, to, is_answer=False)

    def _is_driven(self, begun_s: float, ended_s: float) -> bool:
        """Say whether a meter's octet is on the wire during a request."""
        return any(
            each.is_answer and each.end_s - self._char_s < ended_s and each.end_s > begun_s for each in self._under_way
        )

    def _put(self, octets: bytes, begun_s: float, to: Hearer, *, is_answer: bool) -> bool:
        """Send octets on their way, one character time after another; say whether they met others."""
        there = [each for each in self._under_way if each.is_answer] if is_answer and self._char_s else []
        met = False
        for at, octet in enumerate(octets):
            end_s = begun_s + (at + 1) * self._char_s
            other = next((each for each in there if abs(each.end_s - end_s) < self._char_s / 2), None)
            if other is not None:
                other.octet &= octet
                met = True
                continue
            self._order += 1
            insort(self._under_way, _Octet(end_s, self._order, to, octet, is_answer))
        return met


def _splitter(protocols: Iterable[Protocol]) -> Splitter:
    spoken = frozenset(protocols)
    if Protocol.MODBUS_TCP in spoken:
        return _split_tcp
    ends = request_ends(spoken)
    return lambda octets: split_requests(octets, ends)


def _split_tcp(octets: bytes) -> tuple[list[bytes], bytes]:
    requests: list[bytes] = []
    while (end := modbus_tcp.octets_expected(None, octets)) <= len(octets):
        requests.append(octets[:end])
        octets = octets[end:]
    return requests, octets


def _device_silent(request: bytes) -> bytes:
    """Say what Modbus TCP gateways say for a unit that is not there; nothing to what is no read."""
    try:
        transaction, address, read = modbus_tcp.parse_request(request)
    except FrameError:
        return b""
    return modbus_tcp.build_exception(address, read, modbus_pdu.DEVICE_SILENT, transaction)
