"""Erasing names from a real store: what goes is gone, what was provable stays so, and nothing brings them back."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from allocation_engine.verification import verify_bundle
from ingest.backup.restoring import restore
from ingest.backup.taking import take_backup
from ingest.cli import build_parser
from ingest.closing import Closing
from ingest.settlement import Settlement
from ingest.statement_file import statement_file
from ingest.store.database import Database
from ingest.store.erasure import ErasureRefused, erase, plan_engineer, plan_party, sweep_out
from ingest.store.erasure_log import PersonErased, list_erasures, names_of_erased
from ingest.store.layout import Storage
from ingest.store.sites import SiteUnknown, import_site, newest_version, site_version
from ingest.store.statements import find_statement, numbers_of_run
from metering.clock import ManualClock
from metering.identity import PartyId, SiteId
from provisioning.keys import public_verifier
from provisioning.site import Names, Site
from tests.doubles.closed_park import BOOKED_AT, PARK_ID, PERIOD, copy_of
from tests.doubles.park_books import CENTRE, read_park

GONE = PartyId("t-04")
"""Moved out on 17 July."""
NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)


@pytest.fixture
def park(postgres_dsn: str, closed_park: str) -> Iterator[Database]:
    """The park with a closed day, and a newer version in which a party has another name."""
    site, rules, _, _ = read_park()
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=1) as database:
            with database.transaction() as connection:
                import_site(connection, renamed(site, Names("云禾二", "Yunhe II")), rules.document, imported_at=NOW)
            yield database


def renamed(site: Site, names: Names) -> Site:
    """The site in which a party has other names."""
    parties = tuple(replace(party, names=names) if party.id == GONE else party for party in site.parties)
    return replace(site, parties=parties)


def erase_party(database: Database, party: PartyId = GONE, reason: str = "asked for") -> Any:
    """Erase a party's names."""
    with database.transaction() as connection:
        plan = plan_party(connection, PARK_ID, party, NOW)
        erase(connection, plan, reason, NOW)
    sweep_out(database)
    return plan


def dump(database: Database) -> str:
    """Everything that is written out in text columns."""
    with database.transaction() as connection:
        return "\n".join(
            str(row)
            for table in ("site_versions", "install_orders", "erasures", "allocation_runs", "run_lines")
            for row in connection.execute(f"SELECT each::text FROM {table} AS each".encode())
        )


def test_the_names_go_from_every_version_and_nothing_else_does(park: Database) -> None:
    with park.transaction() as connection:
        before = [site_version(connection, PARK_ID, version) for version in (1, 2)]
    names = {
        text
        for one in before
        for party in one.site.parties
        if party.id == GONE
        for text in (party.names.zh, party.names.en)
    }
    assert len(names) == 4
    assert all(name in dump(park) for name in names)
    plan = erase_party(park)
    assert (set(plan.texts), plan.records, plan.statements) == (names, 2, 1)
    assert not any(name in dump(park) for name in names)
    with park.transaction() as connection:
        after = [site_version(connection, PARK_ID, version) for version in (1, 2)]
    for old, new in zip(before, after, strict=True):
        assert new.site == renamed(old.site, names_of_erased(GONE))
        assert (new.site.hash, new.hash) == (old.site.hash, old.hash)


def test_statements_stay_verifiable_and_the_same_close_gives_the_same_run(park: Database) -> None:
    catalogue = read_park()[3]
    trusted = {CENTRE.key_id: public_verifier(CENTRE.algorithm, CENTRE.public_key)}

    def files() -> dict[str, bytes]:
        with park.transaction() as connection:
            (run,) = connection.execute("SELECT run FROM allocation_runs").fetchall()[0]
            found = {}
            for number, _ in numbers_of_run(connection, run):
                stored = find_statement(connection, number)
                assert stored is not None
                found[number] = statement_file(connection, stored, catalogue)
            return found

    before = files()
    with park.transaction() as connection:
        connection.execute("DELETE FROM site_versions WHERE version = 2")
    erase_party(park)
    assert files() == before
    for octets in before.values():
        assert verify_bundle(octets, trusted, public_verifier).holds
    with park.transaction() as connection:
        runs = connection.execute("SELECT run FROM allocation_runs").fetchall()
    closing = Closing(Settlement(park, catalogue), CENTRE, bytes(32))
    closed, is_new = closing.close(PARK_ID, PERIOD, booked_at=BOOKED_AT, actor="bo")
    assert ([(closed.head.run,)], is_new) == (runs, False)


def test_a_party_that_still_owes_is_not_erased(park: Database) -> None:
    with park.transaction() as connection, pytest.raises(ErasureRefused, match=r"lease .* of t-05 is in force"):
        plan_party(connection, PARK_ID, PartyId("t-05"), NOW)
    with park.transaction() as connection, pytest.raises(ErasureRefused, match=r"t-04 is in force .it ends 2026-07-17"):
        plan_party(connection, PARK_ID, GONE, NOW - timedelta(days=150))


