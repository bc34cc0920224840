"""When to read what (pure): marks on the wall clock, meters by their span."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from metering.errors import MeteringError
from provisioning.gateway_config import FittedMeter


class IntervalUnfit(MeteringError):
    """The time between marks is no divisor of an hour that quarter hours are multiples of."""


def check_every(every_s: int) -> timedelta:
    """Give the time between marks; raises IntervalUnfit unless each quarter hour is a mark as well."""
    if every_s < 1 or 900 % every_s != 0:
        raise IntervalUnfit(f"a meter cannot be read every {every_s} s: choose a divisor of 900 s, such as 900 or 300")
    return timedelta(seconds=every_s)


def next_mark(now: datetime, last: datetime | None, every: timedelta) -> datetime:
    """Give the first mark at or after `now` that comes after `last`."""
    every_s = int(every.total_seconds())
    mark = datetime.fromtimestamp(-(-int(now.timestamp() // 1) // every_s) * every_s, UTC)
    if mark < now:
        mark += every
    return mark if last is None or mark > last else last + every


def fitted_at(meters: Iterable[FittedMeter], mark: datetime) -> list[FittedMeter]:
    """Choose the meters whose span holds `mark`, in the order given."""
    return [meter for meter in meters if mark in meter.span]
