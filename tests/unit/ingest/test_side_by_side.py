"""Two sources at the same time: all of both, each in its order, and an end to everything whoever stumbles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.side_by_side import WAITING_MAX, side_by_side


@given(st.integers(0, 3 * WAITING_MAX), st.integers(0, 3 * WAITING_MAX))
def test_all_items_of_both_come_each_in_their_order(own: int, other: int) -> None:
    found = list(side_by_side(range(own), range(-other, 0)))
    assert [one for one in found if one >= 0] == list(range(own))
    assert [one for one in found if one < 0] == list(range(-other, 0))


def stumbling(after: int) -> Iterator[int]:
    """Some items, then a mistake."""
    yield from range(after)
    raise LookupError("the line was cut")


@pytest.mark.parametrize("after", [0, 1, WAITING_MAX + 1])
def test_what_either_raises_is_raised(after: int) -> None:
    before = threading.active_count()
    with pytest.raises(LookupError, match="cut"):
        list(side_by_side(range(10), stumbling(after)))
    with pytest.raises(LookupError, match="cut"):
        list(side_by_side(stumbling(after), count()))
    assert threading.active_count() == before


def test_whoever_stops_taking_stops_the_thread() -> None:
    before = threading.active_count()
    items = side_by_side(count(), count())
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
