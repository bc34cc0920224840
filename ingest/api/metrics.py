"""Prometheus metrics of one program, in a registry of its own so that two programs in one test do not collide.

Counters are of the program that shows them. Gauges of the books are asked from the database when somebody scrapes, so
every program that shows them shows the same: take the maximum, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Protocol

import psycopg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ingest.intake import IntakeCounters
from ingest.store.database import Database, load_queries
from ingest.tally import Tally

_INTAKE = {
    "received": "Messages taken from the broker",
    "accepted": "Envelopes entered into the books",
    "readings": "Readings entered into the books",
    "repeated": "Envelopes that were in the books already",
    "groups": "Transactions of the intake",
    "receipts": "Receipts sent",
    "retries": "Groups tried again because the store was away",
}
_TALLIES = {
    "lag_s": ("lag_seconds", "From the sealing of an envelope, by its gateway's clock, to its commit"),
    "commit_s": ("commit_seconds", "From the last octet of a group's proof to its commit, receipts and all"),
}
_BOOKS: Mapping[str, tuple[str, str]] = {
    "gateways": ("", "Gateways enrolled"),
    "chain_gaps": ("", "Chains with a gap open: an envelope is in the books and one before it is not"),
    "settlement_waiting_days": ("", "Days of meters with readings that no settlement has seen"),
    "settlement_waiting_seconds": ("", "How long the oldest of these waits"),
    "alerts_open": ("kind", "Open alerts"),
    "quarantine_kept": ("reason", "Messages in quarantine"),
    "alarms": ("kind", "Alarms ever raised by intake, such as equivocation"),
    "events_unnumbered": ("", "Events that were told and that nobody can pull yet"),
    "events_newest": ("", "Number of the newest event"),
    "webhook_endpoints": ("state", "Endpoints of webhooks"),
    "webhook_deliveries_waiting": ("", "Deliveries on their way to endpoints that are on"),
    "webhook_deliveries_held": ("", "Deliveries kept for endpoints that are off"),
    "webhook_deliveries_dead": ("", "Dead letters"),
    "webhook_waiting_seconds": ("", "How long the oldest delivery to an endpoint that is on has waited"),
    "job_last_success_timestamp_seconds": ("job", "When a job last went well"),
    "job_last_seconds": ("job", "How long a job took when it last went well"),
    "job_failing": ("job", "1 if the newest try of a job failed"),
}
"""Label and meaning of each gauge of the books, by its name; the numbers are those of queries/metrics.sql."""


class Queue(Protocol):
    """What waits between the broker and intake."""

    @property
    def connected(self) -> bool:
        """Whether the session stands and the broker has confirmed the subscription."""

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and octets."""


class Metrics:
    """What the program counts. Times in seconds."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.settled_days = Counter(
            "metertree_settled_days_total", "Node days settled, again or for the first time", registry=registry
        )
        self.settlement_faults = Counter(
            "metertree_settlement_faults_total", "Settlement passes that ended in an error", registry=registry
        )
        self.settlement_seconds = Histogram(
            "metertree_settlement_seconds", "Duration of a settlement pass with work in it", registry=registry
        )
        self.sites_elsewhere = Counter(
            "metertree_settlement_sites_elsewhere_total",
            "Sites left to another program that was at them",
            registry=registry,
        )
        self.runs = Counter(
            "metertree_allocation_runs_total", "Allocation runs asked for", ["outcome"], registry=registry
        )
        self.requests = Counter("metertree_http_requests_total", "HTTP answers", ["route", "status"], registry=registry)
        self.answer_seconds = Histogram(
            "metertree_http_seconds", "From a call to the head of its answer", ["route"], registry=registry
        )
        self.leads_jobs = Gauge("metertree_jobs_leader", "1 if this program does the jobs now", registry=registry)
        self.job_faults = Counter("metertree_job_faults_total", "Jobs that failed", ["job"], registry=registry)
        self.worker_restarts = Counter(
            "metertree_intake_worker_restarts_total", "Intake workers started again", ["share"], registry=registry
        )

    def introduce(self, program: str, share: str) -> None:
        """Say which program this is, and show what it takes of the machine."""
        told = {"program": program, "share": share, "version": metadata.version("metertree")}
        Gauge(
            "metertree_program_info",
            "Always 1; the labels say which program this is",
            list(told),
            registry=self.registry,
        ).labels(**told).set(1)
        ProcessCollector(registry=self.registry)

    def follow(self, counters: IntakeCounters, queue: Queue | None = None) -> None:
        """Show what the intake counts, as it stands whenever somebody asks."""
        self.registry.register(_IntakeCollector(counters, queue))

    def follow_books(self, database: Database) -> None:
        """Show what the books say of themselves."""
        self.registry.register(_BooksCollector(database))


class _IntakeCollector(Collector):
    def __init__(self, counters: IntakeCounters, queue: Queue | None) -> None:
        self._counters = counters
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """Give the counters of the intake."""
        for name, meaning in _INTAKE.items():
            yield CounterMetricFamily(f"metertree_intake_{name}", meaning, value=getattr(self._counters, name))
        rejected = CounterMetricFamily("metertree_intake_rejected", "Messages put into quarantine", labels=["reason"])
        for reason, count in sorted(dict(self._counters.rejected).items()):
            rejected.add_metric([reason], count)
        yield rejected
        for name, (shown, meaning) in _TALLIES.items():
            yield _histogram(f"metertree_intake_{shown}", meaning, getattr(self._counters, name))
        gaps = len(self._counters.chains_with_gap)
        yield GaugeMetricFamily("metertree_intake_chain_gaps", "Chains that this worker has seen with a gap open", gaps)
        if self._queue is not None:
            messages, octets = self._queue.waiting
            yield GaugeMetricFamily("metertree_intake_queue_messages", "Messages received and not yet taken", messages)
            yield GaugeMetricFamily("metertree_intake_queue_octets", "Octets of these messages", octets)
            connected = int(self._queue.connected)
            yield GaugeMetricFamily(
                "metertree_intake_connected", "1 while the broker keeps the subscription", connected
            )


class _BooksCollector(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """Give the gauges of the books; none but `books_up` while the database is away."""
        found = self._ask()
        yield GaugeMetricFamily("metertree_books_up", "1 if the database answered this scrape", int(found is not None))
        for name, (label, meaning) in _BOOKS.items():
            family = GaugeMetricFamily(f"metertree_{name}", meaning, labels=[label] if label else [])
            for told, number in (found or {}).get(name, ()):
                family.add_metric([told] if label else [], number)
            yield family

    def _ask(self) -> dict[str, list[tuple[str, float]]] | None:
        found: dict[str, list[tuple[str, float]]] = {}
        try:
            with self._database.spare() as connection:
                if connection is None:
                    return None
                for name, label, number in connection.execute(load_queries("metrics")["books"]):
                    found.setdefault(name, []).append((label, number))
        except psycopg.Error:
            return None
        return found


def _histogram(name: str, meaning: str, tally: Tally) -> HistogramMetricFamily:
    counts, total_s = tally.read()
    buckets, below = [], 0
    for bound, count in zip([*map(str, tally.bounds_s), "+Inf"], counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=total_s)
