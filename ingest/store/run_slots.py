"""The energy a run was computed from, kept with it, so that it can be computed again whatever was read since."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from allocation_engine.inputs import Int64Array, PeriodInputs
from ingest.energy_rows import RowFiller, sparse_rows
from ingest.store.database import Connection, load_queries

LEVEL = 1
"""Slots of one node differ little; a higher level costs thrice the time for a tenth of the octets."""
PACKERS = 2
"""Threads that pack: zlib lets other threads run."""
ROWS_AT_ONCE = 512


def add_slots(connection: Connection, run: str, inputs: PeriodInputs) -> None:
    """Store the slots of a run; call inside the transaction that stores it."""
    count = len(inputs.nodes)
    query = load_queries("run_log")["add_slots"]
    with connection.cursor() as cursor, cursor.copy(query) as copy, ThreadPoolExecutor(PACKERS) as packers:
        for first in range(0, count, ROWS_AT_ONCE):
            rows = range(first, min(first + ROWS_AT_ONCE, count))
            for row, packed in zip(rows, packers.map(partial(_packed_row, inputs), rows), strict=True):
                copy.write_row((run, inputs.nodes[row].id, *packed))


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
            taken.put(row, 0, _unpacked(imported, "<i8"))
        if exported is not None:
            given[row] = _unpacked(exported, "<i8").astype(np.int64)
        if worst is not None:
            quality[row] = _unpacked(worst, "u1")
    return replace(inputs, import_wh=taken.rows, export_wh=sparse_rows(count, slot_count, given), quality=quality)


def _packed_row(inputs: PeriodInputs, row: int) -> tuple[bytes | None, ...]:
    return (
        _packed(inputs.import_wh[row], "<i8"),
        _packed(inputs.export_wh[row], "<i8"),
        _packed(inputs.quality[row], "u1"),
    )


def _packed(numbers: npt.NDArray[Any], form: str) -> bytes | None:
    return zlib.compress(numbers.astype(form).tobytes(), LEVEL) if numbers.any() else None


def _unpacked(packed: bytes, form: str) -> npt.NDArray[Any]:
    return np.frombuffer(zlib.decompress(packed), form)