def test_who_is_not_there_or_erased_already_is_said(park: Database) -> None:
    with park.transaction() as connection:
        with pytest.raises(ErasureRefused, match="no party 't-99'"):
            plan_party(connection, PARK_ID, PartyId("t-99"), NOW)
        with pytest.raises(SiteUnknown):
            plan_party(connection, SiteId("elsewhere"), GONE, NOW)
    erase_party(park)
    with park.transaction() as connection, pytest.raises(ErasureRefused, match="erased already"):
        plan_party(connection, PARK_ID, GONE, NOW)


def test_an_import_cannot_bring_a_name_back(park: Database) -> None:
    site, rules, _, _ = read_park()
    erase_party(park)
    with park.transaction() as connection:
        with pytest.raises(PersonErased, match=r'zh = "已删除 t-04", en = "erased t-04"'):
            import_site(connection, renamed(site, Names("云禾三", "Yunhe III")), rules.document, imported_at=NOW)
        blank = renamed(site, names_of_erased(GONE))
        imported, is_new = import_site(connection, blank, rules.document, imported_at=NOW)
        assert (is_new, imported.version, imported.site) == (True, 3, blank)
        newest = newest_version(connection, PARK_ID)
        assert newest is not None
        assert newest.site.hash == blank.hash


def test_an_engineer_goes_from_the_orders_and_the_enrolments_stay(park: Database) -> None:
    with park.transaction() as connection:
        waiting = "INSERT INTO install_orders VALUES ('o-9', 'park', 'gw-c', 'fitter', sha256('9'), now(), %s)"
        connection.execute(waiting, [NOW + timedelta(days=1)])
        with pytest.raises(ErasureRefused, match="1 install orders wait"):
            plan_engineer(connection, "fitter", NOW)
        with pytest.raises(ErasureRefused, match="no install order names 'Fitter'"):
            plan_engineer(connection, "Fitter", NOW)
    with park.transaction() as connection:
        plan = plan_engineer(connection, "fitter", NOW + timedelta(days=2))
        done = erase(connection, plan, "left", NOW)
    assert plan.records == 3
    assert "fitter" not in dump(park)
    with park.transaction() as connection:
        rows = connection.execute("SELECT engineer, burned_at IS NOT NULL FROM install_orders ORDER BY 2").fetchall()
        assert connection.execute("SELECT count(*) FROM gateway_keys").fetchone() == (2,)
    assert rows == [(f"erased {done.subject[-8:]}", burned) for burned in (False, True, True)]


def test_other_places_of_the_same_text_are_shown(park: Database) -> None:
    with park.transaction() as connection:
        connection.execute(
            "INSERT INTO run_reasons SELECT run, 'case/x', 'as fitter said', 'an', now(), now() FROM allocation_runs"
        )
        plan = plan_engineer(connection, "fitter", NOW)
    assert plan.mentions == (("run_reasons", "reason", 1),)


def test_a_restored_older_backup_is_erased_again(park: Database, empty_dsn: str, tmp_path: Path) -> None:
    def take(hour: int) -> Path:
        clock = ManualClock(NOW + timedelta(hours=hour))
        return take_backup(park, tmp_path, clock=clock, recipient=None, signer=None).folder

    older = take(0)
    erase_party(park)
    with park.transaction() as connection:
        erase(connection, plan_engineer(connection, "fitter", NOW), "left", NOW)
    newer = take(1)
    assert "fitter" not in (newer / "manifest.json").read_text()
    with Database(empty_dsn, connections=1) as database:
        done = restore(database, older, identity=None, verifier=None, storage=Storage(), now=NOW)
        assert [(one.kind, one.site) for one in done.erased] == [("party", "park"), ("engineer", None)]
        with park.transaction() as connection:
            noted = list_erasures(connection)
        with database.transaction() as connection:
            assert [replace(one, erasure=0) for one in list_erasures(connection)] == [
                replace(one, erasure=0) for one in noted
            ]
        told = dump(database)
        assert "fitter" not in told
        assert "Yunhe II" not in told


def run_command(*words: str) -> int:
    """Run `metertree erase`."""
    args: argparse.Namespace = build_parser().parse_args(["erase", *words])
    return int(args.run(args))


@pytest.mark.parametrize(("language", "stays"), [("en", "stay verifiable"), ("zh", "仍可验证")])
def test_the_command_shows_first_and_asks(
    park: Database, language: str, stays: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = str(park._pool.conninfo)
    words = ("party", "park/t-04", "--dsn", dsn, "--reason", "asked for", "--lang", language)
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert run_command(*words) == 1
    shown = capsys.readouterr().out
    assert stays in shown
    assert "Yunhe II" in shown
    assert "Yunhe II" in dump(park)
    assert run_command(*words, "--dry-run") == 0
    assert "Yunhe II" in dump(park)
    monkeypatch.setattr("sys.stdin", io.StringIO("t-04\n"))
    assert run_command(*words) == 0
    assert "Yunhe II" not in dump(park)
    assert run_command("list", "--dsn", dsn) == 0
    assert "party park/t-04  asked for" in capsys.readouterr().out
