"""The folders of our authority: what stays offline, what the centre has, what the broker has.

    DIR/offline/   gateways-root.key, servers-root.key: to be taken away, on a stick in a safe
    DIR/centre/    gateways-issuing.key and .crt, gateways-roots.crt, servers-roots.crt
    DIR/broker/    broker.key and .crt, gateways-roots.crt, servers-roots.crt, gateways.crl
    DIR/           gateways-root.crt, servers-root.crt, and those before them as gateways-root-1.crt ...

`gateways-roots.crt` holds every root of gateways that is believed, and the same for servers: two at once while one
takes over from the other. The issuing authority before is kept as `gateways-issuing-1`, to list what it gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from metering.identity import GatewayId
from provisioning.authority import (
    CENTRE_NAME,
    Authority,
    AuthorityInvalid,
    Revoked,
    issue_gateway,
    issue_server,
    make_issuing,
    make_root,
    read_authority,
    read_certificates,
    revocation_list,
)
from provisioning.keys import replace_file, write_private

ISSUING = "gateways-issuing"
GATEWAYS_ROOT, SERVERS_ROOT = "gateways-root", "servers-root"
GATEWAYS_ROOTS, SERVERS_ROOTS = "gateways-roots.crt", "servers-roots.crt"
REVOKED_LIST = "gateways.crl"
BROKER_NAME = "broker.metertree"
ROOTS_MAX = 4
"""Two change places; more means that nobody takes the old ones away."""


@dataclass(frozen=True, slots=True)
class CentreAuthority:
    """What the centre issues with, and the roots it tells gateways to believe.

    before           what it issued with earlier, and what still lists certificates that are revoked
    gateways_roots   what the broker believes gateways by
    servers_roots    what gateways believe broker and centre by
    """

    issuing: Authority
    before: tuple[Authority, ...]
    gateways_roots: tuple[x509.Certificate, ...]
    servers_roots: tuple[x509.Certificate, ...]

    @classmethod
    def read(cls, folder: Path) -> CentreAuthority:
        """Read the centre's folder; raises AuthorityInvalid or KeyFileInvalid."""
        return cls(
            issuing=read_authority(folder / f"{ISSUING}.crt", folder / f"{ISSUING}.key"),
            before=tuple(
                read_authority(one, one.with_suffix(".key")) for one in sorted(folder.glob(f"{ISSUING}-*.crt"))
            ),
            gateways_roots=read_certificates(folder / GATEWAYS_ROOTS),
            servers_roots=read_certificates(folder / SERVERS_ROOTS),
        )

    def issue(self, gateway: GatewayId, csr: bytes, now: datetime) -> tuple[bytes, ...]:
        """Give the chain (DER, its own first) of a certificate for the key of a request; raises CsrInvalid."""
        return issue_gateway(self.issuing, gateway, csr, now)

    def revoked_list(self, revoked: Sequence[Revoked], now: datetime) -> bytes:
        """Give the lists of revoked certificates, PEM: one for each authority whose certificates may still hold."""
        alive = [self.issuing, *(one for one in self.before if one.ends_at > now)]
        return b"".join(revocation_list(one, revoked, now).public_bytes(Encoding.PEM) for one in alive)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """What gateways are to believe, DER."""
        return tuple(one.public_bytes(Encoding.DER) for one in self.servers_roots)

    def ends(self) -> tuple[tuple[str, datetime], ...]:
        """Say when each of these certificates ends; the list of revoked ones ends with the issuing authority."""
        named = [(f"{ISSUING}.crt", self.issuing.certificate)]
        named += [(GATEWAYS_ROOTS, one) for one in self.gateways_roots]
        named += [(SERVERS_ROOTS, one) for one in self.servers_roots]
        return tuple((name, one.not_valid_after_utc) for name, one in named)


