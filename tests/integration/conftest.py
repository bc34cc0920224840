"""Tests with a real PostgreSQL."""

from __future__ import annotations

from tests.doubles.servers import database, empty_dsn, migrated_dsn, migrated_template, postgres_dsn

__all__ = ["database", "empty_dsn", "migrated_dsn", "migrated_template", "postgres_dsn"]
