"""The statement with everything needed to check it, in one JSON file that a person can keep."""

from __future__ import annotations

from collections.abc import Iterable


def pack_bundle(statement: bytes, evidence: Iterable[bytes], profiles: Iterable[bytes]) -> bytes:
    """Give the file: sealed statement, sealed envelopes, canonical profiles."""
    raise NotImplementedError
