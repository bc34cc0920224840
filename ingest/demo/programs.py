"""The command line of every program of the demo: the ones a user would type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ingest.demo.loads_file import Play
from ingest.demo.premises import Premises, boot_of
from ingest.demo.supervisor import Program
from ingest.embedded.broker import EmbeddedBroker, Login
from ingest.embedded.postgres import EmbeddedPostgres
from ingest.embedded.server import LOOPBACK
from metering.errors import MeteringError
from metering.identity import GatewayId
from metering.interval import SLOT_S
from provisioning.cli import ENROLMENT_FILE
from provisioning.gateway_config import BrokerConfig, ClockConfig, ClockKind, gateway_config
from provisioning.keys import CENTRE_PUBLIC_KEY, SIGNING_KEY
from provisioning.site import SerialPort, Site

CENTRE_USER = "centre"
CLAIM_FILE = "claim"
CONFIG_FILE = "gateway.toml"
TOOL_S_MAX = 120
"""Longest run of a command that ends by itself [s]; the slowest, the first migration, takes a few seconds."""

_SCRIPTS = Path(sys.executable).parent
"""Where the installed commands lie: beside the interpreter, in a virtual environment as elsewhere."""
METERTREE = (str(_SCRIPTS / "metertree"),)
GATEWAY = (str(_SCRIPTS / "metertree-gateway"),)
PROVISION = (str(_SCRIPTS / "metertree-provision"),)


class ToolFailed(MeteringError):
    """A command that ends by itself ended with a complaint, or was killed; the text is what it said."""


def users_of(site: Site) -> list[str]:
    """List the broker's users: the centre and every gateway."""
    return [CENTRE_USER, *(gateway.id for gateway in site.gateways)]


def port_names(site: Site, play: Play) -> list[str]:
    """Name every TCP port the demo needs."""
    lines = [_line_name(cut.gateway) for cut in play.offline]
    wires = [port.id for port in site.ports if not isinstance(port, SerialPort)]
    return ["api", "postgres", "broker", "time", *lines, *wires]


def postgres_of(premises: Premises) -> EmbeddedPostgres:
    """Give the demo's database server."""
    return EmbeddedPostgres(premises.directory / "postgres")


def broker_of(premises: Premises, site: Site) -> EmbeddedBroker:
    """Give the demo's MQTT broker with a login for the centre and each gateway."""
    logins = [Login.of_gateway(gateway.id, premises.password(gateway.id)) for gateway in site.gateways]
    return EmbeddedBroker(
        premises.directory / "broker", [Login.of_centre(CENTRE_USER, premises.password(CENTRE_USER)), *logins]
    )


def world_program(premises: Premises, site: Site, play: Play) -> Program:
    """Give `metertree simulate`: meters, time, and the lines that are cut."""
    playbill = premises.playbill
    words = ["--site", playbill.site, "--loads", playbill.loads, "--time-port", str(premises.port("time"))]
    if playbill.csv is not None:
        words += ["--csv", playbill.csv]
    if playbill.days is not None:
        words += ["--days", str(playbill.days)]
    for port in site.ports:
        words += ["--place", f"{port.id}={premises.place(port.id, is_serial=isinstance(port, SerialPort))}"]
    for gateway in sorted({cut.gateway for cut in play.offline}):
        words += ["--line", f"{gateway}={premises.port(_line_name(gateway))}:{premises.port('broker')}"]
    return Program("world", (*METERTREE, "simulate", *words))


def serve_program(premises: Premises) -> Program:
    """Give `metertree serve`."""
    words = {
        "--dsn": postgres_of(premises).dsn,
        "--broker-host": LOOPBACK,
        "--broker-port": str(premises.port("broker")),
        "--broker-user": CENTRE_USER,
        "--broker-password-file": str(premises.password_file(CENTRE_USER)),
        "--centre-key": str(premises.centre_key),
        "--admin-token-file": str(premises.token_file),
        "--host": LOOPBACK,
        "--port": str(premises.port("api")),
        "--open-reads": "on",
    }
    return Program("serve", (*METERTREE, "serve", *(word for pair in words.items() for word in pair)))


