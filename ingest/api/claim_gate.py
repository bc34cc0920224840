"""The gate before claims: whoever guesses waits. A bucket of failures for each address, filled up again with time.

Theory of operation. Each address may fail `FAILURES_MAX` times at once, and once more every `REFILL_S` after that. A
failure is an answer 4xx of the guarded route, so what is right costs nothing and is never held up by itself. An IPv6
caller owns a network of 2^64 addresses; they share a bucket. 130 bits need no gate to be safe from guessing: it keeps
the guesses from costing the service anything, and makes them show in the metrics as 429.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from math import ceil
from threading import Lock

from fastapi import Request

from ingest.api.problems import Problem
from ingest.caller import bucket_of
from metering.clock import Clock
from metering.errors import MeteringError

FAILURES_MAX = 10
REFILL_S = 6.0
ADDRESSES_MAX = 10_000
"""Buckets kept; the one that was used longest ago goes first."""


class Buckets:
    """How many failures each address has left. Any thread may ask."""

    def __init__(self, clock: Clock, most: int = FAILURES_MAX, refill_s: float = REFILL_S) -> None:
        self._clock = clock
        self._most = most
        self._refill_s = refill_s
        self._left: OrderedDict[str, tuple[datetime, float]] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, address: str) -> int:
        """Give how long `address` must wait before it may try again [s]; 0 if it may now."""
        with self._lock:
            left = self._filled(bucket_of(address))
        return 0 if left >= 1 else max(1, ceil((1 - left) * self._refill_s))

    def spend(self, address: str) -> None:
        """Note one failure."""
        bucket = bucket_of(address)
        with self._lock:
            left = self._filled(bucket) - 1
            self._left.pop(bucket, None)
            self._left[bucket] = (self._clock.now(), max(0.0, left))
            while len(self._left) > ADDRESSES_MAX:
                self._left.popitem(last=False)

    def _filled(self, bucket: str) -> float:
        since, left = self._left.get(bucket, (self._clock.now(), float(self._most)))
        passed_s = max(0.0, (self._clock.now() - since).total_seconds())
        return min(float(self._most), left + passed_s / self._refill_s)


class ClaimGate:
    """A FastAPI dependency for routes that a claim opens: 429 for whoever has failed too often."""

    def __init__(self, clock: Clock) -> None:
        self._buckets = Buckets(clock)

    def __call__(self, request: Request) -> Iterator[None]:
        """Raise Problem 429 before anything is read, or let the route answer and count it if it refuses."""
        address = request.client.host if request.client else ""
        if wait_s := self._buckets.wait_s(address):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many refused claims came from this address",
                f"compare the claim with the install order, and try again in {wait_s} s",
                reason="claims-limited",
                headers={"Retry-After": str(wait_s)},
            )
        try:
            yield
        except MeteringError as error:
            if not isinstance(error, Problem) or error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._buckets.spend(address)
            raise
