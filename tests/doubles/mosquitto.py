"""Mosquitto as a broker for tests, where the machine has it: on a port of the loopback, everything on disk.

Its queue limits are set as docs/operate.md asks; its password file is left out, since the tests are of delivery.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from ingest.embedded.server import LOOPBACK, ServerCommand, settled_port

_CONNECT = bytes.fromhex("101000044d5154540402003c000470726f62")
UNPACKED = Path(__file__).parents[2] / ".metertree/mosquitto/usr/sbin/mosquitto"
"""Where scripts/install_mosquitto.sh puts it."""
PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", str(UNPACKED))


def find_mosquitto() -> str | None:
    """Give the program, or None."""
    given = os.environ.get("METERTREE_TEST_MOSQUITTO")
    return next((one for one in (given, shutil.which("mosquitto"), *PLACES) if one and Path(one).exists()), None)


class Mosquitto:
    """An EmbeddedServer for the tests. `inflight`: what it sends to a 3.1.1 client before an acknowledgement."""

    def __init__(self, directory: Path, inflight: int = 2048) -> None:
        self.directory = directory
        self.inflight = inflight
        self.host = LOOPBACK
        self.port = settled_port(directory / "port")
        self.log = directory / "mosquitto.log"

    def prepare(self) -> None:
        """Write the settings."""
        self.directory.joinpath("mosquitto.conf").write_text(
            f"listener {self.port} {LOOPBACK}\n"
            "allow_anonymous true\n"
            "persistence true\n"
            f"persistence_location {self.directory}/\n"
            "autosave_interval 1\n"
            f"max_inflight_messages {self.inflight}\n"
            "max_queued_messages 100000\n"
        )

    def command(self) -> ServerCommand:
        """Give the command that starts it in the foreground."""
        program = find_mosquitto()
        assert program is not None
        environment = {"PATH": os.defpath, **({"LD_LIBRARY_PATH": lib} if (lib := _libraries(program)) else {})}
        # Under root it would go over to the account `mosquitto`, which is missing where its files were only unpacked.
        settings = self.directory / "mosquitto.conf"
        if os.geteuid() == 0:
            settings.write_text(settings.read_text() + "user root\n")
        return ServerCommand((program, "-c", str(settings)), environment)

    def answers(self) -> bool:
        """Say whether it answers a CONNECT."""
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as probe:
                probe.sendall(_CONNECT)
                return probe.recv(1) == b"\x20"
        except OSError:
            return False


def _libraries(program: str) -> str | None:
    """The libraries that were unpacked beside it."""
    folder = Path(program).parent.parent / "lib"
    return ":".join(str(one) for one in (folder, *folder.glob("*-linux-gnu"))) if folder.name != "usr" else None
