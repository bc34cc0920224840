"""The calendar months of a period, and which part of each the period or an occupancy covers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from metering.interval import SLOT, Interval, SiteCalendar


@dataclass(frozen=True, slots=True)
class MonthSpan:
    """The slots `first` <= slot < `end` of a period that lie in one local month of `month_slots` slots."""

    first_day: date
    first: int
    end: int
    month_slots: int

    @property
    def label(self) -> str:
        """The month, as `2026-07`."""
        return f"{self.first_day:%Y-%m}"

    @property
    def part(self) -> Fraction:
        """Which part of the month the period covers."""
        return Fraction(self.end - self.first, self.month_slots)

    def covered(self, spans: Iterable[tuple[int, int]]) -> Fraction:
        """Which part of the month `spans` (first, end) cover."""
        slots = sum(max(0, min(end, self.end) - max(first, self.first)) for first, end in spans)
        return Fraction(slots, self.month_slots)


def month_spans(calendar: SiteCalendar, period: Interval) -> tuple[MonthSpan, ...]:
    """Cut a period at local months."""
    spans = []
    for label in sorted({f"{day:%Y-%m}" for day in calendar.days(period)}):
        month = calendar.month(label)
        first = max((month.start - period.start) // SLOT, 0)
        end = min((month.end - period.start) // SLOT, period.slot_count)
        spans.append(MonthSpan(date.fromisoformat(f"{label}-01"), first, end, month.slot_count))
    return tuple(spans)
