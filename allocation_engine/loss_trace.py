"""How a line of shared loss came about, and how anybody computes its amount again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from allocation_engine.money import nano_per_minor
from allocation_engine.tariff import Band
from metering.identity import PartyId, UnitId

LINE_BITS = 20
"""Lines state their loss in 2^-20 Wh: finer than any meter shows, and eight million kWh of it still fit 53 bits."""


@dataclass(frozen=True, slots=True)
class LossTrace:
    """Loss by band, and its price: amount = floor(sum of loss x rate), plus 1 for the largest remainders.

    drawn_wh       own energy that carried it [Wh by band]
    carried        loss in proportion to that energy, slot by slot [2^-20 Wh by band]
    no_load        part of the no-load losses above, by area or capacity [2^-20 Wh by band]
    extra          whether the line got 1 minor unit more than its floor
    cut_remainder  from which remainder on lines did; 0 when nobody did
    cut_id         with just this remainder, line ids up to this did; "" when nobody did
    """

    line_id: str
    drawn_wh: tuple[int, ...]
    carried: tuple[int, ...]
    no_load: tuple[int, ...]
    extra: bool = False
    cut_remainder: int = 0
    cut_id: str = ""

    @property
    def quanta(self) -> tuple[int, ...]:
        """All loss of the line [2^-20 Wh by band]."""
        return tuple(one + other for one, other in zip(self.carried, self.no_load, strict=True))

    def cost_quanta(self, bands: Sequence[Band]) -> int:
        """Its exact cost [2^-20 x 10^-9 currency units]."""
        return sum(one * band.rate_micro for one, band in zip(self.quanta, bands, strict=True))

    def amount_minor(self, bands: Sequence[Band], currency: str) -> int:
        """Compute the amount again."""
        return self.cost_quanta(bands) // cost_unit(currency) + self.extra

    def has_its_extra(self, bands: Sequence[Band], currency: str) -> bool:
        """Say whether the line got its 1 more, or not, by the size of its remainder."""
        remainder = self.cost_quanta(bands) % cost_unit(currency)
        gets = self.cut_id != "" and (-remainder, self.line_id) <= (-self.cut_remainder, self.cut_id)
        return gets == self.extra

    def explains(self, band_energy_wh: Sequence[int]) -> bool:
        """Say whether the line's whole watt-hours are its loss, rounded down or up."""
        return all(whole - (one >> LINE_BITS) in (0, 1) for whole, one in zip(band_energy_wh, self.quanta, strict=True))

    def to_wire(self) -> dict[str, Any]:
        """Give plain content."""
        return {name: list(one) if isinstance(one := getattr(self, name), tuple) else one for name in _FIELDS}

    @classmethod
    def from_wire(cls, content: Mapping[str, Any]) -> LossTrace:
        """Read what `to_wire` gave."""
        parts: dict[str, Any] = {name: content[name] for name in _FIELDS}
        for name in ("drawn_wh", "carried", "no_load"):
            parts[name] = tuple(parts[name])
        return cls(**parts)


_FIELDS = ("line_id", "drawn_wh", "carried", "no_load", "extra", "cut_remainder", "cut_id")


def cost_unit(currency: str) -> int:
    """One minor unit in the unit of `cost_quanta`."""
    return nano_per_minor(currency) << LINE_BITS


def line_id(unit: UnitId | None, party: PartyId) -> str:
    """Name a line within the pool."""
    return f"{unit or 'residual'}/{party}"
