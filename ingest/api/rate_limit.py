"""How many calls somebody may make: a bucket for each principal, and for each address of those who show nothing.

Theory of operation. A bucket is filled with `per_second` calls, up to so many as come in BURST_S; a call takes one, and
is refused with 429 and Retry-After where there is none. Every answer below /v1 carries the fields of
draft-ietf-httpapi-ratelimit-headers, so that a client can slow down before it is refused. Buckets are this process's
own: several API programs allow several times as much. What a signature or claim opens has a gate of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from threading import Lock

from fastapi import Request

from ingest.access.principal import Principal
from ingest.caller import bucket_of
from metering.clock import Clock

BURST_S = 5
"""A bucket holds as much as comes in so many seconds: a page with all it loads, a client that woke up late."""
NAMES_MAX = 10_000
"""Buckets kept; the one that was used longest ago goes first."""
POLICY = "calls"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left after a call: calls, and how long until there is one again [s], 0 if there is."""

    left: int
    wait_s: int
    burst: int

    @property
    def is_empty(self) -> bool:
        """Say whether the call is one too many."""
        return self.wait_s > 0

    @property
    def headers(self) -> dict[str, str]:
        """Give the fields that tell it."""
        told = {
            "RateLimit-Policy": f'"{POLICY}";q={self.burst};w={BURST_S}',
            "RateLimit": f'"{POLICY}";r={self.left};t={self.wait_s or 1}',
        }
        return told | ({"Retry-After": str(self.wait_s)} if self.is_empty else {})


class RateLimit:
    """Counts calls. Any thread may ask."""

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._rate = per_second
        self._burst = per_second * BURST_S
        self._left: OrderedDict[str, tuple[datetime, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, request: Request, who: Principal) -> Allowance:
        """Take one call out of the bucket of who makes it."""
        address = request.client.host if request.client else ""
        name = f"who/{who.name}" if who.is_known else bucket_of(address)
        now = self._clock.now()
        with self._lock:
            since, left = self._left.pop(name, (now, float(self._burst)))
            left = min(float(self._burst), left + max(0.0, (now - since).total_seconds()) * self._rate)
            is_there = left >= 1
            left -= is_there
            self._left[name] = (now, left)
            while len(self._left) > NAMES_MAX:
                self._left.popitem(last=False)
        wait_s = 0 if is_there else max(1, ceil((1 - left) / self._rate))
        return Allowance(int(left), wait_s, self._burst)
