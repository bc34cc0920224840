"""Traces: nothing while they are off; with a collector, each span with its service, its parent, its ids in the log."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ingest.tracing import TracesNotInstalled, span, trace_ids, traced

ROOT = Path(__file__).parents[3]


def test_off_a_span_is_nothing() -> None:
    with traced("", "intake"), span("intake.group", envelopes=3):
        assert trace_ids() == {}
    assert span("a") is span("b")


def test_off_no_library_is_imported() -> None:
    script = "import sys, ingest.intake\nassert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)


def test_asked_for_and_not_installed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracesNotInstalled, match=r"metertree\[otel\]"), traced("http://127.0.0.1:1", "intake"):
        pass
    assert span("a") is span("b")


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A collector of OTLP over HTTP that keeps what it is sent."""
    taken: list[tuple[str, bytes]] = []

    class Takes(BaseHTTPRequestHandler):
        """Takes what is posted."""

        def do_POST(self) -> None:
            """Keep it."""
            taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Takes)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


TRACING = """
    import logging, sys
    from ingest.log_lines import LogFormat, set_up_logging
    from ingest.tracing import span, traced
    set_up_logging(LogFormat.JSON, verbose=False)
    with traced(sys.argv[1], "settle"):
        with span("settlement.pass"), span("settlement.site", site="park"):
            logging.getLogger("ingest.settlement").info("settlement.looked site=%s", "park")
    logging.getLogger("ingest.settlement").info("settlement.ended")
"""


def run_traced(endpoint: str) -> list[dict[str, Any]]:
    """Trace two spans in a process of its own, since a provider is set once and for all; give its log."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRACING), endpoint],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_spans_reach_the_collector_and_their_ids_the_log() -> None:
    messages = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    with collector() as (endpoint, taken):
        lines = run_traced(endpoint + "/")
    assert [path for path, _ in taken] == ["/v1/traces"]
    (sent,) = messages.ExportTraceServiceRequest.FromString(taken[0][1]).resource_spans
    service = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert service["service.name"] == "metertree-settle"
    inner, outer = sorted(sent.scope_spans[0].spans, key=lambda one: one.end_time_unix_nano)
    assert (inner.name, outer.name) == ("settlement.site", "settlement.pass")
    assert inner.parent_span_id == outer.span_id
    assert {one.key: one.value.string_value for one in inner.attributes} == {"site": "park"}
    looked, ended = lines
    assert (looked["trace"], looked["span"]) == (inner.trace_id.hex(), inner.span_id.hex())
    assert "trace" not in ended


def test_a_collector_that_is_away_holds_nothing_up_for_long() -> None:
    pytest.importorskip("opentelemetry.sdk")
    lines = run_traced("http://127.0.0.1:1")
    assert [line["event"] for line in lines if line["logger"] == "ingest.settlement"] == [
        "settlement.looked",
        "settlement.ended",
    ]
