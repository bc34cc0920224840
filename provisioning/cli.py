"""`metertree-provision`: order a gateway, enrol it at the site, write its configuration, show what the centre knows."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from metering.clock import Clock, SystemClock
from metering.envelope import Algorithm
from metering.errors import MeteringError
from metering.identity import GatewayId, check_identifier
from provisioning.authority import read_certificates
from provisioning.broker_tls import BrokerTls, BrokerTlsInvalid
from provisioning.centre_client import CentreClient, CentreUnreachable, read_token
from provisioning.commands import bindings, broker_config, ca, import_list, label, order, report, revoke, send
from provisioning.enrolment import Claim, open_bundle, seal_bundle
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GroupInterval, HttpWay, gateway_config
from provisioning.keys import (
    CENTRE_PUBLIC_KEY,
    SIGNING_KEY,
    KeyFileInvalid,
    PublicKeyInvalid,
    fingerprint,
    public_verifier,
    write_public_key,
)
from provisioning.signers import make_signer
from provisioning.site_file import read_site
from provisioning.tls_key import TLS_FILE, write_roots

ENROLMENT_FILE = "enrolment.json"
"""What the centre answered, kept beside the keys; holds nothing secret."""
MARK_S = 900


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 refused or wrong, 2 wrong call."""
    args = _parser().parse_args(argv)
    try:
        answer: Mapping[str, Any] = args.run(args, SystemClock())
    except MeteringError as error:
        print(f"metertree-provision: {error}", file=sys.stderr)
        return 1
    answer = dict(answer)
    exit_code = int(answer.pop("exit_code", 0))
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    elif hasattr(args, "lines"):
        print("\n".join(args.lines(answer, args)))
    else:
        _print_table(answer)
    return exit_code


def _print_table(answer: Mapping[str, Any]) -> None:
    width = max(map(len, answer), default=0)
    for key, content in answer.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        print(f"{key.replace('_', ' '):<{width}}  {text}")


