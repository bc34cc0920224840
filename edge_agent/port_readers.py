"""From the configuration to what reads the ports: a bus for each kind of port, its meters, its agenda, its warnings."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from device_profiles.catalogue import Catalogue
from device_profiles.framing.conversation import NO_SECRETS, MeterSecrets
from edge_agent.adapters.pulse_bus import PulseBus, store_path
from edge_agent.adapters.pulse_lines import lines_of
from edge_agent.adapters.pulse_store import PulseStore
from edge_agent.adapters.serial_bus import SerialBus
from edge_agent.adapters.stream_bus import StreamBus
from edge_agent.adapters.tcp_bus import TcpBus
from edge_agent.adapters.usb_latency import latency_hint
from edge_agent.agenda import Agenda, Rhythm
from edge_agent.capacity import NotRehearsed
from edge_agent.learnt import Lessons
from edge_agent.line_loan import LentBus
from edge_agent.port_plan import Verdict, load_of, plan_port
from edge_agent.ports import Bus, PortLost
from edge_agent.sweep import AskedMeter, PortReader
from metering.clock import Clock
from metering.interval import SiteCalendar
from provisioning.gateway_config import ClockKind, FittedMeter, GatewayConfig
from provisioning.site import Port, PulsePort, SerialPort, StreamPort, TcpPort

log = logging.getLogger(__name__)

PLAYED_REPLY_STRETCH = 16.0
"""In played time the meters are programs that share this host: a busy moment of it must not look like a dead meter."""


def bus_of(port: SerialPort | TcpPort | StreamPort, clock: Clock) -> Bus:
    """Build the bus of a port with meters that are asked; opens nothing."""
    if isinstance(port, SerialPort):
        return SerialBus(port, clock)
    return TcpBus(port, clock) if isinstance(port, TcpPort) else StreamBus(port, clock)


def readers_of(
    config: GatewayConfig,
    catalogue: Catalogue,
    stop: threading.Event,
    clock_for: Callable[[], Clock],
    *,
    lessons: Lessons | None = None,
    secrets_of: Callable[[FittedMeter], MeterSecrets] | None = None,
) -> list[PortReader]:
    """Build a reader for each port; raises what a meter's profile or address is wrong with.

    clock_for    gives the clock of one port's thread
    secrets_of   gives what a meter's protocol needs and no profile holds
    """
    is_played = config.clock.kind is ClockKind.PLAYED
    zone = config.time.zone if config.time is not None else None
    readers: list[PortReader] = []
    for port in config.ports:
        clock = clock_for()
        meters = asked_meters(config, catalogue, port, secrets_of)
        _warn(config, catalogue, port, clock)
        readers.append(
            PortReader(
                port,
                _pulse_bus(config, port, clock) if isinstance(port, PulsePort) else _lent_bus(config, port, clock),
                clock,
                meters,
                stop,
                lessons=lessons,
                silent_last=not is_played,
                agenda=_agenda(config, port, meters, clock),
                calendar=None if zone is None else SiteCalendar(zone),
            )
        )
    for reader in readers:
        _begin_to_count(reader)
    return readers


def _lent_bus(config: GatewayConfig, port: SerialPort | TcpPort | StreamPort, clock: Clock) -> Bus:
    """Build a bus whose line the desk may borrow; in played time there is no desk, and nothing but marks."""
    bus = bus_of(port, clock)
    return bus if config.clock.kind is ClockKind.PLAYED else LentBus(bus, config.state_dir, port.id)


def _pulse_bus(config: GatewayConfig, port: PulsePort, clock: Clock) -> PulseBus:
    inputs = sorted({int(meter.address) for meter in config.meters_on(port.id)})
    return PulseBus(port, clock, lines_of(port, inputs), PulseStore(store_path(config.state_dir, port)))


def _begin_to_count(reader: PortReader) -> None:
    """Have pulses counted from now on, not from the first mark on; inputs that are not there are tried at the mark."""
    if isinstance(reader.bus, PulseBus):
        try:
            reader.bus.open()
        except PortLost as error:
            log.warning("port-lost", extra={"port": reader.port.id, "reason": str(error)})


def asked_meters(
    config: GatewayConfig,
    catalogue: Catalogue,
    port: Port,
    secrets_of: Callable[[FittedMeter], MeterSecrets] | None = None,
) -> list[AskedMeter]:
    """Prepare every meter of a port, whatever its span."""
    stretch = PLAYED_REPLY_STRETCH if config.clock.kind is ClockKind.PLAYED else 1.0
    return [
        AskedMeter.prepare(
            fitted, catalogue, config.group, stretch, NO_SECRETS if secrets_of is None else secrets_of(fitted)
        )
        for fitted in config.meters_on(port.id)
    ]


def _agenda(config: GatewayConfig, port: Port, meters: Iterable[AskedMeter], clock: Clock) -> Agenda | None:
    """Give what the port reads between marks; None where nothing is ordered."""
    rhythms = [
        Rhythm(meter.fitted.id, interval.group, interval.every_s, _cost_s(port, meter, interval.group))
        for interval in config.intervals or ()
        for meter in meters
        if interval.group != config.group and any(each.name == interval.group for each in meter.profile.groups)
    ]
    return Agenda(rhythms, clock.now()) if rhythms else None


def _cost_s(port: Port, meter: AskedMeter, group: str) -> float:
    """Give what a read may cost the line [s]: as reckoned, or the profile's patience where that is not known."""
    try:
        return load_of(port, meter.fitted, meter.profile, group).longest_s
    except NotRehearsed:
        return meter.patience.reply_s_max


def _warn(config: GatewayConfig, catalogue: Catalogue, port: Port, clock: Clock) -> None:
    """Tell the log of a line that cannot carry what it has to, and of an adapter that makes it slow."""
    if config.clock.kind is ClockKind.PLAYED:
        return
    plan = plan_port(
        port,
        config.meters_on(port.id),
        catalogue,
        group=config.group,
        every_s=config.every_s,
        intervals=config.intervals or (),
        at=clock.now(),
    )
    is_late = plan.verdict is Verdict.LATE and port.tolerance_s > 0  # without tolerance, as in a probe, all is late
    if plan.verdict is Verdict.TOO_MUCH or is_late:
        log.warning(
            "port-overloaded", extra={"port": port.id, "verdict": plan.verdict, "sweep_s": round(plan.sweep_s, 1)}
        )
    hint = latency_hint(port.device) if isinstance(port, SerialPort) else None
    if hint is not None:
        log.warning("slow-adapter", extra={"port": port.id, "reason": hint})
