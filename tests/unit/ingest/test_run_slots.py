"""The slots of a run come back whatever their size, also those packed by the program from before."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.store.run_slots import _packed, _unpacked


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=9), st.sampled_from([np.int32, np.int64, np.uint8]))
def test_slots_come_back(numbers: list[int], kind: type) -> None:
    row = np.array([one % np.iinfo(kind).max for one in numbers], kind)
    packed = _packed(row)
    assert (packed is None) == (not row.any())
    if packed is not None:
        assert (_unpacked(packed, row.size) == row).all()


@pytest.mark.parametrize(
    ("most", "octets"), [(255, 1), (256, 2), (2**16 - 1, 2), (2**16, 4), (2**32 - 1, 4), (2**32, 8), (2**63 - 1, 8)]
)
def test_a_row_is_as_narrow_as_its_largest_slot_allows(most: int, octets: int) -> None:
    packed = _packed(np.array([0, most, 1], np.int64))
    assert packed is not None
    assert len(packed) == 1 + 3 * octets
    assert _unpacked(packed, 3).tolist() == [0, most, 1]


@pytest.mark.parametrize("form", ["<i8", "u1"])
def test_what_was_packed_by_zlib_is_read_as_it_was_meant(form: str) -> None:
    row = np.arange(96) % 5
    assert _unpacked(zlib.compress(row.astype(form).tobytes(), 1), 96).tolist() == row.tolist()
