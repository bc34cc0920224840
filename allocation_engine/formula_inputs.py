"""What the inputs of a formula are in one period, laid out in rows (units or floors) and columns (days or slots)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from allocation_engine.errors import InputsInvalid, PeriodNotReady
from allocation_engine.formula.dimensions import measured_in
from allocation_engine.formula.exact_arrays import Ints, Vector, common_multiple, whole
from allocation_engine.formula.products import Frame, Product, Products, constant, divide, multiply
from allocation_engine.formula.program import Program
from allocation_engine.formula.proven import Formula
from allocation_engine.formula.setting import Meaning, Pace, Space
from allocation_engine.formula.terms import Input, MeterOf
from allocation_engine.layers import Span
from allocation_engine.media import Medium
from allocation_engine.pricing import PricedPeriod
from allocation_engine.unit_numbers import UnitNumbers
from metering.identity import NodeId, UnitId

_SLOTS_AN_HOUR = Fraction(4)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a unit with its meter and the floor it stands on (None where there is none), or a floor as a whole.

    area_cm2, floor_area_cm2   of the unit (or the floor), and of the floor [cm2]
    """

    unit: UnitId | None
    node: NodeId | None
    floor: str | None
    area_cm2: int
    floor_area_cm2: int


@dataclass(frozen=True, eq=False)
class FormulaInputs:
    """The inputs of one formula.

    days              the columns: days, or grain spans where nothing changes within one
    day_of_slot       the column of each slot; of each day where there are no slots
    main_delta_nano   by day, for weights; None where it is the whole of what is passed on
    """

    formula: Formula
    priced: PricedPeriod
    rows: Sequence[Row]
    days: Sequence[Span]
    day_of_slot: Ints
    main_delta_nano: Sequence[int] | None
    _known: dict[str, Products] = field(default_factory=dict)

    def evaluate(self, first: int, end: int) -> tuple[Products, Frame]:
        """Run the formula for rows first <= row < end; raises FormulaUndefined, SeriesIncomplete, PeriodNotReady."""
        frame = Frame(end - first, self.day_of_slot)
        program = Program(self.formula.definitions, self.formula.term)
        return program.run(self._feed(first, end, frame), frame), frame

    def _feed(self, first: int, end: int, frame: Frame) -> Callable[[Input | MeterOf], Products]:
        def give(one: Input | MeterOf) -> Products:
            if isinstance(one, Input) and one.name == "energy":
                return self._energy(first, end)
            if isinstance(one, Input) and one.name == "load":
                rated = self.formula.setting.rated
                if rated is None:
                    raise PeriodNotReady(("the formula speaks of load, and no rated power is named",))
                power = multiply(constant(_SLOTS_AN_HOUR), self._energy(first, end), frame)
                return divide(power, _cut(self._kept(rated.name, lambda: self._table(rated)), first, end), frame)
            return _cut(self._kept(str(one), lambda: self._whole(one)), first, end)

        return give

    def prepare(self) -> None:
        """Lay out what does not go by rows and slots, before rows are dealt out to threads."""
        rated = self.formula.setting.rated
        if self.formula.inputs & {"energy", "load"}:
            self._energy(0, 0)
        if "load" in self.formula.inputs and rated is not None:
            self._kept(rated.name, lambda: self._table(rated))
        for name in self.formula.inputs - {"energy", "load"}:
            self._kept(str(Input(name)), lambda name=name: self._whole(Input(name)))  # type: ignore[misc]

    def _kept(self, name: str, make: Callable[[], Products]) -> Products:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def _whole(self, one: Input | MeterOf) -> Products:
        """Give an input for all rows."""
        if isinstance(one, MeterOf):
            row = self._row(NodeId(one.node))
            return (Product(columns=Vector.integers(self.priced.inputs.import_wh[row].astype(np.int64))),)
        sources = self.formula.setting.sources
        if one.name in sources.numbers:
            return self._table(sources.numbers[one.name])
        if one.name in sources.series:
            series = sources.series[one.name]
            numbers = [series.on(day).number for day, _, _ in self.days]
            return multiply(
                (Product(columns=Vector.of(numbers)),),
                constant(measured_in(series.unit).scale),
                Frame(1, self.day_of_slot),
            )
        match one.name:
            case "unit_area":
                return (Product(rows=Vector.integers(whole(row.area_cm2 for row in self.rows))),)
            case "floor_area":
                return (Product(rows=Vector.integers(whole(row.floor_area_cm2 for row in self.rows))),)
            case "total_area":
                counted = set(self.formula.setting.units)
                return constant(Fraction(sum(unit.area_cm2 for unit in self.priced.inputs.units if unit.id in counted)))
            case "times":
                return self._times()
        if self.main_delta_nano is None:
            return constant(Fraction(1))
        return (Product(columns=Vector.integers(whole(map(abs, self.main_delta_nano)))),)

    def _energy(self, first: int, end: int) -> Products:
        return (Product(cells=self.priced.inputs.import_wh[self._metered[first:end]]),)

    @cached_property
    def _metered(self) -> Ints:
        """The row of the energies that each row of the formula has."""
        bare = [str(row.unit) for row in self.rows if row.node is None]
        if bare:
            told = f"{', '.join(bare)} has no meter of its own, and the formula counts its energy"
            raise PeriodNotReady((told,))
        return np.array([self._row(row.node) for row in self.rows if row.node is not None], np.int64)

    def _row(self, node: NodeId) -> int:
        row = self.priced.inputs.row(node)
        medium = self.priced.inputs.nodes[row].medium
        if medium is not Medium.ELECTRICITY:
            raise InputsInvalid(f"a formula counts {node} in kWh, and it meters {medium}")
        return row

    def _times(self) -> Products:
        setting = self.formula.setting
        known = dict(setting.times)
        mine = [band.tariff == setting.times_of for band in self.priced.bands]
        missing = {band.name for band, own in zip(self.priced.bands, mine, strict=True) if own} - set(known)
        if missing:
            raise PeriodNotReady((f"no time coefficient for the hours of {', '.join(sorted(missing))}",))
        by_band = Vector.of(
            known[band.name] if own else Fraction(0) for band, own in zip(self.priced.bands, mine, strict=True)
        )
        places = self.priced.bands_of_slots[setting.times_of]
        return (Product(columns=Vector(by_band.tops[places], by_band.bottoms[places])),)

    def _table(self, table: UnitNumbers) -> Products:
        """Lay out a table of numbers: one factor by row, or a matrix by day where numbers change."""
        meaning = self.formula.setting.table_meaning(table, 0)
        by_floor = isinstance(meaning, Meaning) and meaning.space is Space.FLOOR
        subjects = [str(row.floor if by_floor else row.unit) for row in self.rows]
        scale = constant(measured_in(table.unit).scale)
        frame = Frame(len(self.rows), self.day_of_slot)
        if isinstance(meaning, Meaning) and meaning.pace is Pace.NONE:
            first = self.days[0][0]
            return multiply((Product(rows=Vector.of(table.on(one, first) for one in subjects)),), scale, frame)
        numbers = [[table.on(one, day) for day, _, _ in self.days] for one in subjects]
        below = whole(common_multiple(whole(number.denominator for number in row)) for row in numbers)
        tops = [
            [number.numerator * (int(common) // number.denominator) for number in row]
            for row, common in zip(numbers, below, strict=True)
        ]
        cells = whole(top for row in tops for top in row).reshape(len(tops), len(self.days))
        return multiply((Product(Vector(whole([1] * len(tops)), below), cells=cells),), scale, frame)


def _cut(products: Products, first: int, end: int) -> Products:
    """Keep the rows first <= row < end."""
    return tuple(
        Product(
            one.rows if one.rows.size == 1 else Vector(one.rows.tops[first:end], one.rows.bottoms[first:end]),
            one.columns,
            None if one.cells is None else one.cells[first:end],
        )
        for one in products
    )
