"""Intake over the store in memory."""

from __future__ import annotations

import pytest

from tests.doubles.intake_contract import IntakeContract
from tests.doubles.store_harness import MemoryHarness


class TestIntakeInMemory(IntakeContract):
    """The double keeps the contract."""

    @pytest.fixture
    def harness(self) -> MemoryHarness:
        """An empty store."""
        return MemoryHarness()
