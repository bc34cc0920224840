"""What a kilowatt-hour (or a cubic metre) costs in each slot: dated versions, seasons, kinds of days, half-hour bands.

Band names are free; Chinese tariffs have 尖 sharp, 峰 peak, 平 flat, 谷 valley, 深谷 deep. A band of another tariff
version is another band, even of the same name, so that a month with a price change shows both prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from allocation_engine.calendar_days import HolidayCalendar, plain_kinds
from allocation_engine.errors import TariffIncomplete
from allocation_engine.media import Medium
from allocation_engine.money import divide
from allocation_engine.tiers import Tiers
from metering.interval import SLOT, Interval, SiteCalendar

HALF_HOURS = 48
MAIN_TARIFF = "main"
"""The tariff by which the site itself is supplied with electricity; pools that name no other are priced by it."""
KWH = Fraction(1000)

MonthDay = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Season:
    """When `schedule` holds; it names the band of each half-hour of a local day.

    months   1 to 12; empty where `span` says the days
    days     kinds of days (see `calendar_days`); empty: every day
    span     first and last (month, day), both included; may pass the turn of the year
    """

    months: tuple[int, ...]
    schedule: tuple[str, ...]
    days: tuple[str, ...] = ()
    span: tuple[MonthDay, MonthDay] | None = None

    def holds_in(self, month: int, day: int) -> bool:
        """Say whether the season holds on that day of any year, whatever kind of day it is."""
        if self.span is None:
            return month in self.months
        first, last = self.span
        return first <= (month, day) <= last if first <= last else (month, day) >= first or (month, day) <= last


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """Rates that hold from local midnight of `valid_from` to that of `valid_to`, which is no longer included.

    rates        [10^-6 currency units per billing unit] by band name
    base_units   how many base units of the medium are one billing unit
    """

    id: str
    valid_from: date
    valid_to: date | None
    rates: tuple[tuple[str, int], ...]
    seasons: tuple[Season, ...]
    tiers: Tiers | None = None
    base_units: Fraction = KWH

    def holds(self, day: date) -> bool:
        """Say whether this version holds on local `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def rate_micro(self, band: str) -> int:
        """Rate of `band` [10^-6 currency units per billing unit]."""
        return dict(self.rates)[band]

    def schedule(self, day: date, kinds: Iterable[str]) -> tuple[str, ...]:
        """Give the band of each half-hour of local `day`, which is of `kinds`; raises TariffIncomplete."""
        found = matching_seasons(self.seasons, day.month, day.day, kinds)
        if not found:
            raise TariffIncomplete(f"tariff version {self.id} has no season for month {day.month}")
        return found[0].schedule


def matching_seasons(seasons: Iterable[Season], month: int, day: int, kinds: Iterable[str]) -> list[Season]:
    """Give the seasons of the most particular kind that hold on a day; there should be one."""
    held = [season for season in seasons if season.holds_in(month, day)]
    for kind in kinds:
        named = [season for season in held if kind in season.days]
        if named:
            return named
    return [season for season in held if not season.days]


@dataclass(frozen=True, slots=True)
class Band:
    """One price: the band of one version of one tariff.

    rate_micro   [10^-6 currency units per `per`]
    per          billing unit: `kWh`, `m3`, `GJ`, ...
    base_units   numerator and denominator of the number of base units (Wh, mL, kJ) in it
    """

    version: str
    name: str
    rate_micro: int
    tariff: str = MAIN_TARIFF
    per: str = "kWh"
    base_units: tuple[int, int] = (1000, 1)

    def cost_nano(self, amount: int) -> int:
        """Price `amount` [base units] in 10^-9 currency units: exactly for kWh, else rounded half away from zero."""
        numerator, denominator = self.base_units
        return divide(amount * self.rate_micro * 1000 * denominator, numerator)


@dataclass(frozen=True, slots=True)
class PricedSlots:
    """The band of each slot of a period, as index into `bands`."""

    bands: tuple[Band, ...]
    band_of_slot: tuple[int, ...]

    def changes(self) -> tuple[int, ...]:
        """Give the slots at which another band starts, slot 0 first."""
        slots = self.band_of_slot
        return tuple(i for i in range(len(slots)) if i == 0 or slots[i] != slots[i - 1])


@dataclass(frozen=True, slots=True)
class Tariff:
    """All dated versions of one price list; `currency` is an ISO 4217 code, `per` a billing unit of `medium`."""

    currency: str
    versions: tuple[TariffVersion, ...]
    id: str = MAIN_TARIFF
    medium: Medium = Medium.ELECTRICITY
    per: str = "kWh"
    calendar: HolidayCalendar | None = None

    def version_on(self, day: date) -> TariffVersion:
        """Give the version that holds on local `day`; raises TariffIncomplete."""
        for version in self.versions:
            if version.holds(day):
                return version
        raise TariffIncomplete(f"no tariff version holds on {day}")

    def price(self, calendar: SiteCalendar, period: Interval) -> PricedSlots:
        """Find the band of every slot of `period`; bands come in order of first use."""
        bands: dict[Band, int] = {}
        band_of_slot: list[int] = []
        schedules: dict[date, tuple[int, ...]] = {}
        for index in range(period.slot_count):
            local = calendar.local(period.start + index * SLOT)
            day = local.date()
            if day not in schedules:
                schedules[day] = tuple(bands.setdefault(band, len(bands)) for band in self._bands_of(day))
            band_of_slot.append(schedules[day][local.hour * 2 + local.minute // 30])
        return _without_unused(tuple(bands), band_of_slot)

    def _bands_of(self, day: date) -> Iterable[Band]:
        version = self.version_on(day)
        kinds = plain_kinds(day) if self.calendar is None else self.calendar.kinds(day)
        units = (version.base_units.numerator, version.base_units.denominator)
        for name in version.schedule(day, kinds):
            yield Band(version.id, name, version.rate_micro(name), self.id, self.per, units)


def _without_unused(bands: tuple[Band, ...], band_of_slot: list[int]) -> PricedSlots:
    """Number bands in order of first use; those of hours outside the period are left out."""
    used = {band: index for index, band in enumerate(dict.fromkeys(band_of_slot))}
    return PricedSlots(tuple(bands[band] for band in used), tuple(used[band] for band in band_of_slot))
