"""When to read what (pure): marks on the wall clock, meters by their span, and whether a sweep fits between marks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from device_profiles.read_plan import Dlt645Read, ReadRequest
from metering.errors import MeteringError
from provisioning.gateway_config import FittedMeter

_MODBUS_OVERHEAD_OCTETS = 8 + 5
"""Request of 8 octets; reply with address, function, count and CRC (Modbus over serial line 1.02, 2.5.1)."""
_DLT645_OCTETS = 20 + 28
"""Request with four wake octets; reply with 12 octets after the length (DL/T 645-2007, 5.2)."""


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


def sweep_estimate_s(reads: Iterable[tuple[ReadRequest, float]], char_s: float, gap_s: float) -> float:
    """Estimate the time of a sweep on a serial line [s].

    reads    each request with the longest turnaround of its meter [s]
    char_s   time of one character on the line [s]
    gap_s    silence between frames [s]
    """
    total_s = 0.0
    for request, reply_s in reads:
        octets = _DLT645_OCTETS if isinstance(request, Dlt645Read) else _MODBUS_OVERHEAD_OCTETS + 2 * request.count
        total_s += octets * char_s + reply_s + 2 * gap_s
    return total_s
