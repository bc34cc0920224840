"""The job that delivers: numbers what was told, then tries what is due, several at a time, until nothing is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from ingest.store.database import Database
from ingest.store.events import drop_events
from ingest.webhooks.config import Sending
from ingest.webhooks.delivery import Deliverer
from ingest.webhooks.post import Sender, tls_context
from ingest.webhooks.signing import SecretBox
from metering.clock import Clock
from provisioning.keys import read_salt_key

THREADS = 8
"""Tries at the same time. An endpoint has at most half of them, so one slow server leaves room for others."""
TURN_TRIES = 200
"""So many tries of a thread before it is told how far the job is, and it may be ended."""


def deliver(database: Database, salt_key: Path, sending: Sending, clock: Clock) -> Iterator[str]:
    """Deliver what is due, and tell how much that was each time a few hundred tries are done.

    Does nothing while there is no salt key: then nobody can have sealed a secret. Raises KeyFileInvalid and OSError.
    """
    if not salt_key.exists():
        return
    sender = Sender(sending.guard, tls_context(sending.authorities))
    deliverer = Deliverer(database, SecretBox(read_salt_key(salt_key)), sender, clock)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks") as threads:
        while True:
            numbered = deliverer.number()
            tried = sum(threads.map(lambda _: _turn(deliverer), range(THREADS)))
            if tried:
                yield f"{tried} deliveries tried"
            if not numbered and tried < TURN_TRIES:
                return


def delivering(salt_key: Path, sending: Sending, clock: Clock) -> Callable[[Database, datetime], Iterator[str]]:
    """Give `deliver` as the work of a job."""
    return lambda database, _now: deliver(database, salt_key, sending, clock)


def forget(database: Database, now: datetime) -> Iterator[str]:
    """Drop events that nobody pulls any more, with their deliveries."""
    with database.transaction() as connection:
        dropped = drop_events(connection, now)
    if dropped:
        yield f"{dropped} events dropped"


def _turn(deliverer: Deliverer) -> int:
    for tries in range(TURN_TRIES):
        if not deliverer.deliver_next():
            return tries
    return TURN_TRIES
