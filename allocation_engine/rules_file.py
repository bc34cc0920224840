"""Reads `tariff.toml` and `pools.toml` of a site directory; every mistake is shown with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from allocation_engine.rules import Rules, SiteNames


def read_rules(directory: Path, names: SiteNames) -> Rules:
    """Read the rules of a site; raises DocumentError with every fault that was found."""
    raise NotImplementedError


def rules_from_document(document: dict[str, Any], names: SiteNames) -> Rules:
    """Read a stored version (`Rules.document`); raises DocumentError."""
    raise NotImplementedError
