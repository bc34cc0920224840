"""The energy a run was computed from, kept with it, so that it can be computed again whatever was read since."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from allocation_engine.inputs import Int64Array, PeriodInputs, UInt8Array
from ingest.store.database import Connection, load_queries

LEVEL = 1
"""Slots of one node differ little; a higher level costs thrice the time for a tenth of the octets."""


def add_slots(connection: Connection, run: str, inputs: PeriodInputs) -> None:
    """Store the slots of a run; call inside the transaction that stores it."""
    with connection.cursor() as cursor, cursor.copy(load_queries("run_log")["add_slots"]) as copy:
        for row, node in enumerate(inputs.nodes):
            energies = (inputs.import_wh[row], inputs.export_wh[row])
            arrays = (*(energy_wh.astype(np.int64, copy=False) for energy_wh in energies), inputs.quality[row])
            copy.write_row((run, node.id, *(_packed(array) for array in arrays)))


def with_slots(connection: Connection, run: str, inputs: PeriodInputs) -> PeriodInputs | None:
    """Lay the stored slots of a run over inputs of its period; None for a run from before slots were kept."""
    rows: Any = connection.execute(load_queries("run_log")["slots"], {"run": run})
    stored = {node: packed for node, *packed in rows}
    if not stored:
        return None
    shape = inputs.import_wh.shape
    arrays: dict[str, Any] = {
        "import_wh": np.zeros(shape, np.int64),
        "export_wh": np.zeros(shape, np.int64),
        "quality": np.zeros(shape, np.uint8),
    }
    for row, node in enumerate(inputs.nodes):
        for name, packed in zip(arrays, stored[node.id], strict=True):
            _unpack(packed, arrays[name][row])
    return replace(inputs, **arrays)


def _packed(array: Int64Array | UInt8Array) -> bytes | None:
    if not array.any():
        return None
    return zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes(), LEVEL)


def _unpack(packed: bytes | None, into: Int64Array | UInt8Array) -> None:
    if packed is not None:
        octets = zlib.decompress(packed)
        into[:] = np.frombuffer(octets, np.dtype(into.dtype).newbyteorder("<"))
