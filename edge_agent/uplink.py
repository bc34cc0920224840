"""The uplink as a pure state machine: when to connect, what to send, when to send it again.

Theory of operation. Batches go out in order of seq, at most `WINDOW` beyond what is receipted. A broker's PUBACK counts
for nothing; only the centre's receipt moves `receipted_seq`, and with it the window. Receipts are cumulative, so one
may be lost: when batches are out and no receipt has moved anything for `SILENCE_S`, they are sent again from the first
unreceipted one, and the patience doubles up to a minute. A new session starts there as well, since a broker may forget.

    OFFLINE --Connect--> CONNECTING --connected--> ONLINE
       ^---------------------- lost ------------------'

A hole is a seq that the centre will never commit: it refused it, or the outbox evicted it. Receipts stay below it for
good, so past a hole the window moves on by silence, and nothing sent past it is sent again before a restart.
All times are seconds of one monotonic clock; the state machine has no clock, no socket and no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

WINDOW = 64
"""Batches out at once: about 100 KiB in memory; with receipts every 50 ms it is 1,280 batches/s."""
SILENCE_S = 5.0
SILENCE_S_MAX = 60.0
RECONNECT_S = 0.25
RECONNECT_S_MAX = 60.0
CONNECT_PATIENCE_S = 10.0
"""A broker that took the connection and says nothing is given up after this [s]."""


class Link(Enum):
    """State of the session with the broker."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Connect:
    """Begin a session."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End a session that does not come about."""


@dataclass(frozen=True, slots=True)
class Send:
    """Publish up to `limit` batches above `after_seq`, then say so with `sent`."""

    after_seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for `seconds` [s] unless something happens; None: until something happens."""

    seconds: float | None


Step = Connect | GiveUp | Send | Wait


class Uplink:
    """One gateway's uplink in one epoch.

    receipted_seq   every batch up to here is receipted
    newest_seq      newest batch in the outbox
    jitter          gives a factor from 0.5 to 1 for each pause, so that a fleet does not reconnect in step
    """

    def __init__(self, *, receipted_seq: int, newest_seq: int, jitter: Callable[[], float]) -> None:
        self.link = Link.OFFLINE
        self._jitter = jitter
        self._connect_at = 0.0
        self._failures = 0
        self.begin(receipted_seq=receipted_seq, newest_seq=newest_seq)

    def begin(self, *, receipted_seq: int, newest_seq: int) -> None:
        """Start over with another epoch's chain, in the same session."""
        self.receipted_seq = receipted_seq
        self.newest_seq = newest_seq
        self._sent_seq = receipted_seq
        self._passed_seq = receipted_seq
        self._holes: set[int] = set()
        self._silence_s = SILENCE_S
        self._heard_at = 0.0

    @property
    def is_done(self) -> bool:
        """Say whether every batch of the epoch is receipted, or went out behind a hole that no receipt will cross."""
        return max(self.receipted_seq, self._passed_seq) >= self.newest_seq

    def connected(self, now: float) -> None:
        """The session stands: send from the first unreceipted batch, whatever an earlier session did."""
        self.link = Link.ONLINE
        self._failures = 0
        self._rewind(now)

    def lost(self, now: float) -> None:
        """The session ended or never came about; a pause follows, doubling with each failure."""
        pause_s = min(RECONNECT_S * 2**self._failures, RECONNECT_S_MAX) * self._jitter()
        self._failures = min(self._failures + 1, 16)
        self._connect_at = now + pause_s
        self.link = Link.OFFLINE

    def appended(self, seq: int) -> None:
        """The outbox holds batches up to `seq`."""
        self.newest_seq = max(self.newest_seq, seq)

    def sent(self, seq: int, now: float) -> None:
        """Batches up to `seq` were handed to the broker."""
        if self._sent_seq <= self._passed_seq:
            self._heard_at = now
        self._sent_seq = max(self._sent_seq, seq)

    def receipted(self, seq: int, refused: Iterable[int], now: float) -> None:
        """A proven receipt covers everything up to `seq` and names the seqs it refused."""
        self._holes = {hole for hole in self._holes.union(refused) if hole > max(seq, self.receipted_seq)}
        if seq <= self.receipted_seq:
            return
        self.receipted_seq = seq
        self._passed_seq = max(self._passed_seq, seq)
        self._sent_seq = max(self._sent_seq, seq)
        self._heard_at = now
        self._silence_s = SILENCE_S

    def recalled(self, seq: int, now: float) -> None:
        """The centre holds no more than up to `seq`, though it once held more: send from there again."""
        self.receipted_seq = seq
        self._sent_seq = self._passed_seq = seq
        self._heard_at = now

    def evicted(self, last_seq: int) -> None:
        """The first unreceipted batches, up to `last_seq`, are gone for good."""
        self._holes.add(self.receipted_seq + 1)
        self._sent_seq = max(self._sent_seq, last_seq)
        self._passed_seq = max(self._passed_seq, last_seq)

    def next_step(self, now: float) -> Step:
        """Say what to do now."""
        if self.link is Link.OFFLINE:
            if now < self._connect_at:
                return Wait(self._connect_at - now)
            self.link = Link.CONNECTING
            self._heard_at = now
            return Connect()
        if self.link is Link.CONNECTING:
            left_s = self._heard_at + CONNECT_PATIENCE_S - now
            return Wait(left_s) if left_s > 0 else GiveUp()
        if self._sent_seq > self._passed_seq and now >= self._heard_at + self._silence_s:
            self._silence_s = min(2 * self._silence_s, SILENCE_S_MAX)
            self._rewind(now)
        room = WINDOW - (self._sent_seq - self._passed_seq)
        if room > 0 and self.newest_seq > self._sent_seq:
            return Send(self._sent_seq, room)
        if self._sent_seq > self._passed_seq:
            return Wait(self._heard_at + self._silence_s - now)
        return Wait(None)

    def _rewind(self, now: float) -> None:
        """Send again what is out; past a hole, count it as delivered instead."""
        self._heard_at = now
        if self.receipted_seq + 1 in self._holes:
            self._passed_seq = self._sent_seq
        else:
            self._sent_seq = self._passed_seq = self.receipted_seq
