"""Does everything that is to be read fit the lines? Told before the first meter is wired (pure).

A port is reckoned as it will be read: its meters in the order of the configuration at each mark, the other groups in
the time between. What does not fit is refused, what fits only if every meter answers at once is warned of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from device_profiles.catalogue import Catalogue
from device_profiles.framing import codec_of
from device_profiles.profile import Profile, Protocol
from device_profiles.read_plan import plan_reads
from edge_agent.arbiter import gap_s_of
from edge_agent.capacity import NotRehearsed, rehearse, seconds_on, usual_turnaround_s
from metering.errors import MeteringError
from metering.identity import MeterId, PortId
from provisioning.gateway_config import FittedMeter, GroupInterval
from provisioning.site import ALWAYS, LineSettings, Port, SerialPort, StreamPort
from provisioning.wiring_checks import runs_on

BUSY_SHARE = 0.7
"""A line that is used more than this has no room for a bad day."""


class Verdict(StrEnum):
    """What is to be said of a port."""

    FITS = "fits"
    TIGHT = "tight"
    LATE = "late"
    """The sweep ends later after the mark than the port's tolerance: the last meters' answers would be LATE."""
    TOO_MUCH = "too-much"


class AddInvalid(MeteringError):
    """What is to be added is not of the form N:PROFILE or N:PROFILE@PORT, or does not fit the port."""


@dataclass(frozen=True, slots=True)
class MeterLoad:
    """What reading one meter's group costs its line [s]: usually, and if it takes as long as its profile allows."""

    meter: MeterId
    profile: str
    group: str
    exchanges: int
    octets: int
    usual_s: float
    longest_s: float
    line: LineSettings | None


@dataclass(frozen=True, slots=True)
class PortPlan:
    """What one port has to carry.

    sweep_s, sweep_longest_s   the sweep at a mark [s]; its end is also the skew of the last meter
    between_share              share of time that the groups between marks take
    dead_s                     what one silent meter costs a sweep at most [s]
    unknown                    meters whose reads cannot be rehearsed, with the reason
    """

    port: PortId
    every_s: int
    tolerance_s: int
    loads: tuple[MeterLoad, ...]
    switches: int
    sweep_s: float
    sweep_longest_s: float
    between_share: float
    dead_s: float
    unknown: tuple[str, ...]

    @property
    def utilisation(self) -> float:
        """Share of time in which the line is busy, if meters answer as usual."""
        return self.sweep_s / self.every_s + self.between_share

    @property
    def verdict(self) -> Verdict:
        """What is to be said of it."""
        if self.utilisation > 1:
            return Verdict.TOO_MUCH
        if self.sweep_s > self.tolerance_s:
            return Verdict.LATE
        is_tight = self.utilisation > BUSY_SHARE or self.sweep_longest_s > min(self.every_s, self.tolerance_s)
        return Verdict.TIGHT if is_tight else Verdict.FITS


def plan_port(
    port: Port,
    meters: Iterable[FittedMeter],
    catalogue: Catalogue,
    *,
    group: str,
    every_s: int,
    intervals: Sequence[GroupInterval],
    at: datetime,
) -> PortPlan:
    """Reckon one port with the meters that are fitted `at` an instant."""
    present = [meter for meter in meters if meter.port == port.id and at in meter.span]
    unknown: list[str] = []
    loads = _loads(port, present, catalogue, group, unknown)
    switches, switching_s = _switching(port, loads)
    between_share = sum(
        load.usual_s / interval.every_s
        for interval in intervals
        for load in _loads(port, _with_group(present, catalogue, interval.group), catalogue, interval.group, unknown)
    )
    return PortPlan(
        port=port.id,
        every_s=every_s,
        tolerance_s=port.tolerance_s,
        loads=tuple(loads),
        switches=switches,
        sweep_s=sum(load.usual_s for load in loads) + switching_s,
        sweep_longest_s=sum(load.longest_s for load in loads) + switching_s,
        between_share=between_share,
        dead_s=max((_reply_s(catalogue, meter) for meter in present), default=0.0),
        unknown=tuple(dict.fromkeys(unknown)),
    )


