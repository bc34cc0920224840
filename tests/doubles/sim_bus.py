"""A line with simulated meters on it: the production codecs at both ends, and between them whatever `Noise` does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from device_profiles.framing import codec_of
from device_profiles.framing.conversation import NO_SECRETS, Conversation, MeterSecrets, drive
from device_profiles.profile import Protocol, ReadRequest
from device_profiles.simulated_meter import RegisterSource, SimulatedMeter
from edge_agent.ports import Answer, BusTimeout, PortLost
from metering.clock import Clock
from provisioning.site import LineSettings

TURNAROUND_MS = (20, 60)


@dataclass
class Noise:
    """How often an ask goes wrong, each a probability.

    late     the meter answers after `late_s`
    flipped  one bit of the answer changes; only where frames carry a checksum of their own
    lost     the port vanishes
    """

    rng: random.Random
    late: float = 0.0
    flipped: float = 0.0
    lost: float = 0.0
    late_s: int = 90

    def strikes(self, rate: float) -> bool:
        """Draw one fault; no number is drawn for a fault that is off."""
        return rate > 0 and self.rng.random() < rate


class SimBus:
    """One port with its meters; transactions take time of the gateway's clock, and nothing else happens meanwhile."""

    def __init__(self, meters: Sequence[SimulatedMeter], registers: RegisterSource, clock: Clock, noise: Noise) -> None:
        self._meters = {(meter.protocol, meter.address): meter for meter in meters}
        self._registers = registers
        self._clock = clock
        self._noise = noise

    def open(self) -> bool:
        """Nothing to open."""
        return False

    def close(self) -> None:
        """Nothing to close."""

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
        """Ask one meter once."""
        noise, clock = self._noise, self._clock
        if noise.strikes(noise.lost):
            raise PortLost("the adapter was pulled")
        started_at, meter = clock.now(), self._meters[protocol, address]
        conversation = codec_of(protocol).converse(address, request, secrets)
        body = drive(conversation, lambda exchange: self._carry(meter, exchange.request, reply_s))
        return Answer(body, started_at, clock.now(), TURNAROUND_MS[1] / 1000)

    def converse(
        self, conversation: Conversation, *, reply_s: float, late_s: float, line: LineSettings | None = None
    ) -> Answer:
        """Nobody listens to broadcasts here."""
        raise NotImplementedError

    def _carry(self, meter: SimulatedMeter, asked: bytes, reply_s: float) -> bytes:
        noise, clock = self._noise, self._clock
        reply = meter.answer(asked, self._registers)
        if reply is None:
            clock.sleep(reply_s)
            raise BusTimeout(f"meter {meter.address} is silent")
        clock.sleep(noise.rng.randint(*TURNAROUND_MS) / 1000)
        if noise.strikes(noise.late):
            clock.sleep(noise.late_s)
        if meter.protocol is not Protocol.MODBUS_TCP and noise.strikes(noise.flipped):
            place = noise.rng.randrange(8 * len(reply))
            reply = bytes(octet ^ (1 << place % 8 if at == place // 8 else 0) for at, octet in enumerate(reply))
        return reply
