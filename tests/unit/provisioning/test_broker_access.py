"""What is written for Mosquitto: the settings of deploy/, and a list that names each gateway's own topics only."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.identity import GatewayId, IdentifierInvalid
from metering.topics import partition_of
from provisioning.broker_access import BrokerPlaces, mosquitto_acl, mosquitto_conf

DEPLOY = Path(__file__).parents[3] / "deploy/mosquitto"


def settings_of(text: str) -> list[tuple[str, ...]]:
    """The lines that count, those of each door together."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    first = next(number for number, line in enumerate(lines) if line.startswith("listener"))
    second = next(number for number, line in enumerate(lines[first + 1 :], first + 1) if line.startswith("listener"))
    doors = ("cafile", "crlfile", "certfile", "keyfile", "tls_version", "require_certificate", "use_", "listener")
    general = [line for line in lines if not line.startswith(doors)]
    return [
        tuple(sorted(general)),
        tuple(sorted(line for line in lines[first:second] if line.startswith(doors))),
        tuple(sorted(line for line in lines[second:] if line.startswith(doors))),
    ]


def test_the_settings_are_those_that_deploy_explains() -> None:
    of_deploy = BrokerPlaces(gateways_roots="gateways-ca.crt", revoked="gateways-ca.crl", centre_roots="ca.crt")
    assert settings_of(mosquitto_conf(of_deploy)) == settings_of((DEPLOY / "metertree.conf").read_text())


def test_the_patterns_are_those_of_deploy() -> None:
    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines(mosquitto_acl(None)) == lines((DEPLOY / "metertree.acl").read_text())


def test_each_gateway_has_its_own_topics_and_no_wildcard() -> None:
    gateways = [GatewayId(f"gw-{number}") for number in range(40)]
    text = mosquitto_acl([*gateways, gateways[0]])
    parts = text.split("user ")[1:]
    assert [part.split()[0] for part in parts] == [*sorted(gateways), "centre.metertree"]
    for part in parts[:-1]:
        name = part.split()[0]
        place = f"m/{partition_of(GatewayId(name))}/{name}/"
        topics = [line.removeprefix("topic ") for line in part.splitlines() if line.startswith("topic")]
        assert topics == [f"write {place}up/envelope", f"read {place}down/receipt", f"read {place}down/config"]
    assert "pattern" not in text


def test_nobody_but_the_centre_is_let_in_where_there_is_no_gateway() -> None:
    assert [line for line in mosquitto_acl([]).splitlines() if line.startswith("user")] == ["user centre.metertree"]


@pytest.mark.parametrize("name", ["+", "#", "gw/a", "gw-a\ntopic #", "", "centre.metertree", "%u"])
def test_a_name_that_is_no_id_never_comes_into_the_list(name: str) -> None:
    with pytest.raises(IdentifierInvalid):
        mosquitto_acl([GatewayId(name)])
