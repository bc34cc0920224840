"""Shared fixtures: test keys and a sealed envelope that anyone can reproduce."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import settings

from metering.clock import ClockQuality, ClockState
from metering.envelope import Algorithm, Envelope
from metering.identity import GatewayId, KeyId, MeterId
from metering.reading import MeterReading, ReadQuality

# The same examples at every run and no deadline: a busy machine must not turn a test red. For other examples:
# HYPOTHESIS_PROFILE=default.
settings.register_profile("steady", deadline=None, derandomize=True)
if "HYPOTHESIS_PROFILE" not in os.environ:
    settings.load_profile("steady")

MARK = datetime(2026, 6, 30, 16, 0, tzinfo=UTC)
"""Midnight of 1 July 2026 in Shanghai."""


@dataclass(frozen=True)
class SeededVerifier:
    """Public half of a SeededSigner, straight on the cryptography library."""

    public_key: Ed25519PublicKey
    algorithm: Algorithm = Algorithm.EDDSA

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether the signature holds."""
        try:
            self.public_key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SeededSigner:
    """An Ed25519 key made from a name, so that test vectors never change."""

    algorithm = Algorithm.EDDSA

    def __init__(self, name: str) -> None:
        self.seed = hashlib.sha256(name.encode()).digest()
        self._key = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public_octets = self._key.public_key().public_bytes_raw()
        self.key_id = KeyId(hashlib.sha256(self.public_octets).digest()[:8])

    def sign(self, message: bytes) -> bytes:
        """Sign with the seeded key."""
        return self._key.sign(message)

    @property
    def verifier(self) -> SeededVerifier:
        """The public half."""
        return SeededVerifier(self._key.public_key())


def build_envelope(seq: int = 1, previous_hash: bytes = bytes(32), mark: datetime = MARK) -> Envelope:
    """An envelope of three meters: one with export, one without answer, one plain."""
    profile_a = hashlib.sha256(b"profile a").digest()
    profile_b = hashlib.sha256(b"profile b").digest()
    started = mark + timedelta(milliseconds=4)

    def reading(meter: str, profile: bytes, quality: ReadQuality, *mantissas: int | None) -> MeterReading:
        return MeterReading(
            meter=MeterId(meter),
            profile_hash=profile,
            group=0,
            started_at=started,
            ended_at=started + timedelta(milliseconds=38),
            quality=quality,
            mantissas=mantissas,
        )

    return Envelope(
        gateway=GatewayId("gw-a"),
        epoch=1,
        seq=seq,
        previous_hash=previous_hash,
        boot=hashlib.sha256(b"boot").digest()[:16],
        sealed_at=mark + timedelta(milliseconds=250),
        clock=ClockState(ClockQuality.SYNCHRONISED, 12),
        mark=mark,
        readings=(
            reading("m-u-a101", profile_a, ReadQuality.MEASURED, 1234567, 0),
            reading("m-u-a102", profile_a, ReadQuality.NO_ANSWER),
            reading("m-lift", profile_b, ReadQuality.MEASURED, 99999999, None),
        ),
    )


@pytest.fixture
def gateway_signer() -> SeededSigner:
    """The key of the test gateway."""
    return SeededSigner("metertree test gateway")


@pytest.fixture
def centre_signer() -> SeededSigner:
    """The key of the test centre."""
    return SeededSigner("metertree test centre")


@pytest.fixture
def envelope() -> Envelope:
    """The first envelope of a chain."""
    return build_envelope()


@pytest.fixture
def make_envelope() -> Callable[..., Envelope]:
    """Builds envelopes of a chain: `make_envelope(seq, previous_hash, mark)`."""
    return build_envelope
