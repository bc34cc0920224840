"""Tests with a real PostgreSQL."""

from __future__ import annotations

from tests.doubles.closed_park import closed_park
from tests.doubles.servers import (
    bare_dsn,
    database,
    empty_dsn,
    migrated_dsn,
    migrated_template,
    own_dsn,
    postgres_dsn,
    shared_dsn,
)

__all__ = [
    "bare_dsn",
    "closed_park",
    "database",
    "empty_dsn",
    "migrated_dsn",
    "migrated_template",
    "own_dsn",
    "postgres_dsn",
    "shared_dsn",
]
