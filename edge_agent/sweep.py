"""One sweep of one port: every meter that is fitted at a mark is asked once, in the order of the configuration.

A port that vanishes is waited for, and the whole sweep is repeated from its mark on: half a sweep is no picture of one
instant. What a sweep taught about the meters' turnaround is kept only when the sweep is whole, so a repetition asks
exactly as the first attempt did. What is behind a port that had to be opened may be new as well: it is told the mark
before it is asked. See docs/adr/0017.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from device_profiles.catalogue import Catalogue
from device_profiles.decode import decode_group
from device_profiles.framing import codec_of
from device_profiles.framing.errors import ExceptionReply
from device_profiles.profile import Group, Profile
from device_profiles.read_plan import ReadRequest, plan_reads
from edge_agent.patience import Patience, SilentShare
from edge_agent.ports import Answer, Bus, BusTimeout, PortLost, Stopped
from edge_agent.schedule import fitted_at
from metering.clock import Clock
from metering.errors import MeterError
from metering.identity import MeterId, PortId
from metering.reading import MeterReading, ReadQuality
from provisioning.gateway_config import FittedMeter
from provisioning.site import Port

log = logging.getLogger(__name__)

REOPEN_S = 0.2
"""Pause between attempts to open a port that vanished [s]."""


@dataclass(frozen=True, slots=True)
class AskedMeter:
    """A meter with all that asking it takes: what to read, how to decode it, how long to wait."""

    fitted: FittedMeter
    profile: Profile
    group: Group
    reads: tuple[ReadRequest, ...]
    patience: Patience

    @classmethod
    def prepare(
        cls, fitted: FittedMeter, catalogue: Catalogue, group_name: str, reply_stretch: float = 1.0
    ) -> AskedMeter:
        """Plan the reads of `fitted`; raises ProfileUnknown, NotInProfile or AddressInvalid.

        reply_stretch   factor on the profile's longest turnaround; where it is not 1, no shorter timeout is learnt
        """
        profile = catalogue.by_id(fitted.profile)
        group = profile.group(group_name)
        codec_of(fitted.protocol).check_address(fitted.address)
        reads = plan_reads(profile, fitted.protocol, group)
        reply_s_max = reply_stretch * profile.link(fitted.protocol).reply_ms_max / 1000
        patience = Patience(reply_s_max) if reply_stretch == 1 else Patience(reply_s_max, reply_s_max)
        return cls(fitted, profile, group, reads, patience)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one port gave at one mark."""

    port: PortId
    readings: tuple[MeterReading, ...]
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A reading and what it taught: the turnaround of each answer [s], and the port's time lost if none came [s]."""

    reading: MeterReading
    turnarounds_s: tuple[float, ...] = ()
    silent_s: float | None = None


