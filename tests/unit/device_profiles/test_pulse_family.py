"""What pulses are worth: by the profile, floored as a display is, and never lost between readings."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.pulse import PULSE, PulseSource
from device_profiles.forms import NotReadable
from device_profiles.framing.conversation import drive
from device_profiles.framing.pulse import PulseRead, build_reply, converse
from device_profiles.profile import Profile, Protocol, ReadRequest
from device_profiles.profile_file import profile_from_toml
from device_profiles.read_plan import plan_reads
from device_profiles.simulated_meter import SimulatedMeter
from metering.errors import DocumentError
from metering.identity import MeterId
from metering.obis import Obis
from metering.toml_source import TomlSource

PULSES = [profile for profile in Catalogue.shipped().profiles if Protocol.PULSE in profile.links]


def read(profile: Profile, count: int) -> int | None:
    """Give the register that `count` pulses show."""
    group = profile.group("billing")
    return decode_group(profile, Protocol.PULSE, group, [build_reply(count)])[0]


@pytest.mark.parametrize(
    ("profile_id", "count", "mantissa"),
    [
        ("pulse/electricity-1000", 12_345, 12_345),
        ("pulse/electricity-800", 8, 10),
        ("pulse/electricity-800", 7, 8),
        ("pulse/electricity-3200", 16, 5),
        ("pulse/electricity-100", 3, 30),
        ("pulse/water-10l", 7, 70),
        ("pulse/gas-1000l", 7, 7000),
        ("pulse/heat-1kwh", 7, 7),
    ],
)
def test_a_pulse_is_worth_what_is_printed_on_the_meter(profile_id: str, count: int, mantissa: int) -> None:
    assert read(Catalogue.shipped().by_id(profile_id), count) == mantissa


@pytest.mark.parametrize("profile", PULSES, ids=[profile.id for profile in PULSES])
def test_what_is_cut_off_one_reading_is_in_a_later_one(profile: Profile) -> None:
    """The register of the sum is never further than one step from the count, however often it is read."""
    source = profile.group("billing").channels[0].source
    assert isinstance(source, PulseSource)
    shown = [read(profile, count) or 0 for count in range(10 * source.pulses + 1)]
    assert shown == sorted(shown)
    assert shown[-1] == 10 * source.make
    for count, mantissa in enumerate(shown):
        assert 0 <= count * source.make - mantissa * source.pulses < source.pulses


class World:
    """One register for all."""

    def __init__(self, register: int | None) -> None:
        self.register_now = register

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give it."""
        del meter, obis
        return self.register_now


@pytest.mark.parametrize("profile", PULSES, ids=[profile.id for profile in PULSES])
def test_the_meters_end_shows_its_register_to_the_pulse(profile: Profile) -> None:
    meter = SimulatedMeter(MeterId("m"), profile, Protocol.PULSE, "4")
    group = profile.group("billing")
    channel = group.channels[0]
    (planned,) = plan_reads(profile, Protocol.PULSE, group)
    for register in (0, 999, 123_456_789):
        world = World(register)
        body = drive(converse("4", planned), lambda exchange, world=world: meter.answer(exchange.request, world) or b"")
        (mantissa,) = decode_group(profile, Protocol.PULSE, group, [body])
        step = -(-channel.source.make // channel.source.pulses) if isinstance(channel.source, PulseSource) else 0
        assert mantissa is not None
        assert 0 <= channel.mantissa_at(register) - mantissa < max(step, 1)


def test_the_meters_end_answers_for_its_own_input_while_it_is_there() -> None:
    meter = SimulatedMeter(MeterId("m"), PULSES[0], Protocol.PULSE, "4")
    assert meter.answer(b"PULSE 5\n", World(1)) is None
    assert meter.answer(b"PULSE 4\n", World(None)) is None
    assert meter.answer(b"noise", World(1)) is None


def test_a_body_of_another_length_is_refused() -> None:
    channel = PULSES[0].group("billing").channels[0]
    with pytest.raises(NotReadable, match="8 octets"):
        PULSE.reader(PulseRead(), channel)(b"1234")
    assert PULSE.covers(PulseRead(), channel)
    assert not PULSE.covers(ReadRequest(), channel)
    assert PULSE.mantissa_limit(channel.source) is None


PROFILE = """schema = 1
id = "maker/model"
rev = 1
medium = "water"
side = "primary"
evidence = "documents"
[names]
zh = "表"
en = "meter"
[[sources]]
title = "printed on the meter"
[links.pulse]
reply_ms_max = 1000
[[groups]]
name = "billing"
[[groups.channels]]
obis = "8-0:1.0.0"
unit = "m3"
exponent = -3
kind = "counter"
pulse = { pulses = 1, make = 10 }
"""


STATE = """[[groups]]
name = "status"
[[groups.channels]]
obis = "8-0:2.0.0"
unit = "m3/h"
exponent = -3
kind = "gauge"
pulse = { pulses = 1, make = 10 }
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("pulses = 1,", "pulses = 0,", 21, "not within"),
        ("make = 10", "make = -1", 21, "not within"),
        ("make = 10", "weight = 10", 21, "'make' is missing"),
        (
            PROFILE[PROFILE.index("[[groups]]") :],
            PROFILE[PROFILE.index("[[groups]]") :] + STATE,
            28,
            "do not give a gauge",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, problem: str) -> None:
    path = tmp_path / "model.toml"
    path.write_text(PROFILE.replace(old, new), encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        profile_from_toml(TomlSource.read(path))
    assert (line, True) in [(fault.line, problem in fault.problem) for fault in caught.value.faults]
