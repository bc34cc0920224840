"""Passwords that are hashed at no cost: a test signs in often, and what hashing costs is tested by itself."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from ingest import passwords


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with argon2id, once over 8 KiB."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
