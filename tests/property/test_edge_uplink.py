"""The uplink against a broker that loses and a centre that is slow to answer: everything arrives in the end."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.uplink import LIVE_MAX, WINDOW_MAX, Connect, GiveUp, Send, Uplink, Wait


class Weather:
    """Everything between a gateway and its centre, driven by one seed. Time is simulated [s]."""

    def __init__(self, seed: int, batches: int, loss: float, behind: int = 0) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 0.0
        self.batches = batches
        self.held: set[int] = set()
        self.sent = 0
        self.most_out = 0
        self.uplink = Uplink(receipted_seq=0, newest_seq=behind, jitter=self.random.random)

    @property
    def contiguous_seq(self) -> int:
        """What the centre would put into a receipt."""
        seq = 0
        while seq + 1 in self.held:
            seq += 1
        return seq

    def run(self, until_s: float) -> None:
        """Play until everything is receipted, or time is up."""
        while self.now < until_s and not (self.uplink.newest_seq == self.batches and self.uplink.is_done):
            self._happen()
            step = self.uplink.next_step(self.now)
            if isinstance(step, Connect):
                self._connect()
            elif isinstance(step, GiveUp):
                self.uplink.lost(self.now)
            elif isinstance(step, Send):
                self._send(step)
            else:
                assert isinstance(step, Wait)
                self.now += min(step.seconds if step.seconds is not None else 1.0, 1.0)

    def _happen(self) -> None:
        if self.uplink.newest_seq < self.batches and self.random.random() < 0.5:
            self.uplink.appended(self.uplink.newest_seq + 1)
        if self.random.random() < self.loss / 10:
            self.uplink.lost(self.now)
        if self.random.random() > self.loss:
            self.uplink.receipted(self.random.randint(0, self.contiguous_seq), (), self.now)
            self.uplink.receipted(self.contiguous_seq, (), self.now)
        self.now += 0.01

    def _connect(self) -> None:
        if self.random.random() > self.loss:
            self.uplink.connected(self.now)
        else:
            self.uplink.lost(self.now)

    def _send(self, step: Send) -> None:
        last = min(step.after_seq + step.limit, self.uplink.newest_seq)
        assert last > step.after_seq
        assert last - step.after_seq <= (LIVE_MAX if step.live else WINDOW_MAX)
        assert step.live or last - self.uplink.receipted_seq <= WINDOW_MAX + LIVE_MAX
        for seq in range(step.after_seq + 1, last + 1):
            self.sent += 1
            if self.random.random() > self.loss:
                self.held.add(seq)
        if step.live:
            self.uplink.sent_live(last)
        else:
            self.uplink.sent(last, self.now)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.0, 0.05, 0.3, 0.7]))
def test_everything_is_receipted_in_the_end(seed: int, batches: int, loss: float) -> None:
    weather = Weather(seed, batches, loss, behind=seed % (batches + 1))
    weather.run(until_s=200_000.0)
    assert weather.contiguous_seq == batches
    assert weather.uplink.is_done


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300))
def test_on_a_quiet_day_nothing_is_sent_twice(seed: int, batches: int) -> None:
    weather = Weather(seed, batches, 0.0, behind=seed % (batches + 1))
    weather.run(until_s=10_000.0)
    assert weather.sent == batches
