"""A line of 32 meters of three protocols that nobody wrote down, scanned; beside mbmd's order on the same meters.

    python -m tests.bench.scan.run

Seven minutes: two scans on a pseudo-terminal on which octets take their time, the others in virtual time, which is the
same model without waiting. Writes docs/performance-scan.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Protocol
from device_profiles.timed_line import LineMeter, Speed
from edge_agent.adapters.timed_port import PtyPort
from edge_agent.scanning.result import ExpectedMeter, ScanProgress, ScanResult
from edge_agent.scanning.scan import scan
from metering.identity import GatewayId, PortId
from provisioning.site import LineSettings, Parity, SerialPort
from tests.bench.scan import mbmd_order
from tests.bench.scan.cabinet import cabinet, line_of, plan_of, serial_of
from tests.doubles.virtual_wire import VirtualWire

PAGE = Path(__file__).parents[3] / "docs" / "performance-scan.md"
SEEDS = range(1, 21)
SETTINGS = (
    (Speed(9600, "N"), Speed(2400, "E"), Speed(2400, "E")),
    (Speed(19_200, "E"), Speed(9600, "E"), Speed(2400, "E")),
    (Speed(4800, "N"), Speed(1200, "E"), Speed(9600, "E")),
)
"""Of the Modbus, DL/T 645 and M-Bus meters of a line; drawn in turn."""


@dataclass(frozen=True)
class Scanned:
    """What a scan gave. `last_s`: when the last meter was found; `ended_s`: when the scan ended by itself [s]."""

    meters: int
    right: int
    certain: int
    serials: int
    readable: int
    wrong: int
    questions: int
    last_s: float
    ended_s: float


def main() -> None:
    """Measure everything and write the page."""
    load, began_s = os.getloadavg()[0], time.monotonic()
    planned = on_wire(1, with_plan=True)
    sys.stderr.write(f"pseudo-terminal, with a plan: {planned}\n")
    bare = on_wire(1, with_plan=False)
    sys.stderr.write(f"pseudo-terminal, without: {bare}\n")
    model = (virtual(1, with_plan=True), virtual(1, with_plan=False))
    many_planned = [virtual(seed, with_plan=True) for seed in SEEDS]
    many_bare = [virtual(seed, with_plan=False) for seed in SEEDS]
    sys.stderr.write(f"{len(SEEDS)} lines: {summary(many_planned)} {summary(many_bare)}\n")
    right, empty = mbmd(Speed(9600, "N")), mbmd(Speed(19_200, "E"))
    sys.stderr.write(f"mbmd's order: {right}\n")
    PAGE.write_text(page(load, (planned, bare), model, (many_planned, many_bare), (right, empty)), encoding="utf-8")
    sys.stderr.write(f"done in {time.monotonic() - began_s:.0f} s\n")


def line_meters(seed: int) -> list[LineMeter]:
    """Give the line of a seed."""
    return cabinet(seed, *SETTINGS[(seed - 1) % len(SETTINGS)])


def on_wire(seed: int, *, with_plan: bool) -> Scanned:
    """Scan a line on a pseudo-terminal, in real time."""
    meters = line_meters(seed)
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "line")
        with PtyPort(place, line_of(meters)):
            port = port_at(place)
            finds: list[float] = []
            result = scan(port, Catalogue.shipped(), plan(meters, with_plan=with_plan), noting(finds))
    return judged(meters, result, finds)


def virtual(seed: int, *, with_plan: bool) -> Scanned:
    """Scan a line in virtual time."""
    meters = line_meters(seed)
    wire, port, finds = VirtualWire(line_of(meters)), port_at("/dev/null"), list[float]()
    expected = plan(meters, with_plan=with_plan)
    result = scan(port, Catalogue.shipped(), expected, noting(finds), bus=wire.bus(port.line), clock=wire)
    return judged(meters, result, finds)


def mbmd(speed: Speed) -> mbmd_order.MbmdScan:
    """Scan the first line in mbmd's order, at one setting."""
    wire = VirtualWire(line_of(line_meters(1)))
    line = LineSettings(speed.baud, Parity(speed.parity), 1)
    bus = wire.bus(line)
    bus.open()
    return mbmd_order.scan(bus, wire, line)


