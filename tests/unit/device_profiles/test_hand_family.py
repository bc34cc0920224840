"""Displays that people read: digits as they are, a modulus that is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.hand import HAND, DisplaySource
from device_profiles.forms import NotReadable
from device_profiles.framing.errors import AddressInvalid, FrameError
from device_profiles.framing.hand import DisplayRead, asked_meter, body_in, build_reply, build_request, check_address
from device_profiles.profile import Protocol, ReadRequest
from device_profiles.profile_file import profile_from_toml
from metering.errors import DocumentError
from metering.toml_source import TomlSource

PROFILES = [profile for profile in Catalogue.shipped().profiles if Protocol.HAND in profile.links]
STATUS = """
[[groups]]
name = "status"
atomic = true

[[groups.channels]]
obis = "1-0:16.7.0"
unit = "W"
exponent = 0
kind = "gauge"
display = { digits = 5 }

"""
FOLDER = Path(__file__).parents[3] / "device_profiles" / "meters" / "hand"


@pytest.mark.parametrize("profile", PROFILES, ids=[profile.id for profile in PROFILES])
def test_a_profile_is_named_for_its_digits(profile: object) -> None:
    (channel,) = profile.group("billing").channels  # type: ignore[attr-defined]
    whole, decimals = map(int, profile.id.split("-")[-2:])  # type: ignore[attr-defined]
    assert (channel.exponent, channel.modulus) == (-decimals, 10 ** (whole + decimals))
    assert channel.source == DisplaySource(whole + decimals)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("modulus = 10000000", "modulus = 1000000", "another modulus"),
        ("modulus = 10000000\n", "", "another modulus"),
        ("[[vectors]]", STATUS + "[[vectors]]", "read for no gauge"),
        ("digits = 7", "digits = 13", "within 1 to 12"),
        ("digits = 7", "digits = 7, of = 2", "of"),
    ],
)
def test_a_profile_whose_digits_and_modulus_differ_is_refused(old: str, new: str, word: str) -> None:
    text = (FOLDER / "electricity-6-1.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(DocumentError, match=word):
        profile_from_toml(TomlSource.parse(text.replace(old, new), "p.toml"))


def test_a_display_is_asked_by_name_and_answers_with_all_its_digits() -> None:
    assert asked_meter(build_request("W-77")) == "W-77"
    assert asked_meter(b"READ \n") is None
    assert asked_meter(b"PULSE 7\n") is None
    assert body_in(build_reply(1234567)) == (1234567).to_bytes(8, "big")
    with pytest.raises(FrameError, match="8 octets"):
        body_in(b"\0")


@pytest.mark.parametrize("address", ["W-77", "7", "2024A1", "0" * 32])
def test_a_round_calls_a_meter_by_letters_and_digits(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize("address", ["", "-7", "7-", "W 77", "0" * 33, "表7"])
def test_anything_else_is_no_name_on_a_round(address: str) -> None:
    with pytest.raises(AddressInvalid):
        check_address(address)


def test_the_family_reads_its_own_sources_only() -> None:
    (profile,) = [one for one in PROFILES if one.id == "hand/water-5-0"]
    channel = profile.group("billing").channels[0]
    assert HAND.covers(DisplayRead(), channel)
    assert not HAND.covers(ReadRequest(), channel)
    with pytest.raises(NotReadable):
        HAND.reader(DisplayRead(), channel)(b"\0")
    with pytest.raises(TypeError):
        HAND.mantissa_limit(object())  # type: ignore[arg-type]
