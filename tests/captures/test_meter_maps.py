"""The Modbus models, their registers typed a second time from the fact sheet, apart from the files that are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.modbus import ModbusSource, options_of
from device_profiles.profile import Channel, Evidence, Profile, Protocol, Side

IMPORT, EXPORT, VOLTAGE, POWER, FREQUENCY = "1-0:1.8.0", "1-0:2.8.0", "1-0:32.7.0", "1-0:16.7.0", "1-0:14.7.0"
Place = tuple[int, str, str, int]
"""Address, type, unit, and the power of ten that a register of 1 stands for."""


@dataclass(frozen=True)
class Typed:
    """One line of meter_maps.txt. `serial` is the usual speed, parity and stop bits, "" for Modbus TCP alone."""

    function: int
    order: str
    side: Side
    places: dict[str, Place | None]
    frequency: int | None
    serial: str


def typed(line: str) -> tuple[str, Typed]:
    """Read one line of the table."""
    profile_id, function, order, side, energy, imported, exported, voltage, power, frequency, serial = line.split()
    places = {
        IMPORT: place(f"{imported},{energy}"),
        EXPORT: place(f"{exported},{energy}"),
        VOLTAGE: place(voltage),
        POWER: place(power),
    }
    hertz = None if frequency == "-" else int(frequency, 0)
    return profile_id, Typed(int(function), order, Side(side), places, hertz, serial.replace("-", " ").strip())


def place(text: str) -> Place | None:
    """Read a place; None for a dash."""
    if text.startswith("-"):
        return None
    address, kind, unit, power = text.split(",")
    return int(address, 0), kind, unit, int(power)


TABLE = Path(__file__).with_name("meter_maps.txt").read_text(encoding="utf-8").splitlines()
TYPED = dict(typed(line) for line in TABLE[2:])
REGISTERS_MAX = {
    "carlo-gavazzi/em24": 11,
    "carlo-gavazzi/em340": 50,
    "carlo-gavazzi/em111": 50,
    "eastron/sdm230": 60,
    "eastron/sdm630": 80,
    "abb/b23": 125,
}
"""Most registers of one read by the maker's document; a profile may stay below."""


def channel_of(profile: Profile, obis: str) -> Channel | None:
    """Give the channel of whatever group, None when the profile has none."""
    return next((each for group in profile.groups for each in group.channels if str(each.obis) == obis), None)


def stands_for(channel: Channel) -> int:
    """Give the power of ten, in the channel's unit, that a register of 1 stands for."""
    source = channel.source
    assert isinstance(source, ModbusSource)
    return source.exponent if source.type.is_float else channel.exponent


@pytest.mark.parametrize("profile_id", TYPED)
def test_a_model_is_read_where_its_documents_say(profile_id: str) -> None:
    profile, wanted = Catalogue.shipped().by_id(profile_id), TYPED[profile_id]
    assert profile.side is wanted.side
    for obis, where in wanted.places.items():
        channel = channel_of(profile, obis)
        assert (channel is None) == (where is None), obis
        if channel is None:
            continue
        source = channel.source
        assert isinstance(source, ModbusSource)
        assert (source.address, source.type.value, channel.unit.symbol, stands_for(channel)) == where, obis
        assert source.function == wanted.function
        assert source.order == (wanted.order if source.count > 1 else "ABCD")


@pytest.mark.parametrize("profile_id", TYPED)
def test_a_model_shows_its_frequency_within_the_bounds_that_betray_a_wrong_address(profile_id: str) -> None:
    channel = channel_of(Catalogue.shipped().by_id(profile_id), FREQUENCY)
    assert (channel is None) == (TYPED[profile_id].frequency is None)
    if channel is not None:
        source = channel.source
        assert isinstance(source, ModbusSource)
        assert source.address == TYPED[profile_id].frequency
        assert [channel.shown(bound).to_base() for bound in channel.limits] == [45_000, 66_000]


