"""Sends one delivery: judges where it goes, connects to the very address that was judged, and takes only a status.

No redirect is followed, no proxy of the environment is asked, no cookie is kept, and nothing of an answer but its
status and Retry-After is looked at: whoever writes down a URL learns nothing of what answers there.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from ingest.webhooks.guard import Guard, Resolve, Target, UrlRefused, look_up
from ingest.webhooks.ladder import Answer

_log = logging.getLogger(__name__)
DEADLINE_S = 20.0
"""Longest time for a whole try, slow answers drop by drop included. The specification wants 15 to 30 s."""
CONNECT_S = 5.0
"""Longest wait for one address; there may be several."""
ADDRESSES_MAX = 4
FAULT_MAX = 200


def tls_context(authorities: Path | None = None) -> ssl.SSLContext:
    """Give what servers are judged by: the system's authorities, and those of a PEM file besides; raises OSError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        context.load_verify_locations(authorities)
    return context


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends deliveries within `guard`; `deadline_s` bounds one try [s]."""

    guard: Guard
    context: ssl.SSLContext = field(default_factory=tls_context)
    deadline_s: float = DEADLINE_S
    resolve: Resolve = look_up

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post `body` once and tell what came of it; never raises for what the other side does."""
        begun_s = time.monotonic()
        try:
            status, retry_after = self._post(url, headers, body, begun_s + self.deadline_s)
        except UrlRefused as refused:
            return Answer(None, f"refused: {refused}", None, _since(begun_s))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(None, _told(error, begun_s, self.deadline_s), None, _since(begun_s))
        return Answer(status, "", retry_after, _since(begun_s))

    def _post(self, url: str, headers: Mapping[str, str], body: bytes, until_s: float) -> tuple[int, int | None]:
        target = self.guard.read(url)
        addresses = self.guard.resolve(target, self.resolve)
        with _connected(addresses[:ADDRESSES_MAX], target.port, until_s) as plain, _bounded(plain, until_s):
            wire = plain
            if target.secure:
                wire = self.context.wrap_socket(plain, server_hostname=target.host)
            with wire:
                found = _exchange(wire, target, headers, body)
        if time.monotonic() >= until_s:
            # Cut off: what had come of the head by then looks like a whole one.
            raise TimeoutError
        return found


def _exchange(wire: socket.socket, target: Target, headers: Mapping[str, str], body: bytes) -> tuple[int, int | None]:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = wire
    connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
    told = {
        "host": target.host_header,
        "user-agent": "Metertree-Webhooks/1",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    for name, text in (told | dict(headers)).items():
        connection.putheader(name, text)
    connection.endheaders(body)
    answer = connection.getresponse()
    try:
        return answer.status, _seconds(answer.getheader("retry-after"))
    finally:
        answer.close()


@contextmanager
def _connected(addresses: tuple[str, ...], port: int, until_s: float) -> Iterator[socket.socket]:
    """Connect to the first of the judged addresses that takes it; raises OSError."""
    fault: OSError | None = None
    for one in addresses:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            # An address, never a name: nothing is looked up here, so nothing can have changed.
            wire = socket.create_connection((one, port), min(CONNECT_S, left_s))
        except OSError as error:
            fault = error
            continue
        try:
            wire.settimeout(max(0.1, until_s - time.monotonic()))
            yield wire
        finally:
            wire.close()
        return
    raise fault or TimeoutError("timed out")


@contextmanager
def _bounded(wire: socket.socket, until_s: float) -> Iterator[None]:
    """Cut a connection off at its deadline: each octet that drips in would begin a socket's own timeout anew."""
    # Of its own: TLS takes the descriptor over from `wire`.
    cut = socket.socket(fileno=_duplicate(wire))
    timer = Timer(max(0.0, until_s - time.monotonic()), _cut, (cut,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        cut.close()


def _duplicate(wire: socket.socket) -> int:
    duplicate = wire.dup()
    return duplicate.detach()


def _cut(wire: socket.socket) -> None:
    try:
        wire.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        _log.debug("webhook.cut_late fault=%s", error)


def _told(error: Exception, begun_s: float, deadline_s: float) -> str:
    if isinstance(error, TimeoutError) or time.monotonic() - begun_s >= deadline_s:
        return f"no answer within {deadline_s:g} s"
    text = str(error) or type(error).__name__
    return text.replace("\x00", " ")[:FAULT_MAX]


def _seconds(text: str | None) -> int | None:
    """Read a Retry-After in seconds; a date would trust the other side's clock and is left out."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else None


def _since(begun_s: float) -> int:
    return int(1000 * (time.monotonic() - begun_s))
