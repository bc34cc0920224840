"""The uplink over HTTP, to the centre's real door and to servers that misbehave."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI

from edge_agent.adapters.http_broker import CALL_MESSAGES_MAX, HttpBroker
from edge_agent.adapters.sqlite_outbox import SqliteOutbox
from edge_agent.ports import BrokerEvent, BrokerUnreachable, Connected, Entry, Lost, ReceiptArrived
from edge_agent.uplink_loop import UplinkLoop
from ingest.api import problems
from ingest.api.admission import Admission
from ingest.api.envelopes import EnvelopeRoutes
from ingest.envelope_door import EnvelopeDoor, split_messages
from ingest.quarantine_desk import QuarantineDesk
from ingest.store.database import Database
from metering.clock import ManualClock
from metering.receipt import open_receipt
from metering.tombstone import seal_tombstone
from tests.conftest import MARK, SeededSigner
from tests.doubles.chains import PROFILES, Gateway
from tests.doubles.store_harness import NOW, PostgresHarness, wired
from tests.doubles.web import serving

GW = Gateway()
CENTRE = SeededSigner("metertree test centre")
WAIT_S = 20.0


@pytest.fixture
def url(database: Database) -> Iterator[str]:
    """The centre's door over a real database."""
    harness = PostgresHarness(database)
    harness.enrol(GW)
    harness.wire(wired(GW))
    clock = ManualClock(NOW)
    door = EnvelopeDoor(store=harness.store, signer=CENTRE, clock=clock, profiles=PROFILES)
    app = FastAPI()
    problems.install(app)
    app.include_router(EnvelopeRoutes(door, QuarantineDesk(database, CENTRE, clock, PROFILES)).router(Admission("t")))
    with serving(app) as client:
        yield str(client.base_url).rstrip("/")


def test_a_backlog_with_a_tombstone_is_receipted_over_http(url: str, tmp_path: Path) -> None:
    chain = GW.chain(300)
    outbox = SqliteOutbox(
        tmp_path / "outbox.db",
        GW.id,
        lambda stone: seal_tombstone(stone, GW.signer),
        octets_max=sum(len(one.octets) for one in chain[:280]),
    )
    for seq, one in enumerate(chain, start=1):
        outbox.append([Entry(1, seq, MARK, MARK, one.octets)])
    assert outbox.after(1, 0, 1)[0].evicted
    heard = threading.Event()
    loop = UplinkLoop(
        gateway=GW.id,
        epoch=1,
        outbox=outbox,
        centre=CENTRE.verifier,
        on_receipt=lambda receipt, _: heard.set() if receipt.contiguous_seq == 300 else None,
    )
    running = threading.Thread(target=loop.run, args=(HttpBroker(url, None, loop.deliver),))
    running.start()
    try:
        assert heard.wait(WAIT_S)
    finally:
        loop.stop()
        running.join(WAIT_S)
    assert outbox.receipted(1) == 300
    outbox.close()


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> Iterator[str]:
    """A server that answers each call as told."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"") -> None:
    """Answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def begun(url: str) -> tuple[HttpBroker, queue.Queue[BrokerEvent]]:
    """A session that stands."""
    events: queue.Queue[BrokerEvent] = queue.Queue()
    broker = HttpBroker(url, None, events.put)
    broker.connect()
    assert events.get(timeout=WAIT_S) == Connected()
    return broker, events


def test_what_waits_goes_in_one_call_and_each_receipt_is_an_event() -> None:
    calls: list[int] = []

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        calls.append(len(split_messages(body)))
        reply(handler, 200, b"\x01\x02")

    with answering(answer) as url:
        broker, events = begun(url)
        for _ in range(CALL_MESSAGES_MAX + 50):
            broker.publish(b"\x05")
        while sum(calls) < CALL_MESSAGES_MAX + 50:
            assert isinstance(events.get(timeout=WAIT_S), ReceiptArrived)
        broker.close()
    assert max(calls) <= CALL_MESSAGES_MAX


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_centre_that_cannot_take_it_ends_the_session(status: int) -> None:
    with answering(lambda handler, _: reply(handler, status)) as url:
        broker, events = begun(url)
        broker.publish(b"\x05")
        lost = events.get(timeout=WAIT_S)
        assert isinstance(lost, Lost)
        assert str(status) in lost.reason
        broker.close()


def test_what_is_refused_does_not_end_the_session() -> None:
    statuses = iter([422, 200])
    refused = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        reply(handler, next(statuses), b"\x07")
        refused.set()

    with answering(answer) as url:
        broker, events = begun(url)
        broker.publish(b"\x05")
        assert refused.wait(WAIT_S)
        broker.publish(b"\x06")
        assert events.get(timeout=WAIT_S) == ReceiptArrived(b"\x07")
        broker.close()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again() -> None:
    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.close_connection = True
        reply(handler, 200, b"\x07")

    with answering(answer) as url:
        broker, events = begun(url)
        for _ in range(3):
            broker.publish(b"\x05")
            assert events.get(timeout=WAIT_S) == ReceiptArrived(b"\x07")
        broker.close()


def test_a_closed_session_says_nothing_more() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.set()
        go_on.wait(WAIT_S)
        handler.close_connection = True

    with answering(answer) as url:
        broker, events = begun(url)
        broker.publish(b"\x05")
        assert asked.wait(WAIT_S)
        broker.close()
        go_on.set()
        assert events.empty()
        with pytest.raises(BrokerUnreachable, match="no session"):
            broker.publish(b"\x05")


def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        broker = HttpBroker(f"http://127.0.0.1:{taken.getsockname()[1]}", None, lambda _: None)
        with pytest.raises(BrokerUnreachable):
            broker.connect()
    with pytest.raises(BrokerUnreachable, match="give http"):
        HttpBroker("mqtt://centre", None, lambda _: None).connect()


def test_receipts_are_those_of_the_centre(url: str) -> None:
    broker, events = begun(url)
    for one in GW.chain(3):
        broker.publish(one.octets)
    seq = 0
    while seq < 3:
        event = events.get(timeout=WAIT_S)
        assert isinstance(event, ReceiptArrived)
        seq = open_receipt(event.octets, CENTRE.verifier).contiguous_seq
    broker.close()
