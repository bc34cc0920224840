"""What goes wrong in one seed: each kind of fault is on or off, and if on, at a rate of its own (swarm testing).

A seed with everything at once hides what a few faults do together; a seed with one fault hides the rest. So each seed
draws its own mixture. Rates are per step, message, ask or hour, as stated.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

SWITCHED_ON = 0.5
"""Share of the seeds in which a kind of fault occurs at all."""


class PowerCut(BaseException):
    """The machine is off, between one step and the next."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The rates of one seed, each a probability.

    gateway_cut, centre_cut    power cut, per step
    store_away                 the database does not answer, per commit
    message_*                  per envelope: lost, sent twice, delayed (so overtaken), cut short, one bit flipped
    receipt_*                  per receipt: lost, delivered to another gateway as well
    session_lost               per published envelope
    broker_restart             the broker forgets its queues and is away for a while, per hour
    clock_step                 a gateway's clock is set wrong by up to an hour, or right again, per gateway and hour
    clock_lost                 a gateway boots in 1970 and learns the time later, per boot
    meter_dead                 a meter falls silent for some hours, per meter and hour
    answer_late                an answer comes long after the mark, per ask
    answer_flipped             one bit of an answer on a serial line is flipped, per ask
    port_lost                  the port vanishes for a moment, per ask
    restore                    the centre's database is set back to a backup, per hour
    """

    gateway_cut: float = 0.0
    centre_cut: float = 0.0
    store_away: float = 0.0
    message_lost: float = 0.0
    message_doubled: float = 0.0
    message_delayed: float = 0.0
    message_truncated: float = 0.0
    message_flipped: float = 0.0
    receipt_lost: float = 0.0
    receipt_astray: float = 0.0
    session_lost: float = 0.0
    broker_restart: float = 0.0
    clock_step: float = 0.0
    clock_lost: float = 0.0
    meter_dead: float = 0.0
    answer_late: float = 0.0
    answer_flipped: float = 0.0
    port_lost: float = 0.0
    restore: float = 0.0


CALM = Faults()

RATE_MAX = Faults(
    gateway_cut=0.01,
    centre_cut=0.02,
    store_away=0.1,
    message_lost=0.4,
    message_doubled=0.4,
    message_delayed=0.4,
    message_truncated=0.05,
    message_flipped=0.05,
    receipt_lost=0.6,
    receipt_astray=0.2,
    session_lost=0.05,
    broker_restart=0.3,
    clock_step=0.2,
    clock_lost=0.8,
    meter_dead=0.1,
    answer_late=0.02,
    answer_flipped=0.05,
    port_lost=0.005,
    restore=0.1,
)
RATE_SPREAD = 20.0
"""A rate lies between its maximum and one twentieth of it, small ones as likely as large ones."""


def draw_faults(rng: random.Random) -> Faults:
    """Draw the mixture of one seed."""
    rates: dict[str, float] = {}
    for kind in fields(Faults):
        is_on, size = rng.random() < SWITCHED_ON, rng.random()
        rates[kind.name] = getattr(RATE_MAX, kind.name) * RATE_SPREAD ** (size - 1) if is_on else 0.0
    return Faults(**rates)


class Fuse:
    """Stands between any two steps of a machine and may cut its power there."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self.rate = rate
        self.steps = 0
        self._rng = rng

    def step(self, name: str) -> None:
        """Pass on, or raise PowerCut."""
        self.steps += 1
        if self.rate and self._rng.random() < self.rate:
            raise PowerCut(name)


def flip_bit(octets: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    place = rng.randrange(8 * len(octets))
    flipped = bytearray(octets)
    flipped[place // 8] ^= 1 << place % 8
    return bytes(flipped)
