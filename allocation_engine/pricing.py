"""A period with its prices: the slots of the inputs laid over the bands of the tariff, ready for adding up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from allocation_engine.inputs import Int64Array, Occupancy, PeriodInputs, UInt8Array
from allocation_engine.kernels import group_energy
from allocation_engine.pools import Measure
from allocation_engine.prices import Prices
from allocation_engine.span_sums import sum_spans
from allocation_engine.sparse_rows import SparseRows
from allocation_engine.supply_charges import ChargedCost, charge_supply
from allocation_engine.tariff import MAIN_TARIFF, Band, PricedSlots, Tariff
from allocation_engine.weighing import BandRuns, RowSpans
from metering.identity import NodeId, PartyId, UnitId


@dataclass(frozen=True, slots=True, eq=False)
class PricedPeriod:
    """Inputs, the bands of all tariffs, and by tariff the band of each slot as an array."""

    inputs: PeriodInputs
    currency: str
    tariffs: dict[str, Tariff]
    bands: tuple[Band, ...]
    bands_of_slots: dict[str, Int64Array]
    charges: dict[str, ChargedCost]

    @classmethod
    def of(cls, inputs: PeriodInputs, *tariffs: Tariff) -> PricedPeriod:
        """Price every slot of the period by each tariff; raises TariffIncomplete."""
        bands: list[Band] = []
        bands_of_slots = {}
        for tariff in tariffs:
            priced: PricedSlots = tariff.price(inputs.calendar, inputs.period)
            bands_of_slots[tariff.id] = np.array(priced.band_of_slot, np.int64) + len(bands)
            bands += priced.bands
        named = {tariff.id: tariff for tariff in tariffs}
        return cls(inputs, tariffs[0].currency, named, tuple(bands), bands_of_slots, {})

    def with_charges(self, prices: Prices) -> PricedPeriod:
        """Give the same with the supply charges of the period; raises PeriodNotReady."""
        energy_nano = {charge.node: self._import_nano(charge.node) for charge in prices.charges}
        charges = charge_supply(
            prices.charges, prices.invoices, self.inputs, currency=self.currency, energy_nano=energy_nano
        )
        return replace(self, charges=charges)

    def _import_nano(self, node: NodeId) -> int:
        """What the import of a node costs by the main tariff, without tiers [10^-9 currency units]."""
        whole = spread([(0, 0, self.inputs.slot_count)], self.inputs.slot_count)
        return self.cost_nano(self.by_band(self.energy([node], (), Measure.IMPORT), whole, 1)[0])

    def band_runs(self) -> tuple[tuple[int, int], ...]:
        """Give each slot at which another band of a tariff starts, with that band; tariff by tariff."""
        return tuple(
            (slot, int(slots[slot]))
            for slots in self.bands_of_slots.values()
            for slot in range(slots.size)
            if slot == 0 or slots[slot] != slots[slot - 1]
        )

    @property
    def band_of_slot(self) -> Int64Array:
        """The band of each slot by the main tariff."""
        return self.bands_of_slots[MAIN_TARIFF]

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

    def by_band(
        self, energy_wh: Int64Array, group_of_slot: Int64Array, group_count: int, tariff: str = MAIN_TARIFF
    ) -> list[tuple[int, ...]]:
        """Add up energy by group (-1: none) and band of a tariff [Wh]."""
        sums = group_energy(energy_wh, group_of_slot, self.bands_of_slots[tariff], group_count, len(self.bands))
        return [tuple(int(cell) for cell in row) for row in sums]

    def by_band_of_spans(
        self, spans: RowSpans, group_count: int, measure: Measure, tariff: str = MAIN_TARIFF
    ) -> list[tuple[int, ...]]:
        """Add up the energy of spans of single rows by group and band of a tariff [Wh]."""
        runs = BandRuns.of(self.bands_of_slots[tariff], len(self.bands))
        energy_wh = sum_spans(self.inputs.import_wh, spans, runs)
        if measure is Measure.NET:
            export = SparseRows.of(self.inputs.export_wh)
            energy_wh -= sum_spans(export.kept, replace(spans, rows=export.places[spans.rows]), runs)
        sums = np.zeros((group_count, len(self.bands)), np.int64)
        np.add.at(sums, spans.groups, energy_wh)
        return list(map(tuple, sums.tolist()))

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
