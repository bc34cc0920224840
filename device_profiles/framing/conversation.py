"""A conversation with a meter: one read as a sequence of exchanges, sans I/O, and sans time. See docs/adr/0072.

Theory of operation. `codec.converse(address, read)` gives a generator. It yields an `Exchange`: octets to send, and how
to know that the answer is whole. Whoever owns the line carries it out and sends the raw octets that came back into the
generator, which yields the next exchange or returns the body that the family decodes. A codec never waits and never
repeats: gaps, timeouts, quarantine and retries are the line's (docs/adr/0015), and a retry begins the whole
conversation again. Nothing is kept between two conversations, so any of them may be the first one after a restart.

The owner of the line must
- send nothing else in between: the line belongs to the conversation until it returns, raises or is closed;
- call `close()` when it gives up, so that a codec's `finally` runs (it must not yield there);
- read until `octets_expected` is reached; while that raises FrameError, read until the line falls silent and then send
  in all that came, for the codec to name what is wrong;
- end a silent exchange by its own timeout error, unless `silence_is_answer`: then send in b"".
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Generator
from dataclasses import dataclass

from metering.errors import MeterError


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what to make of its answer.

    request            octets to send, wake-up octets included
    octets_expected    least length of the whole answer, given what has been received of it; raises FrameError
    check              raises MeterError unless the octets given are the right answer; lets a quarantine end early
    expects_reply      False for broadcasts: send, keep the gap, send b"" into the conversation
    silence_is_answer  no answer is an outcome here (a search): send in b"" instead of a timeout error
    baud               speed of the line from the end of this request on, its answer included [bit/s]; None to leave it.
                       A conversation begins at the meter's own settings, and the line goes back to them after it
    pause_ms           silence to keep before the request, where the protocol asks more than the line's gap [ms]
    reply_ms_max       longest time to the first octet of the answer, where it is not the link's [ms]
    octet_pause_ms     longest pause within the answer that the protocol allows, where it is more than usual [ms]
    """

    request: bytes
    octets_expected: Callable[[bytes], int]
    check: Callable[[bytes], object] | None = None
    expects_reply: bool = True
    silence_is_answer: bool = False
    baud: int | None = None
    pause_ms: int = 0
    reply_ms_max: int | None = None
    octet_pause_ms: int = 0


Conversation = Generator[Exchange, bytes, bytes]
"""Yields exchanges, is sent raw answers, returns the body of the read; raises FrameError or ExceptionReply."""


class SecretMissing(MeterError):
    """A meter wants a password or key that the gateway does not hold."""


class MeterSecrets(typing.Protocol):
    """What one meter's protocol needs and a profile must never hold; kept in the gateway's key folder."""

    def secret(self, name: str) -> bytes:
        """Give the secret called `name` (`password`, `encryption`, `authentication`); raises SecretMissing."""

    def next_count(self) -> int:
        """Give an invocation counter that was never given before, not even before a power cut."""


class NoSecrets:
    """A meter that needs no secret."""

    def secret(self, name: str) -> bytes:
        """Raise SecretMissing."""
        raise SecretMissing(f"the meter wants its {name}, and the gateway's key folder has none for it")

    def next_count(self) -> int:
        """Raise SecretMissing."""
        raise SecretMissing("the meter wants an invocation counter, and the gateway's key folder has none for it")


NO_SECRETS = NoSecrets()


def one_exchange(
    request: bytes,
    octets_expected: Callable[[bytes], int],
    parse_reply: Callable[[bytes], bytes],
    *,
    octet_pause_ms: int = 0,
) -> Conversation:
    """Converse in a single exchange: most protocols ask once and are answered once."""
    received = yield Exchange(request, octets_expected, check=parse_reply, octet_pause_ms=octet_pause_ms)
    return parse_reply(received)


def broadcast(request: bytes, *, pause_ms: int = 0) -> Conversation:
    """Send a command that no meter answers; returns b""."""
    yield Exchange(request, lambda received: len(received), expects_reply=False, pause_ms=pause_ms)
    return b""


def drive(conversation: Conversation, carry: Callable[[Exchange], bytes]) -> bytes:
    """Hold a whole conversation over `carry`, which carries out one exchange; gives the body.

    For tests, vectors and simple clients; a line that is shared needs the rules above.
    """
    try:
        exchange = next(conversation)
        while True:
            exchange = conversation.send(carry(exchange))
    except StopIteration as ended:
        body: bytes = ended.value
        return body
    finally:
        conversation.close()
