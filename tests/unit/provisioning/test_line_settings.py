"""Meters with line settings of their own, converters as ports, and that documents from before stay as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metering.errors import DocumentError
from provisioning.document import to_document
from provisioning.gateway_config import SYSTEM_CLOCK, BrokerConfig, GatewayConfig, GroupInterval, gateway_config
from provisioning.site import LineSettings, Parity, SerialPort, Site, SiteInvalid, StreamPort
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
SLOW = LineSettings(2400, Parity.EVEN, 1)
CONVERTER = """
[[ports]]
id = "far"
gateway = "gw-a"
kind = "tcp"
host = "10.0.0.9"
port = 4001
tolerance_s = 60
freeze = true
line = { baud = 9600, parity = "E", stopbits = 1 }
"""


def park(tmp_path: Path, **changes: str) -> Path:
    """The example park with texts of its gateways file replaced."""
    for path in PARK.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        if path.name == "gateways.toml":
            for old, new in changes.items():
                found = {"lift": 'id = "m-lift"\n', "end": "# ---- Meters"}[old]
                assert found in text
                text = text.replace(found, new if old == "end" else found + new, 1)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    return tmp_path


def config(site: Site, *intervals: GroupInterval) -> GatewayConfig:
    """Gateway A's configuration."""
    return gateway_config(
        site,
        site.gateways[0].id,
        epoch=1,
        boot=bytes(16),
        state_dir=Path("/var/lib/metertree"),
        signing_key=Path("signing.key"),
        centre_public_key=Path("centre.pub"),
        broker=BrokerConfig("127.0.0.1", 1883, None, None),
        clock=SYSTEM_CLOCK,
        every_s=900,
        group="billing",
        places={},
        intervals=intervals or None,
    )


def test_a_site_from_before_has_the_hash_it_had() -> None:
    site = read_site(PARK)
    assert "line" not in to_document(site.meters[0])
    assert "freeze" not in to_document(site.ports[0])
    assert site.hash == Site.from_document(site.to_document()).hash


def test_a_meters_own_line_goes_with_it_into_the_gateways_file(tmp_path: Path) -> None:
    text = 'line = { baud = 2400, parity = "E", stopbits = 1, databits = 8, gap_ms = 50 }\n'
    site = read_site(park(tmp_path, lift=text))
    own = replace(SLOW, databits=8, gap_ms=50)
    assert site.meter(next(meter.id for meter in site.meters if meter.id == "m-lift")).line == own
    assert site.hash != read_site(PARK).hash
    (tmp_path / "gateway.toml").write_text(config(site).to_toml(), encoding="utf-8")
    again = GatewayConfig.read(tmp_path / "gateway.toml")
    assert again == config(site)
    assert [meter.line for meter in again.meters if meter.id == "m-lift"] == [own]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("line = 3\n", "must be a table"),
        ('line = { baud = 2401, parity = "E", stopbits = 1 }\n', "baud is 2401"),
        ('line = { baud = 300, parity = "E", stopbits = 1 }\n', "chint/dtsu666 cannot be set to 300 bit/s"),
        ('line = { baud = 2400, parity = "E", stopbits = 1, speed = 9 }\n', "unknown key 'speed'"),
        ('line = { baud = 2400, parity = "E" }\n', "stopbits is missing"),
    ],
)
def test_mistakes_in_a_line_are_told_with_theirs(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        read_site(park(tmp_path, lift=line))
    text = (tmp_path / "gateways.toml").read_text(encoding="utf-8")
    place = text[: text.index(line)].count("\n") + 1
    assert caught.value.faults[0].line == place


def test_a_converter_is_a_port_and_carries_what_serial_lines_carry(tmp_path: Path) -> None:
    site = read_site(park(tmp_path, end=CONVERTER + "# ---- Meters"))
    (far,) = [port for port in site.ports if port.id == "far"]
    assert isinstance(far, StreamPort)
    assert (far.line, far.freeze) == (LineSettings(9600, Parity.EVEN, 1), True)
    assert far.at("10.0.0.10:4002") == replace(far, host="10.0.0.10", port=4002)
    with pytest.raises(SiteInvalid, match="host:port"):
        far.at("nowhere")
    assert Site.from_document(site.to_document()) == site


def test_rtu_over_tcp_runs_behind_a_converter_only(tmp_path: Path) -> None:
    directory = park(tmp_path, end=CONVERTER + "# ---- Meters")
    path = directory / "gateways.toml"
    text = path.read_text(encoding="utf-8")
    at = text.index('id = "m-lift"')
    moved = text[at:].replace('port = "line-a"', 'port = "far"', 1)
    path.write_text(text[:at] + moved, encoding="utf-8")
    with pytest.raises(DocumentError, match="modbus-rtu does not run on port far"):
        read_site(directory)
    path.write_text(text[:at] + moved.replace("modbus-rtu", "modbus-rtu-over-tcp", 1), encoding="utf-8")
    assert [meter.port for meter in read_site(directory).meters if meter.id == "m-lift"] == ["far"]


def test_the_line_behind_a_converter_is_not_switched_for_a_meter(tmp_path: Path) -> None:
    line = 'line = { baud = 2400, parity = "E", stopbits = 1 }\n'
    directory = park(tmp_path, end=CONVERTER + "# ---- Meters", lift=line)
    path = directory / "gateways.toml"
    text = path.read_text(encoding="utf-8")
    at = text.index('id = "m-lift"')
    moved = text[at:].replace('port = "line-a"', 'port = "far"', 1).replace("modbus-rtu", "modbus-rtu-over-tcp", 1)
    path.write_text(text[:at] + moved, encoding="utf-8")
    with pytest.raises(DocumentError, match="set by its converter"):
        read_site(directory)


def test_freeze_false_is_as_good_as_none(tmp_path: Path) -> None:
    assert read_site(park(tmp_path, end=CONVERTER.replace("freeze = true", "freeze = false") + "# ---- Meters")).ports
    with pytest.raises(DocumentError, match="freeze is 'yes'"):
        read_site(park(tmp_path, end=CONVERTER.replace("freeze = true", 'freeze = "yes"') + "# ---- Meters"))


def test_a_gateway_whose_port_freezes_knows_its_meters_zone(tmp_path: Path) -> None:
    assert config(read_site(PARK)).time is None
    made = config(read_site(park(tmp_path, end=CONVERTER + "# ---- Meters")))
    assert made.time is not None
    assert made.time.zone == "Asia/Shanghai"


@pytest.mark.parametrize("text", ["status", "status:", ":60", "status:often", "status:5"])
def test_a_rhythm_that_is_none_says_how_to_write_it(text: str) -> None:
    with pytest.raises(SiteInvalid):
        GroupInterval.parse(text)
    assert GroupInterval.parse("status:60") == GroupInterval("status", 60)


def test_groups_with_their_rhythm_go_into_the_file_and_are_checked(tmp_path: Path) -> None:
    made = config(read_site(PARK), GroupInterval("status", 60))
    (tmp_path / "gateway.toml").write_text(made.to_toml(), encoding="utf-8")
    assert GatewayConfig.read(tmp_path / "gateway.toml").intervals == (GroupInterval("status", 60),)
    assert "intervals" not in config(read_site(PARK)).to_toml()
    with pytest.raises(SiteInvalid, match="10 s or more"):
        GroupInterval("status", 1)


def test_a_port_tells_how_its_line_is_set() -> None:
    port = next(port for port in read_site(PARK).ports if isinstance(port, SerialPort))
    assert port.line == LineSettings(9600, Parity.EVEN, 1)
    assert port.line.char_s == pytest.approx(11 / 9600)
