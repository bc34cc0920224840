"""`metertree-provision ca`: the certificate authority of gateways, broker and centre, in one folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metering.clock import Clock
from metering.identity import GatewayId, check_identifier
from provisioning.authority import read_certificates
from provisioning.authority_folder import (
    GATEWAYS_ROOT,
    SERVERS_ROOT,
    CentreAuthority,
    issue_broker,
    issue_centre,
    make_authority,
    renew_issuing,
    renew_root,
)
from provisioning.keys import replace_file
from provisioning.tls_key import chain_pem

if TYPE_CHECKING:
    from provisioning.commands import Subparsers

ROOTS = {"gateways": GATEWAYS_ROOT, "servers": SERVERS_ROOT}
NEXT = (
    "take DIR/offline away, to a stick in a safe; DIR/centre goes to the centre (--authority-folder), "
    "DIR/broker to the broker (/etc/mosquitto/certs)"
)
WORDS = {
    "init": "make both roots and the issuing authority, once",
    "issuing": "make a new issuing authority (every three years); bring the offline keys",
    "root": "make a new root beside the old one (every ten years); both are believed until you remove the old file",
    "broker": "make or renew the broker's certificate, for the names and addresses it is reached by",
    "centre": "make or renew the certificate with which the centre goes to the broker",
    "gateway": "give one gateway a certificate for its request, where no centre does",
    "show": "say when each certificate ends",
}


def register(commands: Subparsers) -> None:
    """Add the command with its parts."""
    parser = commands.add_parser("ca", help=__doc__.split(": ")[1].rstrip("."), description=__doc__)
    parts = parser.add_subparsers(required=True, metavar="PART")
    for name, meaning in WORDS.items():
        part = parts.add_parser(name, help=meaning, description=meaning)
        part.set_defaults(run=run, part=name)
        part.add_argument("--dir", type=Path, required=True, help="folder of the authority")
        part.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "init":
            part.add_argument("--organisation", required=True, help="whose authority it is, as certificates name it")
        if name == "root":
            part.add_argument("which", choices=sorted(ROOTS), help="the root of gateways, or of broker and centre")
        if name == "broker":
            part.add_argument("address", nargs="+", help="name or address, as clients write it")
        if name == "gateway":
            part.add_argument("--gateway", required=True, help="id of the gateway")
            part.add_argument("--csr", type=Path, required=True, help="its request (PKCS #10, DER)")
            part.add_argument(
                "--out", type=Path, required=True, help="file for the certificate and those above it, PEM"
            )


def run(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:
    """Do one part; raises AuthorityInvalid, CsrInvalid or KeyFileInvalid."""
    now = clock.now()
    if args.part == "init":
        make_authority(args.dir, args.organisation, now)
        return {"made": str(args.dir), **_ends(args.dir), "next": NEXT}
    if args.part == "issuing":
        return {
            "made": str(renew_issuing(args.dir, now)),
            "next": "give DIR/centre to the centre, DIR/broker to the broker",
        }
    if args.part == "root":
        made = renew_root(args.dir, ROOTS[args.which], now)
        return {"made": str(made), "next": "give DIR/centre and DIR/broker out first; then make what it signs anew"}
    if args.part == "broker":
        return {"made": str(issue_broker(args.dir, args.address, now))}
    if args.part == "centre":
        return {"made": str(issue_centre(args.dir, now))}
    if args.part == "gateway":
        chain = CentreAuthority.read(args.dir / "centre").issue(
            GatewayId(check_identifier(args.gateway)), args.csr.read_bytes(), now
        )
        replace_file(args.out, chain_pem(chain), 0o644)
        return {"made": str(args.out)}
    return _ends(args.dir)


def _ends(folder: Path) -> Mapping[str, Any]:
    ends = dict(CentreAuthority.read(folder / "centre").ends())
    servers = (folder / "broker/broker.crt", folder / "centre/centre.crt")
    ends |= {one.name: read_certificates(one)[0].not_valid_after_utc for one in servers if one.exists()}
    return {name: f"{ends_at:%Y-%m-%d}" for name, ends_at in ends.items()}
