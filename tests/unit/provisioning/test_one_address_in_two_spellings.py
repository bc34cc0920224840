"""An M-Bus number is one address, with its open part written or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from metering.errors import DocumentError
from provisioning.site_file import read_site

PARK = Path(__file__).parents[3] / "examples" / "park"


def faults_with(tmp_path: Path, first: str, second: str) -> str:
    """Read the park with two of its meters on M-Bus; gives every fault."""
    for path in PARK.iterdir():
        if path.suffix in (".toml", ".csv"):
            (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    gateways = tmp_path / "gateways.toml"
    head, *meters = gateways.read_text(encoding="utf-8").split("[[meters]]")
    for at, address in enumerate((first, second)):
        lines = meters[at].splitlines()
        changes = {"protocol": "mbus", "profile": "mbus/electricity", "address": address}
        meters[at] = "\n".join(
            f'{key} = "{changes[key]}"' if (key := line.split(" = ")[0]) in changes else line for line in lines
        )
    gateways.write_text("[[meters]]".join([head, *(f"{meter}\n" for meter in meters)]), encoding="utf-8")
    try:
        read_site(tmp_path)
    except DocumentError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("second", ["12345678", "12345678FFFFFFFF", "12345678ffffffff"])
def test_two_spellings_of_one_address_are_told(tmp_path: Path, second: str) -> None:
    assert f"address {second} on port" in faults_with(tmp_path, "12345678", second)


def test_two_addresses_are_two(tmp_path: Path) -> None:
    assert "each meter on a line needs its own address" not in faults_with(tmp_path, "12345678", "12345679")
