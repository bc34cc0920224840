"""Receivers of webhooks on the loopback, and a deliverer whose clock is moved by hand."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from ingest.access.principal import Kind, Principal, admin_principal, site_scope
from ingest.caller import ADMIN, Caller
from ingest.store.database import Database
from ingest.webhooks.delivery import Deliverer
from ingest.webhooks.desk import EndpointDesk
from ingest.webhooks.guard import Guard
from ingest.webhooks.post import Sender
from ingest.webhooks.signing import SecretBox
from metering.clock import ManualClock

BOX = SecretBox(bytes(32))
LOOPBACK = Guard(networks=(ipaddress.ip_network("127.0.0.0/8"),))
ADMINISTRATOR = admin_principal(Caller(ADMIN, "127.0.0.1", "test"))


def operator(name: str, *roles: str, sites: Sequence[str] | None = None) -> Principal:
    """Somebody with these roles at these sites; None: at all."""
    caller = Caller(name, "127.0.0.1", "test", in_person=True)
    return Principal(name, frozenset(roles), site_scope(sites), Kind.OPERATOR, caller)


@dataclass
class Received:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """Keeps what comes, and answers with `statuses` in turn, the last for ever."""

    statuses: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    refuses: str = "nothing"
    came: list[Received] = field(default_factory=list)
    url: str = ""

    def answer(self, body: bytes) -> int:
        """Give the next status; 400 for a body that holds what it refuses."""
        if self.refuses.encode() in body:
            return 400
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def receiving(receiver: Receiver | None = None) -> Iterator[Receiver]:
    """Run a receiver on a port of the loopback."""
    kept = receiver or Receiver()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.came.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(kept.answer(body))
            for name, text in kept.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is written down."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Post:
    """Desk and deliverer over one database. The clock is a little ahead of the database's, so all is due."""

    def __init__(self, database: Database, guard: Guard = LOOPBACK, deadline_s: float = 5.0) -> None:
        self.database = database
        self.clock = ManualClock(datetime.now(UTC) + timedelta(seconds=30))
        self.desk = EndpointDesk(database, BOX, guard, self.clock)
        sender = Sender(guard, deadline_s=deadline_s)
        self.deliverer = Deliverer(database, BOX, sender, self.clock, chance=lambda: 0.5)

    def later(self, **time: float) -> Post:
        """Let time pass."""
        self.clock.sleep(timedelta(**time).total_seconds())
        return self

    def run(self) -> int:
        """Deliver until nothing is due; give how many tries that took."""
        while self.deliverer.number():
            pass
        tries = 0
        while self.deliverer.deliver_next():
            tries += 1
        return tries
