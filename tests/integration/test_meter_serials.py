"""An exchanged meter that nobody declared is noticed: by its serial number, and by its counter."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from psycopg.types.json import Jsonb

from ingest import alerts as spine
from ingest.alert_rules import Alert, AlertKind, Severity
from ingest.alert_words import alert_mend, alert_text
from ingest.alerts import Alerting, evaluate
from ingest.console.words import Language
from ingest.intake import Intake
from ingest.ports import Arrival
from ingest.store.database import Database
from ingest.store.meter_serials import serials_told
from ingest.store.sites import import_site, require_site
from metering.clock import ManualClock
from metering.envelope import Kind, chain_digest
from metering.identity import MeterId, SiteId
from metering.report import SerialSeen
from provisioning.site import Site, Span
from tests.conftest import SeededSigner
from tests.doubles.chains import METERS, PROFILES, Gateway
from tests.doubles.intake import MemoryConsumer
from tests.doubles.store_harness import NOW, PostgresHarness

GW, OTHER = Gateway(), Gateway("gw-b")
METER = MeterId("m-u-a101")
WATCHED = (AlertKind.METER_SWAPPED, AlertKind.COUNTER_BROKEN)


class Books:
    """An intake, a site, and looks."""

    def __init__(self, database: Database) -> None:
        self.database = database
        harness = PostgresHarness(database)
        harness.enrol(GW, OTHER)
        harness.wire({GW.id: METERS, OTHER.id: {}})
        self.clock = ManualClock(NOW)
        self.intake = Intake(
            consumer=MemoryConsumer(),
            store=harness.store,
            signer=SeededSigner("centre"),
            clock=self.clock,
            profiles=PROFILES,
        )
        self.chains = {one.id: (0, bytes(32)) for one in (GW, OTHER)}

    def report(self, *seen: tuple[str, str], gateway: Gateway = GW, at: datetime = NOW) -> Arrival:
        """Seal what meters told of themselves; taken by whoever wants it in whatever order."""
        seq, previous = self.chains[gateway.id]
        leaves = tuple(SerialSeen(MeterId(meter), serial, at).to_wire() for meter, serial in seen)
        plain = gateway.envelope(seq + 1, previous)
        arrival = gateway.sealed(replace(plain, kind=Kind.REPORT, records=leaves, readings=(), mark=None))
        self.chains[gateway.id] = (seq + 1, chain_digest(arrival.octets))
        return arrival

    def site(self) -> Site:
        with self.database.transaction() as connection:
            stored = require_site(connection, SiteId("park"))
        return stored.site

    def change(self, **parts: object) -> None:
        """Change the meter in a new version of the site."""
        site = self.site()
        meters = tuple(replace(one, **parts) if one.id == METER else one for one in site.meters)  # type: ignore[arg-type]
        with self.database.transaction() as connection:
            import_site(connection, replace(site, meters=meters), {}, imported_at=self.clock.now())

    def told(self) -> list[Alert]:
        """What is open of meters and counters after a look."""
        with self.database.transaction() as connection:
            found = evaluate(connection, self.clock.now(), Alerting())
        return [one for one in found.is_open if one.cause.kind in WATCHED]

    def later(self, minutes: int) -> Books:
        self.clock.sleep(60 * minutes)
        return self

    @property
    def serial(self) -> str:
        return next(one.serial for one in self.site().meters if one.id == METER)

    def states(self) -> list[tuple[str, str]]:
        with self.database.transaction() as connection:
            return [(one.serial, one.state) for one in serials_told(connection, meter=METER)]


@pytest.fixture
def books(database: Database, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setattr(spine, "missing_steps", lambda *_: ())
    return Books(database)


def test_the_right_number_in_another_spelling_is_no_alert(books: Books) -> None:
    books.change(serial="No. 000-4711")
    books.intake.take([books.report((METER, "4711"))])
    assert books.told() == []
    assert books.states() == [("4711", "fits")]


def test_a_meter_that_became_another_is_critical_until_the_exchange_is_declared(books: Books) -> None:
    books.intake.take([books.report((METER, books.serial))])
    assert books.told() == []
    books.intake.take([books.report((METER, "999000111"), at=NOW + timedelta(hours=6))])
    (one,) = books.told()
    assert (one.cause.kind, one.severity) == (AlertKind.METER_SWAPPED, Severity.CRITICAL)
    assert one.cause.subject.startswith("park/")
    for language in Language:
        told = alert_text(one, language)
        assert "999000111" in told
        assert books.serial in told
        assert METER in told
        assert alert_mend(one, language)
    # What an exchange does to the site: the old meter ends, the new one is another meter.
    books.change(span=Span(None, NOW))
    assert books.later(30).told() == []
    assert ("999000111", "gone") in books.states()


def test_a_number_that_never_fitted_is_a_warning_and_closes_when_the_site_is_corrected(books: Books) -> None:
    books.intake.take([books.report((METER, "999000111"))])
    (one,) = books.told()
    assert one.severity is Severity.WARNING
    books.change(serial="999000111")
    assert books.later(30).told() == []
    assert books.states() == [("999000111", "fits")]


def test_the_right_meter_that_is_back_closes_it(books: Books) -> None:
    right = books.serial
    for serial in (right, "999000111", right):
        books.intake.take([books.report((METER, serial))])
    assert books.told() == []
    assert books.states() == [(right, "past"), ("999000111", "past"), (right, "fits")]


def test_words_that_come_in_another_order_end_the_same(books: Books) -> None:
    early, late = books.report((METER, books.serial)), books.report((METER, "999000111"))
    books.intake.take([late])
    books.intake.take([early])
    assert [one.cause.kind for one in books.told()] == [AlertKind.METER_SWAPPED]


def test_a_report_taken_twice_counts_once(books: Books) -> None:
    arrival = books.report((METER, "999000111"))
    books.intake.take([arrival, arrival])
    books.intake.take([arrival])
    assert len(books.states()) == 1


def test_a_gateway_cannot_raise_an_alert_over_a_meter_of_another(books: Books) -> None:
    books.intake.take([books.report((METER, "999000111"), ("m-nowhere", "1"), gateway=OTHER)])
    assert books.told() == []
    assert books.states() == [("999000111", "gone")]


def held(reason: str, quality: str = "held") -> dict[str, object]:
    end = NOW + timedelta(minutes=15)
    return {
        "quality": quality,
        "reason": reason,
        "start": NOW.isoformat(),
        "end": end.isoformat(),
        "energy_wh": None,
        "basis": "registers",
    }


def put_day(books: Books, exceptions: list[dict[str, object]], days_ago: int = 1) -> None:
    row = {
        "site": "park",
        "node": "u-a101",
        "day": (NOW - timedelta(days=days_ago)).date(),
        "exceptions": Jsonb(exceptions),
    }
    with books.database.transaction() as connection:
        connection.execute(
            "INSERT INTO settled_days (site, node, obis, day, energy, quality, exceptions, inputs_hash)"
            " VALUES (%(site)s, %(node)s, '1-0:1.8.0', %(day)s, '{0}', '{5}', %(exceptions)s, sha256('x'))"
            " ON CONFLICT (site, node, obis, day) DO UPDATE SET exceptions = excluded.exceptions",
            row,
        )


@pytest.mark.parametrize("reason", ["register-fell", "undeclared-exchange", "implausible"])
def test_a_broken_counter_is_told_until_it_is_settled(books: Books, reason: str) -> None:
    put_day(books, [held(reason), held("gap", "estimated")])
    (one,) = books.told()
    assert (one.cause.kind, one.cause.subject) == (AlertKind.COUNTER_BROKEN, "park/u-a101")
    assert one.detail["reasons"] == [reason]
    for language in Language:
        assert "park/u-a101" in alert_text(one, language)
        assert reason not in alert_text(one, language)
    put_day(books, [])
    assert books.later(30).told() == []


def test_gaps_rollovers_and_old_breaks_are_no_broken_counters(books: Books) -> None:
    put_day(books, [held("gap", "estimated"), held("rollover", "rollover"), held("register-fell", "estimated")])
    put_day(books, [held("register-fell")], days_ago=60)
    assert books.told() == []


def test_the_history_of_a_meter_node_gateway_or_site_has_what_meters_told(books: Books) -> None:
    books.intake.take([books.report((METER, books.serial), ("m-lift", "1"))])
    books.intake.take([books.report((METER, "999000111"), at=NOW + timedelta(hours=1))])
    books.told()
    with books.database.transaction() as connection:
        of_meter = serials_told(connection, meter=METER)
        counts = [
            len(serials_told(connection, **{name: value}))
            for name, value in (
                ("site", "park"),
                ("gateway", GW.id),
                ("node", "main"),
                ("node", "u-a1"),
                ("site", "no"),
            )
        ]
    assert [(one.serial, one.state) for one in of_meter] == [("s-m-u-a101", "past"), ("999000111", "open")]
    assert counts == [3, 3, 3, 0, 0]
