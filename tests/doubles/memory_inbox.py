"""What waits for a person in the database in memory, which knows alerts and runs: `queries/inbox.sql`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

WAITING = ("computed", "checked", "approved")


class InboxAnswers:
    """Answers what the inbox asks."""

    _tables: Any

    def _inbox_runs(self, a: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        found = [row for row in reversed(list(self._tables.runs.values())) if row[3] in WAITING]
        for row in found[: a["most"]]:
            yield (*row[:4], 0, row[4], 0)

    def _inbox_gateways(self, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return [(gateway, row[0]) for gateway, row in self._tables.gateways.items()]

    def _inbox_disputes(self, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return []

    def _inbox_counts(self, _: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        for site, count in Counter(row[1] for row in self._tables.runs.values() if row[3] in WAITING).items():
            yield ("run", site, count)
        opened = (
            one for one in self._tables.alerts.values() if one["closed_at"] is None and not one["acknowledged_by"]
        )
        for site, count in Counter(self._site_of(one) for one in opened).items():
            yield ("alert", site, count)

    def _site_of(self, alert: Mapping[str, Any]) -> str | None:
        if alert["scope"] == "gateway":
            row = self._tables.gateways.get(alert["subject"])
            return None if row is None else str(row[0])
        return alert["subject"] if alert["scope"] == "site" else alert["detail"].get("site")
