"""The signed word that a run is final: it survives the wire, and nothing else passes for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from allocation_engine.publication import PUBLICATION_FORMAT, Publication, open_publication
from metering.envelope import EnvelopeMalformed, SignatureInvalid, decode_canonical, encode, parse_sign1, sign1
from tests.conftest import SeededSigner

PUBLISHED = Publication(
    run=b"\x01" * 32,
    commitment=b"\x02" * 32,
    site="park",
    label="2026-07",
    published_at=datetime(2026, 8, 1, 4, tzinfo=UTC),
    checked_by="accountant",
    approved_by="approver",
    published_by="approver",
    reasons=(("case main", "a new transformer"),),
    supersedes=b"",
)


def content_of(centre_signer: SeededSigner) -> dict[str, Any]:
    """The signed content as plain values."""
    message = parse_sign1(PUBLISHED.sealed(centre_signer))
    content: dict[str, Any] = decode_canonical(message.require(centre_signer.verifier))
    return content


def test_a_publication_comes_back_as_it_was_signed(centre_signer: SeededSigner) -> None:
    keys = {centre_signer.key_id: centre_signer.verifier}
    for one in (PUBLISHED, replace(PUBLISHED, supersedes=b"\x03" * 32, reasons=())):
        assert open_publication(one.sealed(centre_signer), keys) == one


def test_the_same_publication_is_the_same_octets(centre_signer: SeededSigner) -> None:
    assert PUBLISHED.sealed(centre_signer) == PUBLISHED.sealed(centre_signer)


def test_a_key_that_is_not_trusted_opens_nothing(centre_signer: SeededSigner, gateway_signer: SeededSigner) -> None:
    with pytest.raises(EnvelopeMalformed, match="which you do not trust"):
        open_publication(PUBLISHED.sealed(gateway_signer), {centre_signer.key_id: centre_signer.verifier})
    with pytest.raises(SignatureInvalid):
        open_publication(PUBLISHED.sealed(gateway_signer), {gateway_signer.key_id: centre_signer.verifier})


def test_every_changed_octet_is_refused(centre_signer: SeededSigner) -> None:
    octets = PUBLISHED.sealed(centre_signer)
    keys = {centre_signer.key_id: centre_signer.verifier}
    for position in range(0, len(octets), 3):
        changed = bytearray(octets)
        changed[position] ^= 1
        with pytest.raises((EnvelopeMalformed, SignatureInvalid)):
            open_publication(bytes(changed), keys)


@pytest.mark.parametrize(
    ("key", "planted"),
    [
        ("format", "metertree-publication/2"),
        ("run", b"\x01" * 31),
        ("commitment", "02" * 32),
        ("site", 7),
        ("approved_by", b"approver"),
        ("published_at", "today"),
        ("reasons", [["case main"]]),
        ("reasons", [["case main", 1]]),
        ("reasons", 5),
        ("supersedes", None),
    ],
)
def test_signed_content_of_another_form_is_refused(centre_signer: SeededSigner, key: str, planted: Any) -> None:
    octets = sign1(encode(content_of(centre_signer) | {key: planted}), centre_signer)
    with pytest.raises(EnvelopeMalformed):
        open_publication(octets, {centre_signer.key_id: centre_signer.verifier})


@pytest.mark.parametrize("content", [[], {}, "text", {"format": PUBLICATION_FORMAT}])
def test_signed_content_that_is_no_publication_is_refused(centre_signer: SeededSigner, content: Any) -> None:
    with pytest.raises(EnvelopeMalformed):
        open_publication(sign1(encode(content), centre_signer), {centre_signer.key_id: centre_signer.verifier})
