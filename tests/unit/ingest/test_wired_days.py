"""Arrays of slots as they come over the wire: whole months at once, days of other lengths, and what is no array."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation_engine.kernels import IntArray
from ingest.store.wired_days import ENERGY_FORM, QUALITY_FORM, ArrayDamaged, WiredDays, wired_dates, wired_numbers

FIRST = date(2026, 3, 28)
CODES = {ENERGY_FORM: "q", QUALITY_FORM: "h"}


def wired(rows: Sequence[Sequence[int]], form: str = ENERGY_FORM) -> WiredDays:
    """Days from the first on, as PostgreSQL sends them."""
    code = CODES[form]
    width = struct.calcsize(f">{code}")
    octets = b"".join(
        struct.pack(">5i", 1, 0, 20, len(row), 1) + b"".join(struct.pack(f">i{code}", width, one) for one in row)
        for row in rows
    )
    return WiredDays(form, tuple(FIRST + timedelta(days=number) for number in range(len(rows))), octets)


def unwired(days: WiredDays) -> dict[date, list[int]]:
    """What the blocks say, day by day."""
    return {day: row for block, numbers in days.blocks() for day, row in zip(block, numbers.tolist(), strict=True)}


@given(
    st.sampled_from([ENERGY_FORM, QUALITY_FORM]),
    st.lists(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=9), max_size=7),
)
def test_every_day_comes_back_whatever_its_length(form: str, rows: list[list[int]]) -> None:
    days = wired(rows, form)
    assert unwired(days) == dict(zip(days.days, rows, strict=True))


def test_days_of_one_length_come_as_one_matrix() -> None:
    ((days, numbers),) = wired([[1, 2, 3], [4, 5, 2**40]]).blocks()
    assert len(days) == 2
    assert numbers.tolist() == [[1, 2, 3], [4, 5, 2**40]]


def test_days_whose_lengths_only_add_up_are_not_taken_for_even_ones() -> None:
    # A year with both changes of clock: 96 slots on the first day, then 92 and 100 on two others.
    rows = [[1] * 96, [2] * 92, [3] * 100]
    assert list(unwired(wired(rows)).values()) == rows


def test_nothing_gives_nothing() -> None:
    assert list(WiredDays(ENERGY_FORM, (), b"").blocks()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: octets[:-1],
        lambda octets: octets[:10],
        lambda octets: octets + b"\0",
        lambda octets: struct.pack(">i", 2) + octets[4:],
        lambda octets: octets[:20] + struct.pack(">i", -1) + octets[24:],
    ],
)
def test_what_is_no_array_of_slots_is_refused(spoil: object) -> None:
    whole = wired([[1, 2], [3, 4]])
    with pytest.raises(ArrayDamaged):
        list(WiredDays(whole.form, whole.days, spoil(whole.octets)).blocks())  # type: ignore[operator]


def test_numbers_keep_their_type_of_the_wire() -> None:
    ((_, numbers),) = wired([[7]], QUALITY_FORM).blocks()
    assert numbers.dtype == np.dtype(">i2")


def array(*lengths: int, numbers: Sequence[int | None]) -> bytes:
    """Any array as PostgreSQL sends it."""
    head = struct.pack(">3i", len(lengths), None in numbers, 20) + b"".join(
        struct.pack(">2i", one, 1) for one in lengths
    )
    return head + b"".join(struct.pack(">i", -1) if one is None else struct.pack(">iq", 8, one) for one in numbers)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12), st.sampled_from([1, 2, 3]))
def test_arrays_of_any_dimensions_are_read_as_a_whole(numbers: list[int], width: int) -> None:
    rows = len(numbers) // width
    lengths = (rows, width) if rows and width > 1 else (len(numbers),)
    wanted = np.array(numbers[: rows * width] if len(lengths) == 2 else numbers, np.int64).reshape(lengths)
    found = wired_numbers("i8", array(*lengths, numbers=wanted.reshape(-1).tolist()))
    assert found is not None
    assert found.shape == lengths
    assert (found == wanted).all()


def test_an_array_with_a_void_element_gives_nothing_and_an_empty_one_is_empty() -> None:
    assert wired_numbers("i8", array(2, numbers=[1, None])) is None
    empty = wired_numbers("i8", array(numbers=[]))
    assert empty is not None
    assert empty.size == 0


@pytest.mark.parametrize("spoil", [lambda one: one[:-1], lambda one: one[:-12], lambda one: one + bytes(12)])
def test_an_array_that_is_cut_or_longer_than_it_says_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ArrayDamaged):
        wired_numbers("i8", spoil(array(3, numbers=[1, 2, 3])))
    with pytest.raises(ArrayDamaged):
        wired_numbers("i2", array(3, numbers=[1, 2, 3]))


def laid(days: WiredDays, lengths: Sequence[int], into: IntArray, first: int = 0) -> bool:
    """Put days one after the other into a row."""
    firsts = np.cumsum([first, *lengths[:-1]], dtype=np.int64)
    return days.lay(firsts, np.array(lengths, np.int64), into)


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9), max_size=7))
def test_days_laid_at_once_are_the_days_of_the_blocks(rows: list[list[int]]) -> None:
    into = np.zeros(2 + sum(map(len, rows)), np.int32)
    assert laid(wired(rows), list(map(len, rows)), into, 1)
    assert into.tolist() == [0, *(one for row in rows for one in row), 0]


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 10**11])
def test_a_number_of_more_than_32_bits_asks_for_64(number: int) -> None:
    days = wired([[1, 2], [number, 4]])
    assert not laid(days, [2, 2], np.zeros(4, np.int32))
    into = np.zeros(4, np.int64)
    assert laid(days, [2, 2], into)
    assert into.tolist() == [1, 2, number, 4]


@pytest.mark.parametrize("lengths", [[2, 1], [3, 2], [1, 3], [2, 2, 2]])
def test_a_day_of_another_length_than_the_calendar_says_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ArrayDamaged):
        laid(wired([[1, 2], [3, 4]]), lengths, np.zeros(9, np.int32))


@pytest.mark.parametrize("place", [0, 4, 12, 20, -9])
def test_an_octet_out_of_place_is_refused(place: int) -> None:
    whole = wired([[1, 2], [3, 4]])
    octets = bytearray(whole.octets)
    octets[place] ^= 0x40
    with pytest.raises(ArrayDamaged):
        laid(WiredDays(whole.form, whole.days, bytes(octets)), [2, 2], np.zeros(4, np.int64))


def test_dates_come_back() -> None:
    numbers = struct.pack(">2i", 4, -1) + struct.pack(">2i", 4, 9678)
    octets = struct.pack(">5i", 1, 0, 1082, 2, 1) + numbers
    assert wired_dates(octets) == (date(1999, 12, 31), date(2026, 7, 1))
    assert wired_dates(None) == ()
