"""Whatever octets come: M-Bus, IEC 62056-21 and pulses give a number or an error of ours, and round trips hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_answer, decode_group
from device_profiles.families.iec62056_21 import IEC62056_21
from device_profiles.families.mbus import MBUS
from device_profiles.families.pulse import PULSE
from device_profiles.framing import codec_of, iec62056_21, mbus_frame
from device_profiles.framing.conversation import drive
from device_profiles.framing.mbus_frame import MbusFrame
from device_profiles.framing.mbus_numbers import bits_in, number_in, octets_of, seconds_in, text_in
from device_profiles.framing.mbus_records import MbusRecord, telegram_from_user
from device_profiles.framing.mbus_search import search
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import MeterError
from metering.identity import MeterId
from metering.obis import Obis

OURS = {Protocol.MBUS: "8", Protocol.IEC62056_21: "12345678", Protocol.PULSE: "4"}
NAMES = (
    "mbus/water",
    "mbus/heat-kwh",
    "mbus/electricity-2-tariffs",
    "iec62056-21/electricity-full",
    "pulse/electricity-800",
)
"""One for each way to keep numbers; every shipped profile is in test_every_profile.py and the captures."""
PROFILES = [
    pytest.param(profile, protocol, id=profile.id)
    for profile in map(Catalogue.shipped().by_id, NAMES)
    for protocol in profile.links
]
HEADER = bytes.fromhex("7278563412B53501075500 0000")


class World:
    """One register for all channels."""

    def __init__(self, register: int) -> None:
        self.register_now = register

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give it."""
        del meter, obis
        return self.register_now


def test_all_three_families_have_profiles() -> None:
    spoken = {param.values[1] for param in PROFILES}
    assert spoken == {*MBUS.protocols, *IEC62056_21.protocols, *PULSE.protocols}


@given(st.binary(max_size=80))
def test_any_records_are_taken_apart_or_refused(octets: bytes) -> None:
    try:
        telegram = telegram_from_user(HEADER + octets)
    except MeterError:
        return
    readers: tuple[Callable[[MbusRecord], object], ...] = (number_in, bits_in, seconds_in, text_in)
    for record in telegram.records:
        for reader in readers:
            try:
                reader(record)
            except MeterError:
                continue


@given(st.binary(min_size=1, max_size=60))
def test_any_user_octets_are_taken_apart_or_refused(user: bytes) -> None:
    try:
        telegram_from_user(user)
    except MeterError:
        return


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_octets_on_the_line_are_frames_or_none(octets: bytes, at: int) -> None:
    frames, rest = mbus_frame.scan(octets)
    assert octets.endswith(rest)
    for frame in frames:
        assert mbus_frame.scan(frame.to_wire())[0][0] == frame
    mbus_frame.answer_octets(octets)
    mbus_frame.acknowledge_octets(octets)
    if at < len(octets):
        mbus_frame.request_end(octets, at)
        iec62056_21.request_end(octets, at)


@pytest.mark.parametrize(("profile", "protocol"), PROFILES)
@given(data=st.data())
def test_any_body_gives_mantissas_or_an_error_of_ours(
    profile: Profile, protocol: Protocol, data: st.DataObject
) -> None:
    body = data.draw(st.binary(max_size=40))
    for group in profile.groups:
        (read,) = plan_reads(profile, protocol, group)
        try:
            decode_group(profile, protocol, group, [body])
            decode_answer(profile, read, body)
        except MeterError:
            continue


@pytest.mark.parametrize(("profile", "protocol"), PROFILES)
@given(data=st.data())
def test_any_answers_end_the_conversation_by_a_body_or_an_error_of_ours(
    profile: Profile, protocol: Protocol, data: st.DataObject
) -> None:
    (read,) = plan_reads(profile, protocol, profile.groups[0])
    replies = data.draw(
        st.lists(st.sampled_from((b"\xe5", b"/MTR5X\r\n", b"\x06")) | st.binary(max_size=30), min_size=8)
    )
    at = iter(replies)
    try:
        drive(codec_of(protocol).converse(OURS[protocol], read), lambda _: next(at))
    except MeterError:
        return


@pytest.mark.parametrize(("profile", "protocol"), PROFILES)
@given(octets=st.lists(st.binary(max_size=30), max_size=6))
def test_any_requests_leave_the_meters_end_standing(profile: Profile, protocol: Protocol, octets: list[bytes]) -> None:
    meter = SimulatedMeter(MeterId("m"), profile, protocol, OURS[protocol])
    for request in octets:
        meter.answer(request, World(1))


@pytest.mark.parametrize(("profile", "protocol"), PROFILES)
@given(register=st.integers(0, 10**9))
def test_a_register_comes_through_frames_as_the_meter_shows_it(
    profile: Profile, protocol: Protocol, register: int
) -> None:
    meter, world = SimulatedMeter(MeterId("m"), profile, protocol, OURS[protocol]), World(register)
    group = profile.group("billing")
    (read,) = plan_reads(profile, protocol, group)
    body = drive(
        codec_of(protocol).converse(OURS[protocol], read), lambda each: meter.answer(each.request, world) or b""
    )
    for channel, mantissa in zip(group.channels, decode_group(profile, protocol, group, [body]), strict=True):
        assert mantissa is not None
        step = 1 if protocol is not Protocol.PULSE else 10**4
        assert 0 <= channel.mantissa_at(register) - mantissa < step


@given(count=st.integers(-(2**31) + 1, 2**31 - 1), field=st.sampled_from((4, 6, 7, 14)))
def test_a_count_is_read_as_it_was_written(count: int, field: int) -> None:
    (record,) = telegram_from_user(HEADER + bytes((field, 0x13)) + octets_of(count, field)).records
    assert number_in(record) == Fraction(count)


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=30))
def test_a_search_ends_whatever_comes_back(replies: list[bytes]) -> None:
    hunt, at = search("1234567"), itertools.cycle(replies)
    frame: MbusFrame | None = next(hunt)
    selections = 0
    while frame is not None:
        selections += frame.user[:1] == b"\x52"
        try:
            frame = hunt.send(next(at))
        except StopIteration:
            frame = None
    assert 1 <= selections <= 11
