"""What may be set from afar, and what may not."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from metering.errors import DocumentError
from metering.identity import GatewayId, PortId
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig, GroupInterval, TimeConfig
from provisioning.remote_settings import BrokerPlace, RemoteSettings, remote_settings
from provisioning.site import SiteInvalid
from provisioning.site_file import read_site

PARK = read_site(Path(__file__).parents[3] / "examples" / "park")
GATEWAY = GatewayId("gw-a")


def settings() -> RemoteSettings:
    """Those that follow from the park."""
    return remote_settings(PARK, GATEWAY, every_s=900, group="billing", trial_s=600, places={})


def own() -> GatewayConfig:
    """What stands on the gateway."""
    return GatewayConfig(
        gateway=GATEWAY,
        epoch=3,
        boot=bytes(16),
        state_dir=Path("/var/lib/metertree"),
        signing_key=Path("/keys/signing.key"),
        centre_public_key=Path("/keys/centre.pub"),
        every_s=300,
        group="billing",
        broker=BrokerConfig("broker.example", 8883, "gw-a", "secret"),
        clock=SYSTEM_CLOCK,
        ports=(),
        meters=(),
        time=TimeConfig(zone="Asia/Shanghai"),
    )


def test_they_follow_from_the_site() -> None:
    found = settings()
    assert [port.id for port in found.ports] == ["line-a"]
    assert len(found.meters) == len(PARK.meters_of(GATEWAY))


def test_a_port_may_be_elsewhere_on_that_machine() -> None:
    places = {PortId("line-a"): "/dev/ttyUSB3"}
    found = remote_settings(PARK, GATEWAY, every_s=900, group="billing", trial_s=600, places=places)
    assert found.ports[0].device == "/dev/ttyUSB3"  # type: ignore[union-attr]


def test_the_text_gives_them_back() -> None:
    rich = replace(
        settings(), broker=BrokerPlace("other.example", 1883), intervals=(GroupInterval("status", 60),), trial_s=60
    )
    for one in (settings(), rich):
        assert RemoteSettings.from_text(one.to_toml()) == one


def test_only_what_is_named_changes() -> None:
    after = settings().applied_to(own())
    changed = {
        field.name for field in fields(GatewayConfig) if getattr(after, field.name) != getattr(own(), field.name)
    }
    assert changed == {"every_s", "ports", "meters"}


def test_the_brokers_place_may_change_but_not_the_login() -> None:
    after = replace(settings(), broker=BrokerPlace("other.example", 1883)).applied_to(own())
    assert after.broker == replace(own().broker, host="other.example", port=1883)


def test_groups_beside_the_marks_stay_unless_they_are_named() -> None:
    status, words = (GroupInterval("status", 60),), (GroupInterval("words", 600),)
    assert settings().applied_to(replace(own(), intervals=status)).intervals == status
    assert replace(settings(), intervals=words).applied_to(replace(own(), intervals=status)).intervals == words


@pytest.mark.parametrize("key", ["gateway", "epoch", "state_dir", "signing_key", "centre_public_key", "clock", "tls"])
def test_nothing_else_can_be_named(key: str) -> None:
    with pytest.raises(DocumentError, match=f"settings:1: {key}"):
        RemoteSettings.from_text(f'{key} = "x"\n' + settings().to_toml())


def test_a_mistake_is_told_with_its_line() -> None:
    text = settings().to_toml().replace("every_s = 900", 'every_s = "often"')
    with pytest.raises(DocumentError, match=r"wanted\.toml:1: every_s"):
        RemoteSettings.from_text(text, "wanted.toml")


def test_ports_of_another_gateway_do_not_fit() -> None:
    with pytest.raises(SiteInvalid, match="gw-b"):
        settings().applied_to(replace(own(), gateway=GatewayId("gw-b")))


@pytest.mark.parametrize("trial_s", [0, 59, 3601])
def test_a_trial_is_no_shorter_than_a_minute_and_no_longer_than_an_hour(trial_s: int) -> None:
    with pytest.raises(SiteInvalid, match="trial_s"):
        replace(settings(), trial_s=trial_s)


def test_settings_without_a_meter_are_none() -> None:
    with pytest.raises(SiteInvalid, match="without a meter"):
        replace(settings(), meters=())
