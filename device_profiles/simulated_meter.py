"""A meter that answers on the wire by its profile: the decoder's counterpart, without a clock.

It keeps no registers of its own. True registers come from a `RegisterSource` in integer base units; the meter shows
them as the model would: floored to the register's resolution, rolled over at its modulus, rounded to float32 where the
model keeps floats. How it answers is its family's matter, and so is what state it keeps between requests.
"""

from __future__ import annotations

import typing

from device_profiles.families import family_of
from device_profiles.families.modbus_source import form_of, own
from device_profiles.framing import modbus_pdu, modbus_write
from device_profiles.framing.errors import FrameError
from device_profiles.identification import identity, setting_channel, with_identity
from device_profiles.profile import Profile, Protocol
from metering.identity import MeterId
from metering.obis import Obis

_RTU = (Protocol.MODBUS_RTU, Protocol.MODBUS_RTU_OVER_TCP)
_WRITES = (modbus_write.WRITE_ONE, modbus_write.WRITE_MANY)


class RegisterSource(typing.Protocol):
    """The world the meters measure."""

    def register(self, meter: MeterId, obis: Obis) -> int | None:
        """Give the true register in base units [Wh, mV, mA, W, mHz ...]; None while this meter is off the bus."""


class SimulatedMeter:
    """One meter of the world on one link; `address` is written as its protocol's codec wants it.

    baud     the speed it was set to over the line, None if it was not [bit/s]
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
        self._whole = with_identity(profile)
        self._end = family_of(protocol).simulated(self._whole, protocol, address, self._register)
        self.baud: int | None = None

    def answer(self, frame: bytes, registers: RegisterSource) -> bytes | None:
        """Give the reply frame to one request frame; None when it is not for this meter, or the meter is off the bus.

        Under Modbus TCP frames carry their MBAP header; under DL/T 645 wake-up octets may come first.
        """
        self._world = registers
        if len(frame) > 1 and frame[1] in _WRITES and self.protocol in _RTU:
            return self._written(frame)
        return self._end.answer(frame)

    def _written(self, frame: bytes) -> bytes | None:
        """Be set to another address or speed, from the next request on, where the model lets it."""
        try:
            write = modbus_write.parse_request(frame)
        except FrameError:
            return None
        if str(write.unit) != self.address:
            return None
        settable = self.profile.settable
        for setting in (settable.address, settable.baud):
            source = None if setting is None else own(setting.source)
            if setting is None or source is None or source.address != write.register:
                continue
            form = form_of(setting_channel(setting))
            number = form.to_mantissa(write.octets) if form.octets == len(write.octets) else None
            if number is None:
                return write.refusal(modbus_pdu.ILLEGAL_COUNT)
            if setting is settable.address:
                self.address = str(number)
                self._end = family_of(self.protocol).simulated(self._whole, self.protocol, self.address, self._register)
            else:
                self.baud = next((baud for baud, code in setting.codes if code == number), self.baud)
            return write.answer()
        return write.refusal(modbus_pdu.ILLEGAL_ADDRESS)

    def _register(self, obis: Obis) -> int | None:
        if self._world is None:
            return None
        return self._identity[obis] if obis in self._identity else self._world.register(self.meter_id, obis)


def _serial_like(address: str) -> int:
    """Give a number that sisters do not share: the address's own digits, behind a mark if they are few."""
    digits = "".join(each for each in address if each.isdecimal())
    return int(digits) if len(digits) > 5 else 20_260_000 + int(digits or "0")
