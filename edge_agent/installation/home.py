"""Where a gateway installed by the desk keeps its things: one folder, of which nothing but the keys is secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioning.keys import CENTRE_PUBLIC_KEY, SIGNING_KEY
from provisioning.tls_key import ROOTS_FILE, TLS_FILE
from provisioning.voucher import ANCHOR_PUBLIC_KEY

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
        return self.keys / ANCHOR_PUBLIC_KEY

    @property
    def tls(self) -> Path:
        """The short-lived TLS key with its certificate; comes with the grant."""
        return self.keys / TLS_FILE

    @property
    def roots(self) -> Path:
        """Whom the gateway believes when it connects, PEM; comes with the voucher."""
        return self.keys / ROOTS_FILE

    @property
    def broker_password(self) -> Path:
        """Password at a broker without certificates; need not be there."""
        return self.keys / "broker-password"

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
