"""Services in memory: one that is empty, one that has closed a day."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doubles.memory_centre import MemoryCentre, closed_centre


@pytest.fixture
def centre() -> Iterator[MemoryCentre]:
    """A service with an empty database."""
    with MemoryCentre().open() as built:
        yield built


@pytest.fixture
def closed() -> Iterator[MemoryCentre]:
    """A service with one closed day."""
    with closed_centre() as built:
        yield built
