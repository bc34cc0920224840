"""Who is weighed in one stage of a division, by row: groups of units, or parties in units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from allocation_engine.errors import InputsInvalid, PeriodNotReady
from allocation_engine.inputs import Int64Array, PeriodInputs
from allocation_engine.keys import Group
from allocation_engine.layers import IntegerArray, Span, Takers, whole_array
from allocation_engine.weighing import RowSpans
from metering.identity import NodeId, UnitId


@dataclass(frozen=True, slots=True, eq=False)
class Subjects:
    """Everybody who takes part in one stage.

    ids        of the groups, or of the takers
    names      what tables of numbers call them: the groups, or the units
    units      of each: one unit of a taker
    nodes      what meters each as a whole; None where the meters of its units add up
    area_cm2   shape (rows,) [cm2]
    slots      shape (rows, spans), slots of each span in which it takes part
    stays      shape (stays, 3): row, first slot, end; in order of rows
    outer      shape (rows,): the group of the stage before in which each lies; -1 for none
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    units: tuple[tuple[UnitId, ...], ...]
    nodes: tuple[NodeId | None, ...]
    area_cm2: IntegerArray
    slots: Int64Array
    stays: Int64Array
    outer: Int64Array

    @classmethod
    def of_takers(cls, takers: Takers, outer: Sequence[Sequence[UnitId]]) -> Subjects:
        """Take parties in units, each in the one of `outer` that its unit lies in."""
        place = {unit: number for number, units in enumerate(outer) for unit in units}
        return cls(
            ids=takers.ids,
            names=takers.units,
            units=tuple((unit,) for unit in takers.units),
            nodes=(None,) * len(takers.ids),
            area_cm2=takers.area_cm2,
            slots=takers.slots,
            stays=takers.stays,
            outer=np.array([place.get(unit, -1) for unit in takers.units], np.int64),
        )

    @classmethod
    def of_groups(
        cls, groups: Sequence[Group], inputs: PeriodInputs, spans: Sequence[Span], outer: Sequence[Sequence[UnitId]]
    ) -> Subjects:
        """Take groups for the whole period, each in the one of `outer` that holds all its units."""
        place = {unit: number for number, units in enumerate(outer) for unit in units}
        lies_in = [{place.get(unit, -1) for unit in group.units} for group in groups]
        lengths = np.array([end - first for _, first, end in spans], np.int64)
        return cls(
            ids=tuple(group.id for group in groups),
            names=tuple(group.id for group in groups),
            units=tuple(group.units for group in groups),
            nodes=tuple(group.node for group in groups),
            area_cm2=whole_array([sum(inputs.unit(unit).area_cm2 for unit in group.units) for group in groups]),
            slots=np.repeat(lengths[np.newaxis], len(groups), axis=0),
            stays=np.array([(row, 0, inputs.slot_count) for row in range(len(groups))], np.int64).reshape(-1, 3),
            outer=np.array([one.pop() if len(one) == 1 else -1 for one in lies_in], np.int64),
        )

    def only(self, rows: Int64Array) -> Subjects:
        """Keep some rows, given in order."""
        new_row = np.full(len(self.ids), -1, np.int64)
        new_row[rows] = np.arange(rows.size)
        stays = self.stays[new_row[self.stays[:, 0]] >= 0]
        listed = rows.tolist()
        return Subjects(
            ids=tuple(self.ids[row] for row in listed),
            names=tuple(self.names[row] for row in listed),
            units=tuple(self.units[row] for row in listed),
            nodes=tuple(self.nodes[row] for row in listed),
            area_cm2=self.area_cm2[rows],
            slots=self.slots[rows],
            stays=np.column_stack([new_row[stays[:, 0]], stays[:, 1:]]),
            outer=self.outer[rows],
        )

    def metered(self, inputs: PeriodInputs, meters: Mapping[UnitId, NodeId]) -> tuple[Int64Array, RowSpans]:
        """Give the stays of all meters that count: the row of each one's subject, and where its energy stands.

        meters   what meters a unit where that is not its own node
        Raises   PeriodNotReady without a meter; InputsInvalid where different media would be added up
        """
        nodes = [self._nodes(subject, inputs, meters) for subject in range(len(self.ids))]
        rows = [inputs.row(node) for some in nodes for node in some]
        media = {inputs.nodes[row].medium for row in rows}
        if len(media) > 1:
            raise InputsInvalid(
                f"a key counts {' and '.join(sorted(media))} together; weigh them in pools of their own"
            )
        counts = np.array([len(some) for some in nodes], np.int64)
        firsts = np.cumsum(counts) - counts
        subjects, starts, ends = np.repeat(self.stays, counts[self.stays[:, 0]], axis=0).T
        # The meters of one stay stand next to each other, as they do in `rows`.
        changes = np.flatnonzero(np.diff(np.repeat(np.arange(len(self.stays)), counts[self.stays[:, 0]]), prepend=-1))
        numbers = np.arange(subjects.size) - np.repeat(changes, np.diff(changes, append=subjects.size))
        places = np.array(rows, np.int64)[firsts[subjects] + numbers]
        return subjects, RowSpans(
            places, np.zeros_like(places), np.ascontiguousarray(starts), np.ascontiguousarray(ends)
        )

    def _nodes(self, subject: int, inputs: PeriodInputs, meters: Mapping[UnitId, NodeId]) -> list[NodeId]:
        """Name the nodes that meter one of them."""
        node = self.nodes[subject]
        if node is not None:
            return [node]
        nodes = []
        for unit in self.units[subject]:
            own = meters.get(unit) or inputs.unit(unit).node
            if own is None:
                raise PeriodNotReady((f"unit {unit} has no meter of its own, and the key counts its energy",))
            nodes.append(own)
        return nodes
