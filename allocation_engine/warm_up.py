"""Compiles every kernel, for both widths of energy, to disk: `python -m allocation_engine.warm_up`.

Run once after an installation, so that the first period that is closed does not wait for the compiler.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from allocation_engine.apportion import apportion_rows
from allocation_engine.kernels import IntArray, add_rows, group_energy, peak_rows
from allocation_engine.ladder import FleetMeters, settle_fleet
from allocation_engine.layers import Layer
from allocation_engine.loss_factors import find_loss_factors
from allocation_engine.row_sums import RowSums
from allocation_engine.span_sums import sum_cells
from allocation_engine.tree import TOP, span_of
from allocation_engine.weighing import BandRuns, RowSpans, weigh_exactly


def warm_up() -> None:
    """Call every kernel once, and those that read energies once for each width, on a main meter with one below it."""
    slot = np.zeros(1, np.int64)
    group_energy(slot, slot, slot, 1, 1)
    apportion_rows(1, np.ones(2, np.int64))
    RowSums.of([Layer.between_all(np.ones((2, 1), np.int64), [2])], [1]).floors(Fraction(1))
    registers = np.array([[0, 2, 3], [0, -1, 1]])
    for known in (registers, registers.astype(np.int32)):
        plates = FleetMeters(*(np.array(one) for one in ((1, 1), (0, 0), (0, 0))))
        _read_energies(settle_fleet(known, plates).energy_wh)


def _read_energies(energy_wh: IntArray) -> None:
    tree = span_of(np.array([TOP, 0]), 0, 2)
    factors = find_loss_factors(tree, energy_wh, None, np.zeros(2, np.int64))
    spans = RowSpans.of([(1, 0, 0, 2)])
    weigh_exactly(energy_wh, spans, factors.gross, BandRuns.of(np.zeros(2, np.int64), 1))
    sum_cells(energy_wh, np.array([0, 2]))
    edges, sums = np.array([[0, 2]]), np.zeros((2, 1), np.int64)
    peak_rows(energy_wh, spans.rows, spans.starts, spans.ends, edges, 0, 1, sums, sums.copy())
    add_rows(energy_wh, spans.rows, spans.starts, spans.ends, 0, 2, np.zeros(2, np.int64))


if __name__ == "__main__":
    warm_up()
