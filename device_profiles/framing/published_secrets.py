"""Secrets that guard nothing: those of the standards' own examples, for simulated meters, vectors and rehearsals.

Keys and titles are the Green Book's example of suite 0, the password is the one that makers print in manuals. Counters
begin at 1 for each conversation, so that a vector's requests are always the same. No gateway hands these to a meter.
"""

from __future__ import annotations

from device_profiles.framing.conversation import SecretMissing

PASSWORD = b"00000000"
ENCRYPTION = bytes(range(16))
AUTHENTICATION = bytes(range(0xD0, 0xE0))
CLIENT_TITLE = bytes.fromhex("4d4d4d0000000001")
METER_TITLE = bytes.fromhex("4d4d4d0000bc614e")


_SECRETS = {
    "password": PASSWORD,
    "encryption": ENCRYPTION,
    "authentication": AUTHENTICATION,
    "title": CLIENT_TITLE,
}


class PublishedSecrets:
    """The secrets of a simulated meter, for one conversation."""

    def __init__(self) -> None:
        self._count = 0

    def secret(self, name: str) -> bytes:
        """Give a secret; raises SecretMissing for one that no standard's example has."""
        if name not in _SECRETS:
            raise SecretMissing(f"no example has a {name}")
        return _SECRETS[name]

    def next_count(self) -> int:
        """Give 1, 2, 3 ..."""
        self._count += 1
        return self._count
