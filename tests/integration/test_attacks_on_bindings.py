"""Ways by which money could have counted before a second person saw what it rests on; each is shut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from ingest.store import bindings
from ingest.store.database import Database
from metering.identity import MeterId, SiteId
from metering.interval import Interval
from metering.obis import ENERGY_EXPORT
from provisioning.installation import Bind, Exchange, RatioChange, RegisterSeen
from tests.doubles.closed_park import closed_park, copy_of
from tests.doubles.installation_centre import SECOND, Centre, park_centre, phone
from tests.doubles.installer import Installer, binding, later, park, showed
from tests.integration.test_provisional_runs import Park

__all__ = ["closed_park"]
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
