"""`metertree-provision broker-config`: write Mosquitto's settings and access list, and who is revoked.

Run it again when gateways come or go; the broker reads its list again on SIGHUP, and a gateway that is not on it any
more is shut out, also from a session that is open.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from metering.clock import Clock
from metering.identity import GatewayId, check_identifier
from provisioning.authority_folder import REVOKED_LIST
from provisioning.broker_access import BrokerPlaces, mosquitto_acl, mosquitto_conf
from provisioning.centre_client import CentreClient
from provisioning.keys import replace_file
from provisioning.site_file import read_site

if TYPE_CHECKING:
    from provisioning.commands import Subparsers

CONF, ACL = "metertree.conf", "metertree.acl"
NEXT = "put the files in place, then: kill -HUP of mosquitto; a new metertree.conf needs a restart"


def register(commands: Subparsers) -> None:
    """Add the command."""
    meaning = "write Mosquitto's settings and access list"
    parser = commands.add_parser("broker-config", help=meaning, description=__doc__)
    parser.set_defaults(run=run)
    places = BrokerPlaces()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the files into")
    parser.add_argument("--centre", metavar="URL", help="let in whom this centre has enrolled and not revoked")
    parser.add_argument(
        "--site-dir", type=Path, action="append", default=[], help="let in a site's gateways; repeatable"
    )
    parser.add_argument("--gateway", action="append", default=[], help="let in this gateway; repeatable")
    parser.add_argument(
        "--certificates", type=PurePosixPath, default=places.certificates, help=f"on the broker ({places.certificates})"
    )
    parser.add_argument("--acl", type=PurePosixPath, default=places.acl, help=f"its place on the broker ({places.acl})")
    parser.add_argument("--gateways-port", type=int, default=places.gateways_port, help="door of gateways (8883)")
    parser.add_argument("--centre-port", type=int, default=places.centre_port, help="door of the centre (8884)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Write the files; raises CentreUnreachable, DocumentError, IdentifierInvalid or KeyFileInvalid."""
    gateways = {GatewayId(check_identifier(one)) for one in args.gateway}
    for folder in args.site_dir:
        gateways |= {gateway.id for gateway in read_site(folder).gateways}
    written = [CONF, ACL]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.centre is not None:
        access = CentreClient(args.centre).broker_access()
        gateways |= {GatewayId(check_identifier(one)) for one in access["gateways"]}
        if access["revoked"]:
            replace_file(args.out / REVOKED_LIST, access["revoked"].encode("ascii"), 0o644)
            written.append(REVOKED_LIST)
    is_named = bool(args.centre or args.site_dir or args.gateway)
    places = BrokerPlaces(args.certificates, args.acl, args.gateways_port, args.centre_port)
    replace_file(args.out / CONF, mosquitto_conf(places).encode(), 0o644)
    replace_file(args.out / ACL, mosquitto_acl(gateways if is_named else None).encode(), 0o600)
    told = len(gateways) if is_named else "all that a certificate names"
    return {"written": [str(args.out / one) for one in written], "gateways": told, "next": NEXT}
