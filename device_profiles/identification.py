"""What tells a model from others and a meter from its sisters: probes, those a profile writes and those it implies.

A probe of a profile is a register with the mantissas that only this model shows there, or with the serial number. What
every meter must show is a probe too: the billed counters, a frequency of the public supply, voltages. So each profile
can be recognised, and its own probes are needed only where two maps look alike (docs/adr/0082).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from device_profiles.profile import BILLING, Channel, ChannelKind, Group, Probe, Profile, Setting
from metering.obis import Obis
from metering.quantity import Unit

IDENTIFICATION = Obis(255, 255, 96, 1, 0)
"""Family of codes under which registers of probes are read, of no medium. No reading carries them."""
SURE_SCORE = 50
SERIAL_SCORE = 30
COUNTER_SCORE = 20
FREQUENCY_SCORE = 20
VOLTAGE_SCORE = 15
FREQUENCIES_MHZ = (45_000, 65_500)
VOLTAGES_MV = (40_000, 520_000)
"""Of the public supply, behind transformers too (57.7 V) [mV]."""
_FREQUENCY = (1, 14, 7, 0)
_VOLTAGES = ((1, 32, 7, 0), (1, 52, 7, 0), (1, 72, 7, 0), (1, 12, 7, 0))


@dataclass(frozen=True, slots=True)
class Sign:
    """One probe with the channel by which it is read.

    is_written   whether the profile writes it; what it only implies may be absent, or 0
    group        a group of this channel alone, for the planner and the decoder
    """

    probe: Probe
    channel: Channel
    is_written: bool

    @property
    def group(self) -> Group:
        """A group of this channel alone."""
        return Group(0, f"{BILLING}-{self.channel.obis}", (self.channel,), atomic=False)

    @property
    def score(self) -> int:
        """What a match says of the model. A number is worth no more in one model than in another."""
        return min(self.probe.score, SERIAL_SCORE) if self.probe.is_serial else self.probe.score

    @property
    def is_needed(self) -> bool:
        """Whether every meter of the model shows it: a register by which it is billed, or a sure model number."""
        return self.probe.score >= SURE_SCORE if self.is_written else self.channel.kind is ChannelKind.COUNTER

    def fits(self, mantissa: int) -> bool:
        """Say whether a meter of the model shows this mantissa."""
        if self.probe.is_serial:
            return is_serial(mantissa)
        return self.probe.expected is not None and self.probe.expected[0] <= mantissa <= self.probe.expected[1]


def is_serial(mantissa: int) -> bool:
    """Say whether a register can hold a serial number: what is empty reads as nothing but zeros or ones."""
    return mantissa > 0 and (mantissa & (mantissa + 1)) != 0


@lru_cache(maxsize=512)
def signs_of(profile: Profile) -> tuple[Sign, ...]:
    """Give all signs of a model in the order in which asking them pays.

    First what excludes most: a written model number, then what every meter of the model shows; the serial number last.
    """
    written = tuple(
        Sign(probe, _channel(probe, number), is_written=True) for number, probe in enumerate(_distinct(profile.probes))
    )
    sources = {sign.probe.source for sign in written}
    implied = tuple(sign for sign in _implied(profile) if sign.probe.source not in sources)
    return tuple(sorted((*written, *implied), key=lambda sign: (sign.probe.is_serial, not sign.is_written)))


def with_identity(profile: Profile) -> Profile:
    """Give the profile as its simulated meter needs it: with registers where its written probes are."""
    places = {channel.source for group in profile.groups for channel in group.channels}
    channels = tuple(sign.channel for sign in signs_of(profile) if sign.is_written)
    channels = tuple(channel for channel in channels if channel.source not in places)
    if not channels:
        return profile
    return replace(profile, groups=(*profile.groups, Group(len(profile.groups), "identification", channels, False)))


def identity(profile: Profile, serial: int | None, other: int) -> dict[Obis, int]:
    """Give what a simulated meter shows where its written probes are [base units].

    serial   its serial number, None where its world knows it; `other` is shown then where its world has no register
    """
    of_source = {channel.source: channel for group in profile.groups for channel in group.channels}
    shown: dict[Obis, int] = {}
    for sign in signs_of(profile):
        channel = of_source.get(sign.channel.source)
        if not sign.is_written or (channel is not None and (serial is None or not sign.probe.is_serial)):
            continue
        number = sign.probe.expected[0] if sign.probe.expected is not None else other if serial is None else serial
        shown[(channel or sign.channel).obis] = int(number / (channel or sign.channel).scale)
    return shown


def setting_channel(setting: Setting) -> Channel:
    """Give the register of a setting as a channel of whole numbers, for whoever needs its form."""
    return _channel(Probe(setting.source, None, 1, is_serial=False), 0)


def _distinct(probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
    return tuple(dict.fromkeys(probes))


def _channel(probe: Probe, number: int) -> Channel:
    obis = replace(IDENTIFICATION, e=number)
    return Channel(obis, Unit.ONE, 0, ChannelKind.GAUGE, None, probe.source)


def _implied(profile: Profile) -> Iterator[Sign]:
    seen: set[Obis] = set()
    for group in profile.groups:
        if group.after_freeze:
            continue
        for channel in group.channels:
            if channel.obis in seen:
                continue
            seen.add(channel.obis)
            bounds = _bounds(channel, is_billed=group.name == BILLING)
            if bounds is not None:
                least, most, score = bounds
                yield Sign(Probe(channel.source, (least, most), score, is_serial=False), channel, is_written=False)


def _bounds(channel: Channel, *, is_billed: bool) -> tuple[int, int, int] | None:
    """Give least and most mantissa, and the score; None for a channel that tells nothing."""
    obis = channel.obis
    place = (obis.a, obis.c, obis.d, obis.e)
    if channel.kind is ChannelKind.COUNTER:
        return (*channel.limits, COUNTER_SCORE) if is_billed and not obis.e else None
    if channel.kind is not ChannelKind.GAUGE:
        return None
    scale = channel.scale
    if place == _FREQUENCY and channel.unit.base_symbol == "mHz":
        return int(FREQUENCIES_MHZ[0] * scale), int(FREQUENCIES_MHZ[1] * scale), FREQUENCY_SCORE
    if place in _VOLTAGES and channel.unit.base_symbol == "mV":
        return int(VOLTAGES_MV[0] * scale), int(VOLTAGES_MV[1] * scale), VOLTAGE_SCORE
    return None
