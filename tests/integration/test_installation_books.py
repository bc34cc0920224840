"""Events entered by several gateways and at once: what holds, what waits, what the site becomes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from ingest.installation_books import Taken, bound_act, retry_held, touched
from ingest.installation_desk import SignerUnknown
from ingest.store import bindings, installation_events
from ingest.store.bindings import BindingState
from ingest.store.database import Database
from ingest.store.sites import import_site, require_site, site_version
from metering.identity import GatewayId, MeterId, NodeId, SiteId
from metering.interval import Interval
from metering.obis import ENERGY_EXPORT
from provisioning.gateway_config import wired
from provisioning.installation import (
    Bind,
    Decommission,
    Exchange,
    PortChange,
    RatioChange,
    RegisterSeen,
    Reparent,
    Replace,
)
from provisioning.installation_events import EventChainBroken
from provisioning.site import Site
from tests.doubles.installation_centre import ADMIN, SECOND, Centre, park_centre, phone
from tests.doubles.installer import NOW, Installer, binding, later, park, showed

PARK_ID = SiteId("park")
A101 = park().meter(MeterId("m-u-a101"))


@pytest.fixture
def centre(database: Database) -> Centre:
    return park_centre(database)


def enrolled(centre: Centre, gateway: str = "gw-a", *, seed: int = 7, bound: tuple[str, ...] = ()) -> Installer:
    """A gateway that has its grant, and bound some meters before."""
    installer = Installer(gateway, seed=seed)
    order = centre.order(gateway)
    for meter in bound:
        installer.bind(meter)
    centre.present(installer, order)
    return installer


def send(centre: Centre, installer: Installer, *last: int) -> tuple[Taken, ...]:
    """Send the newest event, or so many of the newest."""
    return centre.desk.take_events(installer.sealed[-(last or (1,))[0] :], phone)


def both(kwh: int) -> tuple[RegisterSeen, ...]:
    return (showed(kwh), replace(showed(0), obis=ENERGY_EXPORT))


def versions(centre: Centre) -> int:
    with centre.database.transaction() as connection:
        return require_site(connection, PARK_ID).version


def test_one_bundle_makes_one_version_of_the_site(centre: Centre) -> None:
    before = versions(centre)
    enrolled(centre, bound=("m-u-a101", "m-u-a201", "m-u-a301", "m-lift"))
    assert versions(centre) == before + 1
    with centre.database.transaction() as connection:
        found = installation_events.history(connection, gateway="gw-a")
    assert {one.site_version for one in found} == {before + 1}


def test_a_bundle_that_only_confirms_makes_no_version(centre: Centre) -> None:
    """Everything is as the files say, but for places; these were brought before."""
    installer = enrolled(centre, bound=("m-u-a101",))
    before = versions(centre)
    installer.bind("m-u-a101")
    assert send(centre, installer)[0].reason == ""
    assert versions(centre) == before


def test_the_version_before_stays_as_it_was(centre: Centre) -> None:
    first = centre.now_there()
    enrolled(centre, bound=("m-u-a101",))
    with centre.database.transaction() as connection:
        assert site_version(connection, PARK_ID, 1).site == first == park()
    assert centre.now_there() != first


def test_a_gateways_configuration_follows_what_was_bound(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.bind("m-u-a101", address="000000004711")
    send(centre, installer)
    ports, meters = wired(centre.now_there(), GatewayId("gw-a"), {})
    assert "000000004711" in {meter.address for meter in meters}
    port = replace(ports[0], device="/dev/ttyAMA9")  # type: ignore[call-arg]
    installer.act(PortChange(port=port))
    assert send(centre, installer)[0].state == "applied"
    assert wired(centre.now_there(), GatewayId("gw-a"), {})[0] == (port,)


def test_two_gateways_bind_at_the_same_time(centre: Centre) -> None:
    first, second = enrolled(centre), enrolled(centre, "gw-b", seed=8)
    ours = [meter for meter in park().meters_of(GatewayId("gw-a")) if meter.span.end is None][:6]
    theirs = [meter for meter in park().meters_of(GatewayId("gw-b")) if meter.span.end is None][:6]
    for installer, meters in ((first, ours), (second, theirs)):
        for meter in meters:
            installer.bind(meter.id)

    def all_of(installer: Installer) -> list[Taken]:
        return [one for octets in installer.sealed for one in centre.desk.take_events([octets], phone)]

    with ThreadPoolExecutor(2) as pool:
        taken = [one for each in pool.map(all_of, (first, second)) for one in each]
    assert {one.state for one in taken} == {"applied"}, [one.reason for one in taken if one.reason]
    site = centre.now_there()
    for meter in (*ours, *theirs):
        assert site.meter(meter.id).place is not None
    assert len(centre.states()) == 12


def test_the_same_event_from_two_ways_at_once_is_entered_once(centre: Centre) -> None:
    """By the gateway's own network and by the engineer's telephone."""
    installer = enrolled(centre)
    installer.bind("m-u-a101")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: send(centre, installer)[0], range(8)))
    assert [one.again for one in taken].count(False) == 1
    assert len(centre.states()) == 1


def test_deciding_and_binding_at_once_never_wait_for_each_other_for_ever(centre: Centre) -> None:
    installer = enrolled(centre, bound=("m-u-a101", "m-u-a201", "m-u-a301"))
    for number in range(6):
        installer.bind("m-lift", at=later(number))

    def decide(number: int) -> Any:
        return centre.desk.approve(f"gw-a-1-{number}", "seen", SECOND)

    with ThreadPoolExecutor(4) as pool:
        decided = [pool.submit(decide, number) for number in (1, 2, 3)]
        taken = [pool.submit(centre.desk.take_events, [octets], phone) for octets in installer.sealed[3:4]]
        assert [str(one.result(timeout=60)[0].state) for one in decided] == ["approved"] * 3
        assert taken[0].result(timeout=60)[0].state == "applied"


def test_a_correction_supersedes_and_keeps_both_in_history(centre: Centre) -> None:
    installer = enrolled(centre, bound=("m-u-a101",))
    centre.desk.approve("gw-a-1-1", "seen", SECOND)
    installer.bind("m-u-a101", unit="a101")
    send(centre, installer)
    assert centre.states() == {"gw-a-1-1": "superseded", "gw-a-1-2": "pending"}
    told = centre.desk.history(site=None, gateway=None, meter="m-u-a101", node=None)
    assert [one.event.number for one in told.events] == [1, 2]
    assert [one.decided_by for one in told.bindings if one.act.binding == "gw-a-1-1"] == ["office-2"]


def test_an_exchange_of_a_meter_from_before_needs_no_binding_of_it(centre: Centre) -> None:
    installer = enrolled(centre)
    new = binding(replace(A101, id=MeterId("m-n"), serial="9", address="000000000009"), later(1), unit="a101")
    installer.act(Exchange(old=A101.id, closing=both(7), new=new, opening=both(0)), later(1))
    assert send(centre, installer)[0].reason == ""
    assert centre.states() == {"gw-a-1-1": "pending"}
    assert [meter.id for meter in centre.now_there().meters_at(A101.node)] == ["m-u-a101", "m-n"]


def test_an_exchange_may_be_exchanged_and_its_ratio_changed(centre: Centre) -> None:
    installer = enrolled(centre)
    before = A101.id
    for hours in (1, 2):
        name = MeterId(f"m-n{hours}")
        new = binding(replace(A101, id=name, serial=f"{hours}", address=f"00000000000{hours}"), later(hours))
        installer.act(Exchange(old=before, closing=both(7), new=new, opening=both(0)), later(hours))
        before = name
    change = RatioChange(meter=before, new=MeterId("m-r"), ct=30, pt=1, at=later(3), registers=both(9))
    installer.act(change, later(3))
    assert [one.reason for one in send(centre, installer, 3)] == ["", "", ""]
    spans = [(meter.id, meter.span.end) for meter in centre.now_there().meters_at(A101.node)]
    assert spans == [("m-u-a101", later(1)), ("m-n1", later(2)), ("m-n2", later(3)), ("m-r", None)]
    with centre.database.transaction() as connection:
        period = Interval(later(0), later(9))
        waiting = bindings.unapproved(connection, PARK_ID, period)
        assert [one.kind for one in waiting] == ["exchange", "exchange", "ratio-change"]
        assert bindings.unapproved(connection, PARK_ID, Interval(later(-9), later(0))) == ()


def test_what_is_held_is_told_by_meter_and_node(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.act(Decommission(meter=MeterId("m-none"), at=later(1), closing=()))
    installer.act(Reparent(node=NodeId("moon"), parent=NodeId("main"), at=NOW))
    assert [one.state for one in send(centre, installer, 2)] == ["held", "held"]
    for found in (
        centre.desk.history(site=None, gateway=None, meter="m-none", node=None),
        centre.desk.history(site=None, gateway=None, meter=None, node="moon"),
    ):
        assert [one.state for one in found.events] == ["held"]


def test_a_port_that_does_not_fit_is_held_without_anything_to_approve(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.act(PortChange(port=park().ports_of(GatewayId("gw-b"))[0]))
    (taken,) = send(centre, installer)
    assert taken.state == "held"
    assert centre.states() == {}


def test_a_mended_site_lets_in_what_was_held(centre: Centre) -> None:
    installer = enrolled(centre)
    meter = replace(A101, id=MeterId("m-kiosk"), node=NodeId("kiosk"), serial="5", address="000000000005")
    installer.act(Bind(binding=binding(meter, NOW)))
    assert "no 'kiosk'" in send(centre, installer)[0].reason
    site = centre.now_there()
    node = replace(site.node(NodeId("lift")), id=NodeId("kiosk"))
    with centre.database.transaction() as connection:
        version = require_site(connection, PARK_ID)
        import_site(connection, replace(site, nodes=(*site.nodes, node)), version.rules, imported_at=NOW)
    assert centre.desk.retry(PARK_ID) == 1
    assert centre.states() == {"gw-a-1-1": "pending"}
    assert centre.desk.retry(PARK_ID) == 0
    assert centre.now_there().meter(meter.id).node == "kiosk"


def test_nothing_is_retried_where_nothing_is_held(centre: Centre) -> None:
    before = versions(centre)
    with centre.database.transaction() as connection:
        assert retry_held(connection, PARK_ID, catalogue=centre.desk.catalogue, now=NOW) == 0
    assert versions(centre) == before


def test_a_new_epoch_begins_its_events_anew(centre: Centre) -> None:
    enrolled(centre, bound=("m-u-a101", "m-u-a201"))
    second = Installer(epoch=2, seed=9)
    order = centre.order()
    second.act(Replace(old_epoch=1, reason="lightning"))
    second.bind("m-u-a301")
    centre.present(second, order)
    told = centre.desk.history(site=None, gateway="gw-a", meter=None, node=None)
    assert [one.event.id for one in told.events] == ["gw-a-1-1", "gw-a-1-2", "gw-a-2-1", "gw-a-2-2"]
    old = Installer(seed=7)
    old.sealed = [one.octets for one in told.events[:2]]
    old.bind("m-lift")
    assert send(centre, old)[0].state == "applied", "the old key counts until it is revoked"


def test_an_event_before_any_enrolment_is_of_nobody(centre: Centre) -> None:
    installer = Installer()
    installer.bind("m-u-a101")
    with pytest.raises(SignerUnknown, match="enrol the gateway first"):
        send(centre, installer)


def test_a_chain_begins_with_its_voucher_or_with_nothing(centre: Centre) -> None:
    installer = enrolled(centre)
    wrong = Installer()
    wrong.voucher = b"\x07" * 32
    wrong.bind("m-u-a101")
    with pytest.raises(EventChainBroken):
        send(centre, wrong)
    installer.bind("m-u-a101")
    assert send(centre, installer)[0].state == "applied"


def test_an_order_of_the_gateway_may_begin_the_chain(centre: Centre) -> None:
    from provisioning.order_file import open_order_file

    installer = Installer()
    order = centre.order()
    centre.present(installer, order)
    installer.voucher = open_order_file(order.order_file, None).voucher.digest
    installer.bind("m-u-a101")
    assert send(centre, installer)[0].state == "applied"


@pytest.mark.parametrize("columns", ["number", "digest", "octets"])
def test_the_table_of_events_has_each_place_once(centre: Centre, columns: str) -> None:
    enrolled(centre, bound=("m-u-a101",))
    copied = (
        "INSERT INTO installation_events SELECT 'other', gateway, epoch, number, site, kind, digest, octets, done_at, "
        "done_by, device, meters, nodes, received_at, state, reason, site_version FROM installation_events"
    )
    with pytest.raises(psycopg.errors.UniqueViolation), centre.database.transaction() as connection:
        connection.execute(copied.encode())
    assert columns


@pytest.mark.parametrize(
    "change",
    [
        "state = 'approved'",
        "state = 'refused', decided_by = 'x', decided_at = now(), decision = ''",
        "decided_by = 'x'",
        "state = 'approved', decided_by = 'x'",
        "serial = NULL",
        "ends_at = begins_at",
        "state = 'fine'",
    ],
)
def test_no_binding_stands_half_decided(centre: Centre, change: str) -> None:
    enrolled(centre, bound=("m-u-a101",))
    with pytest.raises(psycopg.errors.CheckViolation), centre.database.transaction() as connection:
        connection.execute(f"UPDATE bindings SET {change}".encode())


@pytest.mark.parametrize(
    "change", ["state = 'held'", "site_version = NULL", "state = 'held', reason = ''", "reason = 'x'"]
)
def test_no_event_is_half_applied(centre: Centre, change: str) -> None:
    enrolled(centre, bound=("m-u-a101",))
    with pytest.raises(psycopg.errors.CheckViolation), centre.database.transaction() as connection:
        connection.execute(f"UPDATE installation_events SET {change}".encode())


def test_bindings_may_follow_one_another_at_one_node(centre: Centre) -> None:
    installer = enrolled(centre, bound=("m-u-a101",))
    installer.act(Decommission(meter=A101.id, at=later(1), closing=both(4)), later(1))
    other = binding(replace(A101, id=MeterId("m-n"), serial="9", address="000000000009"), later(2), unit="a101")
    installer.act(Bind(binding=other), later(2))
    assert [one.reason for one in send(centre, installer, 2)] == ["", ""]
    for number in (1, 2, 3):
        centre.desk.approve(f"gw-a-1-{number}", "seen", SECOND)
    with centre.database.transaction() as connection:
        spans = bindings.approved_spans(connection, PARK_ID)
        active = bindings.active_bindings(connection, PARK_ID)
    assert [span.end for span in spans[A101.id]] == [later(1)]
    assert set(active) == {"m-n"}


def test_a_serial_bound_elsewhere_is_told_to_the_approver(centre: Centre, database: Database) -> None:
    harbour = replace(park(), id=SiteId("harbour"), gateways=(replace(park().gateways[0], id=GatewayId("gw-h")),),
                      ports=(replace(park().ports_of(GatewayId("gw-a"))[0], gateway=GatewayId("gw-h")),),
                      meters=tuple(one for one in park().meters if one.port == "line-a"), exchanges=())  # fmt: skip
    with database.transaction() as connection:
        import_site(connection, harbour, {}, imported_at=NOW)
    enrolled(centre, bound=("m-u-a101",))
    there = Centre(database, centre.clock, harbour)
    stranger = Installer("gw-h", site=harbour, seed=9)
    order = there.order("gw-h")
    stranger.bind("m-u-a101")
    there.present(stranger, order)
    ((_, shown),) = there.desk.bindings(site="harbour", state="pending")
    assert ("other-site", "park") in [(one.code, one.expected) for one in shown.differences]


def test_what_an_event_speaks_of_is_found_without_the_site(centre: Centre) -> None:
    site: Site = centre.now_there()
    installer = Installer()
    moved = installer.event(Reparent(node=NodeId("lift"), parent=NodeId("main"), at=NOW))
    assert touched(moved, site) == (frozenset(), frozenset({"lift", "main"}))
    assert touched(installer.event(Replace(old_epoch=1, reason="x")), site) == (frozenset(), frozenset())
    gone = installer.event(Decommission(meter=MeterId("m-none"), at=NOW, closing=()))
    assert touched(gone, site) == (frozenset({"m-none"}), frozenset())
    act = bound_act(gone, site)
    assert act is not None
    assert (act.node, act.meter) == ("?", None)
    assert bound_act(installer.event(Replace(old_epoch=1, reason="x")), site) is None


def test_a_binding_is_listed_by_site_state_and_meter(centre: Centre) -> None:
    enrolled(centre, bound=("m-u-a101", "m-u-a201"))
    centre.desk.approve("gw-a-1-1", "seen", SECOND)
    listed = centre.desk.bindings
    assert [one.act.binding for one, _ in listed(site="park", state="approved")] == ["gw-a-1-1"]
    assert [one.act.binding for one, _ in listed(site=None, state=None, meter="m-u-a201")] == ["gw-a-1-2"]
    assert listed(site="elsewhere", state=None) == ()
    assert {str(state) for state in BindingState} == {"held", "pending", "approved", "refused", "superseded"}
    assert ADMIN.name == "admin"
