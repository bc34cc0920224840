"""Intake over PostgreSQL."""

from __future__ import annotations

import pytest

from ingest.store.database import Database
from tests.doubles.intake_contract import IntakeContract
from tests.doubles.store_harness import PostgresHarness


class TestIntakeInPostgres(IntakeContract):
    """The adapter keeps the contract."""

    @pytest.fixture
    def harness(self, database: Database) -> PostgresHarness:
        """A fresh database."""
        return PostgresHarness(database)
