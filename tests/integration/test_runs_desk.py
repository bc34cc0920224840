"""Runs on a real database: the chain of states, the second person, supersession with delta lines, drafts, releases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from allocation_engine.bundle import with_publication
from allocation_engine.publication import Publication, open_publication
from allocation_engine.rule_check import RecordsMissed, require_complete
from allocation_engine.run_state import (
    ReasonMissing,
    RunState,
    RunUnknown,
    SecondPersonNeeded,
    TransitionRefused,
)
from allocation_engine.verification import verify_bundle
from ingest.closing import Closing
from ingest.run_facts import FactsForgotten
from ingest.runs_desk import Act, Draft, NothingPublished, ReasonInvalid, RunsDesk
from ingest.settlement import Settlement
from ingest.site_folder import read_site_folder
from ingest.statement_file import statement_file
from ingest.store.database import Database
from ingest.store.run_log import add_exclusions, exclusions_of
from ingest.store.runs import StoredRun, find_run
from ingest.store.sites import import_site
from ingest.store.statements import find_statement, numbers_of_run
from metering.envelope import Verifier
from metering.identity import SiteId
from metering.interval import SLOT
from provisioning.keys import public_verifier
from tests.doubles.park_books import CENTRE, ORDERED_AT, PARK, ParkBooks, read_park
from tests.doubles.servers import _database

PARK_ID = SiteId("park")
PERIOD = "2026-07-01--2026-07-01"
BOOKED_AT = datetime(2026, 8, 1, 1, tzinfo=UTC)
AN, BO, CY = (Act(name, BOOKED_AT + timedelta(hours=hours)) for name, hours in (("an", 1), ("bo", 2), ("cy", 3)))
TRUSTED: dict[bytes, Verifier] = {CENTRE.key_id: public_verifier(CENTRE.algorithm, CENTRE.public_key)}


class Desk:
    """The park with one settled day, its closing and its desk, on a database of its own."""

    def __init__(self, database: Database) -> None:
        site, rules, play, catalogue = read_park()
        self.database = database
        self.books = ParkBooks(database, site, rules, play, catalogue)
        self.closing = Closing(Settlement(database, catalogue), CENTRE, bytes(32))
        self.desk: RunsDesk = self.closing.desk

    def write_day(self) -> None:
        """Store every reading of the first day."""
        self.books.enrol_all()
        start = self.books.site.calendar.period(PERIOD).start
        self.books.write(start + index * SLOT for index in range(97))

    def close(self, **parts: Any) -> tuple[StoredRun, bool]:
        """Close the day as `an`."""
        return self.closing.close(PARK_ID, PERIOD, booked_at=BOOKED_AT, **{"actor": "an", **parts})

    def folder(self, tmp_path: Path, file: str, old: str, new: str) -> Draft:
        """Give the park with one text of one file replaced."""
        folder = shutil.copytree(PARK, tmp_path / f"park-{len(list(tmp_path.iterdir()))}")
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return Draft(*read_site_folder(folder, self.books.catalogue))

    def release(self, draft: Draft) -> None:
        """Import a draft."""
        with self.database.transaction() as connection:
            import_site(connection, draft.site, draft.rules.document, imported_at=ORDERED_AT)

    def publish(self, run: str) -> StoredRun:
        """Take a computed run through people's hands."""
        reasons = dict.fromkeys(self.desk.story(run).unexplained, "as played")
        self.desk.check(run, BO, reasons)
        self.desk.approve(run, CY, {})
        return self.desk.publish(run, CY)


@pytest.fixture(scope="module")
def settled(postgres_dsn: str, migrated_template: str) -> Iterator[str]:
    """A database with one day of the park, to copy from."""
    for dsn in _database(postgres_dsn, migrated_template):
        with Database(dsn, connections=2) as database:
            built = Desk(database)
            built.write_day()
            built.closing.settlement.settle_site(PARK_ID)
        yield dsn


@pytest.fixture
def desk(postgres_dsn: str, settled: str) -> Iterator[Desk]:
    """The park on a copy of that database."""
    name = psycopg.conninfo.conninfo_to_dict(settled)["dbname"]
    assert isinstance(name, str)
    for dsn in _database(postgres_dsn, name):
        with Database(dsn, connections=2) as database:
            yield Desk(database)