def load_of(port: Port, meter: FittedMeter, profile: Profile, group: str) -> MeterLoad:
    """Reckon one meter's group; raises NotRehearsed."""
    line = line_of(port, meter)
    link = profile.link(meter.protocol)
    reads = plan_reads(profile, meter.protocol, profile.group(group))
    exchanges = rehearse(profile, meter.protocol, meter.address, reads)
    return MeterLoad(
        meter=meter.id,
        profile=profile.id,
        group=group,
        exchanges=len(exchanges),
        octets=sum(each.sent + each.received for each in exchanges),
        usual_s=seconds_on(line, exchanges, usual_turnaround_s(profile, meter.protocol)),
        longest_s=seconds_on(line, exchanges, link.reply_ms_max / 1000),
        line=line,
    )


def line_of(port: Port, meter: FittedMeter) -> LineSettings | None:
    """Give how the line is set while `meter` is read; None where no line with a speed is known."""
    if isinstance(port, SerialPort):
        return meter.line or port.line
    return port.line if isinstance(port, StreamPort) else None


def added(
    text: str, ports: Sequence[Port], meters: Sequence[FittedMeter], catalogue: Catalogue
) -> tuple[FittedMeter, ...]:
    """Give the meters that `N:PROFILE` or `N:PROFILE@PORT` asks to reckon with besides; raises AddInvalid.

    Without a port they go to the first one whose kind the model can be read on.
    """
    number, _, rest = text.partition(":")
    profile_id, _, port_id = rest.partition("@")
    if not number.isdecimal() or not 1 <= int(number) <= 10_000 or not profile_id:
        raise AddInvalid(
            f"{text!r}: write how many of which model, such as 8:eastron/sdm630 or 8:eastron/sdm630@line-a"
        )
    profile = catalogue.by_id(profile_id)
    spoken = (*profile.links, *((Protocol.MODBUS_RTU_OVER_TCP,) if Protocol.MODBUS_RTU in profile.links else ()))
    for port in ports:
        protocol = next((one for one in spoken if runs_on(one, port)), None)
        if port_id in ("", port.id) and protocol is not None:
            like = next((meter for meter in meters if meter.port == port.id and meter.profile == profile.id), None)
            address = like.address if like is not None else _any_address(protocol)
            return tuple(
                FittedMeter(MeterId(f"added-{at + 1}"), port.id, profile.id, protocol, address, ALWAYS)
                for at in range(int(number))
            )
    known = ", ".join(port.id for port in ports)
    raise AddInvalid(f"{text!r}: no port here ({known}) takes {', '.join(profile.links)}")


def _any_address(protocol: Protocol) -> str:
    """Give an address that the protocol takes; which one does not change the length of a frame."""
    for address in ("1", "000000000001", "00000000000001", "00000001"):
        try:
            return codec_of(protocol).check_address(address)
        except MeteringError:
            continue
    raise AddInvalid(f"no address of {protocol} is known to reckon with")


def _loads(
    port: Port, meters: Iterable[FittedMeter], catalogue: Catalogue, group: str, unknown: list[str]
) -> list[MeterLoad]:
    """Reckon meters; one of each kind is rehearsed."""
    known: dict[tuple[str, Protocol, LineSettings | None], MeterLoad | None] = {}
    loads: list[MeterLoad] = []
    for meter in meters:
        kind = (meter.profile, meter.protocol, meter.line)
        if kind not in known:
            try:
                known[kind] = load_of(port, meter, catalogue.by_id(meter.profile), group)
            except NotRehearsed as error:
                known[kind] = None
                unknown.append(str(error))
        load = known[kind]
        if load is not None:
            loads.append(replace(load, meter=meter.id))
    return loads


def _with_group(meters: Iterable[FittedMeter], catalogue: Catalogue, group: str) -> list[FittedMeter]:
    return [one for one in meters if group in {each.name for each in catalogue.by_id(one.profile).groups}]


def _switching(port: Port, loads: Sequence[MeterLoad]) -> tuple[int, float]:
    """Count how often the line is switched in a sweep, and the gaps that this takes [s]."""
    if not isinstance(port, SerialPort) or not loads:
        return 0, 0.0
    lines = [load.line for load in loads]
    pairs = [(old, new) for old, new in zip([lines[-1], *lines], lines, strict=False) if old != new]
    gaps = [max(gap_s_of(old), gap_s_of(new), ((new.gap_ms or 0) if new else 0) / 1000) for old, new in pairs]
    return len(pairs), sum(gaps)


def _reply_s(catalogue: Catalogue, meter: FittedMeter) -> float:
    return catalogue.by_id(meter.profile).link(meter.protocol).reply_ms_max / 1000
