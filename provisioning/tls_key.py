"""A gateway's TLS key and its certificate: made here, short-lived, apart from the signing key.

Key and certificate lie in one file, `tls.pem`, which is replaced as a whole: so they belong together whenever the power
fails. A key that waits for its certificate lies in `tls.next` with the request for it; asked again, the same request is
given, since an answer can be lost. Both are for their owner alone. The certificates to believe lie in `roots.pem`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from metering.envelope import Algorithm
from metering.identity import GatewayId
from provisioning.authority import X509_FAULTS, is_below, name_of
from provisioning.keys import KeyFileInvalid, key_id_of, read_private, replace_file, with_smaller_s, write_private

TLS_FILE = "tls.pem"
"""In the key folder: private key, own certificate, those above it; what BrokerTls takes as certificate and as key."""
NEXT_FILE = "tls.next"
ROOTS_FILE = "roots.pem"
CHAIN_MAX = 5
_CERTIFICATE, _REQUEST = "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE REQUEST-----"


class TlsSigner:
    """The TLS key as a signer of messages: it proves itself where its certificate is renewed."""

    algorithm = Algorithm.ES256

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.key_id = key_id_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Sign `message`, r || s with the smaller s."""
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return with_smaller_s(r.to_bytes(32) + s.to_bytes(32))


class CertificateUnfit(KeyFileInvalid):
    """A certificate that came is not for the key that waits, or not for this gateway."""


def request_certificate(folder: Path, gateway: GatewayId) -> bytes:
    """Give the request (PKCS #10, DER) of the key that waits for a certificate; makes a key unless one waits."""
    waiting, path = _read(folder / NEXT_FILE), folder / NEXT_FILE
    if waiting is not None and _same_key(waiting, _read(folder / TLS_FILE)):
        # Its certificate came, and the power failed before the file was gone.
        path.unlink()
        waiting = None
    if waiting is None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, gateway)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        write_private(path, _key_pem(key) + csr.public_bytes(Encoding.PEM).decode())
    text = read_private(path)
    if _REQUEST not in text:
        raise KeyFileInvalid(path, "holds no request for a certificate", "remove it: a new key is made then")
    try:
        csr = x509.load_pem_x509_csr(text[text.index(_REQUEST) :].encode())
    except ValueError as error:
        mend = "remove it: a new key is made then"
        raise KeyFileInvalid(path, f"holds no request for a certificate: {error}", mend) from error
    return csr.public_bytes(Encoding.DER)


def install_certificate(folder: Path, gateway: GatewayId, chain: Sequence[bytes]) -> x509.Certificate:
    """Put the certificate of the key that waits in place of what is there; gives the certificate.

    chain   DER, its own first, as the centre gives it

    Raises CertificateUnfit for a certificate of another key, name or chain; then everything stays as it is.
    """
    certificates = _parsed(folder / TLS_FILE, chain)
    own = certificates[0]
    waiting, present = _read(folder / NEXT_FILE), _read(folder / TLS_FILE)
    if present is not None and _fits(present, own) and own_certificate(folder) == own:
        (folder / NEXT_FILE).unlink(missing_ok=True)
        return own
    if waiting is None or not _fits(waiting, own):
        raise CertificateUnfit(folder / NEXT_FILE, "the certificate is not for the key that waits", "ask for it again")
    if name_of(own) != gateway:
        raise CertificateUnfit(folder / NEXT_FILE, f"the certificate is for {name_of(own)}", f"give that of {gateway}")
    if not all(is_below(one, [above]) for one, above in itertools.pairwise(certificates)):
        raise CertificateUnfit(folder / NEXT_FILE, "the certificates are no chain", "ask for them again")
    pem = _key_pem(waiting) + "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)
    replace_file(folder / TLS_FILE, pem.encode(), 0o600)
    (folder / NEXT_FILE).unlink()
    return own


def own_certificate(folder: Path) -> x509.Certificate | None:
    """Give the certificate in use, None before the first; raises KeyFileInvalid."""
    path = folder / TLS_FILE
    if not path.exists():
        return None
    text = read_private(path)
    try:
        return x509.load_pem_x509_certificate(text[text.index(_CERTIFICATE) :].encode())
    except X509_FAULTS as error:
        raise KeyFileInvalid(path, f"holds no certificate: {error}", "enrol again") from error


def key_in_use(folder: Path) -> TlsSigner | None:
    """Give the key of the certificate in use, None before the first; raises KeyFileInvalid."""
    key = _read(folder / TLS_FILE)
    return None if key is None else TlsSigner(key)


def key_that_waits(folder: Path) -> TlsSigner | None:
    """Give the key of the request, None where none waits; raises KeyFileInvalid."""
    key = _read(folder / NEXT_FILE)
    return None if key is None else TlsSigner(key)


def write_roots(folder: Path, roots: Sequence[bytes]) -> Path:
    """Put the certificates to believe (DER) in place of those that were believed; gives the file."""
    path = folder / ROOTS_FILE
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in _parsed(path, roots))
    if not path.exists() or path.read_bytes() != pem:
        replace_file(path, pem, 0o644)
    return path


def chain_pem(chain: Sequence[bytes]) -> bytes:
    """Give a chain (DER) as PEM."""
    return b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in chain)


def _parsed(path: Path, chain: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    try:
        if not 1 <= len(chain) <= CHAIN_MAX:
            raise ValueError(f"{len(chain)} certificates")
        return tuple(x509.load_der_x509_certificate(one) for one in chain)
    except X509_FAULTS as error:
        raise CertificateUnfit(path, f"what came is no certificate: {error}", "ask for it again") from error


def _read(path: Path) -> ec.EllipticCurvePrivateKey | None:
    if not path.exists():
        return None
    try:
        key = load_pem_private_key(read_private(path).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileInvalid(path, "holds no TLS key", "move it away: a new key is made then") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileInvalid(path, "holds a key of another algorithm", "move it away: a new key is made then")
    return key


def _fits(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bool:
    return certificate.public_key() == key.public_key()


def _same_key(one: ec.EllipticCurvePrivateKey, other: ec.EllipticCurvePrivateKey | None) -> bool:
    return other is not None and one.public_key() == other.public_key()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