def test_a_run_goes_through_people_and_the_log_says_who_when_and_why(desk: Desk) -> None:
    stored, is_new = desk.close()
    run = stored.head.run
    assert (is_new, stored.head.state) == (True, RunState.COMPUTED)
    published = desk.publish(run)
    assert published.head.state is RunState.PUBLISHED
    story = desk.desk.story(run)
    assert [(one.step, one.to_state, one.actor, one.acted_at) for one in story.steps] == [
        (1, RunState.COMPUTED, "an", BOOKED_AT),
        (2, RunState.CHECKED, "bo", BO.acted_at),
        (3, RunState.APPROVED, "cy", CY.acted_at),
        (4, RunState.PUBLISHED, "cy", CY.acted_at),
    ]
    assert all(one.recorded_at.tzinfo is not None for one in story.steps)
    assert story.unexplained == ()


def test_nobody_approves_what_he_computed_or_checked_nor_skips_a_step(desk: Desk) -> None:
    run = desk.close()[0].head.run
    for step in (lambda: desk.desk.approve(run, CY, {}), lambda: desk.desk.publish(run, CY)):
        with pytest.raises(TransitionRefused, match="the run is computed"):
            step()
    desk.desk.check(run, BO, {})
    for act in (AN, BO, replace(BO, actor=" BO ")):
        with pytest.raises(SecondPersonNeeded):
            desk.desk.approve(run, act, {})
    assert desk.desk.approve(run, CY, {}).head.state is RunState.APPROVED


def test_the_database_itself_refuses_what_the_desk_would(desk: Desk) -> None:
    """Planted: updates past the desk. Each meets a constraint by name."""
    run = desk.close()[0].head.run
    desk.desk.check(run, BO, {})
    planted = {
        "allocation_runs_second_person": "UPDATE allocation_runs SET approved_by = 'Bo'",
        "allocation_runs_approved": "UPDATE allocation_runs SET state = 'approved'",
        "allocation_runs_checked": "UPDATE allocation_runs SET checked_by = NULL",
        "allocation_runs_logged": "UPDATE allocation_runs SET state = 'superseded'",
        "allocation_runs_explained": "UPDATE allocation_runs SET state = 'approved', approved_by = 'cy', "
        "unexplained = 1",
        "run_transitions_first": "INSERT INTO run_transitions "
        "(run, step, to_state, actor, reason, acted_at, recorded_at) "
        "SELECT run, 9, 'computed', 'cy', '', now(), now() FROM allocation_runs",
    }
    planted["run_transitions_allowed"] = (
        "INSERT INTO run_transitions (run, step, from_state, to_state, actor, reason, acted_at, recorded_at) "
        "SELECT run, 3, 'checked', 'published', 'cy', '', now(), now() FROM allocation_runs"
    )
    for name, statement in planted.items():
        with pytest.raises(psycopg.errors.IntegrityError) as caught, desk.database.transaction() as connection:
            connection.execute(statement.encode())
        assert caught.value.diag.constraint_name == name
    with pytest.raises(psycopg.errors.ForeignKeyViolation), desk.database.transaction() as connection:
        connection.execute(
            b"INSERT INTO run_transitions (run, step, from_state, to_state, actor, reason, acted_at, recorded_at) "
            b"SELECT run, 3, 'computed', 'checked', 'cy', '', now(), now() FROM allocation_runs"
        )


def test_a_case_needs_a_recorded_reason_before_approval(desk: Desk) -> None:
    run = desk.close()[0].head.run
    with desk.database.transaction() as connection:
        connection.execute(
            b"UPDATE allocation_runs SET document = "
            b'jsonb_set(document, \'{cases}\', \'[{"node": "main", "text": "planted"}]\')'
        )
    desk.desk.check(run, BO, {})
    with pytest.raises(ReasonMissing, match="case main"):
        desk.desk.approve(run, CY, {})
    for reasons in ({"case lift": "why"}, {"case main": "  "}):
        with pytest.raises(ReasonInvalid, match="findings: case main"):
            desk.desk.approve(run, CY, reasons)
    desk.desk.approve(run, CY, {"case main": "the transformer was replaced on the first"})
    [reason] = desk.desk.story(run).reasons
    assert (reason.subject, reason.actor) == ("case main", "cy")
    desk.desk.publish(run, CY)
    assert publication_of_bundle(desk, run).reasons == (("case main", "the transformer was replaced on the first"),)


def publication_of_bundle(desk: Desk, run: str) -> Publication:
    """Open what the database holds as the run's publication."""
    with desk.database.transaction() as connection:
        row = connection.execute(b"SELECT octets FROM publications WHERE run = %s", (run,)).fetchone()
    assert row is not None
    return open_publication(bytes(row[0]), TRUSTED)


