"""A small building under installation: nodes, units, expected meters, bindings that fit, and what answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from device_profiles.profile import Protocol
from metering.identity import MeterId, NodeId, PortId, UnitId
from provisioning.installation import Binding
from provisioning.installation_checks import SeenMeter, Survey
from provisioning.order_file import ExpectedMeter
from provisioning.place import Place
from provisioning.site import ALWAYS, Meter, Names, Node, NodeKind, Placement, Span, Unit

AT = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
OUTLINE = (
    (311_770_000, 1_215_270_000),
    (311_770_000, 1_215_275_000),
    (311_775_000, 1_215_275_000),
    (311_775_000, 1_215_270_000),
)
"""55 m by 48 m."""
PORT = PortId("line-a")
UNITS = ("u-1", "u-2", "u-3")


def named(text: str) -> Names:
    return Names(zh=f"{text} 室", en=text)


def node(name: str, parent: str | None, kind: NodeKind = NodeKind.END, **parts: Any) -> Node:
    placements = () if parent is None else (Placement(NodeId(parent), ALWAYS),)
    return Node(NodeId(name), kind, placements, named(name), "1", **parts)


NODES = (
    node("main", None, NodeKind.MAIN),
    node("bldg", "main", NodeKind.BRANCH, outline=OUTLINE),
    *(node(name, "bldg") for name in UNITS),
)
UNIT_ROWS = tuple(
    Unit(UnitId(f"room-{at}"), NodeId("bldg"), 1000, NodeId(name), named(f"room {at}"))
    for at, name in enumerate(UNITS, 1)
)


def serial_of(at: int) -> str:
    return f"2026070000{at:02d}"


def binding(at: int, **parts: Any) -> Binding:
    """Bind the meter planned for unit `at` (1 to 3) as it should be, but for `parts` of the binding or of its meter."""
    name = UNITS[at - 1]
    own = {key: parts.pop(key) for key in tuple(parts) if key in ("serial", "node", "id", "address", "ct", "profile")}
    meter = Meter(
        id=MeterId(f"m-{name}"),
        serial=serial_of(at),
        profile="dlt645/three-phase",
        protocol=Protocol.DLT645_2007,
        port=PORT,
        address=serial_of(at),
        node=NodeId(name),
        span=Span(AT, None),
        ct=1,
        pt=1,
    )
    right = Binding(
        meter=replace(meter, **own),
        unit=UnitId(f"room-{at}"),
        read_serial=serial_of(at),
        place=Place(311_772_000 + at, 1_215_272_000 + at, 500),
        seal=None,
        photos=(),
        comparisons=(),
        findings=(),
    )
    return replace(right, **parts)


def expected(at: int, **parts: Any) -> ExpectedMeter:
    name = UNITS[at - 1]
    right = ExpectedMeter(
        MeterId(f"m-{name}"), NodeId(name), UnitId(f"room-{at}"), serial_of(at), "dlt645/three-phase", 1, 1
    )
    return replace(right, **parts)


def seen(at: int, **parts: Any) -> SeenMeter:
    right = SeenMeter(PORT, Protocol.DLT645_2007, serial_of(at), serial_of(at), "dlt645/three-phase")
    return replace(right, **parts)


def survey(**parts: Any) -> Survey:
    """Give a survey in which everything fits, but for `parts`."""
    right = Survey(
        nodes=NODES,
        units=UNIT_ROWS,
        expected=tuple(expected(at) for at in (1, 2, 3)),
        bindings=tuple(binding(at) for at in (1, 2, 3)),
        seen=tuple(seen(at) for at in (1, 2, 3)),
        scanned=frozenset((PORT,)),
        windows=(),
        at=AT,
    )
    return replace(right, **parts)
