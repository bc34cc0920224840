"""What becomes of a statement, on a real database: one charge however often, disputes that freeze a line only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from ingest.audit_log import chain_faults
from ingest.statement_desk import (
    Answer,
    Complaint,
    ComplaintInvalid,
    DisputeAnswered,
    LineCharged,
    NothingToConfirm,
)
from ingest.statement_links import LinkExpired, LinkUnknown
from ingest.statement_states import (
    NEXT,
    WHOLE,
    DisputeState,
    NotIssued,
    StatementState,
    StatementUnknown,
    Superseded,
)
from ingest.store.audit import entries
from ingest.store.disputes import count_disputes, list_disputes
from tests.doubles.issued_park import BY, NOW, PHONE, TENANT, IssuedPark

UPHELD = Answer(DisputeState.UPHELD, "the register was read twice; it stands")
RECOMPUTED = Answer(DisputeState.RECOMPUTED, "the area was wrong; you get a new statement")


def a_line(park: IssuedPark, place: int = 0) -> str:
    """The id of a line of the tenant's statement."""
    return park.view().content.lines[place].id


def total(park: IssuedPark) -> int:
    """What the tenant's statement says."""
    return park.view().content.total_minor


def test_a_published_run_issues_its_statements(issued_park: IssuedPark) -> None:
    view = issued_park.view()
    assert view.state is StatementState.ISSUED
    assert [(one.step, one.actor) for one in view.steps] == [(1, "cy")]
    issued = [one for one in issued_park.events() if one.kind == "statement.issued"]
    assert len(issued) == 8
    assert {one.body["run"] for one in issued} == {issued_park.run}


def test_a_link_is_the_same_until_it_is_renewed(issued_park: IssuedPark) -> None:
    desk = issued_park.desk
    first, again = desk.link(TENANT, BY), desk.link(TENANT, BY)
    assert (first.token, first.is_new, again.token, again.is_new) == (first.token, True, first.token, False)
    assert first.expires_at == NOW + timedelta(days=400)
    renewed = desk.link(TENANT, BY, renew=True)
    assert renewed.token != first.token
    assert desk.open_token(renewed.token).stored.number == TENANT
    with pytest.raises(LinkUnknown):
        desk.open_token(first.token)
    assert first.token not in repr(first)


def test_a_link_is_opened_however_it_is_written_and_a_slip_is_told(issued_park: IssuedPark) -> None:
    token = issued_park.token
    assert issued_park.desk.open_token(f"{token[:4]}-{token[4:]}".lower()).stored.number == TENANT
    wrong = ("1" if token[0] == "0" else "0") + token[1:]
    with pytest.raises(LinkUnknown, match="mistyped"):
        issued_park.desk.open_token(wrong)


def test_a_link_opens_nothing_after_its_time_or_when_taken_back(issued_park: IssuedPark) -> None:
    token = issued_park.token
    issued_park.clock.sleep(400 * 86400 + 1)
    with pytest.raises(LinkExpired, match="2027-09-07"):
        issued_park.desk.open_token(token)
    fresh = issued_park.desk.link(TENANT, BY)
    assert fresh.is_new
    issued_park.desk.revoke(TENANT, BY, "sent to the wrong tenant")
    with pytest.raises(LinkUnknown):
        issued_park.desk.open_token(fresh.token)
    with pytest.raises(StatementUnknown):
        issued_park.desk.link("nothing-v1", BY)


def test_all_links_of_a_run_are_made_once(issued_park: IssuedPark) -> None:
    links = issued_park.desk.links(issued_park.run, BY)
    assert len({one.token for one in links}) == 8
    assert not any(one.is_new for one in issued_park.desk.links(issued_park.run, BY))
    assert [one.token for one in issued_park.desk.links(issued_park.run, BY)] == [one.token for one in links]


def test_the_books_hold_no_token(issued_park: IssuedPark) -> None:
    token = issued_park.token
    with psycopg.connect(issued_park.dsn) as connection:
        rows = connection.execute("SELECT number, token_hash, link_issue FROM statements").fetchall()
        logs = connection.execute("SELECT string_agg(content, ' ') FROM audit_log").fetchone()
    assert token.encode() not in repr(rows).encode()
    assert logs is not None
    assert token not in logs[0]


def test_seen_is_told_once(issued_park: IssuedPark) -> None:
    for _ in range(3):
        issued_park.desk.see(issued_park.token, PHONE)
    assert [one.state for one in issued_park.view().steps] == ["issued", "seen"]
    assert issued_park.kinds() == ["statement.seen"]


def test_a_confirmation_pressed_twice_makes_one_charge(issued_park: IssuedPark) -> None:
    first = issued_park.desk.confirm(issued_park.token, PHONE)
    again = issued_park.desk.confirm(issued_park.token, PHONE)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.charge == first.charge
    assert first.charge.amount_minor == total(issued_park)
    assert first.charge.charge == f"{TENANT}-c1"
    assert issued_park.kinds() == ["statement.confirmed", "charge.created"]
    assert issued_park.view().state is StatementState.CONFIRMED


