"""Is each meter still the one that was installed? Its serial number is read once a day, and when it was away.

What is read goes into the chain as a report, the first time and whenever it is another one; the centre, which knows
the books, compares. Between two marks one meter of each port is asked at most, and only where time is left, so that
watching costs the line next to nothing (docs/adr/0086).
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from device_profiles.identification import is_serial, signs_of
from device_profiles.profile import Group, Profile
from edge_agent.asking import AskedMeter
from edge_agent.poll_cycle import PollCycle
from edge_agent.ports import PortLost
from edge_agent.sweep import PortReader, Sweep
from metering.clock import Clock, ClockQuality
from metering.identity import MeterId
from metering.obis import Obis
from metering.reading import ReadQuality
from metering.report import SerialSeen

log = logging.getLogger(__name__)

EVERY = timedelta(hours=24)
ROOM = timedelta(seconds=20)
"""Time that must be left before the next mark: reading one register takes seconds where a meter is slow."""
SERIAL_NUMBER = Obis.parse("0-0:96.1.0")


@dataclass(frozen=True, slots=True)
class Known:
    """What a meter's serial number was when it was read last."""

    serial: str
    read_at: datetime


class Memory(Protocol):
    """Where serial numbers are kept over a restart."""

    def of(self, key: str) -> Known | None:
        """Give what is known."""

    def keep(self, key: str, known: Known) -> None:
        """Remember it."""


@lru_cache(maxsize=512)
def serial_group(profile: Profile) -> Group | None:
    """Give a group of the one register that holds a model's serial number; None where none is known to."""
    sign = next((sign for sign in signs_of(profile) if sign.probe.is_serial), None)
    if sign is not None:
        return sign.group
    for group in profile.groups:
        for channel in group.channels:
            if channel.obis == SERIAL_NUMBER:
                return Group(group.index, f"serial-{group.name}", (channel,), atomic=False)
    return None


class SerialWatch:
    """Reads serial numbers between marks. `swept` may be called from other threads."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self._away: set[MeterId] = set()
        self._back: set[MeterId] = set()
        self._lock = threading.Lock()

    def swept(self, sweep: Sweep) -> None:
        """Note who was away: a meter that is exchanged is silent meanwhile."""
        with self._lock:
            for reading in sweep.readings:
                if reading.quality is ReadQuality.NO_ANSWER:
                    self._away.add(reading.meter)
                elif reading.meter in self._away:
                    self._away.discard(reading.meter)
                    self._back.add(reading.meter)

    def tell(self, readers: Sequence[PortReader], marks: PollCycle) -> None:
        """Look, where time is left before the next mark, and put what is new into the chain. No sweep may be on."""
        if marks.polled is None:
            return
        seen = self.look(readers, marks.next_due())
        if seen:
            marks.sealer.report(seen)
            self.told(seen, readers)

    def look(self, readers: Sequence[PortReader], until: datetime) -> list[SerialSeen]:
        """Read what is due, one meter of a port at most; give what the chain has to be told. No sweep may be on."""
        now = self._clock.now()
        if until - now < ROOM or self._clock.state().quality is ClockQuality.UNKNOWN:
            return []
        return [seen for reader in readers for seen in self._look_at_port(reader, now)]

    def told(self, reports: Sequence[SerialSeen], readers: Sequence[PortReader]) -> None:
        """Keep what is in the chain now, so that it is told once."""
        keys = {meter.fitted.id: meter.key for reader in readers for meter in reader.meters}
        for seen in reports:
            self._memory.keep(keys[seen.meter], Known(seen.serial, seen.read_at))

    def _look_at_port(self, reader: PortReader, now: datetime) -> Iterator[SerialSeen]:
        for meter in reader.meters:
            group = serial_group(meter.profile)
            if group is None or not self._is_due(meter, now):
                continue
            serial = self._read(reader, meter, group)
            if serial is None:
                return
            before = self._memory.of(meter.key)
            if before is None or before.serial != serial:
                if before is not None and before.serial:
                    extra = {"meter": meter.fitted.id, "before": before.serial, "now": serial}
                    log.warning("meter-serial-changed", extra=extra)
                yield SerialSeen(meter.fitted.id, serial, now)
            else:
                self._memory.keep(meter.key, Known(serial, now))
            return

    def _is_due(self, meter: AskedMeter, now: datetime) -> bool:
        if now not in meter.fitted.span or meter.patience.is_silent:
            return False
        known = self._memory.of(meter.key)
        with self._lock:
            is_back = meter.fitted.id in self._back
        return known is None or is_back or abs(now - known.read_at) >= EVERY

    def _read(self, reader: PortReader, meter: AskedMeter, group: Group) -> str | None:
        """Give the number; None where it could not be had: the meter is asked again tomorrow, or when it is back."""
        try:
            reading = reader.read_apart(meter.fitted.id, group)
        except PortLost:
            return None
        with self._lock:
            self._back.discard(meter.fitted.id)
        mantissa = reading.mantissas[0] if reading.mantissas else None
        if mantissa is not None and is_serial(mantissa):
            return str(mantissa)
        before = self._memory.of(meter.key)
        self._memory.keep(meter.key, Known(before.serial if before else "", self._clock.now()))
        return None


class SerialsFile:
    """Serial numbers in a small JSON file of the state directory, written anew whole at each change.

    A file that cannot be read costs one reading of each meter.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read_file(path)

    def of(self, key: str) -> Known | None:
        """Give what is known."""
        return self._known.get(key)

    def keep(self, key: str, known: Known) -> None:
        """Remember, past a power cut too; where nothing can be written, until the program ends."""
        self._known[key] = known
        lines = {each: [one.serial, one.read_at.isoformat()] for each, one in self._known.items()}
        aside = self._path.with_suffix(".new")
        try:
            with aside.open("w", encoding="utf-8") as file:
                json.dump(lines, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as error:
            log.warning("serials-not-kept", extra={"path": str(self._path), "reason": str(error)})


def _read_file(path: Path) -> dict[str, Known]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {key: Known(str(serial), datetime.fromisoformat(at)) for key, (serial, at) in content.items()}
        if any(one.read_at.tzinfo is None for one in known.values()):
            raise ValueError("a time without zone")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("serials-unreadable", extra={"path": str(path), "reason": str(error)})
        return {}
    return known
