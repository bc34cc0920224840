"""Meters without a bus in a site: they hang on a round, and no gateway is asked to read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from metering.errors import DocumentError
from metering.identity import GatewayId, MeterId, PortId
from provisioning.gateway_config import wired
from provisioning.site import HandPort, Site
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"
ROUND = '\n[[ports]]\nid = "round"\nkind = "hand"\ngateway = "gw-b"\n'
METER = """
[[meters]]
id = "m-store"
serial = "W-77"
profile = "hand/electricity-6-1"
protocol = "hand"
port = "{port}"
address = "W-77"
node = "store"
ct = 1
pt = 1
"""
NODE = """
[[nodes]]
id = "store"
kind = "end"
parent = "bldg-b"
accuracy_class = "1"
names = { zh = "库房", en = "Store" }
"""


def park_with(folder: Path, *, port: str = "round", meter: str = METER) -> Path:
    """Write the park with a meter that people read."""
    for name, more in (("site.toml", NODE), ("gateways.toml", ROUND + meter.format(port=port)), ("leases.toml", "")):
        (folder / name).write_text((PARK / name).read_text(encoding="utf-8") + more, encoding="utf-8")
    return folder


def test_a_meter_of_a_round_is_in_the_site_and_in_no_gateways_configuration(tmp_path: Path) -> None:
    site = read_site(park_with(tmp_path), Catalogue.shipped())
    assert site.port(PortId("round")) == HandPort(PortId("round"), GatewayId("gw-b"))
    assert site.meter(MeterId("m-store")).protocol is Protocol.HAND
    ports, meters = wired(site, GatewayId("gw-b"), {})
    assert "round" not in {port.id for port in ports}
    assert "m-store" not in {meter.id for meter in meters}
    assert len(site.read_ports) == len(site.ports) - 1


def test_a_site_with_a_round_comes_back_whole_from_its_document(tmp_path: Path) -> None:
    site = read_site(park_with(tmp_path), Catalogue.shipped())
    assert Site.from_document(site.to_document()) == site


def test_a_round_is_somewhere_and_nowhere() -> None:
    port = HandPort(PortId("round"), GatewayId("gw-a"))
    assert port.at("/dev/ttyUSB0") == port


@pytest.mark.parametrize(
    ("port", "change", "word"),
    [
        ("line-a", ("", ""), "protocol hand does not run on port line-a"),
        ("round", ('protocol = "hand"', 'protocol = "modbus-rtu"'), "does not run on port round"),
        ("round", ('address = "W-77"', 'address = "W 77"'), "names no meter of a round"),
        ("round", ("hand/electricity-6-1", "hand/electricity-9-9"), "unknown profile"),
    ],
)
def test_what_does_not_fit_a_round_is_told_at_its_line(
    tmp_path: Path, port: str, change: tuple[str, str], word: str
) -> None:
    with pytest.raises(DocumentError, match=word):
        read_site(park_with(tmp_path, port=port, meter=METER.replace(*change)), Catalogue.shipped())


def test_two_rounds_may_read_the_same_number_and_one_may_not(tmp_path: Path) -> None:
    second = METER.replace("m-store", "m-store-2").replace('"W-77"', '"W-78"', 1).replace("store", "lift", 0)
    with pytest.raises(DocumentError, match="address W-77 on port round"):
        read_site(park_with(tmp_path, meter=METER + second), Catalogue.shipped())