@pytest.mark.parametrize("profile_id", TYPED)
def test_a_model_is_first_spoken_to_as_it_is_shipped(profile_id: str) -> None:
    profile = Catalogue.shipped().by_id(profile_id)
    serial = profile.links[Protocol.MODBUS_RTU].serial if Protocol.MODBUS_RTU in profile.links else None
    said = "" if serial is None else f"{serial.bauds[0]} {serial.data_bits}{serial.parity}{serial.stop_bits}"
    assert said == TYPED[profile_id].serial


@pytest.mark.parametrize("profile_id", REGISTERS_MAX)
def test_no_read_is_longer_than_the_maker_allows(profile_id: str) -> None:
    for link in Catalogue.shipped().by_id(profile_id).links.values():
        assert options_of(link).registers_max <= REGISTERS_MAX[profile_id]


def test_every_modbus_model_is_typed_here() -> None:
    modbus = {
        profile.id
        for profile in Catalogue.shipped().profiles
        if any(protocol.is_modbus for protocol in profile.links) and not profile.id.startswith("sunspec/")
    }
    assert modbus - APART == set(TYPED)


APART = {"delixi/dtsu6606", "iskra/mc3x0"}
"""Models that do not fit the table; each has a test of its own."""


def test_a_model_that_shows_no_energy_over_modbus_is_not_offered_for_billing() -> None:
    profile = Catalogue.shipped().by_id("delixi/dtsu6606")
    assert [group.name for group in profile.groups] == ["status"]
    places = {str(each.obis): each.source for each in profile.groups[0].channels}
    addresses = {obis: source.address for obis, source in places.items() if isinstance(source, ModbusSource)}
    assert (addresses[VOLTAGE], addresses[POWER], addresses[FREQUENCY]) == (0x0300, 0x0309, 0x0316)


def test_the_measuring_centres_of_iskra_count_in_a_power_of_ten_beside_the_counter() -> None:
    (channel,) = Catalogue.shipped().by_id("iskra/mc3x0").group("billing").channels
    source = channel.source
    assert isinstance(source, ModbusSource)
    assert (source.function, source.address, source.type.value, source.scale) == (4, 406, "s32", 401)
    assert (channel.unit.symbol, channel.exponent) == ("Wh", 0)


@pytest.mark.parametrize("profile_id", ["siemens/pac2200", "siemens/pac3200", "siemens/pac4200"])
def test_a_meter_that_counts_each_tariff_alone_is_billed_by_the_sum(profile_id: str) -> None:
    sources = [channel.source for channel in Catalogue.shipped().by_id(profile_id).group("billing").channels]
    places = [(source.address, source.added) for source in sources if isinstance(source, ModbusSource)]
    assert places == [(801, (805,)), (809, (813,))]


def test_no_model_claims_more_than_it_shows() -> None:
    """Frame-tested means that a frame of a meter stands in the file."""
    for profile in Catalogue.shipped().profiles:
        if profile.evidence is Evidence.CAPTURES:
            assert any(not vector.derived for vector in profile.vectors), profile.id


def test_where_sources_disagree_the_profile_says_so_in_both_languages() -> None:
    """The fact sheet names these; each would give a wrong bill or a reading that nobody can explain."""
    disputed = {
        "eastron/sdm120": "bauds",
        "eastron/sdm230": "bauds",
        "abb/b23": POWER,
        "schneider/iem3155": IMPORT,
        "schneider/pm5xxx": "address",
        "siemens/pac1600": "function",
        "janitza/umg96rm": "function",
        "janitza/umg96rm-e": IMPORT,
        "carlo-gavazzi/em24": IMPORT,
        "carlo-gavazzi/em340": POWER,
        "carlo-gavazzi/em111": "31.7.0",
        "socomec/countis-e24": FREQUENCY,
        "iskra/ie38": "address",
        "acrel/adw300": "bauds",
        "chint/ddsu666": IMPORT,
    }
    for profile_id, point in disputed.items():
        disputes = Catalogue.shipped().by_id(profile_id).disputes
        assert any(point in dispute.point for dispute in disputes), profile_id
        assert all(dispute.told["zh"] and dispute.told["en"] for dispute in disputes)