def test_fifty_confirmations_at_once_make_one_charge(issued_park: IssuedPark) -> None:
    token = issued_park.token
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: issued_park.desk.confirm(token, PHONE), range(50)))
    assert len({one.charge.charge for one in found}) == 1
    assert [one.is_new for one in found].count(True) == 1
    assert issued_park.kinds().count("charge.created") == 1
    assert len(issued_park.view().charges) == 1


def test_the_database_charges_no_line_twice(issued_park: IssuedPark) -> None:
    issued_park.desk.confirm(issued_park.token, PHONE)
    line = a_line(issued_park)
    with psycopg.connect(issued_park.dsn) as connection, pytest.raises(psycopg.errors.UniqueViolation) as refused:
        connection.execute("INSERT INTO charge_lines VALUES (%s, %s, %s, 1, 0, 1)", (TENANT, line, f"{TENANT}-c1"))
    assert refused.value.diag.constraint_name == "charge_lines_once"


def test_a_disputed_line_is_left_out_of_the_charge_and_the_rest_is_not(issued_park: IssuedPark) -> None:
    line, amount = a_line(issued_park), issued_park.view().content.lines[0].amount_minor
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(line, "my meter stood still"), PHONE)
    assert dispute.state is DisputeState.OPEN
    charge = issued_park.desk.confirm(issued_park.token, PHONE).charge
    assert charge.amount_minor == total(issued_park) - amount
    assert line not in issued_park.view().charged
    upheld = issued_park.desk.answer(dispute.dispute, UPHELD, BY)
    assert (upheld.state, upheld.answered_by) == (DisputeState.UPHELD, "fay")
    charges = issued_park.view().charges
    assert [one.charge for one in charges] == [f"{TENANT}-c1", f"{TENANT}-c2"]
    assert sum(one.amount_minor for one in charges) == total(issued_park)
    assert issued_park.kinds() == [
        "statement.disputed",
        "statement.confirmed",
        "charge.created",
        "dispute.answered",
        "charge.created",
    ]


def test_an_upheld_line_waits_for_the_confirmation_of_the_rest(issued_park: IssuedPark) -> None:
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(a_line(issued_park), "too much"), PHONE)
    issued_park.desk.answer(dispute.dispute, UPHELD, BY)
    assert issued_park.view().charges == ()
    assert issued_park.desk.confirm(issued_park.token, PHONE).charge.amount_minor == total(issued_park)


def test_a_dispute_of_everything_leaves_nothing_to_confirm(issued_park: IssuedPark) -> None:
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(WHOLE, "not my rooms"), PHONE)
    with pytest.raises(NothingToConfirm):
        issued_park.desk.confirm(issued_park.token, PHONE)
    issued_park.desk.answer(dispute.dispute, UPHELD, BY)
    assert issued_park.desk.confirm(issued_park.token, PHONE).charge.amount_minor == total(issued_park)


def test_a_dispute_pressed_twice_is_one(issued_park: IssuedPark) -> None:
    complaint = Complaint(a_line(issued_park), "too much")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: issued_park.desk.dispute(issued_park.token, complaint, PHONE), range(8)))
    assert len({one.dispute for one in found}) == 1
    assert issued_park.kinds() == ["statement.disputed"]


def test_what_is_confirmed_cannot_be_disputed_any_more(issued_park: IssuedPark) -> None:
    issued_park.desk.confirm(issued_park.token, PHONE)
    with pytest.raises(LineCharged):
        issued_park.desk.dispute(issued_park.token, Complaint(a_line(issued_park), "too much"), PHONE)


@pytest.mark.parametrize(
    "complaint", [Complaint("no/such/line", "x"), Complaint(WHOLE, "  "), Complaint(WHOLE, "x" * 2001)]
)
def test_a_dispute_says_something_of_a_line_there_is(issued_park: IssuedPark, complaint: Complaint) -> None:
    with pytest.raises(ComplaintInvalid):
        issued_park.desk.dispute(issued_park.token, complaint, PHONE)
    assert issued_park.view().disputes == ()


def test_a_dispute_is_answered_once(issued_park: IssuedPark) -> None:
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(WHOLE, "too much"), PHONE).dispute
    answered = issued_park.desk.answer(dispute, RECOMPUTED, BY)
    assert issued_park.desk.answer(dispute, RECOMPUTED, BY) == answered
    with pytest.raises(DisputeAnswered, match="answered already: recomputed") as refused:
        issued_park.desk.answer(dispute, UPHELD, BY)
    assert "fay" not in str(refused.value), "not everybody who may answer sees names"
    with pytest.raises(ComplaintInvalid):
        issued_park.desk.answer(dispute, Answer(DisputeState.OPEN, "well"), BY)


