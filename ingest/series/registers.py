"""What meters showed, as series: gauges at instants, counters by what they advanced between two of them.

For quantities that settlement does not make into energy, such as tariff registers, power or voltage, and to compare it
with what meters showed. Nothing is estimated here: where a counter was not read at both ends, where it fell without a
rollover that explains it, and where the meter was exchanged, there is a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from allocation_engine.intervals import ROLLOVER_REACH
from allocation_engine.kernels import Int64Array
from device_profiles.catalogue import Catalogue
from device_profiles.profile import Channel, ChannelKind, Side
from ingest.metering_points import RegisterPlace
from ingest.series.quality import PointQuality, UInt8Array
from ingest.store.series import Standings
from metering.obis import Obis
from metering.quantity import QuantityNotExact
from provisioning.site import Meter

OnGrid = tuple[Int64Array, UInt8Array]
"""An amount in a base unit and a PointQuality for each instant or span of a grid."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that can be asked of a node: its OBIS code, base unit, and whether it counts or shows the moment.

    decimals   amounts are whole numbers of 10^-decimals of `unit`; 0 but where a model shows less than one, as 0.1 W
    """

    obis: Obis
    unit: str
    kind: ChannelKind
    decimals: int = 0


ByMeter = Sequence[tuple[Meter, Sequence[Standings]]]
"""Each meter of a node with what it showed, one `Standings` for each form of its readings."""


def quantities(catalogue: Catalogue, meters: Iterable[Meter]) -> tuple[Quantity, ...]:
    """List what the models of these meters measure, by OBIS code, each once; raises ProfileUnknown.

    A meter's clock and the bits of its state are no quantities: they have no least, no most and no sum.
    """
    found: dict[Obis, Quantity] = {}
    for meter in meters:
        for group in catalogue.by_id(meter.profile).groups:
            for channel in group.channels:
                if channel.kind not in (ChannelKind.COUNTER, ChannelKind.GAUGE):
                    continue
                one = Quantity(channel.obis, channel.unit.base_symbol, channel.kind, _decimals(channel))
                first = found.setdefault(channel.obis, one)
                found[channel.obis] = replace(first, decimals=max(first.decimals, one.decimals))
    return tuple(found[obis] for obis in sorted(found))


def gauges(catalogue: Catalogue, grid: Int64Array, shown: ByMeter, decimals: int = 0) -> OnGrid:
    """Give what gauges showed at each instant of `grid` [s since 1970, ascending]; raises QuantityNotExact."""
    made = _nothing(grid.size)
    for meter, registers in shown:
        amounts, quality = _at(catalogue, grid, registers, decimals)
        factor = _ratio(catalogue, meter, registers)
        _take(made, _fitted(meter, grid), (amounts * factor, quality))
    return made


def advances(catalogue: Catalogue, edges: Int64Array, shown: ByMeter, decimals: int = 0) -> OnGrid:
    """Give what counters advanced between successive `edges` [s since 1970, ascending]; raises QuantityNotExact."""
    made = _nothing(edges.size - 1)
    for meter, registers in shown:
        amounts, quality = _at(catalogue, edges, registers, decimals)
        advanced = np.diff(amounts)
        weakest = np.maximum(quality[:-1], quality[1:])
        modulus = _modulus(catalogue, registers, decimals)
        fell = (advanced < 0) & (weakest < PointQuality.MISSING)
        if modulus is not None:
            rolled = fell & (advanced + modulus <= modulus // ROLLOVER_REACH)
            advanced[rolled] += modulus
            weakest[rolled] = PointQuality.ROLLOVER
            fell &= ~rolled
        weakest[fell] = PointQuality.HELD
        inside = _fitted(meter, edges[:-1]) & _fitted(meter, edges[1:], to_end=True)
        _take(made, inside, (advanced * _ratio(catalogue, meter, registers), weakest))
    return made


def _nothing(size: int) -> OnGrid:
    return np.zeros(size, np.int64), np.full(size, PointQuality.UNSETTLED, np.uint8)


def _take(made: OnGrid, where: npt.NDArray[np.bool_], given: OnGrid) -> None:
    """Lay what one meter says over what is known less well."""
    better = where & (given[1] < made[1])
    made[0][better] = given[0][better]
    made[1][better] = given[1][better]


def _at(catalogue: Catalogue, grid: Int64Array, registers: Sequence[Standings], decimals: int) -> OnGrid:
    """Give amounts at each instant of `grid`; HELD where two readings of one instant differ, or one is out of range."""
    least = np.full(grid.size, np.iinfo(np.int64).max)
    most = np.full(grid.size, np.iinfo(np.int64).min)
    damaged = np.zeros(grid.size, bool)
    for register in registers:
        channel = _channel(catalogue, register.place)
        low, high = channel.limits
        places = np.minimum(np.searchsorted(grid, register.at_s), grid.size - 1)
        sound = (register.mantissas >= low) & (register.mantissas <= high)
        here = grid[places] == register.at_s
        amounts = register.mantissas * _step(channel, decimals)
        np.minimum.at(least, places[here & sound], amounts[here & sound])
        np.maximum.at(most, places[here & sound], amounts[here & sound])
        damaged[places[here & ~sound]] = True
    quality = np.where(least > most, PointQuality.MISSING, PointQuality.MEASURED).astype(np.uint8)
    quality[(least < most) | damaged] = PointQuality.HELD
    return np.where(quality == PointQuality.MEASURED, least, 0), quality


def _channel(catalogue: Catalogue, place: RegisterPlace) -> Channel:
    return catalogue.by_hash(place.profile_hash).groups[place.group].channels[place.position]


def _decimals(channel: Channel) -> int:
    """Give the decimals of the base unit that one step of the register has."""
    step = Fraction(10) ** channel.exponent * channel.unit.factor
    return next(decimals for decimals in range(20) if (step * 10**decimals).denominator == 1)


def _step(channel: Channel, decimals: int) -> int:
    """Give one step of the register in 10^-decimals of its base unit; raises QuantityNotExact."""
    step = Fraction(10) ** (channel.exponent + decimals) * channel.unit.factor
    if step.denominator != 1:
        raise QuantityNotExact(f"{channel.obis} is kept finer by an earlier profile than its meters show it now")
    return step.numerator


def _modulus(catalogue: Catalogue, registers: Sequence[Standings], decimals: int) -> int | None:
    """Give the first amount that the register cannot show."""
    for register in registers:
        channel = _channel(catalogue, register.place)
        return None if channel.modulus is None else channel.modulus * _step(channel, decimals)
    return None


def _ratio(catalogue: Catalogue, meter: Meter, registers: Sequence[Standings]) -> int:
    """Give by what transformers multiply the quantity, where the register counts behind them."""
    for register in registers:
        if catalogue.by_hash(register.place.profile_hash).side is Side.SECONDARY:
            unit = _channel(catalogue, register.place).unit.base_symbol
            return {"mV": meter.pt, "mA": meter.ct, "mHz": 1, "1/1000": 1}.get(unit, meter.multiplier)
    return 1


def _fitted(meter: Meter, instants: Int64Array, *, to_end: bool = False) -> npt.NDArray[np.bool_]:
    """Say at which instants the meter was fitted, the last one of its span included if `to_end`."""
    start, end = (_seconds(edge) for edge in (meter.span.start, meter.span.end))
    since = np.ones(instants.size, bool) if start is None else instants >= start
    if end is None:
        return since
    return since & ((instants <= end) if to_end else (instants < end))


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
