"""What each act at the site does to the site, and what it may not do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from metering.identity import GatewayId, MeterId, NodeId, SiteId, UnitId
from metering.obis import ENERGY_EXPORT, ENERGY_IMPORT
from provisioning.installation import (
    Bind,
    Binding,
    Body,
    Decommission,
    Exchange,
    PortChange,
    RatioChange,
    Reparent,
    Replace,
)
from provisioning.site import (
    ALWAYS,
    Meter,
    Names,
    Node,
    NodeKind,
    Parity,
    Placement,
    SerialPort,
    Site,
    SiteInvalid,
    Span,
)
from provisioning.site_changes import changed
from tests.doubles.installer import NOW, SOUTH_GATE, Installer, binding, later, park, showed

ODD = NOW.replace(minute=7)
PLANNED = frozenset(meter.id for meter in park().meters)


def meter_of(site: Site, meter: str) -> Meter:
    return site.meter(MeterId(meter))


def fresh(meter: str, **changes: object) -> Meter:
    return replace(meter_of(park(), meter), **changes)  # type: ignore[arg-type]


def after(body: Body, *, site: Site | None = None, planned: frozenset[MeterId] = frozenset()) -> Site:
    begun = park() if site is None else site
    return changed(begun, Installer(site=begun).event(body), planned=planned)


def bound(one: Binding, **given: object) -> Site:
    return after(Bind(binding=one), **given)  # type: ignore[arg-type]


def test_a_planned_meter_becomes_what_was_bound() -> None:
    site = bound(binding(fresh("m-u-a101", serial="777", address="000000000777"), NOW), planned=PLANNED)
    meter = meter_of(site, "m-u-a101")
    assert (meter.serial, meter.address, meter.span, meter.place) == ("777", "000000000777", Span(NOW), SOUTH_GATE)
    assert len(site.meters) == len(park().meters)


def test_a_planned_meter_leaves_the_node_where_another_was_found() -> None:
    stray = fresh("m-u-a101", node=NodeId("u-a201"))
    site = bound(binding(stray, NOW), planned=PLANNED)
    assert [meter.id for meter in site.meters_at(NodeId("u-a201"))] == ["m-u-a101"]
    assert site.meters_at(NodeId("u-a101")) == ()
    back = replace(meter_of(park(), "m-u-a201"), node=NodeId("u-a101"))
    crossed = bound(binding(back, NOW), site=site, planned=PLANNED - {stray.id})
    assert [meter.id for meter in crossed.meters_at(NodeId("u-a101"))] == ["m-u-a201"]


def test_a_meter_that_counts_already_keeps_its_past_when_it_is_confirmed() -> None:
    site = bound(binding(fresh("m-u-a101"), NOW))
    assert meter_of(site, "m-u-a101").span == meter_of(park(), "m-u-a101").span
    assert meter_of(site, "m-u-a101").place == SOUTH_GATE


def test_a_wrong_binding_is_corrected_from_its_beginning() -> None:
    first = bound(binding(fresh("m-u-a101"), NOW), planned=PLANNED)
    free = after(Decommission(meter=MeterId("m-u-a201"), at=NOW, closing=()), site=first)
    again = binding(fresh("m-u-a101", node=NodeId("u-a201")), NOW)
    assert meter_of(bound(again, site=free), "m-u-a101").node == "u-a201"
    with pytest.raises(SiteInvalid, match="counts since"):
        bound(replace(again, meter=replace(again.meter, span=Span(later(5)))), site=free)


def test_an_exchange_ends_the_old_meter_and_declares_both_readings() -> None:
    new = binding(fresh("m-u-a101", id=MeterId("m-u-a101-2"), serial="9", address="000000000009"), later(1))
    body = Exchange(old=MeterId("m-u-a101"), closing=(showed(120),), new=new, opening=(showed(3),))
    site = after(body)
    assert meter_of(site, "m-u-a101").span.end == later(1) == meter_of(site, "m-u-a101-2").span.start
    (declared,) = [one for one in site.exchanges if one.old == "m-u-a101"]
    assert (declared.final.to_base(), declared.initial.to_base(), declared.obis) == (120_000, 3_000, ENERGY_IMPORT)


def test_a_planned_meter_that_was_exchanged_was_there() -> None:
    """Nobody bound it, and it was never read; but whoever exchanges it saw it."""
    new = binding(fresh("m-u-a101", id=MeterId("m-n"), serial="9", address="000000000009"), later(1))
    body = Exchange(old=MeterId("m-u-a101"), closing=(showed(7),), new=new, opening=(showed(0),))
    site = after(body, planned=PLANNED)
    assert [meter.id for meter in site.meters_at(NodeId("u-a101"))] == ["m-u-a101", "m-n"]
    assert site.exchanges[-1].old in {meter.id for meter in site.meters}


def test_another_ratio_is_another_meter_whose_registers_run_on() -> None:
    body = RatioChange(
        meter=MeterId("m-u-a101"), new=MeterId("m-u-a101-r"), ct=20, pt=1, at=NOW, registers=(showed(55),)
    )
    site = after(body)
    old, new = meter_of(site, "m-u-a101"), meter_of(site, "m-u-a101-r")
    assert (old.ct, new.ct, new.serial, old.span.end, new.span.start) == (old.ct, 20, old.serial, NOW, NOW)
    (declared,) = [one for one in site.exchanges if one.new == new.id]
    assert declared.final == declared.initial == showed(55).shown


def test_a_node_moves_below_another_at_a_quarter_hour() -> None:
    site = after(Reparent(node=NodeId("u-a101"), parent=NodeId("common"), at=NOW))
    node = site.node(NodeId("u-a101"))
    assert node.parent_at(later(-1)) == "bldg-a"
    assert node.parent_at(NOW) == "common"
    back = after(Reparent(node=NodeId("u-a101"), parent=NodeId("bldg-a"), at=NOW), site=site)
    assert back.node(NodeId("u-a101")).parent_at(NOW) == "bldg-a", "the same instant again corrects it"


def test_a_decommissioned_meter_ends() -> None:
    site = after(Decommission(meter=MeterId("m-lift"), at=NOW, closing=(showed(1),)))
    assert meter_of(site, "m-lift").span.end == NOW


def test_a_port_is_as_it_was_found() -> None:
    port = SerialPort(
        id=park().ports_of(GatewayId("gw-a"))[0].id, gateway=GatewayId("gw-a"), device="/dev/ttyAMA3", baud=2400,
        parity=Parity.EVEN, stopbits=1, tolerance_s=60,
    )  # fmt: skip
    assert after(PortChange(port=port)).ports_of(GatewayId("gw-a")) == (port,)


def test_a_node_that_the_plan_did_not_have_comes_with_its_meter() -> None:
    node = Node(NodeId("kiosk"), NodeKind.END, (Placement(NodeId("common"), ALWAYS),), Names("亭", "Kiosk"), "1")
    meter = fresh("m-lift", id=MeterId("m-kiosk"), node=node.id, serial="5", address="5")
    site = bound(replace(binding(meter, NOW), node=node))
    assert site.node(node.id) == node
    assert meter_of(site, "m-kiosk").node == "kiosk"


def test_another_machine_changes_nothing_of_the_site() -> None:
    assert after(Replace(old_epoch=1, reason="flooded")) == park()


def new_node(**changes: object) -> Binding:
    common = Placement(NodeId("common"), ALWAYS)
    node = Node(NodeId("kiosk"), NodeKind.END, (common,), Names("亭", "Kiosk"), "1")
    meter = fresh("m-lift", id=MeterId("m-kiosk"), node=NodeId("kiosk"), serial="5", address="5")
    return replace(binding(meter, NOW), node=replace(node, **changes))  # type: ignore[arg-type]


def exchange(**changes: object) -> Exchange:
    new = binding(fresh("m-u-a101", id=MeterId("m-n"), serial="9", address="000000000009"), later(1))
    whole = Exchange(old=MeterId("m-u-a101"), closing=(showed(1),), new=new, opening=(showed(0),))
    return replace(whole, **changes)  # type: ignore[arg-type]


def ratio(**changes: object) -> RatioChange:
    whole = RatioChange(meter=MeterId("m-u-a101"), new=MeterId("m-r"), ct=2, pt=1, at=NOW, registers=(showed(1),))
    return replace(whole, **changes)  # type: ignore[arg-type]


REFUSED: list[tuple[str, Callable[[], Body], str]] = [
    ("node taken", lambda: Bind(binding=binding(fresh("m-u-a101", id=MeterId("m-n"), serial="9"), NOW)), "exchange it"),
    (
        "address taken",
        lambda: Bind(
            binding=replace(
                new_node(), meter=replace(new_node().meter, address=meter_of(park(), "m-lift").address)
            )
        ),
        "an address of its own",
    ),
    (
        "serial taken",
        lambda: Bind(
            binding=replace(new_node(), meter=replace(new_node().meter, serial=meter_of(park(), "m-lift").serial))
        ),
        "read both plates",
    ),
    ("unknown node", lambda: Bind(binding=binding(fresh("m-lift", node=NodeId("moon")), NOW)), "no 'moon'"),
    ("unknown port", lambda: Bind(binding=binding(fresh("m-lift", port="x"), NOW)), "no 'x'"),
    ("foreign port", lambda: Bind(binding=binding(fresh("m-lift", port="tcp-b"), NOW)), "not one of gw-a"),
    ("wrong unit", lambda: Bind(binding=binding(fresh("m-u-a101"), NOW, unit="a102")), "really feeds"),
    ("unknown unit", lambda: Bind(binding=binding(fresh("m-u-a101"), NOW, unit="z")), "no 'z'"),
    ("gone meter", lambda: Bind(binding=binding(fresh("m-u-a102"), NOW)), "comes back"),
    (
        "came by exchange",
        lambda: Bind(binding=binding(fresh("m-u-a102-2", serial="1"), NOW)),
        "came by an exchange",
    ),
    ("node is another", lambda: Bind(binding=replace(new_node(), node=replace(park().node(NodeId("lift")), accuracy_class="3"), meter=fresh("m-lift", id=MeterId("m-k"), span=Span(NOW), place=SOUTH_GATE))), "is another"),  # noqa: E501
    ("node on an end", lambda: Bind(binding=new_node(placements=(Placement(NodeId("lift"), ALWAYS),))), "main or a branch"),  # noqa: E501
    ("node on nothing", lambda: Bind(binding=new_node(placements=())), "give its parent"),
    ("second main", lambda: Bind(binding=new_node(kind=NodeKind.MAIN)), "give its parent"),
    ("exchange of gone", lambda: exchange(old=MeterId("m-u-a102")), "gone since"),
    ("exchange elsewhere", lambda: exchange(old=MeterId("m-lift")), "name one node"),
    ("exchange of foreign", lambda: exchange(old=MeterId("m-main")), "read by gw-b"),
    ("exchange untold", lambda: exchange(closing=(), opening=()), "no register"),
    ("exchange half told", lambda: exchange(closing=(replace(showed(1), obis=ENERGY_EXPORT),)), "of one meter only"),
    ("ratio id taken", lambda: ratio(new=MeterId("m-lift")), "there already"),
    ("ratio untold", lambda: ratio(registers=()), "at the change of ratio"),
    ("ratio of none", lambda: ratio(meter=MeterId("m-none")), "no 'm-none'"),
    ("off the mark", lambda: Reparent(node=NodeId("lift"), parent=NodeId("bldg-a"), at=ODD), "15 minutes"),
    ("main moved", lambda: Reparent(node=NodeId("main"), parent=NodeId("bldg-a"), at=NOW), "has no parent"),
    ("below an end", lambda: Reparent(node=NodeId("lift"), parent=NodeId("fire-pump"), at=NOW), "main or a branch"),
    ("in a circle", lambda: Reparent(node=NodeId("bldg-a"), parent=NodeId("bldg-a"), at=NOW), "circle"),
    ("removed foreign", lambda: Decommission(meter=MeterId("m-main"), at=NOW, closing=()), "from that gateway"),
    ("foreign port change", lambda: PortChange(port=park().ports_of(GatewayId("gw-b"))[0]), "one of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "told"), [(body, told) for _, body, told in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_would_spoil_the_site_is_refused_with_the_mend(body: Callable[[], Body], told: str) -> None:
    with pytest.raises(SiteInvalid, match=told):
        after(body())


def test_a_meter_cannot_end_before_it_was_bound() -> None:
    site = bound(binding(fresh("m-u-a101"), NOW), planned=PLANNED)
    with pytest.raises(SiteInvalid, match="a later instant"):
        after(Decommission(meter=MeterId("m-u-a101"), at=NOW, closing=()), site=site)


def test_a_node_that_moves_again_later_is_not_moved_before() -> None:
    site = after(Reparent(node=NodeId("lift"), parent=NodeId("bldg-a"), at=later(4)))
    with pytest.raises(SiteInvalid, match="moves again"):
        after(Reparent(node=NodeId("lift"), parent=NodeId("bldg-a"), at=NOW), site=site)


def test_an_event_of_another_site_or_gateway_is_refused() -> None:
    event = Installer().event(Replace(old_epoch=1, reason="x"))
    with pytest.raises(SiteInvalid, match="that site's centre"):
        changed(park(), replace(event, site=SiteId("other")))
    with pytest.raises(SiteInvalid, match="no 'gw-z'"):
        changed(park(), replace(event, gateway=GatewayId("gw-z")))


def test_a_unit_may_be_named_where_it_is_metered() -> None:
    site = bound(binding(fresh("m-u-a101"), NOW, unit="a101"))
    assert site.unit(UnitId("a101")).node == meter_of(site, "m-u-a101").node
