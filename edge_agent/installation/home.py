"""Where a gateway installed by the desk keeps its things: one folder, of which nothing but the keys is secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioning.keys import CENTRE_PUBLIC_KEY, SIGNING_KEY

DEFAULT_HOME = Path("/var/lib/metertree-gateway")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one gateway."""

    root: Path

    @property
    def keys(self) -> Path:
        """The key folder, for its owner alone."""
        return self.root / "keys"

    @property
    def signing_key(self) -> Path:
        """The long-lived key that signs envelopes and events."""
        return self.keys / SIGNING_KEY

    @property
    def centre_public_key(self) -> Path:
        """Whose receipts are believed."""
        return self.keys / CENTRE_PUBLIC_KEY

    @property
    def anchor(self) -> Path:
        """Whose vouchers are believed without asking; made with the machine's image, or not there."""
        return self.keys / "anchor.pub"

    @property
    def tls_key(self) -> Path:
        """The short-lived key of the gateway's certificate."""
        return self.keys / "tls.key"

    @property
    def tls_certificate(self) -> Path:
        """The gateway's certificate with its chain, PEM; comes with the grant."""
        return self.keys / "tls.crt"

    @property
    def roots(self) -> Path:
        """Whom the gateway believes when it connects, PEM; comes with the voucher."""
        return self.keys / "roots.pem"

    @property
    def state(self) -> Path:
        """Outbox, journal, lessons, photos."""
        return self.root / "state"

    @property
    def journal(self) -> Path:
        """The journal of the installation."""
        return self.state / "installation.db"

    @property
    def photos(self) -> Path:
        """Pictures, each named by its SHA-256."""
        return self.state / "photos"

    @property
    def config(self) -> Path:
        """What `metertree-gateway run` reads; written by the desk at the seal and after."""
        return self.root / "gateway.toml"

    @property
    def profiles(self) -> Path:
        """Further meter profiles; need not be there."""
        return self.root / "profiles"
