"""The uplink as a pure state machine: when to connect, what to send, when to send it again.

Theory of operation. Batches go out in order of seq, no more beyond what is receipted than the window allows. A broker's
PUBACK counts for nothing; only the centre's receipt moves `receipted_seq`, and with it the window. Receipts are
cumulative, so one may be lost: when batches are out and no receipt has moved anything for `SILENCE_S`, they are sent
again from the first unreceipted one, and the patience doubles up to a minute. A new session starts there as well, since
a broker may forget. The window grows by what receipts cover and halves with each silence, so a fleet that comes back
from an outage with a month behind it fills the centre only as fast as the centre answers.

    OFFLINE --Connect--> CONNECTING --connected--> ONLINE
       ^---------------------- lost ------------------'

Two lanes. What is behind is *history* and goes through the window. What is read while history is still on its way, and
the newest few batches at the begin of a session, is *live* and goes out at once, ahead of it; the centre takes it with
a gap before it. When history reaches what went ahead, it goes on behind it.

A hole is a seq that the centre will never commit: it refused it, or it has another content there (a cloned gateway, or
one that was set back). Receipts stay below it for good, so past a hole the window moves on by silence, and nothing sent
past it is sent again before a restart. Evicted batches are told by a tombstone, which a receipt covers as any batch; a
centre that does not know tombstones stays silent about it, and after `DEAF_MAX` silences it counts as a hole.
All times are seconds of one monotonic clock; the state machine has no clock, no socket and no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

WINDOW = 32
"""Batches out at once when a chain begins to be sent: about 50 KiB."""
WINDOW_MIN = 8
WINDOW_MAX = 256
"""With a group of intake committed every 50 ms this is 5,000 batches/s."""
LIVE_FIRST = 4
"""The newest batches that go ahead when a session begins with more than a window behind it."""
LIVE_MAX = 64
"""Batches that may go ahead of history before a receipt moves."""
DEAF_MAX = 3
"""Silences at a tombstone after which the centre is believed not to know tombstones."""
SILENCE_S = 5.0
SILENCE_S_MAX = 60.0
RECONNECT_S = 1.0
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
    """Publish up to `limit` batches above `after_seq`, then say so with `sent`; `live` ones with `sent_live`."""

    after_seq: int
    limit: int
    live: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for `seconds` [s] unless something happens; None: until something happens."""

    seconds: float | None


Step = Connect | GiveUp | Send | Wait


class Uplink:
    """One gateway's uplink in one epoch.

    receipted_seq   every batch up to here is receipted
    newest_seq      newest batch in the outbox
    jitter          gives a factor from 0 to 1 for each pause, so that a fleet does not reconnect in step
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
        self._live_after = self._live_seq = newest_seq
        self._holes: set[int] = set()
        self._told: set[int] = set()
        self._deaf = 0
        self._window = WINDOW
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
        self._deaf = 0
        self._rewind(now)
        if self.newest_seq - self._sent_seq > WINDOW:
            self._live_after = self._live_seq = self.newest_seq - LIVE_FIRST

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

    def sent_live(self, seq: int) -> None:
        """Batches up to `seq` were handed to the broker ahead of history."""
        self._live_seq = max(self._live_seq, seq)

    def receipted(self, seq: int, refused: Iterable[int], now: float) -> None:
        """A proven receipt covers everything up to `seq` and names the seqs it refused."""
        lowest = max(seq, self.receipted_seq)
        self._holes = {hole for hole in self._holes.union(refused) if hole > lowest}
        self._told = {first for first in self._told if first > lowest}
        if seq <= self.receipted_seq:
            return
        self._window = min(self._window + seq - self.receipted_seq, WINDOW_MAX)
        self.receipted_seq = seq
        self._passed_seq = max(self._passed_seq, seq)
        self._sent_seq = max(self._sent_seq, seq)
        self._deaf = 0
        self._heard_at = now
        self._silence_s = SILENCE_S

    def recalled(self, seq: int, now: float) -> None:
        """The centre holds no more than up to `seq`, though it once held more: send from there again."""
        self.receipted_seq = seq
        self._sent_seq = self._passed_seq = seq
        self._live_after = self._live_seq = self.newest_seq
        self._heard_at = now

    def diverged(self) -> None:
        """The centre has another content where this chain goes on: nothing more of it will be receipted."""
        self._holes.add(self.receipted_seq + 1)

    def told(self, first_seq: int) -> None:
        """A tombstone was handed over for the batches from `first_seq` on."""
        self._told.add(max(first_seq, self.receipted_seq + 1))

    def evicted(self, last_seq: int) -> None:
        """The first unreceipted batches, up to `last_seq`, are gone for good, and nothing tells of them."""
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
            self._window = max(self._window // 2, WINDOW_MIN)
            self._deaf += 1
            self._rewind(now)
        return self._live_step() or self._history_step(now)

    def _live_step(self) -> Send | None:
        """Send what was read meanwhile, if history has not come near it yet."""
        if self._sent_seq >= self._live_after:
            # History has reached what went ahead: that is out already.
            self._sent_seq = max(self._sent_seq, self._live_seq)
            return None
        room = LIVE_MAX - (self._live_seq - self._live_after)
        return Send(self._live_seq, room, live=True) if room > 0 and self.newest_seq > self._live_seq else None

    def _history_step(self, now: float) -> Step:
        end_seq = self._live_after if self._sent_seq < self._live_after else self.newest_seq
        room = min(self._window - (self._sent_seq - self._passed_seq), end_seq - self._sent_seq)
        if room > 0:
            return Send(self._sent_seq, room)
        if self._sent_seq > self._passed_seq:
            return Wait(self._heard_at + self._silence_s - now)
        return Wait(None)

    def _rewind(self, now: float) -> None:
        """Send again what is out; past a hole, count it as delivered instead."""
        self._heard_at = now
        first_seq = self.receipted_seq + 1
        if first_seq in self._holes or (first_seq in self._told and self._deaf >= DEAF_MAX):
            self._passed_seq = self._sent_seq
        else:
            self._sent_seq = self._passed_seq = self.receipted_seq
            self._live_after = self._live_seq = self.newest_seq
