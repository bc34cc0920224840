"""Ways by which money could have counted before a second person saw what it rests on; each is shut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from allocation_engine.run_state import RunState, SecondPersonNeeded
from ingest.audit_desk import AuditDesk
from ingest.caller import Caller
from ingest.provisional import RunProvisional
from ingest.store import bindings
from ingest.store.database import Database
from ingest.store.sites import import_site
from metering.errors import BooksError, SenderError
from metering.identity import MeterId, NodeId, SiteId
from metering.interval import Interval
from metering.obis import ENERGY_EXPORT
from provisioning.installation import Bind, Exchange, InstallationInvalid, RatioChange, RegisterSeen
from provisioning.site import SiteInvalid
from tests.doubles.closed_park import copy_of
from tests.doubles.installation_centre import SECOND, Centre, park_centre, phone
from tests.doubles.installer import NOW, Installer, binding, later, park, showed
from tests.integration.test_provisional_runs import AN, Park

PARK_ID = SiteId("park")
A101 = park().meter(MeterId("m-u-a101"))
NEW = replace(A101, id=MeterId("m-n"), serial="9", address="000000000009")


@pytest.fixture
def centre(database: Database) -> Centre:
    return park_centre(database)


@pytest.fixture
def books(postgres_dsn: str, closed_park: str) -> Iterator[Park]:
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=6) as database:
            yield Park(database)


def enrolled(centre: Centre, *bound: str) -> Installer:
    installer, order = Installer(), centre.order()
    for meter in bound:
        installer.bind(meter)
    centre.present(installer, order)
    return installer


def both(kwh: int) -> tuple[RegisterSeen, ...]:
    return (showed(kwh), replace(showed(0), obis=ENERGY_EXPORT))


def waiting(centre: Centre, first: datetime, last: datetime) -> list[str | None]:
    with centre.database.transaction() as connection:
        return [one.binding for one in bindings.unapproved(connection, PARK_ID, Interval(first, last))]


def test_binding_a_meter_again_later_does_not_let_the_time_before_go_unapproved(centre: Centre) -> None:
    installer = enrolled(centre)
    new = binding(NEW, later(1), unit="a101")
    installer.act(Exchange(old=A101.id, closing=both(7), new=new, opening=both(0)), later(1))
    centre.desk.take_events(installer.sealed[-1:], phone)
    centre.desk.approve("gw-a-1-1", "fine", SECOND)
    installer.act(RatioChange(meter=NEW.id, new=MeterId("m-r"), ct=30, pt=1, at=later(2), registers=both(9)), later(2))
    centre.desk.take_events(installer.sealed[-1:], phone)
    ratio = centre.now_there().meter(MeterId("m-r"))
    installer.act(Bind(binding=binding(ratio, later(9), unit="a101")), later(9))
    centre.desk.take_events(installer.sealed[-1:], phone)
    assert waiting(centre, later(2), later(3))


def test_binding_an_exchanged_meter_again_does_not_hide_the_exchange_from_the_approver(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.act(Exchange(old=A101.id, closing=both(7), new=binding(NEW, later(1)), opening=both(0)), later(1))
    centre.desk.take_events(installer.sealed[-1:], phone)
    for state in ("pending", "refused"):
        if state == "refused":
            centre.desk.refuse("gw-a-1-1", "the closing register is not that of the photo", SECOND)
        installer.act(Bind(binding=binding(NEW, later(1), unit="a101")), later(1))
        (taken,) = centre.desk.take_events(installer.sealed[-1:], phone)
        assert taken.state == "held"
        assert "exchange" in taken.reason
    assert centre.states()["gw-a-1-1"] == "refused"


def test_an_exchange_that_was_approved_may_be_bound_again(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.act(Exchange(old=A101.id, closing=both(7), new=binding(NEW, later(1)), opening=both(0)), later(1))
    centre.desk.take_events(installer.sealed[-1:], phone)
    centre.desk.approve("gw-a-1-1", "fine", SECOND)
    installer.act(Bind(binding=binding(NEW, later(2), unit="a101")), later(2))
    assert centre.desk.take_events(installer.sealed[-1:], phone)[0].reason == ""
    assert centre.states() == {"gw-a-1-1": "superseded", "gw-a-1-2": "pending"}


def test_the_engineer_of_the_order_approves_nothing_whatever_name_he_typed_at_the_site(centre: Centre) -> None:
    installer, order = Installer(by="somebody else"), centre.order()  # ordered for eng-1
    installer.bind(A101.id)
    centre.present(installer, order)
    with pytest.raises(SecondPersonNeeded, match="eng-1"):
        centre.desk.approve("gw-a-1-1", "mine", Caller("eng-1", "10.0.0.2", "test", in_person=True))
    installer.act(RatioChange(meter=A101.id, new=MeterId("m-r"), ct=30, pt=1, at=later(2), registers=both(9)), later(2))
    centre.desk.take_events(installer.sealed[-1:], phone)
    with pytest.raises(SecondPersonNeeded, match="eng-1"):
        centre.desk.approve("gw-a-1-2", "mine", Caller("eng-1", "10.0.0.2", "test", in_person=True))
    centre.desk.approve("gw-a-1-2", "seen", SECOND)


def test_a_gateway_says_nothing_about_another_site(centre: Centre) -> None:
    installer = enrolled(centre)
    other = replace(park(), id=SiteId("park-2"), gateways=())
    with centre.database.transaction() as connection:
        import_site(connection, replace(park(), id=SiteId("park-2")), {}, imported_at=NOW)
    installer.site = other
    installer.bind(A101.id)
    with pytest.raises(SenderError, match="park-2"):
        centre.desk.take_events(installer.sealed[-1:], phone)
    with centre.database.transaction() as connection:
        assert bindings.bindings(connection, site="park-2") == ()


def test_what_was_held_waits_for_approval_as_what_it_is(centre: Centre) -> None:
    installer = enrolled(centre)
    new = replace(NEW, node=NodeId("u-a101"))
    installer.act(RatioChange(meter=NEW.id, new=MeterId("m-r"), ct=30, pt=1, at=later(2), registers=both(9)), later(2))
    installer.act(Exchange(old=A101.id, closing=both(7), new=binding(new, later(1)), opening=both(0)), later(1))
    assert [one.state for one in centre.desk.take_events(installer.sealed[-2:], phone)] == ["held", "applied"]
    assert centre.desk.retry(PARK_ID) == 1
    (ratio,) = (one.act for one, _ in centre.desk.bindings(site="park", state=None, meter="m-r"))
    assert (ratio.meter, ratio.serial, ratio.node) == ("m-r", "9", "u-a101")
    assert centre.states() == {"gw-a-1-1": "pending", "gw-a-1-2": "pending"}


def test_a_correction_that_waited_for_the_exchange_is_entered_when_that_is_approved(centre: Centre) -> None:
    installer = enrolled(centre)
    installer.act(Exchange(old=A101.id, closing=both(7), new=binding(NEW, later(1)), opening=both(0)), later(1))
    installer.act(Bind(binding=binding(NEW, later(1), unit="a101")), later(1))
    assert [one.state for one in centre.desk.take_events(installer.sealed[-2:], phone)] == ["applied", "held"]
    stored, _ = centre.desk.approve("gw-a-1-1", "photo and register agree", SECOND)
    assert stored.state == "approved"
    assert centre.states() == {"gw-a-1-1": "superseded", "gw-a-1-2": "pending"}


def test_a_run_of_before_a_correction_is_closed_anew_before_it_is_published(books: Park) -> None:
    books.install()
    run = books.close()
    books.desk.refuse("gw-a-2-1", "another meter hangs there", SECOND)
    a101 = replace(books.site.meter(A101.id), address="000000000077")
    books.installer.act(Bind(binding=binding(a101, NOW, unit="a101")))
    books.desk.take_events(books.installer.sealed[-1:], phone)
    books.desk.approve("gw-a-2-2", "that is right", SECOND)
    with pytest.raises(RunProvisional, match="close"):
        books.closing.desk.publish(run.head.run, AN)
    anew = books.close()
    assert anew.head.run != run.head.run
    assert books.closing.desk.publish(anew.head.run, AN).head.state is RunState.PUBLISHED


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM bindings WHERE binding = 'gw-a-1-1'",
        "DELETE FROM bindings; DELETE FROM installation_events",
        "UPDATE installation_events SET octets = 'x' WHERE event = 'gw-a-1-1'",
    ],
)
def test_a_binding_or_event_that_an_administrator_takes_out_is_missed(centre: Centre, change: str) -> None:
    enrolled(centre, A101.id)
    desk = AuditDesk(centre.database)
    assert [one for one in desk.verify(None, {}).faults if "gw-a" in one] == []
    with centre.database.transaction() as connection:
        connection.execute(change.encode())
    assert [one for one in desk.verify(None, {}).faults if "event/gw-a-1-1" in one]


def test_a_ratio_that_no_transformer_has_stops_no_settlement(books: Park) -> None:
    books.install()
    with pytest.raises(InstallationInvalid, match="100000"):
        RatioChange(meter=A101.id, new=MeterId("m-r"), ct=10**30, pt=1, at=later(2), registers=both(9))
    with pytest.raises(SiteInvalid, match="100000"):
        replace(A101, ct=10**30)
    change = RatioChange(meter=A101.id, new=MeterId("m-r"), ct=100_000, pt=100_000, at=later(2), registers=both(9))
    books.installer.act(change, later(2))
    assert books.desk.take_events(books.installer.sealed[-1:], phone)[0].reason == ""
    with pytest.raises(BooksError, match="u-a101"):  # the registers do not fit what was read: told, as ever
        books.close()
