"""Mosquitto with the settings and the list that `metertree-provision broker-config` writes, and our own authority."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives.serialization import Encoding

from ingest.embedded.server import LOOPBACK, settled_port
from metering.identity import GatewayId
from provisioning.authority_folder import CentreAuthority, issue_broker, issue_centre, make_authority
from provisioning.broker_access import BrokerPlaces, mosquitto_acl, mosquitto_conf
from provisioning.broker_tls import BrokerTls
from provisioning.tls_key import TLS_FILE, install_certificate, request_certificate, write_roots
from tests.doubles.mosquitto import Mosquitto


def make_certified(folder: Path, now: datetime, *gateways: GatewayId) -> None:
    """Make an authority, certificates for broker and centre, and a key folder for each gateway."""
    make_authority(folder / "ca", "Example Park Power", now)
    issue_broker(folder / "ca", ["localhost", LOOPBACK], now)
    issue_centre(folder / "ca", now)
    for gateway in gateways:
        certify(folder, gateway, now)


def certify(folder: Path, gateway: GatewayId, now: datetime) -> None:
    """Give a gateway a certificate, its first or the next."""
    authority, own = CentreAuthority.read(folder / "ca/centre"), folder / "gateways" / gateway
    own.mkdir(parents=True, exist_ok=True)
    chain = authority.issue(gateway, request_certificate(own, gateway), now)
    install_certificate(own, gateway, chain)
    write_roots(own, [one.public_bytes(Encoding.DER) for one in authority.servers_roots])


class AccessMosquitto(Mosquitto):
    """The broker; only ports and the account are this test's. `named` None: the list of patterns."""

    def __init__(self, directory: Path, made: Path, named: Iterable[GatewayId] | None) -> None:
        super().__init__(directory)
        self.made = made
        self.named = None if named is None else list(named)
        self.centre_port = settled_port(directory / "centre-port")

    def prepare(self) -> None:
        """Write the settings."""
        places = BrokerPlaces(
            certificates=PurePosixPath(self.made / "ca/broker"),
            acl=PurePosixPath(self.directory / "metertree.acl"),
            gateways_port=self.port,
            centre_port=self.centre_port,
        )
        conf = mosquitto_conf(places)
        for port in (self.port, self.centre_port):
            conf = conf.replace(f"listener {port}\n", f"listener {port} {LOOPBACK}\n")
        (self.directory / "mosquitto.conf").write_text(f"log_dest stdout\n{conf}")
        self.write_list(self.named)

    def write_list(self, named: Iterable[GatewayId] | None) -> None:
        """Write the access list anew; the broker reads it at SIGHUP."""
        acl = self.directory / "metertree.acl"
        acl.touch(mode=0o600)
        acl.write_text(mosquitto_acl(named))

    def answers(self) -> bool:
        """Say whether both doors are open to a connection."""
        for port in (self.port, self.centre_port):
            try:
                socket.create_connection((self.host, port), timeout=2).close()
            except OSError:
                return False
        return True

    def tls(self, who: GatewayId | None) -> BrokerTls:
        """How a gateway shows itself; None: the centre."""
        centre = self.made / "ca/centre"
        if who is None:
            return BrokerTls(centre / "servers-roots.crt", centre / "centre.crt", centre / "centre.key")
        own = self.made / "gateways" / who
        return BrokerTls(own / "roots.pem", own / TLS_FILE, own / TLS_FILE)