def make_authority(folder: Path, organisation: str, now: datetime) -> None:
    """Make both roots, the issuing authority and an empty list; raises AuthorityInvalid where there is one already."""
    if (folder / f"{GATEWAYS_ROOT}.crt").exists():
        raise AuthorityInvalid(f"{folder}: there is an authority already; renew its parts: ca issuing, ca root")
    for name in ("offline", "centre", "broker"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (GATEWAYS_ROOT, SERVERS_ROOT):
        _keep_root(folder, name, make_root(organisation, name.replace("-", " "), now))
    renew_issuing(folder, now)


def renew_issuing(folder: Path, now: datetime) -> Path:
    """Make the issuing authority, in place of the one before; its root's key must be there. Gives its certificate.

    Cut off in the middle, it leaves a pair that is told as none when the centre starts: call it again.
    """
    root = _root(folder, GATEWAYS_ROOT)
    issuing = make_issuing(root, f"gateways issuing {now:%Y-%m-%d}", now)
    centre = folder / "centre"
    number = len(list(centre.glob(f"{ISSUING}-*.crt"))) + 1
    for suffix in (".key", ".crt"):
        if (centre / f"{ISSUING}{suffix}").exists():
            (centre / f"{ISSUING}{suffix}").rename(centre / f"{ISSUING}-{number}{suffix}")
    replace_file(centre / f"{ISSUING}.key", _key_pem(issuing.key), 0o600)
    replace_file(centre / f"{ISSUING}.crt", _pem(issuing.certificate), 0o644)
    _spread(folder)
    # Without revoked ones, until the centre is asked: a broker with no list from this authority lets none of it in.
    replace_file(folder / "broker" / REVOKED_LIST, CentreAuthority.read(centre).revoked_list((), now), 0o644)
    return centre / f"{ISSUING}.crt"


def renew_root(folder: Path, name: str, now: datetime) -> Path:
    """Make a root beside the one that is there; both are believed until `drop_root`. Gives its certificate."""
    old = _root(folder, name)
    kept = sorted(folder.glob(f"{name}-*.crt"))
    if len(kept) + 2 > ROOTS_MAX:
        raise AuthorityInvalid(f"{folder}: {len(kept) + 1} roots are believed already; remove {kept[0].name} first")
    number = len(kept) + 1
    replace_file(folder / f"{name}-{number}.crt", _pem(old.certificate), 0o644)
    (folder / "offline" / f"{name}.key").rename(folder / "offline" / f"{name}-{number}.key")
    _keep_root(folder, name, make_root(old.organisation, f"{name.replace('-', ' ')} {now:%Y-%m}", now))
    _spread(folder)
    return folder / f"{name}.crt"


def issue_broker(folder: Path, addresses: Sequence[str], now: datetime) -> Path:
    """Make or renew the broker's certificate for its names and addresses; gives its file."""
    if not addresses:
        raise AuthorityInvalid("by which names and addresses is the broker reached? Give at least one")
    return _issue_server(folder, "broker", BROKER_NAME, addresses, now)


def issue_centre(folder: Path, now: datetime) -> Path:
    """Make or renew the certificate with which the centre goes to the broker; gives its file."""
    return _issue_server(folder, "centre", CENTRE_NAME, (), now)


def _issue_server(folder: Path, place: str, name: str, addresses: Sequence[str], now: datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    made = issue_server(_root(folder, SERVERS_ROOT), name, addresses, csr.public_bytes(Encoding.DER), now)
    replace_file(folder / place / f"{place}.key", _key_pem(key), 0o600)
    replace_file(folder / place / f"{place}.crt", _pem(made), 0o644)
    return folder / place / f"{place}.crt"


def _keep_root(folder: Path, name: str, root: Authority) -> None:
    write_private(folder / "offline" / f"{name}.key", _key_pem(root.key).decode())
    replace_file(folder / f"{name}.crt", _pem(root.certificate), 0o644)


def _root(folder: Path, name: str) -> Authority:
    key = folder / "offline" / f"{name}.key"
    if not key.exists():
        raise AuthorityInvalid(f"{key} is not there: bring back the stick with the offline keys")
    return read_authority(folder / f"{name}.crt", key)


def _spread(folder: Path) -> None:
    """Let centre and broker have every root that is believed."""
    for name, file in ((GATEWAYS_ROOT, GATEWAYS_ROOTS), (SERVERS_ROOT, SERVERS_ROOTS)):
        files = [folder / f"{name}.crt", *sorted(folder.glob(f"{name}-*.crt"))]
        pem = b"".join(_pem(*read_certificates(one)) for one in files)
        for place in ("centre", "broker"):
            replace_file(folder / place / file, pem, 0o644)


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
