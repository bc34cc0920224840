"""A meter that answers on the wire by its profile: the decoder's counterpart, without a clock.

It keeps no registers of its own. True registers come from a `RegisterSource` in integer base units; the meter shows
them as the model would: floored to the register's resolution, rolled over at its modulus, rounded to float32 where the
model keeps floats. How it answers is its family's matter, and so is what state it keeps between requests.
"""

from __future__ import annotations

import typing

from device_profiles.families import family_of
from device_profiles.identification import identity, with_identity
from device_profiles.profile import Profile, Protocol
from metering.identity import MeterId
from metering.obis import Obis


class RegisterSource(typing.Protocol):
    """The world the meters measure."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register in base units [Wh, mV, mA, W, mHz ...]; None while this meter is off the bus."""


class SimulatedMeter:
    """One meter of the world on one link; `address` is written as its protocol's codec wants it.

    serial   its number, shown where the profile's probes read it; None for what its world shows there
    """

    def __init__(
        self, meter_id: MeterId, profile: Profile, protocol: Protocol, address: str, serial: int | None = None
    ) -> None:
        profile.link(protocol)
        self.meter_id = meter_id
        self.profile = profile
        self.protocol = protocol
        self.address = address
        self.serial = serial
        self._world: RegisterSource | None = None
        self._identity = identity(profile, serial, _serial_like(address))
        whole = with_identity(profile)
        self._end = family_of(protocol).simulated(whole, protocol, address, self._register)

    def answer(self, frame: bytes, registers: RegisterSource) -> bytes | None:
        """Give the reply frame to one request frame; None when it is not for this meter, or the meter is off the bus.

        Under Modbus TCP frames carry their MBAP header; under DL/T 645 wake-up octets may come first.
        """
        self._world = registers
        return self._end.answer(frame)

    def _register(self, obis: Obis) -> int | None:
        if self._world is None:
            return None
        return self._identity[obis] if obis in self._identity else self._world.register(self.meter_id, obis)


def _serial_like(address: str) -> int:
    """Give a number that sisters do not share: the address's own digits, behind a mark if they are few."""
    digits = "".join(each for each in address if each.isdecimal())
    return int(digits) if len(digits) > 5 else 20_260_000 + int(digits or "0")
