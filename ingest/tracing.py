"""Traces by OpenTelemetry, where the extra `otel` is installed and an endpoint is named; otherwise nothing at all.

Off, a span costs less than a microsecond and no library is imported. On, spans are gathered in memory, bounded, and
sent over OTLP/HTTP by a thread of the library: a collector that is away costs spans, never readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from typing import Any

from metering.errors import MeteringError

SEND_S = 3
"""Longest wait for the collector, for one sending and at the end [s]."""
_OFF = nullcontext()
_tracer: Any = None


class TracesNotInstalled(MeteringError):
    """Traces are asked for, and OpenTelemetry is not installed."""


def span(name: str, **attributes: int | str) -> AbstractContextManager[Any]:
    """Trace what is done inside; nothing unless traces are on."""
    if _tracer is None:
        return _OFF
    return _started(name, attributes)


@contextmanager
def _started(name: str, attributes: Mapping[str, int | str]) -> Iterator[Any]:
    with _tracer.start_as_current_span(name, attributes=dict(attributes)) as started:
        yield started


def trace_ids() -> dict[str, str]:
    """Give the ids of the trace and span that the caller is in; empty outside of any, and while traces are off."""
    if _tracer is None:
        return {}
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace": format(context.trace_id, "032x"), "span": format(context.span_id, "016x")}


@contextmanager
def traced(endpoint: str, program: str) -> Iterator[None]:
    """Send spans to the collector at `endpoint` while inside, if one is named; raises TracesNotInstalled.

    endpoint   where OTLP over HTTP is taken, without /v1/traces
    program    what the spans are from: the name of the service is metertree-<program>
    """
    global _tracer
    if not endpoint:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesNotInstalled("traces need OpenTelemetry; install it: pip install 'metertree[otel]'") from error
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"metertree-{program}"}))
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=SEND_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # FastAPI traces its own calls once there is one
    _tracer = provider.get_tracer("metertree")
    try:
        yield
    finally:
        _tracer = None
        # In a thread, because the library tries again for half a minute while the collector is away.
        last = Thread(target=provider.shutdown, name="traces-end", daemon=True)
        last.start()
        last.join(SEND_S)
