"""What kind of day a local day is: a named holiday, a rest day, a working day. Lunar festivals come as dates.

A tariff season may hold on some kinds of days only. The most particular kind wins: a named holiday, then any holiday,
then the day of the week, then weekend or workday, then every day. A weekend that is worked instead of a holiday (调休)
is a workday and nothing else; a holiday that falls on a weekday counts as a weekend where no season names holidays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from allocation_engine.errors import TariffIncomplete

HOLIDAY = "holiday"
WEEKEND = "weekend"
WORKDAY = "workday"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """Holidays of some years, as dates.

    years      which years are known; a day of another year is refused rather than taken for an ordinary one
    holidays   each holiday with the name it is called by, in order of date
    workdays   weekends that are worked
    """

    id: str
    years: frozenset[int]
    holidays: tuple[tuple[date, str], ...]
    workdays: frozenset[date]

    @property
    def names(self) -> frozenset[str]:
        """The names of all holidays."""
        return frozenset(name for _, name in self.holidays)

    def kinds(self, day: date) -> tuple[str, ...]:
        """Give the kinds `day` is of, the most particular first; raises TariffIncomplete for an unknown year."""
        if day.year not in self.years:
            known = ", ".join(str(year) for year in sorted(self.years))
            raise TariffIncomplete(f"calendar {self.id} knows no holidays of {day.year}; it knows {known}")
        name = dict(self.holidays).get(day)
        if name is not None:
            return (name, HOLIDAY, WEEKEND)
        return (WORKDAY,) if day in self.workdays else plain_kinds(day)


def plain_kinds(day: date) -> tuple[str, ...]:
    """Give the kinds of a day that is neither a holiday nor a worked weekend."""
    weekday = day.weekday()
    return (WEEKDAYS[weekday], WEEKEND if weekday >= _SATURDAY else WORKDAY)
