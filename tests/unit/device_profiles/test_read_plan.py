"""The planner: few reads, legal reads, distinct lengths."""

from __future__ import annotations

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.families.modbus import ModbusOptions, ModbusSource, options_of
from device_profiles.forms import RegisterType
from device_profiles.profile import Channel, ChannelKind, Group, Link, NotInProfile, Profile, Protocol, Side
from device_profiles.read_plan import Dlt645Read, ModbusRead, PlanImpossible, covers, plan_reads
from metering.obis import Obis
from metering.quantity import Unit

RTU = Protocol.MODBUS_RTU


def made(*addresses: tuple[int, int], hole_max: int = 4, registers_max: int = 20, atomic: bool = False) -> Profile:
    """A profile with one group of u32 registers at (function, address)."""
    channels = tuple(
        Channel(
            Obis(1, 0, at + 1, 7, 0),
            Unit.W,
            0,
            ChannelKind.GAUGE,
            None,
            ModbusSource(function, address, RegisterType.U32),
        )
        for at, (function, address) in enumerate(addresses)
    )
    link = Link(RTU, None, 100, ModbusOptions(registers_max, hole_max))
    name = repr((addresses, hole_max, registers_max, atomic)).encode()
    return Profile("t/t", 1, {}, Side.PRIMARY, {RTU: link}, (Group(0, "g", channels, atomic),), name, name)


def planned(profile: Profile) -> list[tuple[int, int, int]]:
    """Plan the only group as (function, address, count)."""
    reads = plan_reads(profile, RTU, profile.groups[0])
    return [(read.function, read.address, read.count) for read in reads if isinstance(read, ModbusRead)]


def test_touching_registers_are_read_at_once() -> None:
    assert planned(made((3, 10), (3, 12), (3, 14))) == [(3, 10, 6)]


def test_a_hole_up_to_the_limit_is_read_along() -> None:
    assert planned(made((3, 10), (3, 16))) == [(3, 10, 8)]
    assert planned(made((3, 10), (3, 17), hole_max=4)) == [(3, 10, 2), (3, 17, 2)]


def test_a_block_never_exceeds_what_the_model_answers() -> None:
    profile = made(*((3, address) for address in range(0, 40, 2)), registers_max=12)
    assert all(count <= 12 for _, _, count in planned(profile))
    assert sum(count for _, _, count in planned(profile)) >= 40


def test_functions_are_not_mixed() -> None:
    assert {function for function, _, _ in planned(made((3, 10), (4, 12)))} == {3, 4}


def test_blocks_get_different_lengths_where_a_named_register_is_near() -> None:
    profile = made((3, 0), (3, 2), (3, 20), (3, 22), (3, 40), registers_max=4)
    narrow = Group(1, "narrow", (profile.groups[0].channels[0], profile.groups[0].channels[2]), False)
    wide = Profile("t/w", 1, {}, Side.PRIMARY, profile.links, (*profile.groups, narrow), b"w", b"w")
    reads = plan_reads(wide, RTU, narrow)
    assert [read.count for read in reads if isinstance(read, ModbusRead)] == [2, 4]
    assert all(covers(read, channel) for read, channel in zip(reads, narrow.channels, strict=True))


def test_lengths_stay_equal_where_nothing_named_is_near() -> None:
    assert planned(made((3, 0), (3, 100))) == [(3, 0, 2), (3, 100, 2)]


def test_an_atomic_group_must_fit_one_read() -> None:
    assert planned(made((3, 0), (3, 4), atomic=True)) == [(3, 0, 6)]
    with pytest.raises(PlanImpossible, match="takes 2 reads"):
        planned(made((3, 0), (3, 100), atomic=True))


def test_a_protocol_the_model_does_not_speak_is_refused() -> None:
    profile = made((3, 0))
    with pytest.raises(NotInProfile):
        plan_reads(profile, Protocol.DLT645_2007, profile.groups[0])


def test_each_data_identifier_is_asked_once_in_channel_order() -> None:
    profile = Catalogue.shipped().by_id("dlt645/three-phase")
    asked = plan_reads(profile, Protocol.DLT645_2007, profile.group("billing"))
    assert asked == (Dlt645Read(bytes.fromhex("00010000")), Dlt645Read(bytes.fromhex("00020000")))
    status = plan_reads(profile, Protocol.DLT645_2007, profile.group("status"))
    assert [read.di.hex() for read in status if isinstance(read, Dlt645Read)] == [
        "0201ff00",
        "0202ff00",
        "0203ff00",
        "02800002",
    ]


def test_every_shipped_plan_covers_its_channels_within_the_limits() -> None:
    for profile in Catalogue.shipped().profiles:
        for protocol, link in profile.links.items():
            for group in profile.groups:
                reads = plan_reads(profile, protocol, group)
                assert all(any(covers(read, channel) for read in reads) for channel in group.channels)
                lengths = [read.count for read in reads if isinstance(read, ModbusRead)]
                assert not protocol.is_modbus or all(count <= options_of(link).registers_max for count in lengths)


def test_blocks_of_the_first_models_have_different_lengths() -> None:
    for model in ("acrel/adl400", "chint/dtsu666", "eastron/sdm630"):
        profile = Catalogue.shipped().by_id(model)
        for group in profile.groups:
            reads = plan_reads(profile, RTU, group)
            lengths = [read.count for read in reads if isinstance(read, ModbusRead)]
            assert len(set(lengths)) == len(lengths) == len(reads)


def test_billing_takes_one_read_of_a_modbus_meter() -> None:
    for profile in Catalogue.shipped().profiles:
        for protocol in profile.links:
            if protocol.is_modbus and any(group.name == "billing" for group in profile.groups):
                assert len(plan_reads(profile, protocol, profile.group("billing"))) == 1, profile.id


def test_a_read_covers_only_registers_it_holds_whole() -> None:
    (channel,) = made((3, 10)).groups[0].channels
    assert covers(ModbusRead(3, 10, 2), channel)
    assert covers(ModbusRead(3, 8, 10), channel)
    for read in (ModbusRead(3, 11, 2), ModbusRead(3, 9, 2), ModbusRead(4, 10, 2), Dlt645Read(bytes(4))):
        assert not covers(read, channel)
