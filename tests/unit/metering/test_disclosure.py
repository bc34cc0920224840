"""The hash tree over the readings of an envelope."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.disclosure import SALT_OCTETS, open_leaf, openings, tree_root

SEED = bytes(range(16))
contents = st.lists(st.binary(max_size=12), max_size=40)


def leaf(salt: bytes, content: bytes) -> bytes:
    """RFC 9162 leaf of a salted reading, written a second time."""
    return hashlib.sha256(b"\x00" + salt + content).digest()


@given(contents)
def test_every_reading_opens_to_the_root(readings: list[bytes]) -> None:
    root = tree_root(SEED, readings)
    for opening, reading in zip(openings(SEED, readings), readings, strict=True):
        assert open_leaf(opening, len(readings), reading) == root


@given(contents.filter(bool), st.data())
def test_nothing_else_opens_to_the_root(readings: list[bytes], data: st.DataObject) -> None:
    root = tree_root(SEED, readings)
    index = data.draw(st.integers(0, len(readings) - 1))
    opening = openings(SEED, readings)[index]
    reading = readings[index]
    assert open_leaf(opening, len(readings), reading + b"x") != root
    assert open_leaf(dataclasses.replace(opening, salt=bytes(16)), len(readings), reading) != root
    assert open_leaf(dataclasses.replace(opening, path=(*opening.path, bytes(32))), len(readings), reading) != root
    if opening.path:
        assert open_leaf(dataclasses.replace(opening, path=opening.path[:-1]), len(readings), reading) != root
        shorter = dataclasses.replace(opening, path=(bytes(32), *opening.path[1:]))
        assert open_leaf(shorter, len(readings), reading) != root
    for other in range(len(readings)):
        if other != index:
            assert open_leaf(dataclasses.replace(opening, index=other), len(readings), reading) != root


def test_trees_of_one_two_and_three_are_those_of_the_standard() -> None:
    readings = [b"a", b"b", b"c"]
    a, b, c = (leaf(one.salt, text) for one, text in zip(openings(SEED, readings), readings, strict=True))
    ab = hashlib.sha256(b"\x01" + a + b).digest()
    assert tree_root(SEED, []) == hashlib.sha256(b"").digest()
    assert tree_root(SEED, readings[:1]) == a
    assert tree_root(SEED, readings[:2]) == ab
    assert tree_root(SEED, readings) == hashlib.sha256(b"\x01" + ab + c).digest()


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_tree_opens_to_nothing(index: int) -> None:
    opening = dataclasses.replace(openings(SEED, [b"a", b"b", b"c"])[0], index=index)
    assert open_leaf(opening, 3, b"a") is None


def test_equal_readings_look_different() -> None:
    first, second = openings(SEED, [b"same", b"same"])
    assert first.salt != second.salt
    assert len(first.salt) == SALT_OCTETS
