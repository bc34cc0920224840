"""`audit verify`: what is changed in the log, or in what it speaks of, is found, though the database's owner did it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ingest.audit_desk import AuditDesk, Verified, verify_books
from ingest.audit_log import Verb, chain_faults
from ingest.audit_words import VERBS
from ingest.cli import main
from ingest.closing import Closing
from ingest.jobs import shipped_jobs
from ingest.runs_desk import Act
from ingest.settlement import Settlement
from ingest.store.audit import entries, record, withdraw
from ingest.store.clients import add_client, make_key, remove_client, rotate_key
from ingest.store.database import Connection, Database
from ingest.store.erasure import AUDITED, erase, plan_engineer, sweep_out
from ingest.store.gateway_reports import Ordered, add_order
from ingest.store.operators import Post, add_operator, change_operator, remove_operator
from ingest.store.revocations import revoke
from metering.identity import GatewayId, SiteId
from metering.interval import SLOT
from provisioning.keys import write_public_key, write_signing_key
from tests.doubles.installing import ENROLMENTS, NOW, InstallingCentre, bundle, machine
from tests.doubles.park_books import CENTRE, ParkBooks, read_park
from tests.doubles.revoked_session import BY

GW = GatewayId("gw-a")
PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = datetime.fromisoformat("2026-08-01T09:00:00+08:00")


@pytest.fixture
def desk(database: Database) -> AuditDesk:
    """A centre in which a little of everything was done."""
    with InstallingCentre(database).open() as centre:
        claim = centre.order()
        assert centre.client.post(ENROLMENTS, content=bundle(claim, machine(1))).status_code == 201
    with database.transaction() as connection:
        add_operator(connection, "eng-1", BY, NOW)
        add_operator(connection, "eng-2", BY, NOW)
        remove_operator(connection, "eng-2", BY, NOW, "left")
        add_operator(connection, "eng-3", BY, NOW, Post(("finance",), ("park",)))
        add_operator(connection, "eng-4", BY, NOW)
        change_operator(connection, "eng-4", Post(("auditor",)), BY, NOW, "moved")
        add_client(connection, "billing", ["billing"], ["park"], BY, NOW)
        make_key(connection, "billing", BY, NOW)
        rotate_key(connection, "billing", timedelta(hours=1), BY, NOW)
        add_client(connection, "old", ["billing"], None, BY, NOW)
        remove_client(connection, "old", BY, NOW)
        revoke(connection, GW, None, BY, "stolen", NOW)
    made = AuditDesk(database)
    made.sign(CENTRE, NOW)
    return made


@pytest.fixture
def full_desk(desk: AuditDesk) -> AuditDesk:
    """The same, and a run was computed and checked."""
    database = desk.database
    site, rules, play, catalogue = read_park()
    books = ParkBooks(database, site, rules, play, catalogue)
    start = site.calendar.period(PERIOD).start
    with database.transaction() as connection:
        for gateway in site.gateways:
            connection.execute(
                b"INSERT INTO chain_heads (gateway, epoch, contiguous_seq, head_hash, highest_seq, received_at)"
                b" VALUES (%s, 1, 0, %s, 0, now()) ON CONFLICT DO NOTHING",
                [gateway.id, bytes(32)],
            )
    books.write(start + index * SLOT for index in range(97))
    closing = Closing(Settlement(database, catalogue), CENTRE, bytes(32))
    run = closing.close(SiteId("park"), PERIOD, booked_at=BOOKED_AT, actor="an")[0].head.run
    closing.desk.check(run, Act("bo", BOOKED_AT + timedelta(hours=1)), {})
    return desk


def verified(desk: AuditDesk, **kept: bytes) -> Verified:
    """Verify with the centre's key."""
    return desk.verify(CENTRE.verifier(), kept)


