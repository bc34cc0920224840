"""The other way in: envelopes that a caller hands over, not a broker. Same admission, same ledger, same receipts.

A gateway needs no token here, since its envelopes are signed. What no key has proven goes to quarantine as from the
broker, but one address may bring only so much of it.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import cbor2

from ingest.adapters.handed_over import HandedOver
from ingest.intake import Intake
from ingest.ports import Arrival, IntakeStore
from ingest.sweeps import frame_of
from ingest.verify import Reason, Rejected
from metering.clock import Clock
from metering.envelope import NESTING_MAX, EnvelopeMalformed, Signer, parse_sign1, read_head
from metering.identity import GatewayId
from metering.tombstone import is_tombstone, read_tombstone
from metering.topics import envelope_topic

MESSAGES_MAX = 256
"""Messages in one call: a group of intake."""
UNPROVEN_MAX = 30
"""Messages that no key has proven, from one address in one minute."""
MINUTE = timedelta(minutes=1)
ADDRESSES_MAX = 10_000
NOBODY = GatewayId("unreadable")
"""Stands for the sender of a message that names none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one call: a receipt for each chain, and why messages were not accepted."""

    receipts: tuple[bytes, ...]
    refused: tuple[str, ...]


class Allowance:
    """How much unproven content each address may still bring in this minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[datetime, int]] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, address: str) -> int:
        """Give how long `address` must wait [s]; 0 if it may bring something."""
        with self._lock:
            since, spent = self._spent.get(address, (self._clock.now(), 0))
            left = since + MINUTE - self._clock.now()
            return max(1, round(left.total_seconds())) if spent >= UNPROVEN_MAX and left > timedelta(0) else 0

    def spend(self, address: str, messages: int) -> None:
        """Note that `address` brought so many that nobody has signed."""
        now = self._clock.now()
        with self._lock:
            since, spent = self._spent.pop(address, (now, 0))
            self._spent[address] = (since, spent + messages) if now - since < MINUTE else (now, messages)
            while len(self._spent) > ADDRESSES_MAX:
                self._spent.popitem(last=False)


class EnvelopeDoor:
    """Takes what callers hand over into the store."""

    def __init__(
        self,
        *,
        store: IntakeStore,
        signer: Signer,
        clock: Clock,
        profiles: Collection[bytes],
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._profiles = frozenset(profiles)
        self._on_commit = on_commit
        self.allowance = Allowance(clock)

    def take(self, messages: Sequence[bytes], address: str) -> Answer:
        """Enter one group; raises StoreUnreachable, and nothing has changed then."""
        handed = HandedOver()
        intake = Intake(
            consumer=handed,
            store=self._store,
            signer=self._signer,
            clock=self._clock,
            profiles=self._profiles,
            on_commit=self._on_commit,
        )
        arrivals = [Arrival(topic_of(octets), octets) for octets in messages]
        verdicts = intake.prove(arrivals)
        refused = tuple(f"{one.reason}: {one.detail}" for one in verdicts if isinstance(one, Rejected))
        self.allowance.spend(address, len(refused))
        intake.take(arrivals, verdicts)
        revoked = intake.counters.rejected[Reason.KEY_REVOKED]
        self.allowance.spend(address, revoked)
        refused += (f"{Reason.KEY_REVOKED}: the gateway's key counts no more; it is to be enrolled anew",) * revoked
        return Answer(tuple(handed.receipts), refused)


def topic_of(octets: bytes) -> str:
    """Give the topic on which the gateway that a message names would have sent it."""
    try:
        if is_tombstone(octets):
            return envelope_topic(read_tombstone(parse_sign1(octets)).gateway)
        frame = frame_of(octets)
        return envelope_topic(NOBODY if frame is None else read_head(parse_sign1(frame.sealed_head).payload).gateway)
    except EnvelopeMalformed:
        return envelope_topic(NOBODY)


def split_messages(octets: bytes) -> list[bytes]:
    """Cut a CBOR sequence (RFC 8742) into its items; what is no CBOR any more is the last of them."""
    stream = io.BytesIO(octets)
    messages: list[bytes] = []
    while (begin := stream.tell()) < len(octets):
        try:
            cbor2.CBORDecoder(stream, max_depth=NESTING_MAX, allow_indefinite=False).decode()
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
            stream.seek(len(octets))
        messages.append(octets[begin : stream.tell()])
    return messages