def test_a_statement_alone_is_provisional_and_final_only_with_its_runs_publication(desk: Desk) -> None:
    run = desk.close()[0].head.run
    with desk.database.transaction() as connection:
        number = numbers_of_run(connection, run)[3][0]
        statement = find_statement(connection, number)
        assert statement is not None
        file = statement_file(connection, statement, desk.books.catalogue)
    alone = verify_bundle(file, TRUSTED, public_verifier)
    assert (alone.holds, alone.published) == (True, None)
    assert alone.checks[-1].result.startswith("PROVISIONAL")
    desk.publish(run)
    published = publication_of_bundle(desk, run)
    sealed = published.sealed(CENTRE)
    final = verify_bundle(with_publication(file, sealed), TRUSTED, public_verifier)
    assert (final.holds, final.published) == (True, published)
    stranger = replace(published, run=bytes(32)).sealed(CENTRE)
    broken = verify_bundle(with_publication(file, stranger), TRUSTED, public_verifier)
    assert [(one.link, one.result) for one in broken.broken] == [("publication", "it speaks of another run")]
    changed = bytearray(sealed)
    changed[-1] ^= 1
    forged = verify_bundle(with_publication(file, bytes(changed)), TRUSTED, public_verifier)
    assert [one.link for one in forged.broken] == ["publication"]


def test_a_draft_has_no_statements_until_it_is_closed_in_earnest(desk: Desk) -> None:
    draft, is_new = desk.close(draft=True)
    run = draft.head.run
    assert (is_new, draft.head.state) == (True, RunState.DRAFT)
    assert desk.close(draft=True) == (draft, False)
    with desk.database.transaction() as connection:
        assert numbers_of_run(connection, run) == ()
    with pytest.raises(TransitionRefused, match="the run is draft"):
        desk.desk.check(run, BO, {})
    stored, is_new = desk.close(actor="bo")
    assert (stored.head.run, is_new, stored.head.state) == (run, True, RunState.COMPUTED)
    with desk.database.transaction() as connection:
        assert all(number.endswith("-v1") for number, _ in numbers_of_run(connection, run))
    assert desk.close() == (stored, False)
    with pytest.raises(TransitionRefused):
        desk.desk.approve(run, CY, {})


def test_a_dry_run_is_the_run_and_leaves_nothing(desk: Desk) -> None:
    dry = desk.closing.dry_run(PARK_ID, PERIOD)
    with desk.database.transaction() as connection:
        assert find_run(connection, dry.id) is None
    assert desk.close()[0].head.run == dry.id


