"""Meters' own clocks: how far each is ahead, and setting those that are wrong where the site allows it.

A meter's clock has no zone; the site says which one its meters keep. It is compared with the gateway's clock at the
middle of the exchange, and only while that clock knows the time. Setting is a broadcast, which every meter of its
protocol on the line hears: by DL/T 645-2007 a meter takes it once a day and for five minutes at most, and near midnight
it could make a day begin twice. So it is sent once a day at most, away from midnight, by a gateway that is sure of its
own time, and what was done is reported in the chain.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from device_profiles.catalogue import Catalogue
from device_profiles.framing import NotInProtocol, broadcasts_of
from device_profiles.profile import ChannelKind
from edge_agent.asking import AskedMeter
from edge_agent.ports import PortLost
from edge_agent.sweep import PortReader, Sweep
from metering.clock import Clock, ClockQuality
from metering.errors import MeterError
from metering.identity import MeterId, PortId
from metering.interval import SiteCalendar
from metering.obis import Obis
from metering.reading import MeterReading, ReadQuality
from metering.report import ClocksSet

log = logging.getLogger(__name__)

CLOCK = Obis.parse("0-0:1.0.0")
"""The meter's present time; other channels of kind time say when something was."""
BROADCAST_S_MAX = 300
"""A meter takes no correction by more than this from a broadcast [s]."""
SURE_MS = 2000
"""The gateway sets no clock unless its own is known this well [ms]."""
MIDNIGHT = timedelta(minutes=15)
"""No clock is set this close to midnight: a day could begin twice, or without its settlement."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANSWERED = (ReadQuality.MEASURED, ReadQuality.LATE)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line on which clocks were set on a day: protocol and settings of the line say who hears a broadcast."""

    port: PortId
    way: object


class MeterClocks:
    """What the clocks of all meters showed last. Safe for several threads.

    calendar   of the zone that meters keep
    beyond_s   set clocks that are wrong by more than this [s]; None: none is ever set
    """

    def __init__(self, catalogue: Catalogue, calendar: SiteCalendar, clock: Clock, beyond_s: int | None) -> None:
        self._catalogue = catalogue
        self._calendar = calendar
        self._clock = clock
        self._beyond_s = beyond_s
        self._lock = threading.Lock()
        self._ahead_s: dict[MeterId, int] = {}
        self._set_on: dict[Setting, date] = {}

    def swept(self, sweep: Sweep) -> None:
        """Take what a sweep says of meters' clocks."""
        if self._clock.state().quality is ClockQuality.UNKNOWN:
            return
        for reading in sweep.readings:
            ahead_s = self._ahead(reading)
            if ahead_s is not None:
                with self._lock:
                    self._ahead_s[reading.meter] = ahead_s

    def ahead_s(self) -> Mapping[MeterId, int]:
        """Give how far each meter's clock was ahead when it was read last [s]; behind: below 0."""
        with self._lock:
            return dict(self._ahead_s)

    def set_where_wrong(self, readers: Sequence[PortReader]) -> list[ClocksSet]:
        """Broadcast the time on each line that has a wrong clock, where allowed now; say where. No sweep may be on."""
        state, local = self._clock.state(), self._calendar.local(self._clock.now())
        is_sure = state.error_ms is not None and state.error_ms <= SURE_MS
        past_midnight = timedelta(hours=local.hour, minutes=local.minute)
        if self._beyond_s is None or not is_sure or not MIDNIGHT <= past_midnight <= timedelta(days=1) - MIDNIGHT:
            return []
        return [found for reader in readers for found in self._set_on_port(reader, local.date())]

    def _set_on_port(self, reader: PortReader, today: date) -> list[ClocksSet]:
        ways: dict[Setting, list[AskedMeter]] = {}
        for meter in reader.meters:
            setting = Setting(reader.port.id, (meter.fitted.protocol, meter.fitted.line))
            if self._is_wrong(meter.fitted.id) and self._set_on.get(setting) != today:
                ways.setdefault(setting, []).append(meter)
        done = []
        for setting, meters in ways.items():
            self._set_on[setting] = today
            if self._broadcast(reader, meters[0]):
                done.append(ClocksSet(reader.port.id, self._forget(meters)))
        return done

    def _is_wrong(self, meter: MeterId) -> bool:
        ahead_s = self.ahead_s().get(meter, 0)
        if abs(ahead_s) > BROADCAST_S_MAX:
            log.warning("meter-clock-too-far", extra={"meter": meter, "ahead_s": ahead_s})
        return self._beyond_s is not None and self._beyond_s < abs(ahead_s) <= BROADCAST_S_MAX

    def _broadcast(self, reader: PortReader, meter: AskedMeter) -> bool:
        """Tell every meter that hears it the time; say whether it went out."""
        commands = broadcasts_of(meter.fitted.protocol)
        if commands is None:
            return False
        try:
            reader.bus.open()
            local = self._calendar.local(self._clock.now()).replace(tzinfo=None, microsecond=0)
            reader.bus.converse(commands.set_time(local), reply_s=0.0, late_s=0.0, line=meter.fitted.line)
        except (PortLost, MeterError, NotInProtocol) as error:
            log.warning("clocks-not-set", extra={"port": reader.port.id, "reason": str(error)})
            return False
        log.warning("clocks-set", extra={"port": reader.port.id, "local": local.isoformat()})
        return True

    def _forget(self, meters: Sequence[AskedMeter]) -> tuple[tuple[MeterId, int], ...]:
        """What was measured before the setting is no offset any more."""
        with self._lock:
            return tuple((meter.fitted.id, self._ahead_s.pop(meter.fitted.id)) for meter in meters)

    def _ahead(self, reading: MeterReading) -> int | None:
        if reading.quality not in _ANSWERED:
            return None
        group = next(one for one in self._catalogue.by_hash(reading.profile_hash).groups if one.index == reading.group)
        for channel, shown_s in zip(group.channels, reading.mantissas, strict=True):
            if channel.obis == CLOCK and channel.kind is ChannelKind.TIME and shown_s is not None:
                middle = reading.started_at + (reading.ended_at - reading.started_at) / 2
                local = self._calendar.local(middle).replace(tzinfo=UTC)
                return round(shown_s - (local - _EPOCH).total_seconds())
        return None