def as_owner(database: Database, act: Callable[[Connection], object]) -> None:
    """Do something as whoever owns the database: the guard on the log is off."""
    with database.transaction() as connection:
        connection.execute(b"ALTER TABLE audit_log DISABLE TRIGGER USER")
        act(connection)
        connection.execute(b"ALTER TABLE audit_log ENABLE TRIGGER USER")


class Undone(Exception):
    """Takes a change back."""


def faults_after(database: Database, statement: str) -> tuple[str, ...]:
    """Change something as whoever owns the database, verify, and take it back."""
    faults: tuple[str, ...] = ()
    with suppress(Undone), database.transaction() as connection:
        connection.execute(b"ALTER TABLE audit_log DISABLE TRIGGER USER")
        for one in statement.split("; "):
            assert connection.execute(one.encode()).rowcount != 0 or "checkpoints" in one or "misuses" in one, one
        faults = verify_books(connection, CENTRE.verifier(), {}).faults
        raise Undone
    return faults


def test_books_and_log_as_they_were_made_hold(full_desk: AuditDesk) -> None:
    found = verified(full_desk)
    assert found.faults == ()
    assert found.checkpoints == 1
    assert found.entries >= 9
    assert found.rows is not None
    assert found.rows.held == 14
    assert found.rows.older == 0


CHANGES = {
    "a version of the site": "UPDATE site_versions SET hash = sha256('x')",
    "the document of a version": "UPDATE site_versions SET document = jsonb_set(document, '{currency}', '\"USD\"')",
    "the rules of a version": "UPDATE site_versions SET rules = '{}'",
    "who checked a run": "UPDATE run_transitions SET actor = 'cy' WHERE to_state = 'checked'",
    "an order taken out": "DELETE FROM claim_misuses; UPDATE install_orders SET install_order = 'order-other'",
    "a key": "UPDATE gateway_keys SET key_id = sha256('x')",
    "an epoch": "UPDATE gateway_keys SET epoch = 2",
    "a revocation taken back": "DELETE FROM revocations",
    "an operator let in again": "UPDATE operators SET removed_at = NULL",
    "an operator taken out": "DELETE FROM operators WHERE operator = 'eng-1'",
    "an operator put in": "INSERT INTO operators (operator, token_hash, added_at, added_by, roles)"
    " VALUES ('eve', sha256('x'), now(), 'eve', '{approver}')",
    "an operator made administrator": "UPDATE operators SET roles = '{administrator}' WHERE operator = 'eng-1'",
    "an operator let into all sites": "UPDATE operators SET sites = NULL WHERE operator = 'eng-3'",
    "a program let in again": "UPDATE clients SET removed_at = NULL",
    "a program with more sites": "UPDATE clients SET sites = '{park,campus}'",
    "a key put in": "INSERT INTO client_keys (key, client, secret_hash, made_at, made_by)"
    " VALUES ('mtk_eve', 'billing', sha256('x'), now(), 'eve')",
    "a key taken out": "DELETE FROM client_keys WHERE key = (SELECT min(key) FROM client_keys)",
    "an order of settings put in": "INSERT INTO settings_orders (gateway, version, epoch, octets, ordered_by,"
    " ordered_at, ask_at) VALUES ('gw-a', 1, 1, 'x', 'eve', now(), now())",
}


ENTRY_CHANGES = (
    *("number = number + 1000", "at = at + interval '1 s'", "who = 'eve'", "verb = 'enrolled'", "subject = 'site/x'"),
    *("touches = '{x}'", "content_hash = sha256('x')", "previous = sha256('x')", "digest = sha256('x')"),
    *("content = replace(content, '192', '193')", "salt = 'x'", "content = NULL, salt = NULL"),
)


DELETIONS = ("number = 1", "number = 4", "verb = 'gateway-revoked'")
SWAP = (
    "UPDATE audit_log SET number = 1000 WHERE number = 2; UPDATE audit_log SET number = 2 WHERE number = 3;"
    " UPDATE audit_log SET number = 3 WHERE number = 1000"
)


