"""The energy a run was computed from, kept with it, so that it can be computed again whatever was read since."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.inputs import Int64Array, PeriodInputs
from ingest.energy_rows import RowFiller, sparse_rows
from ingest.store.database import Connection, load_queries

_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}
_ZLIB = 0x78
"""What a zlib stream begins with: how runs were packed before, 64 bits a slot."""


def add_slots(connection: Connection, run: str, inputs: PeriodInputs) -> None:
    """Store the slots of a run; call inside the transaction that stores it."""
    with connection.cursor() as cursor, cursor.copy(load_queries("run_log")["add_slots"]) as copy:
        copy.set_types(("text", "text", "bytea", "bytea", "bytea"))
        for row, node in enumerate(inputs.nodes):
            matrices = (inputs.import_wh, inputs.export_wh, inputs.quality)
            copy.write_row((run, node.id, *(_packed(matrix[row]) for matrix in matrices)))


def with_slots(connection: Connection, run: str, inputs: PeriodInputs) -> PeriodInputs | None:
    """Lay the stored slots of a run over inputs of its period; None for a run from before slots were kept."""
    rows: Any = connection.execute(load_queries("run_log")["slots"], {"run": run})
    stored = {node: packed for node, *packed in rows}
    if not stored:
        return None
    count, slot_count = inputs.import_wh.shape
    taken, quality = RowFiller(count, slot_count), np.zeros((count, slot_count), np.uint8)
    given: dict[int, Int64Array] = {}
    for row, node in enumerate(inputs.nodes):
        imported, exported, worst = stored[node.id]
        if imported is not None:
            taken.put(row, 0, _unpacked(imported, slot_count))
        if exported is not None:
            given[row] = _unpacked(exported, slot_count).astype(np.int64)
        if worst is not None:
            quality[row] = _unpacked(worst, slot_count)
    return replace(inputs, import_wh=taken.rows, export_wh=sparse_rows(count, slot_count, given), quality=quality)


def _packed(numbers: npt.NDArray[Any]) -> bytes | None:
    """Give the width and the slots, as narrow as the largest allows: to compress them costs ten times as much."""
    most = int(numbers.max(initial=0))
    if not most:
        return None
    width = next(width for width in _WIDTHS if most < 1 << 8 * width - (width == 8))
    return bytes((width,)) + numbers.astype(_WIDTHS[width]).tobytes()


def _unpacked(packed: bytes, slot_count: int) -> npt.NDArray[Any]:
    if packed[0] == _ZLIB:
        octets = zlib.decompress(packed)
        return np.frombuffer(octets, _WIDTHS[len(octets) // slot_count])
    return np.frombuffer(packed, _WIDTHS[packed[0]], offset=1)
