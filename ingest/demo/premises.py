"""Where a demo lives: its folder, and in it everything that must stay the same when programs are started again.

    demo.json     what is played and on which ports: chosen once, read again by --resume
    keys/         the centre's key, the admin token, the broker's passwords
    centre.pub    the centre's public key
    gateways/     one folder for each gateway: its keys, its configuration, its outbox
    postgres/ broker/ lines/ logs/ pids.json
    run.json statements/ report.txt      the result

The keys that sign are derived from fixed texts, so that two demos of one site give the same octets; that makes them no
secret, and no gateway of a real site is ever given one. Passwords and the token are random, as everywhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import LOOPBACK
from metering.errors import MeteringError
from metering.identity import GatewayId, PortId
from provisioning.keys import CENTRE_PUBLIC_KEY, SALT_KEY, write_public_key, write_salt_key, write_signing_key
from provisioning.site import Site

STATE_FILE = "demo.json"
LOCK_FILE = "demo.lock"
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections (Linux from 32768, IANA from 49152): otherwise a client
that keeps trying to reach a killed server may be given the server's own port, and keep it."""
PORT_TRIES_MAX = 1000


class PremisesUnfit(MeteringError):
    """The folder cannot be used for this demo."""


@dataclass(frozen=True, slots=True)
class Playbill:
    """What is played: the site's folder, its loads, how many days of the month (None: all), on which ports."""

    site: str
    loads: str
    csv: str | None
    days: int | None
    ports: dict[str, int]


@dataclass(frozen=True, slots=True)
class Premises:
    """The folder of one demo."""

    directory: Path
    playbill: Playbill

    def port(self, name: str) -> int:
        """Give the TCP port chosen for `name`."""
        return self.playbill.ports[name]

    @property
    def url(self) -> str:
        """Where the API and the console answer."""
        return f"http://{LOOPBACK}:{self.port('api')}"

    @property
    def centre_key(self) -> Path:
        """The key that signs receipts and statements."""
        return self.directory / "keys" / "centre.key"

    @property
    def centre_public_key(self) -> Path:
        """Its public half, for whoever verifies."""
        return self.directory / CENTRE_PUBLIC_KEY

    @property
    def token_file(self) -> Path:
        """The API's admin token."""
        return self.directory / "keys" / "admin.token"

    def password_file(self, user: str) -> Path:
        """A broker user's password."""
        return self.directory / "keys" / f"{user}.password"

    def password(self, user: str) -> str:
        """Read a broker user's password."""
        return self.password_file(user).read_text(encoding="ascii").strip()

    def gateway(self, gateway: GatewayId) -> Path:
        """The folder of a gateway: keys, configuration, outbox."""
        return self.directory / "gateways" / gateway

    def place(self, port: PortId, *, is_serial: bool) -> str:
        """Where the meters of a site's port answer on this machine."""
        return str(self.directory / "lines" / port) if is_serial else f"{LOOPBACK}:{self.port(port)}"

    def furnish(self, site: Site, users: Iterable[str]) -> None:
        """Make folders, keys, token and passwords; those that are there are kept."""
        for name in ("keys", "lines", "statements"):
            (self.directory / name).mkdir(mode=0o700, exist_ok=True)
        centre = write_signing_key(self.centre_key, _seed("centre"))
        write_public_key(self.centre_public_key, centre.verifier())
        write_salt_key(self.centre_key.with_name(SALT_KEY), _seed("salts"))
        for gateway in site.gateways:
            self.gateway(gateway.id).mkdir(mode=0o700, parents=True, exist_ok=True)
            write_signing_key(self.gateway(gateway.id) / "signing.key", _seed(gateway.id))
        for path in (self.token_file, *map(self.password_file, users)):
            _write_secret(path)
        for server in ("postgres", "broker"):
            (self.directory / server).mkdir(exist_ok=True)
            (self.directory / server / "port").write_text(f"{self.port(server)}\n", encoding="ascii")


def boot_of(gateway: GatewayId) -> bytes:
    """Give the boot id of a gateway's machine: the machine of a demo boots once, whatever happens to its program."""
    return hashlib.sha256(f"metertree demo, boot of {gateway}".encode()).digest()[:16]


@contextmanager
def sole_use_of(directory: Path) -> Iterator[None]:
    """Hold the folder for one demo; raises PremisesUnfit if another one runs there."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PremisesUnfit(f"another demo runs in {directory}; stop it or give another --dir") from error
        yield


def clear(directory: Path) -> None:
    """Remove an earlier demo; raises PremisesUnfit if the folder holds anything that is none."""
    entries = {entry.name for entry in directory.iterdir()} - {LOCK_FILE}
    if entries and STATE_FILE not in entries:
        raise PremisesUnfit(f"{directory} holds files that are not a demo's; give another --dir")
    if "postgres" in entries:
        EmbeddedPostgres(directory / "postgres").remove()
    # The state file goes last: a removal that was cut short can be done again.
    for name in sorted(entries, key=lambda name: name == STATE_FILE):
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()


def open_premises(directory: Path, playbill: Playbill) -> Premises:
    """Write down what is played, whole or not at all."""
    path = directory / STATE_FILE
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(asdict(playbill), indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
    return Premises(directory, playbill)


def reopen_premises(directory: Path) -> Premises:
    """Read what was being played; raises PremisesUnfit if there is no demo to resume."""
    try:
        content: dict[str, Any] = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        return Premises(directory, Playbill(**content))
    except (OSError, ValueError, TypeError) as error:
        raise PremisesUnfit(f"there is no demo to resume in {directory}: {error}") from error


def choose_ports(names: Iterable[str], fixed: dict[str, int]) -> dict[str, int]:
    """Choose a free TCP port for each name, all different, except those that are `fixed`. Raises PremisesUnfit."""
    chosen = dict(fixed)
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(set(chosen.values()))
    return chosen


def _free_port(taken: set[int]) -> int:
    for port in random.SystemRandom().sample(PORTS, PORT_TRIES_MAX):
        if port not in taken and _is_free(port):
            return port
    raise PremisesUnfit(f"no free TCP port between {PORTS.start} and {PORTS.stop} after {PORT_TRIES_MAX} tries")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _seed(name: str) -> bytes:
    """Give the seed of a demo key: 32 octets that anyone can work out."""
    return hashlib.sha256(f"metertree demo, not a secret: {name}".encode()).digest()


def _write_secret(path: Path) -> None:
    if not path.exists():
        fresh = path.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        fresh.replace(path)
