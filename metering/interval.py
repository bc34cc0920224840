"""Half-open UTC intervals, and the calendar of a site that cuts days and months into slots.

A slot is 15 minutes of a site's local day. A local day has 96 slots, or 92 and 100 on the days when clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metering.errors import MeteringError

SLOT = timedelta(minutes=15)
SLOT_S = 900


class IntervalInvalid(MeteringError):
    """An interval's ends are naive, or its end is not after its start."""


class CalendarInvalid(MeteringError):
    """A time zone, a period or a slot number does not exist."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The instants t with `start` <= t < `end`, both aware; kept in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise IntervalInvalid("both ends of an interval must carry a time zone")
        if self.end <= self.start:
            raise IntervalInvalid(f"the end {self.end} is not after the start {self.start}")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def overlaps(self, other: Interval) -> bool:
        """Say whether any instant lies in both."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Interval) -> Interval | None:
        """Give the instants in both, or None where there are none."""
        if not self.overlaps(other):
            return None
        return Interval(max(self.start, other.start), min(self.end, other.end))

    @property
    def duration(self) -> timedelta:
        """The length of the interval."""
        return self.end - self.start

    @property
    def slot_count(self) -> int:
        """Number of whole 15-minute slots in the interval."""
        return int(self.duration // SLOT)

    def marks(self) -> Iterator[datetime]:
        """Give every 15-minute instant from start to end, both included: the instants to read meters at."""
        for index in range(self.slot_count + 1):
            yield self.start + index * SLOT


def floor_to_mark(instant: datetime) -> datetime:
    """Give the newest quarter hour at or before `instant`, in UTC."""
    seconds = int(instant.timestamp()) // SLOT_S * SLOT_S
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class SiteCalendar:
    """Days, months and slots in the local time of one site; `zone` is an IANA name."""

    zone: str

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise CalendarInvalid(f"unknown time zone {self.zone!r}; use an IANA name such as Asia/Shanghai") from error

    @property
    def tz(self) -> ZoneInfo:
        """The zone's rules."""
        return ZoneInfo(self.zone)

    def local(self, instant: datetime) -> datetime:
        """Express `instant` in local time."""
        return instant.astimezone(self.tz)

    def midnight(self, day: date) -> datetime:
        """Give the first instant of local `day`, in UTC."""
        return datetime(day.year, day.month, day.day, tzinfo=self.tz).astimezone(UTC)

    def day(self, day: date) -> Interval:
        """Give local `day` as an interval of 23, 24 or 25 hours."""
        return Interval(self.midnight(day), self.midnight(day + timedelta(days=1)))

    def slots_in_day(self, day: date) -> int:
        """Number of slots of local `day`: 96, or 92 and 100 when clocks change."""
        return self.day(day).slot_count

    def slot(self, day: date, index: int) -> Interval:
        """Give slot `index` (from 0) of local `day`; raises CalendarInvalid if the day has no such slot."""
        if not 0 <= index < self.slots_in_day(day):
            raise CalendarInvalid(f"{day} has {self.slots_in_day(day)} slots; there is no slot {index}")
        start = self.midnight(day) + index * SLOT
        return Interval(start, start + SLOT)

    def month(self, period: str) -> Interval:
        """Give the local month written `YYYY-MM`; raises CalendarInvalid."""
        try:
            first = date.fromisoformat(f"{period}-01")
        except ValueError as error:
            raise CalendarInvalid(f"{period!r} is not a month of the form YYYY-MM") from error
        following = (first + timedelta(days=31)).replace(day=1)
        return Interval(self.midnight(first), self.midnight(following))

    def period(self, label: str) -> Interval:
        """Give an accounting period: a local month (`2026-07`) or local days, both included (`2026-07-01--2026-07-03`).

        Raises CalendarInvalid. The double hyphen is ISO 8601's separator for places where a slash cannot stand.
        """
        first, separator, last = label.partition("--")
        if not separator:
            return self.month(label)
        try:
            return Interval(self.day(date.fromisoformat(first)).start, self.day(date.fromisoformat(last)).end)
        except (ValueError, IntervalInvalid) as error:
            raise CalendarInvalid(f"{label!r} is not a span of days of the form YYYY-MM-DD--YYYY-MM-DD") from error

    def days(self, interval: Interval) -> list[date]:
        """List the local days that `interval` touches, in order."""
        first = self.local(interval.start).date()
        last = self.local(interval.end - timedelta(microseconds=1)).date()
        return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
