"""Nodes and meters: bind, compare with the display, judge the wiring, photograph; exchange and removal later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from device_profiles.profile import ChannelKind, Profile, Protocol, Side
from edge_agent.installation.view import BindRequest, DeskState, Typed
from edge_agent.installation.words import refused
from edge_agent.page.call import Call, FormWrong, sent
from edge_agent.scanning.matching import has_number
from edge_agent.scanning.result import FoundMeter, line_text
from metering.identity import MeterId, NodeId, PortId, UnitId
from metering.obis import Obis
from metering.quantity import Shown, Unit
from metering.quantity_names import quantity_name
from provisioning.finding_words import verdict_words
from provisioning.installation import Binding, Finding, PhotoKind
from provisioning.order_file import ExpectedMeter
from provisioning.place import Place, degrees_e7
from provisioning.site import Node
from provisioning.wiring_proof import Clamp

PHASES = ("L1", "L2", "L3")
DIGEST_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """A scanned meter that may be bound.

    is_planned   its number is the one that the plan expects at this node
    is_addressed it tells no number, and has the address that the plan expects
    elsewhere    the node at which the plan expects it, None where nowhere
    is_bound     it is bound to another node already
    """

    name: str
    port: PortId
    found: FoundMeter
    is_planned: bool
    is_addressed: bool
    elsewhere: NodeId | None
    is_bound: bool


class Meters:
    """Pages of nodes and meters."""

    def list(self, call: Call) -> str:
        """Show every node with what is expected and what is bound."""
        return call.page("meters.html", rows=list(_rows(call.desk.state())), unused=list(_unused(call.desk.state())))

    def bind_form(self, call: Call, node: str) -> str:
        """Ask which meter hangs at a node."""
        state = call.desk.state()
        place = next(_rows(state, NodeId(node)), None)
        if place is None:
            raise refused("unknown-node", node=node, near="-")
        return call.page(
            "bind.html", row=place, choices=_choices(state, NodeId(node), place["expected"]), **self._wide(call)
        )

    def bind(self, call: Call, node: str) -> str:
        """Bind."""
        binding = call.desk.bind(self._request(call, NodeId(node)), call.who)
        return f"/meters/{binding.meter.id}"

    def show(self, call: Call, meter: str) -> str:
        """Show one meter with everything that was proven of it."""
        state = call.desk.state()
        binding = _binding(state, MeterId(meter))
        profile = call.house.catalogue.by_id(binding.meter.profile)
        return call.page(
            "meter.html",
            binding=binding,
            row=next(_rows(state, binding.meter.node)),
            is_draft=any(key == f"meter {meter}" for key in state.drafts),
            findings=[one for one in state.findings if one.subject == meter],
            registers=list(_counters(profile)),
            name=lambda obis: quantity_name(str(obis), call.session.language),
            verdict=lambda code: verdict_words(code).of(call.session.language),
            phases=PHASES,
            kinds=list(PhotoKind),
            judged=call.session.kept.pop("judged", None),
        )

    def live(self, call: Call, meter: str) -> Any:
        """Read a meter and give what it showed."""
        look = call.desk.read(MeterId(meter))
        language = call.session.language
        parts = {"look": look, "name": lambda obis: quantity_name(str(obis), language)}
        page = call.house.render("live.html", call=call, w=call.words, **parts)
        return sent(page.encode(), "text/html; charset=utf-8")

    def compare(self, call: Call, meter: str) -> None:
        """Compare what was typed off the display with the bus."""
        typed = _typed(call)
        if not typed:
            raise FormWrong(call.words("meter.compare-told"))
        call.desk.compare(MeterId(meter), typed, call.who)

    def wiring(self, call: Call, meter: str) -> None:
        """Judge the wiring."""
        amperes = ((phase, call.text(f"clamp-{phase}")) for phase in PHASES)
        clamps = tuple(Clamp(phase, _amperes(call, text)) for phase, text in amperes if text is not None)
        rotation = {"right": True, "wrong": False}.get(call.text("rotation") or "")
        told = call.desk.judge_wiring(MeterId(meter), call.who, clamps=clamps, is_rotation_right=rotation)
        call.session.kept["judged"] = [one.told.of(call.session.language) for one in told]
        if not told:
            call.flash(call.words("meter.wiring-good"), "good")

    def photograph(self, call: Call, meter: str) -> None:
        """Keep a photo."""
        octets = call.file("photo")
        if octets is None:
            raise FormWrong(call.words("order.no-file"))
        call.desk.photograph(MeterId(meter), call.text("kind") or PhotoKind.METER.value, octets, call.who)

    def picture(self, call: Call, digest: str) -> Any:
        """Give a photo."""
        if len(digest) != DIGEST_DIGITS or not set(digest) <= set("0123456789abcdef"):
            raise FormWrong(call.words("page.not-found"))
        octets = call.desk.picture(bytes.fromhex(digest))
        return sent(octets, "image/png" if octets.startswith(b"\x89PNG") else "image/jpeg")

    def unbind(self, call: Call, meter: str) -> str:
        """Take a binding back."""
        call.desk.unbind(MeterId(meter), call.who)
        return "/meters"

    def later_form(self, call: Call, meter: str) -> str:
        """Offer what is done at a meter that counts."""
        state = call.desk.state()
        binding = _binding(state, MeterId(meter))
        return call.page(
            "later.html",
            binding=binding,
            registers=list(_counters(call.house.catalogue.by_id(binding.meter.profile))),
            name=lambda obis: quantity_name(str(obis), call.session.language),
            choices=_choices(state, binding.meter.node, None),
            **self._wide(call),
        )

    def close(self, call: Call, meter: str) -> None:
        """Read the last registers of a meter that goes."""
        look = call.desk.close_register(MeterId(meter), call.who)
        shown = (f"{one.obis} {one.shown}" for one in look.registers if one.shown is not None)
        call.flash("  ".join(shown) if look.problem is None else look.problem, "bad" if look.problem else "good")

    def exchange(self, call: Call, meter: str) -> str:
        """Put another meter in its place."""
        state = call.desk.state()
        request = self._request(call, _binding(state, MeterId(meter)).meter.node)
        new = call.desk.exchange(MeterId(meter), request, call.who, closing=_typed(call) or None)
        return f"/meters/{new.meter.id}"

    def ratio(self, call: Call, meter: str) -> str:
        """Note other transformers."""
        old = _binding(call.desk.state(), MeterId(meter)).meter
        ct, pt = call.number("ct"), call.number("pt")
        if ct is None:
            raise FormWrong(call.words("page.bad-number", text=""))
        call.desk.change_ratio(old.id, ct, old.pt if pt is None else pt, call.who)
        return "/acts"

    def decommission(self, call: Call, meter: str) -> str:
        """Take a meter away."""
        call.desk.decommission(MeterId(meter), call.who, closing=_typed(call) or None)
        return "/acts"

    def _wide(self, call: Call) -> dict[str, Any]:
        """Give what forms offer to choose from."""
        return {
            "protocols": list(Protocol),
            "profiles": sorted({one.id for one in call.house.catalogue.profiles}),
            "primary": {one.id for one in call.house.catalogue.profiles if one.side is Side.PRIMARY},
            "line_text": line_text,
        }

    def _request(self, call: Call, node: NodeId) -> BindRequest:
        protocol, port, unit = call.text("protocol"), call.text("port"), call.text("unit")
        try:
            spoken = None if protocol is None else Protocol(protocol)
        except ValueError as error:
            raise FormWrong(call.words("page.bad-choice", text=protocol)) from error
        return BindRequest(
            node=node,
            unit=None if unit is None else UnitId(unit),
            found=call.text("found"),
            serial=call.text("serial"),
            port=None if port is None else PortId(port),
            protocol=spoken,
            address=call.text("address"),
            profile=call.text("profile"),
            ct=call.number("ct"),
            pt=call.number("pt"),
            place=_place(call),
            seal=call.text("seal"),
        )


def _place(call: Call) -> Place | None:
    lat, lon = call.text("lat"), call.text("lon")
    if lat is None or lon is None:
        return None
    metres = call.number("accuracy")
    return Place(degrees_e7(lat), degrees_e7(lon), None if metres is None else metres * 100, call.text("note"))


def _typed(call: Call) -> tuple[Typed, ...]:
    """Give what was typed beside registers: fields `shown-OBIS`, with `unit-OBIS`."""
    fields = (name for name in call.form if name.startswith("shown-"))
    typed = ((Obis.parse(name.removeprefix("shown-")), call.text(name)) for name in fields)
    return tuple(Typed(obis, text, call.text(f"unit-{obis}") or "") for obis, text in typed if text is not None)


def _amperes(call: Call, text: str) -> Shown:
    """Read amperes as a clamp shows them; raises FormWrong."""
    whole, _, decimals = text.partition(".")
    if not (whole + decimals).isdecimal() or not (whole + decimals).isascii():
        raise FormWrong(call.words("page.bad-number", text=text))
    return Shown(int(whole + decimals), -len(decimals), Unit.A)


def _rows(state: DeskState, only: NodeId | None = None) -> Iterator[dict[str, Any]]:
    """Give each node with its unit, what is expected and what is bound there."""
    if state.plan is None:
        return
    expected = {one.node: one for one in state.plan.expected}
    bound = {one.meter.node: one for one in state.bindings}
    units = {unit.node: unit for unit in state.plan.site.units}
    for node in state.plan.site.nodes:
        if only in (None, node.id):
            yield _row(state, node, units.get(node.id), expected.get(node.id), bound.get(node.id))


def _row(
    state: DeskState, node: Node, unit: Any, expected: ExpectedMeter | None, binding: Binding | None
) -> dict[str, Any]:
    is_draft = binding is not None and f"meter {binding.meter.id}" in state.drafts
    findings = [] if binding is None else [one for one in state.open_findings if one.subject == binding.meter.id]
    return {
        "node": node,
        "unit": unit,
        "expected": expected,
        "binding": binding,
        "is_draft": is_draft,
        "worst": _worst(findings),
    }


def _worst(findings: list[Finding]) -> str | None:
    return findings[0].severity.value if findings else None


def _found(state: DeskState) -> Iterator[tuple[PortId, FoundMeter]]:
    return ((port, found) for port, scan in sorted(state.scans.items()) for found in scan.found)


def _is_bound(state: DeskState, port: PortId, found: FoundMeter) -> bool:
    there = {(one.meter.port, one.meter.protocol, one.meter.address) for one in state.bindings}
    return (port, found.protocol, found.address) in there


def _unused(state: DeskState) -> Iterator[tuple[PortId, FoundMeter]]:
    return ((port, found) for port, found in _found(state) if not _is_bound(state, port, found))


def _choices(state: DeskState, node: NodeId, expected: ExpectedMeter | None) -> list[Choice]:
    """Give what the scans found, the planned one first, those bound elsewhere last."""
    planned = {one.node: one.serial for one in state.plan.expected if one.serial} if state.plan is not None else {}
    choices = []
    for port, found in _found(state):
        serial = found.serial
        where = next((place for place, told in planned.items() if told and has_number(found, told)), None)
        here = expected is not None and where == expected.node
        elsewhere = None if where in (None, node) else where
        is_addressed = serial is None and (port, found.address) == _planned_address(state, expected)
        name, is_bound = f"{port}/{found.address}", _is_bound(state, port, found)
        choices.append(Choice(name, port, found, here, is_addressed, elsewhere, is_bound))
    return sorted(choices, key=_by_likeliness)


def _by_likeliness(one: Choice) -> tuple[bool, bool, bool, bool, str]:
    return one.is_bound, not one.is_planned, not one.is_addressed, one.elsewhere is not None, one.name


def _planned_address(state: DeskState, expected: ExpectedMeter | None) -> tuple[PortId, str] | None:
    if state.plan is None or expected is None:
        return None
    planned = (one for one in state.plan.site.meters if one.id == expected.meter)
    return next(((one.port, one.address) for one in planned), None)


def _binding(state: DeskState, meter: MeterId) -> Binding:
    found = next((one for one in state.bindings if one.meter.id == meter), None)
    if found is None:
        known = ", ".join(one.meter.id for one in state.bindings) or "-"
        raise refused("unknown-meter", meter=meter, known=known)
    return found


def _counters(profile: Profile) -> Iterator[Any]:
    """Give the counting registers that bills are made of, as a display shows them."""
    return (one for one in profile.group("billing").channels if one.kind is ChannelKind.COUNTER)
