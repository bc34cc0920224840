"""What one meter answered at one moment, with the octets it answered: what proofs at the site are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from device_profiles.families import family_of
from device_profiles.families.family import MantissaReader
from device_profiles.families.modbus_source import ModbusSource
from device_profiles.forms import NotReadable, RegisterType
from device_profiles.profile import Channel, Profile, Protocol, ReadRequest
from metering.obis import Obis
from metering.quantity import Shown

_F32_STEPS = 2**23
_WITH_BOTH = ("Wh", "varh", "VAh", "W", "var", "VA")
_WITH_CURRENT = (*_WITH_BOTH, "mA")
_WITH_VOLTAGE = (*_WITH_BOTH, "mV")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One read and the body that came back, as framing gives it: a wrong word order is found in these octets."""

    read: ReadRequest
    body: bytes


@dataclass(frozen=True, slots=True)
class MeterSnapshot:
    """Registers of one meter, read together.

    meter   its id where it is bound, else how it was found (`line-a/17`): what a finding calls it
    ct, pt  as bound or planned; register differences are multiplied by both
    shown   what could be decoded; a register that does not fit its profile is not among them
    raw     the answers themselves, also of what could not be decoded
    """

    meter: str
    profile: Profile
    protocol: Protocol
    ct: int
    pt: int
    read_at: datetime
    shown: Mapping[Obis, Shown]
    raw: tuple[RawAnswer, ...] = ()

    def channel(self, obis: Obis) -> Channel | None:
        """Give the profile's channel of a register; None where the model has none."""
        channels = (channel for group in self.profile.groups for channel in group.channels)
        return next((channel for channel in channels if channel.obis == obis), None)

    def ratio_of(self, obis: Obis) -> int:
        """Give what the ratios make of a register: amperes take CT, volts PT, energy and power both, all else none."""
        channel = self.channel(obis)
        base = channel.unit.base_symbol if channel else ""
        by_current = self.ct if base in _WITH_CURRENT else 1
        return by_current * (self.pt if base in _WITH_VOLTAGE else 1)

    def step(self, obis: Obis) -> Fraction:
        """Give what one step of a register is [base units]; an f32 counts in steps that grow with what it shows."""
        shown, channel = self.shown[obis], self.channel(obis)
        source = channel.source if channel else None
        if isinstance(source, ModbusSource) and source.type is RegisterType.F32:
            return max(step_of(shown), abs(exact_base(shown)) / _F32_STEPS)
        return step_of(shown)

    def base(self, obis: Obis) -> Fraction | None:
        """Give a register exactly, in base units [Wh, W, mV, mA ...], before the multiplier."""
        shown = self.shown.get(obis)
        return None if shown is None else exact_base(shown)


def snapshot(
    *,
    meter: str,
    profile: Profile,
    protocol: Protocol,
    ct: int,
    pt: int,
    read_at: datetime,
    answers: Iterable[tuple[ReadRequest, bytes]],
) -> MeterSnapshot:
    """Decode each register by itself, so that one that does not fit its profile hides no other."""
    raw = tuple(RawAnswer(read, body) for read, body in answers)
    family = family_of(protocol)
    shown: dict[Obis, Shown] = {}
    for group in profile.groups:
        for channel in group.channels:
            for answer in raw:
                if channel.obis not in shown and family.covers(answer.read, channel):
                    mantissa = readable(channel, family.reader(answer.read, channel), answer.body)
                    if mantissa is not None:
                        shown[channel.obis] = channel.shown(mantissa)
    return MeterSnapshot(meter, profile, protocol, ct, pt, read_at, shown, raw)


def readable(channel: Channel, reader: MantissaReader, body: bytes) -> int | None:
    """Give the mantissa of a channel where `body` holds one within its limits."""
    try:
        mantissa = reader(body)
    except NotReadable:
        return None
    least, most = channel.limits
    return mantissa if mantissa is not None and least <= mantissa <= most else None


def exact_base(shown: Shown) -> Fraction:
    """Give what was shown in base units, exactly, however fine."""
    return shown.mantissa * step_of(shown)


def step_of(shown: Shown) -> Fraction:
    """Give what one step of the last digit is [base units]."""
    return Fraction(10) ** shown.exponent * shown.unit.factor
