"""A line that can be cut: a TCP relay between one gateway and the broker.

While the line is cut, connections that stand are closed and new ones are closed at once, as a dead router does it.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading

CHUNK_OCTETS = 65536


class Cutter:
    """Relays 127.0.0.1:`port` to 127.0.0.1:`target_port` unless the line is cut."""

    def __init__(self, port: int, target_port: int) -> None:
        self.target_port = target_port
        self._server = _Server(("127.0.0.1", port), _Relay)
        self._server.cutter = self
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._is_cut = False

    @property
    def port(self) -> int:
        """The TCP port that is served."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Relay from a thread of its own until `close`."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def close(self) -> None:
        """Cut the line for good and give the port back."""
        self.set_cut(True)
        self._server.shutdown()
        self._server.server_close()

    def set_cut(self, is_cut: bool) -> None:
        """Cut the line, or mend it; nothing happens when it is so already."""
        with self._lock:
            if is_cut and not self._is_cut:
                for end in self._ends:
                    _shut(end)
            self._is_cut = is_cut

    def admit(self, *ends: socket.socket) -> bool:
        """Take the two ends of a relay in, so that a cut closes them; say no while the line is cut."""
        with self._lock:
            if not self._is_cut:
                self._ends.update(ends)
            return not self._is_cut

    def forget(self, *ends: socket.socket) -> None:
        """Let go of the ends of a relay that is over."""
        with self._lock:
            self._ends.difference_update(ends)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    cutter: Cutter


class _Relay(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        """Relay both ways until one end closes or the line is cut."""
        cutter = self.server.cutter
        try:
            target = socket.create_connection(("127.0.0.1", cutter.target_port))
        except OSError:
            return
        with target:
            if not cutter.admit(self.request, target):
                return
            for end in (self.request, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pour, args=(target, self.request), daemon=True)
            back.start()
            _pour(self.request, target)
            back.join()
            cutter.forget(self.request, target)


def _pour(source: socket.socket, sink: socket.socket) -> None:
    """Carry octets from `source` to `sink` until either ends, then end both."""
    with contextlib.suppress(OSError):
        while octets := source.recv(CHUNK_OCTETS):
            sink.sendall(octets)
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
