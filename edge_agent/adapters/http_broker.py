"""The way to the centre over HTTP, where nothing lets MQTT through: the same octets, the same receipts.

What is handed over within one round trip goes in one call (`POST /v1/envelopes`, a CBOR sequence); the answer holds a
receipt for each chain. A call that fails ends the session, and the uplink begins another and sends again: nothing
counts but receipts. Orders of the centre do not come this way, and a restored centre is heard at the next call.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import cbor2

from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, Lost, ReceiptArrived
from edge_agent.uplink import WINDOW_MAX
from metering.envelope import ENVELOPE_OCTETS_MAX
from provisioning.broker_tls import BrokerTls, BrokerTlsInvalid

PATH = "/v1/envelopes"
TIMEOUT_S = 20.0
CALL_MESSAGES_MAX = 256
CALL_OCTETS_MAX = 2 * ENVELOPE_OCTETS_MAX
"""Octets of one call beyond its first message; the centre takes twice as many."""
ANSWER_OCTETS_MAX = 1 << 20
_SEQUENCE = "application/cbor-seq"


class HttpBroker:
    """One gateway's sessions; `deliver` gets the events, called from a thread of the session, and must not wait.

    url   the centre: http://host:port or https://host:port
    tls   whom to believe for https; None: the authorities that this machine believes
    """

    def __init__(self, url: str, tls: BrokerTls | None, deliver: Callable[[BrokerEvent], None]) -> None:
        self._url = url
        self._tls = tls
        self._deliver = deliver
        self._session: _Session | None = None

    def connect(self) -> None:
        """Begin a new session; Connected follows. Raises BrokerUnreachable when nobody listens."""
        self.close()
        session = _Session(self._new_connection(), self._url, self._deliver)
        session.begin()
        self._session = session

    def publish(self, octets: bytes) -> None:
        """Hand one message to the session; raises BrokerUnreachable when there is none, or it is choked."""
        if self._session is None:
            raise BrokerUnreachable("no session")
        self._session.put(octets)

    def close(self) -> None:
        """End the session, if there is one, without an event."""
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def _new_connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        if parts.hostname is None or parts.scheme not in ("http", "https"):
            raise BrokerUnreachable(f"{self._url}: give http://host:port or https://host:port")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        try:
            context = (self._tls or BrokerTls(None, None, None)).context()
        except BrokerTlsInvalid as error:
            raise BrokerUnreachable(str(error)) from error
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)


class _Session:
    """One connection and the thread that calls over it."""

    def __init__(
        self, connection: http.client.HTTPConnection, url: str, deliver: Callable[[BrokerEvent], None]
    ) -> None:
        self._connection = connection
        self._url = url
        self._deliver = deliver
        self._waiting: queue.Queue[bytes | None] = queue.Queue(4 * WINDOW_MAX)
        self._ended = threading.Event()

    def begin(self) -> None:
        """Connect, and begin to call; raises BrokerUnreachable."""
        try:
            self._connection.connect()
        except OSError as error:
            self._connection.close()
            raise BrokerUnreachable(f"{self._url}: {error}") from error
        threading.Thread(target=self._keep_calling, name="uplink-http", daemon=True).start()

    def put(self, octets: bytes) -> None:
        """Add a message to those that go with the next call."""
        try:
            self._waiting.put_nowait(octets)
        except queue.Full as error:
            raise BrokerUnreachable("the centre answers too slowly") from error

    def end(self) -> None:
        """Call no more, and say nothing more; a call that is on its way is broken off."""
        self._ended.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _keep_calling(self) -> None:
        self._tell(Connected())
        held: bytes | None = None
        with contextlib.closing(self._connection):
            while not self._ended.is_set():
                messages, held = self._next_call(held)
                if not messages:
                    return
                try:
                    self._call(b"".join(messages))
                except (OSError, http.client.HTTPException, BrokerUnreachable) as error:
                    self._tell(Lost(f"{self._url}: {str(error) or type(error).__name__}"))
                    return

    def _next_call(self, held: bytes | None) -> tuple[list[bytes], bytes | None]:
        """Wait for a message and take what else waits; the second is what the next call begins with."""
        first = self._waiting.get() if held is None else held
        messages = [] if first is None else [first]
        room = CALL_OCTETS_MAX
        while messages and len(messages) < CALL_MESSAGES_MAX and not self._waiting.empty():
            more = self._waiting.get()
            if more is None:
                break
            room -= len(more)
            if room < 0:
                return messages, more
            messages.append(more)
        return messages, None

    def _call(self, body: bytes) -> None:
        headers = {"Content-Type": _SEQUENCE, "Accept": _SEQUENCE}
        try:
            self._connection.request("POST", PATH, body, headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if self._ended.is_set():
                raise
            # A server closes what was idle for long; the connection is opened again by the next request.
            self._connection.close()
            self._connection.request("POST", PATH, body, headers)
            answer = self._connection.getresponse()
        octets = answer.read(ANSWER_OCTETS_MAX)
        if answer.status == http.client.UNPROCESSABLE_ENTITY:
            return
        if answer.status != http.client.OK:
            raise BrokerUnreachable(f"{answer.status} {answer.reason}")
        for receipt in _items(octets):
            self._tell(ReceiptArrived(receipt))

    def _tell(self, event: BrokerEvent) -> None:
        if not self._ended.is_set():
            self._deliver(event)


def _items(octets: bytes) -> Iterator[bytes]:
    """Cut a CBOR sequence into its items; what is no CBOR is given whole, for the judge of receipts."""
    stream = io.BytesIO(octets)
    while (begin := stream.tell()) < len(octets):
        try:
            cbor2.CBORDecoder(stream).decode()
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
            stream.seek(len(octets))
        yield octets[begin : stream.tell()]
