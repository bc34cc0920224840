"""A billing program over a whole month: most webhooks are lost, the month is corrected, the totals are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.store.database import Database
from ingest.store.runs import party_totals
from metering.interval import SLOT
from tests.doubles import issued_park
from tests.doubles.billing_client import metertree_billing as api
from tests.doubles.billing_program import BillingProgram
from tests.doubles.billing_service import add_billing_client, billing_service
from tests.doubles.closed_park import BOOKED_AT, PARK_ID
from tests.doubles.hooked import Post, receiving
from tests.doubles.issued_park import PHONE, IssuedPark
from tests.doubles.park_books import ParkBooks, read_park
from tests.doubles.servers import _database

MONTH = "2026-07"
PARTIES = ("t-01", "t-02", "t-03", "t-04", "t-05", "t-06", "t-07", "t-08", "owner")


@pytest.fixture
def month(postgres_dsn: str, migrated_template: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[IssuedPark]:
    """The park with July closed and published."""
    monkeypatch.setattr(issued_park, "PERIOD", MONTH)
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=8) as database:
            site, rules, play, catalogue = read_park()
            books = ParkBooks(database, site, rules, play, catalogue)
            books.enrol_all()
            span = site.calendar.period(MONTH)
            books.write(span.start + index * SLOT for index in range(int(span.duration / SLOT) + 1))
            park = IssuedPark(dsn, database)
            park.closing.settlement.settle_site(PARK_ID)
            park.closing.close(PARK_ID, MONTH, booked_at=BOOKED_AT, actor="an")
            park.publish()
            yield park


def test_a_month_is_billed_without_most_webhooks_and_corrected_to_the_same_totals(
    month: IssuedPark, tmp_path: Path
) -> None:
    key, books = add_billing_client(month), tmp_path / "books.sqlite"
    with receiving() as receiver:
        with billing_service(month) as client:
            wish = {"url": receiver.url, "signing": "ed25519", "kinds": ["charge.created", "run.published"]}
            headers = {"Authorization": f"Bearer {key}"}
            secret = client.post("/v1/webhook-endpoints", json=wish, headers=headers).json()["secret"]
            program = BillingProgram(books, api.Centre(str(client.base_url), key), lambda _: None)
            for party in PARTIES:
                _confirm(month, party, 1)
            Post(month.database).run()
            for one in receiver.came[::4]:  # three of four are lost
                program.hear(one.headers, one.body, secret)
            program.close()
        assert len(receiver.came) >= len(PARTIES)
        month.correct(tmp_path, "tariff.toml", "0.6478", "0.6778")
        with billing_service(month) as client:
            for party in PARTIES:
                _confirm(month, party, 2)
            program = BillingProgram(books, api.Centre(str(client.base_url), key), lambda _: None)
            program.turn()
            program.catch_up()
            owed = _owed(month)
            assert program.booked() == owed
            assert program.invoiced() == {party: owed[party] for party in PARTIES}
            program.close()


def _confirm(park: IssuedPark, party: str, version: int) -> None:
    park.desk.confirm(park.desk.link(f"park-{MONTH}-{party}-v{version}", PHONE).token, PHONE)


def _owed(park: IssuedPark) -> dict[str, int]:
    with park.database.transaction() as connection:
        return {one.party: one.total_minor for one in party_totals(connection, park.run)}