def gateway_program(premises: Premises, gateway: GatewayId) -> Program:
    """Give `metertree-gateway run`."""
    config = premises.gateway(gateway) / CONFIG_FILE
    return Program(gateway, (*GATEWAY, "run", "--config", str(config)))


def migrate(premises: Premises) -> None:
    """Run `metertree migrate`."""
    _run(*METERTREE, "migrate", "--dsn", postgres_of(premises).dsn)


def import_site(premises: Premises) -> None:
    """Run `metertree site import`; the same site again changes nothing."""
    _run(*METERTREE, "site", "import", premises.playbill.site, "--dsn", postgres_of(premises).dsn)


def enrol(premises: Premises, site: Site, gateway: GatewayId) -> None:
    """Run `metertree-provision order` and `enrol` as office and engineer would; safe to run again at any point.

    The claim is kept until the enrolment is: the same bundle may be presented twice, if its answer was lost.
    """
    folder = premises.gateway(gateway)
    if (folder / ENROLMENT_FILE).exists():
        return
    words = ("--centre", premises.url, "--gateway", gateway, "--json")
    claim = folder / CLAIM_FILE
    if not claim.exists():
        office = ("--token-file", str(premises.token_file), "--site", site.id, "--engineer", "demo")
        answer: Any = json.loads(_run(*PROVISION, "order", *words, *office))
        claim.touch(mode=0o600)
        claim.write_text(answer["claim"] + "\n", encoding="ascii")
    _run(*PROVISION, "enrol", *words, "--keys", str(folder), typed=claim.read_text(encoding="ascii"))


def configure(premises: Premises, site: Site, play: Play, gateway: GatewayId) -> None:
    """Write the gateway's configuration: the site's, at the places of this machine, in played time."""
    folder = premises.gateway(gateway)
    is_cut = any(cut.gateway == gateway for cut in play.offline)
    broker_port = premises.port(_line_name(gateway) if is_cut else "broker")
    enrolment: Any = json.loads((folder / ENROLMENT_FILE).read_text(encoding="utf-8"))
    config = gateway_config(
        site,
        gateway,
        epoch=enrolment["epoch"],
        boot=boot_of(gateway),
        state_dir=folder,
        signing_key=folder / SIGNING_KEY,
        centre_public_key=folder / CENTRE_PUBLIC_KEY,
        broker=BrokerConfig(LOOPBACK, broker_port, gateway, premises.password(gateway)),
        clock=ClockConfig(ClockKind.PLAYED, LOOPBACK, premises.port("time")),
        every_s=SLOT_S,
        group="billing",
        places={
            port.id: premises.place(port.id, is_serial=isinstance(port, SerialPort)) for port in site.ports_of(gateway)
        },
    )
    path = folder / CONFIG_FILE
    path.touch(mode=0o600)
    path.write_text(config.to_toml(), encoding="utf-8")


def verify_command(premises: Premises, statement: Path) -> tuple[str, ...]:
    """Give `metertree verify` of one statement, as a user types it where he stands."""
    here = Path.cwd()
    paths = (statement, premises.centre_public_key)
    typed, key = (str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths)
    return ("metertree", "verify", typed, "--key", key)


def verify(premises: Premises, statement: Path, language: str) -> str:
    """Run `metertree verify` and give what it prints; raises ToolFailed if it refuses."""
    key = ("--key", str(premises.centre_public_key))
    return _run(*METERTREE, "verify", str(statement), *key, "--lang", language)


def _run(*argv: str, typed: str = "") -> str:
    """Run a command to its end and give what it printed; raises ToolFailed with what it complained of."""
    done = subprocess.run(argv, input=typed, capture_output=True, text=True, check=False, cwd="/", timeout=TOOL_S_MAX)
    if done.returncode != 0:
        name = f"{Path(argv[0]).name} {argv[1]}"
        raise ToolFailed(f"{name} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _line_name(gateway: GatewayId) -> str:
    return f"line-of-{gateway}"
