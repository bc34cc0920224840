"""Every metric that some program of the central service shows, by name, as Prometheus stores it."""

from __future__ import annotations

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from ingest.api.metrics import Metrics
from ingest.intake import IntakeCounters

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "info": ("_info",)}
PROMETHEUS_OWN = {"up": "gauge"}


class NoDatabase:
    """A database that is away: the gauges of the books are named all the same."""

    def spare(self) -> object:
        """Refuse."""
        raise psycopg.OperationalError("away")


class NoQueue:
    """A session that nothing comes from."""

    connected = False
    waiting = (0, 0)


def registry() -> CollectorRegistry:
    """What a program that does everything shows."""
    metrics = Metrics()
    metrics.introduce("serve", "1/1")
    metrics.follow(IntakeCounters(), NoQueue())
    metrics.follow_books(NoDatabase())  # type: ignore[arg-type]
    return metrics.registry


def shown_text() -> bytes:
    """The answer to a scrape."""
    return generate_latest(registry())


def shown_metrics() -> dict[str, str]:
    """Kind of each series: counter (to be rated) or gauge, by its name."""
    found = dict(PROMETHEUS_OWN)
    for family in registry().collect():
        found |= _series_of(family)
    return found


def _series_of(family: Metric) -> dict[str, str]:
    kind = "gauge" if family.type == "gauge" else "counter"
    return {family.name + suffix: kind for suffix in SUFFIXES[family.type]}
