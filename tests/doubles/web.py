"""A web application on a real loopback socket, in a thread of the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import httpx
import uvicorn
from fastapi import FastAPI

TIMEOUT_S = 60.0
"""A first run compiles its kernels, on a busy machine for some twenty seconds."""


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve `app`; give a client for it."""
    # Named as TCP: only then asyncio sends the body of an answer at once, and not 40 ms behind its head.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        # Listening before the server runs lets the first request wait in the queue instead of being refused.
        listener.listen()
        host, port = listener.getsockname()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://{host}:{port}", timeout=TIMEOUT_S, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