def test_a_recomputed_line_stays_out_of_every_charge_of_its_statement(issued_park: IssuedPark) -> None:
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(a_line(issued_park), "wrong area"), PHONE)
    issued_park.desk.answer(dispute.dispute, RECOMPUTED, BY)
    charge = issued_park.desk.confirm(issued_park.token, PHONE).charge
    assert charge.amount_minor == total(issued_park) - issued_park.view().content.lines[0].amount_minor


def test_a_new_statement_supersedes_and_charges_the_difference_only(issued_park: IssuedPark, tmp_path: Path) -> None:
    old_total = total(issued_park)
    issued_park.desk.confirm(issued_park.token, PHONE)
    issued_park.correct(tmp_path, "tariff.toml", "0.6478", "0.6778")
    old = issued_park.view()
    newer = TENANT.replace("-v1", "-v2")
    assert (old.state, old.newer) == (StatementState.SUPERSEDED, newer)
    assert old.content.total_minor == old_total
    assert not issued_park.desk.confirm(issued_park.token, PHONE).is_new
    with pytest.raises(Superseded):
        issued_park.desk.dispute(issued_park.token, Complaint(WHOLE, "late"), PHONE)
    token = issued_park.desk.link(newer, BY).token
    charge = issued_park.desk.confirm(token, PHONE).charge
    new_total = issued_park.desk.open_token(token).content.total_minor
    assert new_total != old_total
    assert charge.amount_minor == new_total - old_total


def test_a_provisional_statement_is_neither_confirmed_nor_disputed(issued_park: IssuedPark) -> None:
    with psycopg.connect(issued_park.dsn) as connection:
        connection.execute("DELETE FROM statement_states")
    issued_park.desk.see(issued_park.token, PHONE)
    for act in (
        lambda: issued_park.desk.confirm(issued_park.token, PHONE),
        lambda: issued_park.desk.dispute(issued_park.token, Complaint(WHOLE, "x"), PHONE),
    ):
        with pytest.raises(NotIssued):
            act()


def test_the_table_allows_the_steps_that_the_program_allows(issued_park: IssuedPark) -> None:
    allowed = {(before, after) for before, afters in NEXT.items() for after in afters}
    with psycopg.connect(issued_park.dsn) as connection:
        row = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'statement_states_allowed'"
        ).fetchone()
        assert row is not None
        for before in StatementState:
            for after in StatementState:
                held = connection.execute(
                    b"SELECT "
                    + row[0]
                    .removeprefix("CHECK ")
                    .replace("from_state", "%(a)s::text")
                    .replace("to_state", "%(b)s::text")
                    .encode(),
                    {"a": before, "b": after},
                ).fetchone()
                assert held == ((before, after) in allowed,), (before, after)


def test_every_act_stands_in_the_log(issued_park: IssuedPark) -> None:
    issued_park.desk.see(issued_park.token, PHONE)
    dispute = issued_park.desk.dispute(issued_park.token, Complaint(a_line(issued_park), "a secret reason"), PHONE)
    issued_park.desk.confirm(issued_park.token, PHONE)
    issued_park.desk.answer(dispute.dispute, UPHELD, BY)
    issued_park.desk.revoke(TENANT, BY)
    with issued_park.database.transaction() as connection:
        log = list(entries(connection))
    assert list(chain_faults(log)) == []
    told = [(one.verb, one.who) for one in log if one.subject == f"statement/{TENANT}"]
    assert told == [
        ("link-made", "fay"),
        ("statement-seen", PHONE.name),
        ("statement-disputed", PHONE.name),
        ("statement-confirmed", PHONE.name),
        ("dispute-answered", "fay"),
        ("link-revoked", "fay"),
    ]
    assert "a secret reason" not in "".join(one.content or "" for one in log)


def test_disputes_are_listed_and_counted_by_period(issued_park: IssuedPark) -> None:
    issued_park.desk.see(issued_park.token, PHONE)
    for place, answer in enumerate((UPHELD, RECOMPUTED, None)):
        one = issued_park.desk.dispute(issued_park.token, Complaint(a_line(issued_park, place), "x"), PHONE)
        if answer:
            issued_park.desk.answer(one.dispute, answer, BY)
    issued_park.desk.confirm(issued_park.token, PHONE)
    with issued_park.database.transaction() as connection:
        listed = list_disputes(connection)
        (counts,) = count_disputes(connection)
        assert list_disputes(connection, sites=["elsewhere"]) == count_disputes(connection, ["elsewhere"]) == ()
        assert [one.dispute.dispute for one in list_disputes(connection, before=listed[0].dispute.dispute)] == [
            one.dispute.dispute for one in listed[1:]
        ]
    assert [(one.dispute.state, one.party) for one in listed] == [
        ("open", "t-01"),
        ("recomputed", "t-01"),
        ("upheld", "t-01"),
    ]
    assert (counts.statements, counts.seen, counts.confirmed) == (8, 1, 1)
    assert (counts.open, counts.upheld, counts.recomputed) == (1, 1, 1)
