"""Played time over TCP: one JSON object a line.

    {"gateway": "gw-a", "advance_to": "2026-07-01T00:00:00+00:00"}   ->   {"now": "2026-07-01T00:00:00+00:00"}
    {"gateway": "gw-a"}                                              ->   {"now": ...}, asks only

An advance beyond the end of the play is not answered: time stands still there and the client waits. Anything that is no
request closes the connection, so that a client never waits for an answer to a mistake.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from ingest.demo.world import PlayedRegisters
from metering.identity import GatewayId

REQUEST_OCTETS_MAX = 1024
"""A request is about 80 octets; a longer line is no request."""

Listener = Callable[[GatewayId, datetime], None]


class PlayedTime:
    """Answers requests about the played instants of `registers`; tells `listener` of every advance.

    The listener is called before the answer goes out, so whatever it does holds when the gateway acts at its new now.
    """

    def __init__(self, registers: Mapping[GatewayId, PlayedRegisters], listener: Listener) -> None:
        self._registers = registers
        self._listener = listener

    def answer(self, line: bytes) -> dict[str, str] | None:
        """Do what a request asks and give the answer; None where time stands still. Raises ValueError, KeyError."""
        request: Any = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("a request is a JSON object")
        gateway = GatewayId(request["gateway"])
        registers = self._registers[gateway]
        if "advance_to" in request:
            instant = datetime.fromisoformat(str(request["advance_to"]))
            if instant.tzinfo is None:
                raise ValueError("advance_to needs a time zone")
            if not registers.advance_to(instant):
                return None
            self._listener(gateway, instant)
        return {"now": registers.now.isoformat()}


class TimeServer:
    """Serves played time on 127.0.0.1:`port`."""

    def __init__(self, played_time: PlayedTime, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Conversation)
        self._server.played_time = played_time

    @property
    def port(self) -> int:
        """The TCP port that is served."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from a thread of its own until `close`."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def close(self) -> None:
        """Stop serving and give the port back; conversations end too, since this world's time holds no longer."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    played_time: PlayedTime

    def __init__(self, address: tuple[str, int], conversation: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(address, conversation)
        self._conversations: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a conversation."""
        self._conversations.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Note that a conversation has ended."""
        self._conversations.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Give the port back and hang up on everyone."""
        super().server_close()
        for conversation in tuple(self._conversations):
            with suppress(OSError):
                conversation.shutdown(socket.SHUT_RDWR)


class _Conversation(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Answer the requests of one client until it goes or makes a mistake."""
        try:
            while (line := self.rfile.readline(REQUEST_OCTETS_MAX)).endswith(b"\n"):
                answer = self.server.played_time.answer(line)
                if answer is not None:
                    self.wfile.write(json.dumps(answer).encode() + b"\n")
        except (ValueError, KeyError, ConnectionError):
            return
