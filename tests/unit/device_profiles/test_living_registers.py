"""Registers of simulated meters: believable, never falling, repeatable, and what they do when told to misbehave."""

from __future__ import annotations

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.living_registers import DAY_S, LivingRegisters
from device_profiles.misbehaviour import HONEST, Misbehaviour
from device_profiles.profile import Channel, ChannelKind, Profile
from metering.identity import MeterId
from metering.obis import ENERGY_IMPORT, Obis

WALL_S = 1_782_864_000
METER = MeterId("m-1")
CATALOGUE = Catalogue.shipped()
FULL = CATALOGUE.by_id("dlt645/three-phase-full")
CLOCK = Obis.parse("0-0:1.0.0")


def registers(profile: Profile = FULL, ways: Misbehaviour = HONEST, seed: str = "seed") -> LivingRegisters:
    """A meter's registers."""
    return LivingRegisters(profile, seed, WALL_S, ways)


def at(of: LivingRegisters, instant_s: float, obis: Obis = ENERGY_IMPORT) -> int:
    """A register at an instant."""
    of.at_s = instant_s
    register = of.register(METER, obis)
    assert register is not None
    return register


def channels(profile: Profile, kind: ChannelKind) -> list[Channel]:
    """Channels of a kind."""
    return [channel for group in profile.groups for channel in group.channels if channel.kind is kind]


def channel_of(profile: Profile, obis: Obis) -> Channel:
    """The channel of a register."""
    return next(each for group in profile.groups for each in group.channels if each.obis == obis)


@pytest.mark.parametrize("profile", CATALOGUE.profiles, ids=lambda profile: profile.id)
def test_every_register_of_every_model_stays_within_what_its_profile_believes(profile: Profile) -> None:
    of = registers(profile)
    for group in profile.groups:
        for channel in group.channels:
            least, most = channel.limits
            for instant_s in (0, DAY_S):
                assert least <= channel.mantissa_at(at(of, instant_s, channel.obis)) <= most, str(channel.obis)


@pytest.mark.parametrize("model", ["dlt645/three-phase-full", "mbus/heat-kwh", "eastron/sdm630"])
def test_counters_never_fall_and_rise_within_a_day(model: str) -> None:
    profile = CATALOGUE.by_id(model)
    of = registers(profile)
    for channel in channels(profile, ChannelKind.COUNTER):
        shown = [at(of, hour * 3600.0, channel.obis) for hour in range(25)]
        assert shown == sorted(shown)
        assert shown[-1] > shown[0] or 1 <= channel.obis.f <= 99, str(channel.obis)


def test_tariffs_of_a_total_add_up_to_it_at_every_moment() -> None:
    of = registers()
    tariffs = {channel.obis for channel in channels(FULL, ChannelKind.COUNTER) if channel.obis.e}
    assert {(obis.c, obis.e) for obis in tariffs} >= {(1, 1), (1, 2), (1, 3), (1, 4)}
    for instant_s in (0, 1, 3599, 3600, 40_000, 10 * DAY_S + 17):
        parts = [at(of, instant_s, obis) for obis in tariffs if (obis.c, obis.d, obis.f) == (1, 8, 255)]
        assert sum(parts) == at(of, instant_s)


def test_a_counter_rises_by_the_very_load_that_power_shows() -> None:
    profile = CATALOGUE.by_id("eastron/sdm630")
    of = registers(profile)
    power_w = at(of, 0, Obis.parse("1-0:16.7.0"))
    assert 200 <= power_w <= 3000
    assert at(of, 3600) - at(of, 0) == power_w


def test_voltage_and_frequency_are_those_of_a_building_and_move() -> None:
    of = registers()
    volts = [at(of, instant, Obis.parse("1-0:32.7.0")) for instant in range(50)]
    hertz = [at(of, instant, Obis.parse("1-0:14.7.0")) for instant in range(50)]
    assert all(227_500 <= one <= 232_500 for one in volts)
    assert all(49_970 <= one <= 50_030 for one in hertz)
    assert len(set(volts)) > 10


def test_the_same_seed_gives_the_same_registers() -> None:
    obis = [channel.obis for group in FULL.groups for channel in group.channels]
    assert [at(registers(), 99, one) for one in obis] == [at(registers(), 99, one) for one in obis]
    assert [at(registers(), 99, one) for one in obis] != [at(registers(seed="other"), 99, one) for one in obis]


def test_a_counter_rolls_over_when_told() -> None:
    of = registers(ways=Misbehaviour(wrap_after_s=7200))
    channel = channel_of(FULL, ENERGY_IMPORT)
    assert channel.modulus is not None
    before, after = (channel.mantissa_at(at(of, instant)) for instant in (7100.0, 7300.0))
    assert channel.modulus - before < 100
    assert after < 100


def test_a_reset_makes_counters_begin_at_nothing() -> None:
    of = registers(ways=Misbehaviour(reset_at_s=100))
    assert at(of, 99) > 100_000
    assert at(of, 100) == 0
    assert 0 < at(of, 3700) <= 3000


def test_an_exchanged_meter_has_other_registers_from_then_on() -> None:
    ways = Misbehaviour(exchange_at_s=100)
    of, stayed = registers(ways=ways), registers()
    assert at(of, 99.9) == at(stayed, 99.9)
    assert at(of, 100) < at(stayed, 100) / 10
    serial = next(each.obis for each in channels(FULL, ChannelKind.GAUGE) if each.obis.c == 96)
    assert at(of, 99, serial) != at(of, 100, serial)
    assert at(of, 5000) > at(of, 100)


def test_a_clock_jumps_when_told_and_runs_on() -> None:
    clock = next(each.obis for each in channels(FULL, ChannelKind.TIME) if (each.obis.c, each.obis.d) == (1, 0))
    of = registers(ways=Misbehaviour(clock_jump_at_s=50, clock_jump_s=-3600))
    assert [at(of, instant, clock) - WALL_S for instant in (0, 49, 50, 60)] == [0, 49, 50 - 3600, 60 - 3600]


def test_what_the_profile_does_not_name_is_zero() -> None:
    assert at(registers(), 0, Obis.parse("1-0:99.99.99")) == 0
