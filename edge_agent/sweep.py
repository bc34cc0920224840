"""One sweep of one port: every meter that is fitted at a mark is asked once, in the order of the configuration.

Only silent meters come last, so that waiting for them moves nobody else away from the mark. Where the port says so and
meters can, they are told to freeze their registers first, and what they froze is read: then the times of a reading are
those of the command, not of the reading-out.

A port that vanishes is waited for, and the whole sweep is repeated from its mark on: half a sweep is no picture of one
instant. What a sweep taught about the meters' turnaround is kept only when the sweep is whole, so a repetition asks
exactly as the first attempt did. What is behind a port that had to be opened may be new as well: it is told the mark
before it is asked. See docs/adr/0017 and 0073.

In the time that the marks leave, a port reads what its agenda holds: other groups, each with a rhythm of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from device_profiles.families.family import PlanImpossible
from device_profiles.framing import broadcasts_of
from device_profiles.profile import Group
from edge_agent.agenda import Agenda, Job
from edge_agent.asking import AskedMeter, Asker, Outcome
from edge_agent.freeze import frozen_twin, is_of
from edge_agent.learnt import NOTHING, Lessons, NoLessons
from edge_agent.patience import SilentShare
from edge_agent.ports import Answer, Bus, PortLost, Stopped
from edge_agent.schedule import fitted_at
from metering.clock import Clock
from metering.identity import MeterId, PortId
from metering.interval import SiteCalendar
from metering.reading import MeterReading, ReadQuality
from provisioning.site import Port, SerialPort, StreamPort

__all__ = ["AskedMeter", "PortReader", "Sweep"]

log = logging.getLogger(__name__)

REOPEN_S = 0.2
"""Pause between attempts to open a port that vanished [s]."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one port gave at one mark."""

    port: PortId
    readings: tuple[MeterReading, ...]
    ended_at: datetime