def test_a_correction_supersedes_and_books_delta_lines_with_their_causes(desk: Desk, tmp_path: Path) -> None:
    first = desk.close()[0].head.run
    desk.publish(first)
    desk.release(desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"'))
    second = desk.close()[0].head.run
    waiting = desk.close(draft=True)[0].head.run
    assert waiting == second != first
    stored = desk.publish(second)
    with desk.database.transaction() as connection:
        before = find_run(connection, first)
        numbers = [number for number, _ in numbers_of_run(connection, second)]
    assert before is not None
    assert (before.head.state, stored.head.state) == (RunState.SUPERSEDED, RunState.PUBLISHED)
    assert all(number.endswith("-v2") for number in numbers)
    told = desk.desk.story(first).steps[-1]
    assert told.reason == f"superseded by {second[:16]}"
    corrections = desk.desk.story(second).corrections
    assert {one.corrects for one in corrections} == {first}
    assert {cause for one in corrections for cause, _ in one.line.causes} == {"tariff"}
    totals = [sum(one.total_minor for one in desk.closing.totals(run)) for run in (first, second)]
    assert sum(one.line.delta_minor for one in corrections) == totals[1] - totals[0] > 0
    assert publication_of_bundle(desk, second).supersedes.hex() == first
    assert desk.desk.story(first).corrections == ()


def test_facts_that_become_again_what_they_were_take_their_run_up_again(desk: Desk, tmp_path: Path) -> None:
    first = desk.close()[0].head.run
    desk.publish(first)
    desk.release(desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"'))
    second = desk.close()[0].head.run
    desk.publish(second)
    desk.release(Draft(desk.books.site, desk.books.rules))
    again, is_new = desk.close()
    assert (again.head.run, again.head.state, is_new) == (first, RunState.COMPUTED, True)
    with pytest.raises(TransitionRefused):
        desk.desk.approve(first, CY, {})
    desk.publish(first)
    assert [one.to_state for one in desk.desk.story(first).steps][3:] == [
        RunState.PUBLISHED,
        RunState.SUPERSEDED,
        RunState.COMPUTED,
        RunState.CHECKED,
        RunState.APPROVED,
        RunState.PUBLISHED,
    ]
    corrected = desk.desk.story(first).corrections
    forth = desk.desk.story(second).corrections
    assert {one.line.id: one.line.delta_minor for one in corrected} == {
        one.line.id: -one.line.delta_minor for one in forth
    }


def test_two_stored_runs_are_told_apart_by_cause_even_after_readings_changed(desk: Desk, tmp_path: Path) -> None:
    first = desk.close()[0].head.run
    desk.release(desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"'))
    second = desk.close()[0].head.run
    with desk.database.transaction() as connection:
        connection.execute(b"UPDATE settled_days SET energy = array_fill(0::bigint, ARRAY[96])")
    diff = desk.desk.diff(first, second)
    assert (diff.before, diff.after) == (first, second)
    assert set(diff.by_cause) == {"tariff"}
    assert [change.subject for change in diff.changes] == ["tariff"]
    assert desk.desk.diff(first, first).lines == ()


def test_a_run_from_before_energy_was_kept_cannot_be_compared_and_says_so(desk: Desk) -> None:
    run = desk.close()[0].head.run
    with desk.database.transaction() as connection:
        connection.execute(b"DELETE FROM run_slots")
    with pytest.raises(FactsForgotten, match="did not keep its energy"):
        desk.desk.diff(run, run)
    assert desk.desk.findings(Draft(desk.books.site, desk.books.rules)) == ()


def test_a_run_that_is_not_there_is_said_to_be_missing(desk: Desk) -> None:
    run = desk.close()[0].head.run
    for ask in (lambda: desk.desk.diff(run, "0" * 64), lambda: desk.desk.story("0" * 64)):
        with pytest.raises(RunUnknown, match="run 0000"):
            ask()


def test_what_if_answers_by_party_most_first_and_stores_nothing(desk: Desk, tmp_path: Path) -> None:
    run = desk.close()[0].head.run
    draft = desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"')
    diff = desk.desk.what_if(run, draft)
    deltas = [one.delta_minor for one in diff.parties]
    assert deltas == sorted(deltas, reverse=True)
    assert deltas[0] > 0
    with desk.database.transaction() as connection:
        counts = connection.execute(
            b"SELECT (SELECT count(*) FROM allocation_runs), (SELECT max(version) FROM site_versions)"
        )
        assert counts.fetchone() == (1, 1)


def test_a_shadow_runs_on_published_periods_only(desk: Desk, tmp_path: Path) -> None:
    draft = desk.folder(tmp_path, "tariff.toml", '"0.6478"', '"0.6578"')
    run = desk.close()[0].head.run
    with pytest.raises(NothingPublished, match="no published run to try the rules on"):
        desk.desk.shadow(draft, 12)
    desk.publish(run)
    [seen] = desk.desk.shadow(draft, 12)
    assert seen.diff is not None
    assert (seen.label, set(seen.diff.by_cause), seen.findings) == (PERIOD, {"tariff"}, ())


def test_rules_that_miss_records_are_found_before_release_and_exclusions_are_kept(desk: Desk, tmp_path: Path) -> None:
    desk.close()
    pools = (PARK / "pools.toml").read_text(encoding="utf-8")
    start = pools.index('[[pools]]\nid = "lab-purifier"')
    lab = pools[start:]
    findings = desk.desk.findings(desk.folder(tmp_path, "pools.toml", lab, ""))
    assert [one.subject for one in findings] == ["node/lab-purifier"]
    with pytest.raises(RecordsMissed, match="1 records would be missed"):
        require_complete(findings, ())
    with desk.database.transaction() as connection:
        add_exclusions(connection, PARK_ID, 1, {"node/lab-purifier": "sold to its tenant"})
        assert exclusions_of(connection, PARK_ID, 1) == {"node/lab-purifier": "sold to its tenant"}


def test_the_log_is_readable_as_json(desk: Desk) -> None:
    run = desk.close()[0].head.run
    desk.publish(run)
    document = desk.desk.diff(run, run).to_document()
    assert json.loads(json.dumps(document)) == document


def test_a_run_is_withdrawn_for_a_reason_and_a_published_one_never(desk: Desk) -> None:
    run = desk.close()[0].head.run
    with pytest.raises(TransitionRefused, match="say why"):
        desk.desk.withdraw(run, BO)
    assert desk.desk.withdraw(run, replace(BO, reason="wrong tariff")).head.state is RunState.SUPERSEDED
    assert [(one.to_state, one.reason) for one in desk.desk.story(run).steps][-1] == ("superseded", "wrong tariff")
    again, is_new = desk.close()
    assert (again.head.run, again.head.state, is_new) == (run, RunState.COMPUTED, True)
    desk.publish(run)
    with pytest.raises(TransitionRefused, match="publish another one"):
        desk.desk.withdraw(run, replace(BO, reason="too late"))
