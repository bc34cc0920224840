"""What is metered and priced: electricity, water, gas and heat, with the units bills are written in.

A meter of any medium ends as integer base units per slot (Wh, mL, kJ: the base units of `metering.quantity`). A billing
unit is a number of them, exactly: 1,000 Wh are a kilowatt-hour, 1,000,000 mL a cubic metre.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction

from allocation_engine.money import show_kwh
from metering.obis import ENERGY_IMPORT, GAS_VOLUME, HEAT_ENERGY, WATER_VOLUME, Obis


class Medium(StrEnum):
    """What flows through a metering point."""

    ELECTRICITY = "electricity"
    WATER = "water"
    GAS = "gas"
    HEAT = "heat"

    @property
    def base_unit(self) -> str:
        """The base unit in which slots of this medium are counted."""
        return _BASE_UNIT[self]

    @property
    def register(self) -> Obis:
        """The register whose differences are what came in."""
        return _REGISTER[self]

    @property
    def billing_units(self) -> dict[str, Fraction]:
        """The units a price may be given for, each as a number of base units."""
        return dict(_BILLING_UNITS[self])


_REGISTER = {
    Medium.ELECTRICITY: ENERGY_IMPORT,
    Medium.WATER: WATER_VOLUME,
    Medium.GAS: GAS_VOLUME,
    Medium.HEAT: HEAT_ENERGY,
}
_BASE_UNIT = {Medium.ELECTRICITY: "Wh", Medium.WATER: "mL", Medium.GAS: "mL", Medium.HEAT: "kJ"}
_BILLING_UNITS = {
    Medium.ELECTRICITY: {"kWh": Fraction(1000)},
    Medium.WATER: {"m3": Fraction(10**6)},
    Medium.GAS: {"m3": Fraction(10**6)},
    Medium.HEAT: {"kWh": Fraction(3600), "MWh": Fraction(3_600_000), "GJ": Fraction(10**6)},
}
GAS_ENERGY_UNIT = "kWh"
"""Gas may also be priced by its energy; then the tariff states how many kWh a cubic metre carries."""


def gas_energy_unit(kwh_per_m3: Fraction) -> Fraction:
    """Give one kWh of gas as a number of mL, for gas of `kwh_per_m3` (condition number x calorific value)."""
    return Fraction(10**6) / kwh_per_m3


def show_amount(amount: int, medium: Medium) -> str:
    """Write base units in the unit people know: `1.234 kWh`, `24.000 m3`, `8.640 GJ`."""
    if medium is Medium.ELECTRICITY:
        return f"{show_kwh(amount)} kWh"
    sign = "-" if amount < 0 else ""
    decimals = f"{abs(amount) % 10**6:06d}".rstrip("0").ljust(3, "0")
    return f"{sign}{abs(amount) // 10**6}.{decimals} {'GJ' if medium is Medium.HEAT else 'm3'}"
