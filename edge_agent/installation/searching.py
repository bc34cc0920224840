"""Scanning a line for the desk: the plan's meters are what is expected on it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from device_profiles.catalogue import Catalogue
from edge_agent.installation.home import Home
from edge_agent.installation.worksheet import Worksheet
from edge_agent.line_loan import Loan, YieldingBus
from edge_agent.port_readers import bus_of
from edge_agent.scanning.result import ExpectedMeter, Progress, ScanEnd, ScanResult
from edge_agent.scanning.scan import scan
from metering.clock import Clock
from metering.identity import PortId
from provisioning.serial_numbers import is_same_serial
from provisioning.site import SerialPort, StreamPort, TcpPort


def search(
    port: SerialPort | StreamPort | TcpPort,
    sheet: Worksheet,
    home: Home,
    catalogue: Catalogue,
    clock: Clock,
    progress: Progress,
    stop: threading.Event,
    *,
    loan: Loan,
    every: timedelta | None,
    is_thorough: bool,
    also: Sequence[str] = (),
) -> ScanResult:
    """Scan a borrowed line; what a broken-off scan found is added to what was known. Raises PortLost.

    also    serial numbers that are expected against the plan
    every   time between the marks of the agent that lent the line, None where none runs
    """
    bus = bus_of(port, clock)
    try:
        result = scan(
            port,
            catalogue,
            expected_on(sheet, port.id, also),
            progress,
            everything=is_thorough,
            cancel=stop,
            state=home.state / f"scan-{port.id}.json",
            clock=clock,
            bus=bus if every is None else YieldingBus(bus, loan, clock, every),
        )
    finally:
        bus.close()
    before = sheet.scans.get(port.id)
    if result.end is not ScanEnd.CANCELLED or before is None:
        return result
    heard = {(one.protocol, one.address) for one in result.found}
    kept = (one for one in before.found if (one.protocol, one.address) not in heard)
    return replace(result, found=(*result.found, *kept))


def expected_on(sheet: Worksheet, port: PortId, also: Sequence[str] = ()) -> tuple[ExpectedMeter, ...]:
    """Give the meters that may hang on a line: those planned there or without a line, and those bound since.

    One that went is not among them. In the place of one whose last registers are kept hangs one of `also`, or, where
    nobody said a number, any of its model.
    """
    assert sheet.order is not None
    plan = sheet.order.plan
    wired = {meter.id: meter for meter in plan.site.meters}
    there = {meter.id: meter for meter in sheet.site().meters}
    found = []
    for one in plan.expected if sheet.is_replacing else sheet.still_expected():
        planned = wired.get(one.meter)
        line = one.port or (None if planned is None else planned.port)
        if line not in (None, port) or (line is None and _is_found_elsewhere(sheet, port, one.serial)):
            continue
        if one.meter in sheet.closings:
            continue
        found.append(
            ExpectedMeter(
                serial=one.serial or "",
                profile=one.profile or "",
                protocol=None if planned is None else planned.protocol,
                address="" if planned is None else planned.address,
            )
        )
    unplanned = (one for one in sheet.fitted() if one.id not in plan.planned and one.port == port)
    found += [
        ExpectedMeter(one.serial, one.profile, one.protocol, one.address)
        for one in unplanned
        if one.id not in sheet.closings
    ]
    going = [there[one] for one in sheet.closings if one in there]
    going = [one for one in going if one.span.end is None and one.port == port]
    if also:
        return (*found, *(ExpectedMeter(serial) for serial in also))
    return (*found, *(ExpectedMeter(profile=one.profile, protocol=one.protocol) for one in going))


def _is_found_elsewhere(sheet: Worksheet, port: PortId, serial: str | None) -> bool:
    others = (scan for other, scan in sheet.scans.items() if other != port)
    told = (found.serial for scan in others for found in scan.found if found.serial is not None)
    return serial is not None and any(is_same_serial(serial, one) for one in told)
