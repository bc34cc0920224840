"""The socket on which the service listens."""

from __future__ import annotations

import socket

from ingest.small_port import listen


def test_answers_on_an_accepted_connection_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
