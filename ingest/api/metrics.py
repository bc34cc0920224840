"""Prometheus metrics of one service, in a registry of its own so that two services in one test do not collide."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
        self.unsettled_days = Gauge(
            "metertree_unsettled_days", "Meter days that wait for settlement", registry=self.registry
        )
        self.runs = Counter(
            "metertree_allocation_runs_total", "Allocation runs asked for", ["outcome"], registry=self.registry
        )
        self.requests = Counter(
            "metertree_http_requests_total", "HTTP answers", ["route", "status"], registry=self.registry
        )