class PortReader:
    """The meters of one port, and the only user of its bus.

    lessons      where it is kept how single meters want to be asked
    silent_last  ask silent meters after all others; a played clock wants one order always
    agenda       what to read between marks
    calendar     of the meters' own clocks, None where nobody said it: then no freeze is believed
    """

    def __init__(
        self,
        port: Port,
        bus: Bus,
        clock: Clock,
        meters: Iterable[AskedMeter],
        stop: threading.Event,
        *,
        lessons: Lessons | None = None,
        silent_last: bool = True,
        agenda: Agenda | None = None,
        calendar: SiteCalendar | None = None,
    ) -> None:
        self._port = port
        self.bus = bus
        self._clock = clock
        self._lessons = lessons or NoLessons()
        self._meters = {meter.fitted.id: self._prepared(meter) for meter in meters}
        self._stop = stop
        self._silent_share = SilentShare()
        self._asker = Asker(bus, clock, self._silent_share, self._open)
        self._tolerance = timedelta(seconds=port.tolerance_s)
        self._silent_last = silent_last
        self._calendar = calendar if _freezes(port) else None
        self._unfrozen: set[MeterId] = set()
        self.agenda = agenda

    @property
    def port(self) -> Port:
        """The port that is read."""
        return self._port

    @property
    def meters(self) -> tuple[AskedMeter, ...]:
        """The meters as they are asked now, whatever their span."""
        return tuple(self._meters.values())

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
                self.bus.close()
            if self._clock.now() - mark > self._tolerance:
                return self._unanswered(meters)
            if self._stop.wait(REOPEN_S):
                raise Stopped("told to stop")

    def work_until(self, until: datetime, keep: Callable[[Sweep], None]) -> None:
        """Read what the agenda holds until no more of it fits before `until`; raises Stopped.

        keep   told what was read, as soon as nothing more is due at the moment
        """
        agenda = self.agenda
        while agenda is not None:
            readings: list[MeterReading] = []
            is_lost = self._work_off(agenda, until, readings)
            if readings:
                keep(Sweep(self._port.id, tuple(readings), self._clock.now()))
            due = agenda.next_due()
            if is_lost or due is None or due >= until:
                return
            self._clock.sleep_until(due)

    def read_apart(self, meter: MeterId, group: Group) -> MeterReading:
        """Read any group of one meter now, without a mark; raises PortLost. No sweep may be on."""
        now, known = self._clock.now(), self._meters[meter]
        self._open(now)
        outcome = self._asker.read(known.for_group(group), now, None)
        self._learn(known, outcome)
        return outcome.reading

    def close(self) -> None:
        """Close the port."""
        self.bus.close()

    def _prepared(self, meter: AskedMeter) -> AskedMeter:
        """Have a meter asked as it taught, and the line set for its bits."""
        learned = self._lessons.of(meter.key)
        serial = meter.profile.link(meter.fitted.protocol).serial
        if serial is not None and serial.data_bits != 8 and isinstance(self._port, SerialPort):
            line = replace(meter.fitted.line or self._port.line, databits=serial.data_bits)
            meter = replace(meter, fitted=replace(meter.fitted, line=line))
        try:
            return meter if learned == NOTHING else meter.within(learned)
        except PlanImpossible:
            log.warning("lesson-unfit", extra={"meter": meter.fitted.id, "learned": str(learned)})
            return meter

    def _sweep_once(self, meters: Sequence[AskedMeter], mark: datetime) -> Sweep:
        if meters:
            self._open(mark)
        told = self._tell_to_freeze(meters, mark) if self._calendar is not None else {}
        outcomes: dict[MeterId, Outcome] = {}
        for meter in sorted(meters, key=lambda each: self._silent_last and each.patience.is_silent):
            outcomes[meter.fitted.id] = self._read(meter, mark, told.get(meter.fitted.id))
        for meter in meters:
            self._learn(meter, outcomes[meter.fitted.id])
        readings = tuple(outcomes[meter.fitted.id].reading for meter in meters)
        return Sweep(self._port.id, readings, self._clock.now())

    def _open(self, mark: datetime) -> None:
        """Have the port open. Played time: a world that came up after the mark was told does not know it yet."""
        if self.bus.open():
            self._clock.sleep_until(mark)

    def _unanswered(self, meters: Sequence[AskedMeter]) -> Sweep:
        now = self._clock.now()
        readings = tuple(meter.reading(now, now, ReadQuality.NO_ANSWER) for meter in meters)
        return Sweep(self._port.id, readings, now)

    def _tell_to_freeze(self, meters: Sequence[AskedMeter], mark: datetime) -> dict[MeterId, Answer]:
        """Broadcast a freeze to each kind of meter that is read by it; gives when each was told."""
        told: dict[object, Answer] = {}
        by_meter: dict[MeterId, Answer] = {}
        for meter in meters:
            commands = broadcasts_of(meter.fitted.protocol)
            if commands is None or meter.fitted.id in self._unfrozen or frozen_twin(meter.profile, meter.group) is None:
                continue
            way = (meter.fitted.protocol, meter.fitted.line)
            if way not in told:
                self._open(mark)
                told[way] = self.bus.converse(commands.freeze(), reply_s=0.0, late_s=0.0, line=meter.fitted.line)
            by_meter[meter.fitted.id] = told[way]
        return by_meter

    def _read(self, meter: AskedMeter, mark: datetime, told: Answer | None) -> Outcome:
        twin = frozen_twin(meter.profile, meter.group) if told is not None else None
        if told is None or twin is None or meter.patience.is_silent or self._calendar is None:
            return self._asker.read(meter, mark, self._tolerance)
        frozen = self._asker.read(meter.for_group(twin), mark, None)
        reading = frozen.reading
        if reading.quality is ReadQuality.MEASURED and is_of(told.started_at, twin, reading.mantissas, self._calendar):
            reading = replace(reading, started_at=told.started_at, ended_at=told.ended_at)
            return replace(frozen, reading=reading)
        if reading.quality is ReadQuality.NO_ANSWER:
            return replace(frozen, reading=replace(reading, group=meter.group.index))
        log.warning("freeze-not-taken", extra={"meter": meter.fitted.id, "quality": reading.quality.name})
        if reading.quality is ReadQuality.REFUSED:
            self._unfrozen.add(meter.fitted.id)
        return self._asker.read(meter, mark, self._tolerance)

    def _learn(self, meter: AskedMeter, outcome: Outcome) -> None:
        for turnaround_s in outcome.turnarounds_s:
            meter.patience.answered(turnaround_s)
        if outcome.silent_s is not None:
            if meter.patience.is_silent:
                self._silent_share.spend(outcome.silent_s)
            meter.patience.stayed_silent(outcome.reading.ended_at)
        if outcome.learned is not None:
            log.warning("meter-taught", extra={"meter": meter.fitted.id, "learned": str(outcome.learned)})
            self._lessons.keep(meter.key, outcome.learned)
            self._meters[meter.fitted.id] = meter.within(outcome.learned)

    def _work_off(self, agenda: Agenda, until: datetime, readings: list[MeterReading]) -> bool:
        """Read what is due now and fits before `until`, into `readings`; say whether the port vanished meanwhile."""
        while (job := agenda.take(self._clock.now(), until)) is not None:
            if self._stop.is_set():
                raise Stopped("told to stop")
            try:
                readings += self._do(job)
            except PortLost as error:
                log.warning("port-lost", extra={"port": self._port.id, "reason": str(error)})
                self.bus.close()
                return True
        return False

    def _do(self, job: Job) -> list[MeterReading]:
        now = self._clock.now()
        meter = self._meters[job.meter]
        if now not in meter.fitted.span or meter.patience.is_silent:
            return []
        return [self.read_apart(job.meter, meter.profile.group(job.group))]


def _freezes(port: Port) -> bool:
    return isinstance(port, SerialPort | StreamPort) and bool(port.freeze)
