"""Comparing displays with the bus, and wiring with the flow of energy: what the proofs say, put into the binding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from device_profiles.catalogue import Catalogue
from device_profiles.profile import Channel, ChannelKind, Group, Profile
from edge_agent.installation.binding import scanned
from edge_agent.installation.line_reader import BILLING, LineReader, MeterLook
from edge_agent.installation.view import LiveMeter, LiveRegister, Typed
from edge_agent.installation.words import refused
from edge_agent.installation.worksheet import Worksheet
from metering.identity import MeterId
from metering.obis import Obis
from provisioning.display_proof import DisplayProof, prove_display
from provisioning.display_readout import DisplayUnreadable, read_display, usual_unit
from provisioning.installation import Binding, Finding, ReadingSource, RegisterSeen
from provisioning.meter_snapshot import MeterSnapshot
from provisioning.site import Meter, NodeKind, Site
from provisioning.wiring_proof import Clamp, Flow, prove_wiring

DISPLAY_CODES = ("display-", "ratio-unproven")
WIRING_CODES = ("wiring-", "clamp-")
KEPT = 2
"""Readings of each meter that are kept for the next comparison."""


class Prover:
    """Reads meters and proves what it can; remembers readings as long as the desk is open."""

    def __init__(self, reader: LineReader, catalogue: Catalogue) -> None:
        self._reader = reader
        self._catalogue = catalogue
        self._seen: dict[MeterId, list[MeterSnapshot]] = {}

    def profile(self, profile: str) -> Profile:
        """Find a model."""
        return self._catalogue.by_id(profile)

    def note(self, look: MeterLook) -> None:
        """Keep a reading for comparisons."""
        meter = MeterId(look.snapshot.meter)
        self._seen[meter] = [*self._seen.get(meter, ()), look.snapshot][-KEPT:]

    def look_at(self, sheet: Worksheet, meter: Meter, groups: Sequence[str]) -> MeterLook:
        """Read a bound meter; raises DeskRefused where it does not answer."""
        port = next(one for one in sheet.ports() if one.id == meter.port)
        look = self._reader.look_at(port, meter, groups)
        self.note(look)
        return look

    def compared(
        self, sheet: Worksheet, binding: Binding, typed: Sequence[Typed], at: datetime, groups: Sequence[str]
    ) -> tuple[Binding, tuple[DisplayProof, ...]]:
        """Give the binding with its display compared, and what came of each register."""
        look = self.look_at(sheet, binding.meter, groups)
        own = [one for one in self._seen[binding.meter.id] if one.profile.id == binding.meter.profile]
        others = self._others(sheet, binding.meter.id)
        proofs = [_proof(one, own, others, at) for one in typed]
        if not all(proof.verdict.agrees for proof in proofs) and self._read_others(sheet, binding.meter.id):
            others = self._others(sheet, binding.meter.id)
            proofs = [_proof(one, own, others, at) for one in typed]
        obises = {one.obis for one in typed}
        kept = (one for one in binding.comparisons if one.obis not in obises)
        marks = [str(obis) for obis in obises]
        marks += [one.typed for one in binding.comparisons if one.obis in obises]
        findings = without(binding.findings, DISPLAY_CODES, marks)
        changed = replace(
            binding,
            read_serial=look.serial or binding.read_serial,
            comparisons=(*kept, *(proof.comparison for proof in proofs)),
            findings=(*findings, *(one for proof in proofs for one in proof.findings)),
        )
        return changed, tuple(proofs)

    def wired(
        self, sheet: Worksheet, binding: Binding, *, clamps: Sequence[Clamp], is_rotation_right: bool | None
    ) -> tuple[Binding, tuple[Finding, ...]]:
        """Give the binding with its wiring judged from what it shows now."""
        look = self.look_at(sheet, binding.meter, (BILLING, "status"))
        flow = flow_at(sheet.site(), binding.meter)
        told = prove_wiring(look.snapshot, flow=flow, clamps=clamps, is_rotation_right=is_rotation_right).findings
        return replace(binding, findings=(*without(binding.findings, WIRING_CODES), *told)), told

    def _others(self, sheet: Worksheet, meter: MeterId) -> list[MeterSnapshot]:
        """Give the other meters as read last: those bound, and those that the scan found and nobody bound yet."""
        bound = [seen[-1] for other, seen in self._seen.items() if other != meter and seen]
        places = {(one.meter.port, one.meter.address) for one in sheet.bindings().values()}
        found = []
        for port, one in scanned(sheet):
            if one.profile is None or (port, one.address) in places:
                continue
            found.append(
                MeterSnapshot(
                    meter=f"{port}/{one.address}",
                    profile=self._catalogue.by_id(one.profile),
                    protocol=one.protocol,
                    ct=1,
                    pt=1,
                    read_at=bound[-1].read_at if bound else self._seen[meter][-1].read_at,
                    shown=dict(one.registers),
                )
            )
        return [*bound, *found]

    def _read_others(self, sheet: Worksheet, meter: MeterId) -> bool:
        """Read every other bound meter: the display may be one of theirs. Says whether any answered."""
        by_port: dict[str, list[Meter]] = {}
        for one in sheet.fitted():
            if one.id != meter:
                by_port.setdefault(one.port, []).append(one)
        answered = False
        for port in sheet.ports():
            looks = self._reader.look(port, by_port[port.id], (BILLING,)).values() if port.id in by_port else ()
            for look in looks:
                if isinstance(look, MeterLook):
                    self.note(look)
                    answered = True
        return answered


def _proof(typed: Typed, own: Sequence[MeterSnapshot], others: Sequence[MeterSnapshot], at: datetime) -> DisplayProof:
    return prove_display(f"{typed.text} {typed.unit}".strip(), typed.obis, own=own, at=at, others=others)


def without(findings: Iterable[Finding], codes: tuple[str, ...], marks: Collection[str] = ()) -> tuple[Finding, ...]:
    """Leave out findings with these beginnings of codes; where marks are given, only what names one of them."""
    return tuple(
        one
        for one in findings
        if not (one.code.startswith(codes) and (not marks or any(mark in one.told.en for mark in marks)))
    )


def flow_at(site: Site, meter: Meter) -> Flow:
    """Say which way energy should go at a meter: out of a source, either way above one."""
    assert meter.span.start is not None
    kinds = {node.id: node.kind for node in site.nodes}
    if kinds[meter.node] is NodeKind.GENERATION:
        return Flow.EXPORT
    below = {meter.node}
    while True:
        more = {node.id for node in site.nodes if node.parent_at(meter.span.start) in below} - below
        if not more:
            break
        below |= more
    return Flow.EITHER if any(kinds[node] is NodeKind.GENERATION for node in below) else Flow.IMPORT


def counters_of(profile: Profile) -> tuple[Channel, ...]:
    """Give the registers that are settled: the counters of the billing group."""
    return tuple(one for one in profile.group(BILLING).channels if one.kind is ChannelKind.COUNTER)


def registers_measured(look: MeterLook) -> tuple[RegisterSeen, ...]:
    """Give what the settled registers showed."""
    shown = look.snapshot.shown
    return tuple(
        RegisterSeen(one.obis, shown[one.obis], ReadingSource.MEASURED)
        for one in counters_of(look.snapshot.profile)
        if one.obis in shown
    )


def typed_registers(
    profile: Profile, meter: MeterId, typed: Sequence[Typed], source: ReadingSource, photo: bytes | None = None
) -> tuple[RegisterSeen, ...]:
    """Give what a person read off a display, as registers; raises DeskRefused."""
    known = {one.obis: one for one in counters_of(profile)}
    seen = []
    for one in typed:
        channel = known.get(one.obis)
        if channel is None:
            raise refused("no-register", meter=meter, obis=one.obis, known=", ".join(map(str, known)))
        try:
            shown = read_display(f"{one.text} {one.unit}".strip(), usual_unit(channel.unit)).shown
        except DisplayUnreadable as error:
            raise refused("display-unreadable", typed=one.text) from error
        seen.append(RegisterSeen(one.obis, shown, source, photo))
    return tuple(seen)


def live_meter(look: MeterLook) -> LiveMeter:
    """Give a reading as faces show it."""
    registers = tuple(
        LiveRegister(channel.obis, group.name, look.snapshot.shown.get(channel.obis))
        for group, channel in _channels(look.snapshot.profile)
        if channel.obis in look.snapshot.shown or group.name == BILLING
    )
    return LiveMeter(MeterId(look.snapshot.meter), look.snapshot.read_at, registers, look.serial, look.problem)


def _channels(profile: Profile) -> list[tuple[Group, Channel]]:
    seen: dict[Obis, tuple[Group, Channel]] = {}
    for group in profile.groups:
        for channel in group.channels:
            seen.setdefault(channel.obis, (group, channel))
    return list(seen.values())
