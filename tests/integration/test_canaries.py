"""Secrets with marks on them: they go in by files, and none is found in arguments, answers, logs, books or reports.

The whole way of a gateway is gone, right and wrong: order, enrolment, configuration, certificate, handed over key, a
refused token, a mistyped claim. Then everything that was said, logged, stored and written is searched for every secret,
as text, as hexadecimal digits and as Base64.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import edge_agent.cli
import ingest.cli
import provisioning.cli
from edge_agent.adapters.centre_door import CentreDoor
from edge_agent.renewal import Renewal
from ingest.api.metrics import Metrics
from ingest.api.service import WebParts, create_app
from ingest.closing import Closing
from ingest.config import BrokerConfig as CentreBroker
from ingest.config import ServeConfig
from ingest.settlement import Settlement
from ingest.store.database import Database
from ingest.store.operators import add_operator
from metering.clock import SystemClock
from metering.identity import GatewayId
from provisioning.authority_folder import CentreAuthority
from provisioning.enrolment import Claim
from provisioning.gateway_config import GatewayConfig
from provisioning.keys import FileSigner, read_public_key, write_private
from provisioning.signers import open_signer
from tests.doubles.installer import Installer
from tests.doubles.park_books import PARK, ParkBooks, read_park
from tests.doubles.revoked_session import BY
from tests.doubles.soft_token import PIN, find_module, fresh_place
from tests.doubles.web import serving

A = GatewayId("gw-a")
TOKEN = "canary-admin-token-5f1d"
BROKER_PASSWORD = "canary-broker-password-77"
METER_KEY = "ca4a12900ca4a12900ca4a12900ca4a1"
CENTRE_SEED = b"canary centre signing key seed!!"
SECRET_WORDS = re.compile(r"(claim|token|password|pin|passphrase|secret|key)$")
NAMES_A_PLACE = {"--key-in", "--centre-key"}
"""Options that end so and take no secret: where a key lives in a token, the file of the centre's key."""


def parsers_of(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[str, argparse.Action]]:
    """Every option of a program and its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from parsers_of(below, (*words, name))
        else:
            yield " ".join(words), action


def test_no_option_of_any_program_takes_a_secret() -> None:
    """What an argument says, everybody on the machine can read."""
    programs = (
        (ingest.cli.build_parser(), "metertree"),
        (edge_agent.cli._parser(), "metertree-gateway"),
        (provisioning.cli._parser(), "metertree-provision"),
    )
    found = []
    for parser, program in programs:
        for command, action in parsers_of(parser, (program,)):
            for option in action.option_strings:
                takes_text = action.nargs != 0 and action.type is not Path and option not in NAMES_A_PLACE
                if takes_text and SECRET_WORDS.search(option):
                    found.append(f"{command} {option}")
    assert found == []


def test_no_secret_stands_in_a_representation(tmp_path: Path) -> None:
    claim, signer = Claim.fresh(), FileSigner.from_seed(CENTRE_SEED)
    config = GatewayConfigs.of(tmp_path)
    holders = (
        claim,
        signer,
        config,
        CentreBroker("h", 1, "u", BROKER_PASSWORD),
        ServeConfig("dsn-" + TOKEN, CentreBroker("h", 1, "u", BROKER_PASSWORD), tmp_path, TOKEN, "h", 1, None, 1.0),
    )
    for holder in holders:
        assert not set(forms_found(f"{holder!r} {holder!s}", {"claim": claim.text, **SECRETS}))


SECRETS = {
    "admin token": TOKEN,
    "broker password": BROKER_PASSWORD,
    "meter key": METER_KEY,
    "pin": PIN,
    "centre key": CENTRE_SEED.decode(),
}


def forms_found(haystack: str, secrets: dict[str, str]) -> Iterator[str]:
    """Name the secrets that a text holds, however they are written there."""
    folded = haystack.lower()
    for name, secret in secrets.items():
        octets = secret.encode()
        forms = {
            secret,
            secret.replace("-", ""),
            octets.hex(),
            base64.b64encode(octets).decode()[: 4 * len(octets) // 3],
        }
        if any(form.lower() in folded for form in forms):
            yield name


class GatewayConfigs:
    """A configuration with a password in it, where it has to stand."""

    @staticmethod
    def of(folder: Path) -> GatewayConfig:
        from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig

        return GatewayConfig(
            gateway=A,
            epoch=1,
            boot=bytes(16),
            state_dir=folder,
            signing_key=folder / "signing.key",
            centre_public_key=folder / "centre.pub",
            every_s=900,
            group="billing",
            broker=BrokerConfig("h", 1, "u", BROKER_PASSWORD),
            clock=SYSTEM_CLOCK,
            ports=(),
            meters=(),
        )


def dump(dsn: str) -> str:
    """Everything that is in the database, as text."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = []
        for (table,) in tables:
            query = sql.SQL("SELECT row_to_json(t)::text FROM {} AS t").format(sql.Identifier(table))
            rows += [row for (row,) in connection.execute(query)]
    return "\n".join(rows)


def private_half(path: Path) -> str:
    """A line of a key's file that only the private half has."""
    return next(line for line in path.read_text().splitlines()[1:] if len(line) > 40)


