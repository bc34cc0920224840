"""The tree of a site as flows (a Sankey diagram): who receives how much from whom, and what is lost on the way. Pure.

Coordinates are those of the picture's own box, in which a unit is about a pixel. Heights are energies on one scale; a
node too small for its label gets room for it, not a taller bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 1000
LABEL = 230
"""Room to the right of the last column."""
BAR = 12
ROW = 26
"""The least height a branch takes, for two lines of its label."""
TALL = 420
"""Height of all energy of the picture."""
LEVELS = 3
CHILDREN_MAX = 12
"""Branches drawn of a node; the others, the smallest, are drawn as one."""
STUB = 46
MARGIN = 10


@dataclass(frozen=True, slots=True)
class Branch:
    """A node with what it passes on. Energies are net, in base units (Wh, mL, kJ).

    loss        what no child received; None without children
    is_within   whether the loss can be the meters' inaccuracy
    count       how many nodes this stands for
    """

    node: str
    name: str
    energy: int
    shown: str
    loss: int | None = None
    loss_shown: str = ""
    is_within: bool = True
    children: tuple[Branch, ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A node as a bar; `leads_on` where it has branches that are not drawn."""

    node: str
    name: str
    shown: str
    x: float
    y: float
    height: float
    tone: str
    is_end: bool
    leads_on: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """What goes from a bar to the next, or is lost: a band drawn along `path`."""

    path: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The picture."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    flows: tuple[Flow, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    branch: Branch
    level: int
    y: float
    height: float
    children: tuple[_Placed, ...]


def drawing(tops: Sequence[Branch], more: str) -> Drawing:
    """Lay out the branches below each top; `more` names what stands for several, as "{count} more"."""
    pruned = [_pruned(one, 0, more) for one in tops]
    scale = TALL / max(1, sum(max(0, one.energy) for one in pruned))
    levels = max((_levels(one) for one in pruned), default=1)
    column = (WIDTH - LABEL - MARGIN - BAR) / max(1, levels - 1) if levels > 1 else 0.0
    bottom = float(MARGIN)
    placed: list[_Placed] = []
    for one in pruned:
        found, bottom = _place(one, 0, bottom, scale)
        placed += _walk(found)
    bars = [_bar(one, column) for one in placed]
    flows = [flow for one in placed for flow in _flows(one, column, scale)]
    return Drawing(WIDTH, round(bottom + STUB / 2 + MARGIN), tuple(bars), tuple(flows))


def _pruned(branch: Branch, level: int, more: str) -> Branch:
    """Keep the largest children of each node, and as many levels as are drawn."""
    if level == LEVELS or not branch.children:
        return branch
    order = sorted(branch.children, key=lambda one: -one.energy)
    shown, rest = order, order[CHILDREN_MAX:]
    if len(rest) > 1:
        shown = order[:CHILDREN_MAX]
    kept = [_pruned(one, level + 1, more) for one in shown]
    if len(rest) > 1:
        kept.append(Branch("", more.format(count=len(rest)), sum(one.energy for one in rest), "", count=len(rest)))
    return Branch(
        branch.node, branch.name, branch.energy, branch.shown, branch.loss, branch.loss_shown, branch.is_within,
        tuple(kept), branch.count,
    )  # fmt: skip


def _levels(branch: Branch, level: int = 0) -> int:
    below = branch.children if level < LEVELS else ()
    return 1 + max((_levels(one, level + 1) for one in below), default=0)


def _place(branch: Branch, level: int, top: float, scale: float) -> tuple[_Placed, float]:
    """Put a branch with all below it under `top`; gives it and where the next one may begin."""
    height = max(1.0, max(0, branch.energy) * scale)
    children, bottom = [], top
    for child in branch.children if level < LEVELS else ():
        placed, bottom = _place(child, level + 1, bottom, scale)
        children.append(placed)
    room = max(bottom - top, height, ROW)
    placed = _Placed(branch, level, top + (room - height) / 2, height, tuple(children))
    return placed, top + room + (0 if children else 4)


def _walk(placed: _Placed) -> Iterator[_Placed]:
    yield placed
    for child in placed.children:
        yield from _walk(child)


def _bar(placed: _Placed, column: float) -> Bar:
    branch = placed.branch
    tone = "others" if branch.count > 1 else "bad" if branch.loss is not None and not branch.is_within else ""
    leads_on = bool(branch.children) and not placed.children
    x = MARGIN + placed.level * column
    return Bar(
        branch.node, branch.name, branch.shown, x, placed.y, placed.height, tone, not placed.children, leads_on
    )  # fmt: skip


def _flows(placed: _Placed, column: float, scale: float) -> Iterator[Flow]:
    """Draw what leaves a bar, from its upper edge down: to each child, then what is lost."""
    if not placed.children:
        return
    x = MARGIN + placed.level * column + BAR
    received = sum(one.height for one in placed.children)
    # Where children have more than the node itself, what leaves it is as tall as it is.
    shrink = min(1.0, placed.height / received) if received else 1.0
    y = placed.y
    for child in placed.children:
        height = child.height * shrink
        yield Flow(
            _band(x, y, height, x - BAR + column, child.y, child.height),
            "",
            f"{placed.branch.name} → {child.branch.name}: {child.branch.shown}",
        )
        y += height
    loss = placed.branch.loss or 0
    if loss > 0:
        height = max(1.5, loss * scale)
        tone = "loss" if placed.branch.is_within else "loss bad"
        yield Flow(_stub(x, min(y, placed.y + placed.height - height), height), tone, placed.branch.loss_shown)


def _band(x1: float, y1: float, height1: float, x2: float, y2: float, height2: float) -> str:
    middle, end, back = (x1 + x2) / 2, y2 + height2, y1 + height1
    return (
        f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        f"V{end:.1f}C{middle:.1f} {end:.1f} {middle:.1f} {back:.1f} {x1:.1f} {back:.1f}Z"
    )


def _stub(x: float, y: float, height: float) -> str:
    """Draw a band that ends: energy that nobody received. A thin one bends down, a thick one ends in a point."""
    if height > STUB / 3:
        tip = x + STUB + min(STUB / 2, height / 2)
        return (
            f"M{x:.1f} {y:.1f}H{x + STUB:.1f}L{tip:.1f} {y + height / 2:.1f}L{x + STUB:.1f} {y + height:.1f}H{x:.1f}Z"
        )
    right, bottom = x + STUB, y + STUB / 2 + height
    left, turn, back = right - height, x + STUB / 2, y + height
    return (
        f"M{x:.1f} {y:.1f}C{turn:.1f} {y:.1f} {right:.1f} {y:.1f} {right:.1f} {bottom:.1f}"
        f"H{left:.1f}C{left:.1f} {back:.1f} {turn:.1f} {back:.1f} {x:.1f} {back:.1f}Z"
    )
