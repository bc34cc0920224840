"""Looking at everything: plan, tree, places and serial numbers; and, over the bus, who answers and how it is wired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge_agent.installation.line_reader import LineReader, MeterLook
from edge_agent.installation.proving import WIRING_CODES, flow_at, without
from edge_agent.installation.worksheet import Worksheet
from edge_agent.scanning.result import FoundMeter
from metering.clock import Clock
from metering.identity import MeterId, NodeId, PortId
from provisioning.finding_words import worst_first
from provisioning.installation import Binding, Finding
from provisioning.installation_checks import SeenMeter, Survey, WindowEnergy, check_installation, window_energy
from provisioning.site import Meter
from provisioning.wiring_proof import prove_wiring

GROUPS = ("billing", "status")


@dataclass(slots=True)
class Looks:
    """What bound meters answered in one round; `silent` says in words why the others did not."""

    heard: dict[MeterId, MeterLook] = field(default_factory=dict)
    silent: dict[MeterId, str] = field(default_factory=dict)


def look_round(sheet: Worksheet, reader: LineReader, groups: tuple[str, ...] = GROUPS) -> Looks:
    """Read every bound meter once, line by line."""
    by_port: dict[PortId, list[Meter]] = {}
    for meter in sheet.fitted():
        by_port.setdefault(meter.port, []).append(meter)
    looks = Looks()
    for port in sheet.ports():
        for name, look in (reader.look(port, by_port[port.id], groups) if port.id in by_port else {}).items():
            if isinstance(look, MeterLook):
                looks.heard[MeterId(name)] = look
            else:
                looks.silent[MeterId(name)] = look
    return looks


def rechecked(sheet: Worksheet, looks: Looks) -> dict[MeterId, Binding]:
    """Give the drafted bindings that a round over the bus changes: serial numbers as read, wiring as judged."""
    changed = {}
    for meter, binding in sheet.bindings().items():
        look = looks.heard.get(meter)
        if look is None or sheet.draft_of(meter) is None:
            continue
        told = prove_wiring(look.snapshot, flow=flow_at(sheet.site(), binding.meter), clamps=()).findings
        clamped = [one for one in binding.findings if one.code.startswith("clamp-")]
        findings = (*without(binding.findings, WIRING_CODES), *told)
        if clamped:  # what a clamp proved is not unproven by a look without one
            findings = binding.findings
        new = replace(binding, read_serial=look.serial or binding.read_serial, findings=findings)
        if new != binding:
            changed[meter] = new
    return changed


def look_at_everything(sheet: Worksheet, looks: Looks | None, later: Looks | None, at: datetime) -> tuple[Finding, ...]:
    """Give everything that does not fit, worst first.

    looks   what bound meters answered now, None where they were not asked
    later   what they answered at the end of a test window, None without one
    """
    assert sheet.order is not None
    there = {meter.id for meter in sheet.fitted()}
    bindings = tuple(one for meter, one in sheet.bindings().items() if meter in there)
    ports = set(sheet.scans)
    if looks is not None:
        ports |= {one.meter.port for one in bindings}
    nodes_of = {one.meter.id: one.meter.node for one in bindings}
    windows = _windows(nodes_of, looks, later)
    survey = Survey.of_plan(
        replace(sheet.order.plan, site=sheet.site(), expected=sheet.still_expected()),
        at=at,
        bindings=bindings,
        seen=_seen(sheet, bindings, looks),
        scanned=ports,
        windows=windows,
    )
    return worst_first(check_installation(survey))


def _windows(nodes_of: Mapping[MeterId, NodeId], looks: Looks | None, later: Looks | None) -> list[WindowEnergy]:
    """Give what each meter counted from one round to the other."""
    if looks is None or later is None:
        return []
    both = [
        (looks.heard[meter], later.heard[meter], node)
        for meter, node in nodes_of.items()
        if meter in looks.heard and meter in later.heard
    ]
    found = [window_energy(first.snapshot, last.snapshot, node) for first, last, node in both]
    return [one for one in found if one is not None]


def wait_window(clock: Clock, seconds: int) -> None:
    """Let a test window pass [s]."""
    clock.sleep(seconds)


def _seen(sheet: Worksheet, bindings: Iterable[Binding], looks: Looks | None) -> list[SeenMeter]:
    """Give what answers: what the scans found, unless a later look says otherwise."""
    seen = {
        (port, one.protocol, one.address): _of_scan(port, one)
        for port, result in sheet.scans.items()
        for one in result.found
    }
    for binding in bindings if looks is not None else ():
        one, key = binding.meter, (binding.meter.port, binding.meter.protocol, binding.meter.address)
        seen.pop(key, None)
        look = looks.heard.get(one.id) if looks is not None else None
        if look is not None:
            seen[key] = SeenMeter(one.port, one.protocol, one.address, look.serial, one.profile)
    return list(seen.values())


def _of_scan(port: PortId, one: FoundMeter) -> SeenMeter:
    return SeenMeter(port, one.protocol, one.address, one.serial, one.profile)
