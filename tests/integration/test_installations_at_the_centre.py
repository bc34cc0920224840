"""Orders, bundles, events and packages at the centre, on a real database: what counts, what is held, who may decide."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from allocation_engine.run_state import SecondPersonNeeded
from ingest.caller import Caller, NotInPerson
from ingest.installation_books import EventForked
from ingest.installation_desk import BindingUnknown, DecisionRefused, SignerUnknown, Terms
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.store.revocations import revoke
from ingest.store.sites import BindingsContradicted, import_site
from metering.envelope import SignatureInvalid
from metering.identity import GatewayId, MeterId, NodeId, UnitId
from metering.obis import ENERGY_EXPORT
from provisioning.enrolment import Claim, Enrolled, Refused
from provisioning.grant import open_grant
from provisioning.installation import (
    Bind,
    Decommission,
    Exchange,
    Finding,
    RatioChange,
    RegisterSeen,
    Reparent,
    Severity,
)
from provisioning.installation_events import EventChainBroken
from provisioning.keys import FileSigner
from provisioning.order_file import ExpectedMeter, open_order_file
from provisioning.package import write_package
from provisioning.site import Names, NotInSite
from tests.doubles.installation_centre import ADMIN, CENTRE, ENGINEER, SECOND, Centre, park_centre, phone
from tests.doubles.installer import NOW, Installer, binding, later, park, showed

A101 = MeterId("m-u-a101")


@pytest.fixture
def centre(database: Database) -> Centre:
    return park_centre(database)


@pytest.fixture
def installed(centre: Centre) -> tuple[Centre, Installer]:
    """A centre with one gateway that bound three meters."""
    order = centre.order()
    installer = Installer()
    installer.voucher = open_order_file(order.order_file, None).voucher.digest
    installer.bind("m-bldg-a")
    installer.bind("m-u-a101", unit="a101")
    installer.bind("m-u-a201", unit="a201")
    centre.present(installer, order)
    return centre, installer


def both(kwh: int) -> tuple[RegisterSeen, ...]:
    """Import and export of a meter that counts both."""
    return (showed(kwh), replace(showed(0), obis=ENERGY_EXPORT))


def take(centre: Centre, installer: Installer) -> Any:
    """Send the newest event."""
    (taken,) = centre.desk.take_events(installer.sealed[-1:], phone)
    return taken


def test_an_order_comes_with_papers_the_gateway_believes(centre: Centre) -> None:
    order = centre.order()
    opened = open_order_file(order.order_file, CENTRE.verifier())
    voucher = opened.voucher.voucher
    assert (voucher.order, voucher.gateway, voucher.centre_url) == (order.order.order, "gw-a", "http://centre")
    assert order.fingerprint == opened.voucher.fingerprint
    assert A101 in opened.plan.planned
    assert order.claim.text.encode() not in order.order_file
    with pytest.raises(NotInSite):
        centre.order("gw-z")
    (line,) = centre.desk.orders("park", None)
    assert (line.order, line.burned_at) == (order.order.order, None)


def test_a_bundle_gives_a_grant_and_the_same_bundle_the_same_grant(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    order = centre.order("gw-b")
    other = Installer("gw-b", seed=8)
    made, again = centre.present(other, order), centre.present(other, order)
    assert made.grant is not None
    assert made.grant == again.grant
    grant = open_grant(made.grant, CENTRE.verifier())
    assert (grant.gateway, grant.epoch, grant.bundle_digest) == ("gw-b", 1, made.bundle.digest)
    assert isinstance(again.outcome, Enrolled)
    assert again.outcome.again


def test_what_was_bound_stands_in_the_site_and_waits_for_a_second_person(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    assert centre.now_there().meter(A101).span.start == NOW
    assert centre.states() == {"gw-a-1-1": "pending", "gw-a-1-2": "pending", "gw-a-1-3": "pending"}


def test_one_machine_of_500_at_once_wins_the_claim(centre: Centre) -> None:
    order = centre.order()
    bundles = [Installer(seed=number).bundle(order.claim) for number in range(500)]
    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(lambda octets: centre.desk.enrol(octets, phone), bundles))
    assert sum(isinstance(one.outcome, Enrolled) for one in made) == 1
    assert {one.outcome.reason for one in made if isinstance(one.outcome, Refused)} == {"claim-used"}


def test_neither_the_papers_nor_the_books_let_anyone_enrol(centre: Centre) -> None:
    """The order file, the package and a copy of the database are all that a thief may find."""
    order = centre.order()
    installer = Installer()
    installer.bind("m-u-a101")
    bundle = installer.bundle(order.claim)
    for octets in (order.order_file, order.voucher, bundle):
        assert order.claim.text.encode() not in octets
    with centre.database.transaction() as connection:
        (row,) = connection.execute("SELECT install_orders::text FROM install_orders").fetchall()
    assert order.claim.text not in row[0]
    assert order.claim.signer.public_key.hex() in row[0]
    assert isinstance(centre.desk.enrol(bundle, phone).outcome, Enrolled)


def test_the_plan_shows_the_engineer_no_tenant(centre: Centre) -> None:
    secrets = {text for party in park().parties for text in (party.names.zh, party.names.en, party.id)} - {"owner"}
    secrets -= {park().owner.names.zh, park().owner.names.en}
    secrets |= {lease.id for lease in park().leases}
    octets = centre.order().order_file
    assert secrets
    assert [text for text in secrets if text.encode() in octets] == []


def test_a_bundle_with_another_orders_voucher_is_refused(centre: Centre) -> None:
    order, other = centre.order(), centre.order()
    installer = Installer()
    installer.voucher = open_order_file(other.order_file, None).voucher.digest
    outcome = centre.desk.enrol(installer.bundle(order.claim), phone).outcome
    assert isinstance(outcome, Refused)
    assert outcome.reason == "voucher-mismatch"


def test_an_installation_of_another_site_is_refused(centre: Centre) -> None:
    order = centre.order()
    installer = Installer(site=replace(park(), id="elsewhere"))  # type: ignore[arg-type]
    installer.bind("m-u-a101")
    outcome = centre.desk.enrol(installer.bundle(order.claim), phone).outcome
    assert isinstance(outcome, Refused)
    assert outcome.reason == "site-mismatch"


def test_only_a_named_second_person_approves(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    why = "compared with the plan by telephone"
    with pytest.raises(NotInPerson):
        centre.desk.approve("gw-a-1-2", why, ADMIN)
    for own in (ENGINEER, replace(ENGINEER, name=" Eng-1 ")):
        with pytest.raises(SecondPersonNeeded):
            centre.desk.approve("gw-a-1-2", why, own)
    stored, _ = centre.desk.approve("gw-a-1-2", why, SECOND)
    assert (str(stored.state), stored.decided_by, stored.decision) == ("approved", "office-2", why)
    with pytest.raises(BindingUnknown):
        centre.desk.approve("gw-a-9-9", why, SECOND)


def test_the_database_itself_knows_that_nobody_approves_his_own_work(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    with pytest.raises(psycopg.errors.CheckViolation), centre.database.transaction() as connection:
        connection.execute("UPDATE bindings SET state = 'approved', decided_by = 'ENG-1 ', decided_at = now()")


def test_a_refusal_says_why_and_a_correction_takes_its_place(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    with pytest.raises(DecisionRefused, match="say why"):
        centre.desk.refuse("gw-a-1-2", " ", SECOND)
    centre.desk.refuse("gw-a-1-2", "the plate says another number", SECOND)
    assert centre.states()["gw-a-1-2"] == "refused"
    installer.bind("m-u-a101", unit="a101", serial="12345")
    assert take(centre, installer).reason == ""
    assert centre.states()["gw-a-1-2"] == "superseded"
    assert centre.states()["gw-a-1-4"] == "pending"
    assert centre.now_there().meter(A101).serial == "12345"


def test_a_refused_meter_yields_to_another_at_its_node(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    centre.desk.refuse("gw-a-1-2", "it feeds the flat next door", SECOND)
    other = replace(park().meter(A101), id=MeterId("m-new"), serial="55", address="000000000055")
    installer.act(Bind(binding=binding(other, later(1), unit="a101")))
    assert take(centre, installer).reason == ""
    assert [meter.id for meter in centre.now_there().meters_at(NodeId("u-a101"))] == ["m-new"]


def test_a_second_active_binding_of_meter_serial_or_node_is_impossible(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    copies = {
        "bindings_one_per_meter": ("meter", "'s-9'", "'n-9'"),
        "bindings_one_per_serial": ("'m-9'", "serial", "'n-9'"),
        "bindings_one_per_node": ("'m-9'", "'s-9'", "node"),
    }
    for constraint, (meter, serial, node) in copies.items():
        copy = f"""
            WITH made AS (
                INSERT INTO installation_events SELECT 'copy', gateway, epoch, 99, site, kind, digest, octets, done_at,
                    done_by, device, meters, nodes, received_at, state, reason, site_version
                FROM installation_events WHERE event = 'gw-a-1-2' RETURNING 1)
            INSERT INTO bindings (binding, site, kind, meter, serial, node, begins_at, done_by, state)
            SELECT 'copy', site, kind, {meter}, {serial}, {node}, begins_at + interval '1 day', done_by, 'pending'
            FROM bindings WHERE binding = 'gw-a-1-2'"""
        with pytest.raises(psycopg.errors.ExclusionViolation) as caught, centre.database.transaction() as connection:
            connection.execute(copy.encode())
        assert caught.value.diag.constraint_name == constraint


def test_an_event_that_does_not_fit_is_held_and_tried_again(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    other = replace(park().meter(A101), id=MeterId("m-new"), serial="55", address="000000000055")
    installer.act(Bind(binding=binding(other, later(2), unit="a101")))
    held = take(centre, installer)
    assert held.state == "held"
    assert "decommission it first" in held.reason
    assert centre.states()["gw-a-1-4"] == "held"
    with pytest.raises(DecisionRefused, match="held"):
        centre.desk.approve("gw-a-1-4", "because", SECOND)
    installer.act(Decommission(meter=A101, at=later(1), closing=(showed(4),)))
    assert take(centre, installer).reason == ""
    assert centre.states()["gw-a-1-4"] == "pending"
    assert [meter.id for meter in centre.now_there().meters_at(NodeId("u-a101"))] == ["m-u-a101", "m-new"]


def test_a_held_event_that_is_refused_is_not_tried_again(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    other = replace(park().meter(A101), id=MeterId("m-new"), serial="55", address="000000000055")
    installer.act(Bind(binding=binding(other, later(2), unit="a101")))
    take(centre, installer)
    centre.desk.refuse("gw-a-1-4", "entered by mistake", SECOND)
    installer.act(Decommission(meter=A101, at=later(1), closing=(showed(4),)))
    take(centre, installer)
    assert MeterId("m-new") not in {meter.id for meter in centre.now_there().meters}


def test_a_meter_that_does_not_fit_its_port_is_held(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    installer.bind("m-u-a301", profile="no/such")
    assert "unknown profile" in take(centre, installer).reason
    installer.bind("m-lift", address="999")
    assert "no Modbus unit id" in take(centre, installer).reason


def test_a_meter_that_was_read_before_does_not_yield(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    with centre.database.transaction() as connection:
        connection.execute(
            "INSERT INTO readings SELECT 'm-u-a301', now(), true, now(), now(), 0, ''::bytea, 0, '{1}', 'gw-a', 1, 1"
        )
    other = replace(park().meter(MeterId("m-u-a301")), id=MeterId("m-new"), serial="55", address="000000000055")
    installer.act(Bind(binding=binding(other, NOW)))
    assert take(centre, installer).state == "held"


def test_the_same_event_again_changes_nothing_and_another_in_its_place_is_told(
    installed: tuple[Centre, Installer],
) -> None:
    centre, installer = installed
    installer.bind("m-u-a301", unit="a301")
    assert not take(centre, installer).again
    version = centre.now_there()
    assert take(centre, installer).again
    assert centre.now_there() == version
    twin = Installer(seed=7)
    twin.sealed = installer.sealed[:3]
    twin.bind("m-lift")
    with pytest.raises(EventForked, match="two machines"):
        take(centre, twin)


def test_events_with_a_gap_or_of_a_stranger_are_refused(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    installer.bind("m-u-a301", unit="a301")
    installer.bind("m-lift")
    with pytest.raises(EventChainBroken, match="from number 4 on"):
        take(centre, installer)
    stranger = Installer(seed=9)
    stranger.sealed = [*installer.sealed[:3]]
    stranger.bind("m-u-a301")
    with pytest.raises(SignerUnknown):
        take(centre, stranger)
    stranger.signer = installer.signer
    good = stranger.event(Bind(binding=binding(park().meter(A101), NOW)))
    bad = bytearray(installer.sealed[3])
    bad[-1] ^= 1
    assert good.number == 5
    with pytest.raises(SignatureInvalid):
        centre.desk.take_events([bytes(bad)], phone)


def test_a_revoked_key_binds_nothing_more(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    with centre.database.transaction() as connection:
        revoke(connection, GatewayId("gw-a"), None, ADMIN, "stolen", NOW)
    installer.bind("m-lift")
    with pytest.raises(SignerUnknown):
        take(centre, installer)


def test_an_exchange_and_a_ratio_change_wait_for_approval_and_end_what_was(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    new = binding(replace(park().meter(A101), id=MeterId("m-n"), serial="9", address="000000000009"), later(1))
    installer.act(Exchange(old=A101, closing=both(7), new=new, opening=both(0)), later(1))
    assert take(centre, installer).reason == ""
    installer.act(
        RatioChange(meter=MeterId("m-n"), new=MeterId("m-n-2"), ct=20, pt=1, at=later(2), registers=both(5)), later(2)
    )
    assert take(centre, installer).reason == ""
    ends = {one.act.binding: one.ends_at for one, _ in centre.desk.bindings(site="park", state=None)}
    assert (ends["gw-a-1-2"], ends["gw-a-1-4"], ends["gw-a-1-5"]) == (later(1), later(2), None)
    assert [meter.ct for meter in centre.now_there().meters_at(NodeId("u-a101"))] == [1, 1, 20]


def test_an_exchange_that_leaves_out_a_register_that_counts_is_held(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    new = binding(replace(park().meter(A101), id=MeterId("m-n"), serial="9", address="000000000009"), later(1))
    installer.act(Exchange(old=A101, closing=(showed(7),), new=new, opening=(showed(0),)), later(1))
    assert "count 1-0:2.8.0" in take(centre, installer).reason


def test_a_moved_node_and_a_removed_meter_wait_for_approval_too(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    installer.act(Reparent(node=NodeId("u-a101"), parent=NodeId("common"), at=later(0)))
    take(centre, installer)
    installer.act(Reparent(node=NodeId("u-a101"), parent=NodeId("bldg-a"), at=later(0)))
    take(centre, installer)
    installer.act(Decommission(meter=A101, at=later(3), closing=(showed(4),)))
    take(centre, installer)
    states = centre.states()
    assert (states["gw-a-1-4"], states["gw-a-1-5"], states["gw-a-1-6"]) == ("superseded", "pending", "pending")


def test_the_wrong_tenant_is_shown_to_the_approver(centre: Centre) -> None:
    """Two meters crossed over: each carries the serial that the plan has at the other flat."""
    order = centre.order()
    installer = Installer()
    first, second = (park().meter(MeterId(one)) for one in ("m-u-a101", "m-u-a201"))
    installer.bind("m-u-a101", unit="a101", serial=second.serial, address=second.address)
    installer.bind("m-u-a201", unit="a201", serial=first.serial, address=first.address)
    centre.present(installer, order)
    shown = {one.act.meter: review for one, review in centre.desk.bindings(site="park", state="pending")}
    told = {one.code: one for one in shown[A101].differences}
    assert (told["serial-elsewhere"].expected, told["serial-elsewhere"].found) == ("a201", "a101")
    assert "a201" in told["serial-elsewhere"].told.zh
    assert shown[A101].expected is not None
    with pytest.raises(DecisionRefused, match="wrong tenant"):
        centre.desk.approve("gw-a-1-1", "", SECOND)
    assert centre.states()["gw-a-1-1"] == "pending"


def test_a_wrong_finding_is_approved_with_a_reason_only(centre: Centre) -> None:
    order = centre.order("gw-a", ExpectedMeter(A101, NodeId("u-a101"), UnitId("a101"), ct=1, pt=1))
    installer = Installer()
    wrong = Finding(
        "ct-reversed", Severity.WRONG, "m-u-a101", Names("互感器反接", "transformer reversed"), "to be mended"
    )
    one = binding(park().meter(A101), NOW, unit="a101", findings=(wrong,))
    installer.act(Bind(binding=one))
    centre.present(installer, order)
    with pytest.raises(DecisionRefused, match="reversed"):
        centre.desk.approve("gw-a-1-1", "", SECOND)
    centre.desk.approve("gw-a-1-1", "mended on 2 July, photo seen", SECOND)
    assert centre.states() == {"gw-a-1-1": "approved"}


def test_files_that_contradict_what_was_bound_are_not_imported(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    with centre.database.transaction() as connection:
        import_site(connection, centre.now_there(), {"new": 1}, imported_at=NOW)
    site = centre.now_there()
    wrong = tuple(replace(one, serial="0") if one.id == A101 else one for one in site.meters)
    for meters in (wrong, tuple(one for one in site.meters if one.id != A101)):
        with pytest.raises(BindingsContradicted, match="m-u-a101"), centre.database.transaction() as connection:
            import_site(connection, replace(site, meters=meters), {}, imported_at=NOW)


def test_a_package_brings_everything_and_may_come_twice(centre: Centre, tmp_path: Path) -> None:
    order = centre.order()
    installer = Installer()
    installer.bind("m-u-a101", unit="a101")
    bundle = installer.bundle(order.claim)
    installer.bind("m-u-a201", unit="a201")
    for times in range(2):
        stream = io.BytesIO()
        write_package(stream, order=order.order_file, bundle=bundle, events=installer.sealed, photos={})
        received = centre.desk.take_package(stream, phone)
        assert received.presented is not None
        assert received.presented.grant is not None
        assert [one.again for one in received.events] == [True, times == 1]
    assert len(centre.states()) == 2
    stolen = Installer(seed=9).bundle(order.claim)
    stream = io.BytesIO()
    write_package(stream, order=None, bundle=stolen, events=[], photos={})
    assert isinstance(centre.desk.take_package(stream, phone).presented.outcome, Refused)  # type: ignore[union-attr]


def test_history_tells_who_did_what_and_who_decided(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    centre.desk.approve("gw-a-1-2", "plan and photo agree", SECOND)
    installer.act(Decommission(meter=A101, at=later(3), closing=(showed(4),)), later(3))
    take(centre, installer)
    told = centre.desk.history(site=None, gateway=None, meter="m-u-a101", node=None)
    assert [(one.event.id, str(one.event.body.kind)) for one in told.events] == [
        ("gw-a-1-2", "bind"),
        ("gw-a-1-4", "decommission"),
    ]
    assert ("office-2", "binding-approved") in [(one.who, one.verb) for one in told.acts]
    whole = centre.desk.history(site="park", gateway=None, meter=None, node=None)
    assert len(whole.events) == 4
    assert {"install-ordered", "enrolled", "event-taken", "binding-approved"} <= {one.verb for one in whole.acts}
    with centre.database.transaction() as connection:
        assert [one.verb for one in entries(connection)].count("event-taken") == 4


def test_an_order_that_lapsed_or_was_never_made_opens_nothing(centre: Centre) -> None:
    order = centre.order(days=1)
    centre.clock.at = NOW + timedelta(days=2)  # type: ignore[attr-defined]
    outcome = centre.desk.enrol(Installer().bundle(order.claim), phone).outcome
    assert isinstance(outcome, Refused)
    assert outcome.reason == "order-expired"
    outcome = centre.desk.enrol(Installer().bundle(Claim.fresh()), phone).outcome
    assert isinstance(outcome, Refused)
    assert outcome.reason == "claim-unknown"


def test_nothing_half_done_is_left_where_issuing_fails(centre: Centre) -> None:
    order = centre.order()

    def fails(*_: object) -> tuple[bytes, ...]:
        raise SignatureInvalid("the request is not signed")

    desk = replace(centre.desk, issue=fails)
    with pytest.raises(SignatureInvalid):
        desk.enrol(Installer().bundle(order.claim), phone)
    assert centre.present(Installer(), order).grant is not None


def test_the_voucher_may_say_where_this_centre_is_reached(centre: Centre) -> None:
    desk = replace(centre.desk, terms=Terms())
    order = desk.order(
        ADMIN, site=park().id, gateway=GatewayId("gw-a"), engineer="eng-1", expires_at=later(9), expected=(),
        terms=Terms("http://here:8080", "here:1883"),
    )  # fmt: skip
    voucher = open_order_file(order.order_file, None).voucher.voucher
    assert (voucher.centre_url, voucher.broker) == ("http://here:8080", "here:1883")


def test_who_presents_is_named_in_the_log(centre: Centre) -> None:
    centre.present(Installer(), centre.order())
    with centre.database.transaction() as connection:
        who = {one.verb: (one.who, one.told["where"]) for one in entries(connection)}
    assert who["enrolled"] == ("gateway/gw-a", "10.0.0.9")
    assert who["install-ordered"][0] == "admin"


def test_a_caller_without_a_name_of_his_own_decides_nothing(installed: tuple[Centre, Installer]) -> None:
    centre, _ = installed
    for caller in (ADMIN, Caller("gateway/gw-a", "", "")):
        with pytest.raises(NotInPerson):
            centre.desk.refuse("gw-a-1-1", "why not", caller)


def test_a_stranger_key_cannot_use_another_gateways_name(installed: tuple[Centre, Installer]) -> None:
    centre, installer = installed
    order = centre.order("gw-b")
    other = Installer("gw-b", seed=8)
    centre.present(other, order)
    forged = Installer("gw-a", seed=8)
    forged.sealed = list(installer.sealed)
    forged.bind("m-lift")
    with pytest.raises(SignerUnknown):
        take(centre, forged)
    assert FileSigner.from_seed((8).to_bytes(32)).key_id == other.signer.key_id
