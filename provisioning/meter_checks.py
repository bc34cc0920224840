"""Identity of meters: what is bound against each other, against the plan, and against what answered on the lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from device_profiles.framing import codec_of
from device_profiles.framing.errors import AddressInvalid
from device_profiles.profile import Protocol
from metering.identity import PortId
from provisioning.finding_words import finding
from provisioning.installation import Binding, Finding
from provisioning.order_file import ExpectedMeter
from provisioning.serial_numbers import is_same_serial, plain_serial


@dataclass(frozen=True, slots=True)
class SeenMeter:
    """What answered on a line: `serial` and `profile` as far as it told them."""

    port: PortId
    protocol: Protocol
    address: str
    serial: str | None
    profile: str | None

    @property
    def place(self) -> str:
        """Say where it answers, for people."""
        return f"{self.port} {self.address}"


def binding_findings(bindings: Iterable[Binding]) -> Iterator[Finding]:
    """Say which meter, serial, node or address is bound twice, and whose serial the bus contradicts."""
    bound = tuple(bindings)
    keys: tuple[tuple[str, Callable[[Binding], Hashable]], ...] = (
        ("binding-meter-twice", lambda one: one.meter.id),
        ("binding-node-twice", lambda one: one.meter.node),
        ("binding-serial-twice", lambda one: plain_serial(one.meter.serial) or id(one)),
        ("binding-address-twice", _bus_place),
    )
    for code, key in keys:
        groups: dict[Hashable, list[Binding]] = defaultdict(list)
        for binding in bound:
            groups[key(binding)].append(binding)
        for group in groups.values():
            if len(group) > 1:
                yield _twice(code, group)
    yield from _serials_read(bound)


def _twice(code: str, group: list[Binding]) -> Finding:
    first = group[0].meter
    return finding(
        code,
        first.id,
        meters=", ".join(one.meter.id for one in group),
        nodes=", ".join(one.meter.node for one in group),
        node=first.node,
        serial=first.serial,
        address=f"{first.port} {first.address}",
    )


def _serials_read(bindings: tuple[Binding, ...]) -> Iterator[Finding]:
    for binding in bindings:
        meter, read = binding.meter, binding.read_serial
        if read is None:
            yield finding("serial-unread", meter.id, serial=meter.serial)
        elif not is_same_serial(read, meter.serial):
            owner = next((one for one in bindings if is_same_serial(one.meter.serial, read)), None)
            told = {"serial": meter.serial, "read": read, "node": meter.node}
            if owner is None:
                yield finding("serial-differs", meter.id, **told)
            else:
                yield finding("serial-crossed", meter.id, other=owner.meter.id, other_node=owner.meter.node, **told)


def plan_findings(
    expected: Iterable[ExpectedMeter], bindings: Iterable[Binding], seen: Iterable[SeenMeter]
) -> Iterator[Finding]:
    """Say which expected meter is bound elsewhere or not at all, and what was bound or answers against the plan."""
    planned, bound, answering = tuple(expected), tuple(bindings), tuple(seen)
    at_node = {binding.meter.node: binding for binding in bound}
    for one in planned:
        mine = [binding for binding in bound if one.serial and _has_serial(binding, one.serial)]
        if mine and all(binding.meter.node != one.node for binding in mine):
            yield _bound_elsewhere(one, mine[0])
        elif not mine:
            yield from _not_bound(one, at_node.get(one.node), answering)
        if one.node in at_node:
            yield from _otherwise(one, at_node[one.node])
    for meter in answering:
        if meter.serial is not None and planned and not _is_known(meter.serial, planned, bound):
            yield finding("serial-unexpected", meter.serial, serial=meter.serial, place=meter.place)


def _bound_elsewhere(one: ExpectedMeter, binding: Binding) -> Finding:
    return finding(
        "serial-expected-elsewhere",
        binding.meter.id,
        serial=one.serial,
        node=binding.meter.node,
        unit=binding.unit or "-",
        planned=one.node,
        planned_unit=one.unit or "-",
    )


def _not_bound(one: ExpectedMeter, there: Binding | None, seen: tuple[SeenMeter, ...]) -> Iterator[Finding]:
    """An expected meter without a serial is there as soon as any meter is bound at its node.

    Where the plate is as planned and the bus says otherwise, that was told as such: the plan has nothing to add.
    """
    if there is not None:
        if one.serial and not is_same_serial(there.meter.serial, one.serial):
            told = {"serial": there.meter.serial, "planned": one.serial, "node": one.node}
            yield finding("serial-not-as-planned", there.meter.id, **told)
        return
    answering = [meter for meter in seen if one.serial and meter.serial and is_same_serial(meter.serial, one.serial)]
    if answering:
        place = answering[0].place
        yield finding("expected-unbound", one.meter, serial=one.serial, place=place, node=one.node)
    else:
        yield finding("expected-missing", one.meter, serial=one.serial or "-", node=one.node)


def _otherwise(one: ExpectedMeter, binding: Binding) -> Iterator[Finding]:
    """Ratio and model of what is bound against what was planned for this node."""
    meter = binding.meter
    for name, planned, is_so in (("CT", one.ct, meter.ct), ("PT", one.pt, meter.pt)):
        if planned is not None and planned != is_so:
            yield finding("ratio-not-as-planned", meter.id, name=name, planned=planned, bound=is_so)
    if one.profile is not None and one.profile != meter.profile:
        yield finding("model-not-as-planned", meter.id, planned=one.profile, bound=meter.profile)


def address_findings(
    bindings: Iterable[Binding], seen: Iterable[SeenMeter], scanned: Iterable[PortId]
) -> Iterator[Finding]:
    """Say which serial answers at another address than it is bound at, and which bound address is silent."""
    answering, lines = tuple(seen), frozenset(scanned)
    for binding in bindings:
        meter = binding.meter
        here = [one for one in answering if _seen_place(one) == _bus_place(binding)]
        elsewhere = [
            one
            for one in answering
            if one.serial is not None and is_same_serial(one.serial, meter.serial) and one not in here
        ]
        bound_at = f"{meter.port} {meter.address}"
        other = [one for one in here if one.serial is not None and not is_same_serial(one.serial, meter.serial)]
        if other:
            yield finding("address-other-serial", meter.id, address=bound_at, serial=meter.serial, read=other[0].serial)
        if elsewhere:
            code = "serial-two-addresses" if here and not other else "serial-elsewhere"
            places = ", ".join(one.place for one in elsewhere)
            yield finding(code, meter.id, serial=meter.serial, address=bound_at, places=places)
        elif not here and meter.port in lines:
            yield finding("bound-silent", meter.id, address=bound_at)


def _has_serial(binding: Binding, serial: str) -> bool:
    """What the bus says goes before the plate: it is the register that is billed."""
    told = binding.meter.serial if binding.read_serial is None else binding.read_serial
    return is_same_serial(told, serial)


def _is_known(serial: str, expected: tuple[ExpectedMeter, ...], bindings: tuple[Binding, ...]) -> bool:
    return any(one.serial is not None and is_same_serial(one.serial, serial) for one in expected) or any(
        is_same_serial(binding.meter.serial, serial) for binding in bindings
    )


def _bus_place(binding: Binding) -> tuple[str, str, str]:
    meter = binding.meter
    return meter.port, meter.protocol, _one_spelling(meter.protocol, meter.address)


def _seen_place(seen: SeenMeter) -> tuple[str, str, str]:
    return seen.port, seen.protocol, _one_spelling(seen.protocol, seen.address)


def _one_spelling(protocol: Protocol, address: str) -> str:
    try:
        return codec_of(protocol).check_address(address)
    except AddressInvalid:
        return address
