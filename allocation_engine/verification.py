"""Checks a bundle with public keys alone and recomputes its metered lines from signed readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from device_profiles.profile import Profile
from metering.envelope import Algorithm, Verifier

VerifierFor = Callable[[Algorithm, bytes], Verifier]
"""Gives the verifier of a raw public key."""
ProfileFor = Callable[[bytes], Profile]
"""Gives the profile with this hash; raises a MeteringError if there is none."""


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain: what was checked, whether it holds, and with what result."""

    link: str
    holds: bool
    result: str


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """Every link that was checked, in order; after a broken link nothing that rests on it is checked."""

    number: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Say whether every link holds."""
        return all(check.holds for check in self.checks)

    @property
    def broken(self) -> tuple[Check, ...]:
        """Give the links that do not hold."""
        return tuple(check for check in self.checks if not check.holds)


def verify_bundle(
    octets: bytes, centre_keys: Mapping[bytes, Verifier], verifier_for: VerifierFor, profile_for: ProfileFor
) -> VerificationReport:
    """Check a bundle. `centre_keys` maps key ids (8 octets) to the centre's public keys that the reader trusts."""
    raise NotImplementedError
