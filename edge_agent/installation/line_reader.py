"""Reading a meter for a person who stands before it: the line is borrowed, asked, and given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.families.family import PlanImpossible
from device_profiles.framing.errors import ExceptionReply
from device_profiles.identification import signs_of, with_identity
from device_profiles.profile import NotInProfile, Profile, Protocol, ReadRequest
from device_profiles.read_plan import plan_reads
from edge_agent.adapters.meter_keys import MeterKeyFolder
from edge_agent.asking import AskedMeter
from edge_agent.installation.home import Home
from edge_agent.installation.words import refused
from edge_agent.line_loan import borrowed
from edge_agent.port_readers import bus_of
from edge_agent.ports import Bus, PortLost
from metering.clock import Clock
from metering.errors import MeterError
from provisioning.gateway_config import FittedMeter
from provisioning.meter_snapshot import MeterSnapshot, snapshot
from provisioning.site import Meter, Port, PulsePort, SerialPort

ATTEMPTS = 2
BILLING = "billing"
SERIAL_ADDRESSES = (Protocol.DLT645_2007, Protocol.DLT645_1997, Protocol.CJT188_2004, Protocol.CJT188_2018)
"""Protocols whose address is the number on the plate."""


@dataclass(frozen=True, slots=True)
class MeterLook:
    """What a meter answered.

    serial    as it told, None where its model cannot
    problem   why a group could not be read, None: all was
    """

    snapshot: MeterSnapshot
    serial: str | None
    problem: str | None


class LineReader:
    """Reads meters of one gateway, one line at a time."""

    def __init__(self, home: Home, catalogue: Catalogue, clock: Clock) -> None:
        self._home = home
        self._catalogue = catalogue
        self._clock = clock
        self._keys = MeterKeyFolder(home.keys, home.state)

    def look(self, port: Port, meters: Sequence[Meter], groups: Sequence[str]) -> dict[str, MeterLook | str]:
        """Read meters of one port; gives by id what each answered, or in words why it did not. Raises LineBusy."""
        if isinstance(port, PulsePort):
            return {one.id: "pulses are counted, not asked" for one in meters}
        with borrowed(self._home.state, port.id):
            bus = bus_of(port, self._clock)
            try:
                bus.open()
                return {one.id: self._tried(bus, port, one, groups) for one in meters}
            except PortLost as error:
                return {one.id: str(error) for one in meters}
            finally:
                bus.close()

    def look_at(self, port: Port, meter: Meter, groups: Sequence[str]) -> MeterLook:
        """Read one meter; raises DeskRefused where it does not answer."""
        found = self.look(port, [meter], groups)[meter.id]
        if isinstance(found, str):
            raise refused("meter-silent", meter=meter.id, problem=found)
        return found

    def _tried(self, bus: Bus, port: Port, meter: Meter, groups: Sequence[str]) -> MeterLook | str:
        try:
            return self._look(bus, port, meter, groups)
        except MeterError as error:
            return str(error)

    def _look(self, bus: Bus, port: Port, meter: Meter, groups: Sequence[str]) -> MeterLook:
        profile = self._catalogue.by_id(meter.profile)
        asking = _Asking(bus, self._asked(port, meter, profile))
        answers: list[tuple[ReadRequest, bytes]] = []
        problem = None
        for name in groups:
            try:
                answers += asking.group(profile, name)
            except (NotInProfile, PlanImpossible):
                continue
            except MeterError as error:
                if name == BILLING or not answers:
                    raise
                problem = str(error)
        read_at = self._clock.now()
        serial = asking.serial(profile, meter)
        shown = snapshot(
            meter=meter.id,
            profile=profile,
            protocol=meter.protocol,
            ct=meter.ct,
            pt=meter.pt,
            read_at=read_at,
            answers=answers,
        )
        return MeterLook(shown, serial, problem)

    def _asked(self, port: Port, meter: Meter, profile: Profile) -> AskedMeter:
        """Prepare asking; a line is set for the meter's bits as for a sweep."""
        line = meter.line
        serial = profile.link(meter.protocol).serial
        if serial is not None and serial.data_bits != 8 and isinstance(port, SerialPort):
            line = replace(line or port.line, databits=serial.data_bits)
        fitted = FittedMeter(meter.id, port.id, meter.profile, meter.protocol, meter.address, meter.span, line)
        return AskedMeter.prepare(fitted, self._catalogue, BILLING, secrets=self._keys.of(meter.id))


class _Asking:
    """One meter being asked."""

    def __init__(self, bus: Bus, meter: AskedMeter) -> None:
        self._bus = bus
        self._meter = meter

    def group(self, profile: Profile, name: str) -> list[tuple[ReadRequest, bytes]]:
        """Ask for a group; raises MeterError."""
        reads = plan_reads(profile, self._meter.fitted.protocol, profile.group(name))
        return [(read, self._ask(read)) for read in reads]

    def serial(self, profile: Profile, meter: Meter) -> str | None:
        """Ask for the serial number, where the model has a register for it or wears it as its address."""
        whole = with_identity(profile)
        for sign in signs_of(profile):
            if not sign.probe.is_serial:
                continue
            try:
                reads = plan_reads(whole, meter.protocol, sign.group)
                bodies = [self._ask(read) for read in reads]
                mantissa = decode_group(whole, meter.protocol, sign.group, bodies)[0]
            except (MeterError, PlanImpossible, NotInProfile):
                continue
            if mantissa is not None and sign.fits(mantissa):
                return str(mantissa)
        return meter.address if meter.protocol in SERIAL_ADDRESSES else None

    def _ask(self, read: ReadRequest) -> bytes:
        fitted, patience = self._meter.fitted, self._meter.patience
        for left in reversed(range(ATTEMPTS)):
            try:
                return self._bus.ask(
                    fitted.protocol,
                    fitted.address,
                    read,
                    reply_s=patience.reply_s_max,
                    late_s=patience.reply_s_max,
                    line=fitted.line,
                    secrets=self._meter.secrets,
                ).body
            except ExceptionReply:
                raise
            except MeterError:
                if not left:
                    raise
        raise AssertionError("every attempt returns or raises")
