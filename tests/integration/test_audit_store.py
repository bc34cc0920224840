"""The audit log and operators on a real PostgreSQL: only added to, one writer at a time, and tokens kept as hashes."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from ingest.audit_log import Verb, chain_faults
from ingest.caller import Caller
from ingest.cli import main
from ingest.store.audit import entries, head, record, touching, withdraw
from ingest.store.database import Database
from ingest.store.operators import (
    OperatorRefused,
    add_operator,
    operator_of,
    operators,
    remove_operator,
    renew_operator,
)
from metering.identity import IdentifierInvalid

NOW = datetime(2026, 8, 1, 1, 2, 3, 456789, tzinfo=UTC)
EVA = Caller("eng-1", "192.0.2.7", "phone", in_person=True)


def put(database: Database, number: int, *touches: str, reason: str = "") -> None:
    """Record one act."""
    with database.transaction() as connection:
        act = EVA.act(NOW, Verb.SITE_PUT, "site/park", after={"version": number}, touches=touches, reason=reason)
        record(connection, act)


def test_acts_recorded_at_once_form_one_chain(database: Database) -> None:
    def several(base: int) -> None:
        for number in range(base, base + 10):
            put(database, number)

    threads = [threading.Thread(target=several, args=(100 * base,)) for base in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction() as connection:
        log = list(entries(connection))
        assert head(connection) == (40, log[-1].digest)
    assert list(chain_faults(log)) == []
    assert len(log) == 40


def test_an_act_stands_only_if_what_was_done_stands(database: Database) -> None:
    put(database, 1)
    with suppress(ZeroDivisionError), database.transaction() as connection:
        record(connection, EVA.act(NOW, Verb.SITE_PUT, "site/park", after={"version": 2}))
        _ = 1 // 0
    put(database, 3)
    with database.transaction() as connection:
        log = list(entries(connection))
    assert [one.told["after"]["version"] for one in log] == [1, 3]
    assert list(chain_faults(log)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET who = 'eng-2'",
        "UPDATE audit_log SET content = '{}'",
        "UPDATE audit_log SET content = NULL, salt = NULL, verb = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log CASCADE",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(database: Database, statement: str) -> None:
    put(database, 1)
    with pytest.raises(psycopg.errors.RestrictViolation), database.transaction() as connection:
        connection.execute(statement.encode())


def test_content_is_withdrawn_and_the_withdrawal_recorded(database: Database) -> None:
    put(database, 1, reason='by "Wang" of the night')
    put(database, 2)
    with database.transaction() as connection:
        assert withdraw(connection, "nobody wrote this", EVA, NOW, "asked to") is None
        assert withdraw(connection, '"Wang"', EVA, NOW, "only part of what was written") is None
        told = withdraw(connection, 'by "Wang" of the night', EVA, NOW, "asked to")
        log = list(entries(connection))
    assert told is not None
    assert told.told["after"] == {"entries": [1]}
    assert [one.content is None for one in log] == [True, False, False]
    assert list(chain_faults(log)) == []


def test_history_finds_what_touches_a_subject(database: Database) -> None:
    put(database, 1, "gateway/gw-a")
    put(database, 2, "meter/park/m-1", "gateway/gw-b")
    with database.transaction() as connection:
        found = [
            [one.number for one in touching(connection, subjects)]
            for subjects in (["gateway/gw-a"], ["gateway/gw-b", "gateway/gw-a"], ["site/park"], ["site/x"], None)
        ]
        assert [one.number for one in touching(connection, who="eng-2")] == []
        assert [one.number for one in touching(connection, verb="site-put", most=1)] == [2]
    assert found == [[1], [2, 1], [2, 1], [], [2, 1]]


def test_an_operator_has_a_token_that_counts_until_he_is_removed(database: Database) -> None:
    def who(token: str) -> str | None:
        return operator_of(connection, hashlib.sha256(token.encode()).digest())

    with database.transaction() as connection:
        token = add_operator(connection, "eng-2", EVA, NOW)
        assert who(token) == "eng-2"
        assert who(token + "x") is None
        with pytest.raises(OperatorRefused, match="renew eng-2"):
            add_operator(connection, "eng-2", EVA, NOW)
        newer = renew_operator(connection, "eng-2", EVA, NOW)
        assert (who(token), who(newer)) == (None, "eng-2")
        remove_operator(connection, "eng-2", EVA, NOW, "left")
        assert who(newer) is None
        with pytest.raises(OperatorRefused, match="removed already"):
            remove_operator(connection, "eng-2", EVA, NOW)
        with pytest.raises(OperatorRefused, match="there is an operator eng-2 removed"):
            add_operator(connection, "eng-2", EVA, NOW)
        again = renew_operator(connection, "eng-2", EVA, NOW)
        assert who(again) == "eng-2"
        with pytest.raises(IdentifierInvalid):
            add_operator(connection, "Eng 2", EVA, NOW)
        with pytest.raises(OperatorRefused, match="nobody in person"):
            add_operator(connection, "admin", EVA, NOW)
        with pytest.raises(OperatorRefused, match="no operator"):
            remove_operator(connection, "eng-3", EVA, NOW)
        verbs = [one.verb for one in entries(connection)]
        assert [one.name for one in operators(connection)] == ["eng-2"]
        everything = b"".join(str(row).encode() for row in connection.execute("SELECT * FROM operators, audit_log"))
    assert verbs == ["operator-added", "operator-renewed", "operator-removed", "operator-renewed"]
    assert token.encode() not in everything
    assert again.encode() not in everything


def test_operators_are_kept_by_commands(migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str]:
        code = main(["operator", *words, "--dsn", migrated_dsn])
        return code, capsys.readouterr().out

    assert "no operators yet" in run("list")[1]
    code, shown = run("add", "eng-1")
    assert code == 0
    assert shown.count("mtop-") == 1
    file = tmp_path / "token"
    code, shown = run("renew", "eng-1", "--out", str(file), "--lang", "zh")
    assert "mtop-" not in shown
    assert file.read_text().startswith("mtop-")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "in force since" in run("list")[1]
    assert run("remove", "eng-1", "--reason", "left")[0] == 0
    assert "已于" in run("list", "--lang", "zh")[1]
    assert run("add", "eng-1")[0] == 1
