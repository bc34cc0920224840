"""The shipped register maps, typed a second time from the documents, and the hashes that published revisions keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.dlt645 import Dlt645Source
from device_profiles.families.modbus import ModbusSource
from device_profiles.profile import Channel

PUBLISHED = {
    (profile_id, int(rev)): profile_hash
    for line in (Path(__file__).parent / "published_profiles.txt").read_text(encoding="utf-8").splitlines()
    for profile_id, rev, profile_hash in (line.split(),)
}
"""A signed reading names its profile by this hash. A changed profile raises `rev` and adds a line; none goes."""

MODBUS = {
    "eastron/sdm630": {
        "1-0:1.8.0": (4, 0x48, "f32", 0, "kWh", -3),
        "1-0:2.8.0": (4, 0x4A, "f32", 0, "kWh", -3),
        "1-0:32.7.0": (4, 0x00, "f32", 0, "V", -1),
        "1-0:52.7.0": (4, 0x02, "f32", 0, "V", -1),
        "1-0:72.7.0": (4, 0x04, "f32", 0, "V", -1),
        "1-0:31.7.0": (4, 0x06, "f32", 0, "A", -3),
        "1-0:51.7.0": (4, 0x08, "f32", 0, "A", -3),
        "1-0:71.7.0": (4, 0x0A, "f32", 0, "A", -3),
        "1-0:16.7.0": (4, 0x34, "f32", 0, "W", 0),
        "1-0:14.7.0": (4, 0x46, "f32", 0, "Hz", -2),
    },
    "chint/dtsu666": {
        "1-0:1.8.0": (3, 0x101E, "f32", 0, "kWh", -2),
        "1-0:2.8.0": (3, 0x1028, "f32", 0, "kWh", -2),
        "1-0:32.7.0": (3, 0x2006, "f32", -1, "V", -1),
        "1-0:52.7.0": (3, 0x2008, "f32", -1, "V", -1),
        "1-0:72.7.0": (3, 0x200A, "f32", -1, "V", -1),
        "1-0:31.7.0": (3, 0x200C, "f32", -3, "A", -3),
        "1-0:51.7.0": (3, 0x200E, "f32", -3, "A", -3),
        "1-0:71.7.0": (3, 0x2010, "f32", -3, "A", -3),
        "1-0:16.7.0": (3, 0x2012, "f32", -1, "W", -1),
        "1-0:14.7.0": (3, 0x2044, "f32", -2, "Hz", -2),
    },
    "acrel/adl400": {
        "1-0:1.8.0": (3, 0x000A, "u32", 0, "kWh", -2),
        "1-0:2.8.0": (3, 0x0014, "u32", 0, "kWh", -2),
        "1-0:32.7.0": (3, 0x0061, "u16", 0, "V", -1),
        "1-0:52.7.0": (3, 0x0062, "u16", 0, "V", -1),
        "1-0:72.7.0": (3, 0x0063, "u16", 0, "V", -1),
        "1-0:31.7.0": (3, 0x0064, "u16", 0, "A", -2),
        "1-0:51.7.0": (3, 0x0065, "u16", 0, "A", -2),
        "1-0:71.7.0": (3, 0x0066, "u16", 0, "A", -2),
        "1-0:16.7.0": (3, 0x016A, "s32", 0, "kW", -3),
        "1-0:14.7.0": (3, 0x0077, "u16", 0, "Hz", -2),
    },
}

DLT645 = {
    "1-0:1.8.0": ("00010000", 4, 0, False, "kWh", -2),
    "1-0:2.8.0": ("00020000", 4, 0, False, "kWh", -2),
    "1-0:32.7.0": ("0201ff00", 2, 0, False, "V", -1),
    "1-0:52.7.0": ("0201ff00", 2, 1, False, "V", -1),
    "1-0:72.7.0": ("0201ff00", 2, 2, False, "V", -1),
    "1-0:31.7.0": ("0202ff00", 3, 0, True, "A", -3),
    "1-0:51.7.0": ("0202ff00", 3, 1, True, "A", -3),
    "1-0:71.7.0": ("0202ff00", 3, 2, True, "A", -3),
    "1-0:16.7.0": ("0203ff00", 3, 0, True, "kW", -4),
    "1-0:36.7.0": ("0203ff00", 3, 1, True, "kW", -4),
    "1-0:56.7.0": ("0203ff00", 3, 2, True, "kW", -4),
    "1-0:76.7.0": ("0203ff00", 3, 3, True, "kW", -4),
    "1-0:14.7.0": ("02800002", 2, 0, False, "Hz", -2),
}


def channels_of(profile_id: str) -> dict[str, Channel]:
    """Give the channels of groups billing and status by OBIS code."""
    profile = Catalogue.shipped().by_id(profile_id)
    groups = (profile.group("billing"), profile.group("status"))
    return {str(channel.obis): channel for group in groups for channel in group.channels}


def test_published_revisions_keep_their_hash() -> None:
    catalogue = Catalogue.shipped()
    for (profile_id, rev), profile_hash in PUBLISHED.items():
        profile = catalogue.by_hash(bytes.fromhex(profile_hash))
        assert (profile.id, profile.rev) == (profile_id, rev)
    assert {(profile.id, profile.rev) for profile in catalogue.profiles} <= set(PUBLISHED)


@pytest.mark.parametrize("profile_id", MODBUS)
def test_a_modbus_map_is_as_documented(profile_id: str) -> None:
    found = {}
    for obis, channel in channels_of(profile_id).items():
        source = channel.source
        assert isinstance(source, ModbusSource)
        assert source.order == "ABCD"
        place = (source.function, source.address, source.type.value, source.exponent)
        found[obis] = (*place, channel.unit.symbol, channel.exponent)
    assert found == MODBUS[profile_id]


def test_the_dlt645_map_is_as_documented() -> None:
    found = {}
    for obis, channel in channels_of("dlt645/three-phase").items():
        source = channel.source
        assert isinstance(source, Dlt645Source)
        place = (source.di.hex(), source.octets, source.index, source.signed)
        found[obis] = (*place, channel.unit.symbol, channel.exponent)
    assert found == DLT645


@pytest.mark.parametrize(
    ("profile_id", "modulus"),
    [("eastron/sdm630", None), ("chint/dtsu666", None), ("acrel/adl400", 2**32), ("dlt645/three-phase", 10**8)],
)
def test_a_modulus_is_claimed_only_where_the_register_gives_it(profile_id: str, modulus: int | None) -> None:
    channels = Catalogue.shipped().by_id(profile_id).group("billing").channels
    assert [channel.modulus for channel in channels] == [modulus, modulus]
