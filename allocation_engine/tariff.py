"""What a kilowatt-hour costs in each slot: dated versions, seasons by month, bands by half-hour of local time.

Band names are free; Chinese tariffs have 尖 sharp, 峰 peak, 平 flat, 谷 valley, 深谷 deep. A band of another tariff
version is another band, even of the same name, so that a month with a price change shows both prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from allocation_engine.errors import TariffIncomplete
from metering.interval import SLOT, Interval, SiteCalendar

HALF_HOURS = 48


@dataclass(frozen=True, slots=True)
class Season:
    """The months 1 to 12 for which `schedule` holds; it names the band of each half-hour of a local day."""

    months: tuple[int, ...]
    schedule: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TariffVersion:
    """Rates that hold from local midnight of `valid_from` to that of `valid_to`, which is no longer included.

    rates   [10^-6 currency units per kWh] by band name
    """

    id: str
    valid_from: date
    valid_to: date | None
    rates: tuple[tuple[str, int], ...]
    seasons: tuple[Season, ...]

    def holds(self, day: date) -> bool:
        """Say whether this version holds on local `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def rate_micro_per_kwh(self, band: str) -> int:
        """Rate of `band` [10^-6 currency units per kWh]."""
        return dict(self.rates)[band]

    def schedule(self, day: date) -> tuple[str, ...]:
        """Give the band of each half-hour of local `day`; raises TariffIncomplete."""
        for season in self.seasons:
            if day.month in season.months:
                return season.schedule
        raise TariffIncomplete(f"tariff version {self.id} has no season for month {day.month}")


@dataclass(frozen=True, slots=True)
class Band:
    """One price: the band of one tariff version."""

    version: str
    name: str
    rate_micro_per_kwh: int


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
    """All dated versions of the price of energy at a site; `currency` is an ISO 4217 code."""

    currency: str
    versions: tuple[TariffVersion, ...]

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
        for index in range(period.slot_count):
            local = calendar.local(period.start + index * SLOT)
            version = self.version_on(local.date())
            name = version.schedule(local.date())[local.hour * 2 + local.minute // 30]
            band = Band(version.id, name, version.rate_micro_per_kwh(name))
            band_of_slot.append(bands.setdefault(band, len(bands)))
        return PricedSlots(tuple(bands), tuple(band_of_slot))
