"""A period with its prices: the slots of the inputs laid over the bands of the tariff, ready for adding up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.inputs import Int64Array, Occupancy, PeriodInputs, UInt8Array
from allocation_engine.kernels import group_energy
from allocation_engine.pools import Measure
from allocation_engine.tariff import Band, PricedSlots, Tariff
from metering.identity import NodeId, PartyId, UnitId


@dataclass(frozen=True, slots=True, eq=False)
class PricedPeriod:
    """Inputs, bands, and the band of each slot as an array."""

    inputs: PeriodInputs
    currency: str
    bands: tuple[Band, ...]
    band_of_slot: Int64Array

    @classmethod
    def of(cls, inputs: PeriodInputs, tariff: Tariff) -> PricedPeriod:
        """Price every slot of the period; raises TariffIncomplete."""
        priced: PricedSlots = tariff.price(inputs.calendar, inputs.period)
        return cls(inputs, tariff.currency, priced.bands, np.array(priced.band_of_slot, np.int64))

    def energy(self, nodes: Iterable[NodeId], deduct: Iterable[NodeId], measure: Measure) -> Int64Array:
        """Slot energy of `nodes` less that of `deduct` [Wh]."""
        energy_wh = np.zeros(self.inputs.slot_count, np.int64)
        for sign, group in ((1, nodes), (-1, deduct)):
            for node in group:
                row = self.inputs.row(node)
                energy_wh += sign * self.inputs.import_wh[row]
                if measure is Measure.NET:
                    energy_wh -= sign * self.inputs.export_wh[row]
        return energy_wh

    def quality(self, nodes: Iterable[NodeId]) -> UInt8Array:
        """Quality of every slot of `nodes`, one row each."""
        return self.inputs.quality[[self.inputs.row(node) for node in nodes]]

    def by_band(self, energy_wh: Int64Array, group_of_slot: Int64Array, group_count: int) -> list[tuple[int, ...]]:
        """Add up energy by group (-1: none) and band [Wh]."""
        sums = group_energy(energy_wh, group_of_slot, self.band_of_slot, group_count, len(self.bands))
        return [tuple(int(cell) for cell in row) for row in sums]

    def cost_nano(self, band_energy_wh: Sequence[int]) -> int:
        """Price energy by band [10^-9 currency units], exactly."""
        return sum(band.cost_nano(wh) for wh, band in zip(band_energy_wh, self.bands, strict=True))

    def occupants(self, unit: UnitId) -> dict[PartyId, tuple[Occupancy, ...]]:
        """Give the occupancies of `unit` by party, parties sorted."""
        spans: dict[PartyId, list[Occupancy]] = {}
        for one in self.inputs.occupancies_of(unit):
            spans.setdefault(one.party, []).append(one)
        return {party: tuple(spans[party]) for party in sorted(spans)}


def spread(spans: Iterable[tuple[int, int, int]], slot_count: int) -> Int64Array:
    """Lay groups over slots: each (group, first, end) fills its slots, the rest is -1."""
    group_of_slot = np.full(slot_count, -1, np.int64)
    for group, first, end in spans:
        group_of_slot[first:end] = group
    return group_of_slot