def port_at(place: str) -> SerialPort:
    """Give the port; the setting it names is none that a meter has."""
    return SerialPort(PortId("line-a"), GatewayId("gw-a"), place, 38_400, Parity.NONE, 1, 60)


def plan(meters: list[LineMeter], *, with_plan: bool) -> list[ExpectedMeter]:
    """Give the plan: models and printed numbers, without settings and addresses."""
    return plan_of(meters) if with_plan else []


def noting(finds: list[float]):  # type: ignore[no-untyped-def]
    """Note when meters are found."""

    def tell(progress: ScanProgress) -> None:
        if progress.newest is not None:
            finds.append(progress.elapsed_s)

    return tell


def judged(meters: list[LineMeter], result: ScanResult, finds: list[float]) -> Scanned:
    """Compare what was found with what hangs there."""
    truth = {(each.meter.protocol, each.meter.address): each for each in meters}
    right = certain = serials = wrong = 0
    for found in result.found:
        address = found.address[:8] if found.protocol is Protocol.MBUS else found.address
        meter = truth.pop((found.protocol, address), None)
        if meter is None:
            wrong += 1
            continue
        best = {each.profile for each in found.candidates if each.score == found.candidates[0].score}
        right += meter.meter.profile.id in best
        wrong += meter.meter.profile.id not in best
        certain += best == {meter.meter.profile.id}
        serials += bool(found.serial) and found.serial == serial_of(meter)
        wrong += bool(found.serial) and found.serial != serial_of(meter)
    readable = sum(bool(serial_of(each)) for each in meters)
    last_s = max(finds, default=0.0)
    return Scanned(len(meters), right, certain, serials, readable, wrong, result.asked, last_s, result.elapsed_s)


def summary(scans: list[Scanned]) -> str:
    """Say how many meters were right, and how long it took."""
    ended = sorted(each.ended_s for each in scans)
    meters, right = sum(each.meters for each in scans), sum(each.right for each in scans)
    return f"{right}/{meters} right, median {statistics.median(ended):.0f} s, {ended[0]:.0f} to {ended[-1]:.0f} s"


def page(
    load: float,
    wires: tuple[Scanned, Scanned],
    models: tuple[Scanned, Scanned],
    many: tuple[list[Scanned], list[Scanned]],
    mbmds: tuple[mbmd_order.MbmdScan, mbmd_order.MbmdScan],
) -> str:
    """Write the page."""
    planned, bare = wires
    right, elsewhere = mbmds
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    return template.format(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cpus=os.cpu_count(),
        load=load,
        planned=row(planned),
        planned_model=row(models[0]),
        bare=row(bare),
        bare_model=row(models[1]),
        lines=len(many[0]),
        many_planned=summary(many[0]),
        many_bare=summary(many[1]),
        probes=len(mbmd_order.PROBES),
        mbmd_found=len(right.found),
        known=sum(each.meter.protocol is Protocol.MODBUS_RTU for each in line_meters(1)),
        mbmd_right=f"{minutes(right.seconds)}, {right.questions} questions",
        mbmd_elsewhere_found=len(elsewhere.found) or "nobody",
        mbmd_elsewhere=minutes(elsewhere.seconds),
        mbmd_all=minutes(right.seconds + 15 * elsewhere.seconds),
        bare_found=bare.right,
        bare_time=f"{minutes(bare.ended_s)}, {bare.questions} questions",
        planned_found=planned.right,
        planned_time=f"{minutes(planned.ended_s)}, {planned.questions} questions",
    )


def row(scanned: Scanned) -> str:
    """Give the cells of one scan."""
    one = scanned
    found = f"{one.right} of {one.meters} | {one.certain} | {one.serials} of {one.readable} | {one.wrong}"
    return f"{found} | {one.questions} | {one.last_s:.0f} s | {one.ended_s:.0f} s"


def minutes(seconds: float) -> str:
    """Write a duration."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
