"""The statement with everything needed to check it, in one JSON file that a person can keep.

`{"format": "metertree-statement/1", "statement": base64, "proof": base64, "evidence": [base64, ...],
"profiles": [base64, ...]}`: the sealed statement, the proof that its lines are in the run's commitment, the sealed
envelopes it rests on, the canonical profiles that say what their numbers mean. Once its run is published, the signed
publication is added as `"publication": base64`; without one the statement is provisional.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass

from allocation_engine.statement_content import STATEMENT_FORMAT
from metering.errors import SenderError


class BundleMalformed(SenderError):
    """A file is no statement bundle."""

    reason = "malformed"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The parts of a bundle; nothing about them is proven."""

    statement: bytes
    proof: bytes
    evidence: tuple[bytes, ...]
    profiles: tuple[bytes, ...]
    publication: bytes | None = None


def pack_bundle(statement: bytes, proof: bytes, evidence: Iterable[bytes], profiles: Iterable[bytes]) -> bytes:
    """Give the file: sealed statement, inclusion proof, sealed envelopes, canonical profiles."""
    content = {
        "format": STATEMENT_FORMAT,
        "statement": _text(statement),
        "proof": _text(proof),
        "evidence": [_text(one) for one in evidence],
        "profiles": [_text(one) for one in profiles],
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def with_publication(bundle: bytes, publication: bytes) -> bytes:
    """Give a bundle file with the publication that makes its statement final."""
    content = json.loads(bundle)
    return json.dumps({**content, "publication": _text(publication)}, indent=1).encode() + b"\n"


def unpack_bundle(octets: bytes) -> Bundle:
    """Take a file apart; raises BundleMalformed."""
    try:
        content = json.loads(octets)
        if content["format"] != STATEMENT_FORMAT:
            raise BundleMalformed(f"format {content['format']!r} is not known; this program reads {STATEMENT_FORMAT}")
        return Bundle(
            statement=_octets(content["statement"]),
            proof=_octets(content["proof"]),
            evidence=tuple(_octets(one) for one in content["evidence"]),
            profiles=tuple(_octets(one) for one in content["profiles"]),
            publication=_octets(content["publication"]) if "publication" in content else None,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleMalformed(f"not a statement bundle: {error!r}") from error


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BundleMalformed(f"not base64: {error}") from error
