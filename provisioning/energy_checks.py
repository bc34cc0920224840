"""Energies of a tree over a live test window: a parent smaller than its children has a wrong ratio, or wrong children.

A window of minutes resolves little, so what each register's step, each meter's class and the moments of reading allow
is added up; only what lies beyond is told. A window too short to prove anything says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from device_profiles.profile import ChannelKind, Side
from metering.identity import NodeId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT, Obis
from provisioning.finding_words import finding
from provisioning.installation import Finding
from provisioning.meter_snapshot import MeterSnapshot, step_of
from provisioning.ratios import is_usual_ratio
from provisioning.site import Node
from provisioning.tree_checks import parents_at

_LIGHT_LOAD = 2
"""At light load a class allows twice its error at reference conditions (IEC 62053-21, table 4)."""
_TOLD_APART = 4
"""A sum proves something when it is this many times what it is uncertain by."""
_LOST = Fraction(3, 10)
"""Cables and transformers lose percents; with this share gone, a child is missing or counts too little."""


@dataclass(frozen=True, slots=True)
class WindowEnergy:
    """What one meter counted between two readings, on the primary side.

    energy_wh   import less export [Wh]
    step_wh     what one step of its registers is [Wh]
    ratio       CT x PT that was applied
    """

    meter: str
    node: NodeId
    start: datetime
    end: datetime
    energy_wh: Fraction
    step_wh: Fraction
    ratio: int

    @property
    def power_w(self) -> Fraction:
        """Mean power [W]."""
        return self.energy_wh * 3600 / max(Fraction(1), Fraction((self.end - self.start).total_seconds()))


def window_energy(first: MeterSnapshot, last: MeterSnapshot, node: NodeId) -> WindowEnergy | None:
    """Take the energy between two readings of one meter; None where it counts none or a register fell."""
    ratio = 1 if last.profile.side is Side.PRIMARY else last.ct * last.pt
    gained = _gained(first, last, ENERGY_IMPORT)
    if gained is None or last.read_at <= first.read_at:
        return None
    given = _gained(first, last, ENERGY_EXPORT) or Fraction(0)
    step = max(step_of(last.shown[obis]) for obis in (ENERGY_IMPORT, ENERGY_EXPORT) if obis in last.shown)
    return WindowEnergy(last.meter, node, first.read_at, last.read_at, (gained - given) * ratio, step * ratio, ratio)


def _gained(first: MeterSnapshot, last: MeterSnapshot, obis: Obis) -> Fraction | None:
    channel, before, after = last.channel(obis), first.base(obis), last.base(obis)
    if channel is None or channel.kind is not ChannelKind.COUNTER or before is None or after is None:
        return None
    if after < before:
        modulus = None if channel.modulus is None else channel.modulus * step_of(last.shown[obis])
        return None if modulus is None or before < modulus * Fraction(99, 100) else after + modulus - before
    return after - before


def energy_findings(nodes: Iterable[Node], windows: Iterable[WindowEnergy], at: datetime) -> Iterator[Finding]:
    """Compare every measured node with the measured nodes next below it."""
    known = {node.id: node for node in nodes}
    measured = {window.node: window for window in windows}
    below: dict[NodeId, list[NodeId]] = defaultdict(list)
    for child, parent in parents_at(known.values(), at).items():
        below[parent].append(child)
    for node, window in measured.items():
        children, is_whole = _measured_below(node, below, measured)
        if children and node in known:
            yield from _compare(window, children, known, is_whole=is_whole)


def _measured_below(
    node: NodeId, below: dict[NodeId, list[NodeId]], measured: dict[NodeId, WindowEnergy]
) -> tuple[list[WindowEnergy], bool]:
    """Give the measured nodes next below, through nodes without a meter, and whether nothing is left out."""
    found: list[WindowEnergy] = []
    is_whole = True
    waiting, passed = list(below[node]), {node}
    while waiting:
        child = waiting.pop()
        if child in passed:
            continue
        passed.add(child)
        if child in measured:
            found.append(measured[child])
        elif below[child]:
            waiting += below[child]
        else:
            is_whole = False
    return sorted(found, key=lambda window: window.node), is_whole


def _compare(
    parent: WindowEnergy, children: list[WindowEnergy], known: dict[NodeId, Node], *, is_whole: bool
) -> Iterator[Finding]:
    total = sum((child.energy_wh for child in children), Fraction(0))
    uncertain = sum((_uncertain_wh(one, parent, known) for one in (parent, *children)), Fraction(0))
    told = {"node": parent.node, "parent": _wh(parent.energy_wh), "children": _wh(total), "uncertain": _wh(uncertain)}
    if parent.energy_wh < total - uncertain:
        guesses = _guesses(parent, children, total, uncertain)
        yield finding("parent-smaller", parent.meter, guesses=guesses or "-", **told)
    elif max(abs(total), abs(parent.energy_wh)) < _TOLD_APART * uncertain:
        yield finding("window-short", parent.meter, **told)
    elif is_whole and parent.energy_wh - total > _LOST * abs(parent.energy_wh) + uncertain:
        yield finding("parent-larger", parent.meter, **told)


def _uncertain_wh(window: WindowEnergy, parent: WindowEnergy, known: dict[NodeId, Node]) -> Fraction:
    """Add up what step, class and moment of reading leave open [Wh]."""
    node = known.get(window.node)
    by_class = abs(window.energy_wh) * Fraction(_LIGHT_LOAD * (node.accuracy_ppm if node else 0), 1_000_000)
    apart_s = abs((window.start - parent.start).total_seconds()) + abs((window.end - parent.end).total_seconds())
    return window.step_wh + by_class + abs(window.power_w) * Fraction(apart_s) / 3600


def _guesses(parent: WindowEnergy, children: list[WindowEnergy], total: Fraction, uncertain: Fraction) -> str:
    """Name single mistakes that would explain it: a child that hangs elsewhere, a ratio of the parent."""
    names = [
        child.meter
        for child in children
        if len(children) > 1
        and total - child.energy_wh - uncertain
        <= parent.energy_wh
        <= (total - child.energy_wh) * (1 + _LOST) + uncertain
    ]
    parts = [f"{name} ↛ {parent.node}" for name in names]
    if parent.energy_wh > uncertain:
        ratio = round(total / parent.energy_wh * parent.ratio)
        near = [one for one in range(ratio, ratio + ratio // 10 + 2) if is_usual_ratio(one)]
        parts += [f"{parent.meter} CT×PT {parent.ratio} → {near[0]}"] if near else []
    return "; ".join(parts)


def _wh(energy_wh: Fraction) -> str:
    return f"{float(energy_wh) / 1000:.3f} kWh"
