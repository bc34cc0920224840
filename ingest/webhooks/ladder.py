"""What becomes of a delivery after a try: pure decisions by the answer, the try's number and the clock.

Theory of operation. The ladder is that of the Standard Webhooks specification: at once, then after 5 s, 5 min, 30
min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each a tenth shorter or longer by chance, so that what failed together is not
tried again together. After the last the delivery is a dead letter, which a person sends again. An endpoint at which
tries fail is rested a while, longer each time, so that a thousand events waiting for a server that is away are not a
thousand tries against it. When nothing was delivered to it for as long as a ladder takes, it is turned off, and what
waits is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

LADDER = (
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
"""Pause before each try. Source: Standard Webhooks, "Deliverability and reliability"."""
WHOLE_LADDER = sum(LADDER, timedelta())
"""75 h 35 min 5 s."""
REST_FIRST = timedelta(seconds=5)
REST_MAX = timedelta(minutes=5)
"""How long an endpoint is rested at most between tries of different deliveries."""
ASKED_MAX = timedelta(hours=1)
"""Longest Retry-After that is heeded: more would be a way to be forgotten."""
_THROTTLES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
REST_THROTTLED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try.

    status       of the answer; None: there was none
    fault        why there was none, or why nothing was sent
    retry_after  what the server asked for [s]; None: nothing
    took_ms      from the first look at the address to the end of the answer
    """

    status: int | None
    fault: str = ""
    retry_after: int | None = None
    took_ms: int = 0

    @property
    def is_delivered(self) -> bool:
        """Say whether the endpoint has taken it: any 2xx, and nothing else, redirects least of all."""
        return self.status is not None and 200 <= self.status < 300


class Fate(StrEnum):
    """What becomes of a delivery."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has done: tries in a row that failed, and since when."""

    failures: int
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a try decides.

    next_at        when the delivery is tried again, if it waits
    health         of the endpoint from now on; paused_until: nothing is tried at it before
    turns          the state into which the endpoint is turned off; None: it stays on
    """

    fate: Fate
    next_at: datetime
    health: Health
    paused_until: datetime | None
    turns: str | None


def judge(answer: Answer, attempt: int, health: Health, now: datetime, chance: Callable[[], float]) -> Verdict:
    """Decide after try number `attempt` (from 1) of a delivery; `chance` gives a number from 0 to below 1."""
    if answer.is_delivered:
        return Verdict(Fate.DELIVERED, now, Health(0, None), None, None)
    since = health.failing_since or now
    failing = Health(health.failures + 1, since)
    paused_until = now + _rest(answer, failing.failures)
    if answer.status == HTTPStatus.GONE:
        # Sent again by hand, it finds the endpoint on again or not at all: it waits, as all others for it.
        return Verdict(Fate.WAITING, now, failing, None, "gone")
    turns = "failing" if now - since >= WHOLE_LADDER * 0.9 else None
    if attempt >= len(LADDER):
        return Verdict(Fate.DEAD, now, failing, paused_until, turns)
    pause = LADDER[attempt] * (0.9 + 0.2 * chance())
    return Verdict(Fate.WAITING, now + max(pause, _asked(answer)), failing, paused_until, turns)


def _rest(answer: Answer, failures: int) -> timedelta:
    rest = min(REST_FIRST * (1 << min(failures - 1, 10)), REST_MAX)
    if answer.status in _THROTTLES:
        rest = max(rest, _asked(answer) or REST_THROTTLED)
    return rest


def _asked(answer: Answer) -> timedelta:
    if answer.retry_after is None:
        return timedelta()
    return min(timedelta(seconds=max(0, answer.retry_after)), ASKED_MAX)
