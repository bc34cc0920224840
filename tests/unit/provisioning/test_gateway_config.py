"""The gateway's configuration: derived from the site, written as TOML, read back whole or refused with its line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metering.errors import DocumentError
from metering.identity import GatewayId, PortId
from metering.toml_source import TomlSource
from provisioning.broker_tls import BrokerTls
from provisioning.gateway_config import (
    SYSTEM_CLOCK,
    BrokerConfig,
    ClockConfig,
    ClockKind,
    GatewayConfig,
    HttpWay,
    gateway_config,
)
from provisioning.site import NotInSite, SerialPort, SiteInvalid, TcpPort
from provisioning.site_file import read_site

PARK = read_site(Path(__file__).parents[3] / "examples" / "park")


def config_of(gateway: str, places: dict[PortId, str] | None = None) -> GatewayConfig:
    """The configuration of one of the park's gateways."""
    return gateway_config(
        PARK,
        GatewayId(gateway),
        epoch=2,
        boot=bytes(range(16)),
        state_dir=Path("/var/lib/metertree"),
        signing_key=Path("/etc/metertree/signing.key"),
        centre_public_key=Path("/etc/metertree/centre.pub"),
        broker=BrokerConfig("127.0.0.1", 1883, "gw", 'pass"word\\'),
        clock=ClockConfig(ClockKind.PLAYED, "127.0.0.1", 7000),
        every_s=900,
        group="billing",
        places=places or {},
    )


@pytest.mark.parametrize("gateway", ["gw-a", "gw-b"])
def test_the_file_form_reads_back_equal(tmp_path: Path, gateway: str) -> None:
    config = config_of(gateway)
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert GatewayConfig.read(path) == config


def test_a_configuration_without_ports_and_secrets_reads_back_equal() -> None:
    config = replace(
        config_of("gw-a"), ports=(), meters=(), clock=SYSTEM_CLOCK, broker=BrokerConfig("b", 1883, None, None)
    )
    assert GatewayConfig.from_toml(TomlSource.parse(config.to_toml(), "gateway.toml")) == config


@pytest.mark.parametrize(
    "tls",
    [
        BrokerTls(None, None, None),
        BrokerTls(Path("/etc/metertree/ca.crt"), None, None),
        BrokerTls(Path("/etc/metertree/ca.crt"), Path("/etc/metertree/gw.crt"), Path("/etc/metertree/gw.key")),
    ],
)
def test_a_configuration_with_tls_reads_back_equal(tls: BrokerTls) -> None:
    config = replace(config_of("gw-a"), broker=BrokerConfig("b", 8883, None, None, tls))
    assert GatewayConfig.from_toml(TomlSource.parse(config.to_toml(), "gateway.toml")) == config


def test_a_bundle_is_a_digest(tmp_path: Path) -> None:
    config = replace(config_of("gw-a"), bundle=bytes(range(32)), outranks=3)
    path = tmp_path / "gateway.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert GatewayConfig.read(path) == config
    with pytest.raises(SiteInvalid, match="bundle must be 32 octets"):
        replace(config, bundle=b"short")


def test_a_certificate_without_its_key_is_told_with_its_line() -> None:
    text = config_of("gw-a").to_toml() + '\n[broker.tls]\nca = "/ca"\ncertificate = "/gw.crt"\n'
    with pytest.raises(DocumentError) as caught:
        GatewayConfig.from_toml(TomlSource.parse(text, "gateway.toml"))
    (fault,) = caught.value.faults
    assert "both or neither" in fault.problem
    assert fault.line == text[: text.index("[broker.tls]")].count("\n") + 1


@pytest.mark.parametrize("http", [HttpWay("http://127.0.0.1:8080"), HttpWay("https://centre.example", Path("/etc/ca"))])
def test_a_way_over_http_reads_back_equal(http: HttpWay) -> None:
    config = replace(config_of("gw-a"), http=http)
    assert GatewayConfig.from_toml(TomlSource.parse(config.to_toml(), "gateway.toml")) == config


@pytest.mark.parametrize("url", ["centre.example", "mqtt://centre.example", "https://", ""])
def test_a_way_over_http_that_names_no_centre_is_refused(url: str) -> None:
    with pytest.raises(SiteInvalid, match="give the centre as http"):
        HttpWay(url)


def test_a_gateway_knows_its_own_meters_alone() -> None:
    config = config_of("gw-a")
    assert {meter.id for meter in config.meters} == {meter.id for meter in PARK.meters_of(GatewayId("gw-a"))}
    assert len(config.meters_on(PortId("line-a"))) == 11
    assert config.meters_on(PortId("tcp-b")) == ()


def test_a_meter_keeps_its_span() -> None:
    spans = {meter.id: meter.span for meter in config_of("gw-a").meters}
    assert spans["m-u-a102"].end == spans["m-u-a102-2"].start == PARK.exchanges[0].at


def test_a_port_may_be_elsewhere_on_this_machine() -> None:
    (line,) = config_of("gw-a", {PortId("line-a"): "/tmp/line"}).ports
    (endpoint,) = config_of("gw-b", {PortId("tcp-b"): "127.0.0.1:1502"}).ports
    assert isinstance(line, SerialPort)
    assert line.device == "/tmp/line"
    assert isinstance(endpoint, TcpPort)
    assert (endpoint.host, endpoint.port) == ("127.0.0.1", 1502)


def test_a_gateway_that_is_not_in_the_site_has_no_configuration() -> None:
    with pytest.raises(NotInSite, match="gw-c"):
        config_of("gw-c")


@pytest.mark.parametrize(
    ("old", "new", "said", "marker"),
    [
        ("every_s = 900", 'every_s = "900"', "every_s: expected int", "every_s"),
        ("epoch = 2", "epoch = 0", "epoch counts from 1", None),
        ('boot = "00', 'boot = "zz', "boot: ", "boot"),
        ('boot = "0001', 'boot = "', "boot must be 16 octets", None),
        ('kind = "played"', 'kind = "sundial"', "clock.kind: ", 'kind = "sundial"'),
        ('host = "127.0.0.1"\nport = 7000', "port = 7000", "played clock needs host", "[clock]"),
        ('parity = "E"', 'parity = "X"', "ports.0.parity: ", "parity"),
        ('kind = "serial"', 'kind = "radio"', "none of the known kinds", "[[ports]]"),
        ("baud = 9600", "baud = 9600\nspeed = 1", "ports.0.speed: is not a known key", "speed"),
        ('group = "billing"\n', "", "group: is missing", None),
        ('port = "line-a"', 'port = "line-z"', "names port line-z", None),
        ('protocol = "dlt645-2007"', 'protocol = "dlt645-1967"', "meters.0.protocol", "dlt645-1967"),
        ('end = "2026-07-21T02:07:00Z"', 'end = "2026-07-21T02:07:00"', "no time zone", "end = "),
        ('id = "line-a"', 'id = "line/a"', "not an identifier", "[[ports]]"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, said: str, marker: str | None) -> None:
    text = config_of("gw-a").to_toml()
    assert old in text
    text = text.replace(old, new, 1)
    with pytest.raises(DocumentError) as caught:
        GatewayConfig.from_toml(TomlSource.parse(text, "gateway.toml"))
    (fault,) = caught.value.faults
    assert said in fault.problem
    assert fault.line == (1 if marker is None else text[: text.index(marker)].count("\n") + 1)


def test_a_played_clock_needs_its_server() -> None:
    with pytest.raises(SiteInvalid):
        ClockConfig(ClockKind.PLAYED, None, None)
