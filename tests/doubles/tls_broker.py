"""Mosquitto with the settings of deploy/, on ports and paths of a test; certificates by deploy/certificates.sh."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ingest.embedded.server import LOOPBACK, settled_port
from provisioning.broker_tls import BrokerTls
from tests.doubles.mosquitto import Mosquitto

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CERTIFICATES = DEPLOY / "certificates.sh"
HAS_OPENSSL = shutil.which("openssl") is not None


def certificates(folder: Path, *words: str, days: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run deploy/certificates.sh on `folder`."""
    environment = dict(os.environ) | ({} if days is None else {"DAYS": str(days)})
    command = ["sh", str(CERTIFICATES), str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def make_certificates(folder: Path, *gateways: str, names: tuple[str, ...] = ("localhost", LOOPBACK)) -> None:
    """Make the authorities, and certificates for the broker, the centre and some gateways."""
    for words in (("authorities",), ("broker", *names), ("centre",), *(("gateway", one) for one in gateways)):
        done = certificates(folder, *words)
        assert done.returncode == 0, done.stderr


class TlsMosquitto(Mosquitto):
    """The broker of deploy/mosquitto. `changes`: texts of its settings to replace, to see what they are good for."""

    def __init__(self, directory: Path, made: Path, changes: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self.made = made
        self.centre_port = settled_port(directory / "centre-port")
        self._changes = dict(changes or {})

    def prepare(self) -> None:
        """Write the settings as deploy/ has them; only ports, places and the account are this test's."""
        included = self.directory / "conf.d"
        included.mkdir(exist_ok=True)
        outer = (DEPLOY / "mosquitto/mosquitto.conf").read_text()
        inner = (DEPLOY / "mosquitto/metertree.conf").read_text()
        acl = (DEPLOY / "mosquitto/metertree.acl").read_text()
        for old, new in self._changes.items():
            assert old in inner + acl, f"{old!r} stands nowhere"
            inner, acl = inner.replace(old, new), acl.replace(old, new)
        outer = outer.replace("/mosquitto/data/", f"{self.directory}/").replace(
            "/mosquitto/config/conf.d", str(included)
        )
        places = {
            "listener 8883": f"listener {self.port} {LOOPBACK}",
            "listener 8884": f"listener {self.centre_port} {LOOPBACK}",
            "/etc/mosquitto/certs": str(self.made),
            "/etc/mosquitto/metertree.acl": str(self.directory / "metertree.acl"),
        }
        for old, new in places.items():
            inner = inner.replace(old, new)
        (self.directory / "mosquitto.conf").write_text(outer)
        (included / "metertree.conf").write_text(inner)
        (self.directory / "metertree.acl").write_text(acl)
        (self.directory / "metertree.acl").chmod(0o700)

    def answers(self) -> bool:
        """Say whether both doors are open to a connection."""
        for port in (self.port, self.centre_port):
            try:
                socket.create_connection((self.host, port), timeout=2).close()
            except OSError:
                return False
        return True

    def tls(self, who: str | None, ca: str = "ca.crt") -> BrokerTls:
        """How `who` shows itself: `centre`, a gateway, or nobody."""
        stem = None if who is None else self.made / ("centre" if who == "centre" else f"gateways/{who}")
        return BrokerTls(
            self.made / ca,
            None if stem is None else stem.with_suffix(".crt"),
            None if stem is None else stem.with_suffix(".key"),
        )
