"""What a meter teaches by refusing: narrower links, in few steps, and never a wrong reading by them."""

from __future__ import annotations

import struct

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import ProfileMismatch, decode_group
from device_profiles.families.modbus import options_of
from device_profiles.framing.errors import CrcError, ExceptionReply, FrameError
from device_profiles.framing.modbus_pdu import ILLEGAL_ADDRESS, ILLEGAL_COUNT, ModbusRead
from device_profiles.framing.sunspec import SunSpecRead
from device_profiles.learning import Learned, holes_in, learn
from device_profiles.profile import Protocol
from device_profiles.read_plan import plan_reads

RTU = Protocol.MODBUS_RTU
ADL400 = Catalogue.shipped().by_id("acrel/adl400")
SDM630 = Catalogue.shipped().by_id("eastron/sdm630")
SUNSPEC = Catalogue.shipped().by_id("sunspec/three-phase")
LINK = ADL400.link(RTU)
STATUS = ADL400.group("status")
READ = ModbusRead(3, 0x61, 0x17)
REFUSED = ExceptionReply(ILLEGAL_ADDRESS, "illegal register address")


def test_a_refused_bridge_is_left_out_from_then_on() -> None:
    assert READ in plan_reads(ADL400, RTU, STATUS)
    assert holes_in(ADL400, READ) == ((3, 0x67, 0x76),)
    learned = learn(ADL400, LINK, Learned(), READ, REFUSED)
    assert learned == Learned(unbridged=((3, 0x67, 0x76),))
    narrower = plan_reads(ADL400, RTU, STATUS, learned.applied(LINK))
    assert {ModbusRead(3, 0x61, 6), ModbusRead(3, 0x77, 1)} < set(narrower)


def test_an_atomic_group_is_not_torn_apart_by_learning() -> None:
    (read,) = plan_reads(ADL400, RTU, ADL400.group("billing"))
    assert isinstance(read, ModbusRead)
    assert holes_in(ADL400, read) == ((3, 0x0C, 0x13),)
    assert learn(ADL400, LINK, Learned(), read, REFUSED) is None


def test_a_refused_block_without_holes_teaches_nothing() -> None:
    assert learn(ADL400, LINK, Learned(), ModbusRead(3, 0x0A, 2), REFUSED) is None


def test_what_was_learnt_is_not_learnt_again() -> None:
    learned = learn(ADL400, LINK, Learned(), READ, REFUSED)
    assert learned is not None
    assert learn(ADL400, LINK, learned, READ, REFUSED) is None


@pytest.mark.parametrize("failure", [ExceptionReply(ILLEGAL_COUNT, "illegal count"), FrameError("a cut answer")])
def test_a_block_that_is_too_long_for_the_firmware_is_asked_in_parts(failure: FrameError | ExceptionReply) -> None:
    group = SDM630.group("status")
    link = SDM630.link(RTU)
    longest = max(plan_reads(SDM630, RTU, group), key=lambda read: read.count if isinstance(read, ModbusRead) else 0)
    assert isinstance(longest, ModbusRead)
    learned = learn(SDM630, link, Learned(), longest, failure)
    assert learned is not None
    assert learned.registers_max is not None
    assert learned.registers_max < longest.count
    narrower = learned.applied(link)
    assert options_of(narrower).registers_max == learned.registers_max
    reads = plan_reads(SDM630, RTU, group, narrower)
    assert all(isinstance(read, ModbusRead) and read.count <= learned.registers_max for read in reads)


def test_learning_ends_when_a_group_would_no_longer_fit() -> None:
    learned: Learned | None = Learned()
    steps = 0
    while learned is not None:
        last = learned
        learned = learn(ADL400, LINK, learned, ModbusRead(3, 0x61, last.registers_max or 60), FrameError("cut"))
        steps += 1
    assert last.registers_max == 15  # the billing block of twelve registers is one answer
    assert steps <= 6


def test_the_profiles_own_steps_are_taken_first() -> None:
    link = SUNSPEC.link(RTU)
    assert learn(SUNSPEC, link, Learned(), ModbusRead(3, 0, 105), FrameError("cut")) == Learned(registers_max=50)


@pytest.mark.parametrize("code", [1, 4, 6, 11])
def test_other_refusals_teach_nothing(code: int) -> None:
    assert learn(ADL400, LINK, Learned(), READ, ExceptionReply(code, "something else")) is None


def test_other_families_and_models_by_chain_teach_nothing() -> None:
    profile = Catalogue.shipped().by_id("dlt645/three-phase")
    (read, _) = plan_reads(profile, Protocol.DLT645_2007, profile.group("billing"))
    link = profile.link(Protocol.DLT645_2007)
    assert learn(profile, link, Learned(), read, REFUSED) is None
    assert learn(profile, link, Learned(), SunSpecRead(3, 203, 38, 17), CrcError("noise")) is None
    assert Learned(registers_max=4).applied(link) is link


def test_nothing_learnt_leaves_the_link_as_it_is() -> None:
    assert Learned().applied(LINK) is LINK


def test_bodies_of_a_narrower_plan_decode_to_the_same_mantissas() -> None:
    whole = struct.pack(">6H32xH", 2301, 2302, 2303, 101, 102, 103, 5001)
    (power,) = (read for read in plan_reads(ADL400, RTU, STATUS) if read != READ)
    assert isinstance(power, ModbusRead)
    rest = struct.pack(f">i{2 * power.count - 4}x", -1234)
    learned = Learned(unbridged=((3, 0x67, 0x76),))
    reads = plan_reads(ADL400, RTU, STATUS, learned.applied(LINK))
    bodies = [
        {0x61: whole[:12], 0x77: whole[-2:]}.get(read.address, rest) for read in reads if isinstance(read, ModbusRead)
    ]
    expected = (2301, 2302, 2303, 101, 102, 103, -1234, 5001)
    assert decode_group(ADL400, RTU, STATUS, [whole, rest]) == expected
    assert decode_group(ADL400, RTU, STATUS, bodies, reads) == expected
    with pytest.raises(ProfileMismatch, match="3 answers for 2 reads"):
        decode_group(ADL400, RTU, STATUS, bodies)
