"""Sums of slots by hour, day and month of the site: a day has 92, 96 or 100 slots, an hour may come twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

import numpy as np

from allocation_engine.kernels import Int64Array
from ingest.series.points import Points, Slots
from metering.interval import SLOT, SLOT_S, Interval, SiteCalendar

HOUR_SLOTS, DAY_SLOTS = 4, 96


class Per(StrEnum):
    """What one point of a series spans."""

    SLOT = "slot"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def whole(span: Interval, per: Per, calendar: SiteCalendar) -> Interval:
    """Widen a span to whole slots, hours, days or months of the site."""
    if per is Per.SLOT:
        first, end = (int(edge.timestamp()) for edge in (span.start, span.end))
        return Interval(_instant(first // SLOT_S * SLOT_S), _instant(-(-end // SLOT_S) * SLOT_S))
    days = calendar.days(span)
    if per is Per.MONTH:
        last = (days[-1].replace(day=1) + timedelta(days=31)).replace(day=1)
        return Interval(calendar.midnight(days[0].replace(day=1)), calendar.midnight(last))
    if per is Per.DAY:
        return Interval(calendar.midnight(days[0]), calendar.midnight(days[-1] + timedelta(days=1)))
    around = Interval(calendar.midnight(days[0]), calendar.midnight(days[-1] + timedelta(days=1)))
    edges = bounds(around, per, calendar)
    starts = [_instant(edge) for edge in edges.tolist()]
    return Interval(
        max(edge for edge in starts if edge <= span.start), min(edge for edge in starts if edge >= span.end)
    )


def bounds(span: Interval, per: Per, calendar: SiteCalendar) -> Int64Array:
    """Give where each hour, day or month of a span begins, and the end of the last [s since 1970].

    `span` is of whole ones, see `whole`. An hour is what clocks show as one: when they are set back it comes twice.
    """
    first, end = int(span.start.timestamp()), int(span.end.timestamp())
    if per is Per.HOUR:
        inside = {edge for day in calendar.days(span) for edge in _hours(day, calendar)}
    else:
        days = calendar.days(span)
        starts = days if per is Per.DAY else [day for day in days if day.day == 1]
        inside = {int(calendar.midnight(day).timestamp()) for day in starts}
    return np.array(sorted(edge for edge in {*inside, end} if first <= edge <= end), np.int64)


def add_up(slots: Slots, edges: Int64Array) -> Points:
    """Add slots up between successive edges [s since 1970]; a sum is of what is known, `missing` beside it."""
    firsts = (edges[:-1] - slots.start_s) // SLOT_S
    known = slots.known
    return Points(
        starts=edges[:-1],
        amounts=np.add.reduceat(np.where(known, slots.amounts, 0), firsts),
        quality=np.maximum.reduceat(slots.quality, firsts),
        missing=np.add.reduceat((~known).astype(np.int64), firsts),
        known=np.logical_or.reduceat(known, firsts),
    )


def _hours(day: date, calendar: SiteCalendar) -> Iterator[int]:
    """Give where the hours of a day begin [s since 1970]."""
    start, end = calendar.midnight(day), calendar.midnight(day + timedelta(days=1))
    if end - start == DAY_SLOTS * SLOT:
        yield from range(int(start.timestamp()), int(end.timestamp()), HOUR_SLOTS * SLOT_S)
        return
    marks = [calendar.local(mark) for mark in Interval(start, end).marks()]
    yield int(start.timestamp())
    for before, mark in pairwise(marks[:-1]):
        if (before.hour, before.utcoffset()) != (mark.hour, mark.utcoffset()):
            yield int(mark.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