def test_whatever_row_or_entry_is_changed_past_the_program_is_found(full_desk: AuditDesk) -> None:
    of_log = {
        **{change: f"UPDATE audit_log SET {change} WHERE verb = 'gateway-revoked'" for change in ENTRY_CHANGES},
        **{which: f"DELETE FROM audit_log WHERE {which}" for which in DELETIONS},
        "two entries change places": SWAP,
    }
    statements = {**CHANGES, **{what: f"DELETE FROM audit_checkpoints; {one}" for what, one in of_log.items()}}
    unseen = [what for what, statement in statements.items() if not faults_after(full_desk.database, statement)]
    assert unseen == []
    assert verified(full_desk).faults == (), "each change was undone"


def test_the_end_cut_off_is_found_by_checkpoint_and_rows(desk: AuditDesk) -> None:
    kept = desk.sign(CENTRE, NOW)
    assert kept is not None

    def cut(connection: Connection) -> None:
        connection.execute(b"DELETE FROM audit_checkpoints")
        connection.execute(b"DELETE FROM audit_log WHERE number > 3")

    as_owner(desk.database, cut)
    faults = verified(desk, auditor=kept).faults
    assert any(fault.startswith("auditor:") and "ends before it" in fault for fault in faults)
    assert any("no act in the log" in fault for fault in faults)


def test_a_log_written_anew_is_found_by_a_checkpoint_kept_elsewhere(desk: AuditDesk) -> None:
    kept = desk.sign(CENTRE, NOW)
    assert kept is not None
    with desk.database.transaction() as connection:
        old = list(entries(connection))

    def write_anew(connection: Connection) -> None:
        from ingest.audit_log import FIRST, chained

        connection.execute(b"DELETE FROM audit_checkpoints")
        connection.execute(b"DELETE FROM audit_log")
        previous = FIRST
        for one in old:
            told = one.told
            act = BY.act(one.at, Verb(one.verb), one.subject, before=told["before"], after=told["after"])
            made = chained(act, one.number, previous, bytes(16))
            previous = made.digest
            connection.execute(
                b"INSERT INTO audit_log (number, at, who, verb, subject, touches, content_hash, previous, digest,"
                b" content, salt) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(made.number, made.at, made.who, made.verb, made.subject, list(made.touches)),
                    *(made.content_hash, made.previous, made.digest, made.content, made.salt),
                ],
            )

    as_owner(desk.database, write_anew)
    assert [fault for fault in verified(desk).faults if "checkpoint" in fault] == []
    (fault,) = [fault for fault in verified(desk, auditor=kept).faults if fault.startswith("auditor:")]
    assert "is another than the one the centre signed for" in fault


def test_a_checkpoint_of_another_key_is_no_checkpoint(desk: AuditDesk) -> None:
    kept = desk.sign(machine(66), NOW)
    assert kept is not None
    assert any("not signed by this centre" in fault for fault in verified(desk, other=kept).faults)
    assert any("not signed by this centre" in fault for fault in verified(desk, other=b"rubbish").faults)


def test_withdrawn_contents_leave_everything_verifiable(desk: AuditDesk) -> None:
    with desk.database.transaction() as connection:
        assert withdraw(connection, "stolen", BY, NOW, "asked to") is not None
        assert list(chain_faults(entries(connection))) == []
    assert verified(desk).faults == ()


def test_rows_from_before_the_log_are_counted_and_not_accused(desk: AuditDesk) -> None:
    with desk.database.transaction() as connection:
        octets = b"signed"
        old = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
        add_order(connection, Ordered(GW, 1, 1, octets, "ops", old, 0, None, "", None))
    found = verified(desk)
    assert (found.faults, found.rows and found.rows.older) == ((), 1)


