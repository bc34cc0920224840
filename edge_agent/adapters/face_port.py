"""The gateway's local port: `/status`, `/metrics`, `/healthz`, to read only, by the standard library's server."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from urllib import request
from urllib.error import URLError

from edge_agent.face import METRICS_TYPE, Face
from metering.errors import MeteringError
from provisioning.gateway_config import FaceConfig

log = logging.getLogger(__name__)

CALLER_S = 10
ANSWER_OCTETS_MAX = 4 << 20
"""A status of 4,000 meters is about 0.5 MiB."""
Answer = Callable[[], tuple[HTTPStatus, str, bytes]]


class FaceUnreachable(MeteringError):
    """The running gateway cannot be asked, or cannot listen."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking the name service what this machine is called."""
        TCPServer.server_bind(self)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """A caller that left is nothing; the rest goes to the log."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            log.exception("face-failed")


def answers_of(face: Face, idle_s_max: float) -> dict[str, Answer]:
    """Say what each path gives. `/healthz` is bad once the poll cycle gave no sign for `idle_s_max` [s]."""

    def health() -> tuple[HTTPStatus, str, bytes]:
        is_well = face.vitals.idle_s <= idle_s_max
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps({"well": is_well}).encode()

    return {
        "/status": lambda: (HTTPStatus.OK, "application/json", json.dumps(face.document()).encode()),
        "/metrics": lambda: (HTTPStatus.OK, METRICS_TYPE, face.metrics().encode()),
        "/healthz": health,
    }


@contextmanager
def face_port(config: FaceConfig | None, answers: Mapping[str, Answer]) -> Iterator[int]:
    """Answer while inside, and give the port; None: not at all, 0. Raises FaceUnreachable."""
    if config is None:
        yield 0
        return

    class Answers(BaseHTTPRequestHandler):
        """Answers one call."""

        timeout = CALLER_S

        def do_GET(self) -> None:
            """Answer."""
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                self._tell(HTTPStatus.NOT_FOUND, "text/plain", f"here are {', '.join(answers)}\n".encode())
            else:
                self._tell(*answer())

        def version_string(self) -> str:
            """Say no more than what this is."""
            return "metertree-gateway"

        def _tell(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, form: str, *parts: object) -> None:
            """Keep callers out of the log."""
            log.debug("face-answered: %s", form % parts)

    try:
        server = _Server((config.host, config.port), Answers)
    except OSError as error:
        problem = f"{config.host}:{config.port} cannot be listened on: {error}; choose another port under [face]"
        raise FaceUnreachable(problem) from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="face", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask_face(config: FaceConfig, timeout_s: float = 3.0) -> dict[str, object]:
    """Ask the gateway that runs on this machine for its status; raises FaceUnreachable."""
    address = f"http://{'[::1]' if config.host == '::1' else config.host}:{config.port}/status"
    try:
        with request.build_opener(request.ProxyHandler({})).open(address, timeout=timeout_s) as answer:
            document = json.loads(answer.read(ANSWER_OCTETS_MAX))
    except (OSError, URLError, ValueError) as error:
        raise FaceUnreachable(f"nobody answers at {address}: {error}") from error
    if not isinstance(document, dict):
        raise FaceUnreachable(f"{address} is no gateway")
    return document
