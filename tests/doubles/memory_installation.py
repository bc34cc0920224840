"""Install orders' papers and an installation desk at which nothing was bound yet, for the database in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]


class InstallationAnswers:
    """Answers what `queries/installation.sql` and `queries/bindings.sql` ask where no event has come."""

    _tables: Any

    def _keep_order_file(self, a: Arguments) -> None:
        self._tables.order_papers[a["order"]] = (a["order_file"], a["voucher_hash"])

    def _order_papers(self, a: Arguments) -> list[Row]:
        found = self._tables.order_papers.get(a["order"])
        return [] if found is None else [found]

    def _orders(self, a: Arguments) -> list[Row]:
        return [
            (*row[:6], row[7], row[0] in self._tables.order_papers)
            for row in self._tables.orders.values()
            if a["site"] in (None, row[1]) and a["gateway"] in (None, row[2])
        ]

    def _newest_order_file(self, a: Arguments) -> list[Row]:
        return []

    def _event_digest(self, a: Arguments) -> list[Row]:
        return []

    def _history(self, a: Arguments) -> list[Row]:
        return []

    def _bindings(self, a: Arguments) -> list[Row]:
        return []

    def _active_bindings(self, a: Arguments) -> list[Row]:
        return []

    def _provisional(self, a: Arguments) -> list[Row]:
        return []

    def _bound_since(self, a: Arguments) -> list[Row]:
        return []

    def _held_events(self, a: Arguments) -> list[Row]:
        return []

    def _site_of_binding(self, a: Arguments) -> list[Row]:
        return []

    def _site_terms(self, a: Arguments) -> list[Row]:
        document = self._tables.sites[a["site"], a["version"]][3]
        return [(document["calendar"]["zone"], None)]
