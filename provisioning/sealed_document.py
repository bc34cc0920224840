"""A dataclass in its document form, tagged and signed: the form of every message about an installation.

The payload is [tag, document], both deterministic CBOR and the document within a byte string. The tag says what the
message is, so that nothing else the same key signs can be taken for it. A receiver accepts one form only: the document
is read, written again and compared, octet by octet.
"""

from __future__ import annotations

from typing import Any, TypeVar

from metering.envelope import (
    EnvelopeMalformed,
    Sign1,
    Signer,
    Verifier,
    decode_canonical,
    encode,
    expect_bytes,
    expect_list,
    parse_sign1,
    sign1,
)
from metering.errors import MeteringError
from provisioning.document import from_document, to_document

T = TypeVar("T")


def seal_document(tag: str, item: Any, signer: Signer) -> bytes:
    """Sign the document of a dataclass under `tag`; equal items give equal octets with an Ed25519 key."""
    return sign1(encode([tag, encode(to_document(item))]), signer)


def open_document(tag: str, kind: type[T], octets: bytes, verifier: Verifier, *, octets_max: int) -> T:
    """Verify, then read; raises EnvelopeMalformed or SignatureInvalid."""
    message = parse_sign1(octets, octets_max)
    message.require(verifier)
    return read_payload(tag, kind, message, octets_max=octets_max)


def parse_document(tag: str, kind: type[T], octets: bytes, *, octets_max: int) -> tuple[T, Sign1]:
    """Read without trusting: nothing is proven until the message is required; raises EnvelopeMalformed."""
    message = parse_sign1(octets, octets_max)
    return read_payload(tag, kind, message, octets_max=octets_max), message


def read_payload(tag: str, kind: type[T], message: Sign1, *, octets_max: int) -> T:
    """Read the payload of a message as the document of a `kind`; raises EnvelopeMalformed."""
    parts = expect_list(decode_canonical(message.payload, octets_max), 2, "payload")
    if parts[0] != tag:
        raise EnvelopeMalformed(f"not a message {tag}")
    document = expect_bytes(parts[1], None, "document")
    try:
        item = from_document(kind, decode_canonical(document, octets_max))
        again = encode(to_document(item))
    except EnvelopeMalformed:
        raise
    except MeteringError as error:
        raise EnvelopeMalformed(f"{tag}: {error}") from error
    if again != document:
        raise EnvelopeMalformed(f"{tag}: not in its one form")
    return item
