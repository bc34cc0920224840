"""What Mosquitto has to know of us: its doors, and who may say and hear what. Text only; files are the command's.

The access list names every gateway with its exact topics, of its own partition. So the broker lets in and on nobody who
is not in the registry, and drops what a gateway says that was taken off the list, even in a session that is open, as
soon as it has read the list again (SIGHUP). The registry decides about every message all the same: the list keeps
strangers off the wire, the signature keeps them out of the books. Without names a list of patterns is given, which
holds for every certificate of the authority.

`deploy/mosquitto` explains each setting; a test keeps both the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from metering.identity import GatewayId, check_identifier
from metering.topics import config_topic, envelope_topic, receipt_topic
from provisioning.authority import CENTRE_NAME

CERTIFICATES = PurePosixPath("/etc/mosquitto/certs")
ACL = PurePosixPath("/etc/mosquitto/metertree.acl")
PATTERNS = (
    "pattern write m/+/%u/up/envelope",
    "pattern read m/+/%u/down/receipt",
    "pattern read m/+/%u/down/config",
)
_CENTRE = (
    f"user {CENTRE_NAME}",
    "topic read m/+/+/up/envelope",
    "topic write m/+/+/down/receipt",
    "topic write m/+/+/down/config",
    "topic read $SYS/broker/#",
)
LIMITS = (
    "max_packet_size 264192",
    "max_inflight_messages 2048",
    "max_queued_messages 1000000",
    "max_queued_bytes 2147483648",
    "persistent_client_expiration 14d",
    "autosave_interval 60",
    "set_tcp_nodelay true",
)


@dataclass(frozen=True, slots=True)
class BrokerPlaces:
    """Where things are on the broker's machine.

    certificates   folder of the files below
    acl            the access list
    gateways_port, centre_port   the two doors
    gateways_roots, revoked      by which gateways are believed, and which are not
    centre_roots                 by which the centre is believed
    """

    certificates: PurePosixPath = CERTIFICATES
    acl: PurePosixPath = ACL
    gateways_port: int = 8883
    centre_port: int = 8884
    gateways_roots: str = "gateways-roots.crt"
    revoked: str = "gateways.crl"
    centre_roots: str = "servers-roots.crt"


def mosquitto_conf(places: BrokerPlaces) -> str:
    """Give the settings: a door for gateways and one for the centre, each by an authority of its own."""
    folder = places.certificates
    own = (
        f"certfile {folder / 'broker.crt'}",
        f"keyfile {folder / 'broker.key'}",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
    )
    lines = [
        "# Written by metertree-provision broker-config; deploy/mosquitto/metertree.conf says why each line is there.",
        "allow_anonymous false",
        "allow_zero_length_clientid false",
        f"acl_file {places.acl}",
        "",
        "# The door of gateways: the name in the certificate is that of the session and of the topics.",
        f"listener {places.gateways_port}",
        f"cafile {folder / places.gateways_roots}",
        f"crlfile {folder / places.revoked}",
        *own,
        "use_username_as_clientid true",
        "",
        "# The door of the centre. Not for the internet.",
        f"listener {places.centre_port}",
        f"cafile {folder / places.centre_roots}",
        *own,
        "",
        *LIMITS,
    ]
    return "\n".join(lines) + "\n"


def mosquitto_acl(gateways: Iterable[GatewayId] | None) -> str:
    """Give the access list of these gateways and the centre; None: patterns, for every certificate there is.

    Raises IdentifierInvalid for a name that is none: a wildcard in a list of names would open every topic.
    """
    lines = list(PATTERNS) if gateways is None else list(_named(gateways))
    return "\n".join(["# Written by metertree-provision broker-config.", *lines, "", *_CENTRE]) + "\n"


def _named(gateways: Iterable[GatewayId]) -> Iterator[str]:
    for gateway in sorted(set(gateways)):
        yield ""
        yield f"user {check_identifier(gateway)}"
        yield f"topic write {envelope_topic(gateway)}"
        yield f"topic read {receipt_topic(gateway)}"
        yield f"topic read {config_topic(gateway)}"
