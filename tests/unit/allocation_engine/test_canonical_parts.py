"""Octets put together from parts are those of encoding the whole at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.canonical_parts import join_list, join_map
from metering.envelope import encode

CONTENTS = st.recursive(
    st.one_of(st.integers(-(2**63), 2**63), st.binary(max_size=40), st.text(max_size=30), st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)


@given(st.lists(CONTENTS, max_size=40))
def test_a_list_of_encoded_items_is_the_encoded_list(items: list[object]) -> None:
    assert join_list([encode(one) for one in items]) == encode(items)


@given(st.dictionaries(st.text(max_size=60), CONTENTS, max_size=40))
def test_a_map_of_encoded_entries_is_the_encoded_map(entries: dict[str, object]) -> None:
    assert join_map({key: encode(one) for key, one in entries.items()}) == encode(entries)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_heads_of_every_length_are_right(count: int) -> None:
    assert join_list([b"\x00"] * count) == encode([0] * count)
    assert join_map({f"{one:06}": b"\x00" for one in range(count)}) == encode({f"{one:06}": 0 for one in range(count)})
