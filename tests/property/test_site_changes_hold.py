"""Whatever is done at a site, in whatever order: the site stays sound, and what was counted keeps its place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.identity import MeterId, NodeId
from provisioning.installation import Bind, Body, Decommission, Exchange, RatioChange, Reparent
from provisioning.installation_events import open_event
from provisioning.site import Meter, Site, SiteInvalid
from provisioning.site_changes import changed
from tests.doubles.installer import NOW, Installer, binding, park, showed

NODES = ("u-a101", "u-a201", "u-a301", "lift", "guard-room")
PARENTS = ("main", "bldg-a", "common", "lift", "u-a101")
METERS = ("m-u-a101", "m-u-a201", "m-u-a301", "m-lift", "n-1", "n-2")
SERIALS = ("1", "2", "3")
ADDRESSES = ("000000000001", "000000000002")
HOURS = st.integers(0, 48)


def at(hour: int) -> datetime:
    return NOW + timedelta(hours=hour)


@st.composite
def meters(draw: st.DrawFn) -> Meter:
    """A 645 meter of line-a: one of the park's or another, as it is or with something else about it."""
    known = {meter.id: meter for meter in park().meters}
    name = MeterId(draw(st.sampled_from(METERS)))
    meter = known.get(name, replace(known[MeterId("m-u-a101")], id=name, serial=draw(st.sampled_from(SERIALS))))
    if draw(st.booleans()):
        meter = replace(meter, node=NodeId(draw(st.sampled_from(NODES))))
    if draw(st.booleans()):
        meter = replace(meter, serial=draw(st.sampled_from(SERIALS)))
    return replace(meter, address=draw(st.sampled_from((meter.address, *ADDRESSES))), place=None)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    kind, hour = draw(st.integers(0, 4)), draw(HOURS)
    name = MeterId(draw(st.sampled_from(METERS)))
    match kind:
        case 0:
            return Bind(binding=binding(draw(meters()), at(hour)))
        case 1:
            new = draw(meters())
            if new.id == name:
                new = replace(new, id=MeterId("n-3"))
            return Exchange(old=name, closing=(showed(9),), new=binding(new, at(hour)), opening=(showed(1),))
        case 2:
            node, parent = draw(st.sampled_from(NODES)), draw(st.sampled_from(PARENTS))
            return Reparent(node=NodeId(node), parent=NodeId(parent), at=at(hour))
        case 3:
            ct = draw(st.sampled_from((1, 20)))
            return RatioChange(
                meter=name, new=MeterId(f"{name}-r{hour}"), ct=ct, pt=1, at=at(hour), registers=(showed(5),)
            )
    return Decommission(meter=name, at=at(hour), closing=(showed(7),))


def sound(site: Site) -> None:
    """Require that no two meters share a node, an address or a serial at any time, and that exchanges meet."""
    for one, other in combinations(site.meters, 2):
        if one.span.overlaps(other.span):
            assert one.node != other.node, (one, other)
            assert (one.port, one.protocol, one.address) != (other.port, other.protocol, other.address), (one, other)
            assert one.serial != other.serial, (one, other)
    known = {meter.id: meter for meter in site.meters}
    for exchange in site.exchanges:
        assert known[exchange.old].span.end == exchange.at == known[exchange.new].span.start
        assert known[exchange.old].node == known[exchange.new].node == exchange.node
    for node in site.nodes:
        for earlier, later in zip(node.placements, node.placements[1:], strict=False):
            assert earlier.span.end == later.span.start


def counted(site: Site, instant: datetime) -> dict[tuple[str, str], str]:
    """Say which serial counted at which node at an instant."""
    return {(meter.node, meter.serial): meter.id for meter in site.meters if instant in meter.span}


@settings(max_examples=100, deadline=None)
@given(st.lists(bodies(), min_size=1, max_size=8))
def test_a_site_stays_sound_whatever_is_done(acts: list[Body]) -> None:
    installer, site = Installer(), park()
    before = counted(site, at(-1))
    for body in acts:
        event = installer.act(body)
        assert open_event(installer.sealed[-1], installer.signer.verifier()) == event
        with suppress(SiteInvalid):
            site = changed(site, event)
        sound(site)
    assert counted(site, at(-1)) == before
    assert Site.from_document(site.to_document()) == site


@settings(max_examples=40, deadline=None)
@given(st.lists(bodies(), min_size=1, max_size=6))
def test_what_was_only_planned_yields_and_the_rest_stays_sound(acts: list[Body]) -> None:
    site = park()
    planned = {MeterId(name) for name in METERS}
    for body in acts:
        event = Installer().event(body)
        try:
            site = changed(site, event, planned=planned)
        except SiteInvalid:
            continue
        if event.binding is not None:
            planned.discard(event.binding.meter.id)
        bound = [meter for meter in site.meters if meter.id not in planned]
        for one, other in combinations(bound, 2):
            assert one.node != other.node or not one.span.overlaps(other.span)
