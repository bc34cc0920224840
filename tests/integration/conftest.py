"""Tests with a real PostgreSQL."""

from __future__ import annotations

from tests.doubles.cheap_passwords import cheap_passwords
from tests.doubles.closed_park import closed_park
from tests.doubles.issued_park import issued_park, published_park
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
    "cheap_passwords",
    "closed_park",
    "database",
    "empty_dsn",
    "issued_park",
    "migrated_dsn",
    "migrated_template",
    "own_dsn",
    "postgres_dsn",
    "published_park",
    "shared_dsn",
]
