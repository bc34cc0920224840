"""What of certificates and keys is fuzzed: requests, answers, handovers, and what others call a request or a chain."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import cbor2
from cryptography.utils import CryptographyDeprecationWarning

from metering.envelope import encode, parse_sign1, sign1
from metering.identity import GatewayId
from provisioning.authority import issue_gateway, read_csr
from provisioning.keys import FileSigner
from provisioning.renewal import (
    ANSWER_TAG,
    PLEA_TAG,
    REQUEST_TAG,
    Answer,
    Plea,
    _Request,
    certificate_of,
    open_answer,
    read_request,
    seal_answer,
    seal_request,
)
from provisioning.rollover import (
    HANDOVER_TAG,
    ROLLOVER_TAG,
    Handover,
    _Rollover,
    handover_to,
    read_rollover,
    seal_rollover,
)
from provisioning.sealed_document import seal_document
from provisioning.signers.pkcs11_uri import TokenPlace
from provisioning.tls_key import TlsSigner
from tests.doubles.authorities import MADE_AT, csr_of, issuing, tls_key
from tests.fuzz.installation_targets import Signed

A = GatewayId("gw-a")


def certificate_targets() -> Iterator[Signed]:
    """Give each: a document is changed within tag and signatures, so that what lies behind them is tried."""
    old, new = FileSigner.from_seed(bytes([1]) * 32), FileSigner.from_seed(bytes([2]) * 32)
    key = tls_key()
    csr = csr_of(key)
    chain = issue_gateway(issuing(), A, csr, MADE_AT)
    plea, tls = Plea(A, 1, csr, chain[0]), TlsSigner(key)
    answer = seal_answer(Answer(A, plea.csr_digest, chain, chain, MADE_AT), old)
    inner = cbor2.loads(_payload(seal_request(plea, tls, old)))[1]
    request = bytes.fromhex(cbor2.loads(inner)["plea"])
    handover = bytes.fromhex(cbor2.loads(cbor2.loads(_payload(seal_rollover(_handover(new), old, new)))[1])["handover"])

    yield (
        *("certificate-request", (_document(request),), _quietly(read_request)),
        lambda octets: seal_document(REQUEST_TAG, _Request(sign1(encode([PLEA_TAG, octets]), tls)), old),
    )
    yield (
        *("certificates", (_document(answer),), lambda octets: open_answer(octets, old.verifier(), plea)),
        lambda octets: sign1(encode([ANSWER_TAG, octets]), old),
    )
    yield (
        *("key-handover", (_document(handover),), read_rollover),
        lambda octets: seal_document(ROLLOVER_TAG, _Rollover(sign1(encode([HANDOVER_TAG, octets]), old)), new),
    )
    yield "csr", (csr,), read_csr, lambda octets: octets
    yield "certificate", (chain[0],), _quietly(certificate_of), lambda octets: octets
    uri = b"pkcs11:token=a%20b;object=c?module-path=/m.so&pin-source=file:/pin"
    yield "key-uri", (uri,), lambda octets: TokenPlace.parse(octets.decode("latin-1"), Path("k")), lambda octets: octets


def _quietly(opened: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Leave out that the library will refuse in a later version what it takes now."""

    def opens(octets: bytes) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return opened(octets)

    return opens


def _handover(new: FileSigner) -> Handover:
    return handover_to(A, epoch=1, last_seq=5, last_digest=bytes(32), key=new)


def _payload(sealed: bytes) -> bytes:
    return parse_sign1(sealed).payload


def _document(sealed: bytes) -> bytes:
    return bytes(cbor2.loads(_payload(sealed))[1])
