"""Nobody reads displays in the database in memory: `queries/hand_readings.sql` as far as settlement asks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class HandAnswers:
    """Answers what settlement asks about readings of people."""

    def _yield_to_bus(self, a: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return []

    def _waiting_readings(self, a: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return []

    def _list_hand_readings(self, a: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return []

    def _hand_read_meters(self, a: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return []