def _enrol(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Make the gateway's key unless it is there, present it with the claim, keep the centre's public key."""
    gateway = GatewayId(check_identifier(args.gateway))
    client = CentreClient(args.centre)
    claim = Claim.parse(_claim_text(args.claim_file))
    _make_private_directory(args.keys)
    signer = make_signer(args.keys / SIGNING_KEY, args.key_in)
    octets = seal_bundle(gateway, epoch=args.epoch, claim=claim, public_key=signer.public_key, signer=signer)
    answer = client.enrol(octets)
    try:
        centre = public_verifier(Algorithm.EDDSA, bytes.fromhex(answer["centre_public_key"]))
        granted = {"gateway": answer["gateway"], "epoch": answer["epoch"], "key_id": answer["key_id"]}
    except (KeyError, TypeError, ValueError, PublicKeyInvalid) as error:
        raise CentreUnreachable(f"the answer of {args.centre} is not that of a centre: {error!r}") from error
    if granted != {"gateway": gateway, "epoch": args.epoch, "key_id": signer.key_id.hex()}:
        raise CentreUnreachable(f"the answer of {args.centre} is for another enrolment: {granted}")
    write_public_key(args.keys / CENTRE_PUBLIC_KEY, centre)
    record = {**granted, "bundle_sha256": open_bundle(octets).digest.hex()}
    (args.keys / ENROLMENT_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    fingerprints = {"key": fingerprint(signer.public_key), "centre_key": fingerprint(centre.public_key)}
    return {**record, **fingerprints, "keys": str(args.keys)}


def _claim_text(path: Path | None) -> str:
    """Read the claim from its file, or ask for it: on a command line it would stand in the list of processes."""
    if path is None:
        return input("Claim from the install order: ")
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileInvalid(path, f"cannot be read: {error}", "write the claim into it, or leave it out") from error


def _config(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Derive the gateway's configuration from the site and its enrolment."""
    gateway = GatewayId(check_identifier(args.gateway))
    site = read_site(args.site_dir)
    host, _, port = args.broker.rpartition(":")
    if not host or not port.isdecimal():
        raise CentreUnreachable(f"--broker {args.broker!r} is not of the form host:port")
    keys = args.keys.resolve()
    config = gateway_config(
        site,
        gateway,
        epoch=_granted_epoch(keys / ENROLMENT_FILE, gateway),
        boot=secrets.token_bytes(16),
        state_dir=args.state.resolve(),
        signing_key=keys / SIGNING_KEY,
        centre_public_key=keys / CENTRE_PUBLIC_KEY,
        broker=BrokerConfig(host, int(port), *_login(args), _tls(args)),
        clock=SYSTEM_CLOCK,
        every_s=MARK_S,
        group="billing",
        places={},
        intervals=tuple(map(GroupInterval.parse, args.also)) or None,
    )
    if args.renew_at is not None:
        config = replace(
            config, renewal=HttpWay(args.renew_at, None if config.broker.tls is None else config.broker.tls.ca)
        )
    args.out.touch(mode=0o600)
    args.out.write_text(config.to_toml(), encoding="utf-8")
    return {"written": str(args.out), "ports": len(config.ports), "meters": len(config.meters)}


def _login(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """Give name and password at the broker; a gateway with a certificate needs neither."""
    if args.broker_password_file is None:
        return None, None
    try:
        return args.gateway, args.broker_password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        mend = "write the password into it"
        raise KeyFileInvalid(args.broker_password_file, f"cannot be read: {error}", mend) from error


def _tls(args: argparse.Namespace) -> BrokerTls | None:
    """Give how to speak TLS with the broker, its files read once to see that they fit."""
    paths = [
        None if one is None else one.resolve() for one in (args.broker_ca, args.broker_certificate, args.broker_key)
    ]
    if not any(paths):
        return None
    if args.renew_at is not None and paths[0] is not None and paths[1] is None:
        # Where the gateway puts what it gets; until then the broker cannot be reached, and is asked again.
        own = args.keys.resolve() / TLS_FILE
        found = [one.public_bytes(Encoding.DER) for one in read_certificates(paths[0])]
        return BrokerTls(write_roots(args.keys.resolve(), found), own, own)
    if paths[0] is None:
        raise BrokerTlsInvalid("a certificate of ours without one to believe: give --broker-ca too")
    tls = BrokerTls(*paths)
    tls.context()
    return tls


def _show(args: argparse.Namespace, clock: Clock) -> Mapping[str, Any]:  # noqa: ARG001 every command has this shape
    """Show what the centre knows of a gateway."""
    token = None if args.token_file is None else read_token(args.token_file)
    return CentreClient(args.centre, token).gateway(GatewayId(check_identifier(args.gateway)))


def _granted_epoch(path: Path, gateway: GatewayId) -> int:
    """Give the epoch the centre granted to `gateway`; raises KeyFileInvalid."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["gateway"] != gateway:
            raise KeyFileInvalid(path, f"is the enrolment of {record['gateway']}", "name that gateway, or its keys")
        return int(record["epoch"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileInvalid(path, f"no enrolment there: {error!r}", "run metertree-provision enrol first") from error


def _make_private_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileInvalid(path, f"cannot be made: {error}", "name a directory for the keys") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="metertree-provision", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    order.register(commands)
    for name, run in (("enrol", _enrol), ("config", _config), ("show", _show)):
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--gateway", required=True, help="id of the gateway")
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if name != "config":
            command.add_argument("--centre", required=True, metavar="URL", help="address of the centre, http(s)://...")
        if name == "show":
            command.add_argument("--token-file", type=Path, help="file with your operator's token, or the admin token")
        if name == "enrol":
            command.add_argument(
                "--claim-file", type=Path, help="file with the claim; asked for if left out, never an argument"
            )
            command.add_argument("--key-in", metavar="URI", help="make the key in a token: pkcs11:token=...;object=...")
            command.add_argument("--epoch", type=int, default=1, help="1; higher after loss of key or state")
        if name in ("enrol", "config"):
            command.add_argument("--keys", required=True, type=Path, help="directory of the gateway's keys")
        if name == "config":
            command.add_argument("--site-dir", required=True, type=Path, help="directory of the site's TOML files")
            command.add_argument("--broker", required=True, help="host:port of the MQTT broker")
            command.add_argument(
                "--broker-ca", type=Path, metavar="FILE", help="certificates to believe, PEM; turns TLS on"
            )
            command.add_argument("--broker-certificate", type=Path, metavar="FILE", help="the gateway's certificate")
            command.add_argument("--broker-key", type=Path, metavar="FILE", help="the key of that certificate")
            command.add_argument(
                "--broker-password-file", type=Path, metavar="FILE", help="password at a broker without certificates"
            )
            command.add_argument("--state", required=True, type=Path, help="directory for the outbox")
            command.add_argument("--out", required=True, type=Path, help="file to write, such as gateway.toml")
            command.add_argument(
                "--renew-at", metavar="URL", help="centre where the gateway gets and renews its certificate by itself"
            )
            also = "a group that is read between marks, such as status:60; repeatable"
            command.add_argument("--also", action="append", default=[], metavar="GROUP:SECONDS", help=also)
    send.register(commands)
    bindings.register(commands)
    ca.register(commands)
    broker_config.register(commands)
    for module in (import_list, report, label, revoke):
        module.register(commands)
    return parser