class PortReader:
    """The meters of one port, and the only user of its bus."""

    def __init__(self, port: Port, bus: Bus, clock: Clock, meters: Iterable[AskedMeter], stop: threading.Event) -> None:
        self._port = port
        self._bus = bus
        self._clock = clock
        self._meters = {meter.fitted.id: meter for meter in meters}
        self._stop = stop
        self._silent_share = SilentShare()
        self._tolerance = timedelta(seconds=port.tolerance_s)

    def sweep(self, mark: datetime, fitted_on: datetime | None = None) -> Sweep:
        """Read every meter fitted at `mark`, as soon after it as the port allows; raises Stopped.

        fitted_on   read those fitted then instead: for a clock that does not know the day
        """
        fitted = fitted_at((meter.fitted for meter in self._meters.values()), fitted_on or mark)
        meters = [self._meters[each.id] for each in fitted]
        while True:
            self._clock.sleep_until(mark)
            try:
                return self._sweep_once(meters, mark)
            except PortLost as error:
                log.warning("port-lost", extra={"port": self._port.id, "reason": str(error)})
                self._bus.close()
            if self._clock.now() - mark > self._tolerance:
                return self._unanswered(meters)
            if self._stop.wait(REOPEN_S):
                raise Stopped("told to stop")

    def close(self) -> None:
        """Close the port."""
        self._bus.close()

    def _sweep_once(self, meters: Sequence[AskedMeter], mark: datetime) -> Sweep:
        if meters:
            self._open(mark)
        outcomes = [self._read(meter, mark) for meter in meters]
        for meter, outcome in zip(meters, outcomes, strict=True):
            self._learn(meter, outcome)
        return Sweep(self._port.id, tuple(outcome.reading for outcome in outcomes), self._clock.now())

    def _open(self, mark: datetime) -> None:
        """Have the port open. Played time: a world that came up after the mark was told does not know it yet."""
        if self._bus.open():
            self._clock.sleep_until(mark)

    def _unanswered(self, meters: Sequence[AskedMeter]) -> Sweep:
        now = self._clock.now()
        readings = tuple(_reading(meter, now, now, ReadQuality.NO_ANSWER) for meter in meters)
        return Sweep(self._port.id, readings, now)

    def _read(self, meter: AskedMeter, mark: datetime) -> _Outcome:
        began_at, began_s = self._clock.now(), time.monotonic()
        if not self._may_ask(meter, began_at):
            return _Outcome(_reading(meter, began_at, began_at, ReadQuality.NO_ANSWER))
        answers: list[Answer] = []
        try:
            for request in meter.reads:
                answers.append(self._ask(meter, request, mark, has_answered=bool(answers)))
            bodies = [answer.body for answer in answers]
            mantissas = decode_group(meter.profile, meter.fitted.protocol, meter.group, bodies)
        except MeterError as error:
            quality = _quality_of(error)
            log.info("meter-failed", extra={"meter": meter.fitted.id, "quality": quality.name, "reason": str(error)})
            reading = _reading(meter, began_at, self._clock.now(), quality)
            lost_s = time.monotonic() - began_s if quality is ReadQuality.NO_ANSWER and not answers else None
            return _Outcome(reading, tuple(answer.turnaround_s for answer in answers), lost_s)
        started_at, ended_at = answers[0].started_at, answers[-1].ended_at
        quality = ReadQuality.MEASURED if ended_at - mark <= self._tolerance else ReadQuality.LATE
        reading = _reading(meter, started_at, ended_at, quality, mantissas)
        return _Outcome(reading, tuple(answer.turnaround_s for answer in answers))

    def _may_ask(self, meter: AskedMeter, now: datetime) -> bool:
        """Say whether a meter may be asked: always, but for a silent one between probes or beyond their share."""
        patience = meter.patience
        return not patience.is_silent or (patience.is_due(now) and self._silent_share.allows(now))

    def _ask(self, meter: AskedMeter, request: ReadRequest, mark: datetime, *, has_answered: bool) -> Answer:
        """Ask as often as the meter's patience allows; raises what the last attempt raised."""
        failure: MeterError | None = None
        late_s = meter.patience.reply_s_max
        for reply_s in meter.patience.timeouts_s(has_answered=has_answered):
            self._open(mark)
            try:
                return self._bus.ask(
                    meter.fitted.protocol, meter.fitted.address, request, reply_s=reply_s, late_s=late_s
                )
            except ExceptionReply:
                raise
            except MeterError as error:
                failure = error
        raise failure or BusTimeout("no attempt was made")

    def _learn(self, meter: AskedMeter, outcome: _Outcome) -> None:
        for turnaround_s in outcome.turnarounds_s:
            meter.patience.answered(turnaround_s)
        if outcome.silent_s is not None:
            if meter.patience.is_silent:
                self._silent_share.spend(outcome.silent_s)
            meter.patience.stayed_silent(outcome.reading.ended_at)


def _reading(
    meter: AskedMeter,
    started_at: datetime,
    ended_at: datetime,
    quality: ReadQuality,
    mantissas: tuple[int | None, ...] = (),
) -> MeterReading:
    return MeterReading(
        meter=MeterId(meter.fitted.id),
        profile_hash=meter.profile.hash,
        group=meter.group.index,
        started_at=started_at,
        ended_at=ended_at,
        quality=quality,
        mantissas=mantissas,
    )


def _quality_of(error: MeterError) -> ReadQuality:
    if isinstance(error, BusTimeout):
        return ReadQuality.NO_ANSWER
    return ReadQuality.REFUSED if isinstance(error, ExceptionReply) else ReadQuality.INVALID