def test_on_the_whole_way_of_a_gateway_no_secret_is_said_logged_or_stored(
    database: Database,
    migrated_dsn: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    provision, gateway = provisioning.cli.main, edge_agent.cli.main
    said: list[str] = []
    arguments: list[str] = []

    def ran(program: object, *words: object) -> str:
        argv = [str(word) for word in words]
        arguments.extend(argv)
        try:
            program(argv)  # type: ignore[operator]
        except SystemExit as ended:
            said.append(str(ended))
        shown = capsys.readouterr()
        said.extend((shown.out, shown.err))
        return shown.out

    ran(provision, "ca", "init", "--dir", tmp_path / "ca", "--organisation", "Example")
    site, rules, play, catalogue = read_park()
    centre_key = FileSigner.from_seed(CENTRE_SEED)
    books = ParkBooks(database, site, rules, play, catalogue)
    with database.transaction() as connection:
        from ingest.store.sites import import_site

        import_site(connection, site, {}, imported_at=SystemClock().now())
        operator = add_operator(connection, "eng-2", BY, SystemClock().now())
    parts = WebParts(
        database=database,
        closing=Closing(Settlement(database, catalogue), centre_key, bytes(32)),
        clock=SystemClock(),
        centre_key=centre_key.public_key,
        admin_token=TOKEN,
        checks={"database": database.answers},
        metrics=Metrics(),
        authority=CentreAuthority.read(tmp_path / "ca/centre"),
    )
    assert books.site == site
    token, wrong, claims = tmp_path / "token", tmp_path / "wrong", tmp_path / "claim"
    write_private(token, TOKEN)
    write_private(wrong, operator[:-1] + "x")
    keys = tmp_path / "keys"
    with serving(create_app(parts)) as client:
        url = str(client.base_url)
        order = ("order", "--centre", url, "--site", "park", "--gateway", A, "--engineer", "eng-1")
        ran(provision, *order, "--token-file", wrong, "--json")
        told = ran(provision, *order, "--token-file", token, "--json")
        said.remove(told)
        claim = str(json.loads(told)["claim"])
        write_private(claims, claim[:-1] + ("0" if claim[-1] != "0" else "1"))
        enrol = ("enrol", "--centre", url, "--gateway", A, "--keys", keys, "--claim-file", claims)
        ran(provision, *enrol)
        claims.unlink()
        write_private(claims, claim)
        ran(provision, *enrol, *(("--key-in", fresh_place(keys).text()) if find_module() else ()))
        ran(provision, "show", "--centre", url, "--gateway", A)
        ran(provision, "broker-config", "--centre", url, "--out", tmp_path / "broker")

        password, config = tmp_path / "password", tmp_path / "gateway.toml"
        write_private(password, BROKER_PASSWORD)
        ran(
            provision,
            *("config", "--gateway", A, "--keys", keys, "--site-dir", PARK, "--broker", "127.0.0.1:1"),
            *("--broker-password-file", password, "--renew-at", url, "--state", tmp_path / "state", "--out", config),
        )
        (keys / "meters").mkdir(mode=0o700)
        write_private(keys / "meters/m-lift.toml", f'encryption = "{METER_KEY}"\nauthentication = "{METER_KEY}"\n')
        (tmp_path / "state").mkdir()
        for words in (("doctor",), ("doctor", "--json"), ("outbox",), ("status",), ("hand-over",), ("hand-over",)):
            ran(gateway, *words, "--config", config)
        made = GatewayConfig.read(config)
        door = CentreDoor(made.renewal).post  # type: ignore[arg-type]
        signer, centre = open_signer(made.signing_key), read_public_key(keys / "centre.pub")
        standing = Renewal(keys, A, made.epoch, signer, centre, door).step(SystemClock().now())
        said.append(repr(standing))

        installer = Installer("gw-b", site=site)
        for path in ("/v1/install-orders", "/v1/enrolments", "/v1/certificates/renewals", "/v1/gateways/gw-a/revoke"):
            for header in ({"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"Bearer {operator}x"}):
                answer = client.post(path, content=installer.bundle(Claim.parse(claim)), headers=header)
                said.extend((answer.text, str(answer.headers)))
        for path in ("/metrics", "/v1/gateways", f"/v1/gateways/{A}", "/", "/v1/openapi.json", "/v1/broker-access"):
            said.append(client.get(path).text)

    assert (keys / "tls.pem").exists(), "the way was gone to its end"
    assert made.epoch == 2
    files = [*tmp_path.rglob("*.key"), keys / "tls.pem"]
    secrets = SECRETS | {"claim": claim, "operator": operator}
    secrets |= {"most of the claim": claim[:24], "most of the token": operator[:24]}
    secrets |= {str(path): private_half(path) for path in files if "PRIVATE KEY" in path.read_text()}
    assert len(secrets) > 9
    written = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.suffix in (".json", ".crt", ".conf", ".acl", ".crl", ".pub", ".cose")
    ]
    places = {
        "arguments": "\n".join(arguments),
        "said": "\n".join(said),
        "logged": caplog.text + "\n".join(str(record.__dict__) for record in caplog.records),
        "stored": dump(migrated_dsn),
        "written": "\n".join(path.read_bytes().decode("latin-1") for path in written),
        "process list": Path("/proc/self/cmdline").read_text() if sys.platform == "linux" else "",
    }
    found = {(place, name) for place, text in places.items() for name in forms_found(text, secrets)}
    assert found == set()