def test_the_jobs_sign_every_hour_where_they_have_the_key(desk: AuditDesk) -> None:
    from datetime import time

    from ingest.alerts import Alerting
    from ingest.store.layout import Storage

    assert "audit" not in {job.name for job in shipped_jobs(Storage(), time(18), Alerting())}
    (job,) = [job for job in shipped_jobs(Storage(), time(18), Alerting(), CENTRE) if job.name == "audit"]
    with desk.database.transaction() as connection:
        withdraw(connection, "stolen", BY, NOW, "asked to")
    assert list(job.work(desk.database, NOW)) == ["signed for the audit log"]
    assert verified(desk).checkpoints == 2


def test_commands_show_verify_export_and_sign(
    desk: AuditDesk, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, public = tmp_path / "centre.key", tmp_path / "centre.pub"
    signer = write_signing_key(key, hashlib.sha256(b"commands").digest())
    write_public_key(public, signer.verifier())
    with desk.database.transaction() as connection:
        connection.execute(b"DELETE FROM audit_checkpoints")

    def run(*words: str) -> tuple[int, str]:
        code = main(["audit", *words, "--dsn", migrated_dsn])
        return code, capsys.readouterr().out

    checkpoint, exported = tmp_path / "checkpoint.cose", tmp_path / "log.jsonl"
    assert run("checkpoint", "--centre-key", str(key), "--out", str(checkpoint))[0] == 0
    code, told = run("verify", "--centre-public-key", str(public), "--checkpoint", str(checkpoint))
    assert (code, "2 signed checkpoints fit" in told) == (0, True), told
    assert "未核对检查点" in run("verify", "--lang", "zh")[1]
    assert run("show", "--subject", "gateway/gw-a", "--lang", "zh")[1].count("吊销网关") == 1
    told = run("show", "--who", "eng-1", "--verb", "gateway-revoked")[1]
    assert "reason: stolen" in told
    assert "from 192.0.2.7 / phone" in told
    assert json.loads(run("show", "--json", "--most", "1")[1])[0]["verb"] == "gateway-revoked"
    assert "nothing in the log fits" in run("show", "--who", "nobody")[1]
    assert run("export", str(exported))[0] == 0
    words = ("--file", str(exported), "--centre-public-key", str(public), "--checkpoint", str(checkpoint))
    assert run("verify", *words)[0] == 0
    exported.write_text(exported.read_text().replace("eng-1", "eng-9", 1))
    code, told = run("verify", "--json", *words)
    assert code == 1
    assert json.loads(told)["faults"]
    exported.write_text("{}\n")
    assert run("verify", "--file", str(exported))[0] == 1


def test_every_verb_is_said_in_both_languages() -> None:
    assert set(VERBS) == set(Verb)
    assert all(zh and en for zh, en in VERBS.values())


def test_the_database_refuses_what_verify_would_find(desk: AuditDesk) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation), desk.database.transaction() as connection:
        connection.execute(b"UPDATE audit_log SET who = 'eve'")


def test_erasing_an_engineer_takes_him_out_of_the_log_and_leaves_it_whole(desk: AuditDesk) -> None:
    later = NOW + timedelta(days=60)
    with desk.database.transaction() as connection:
        plan = plan_engineer(connection, "eng-1", later)
        assert AUDITED not in {(table, column) for table, column, _ in plan.mentions}, "nothing of it would stay"
        erase(connection, plan, "asked to", later)
        log = list(entries(connection))
    sweep_out(desk.database)
    assert not [one for one in log if one.content is not None and '"eng-1"' in one.content]
    assert [one.verb for one in log[-2:]] == ["content-withdrawn", "person-erased"]
    assert verified(desk).faults == ()


def test_a_name_inside_what_somebody_wrote_is_told_and_stays(desk: AuditDesk) -> None:
    with desk.database.transaction() as connection:
        revoke_reason = "eng-1 has lost it"
        record(connection, BY.act(NOW, Verb.GATEWAY_REVOKED, "gateway/gw-z", reason=revoke_reason))
        plan = plan_engineer(connection, "eng-1", NOW + timedelta(days=60))
    assert [rows for table, column, rows in plan.mentions if (table, column) == AUDITED] == [1]
