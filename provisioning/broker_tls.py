"""TLS towards the MQTT broker, the same at both ends: whom we believe, and the certificate that says who we are.

TLS keeps strangers away from the broker and from what passes through it. It proves no reading: that is the signature's
part (docs/wire.md), so a lost certificate costs privacy and a blocked door, not the books.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from metering.errors import MeteringError

VERSION_MIN = ssl.TLSVersion.TLSv1_2
LAPSES_SOON_DAYS = 30


class BrokerTlsInvalid(MeteringError):
    """A certificate or key file for the broker is missing, is none, or does not belong to the other one."""


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho lets it lie there open."""

    def do_handshake(self, block: bool = False) -> None:
        """Do it, or close; raises OSError, as ssl.SSLError is one."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """Which certificates are believed, and ours.

    ca            PEM file the broker's certificate must come from; None: the authorities this machine believes
    certificate   ours, PEM, its chain behind it; with `key`, or neither where the broker asks for a password instead
    key           its private key, PEM, without a passphrase
    """

    ca: Path | None
    certificate: Path | None
    key: Path | None

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise BrokerTlsInvalid("a certificate needs its key and a key its certificate: give both or neither")

    def context(self) -> ssl.SSLContext:
        """Read the files into what a connection needs; the broker's name is always checked. Raises BrokerTlsInvalid."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise BrokerTlsInvalid(f"{self.ca}: no certificates there: {error}; give a PEM file") from error
        context.minimum_version = VERSION_MIN
        context.sslsocket_class = _ClosingSocket
        if self.certificate is not None and self.key is not None:
            self._show(context, self.certificate, self.key)
        return context

    def _show(self, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
        def no_passphrase() -> str:
            raise BrokerTlsInvalid(f"{key}: is locked by a passphrase; a service cannot type one, so take it off")

        try:
            context.load_cert_chain(certificate, key, no_passphrase)
        except (OSError, ssl.SSLError) as error:
            mend = "both must be PEM, readable for this account, and belong together"
            raise BrokerTlsInvalid(f"{certificate} with {key}: {error}; {mend}") from error

    def days_left(self, now: datetime) -> int | None:
        """Give how long our own certificate is good for [days], below 0 once it is not; None without one."""
        if self.certificate is None:
            return None
        try:
            found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise BrokerTlsInvalid(f"{self.certificate}: {error}; give a PEM file") from error
        return (found.not_valid_after_utc - now).days
