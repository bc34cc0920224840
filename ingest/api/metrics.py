"""Prometheus metrics of one service, in a registry of its own so that two services in one test do not collide."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ingest.intake import IntakeCounters

_INTAKE = {
    "received": "Messages taken from the broker",
    "accepted": "Envelopes entered into the books",
    "readings": "Readings entered into the books",
    "repeated": "Envelopes that were in the books already",
    "groups": "Transactions of the intake",
    "receipts": "Receipts sent",
    "retries": "Groups tried again because the store was away",
}


class Metrics:
    """What the service counts. Times in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.settled_days = Counter(
            "metertree_settled_days_total", "Node days settled, again or for the first time", registry=self.registry
        )
        self.settlement_faults = Counter(
            "metertree_settlement_faults_total", "Settlement passes that ended in an error", registry=self.registry
        )
        self.settlement_seconds = Histogram(
            "metertree_settlement_seconds", "Duration of a settlement pass with work in it", registry=self.registry
        )
        self.runs = Counter(
            "metertree_allocation_runs_total", "Allocation runs asked for", ["outcome"], registry=self.registry
        )
        self.requests = Counter(
            "metertree_http_requests_total", "HTTP answers", ["route", "status"], registry=self.registry
        )

    def follow(self, counters: IntakeCounters) -> None:
        """Show what the intake counts, as it stands whenever somebody asks."""
        self.registry.register(_IntakeCollector(counters))


class _IntakeCollector(Collector):
    def __init__(self, counters: IntakeCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the counters of the intake."""
        for name, meaning in _INTAKE.items():
            yield CounterMetricFamily(f"metertree_intake_{name}", meaning, value=getattr(self._counters, name))
        rejected = CounterMetricFamily("metertree_intake_rejected", "Messages put into quarantine", labels=["reason"])
        for reason, count in sorted(dict(self._counters.rejected).items()):
            rejected.add_metric([reason], count)
        yield rejected
