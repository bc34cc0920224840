"""A billing program over a real centre: webhooks are lost, it and the centre die, and the totals are the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.store.runs import party_totals
from tests.doubles.billing_client import metertree_billing as api
from tests.doubles.billing_program import BillingProgram
from tests.doubles.billing_service import add_billing_client, billing_service
from tests.doubles.hooked import Post, receiving
from tests.doubles.issued_park import PHONE, IssuedPark

PARTIES = ("t-01", "t-02", "t-03", "t-04", "t-06", "t-07", "t-08", "owner")
PLACES = ("page read", "lines put", "page booked", "invoice made", "charge acknowledged")


class ProcessDied(Exception):
    """Stands in for a kill."""


def dies_at(drawn: random.Random) -> Callable[[str], None]:
    """Let a program die now and then, anywhere."""

    def dies(_: str) -> None:
        if drawn.random() < 0.3:
            raise ProcessDied

    return dies


def confirm(park: IssuedPark, party: str, version: int) -> None:
    """Let a tenant confirm, twice."""
    number = f"park-2026-07-01--2026-07-01-{party}-v{version}"
    token = park.desk.link(number, PHONE).token
    for _ in range(2):
        park.desk.confirm(token, PHONE)


def owed(park: IssuedPark) -> dict[str, int]:
    """What the newest published run says, by party."""
    with park.database.transaction() as connection:
        return {one.party: one.total_minor for one in party_totals(connection, park.run)}


def patient(url: object, key: str) -> api.Centre:
    """The client, which waits for nothing here."""
    return api.Centre(str(url), key, sleep=lambda _: None)


def test_webhooks_are_lost_programs_die_and_the_totals_are_the_same(issued_park: IssuedPark, tmp_path: Path) -> None:
    drawn, books, key = random.Random(1), tmp_path / "books.sqlite", add_billing_client(issued_park)
    deaths = 0

    def live(act: Callable[[BillingProgram], object], url: object) -> None:
        """Let the program act; where it dies it is started again and does everything there is."""
        nonlocal deaths
        while True:
            program = BillingProgram(books, patient(url, key), dies_at(drawn))
            try:
                act(program)
            except ProcessDied:
                deaths += 1
                act = BillingProgram.turn
            else:
                return
            finally:
                program.close()

    with receiving() as receiver:
        with billing_service(issued_park) as client:
            wish = {"url": receiver.url, "signing": "ed25519", "kinds": ["charge.created", "run.published"]}
            headers = {"Authorization": f"Bearer {key}"}
            secret = client.post("/v1/webhook-endpoints", json=wish, headers=headers).json()["secret"]
            post = Post(issued_park.database)
            for party in PARTIES[:5]:
                confirm(issued_park, party, 1)
                post.run()
                for one in receiver.came:
                    for _ in range(drawn.choice((0, 1, 2))):  # lost, heard, heard twice
                        live(lambda program, one=one: program.hear(one.headers, one.body, secret), client.base_url)  # type: ignore[misc]
                receiver.came.clear()
        issued_park.correct(tmp_path, "tariff.toml", "0.6478", "0.6778")
        # The centre is another process now, at another port; everything that was delivered meanwhile is lost.
        post.run()
        with billing_service(issued_park) as client:
            for party in PARTIES:
                confirm(issued_park, party, 2)
            post.run()
            live(BillingProgram.turn, client.base_url)
            last = BillingProgram(books, patient(client.base_url, key))
            kinds = last.catch_up()
            assert last.catch_up() == []
    assert deaths >= 5
    assert kinds.count("charge.created") >= 8
    assert last.booked() == owed(issued_park)
    assert last.invoiced() == {party: owed(issued_park)[party] for party in PARTIES}
    with issued_park.database.transaction() as connection:
        told = dict(connection.execute(b"SELECT charge, invoice FROM charges").fetchall())
    assert told == last.invoices()
    assert len(told) == 5 + 8
    last.close()


def test_a_program_that_dies_at_any_place_goes_on_where_it_was(issued_park: IssuedPark, tmp_path: Path) -> None:
    key = add_billing_client(issued_park)
    with billing_service(issued_park) as client:
        centre = patient(client.base_url, key)
        for place, party in zip(PLACES, PARTIES, strict=False):
            confirm(issued_park, party, 1)
            books, reached = tmp_path / f"{place}.sqlite", []

            def dies(where: str, place: str = place, reached: list[str] = reached) -> None:
                reached.append(where)
                if where == place and reached.count(place) == (2 if where in PLACES[:3] else 1):
                    raise ProcessDied

            first = BillingProgram(books, centre, dies)
            with pytest.raises(ProcessDied):
                first.turn()
            first.close()
            second = BillingProgram(books, centre)
            second.turn()
            assert second.booked() == owed(issued_park)
            assert second.invoiced() == {party: owed(issued_park)[party]}
            second.close()


def test_a_second_program_cannot_collect_what_the_first_collects(issued_park: IssuedPark, tmp_path: Path) -> None:
    confirm(issued_park, "t-01", 1)
    key = add_billing_client(issued_park)
    with billing_service(issued_park) as client:
        centre = patient(client.base_url, key)
        (charge,) = centre.charges()
        assert centre.acknowledge(charge.charge, "OTHER-1").invoice == "OTHER-1"
        assert list(centre.charges(acknowledged=False)) == []
        with pytest.raises(api.Problem) as refused:
            centre.acknowledge(charge.charge, "INV-0001")
        assert refused.value.reason == "charge-acknowledged"
        program = BillingProgram(tmp_path / "books.sqlite", centre)
        program.turn()
        assert program.invoices() == {}
        program.close()


def test_the_whole_feed_comes_as_a_file_too(issued_park: IssuedPark, tmp_path: Path) -> None:
    key = add_billing_client(issued_park)
    with billing_service(issued_park) as client, (tmp_path / "all.csv").open("wb") as target:
        centre = patient(client.base_url, key)
        cursor = centre.export(target, "csv")
        assert centre.allocations(since=cursor).lines == ()
        (statement,) = centre.statements(party="t-01")
        assert b"metertree-statement" in centre.statement_file(statement.number)
        told = centre.explanation(statement.number)
    assert sum(one["amount_minor"] for one in told["lines"]) == statement.total_minor
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + 32
