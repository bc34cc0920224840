"""The small port of a program without a web application: `/healthz`, `/readyz`, `/metrics`, and nothing else.

The standard library's server is enough for a probe every few seconds, and keeps FastAPI out of an intake worker.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ingest.readiness import Check, readiness
from metering.errors import MeteringError

CALLER_S = 10
"""Longest silence of a caller [s]."""
BACKLOG = 1024
"""Calls that wait to be accepted."""
_log = logging.getLogger(__name__)


class PortTaken(MeteringError):
    """Another program listens on this port, or the address is not this machine's."""


def listen(host: str, port: int) -> socket.socket:
    """Listen for callers of the web application; raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(
            f"{host}:{port} cannot be listened on ({error.strerror}); give another --host or --port"
        ) from error
    # Inherited by every connection. asyncio sets it on sockets it made itself only; without it the body of an answer
    # waits 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking the name service what this machine is called, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - as the library calls it
        """Keep what a call ran into in the log; a caller that left is nothing."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            _log.exception("probe.failed")


@contextmanager
def small_port(host: str, port: int, checks: Mapping[str, Check], registry: CollectorRegistry) -> Iterator[int]:
    """Answer on a port while inside, and give it; port 0: not at all. Raises PortTaken."""
    if not port:
        yield 0
        return

    class Answers(BaseHTTPRequestHandler):
        """Answers one call."""

        timeout = CALLER_S

        def do_GET(self) -> None:
            """Answer."""
            path = self.path.partition("?")[0]
            if path == "/healthz":
                self._tell(HTTPStatus.OK, "application/json", b'{"status":"ok"}')
            elif path == "/readyz":
                status, document = readiness(checks)
                self._tell(status, "application/json", json.dumps(document).encode())
            elif path == "/metrics":
                self._tell(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
            else:
                self._tell(HTTPStatus.NOT_FOUND, "text/plain", b"here are /healthz, /readyz and /metrics\n")

        def version_string(self) -> str:
            """Say no more than what this is."""
            return "metertree"

        def _tell(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, form: str, *parts: object) -> None:
            """Keep probes out of the log."""
            _log.debug("probe.answered: %s", form % parts)

    try:
        server = _Server((host, port), Answers)
    except OSError as error:
        raise PortTaken(f"{host}:{port} cannot be listened on ({error.strerror}); give another --probe-port") from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="small-port", daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
