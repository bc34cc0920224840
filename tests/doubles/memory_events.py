"""Events for the database in memory: of `queries/events.sql`, what acts need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = tuple[Any, ...]
Arguments = Mapping[str, Any]


class EventAnswers:
    """Keeps what is told in `Tables`."""

    _tables: Any

    def _add_events(self, a: Arguments) -> None:
        columns = (a["ids"], a["kinds"], a["sites"], a["subjects"], a["ats"], a["bodies"])
        self._tables.events.update((row[0], row) for row in zip(*columns, strict=True))

    def _sites_of_gateways(self, a: Arguments) -> list[Row]:
        return [(one, self._tables.gateways[one][0]) for one in a["gateways"] if one in self._tables.gateways]
