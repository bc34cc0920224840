"""A draft of rules on a real database: saved, moved by others, checked, tried, released by a second person, logged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from allocation_engine.rule_check import RecordsMissed
from allocation_engine.what_if import Scope
from ingest.audit_log import Entry as LogEntry
from ingest.audit_log import chain_faults
from ingest.caller import Caller, NotInPerson, acting
from ingest.rulebook.desk import (
    Entry,
    FormStale,
    NotHandedIn,
    NothingChanged,
    SecondPersonNeeded,
    written_by_others,
)
from ingest.rulebook.history import history_of
from ingest.rulebook.parts import PartMoved, read_part
from ingest.store.audit import entries
from ingest.store.database import Database
from ingest.store.rule_drafts import DraftMoved, DraftState, DraftUnknown, StoredDraft, list_drafts
from ingest.store.run_log import exclusions_of
from metering.errors import BooksError, DocumentError
from metering.identity import NodeId, SiteId
from tests.doubles.closed_park import copy_of
from tests.doubles.ruled_park import SITE, RuledPark, person

LOBBY, LIFT = "pool/lobby-ac", "pool/lift-and-fire-pump"


@pytest.fixture
def park(postgres_dsn: str, closed_park: str) -> Iterator[RuledPark]:
    """The closed park with people, on a database of its own."""
    for dsn in copy_of(postgres_dsn, closed_park):
        with Database(dsn, connections=8) as database:
            yield RuledPark(database)


def save(park: RuledPark, part: str = LOBBY, who: str = "lin", draft: StoredDraft | None = None, **keys: Any) -> Any:
    """Save a pool with some keys changed."""
    content = {**read_part(park.books, part), **keys}
    number, revision = (None, 0) if draft is None else (draft.draft, draft.revision)
    with acting(person(who)):
        return park.desk.save(SITE, Entry({part: content}, "warmer lobby", "as agreed", number, revision))


def released(park: RuledPark, draft: StoredDraft, who: str = "wu", **excluded: str) -> StoredDraft:
    """Hand a draft in as its writer and release it as somebody else."""
    with acting(person("lin")):
        handed = park.desk.hand_in(SITE, draft.draft, draft.revision)
    with acting(person(who)):
        return park.desk.release(SITE, handed.draft, handed.revision, excluded)


def log_of(park: RuledPark) -> list[LogEntry]:
    """The whole audit log."""
    with park.database.transaction() as connection:
        return list(entries(connection))


def test_a_draft_changes_nothing_until_somebody_else_releases_it(park: RuledPark) -> None:
    before = park.books
    draft = save(park, formula="main_delta * (floor_area / total_area) * (tmax - 28) / 8")
    assert (draft.state, draft.authors, draft.base_version) == (DraftState.OPEN, ("lin",), 1)
    assert park.books == before
    done = released(park, draft)
    assert (done.state, done.ended_by, done.released_version) == (DraftState.RELEASED, "wu", 2)
    assert read_part(park.books, LOBBY)["formula"].endswith("(tmax - 28) / 8")
    assert park.version.version == 2


def test_nobody_releases_what_he_wrote_however_he_spells_his_name(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    with acting(person("lin")):
        handed = park.desk.hand_in(SITE, draft.draft, draft.revision)
    for name in ("lin", "LIN", " Lin "):
        with acting(person(name)), pytest.raises(SecondPersonNeeded):
            park.desk.release(SITE, handed.draft, handed.revision, {})
    both = save(park, who="wu", draft=handed, formula="main_delta / 2")
    with acting(person("wu")):
        handed = park.desk.hand_in(SITE, both.draft, both.revision)
        with pytest.raises(SecondPersonNeeded):
            park.desk.release(SITE, handed.draft, handed.revision, {})
    assert park.version.version == 1


def test_the_database_itself_refuses_a_release_by_a_writer(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    told = "UPDATE rule_drafts SET state = 'released', ended_by = ' LIN', ended_at = now(), released_version = 1"
    with pytest.raises(psycopg.errors.CheckViolation, match="second_person"), park.database.transaction() as connection:
        connection.execute(told)
    assert draft.draft == 1


def test_nobody_in_person_releases_nothing(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    with acting(Caller("admin", "", "")), pytest.raises(NotInPerson):
        park.desk.release(SITE, draft.draft, draft.revision, {})


def test_what_was_not_handed_in_is_not_released_and_writing_on_takes_it_back(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    with acting(person("wu")), pytest.raises(NotHandedIn):
        park.desk.release(SITE, draft.draft, draft.revision, {})
    with acting(person("lin")):
        handed = park.desk.hand_in(SITE, draft.draft, draft.revision)
    assert [one.draft for one in written_by_others([handed], "wu")] == [1]
    assert written_by_others([handed], "LIN") == []
    assert save(park, draft=handed, formula="main_delta / 2").state is DraftState.OPEN


def test_a_stale_form_says_who_saved_meanwhile(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    save(park, who="wu", draft=draft, formula="main_delta / 2")
    with pytest.raises(DraftMoved) as caught:
        save(park, draft=draft, formula="main_delta / 3")
    assert (caught.value.by, caught.value.state) == ("wu", DraftState.OPEN)
    content = read_part(park.books, LOBBY)
    with acting(person("lin")):
        other = park.desk.save(SITE, Entry({LOBBY: {**content, "review_by": "2030-01-01"}}, "later"))
    released(park, other)
    with acting(person("wu")), pytest.raises(FormStale) as stale:
        park.desk.save(SITE, Entry({LOBBY: {**content, "formula": "main_delta"}}, "mine", version=1))
    assert (stale.value.by, stale.value.version) == ("wu", 2)
    with acting(person("wu")):
        lift = {**read_part(park.books, LIFT), "review_by": "2031-01-01"}
        assert park.desk.save(SITE, Entry({LIFT: lift}, "mine", version=1)).base_version == 2


def test_drafts_of_different_pools_are_released_one_after_the_other(park: RuledPark) -> None:
    lobby = save(park, formula="main_delta")
    lift = save(park, LIFT, grain="day")
    released(park, lobby)
    released(park, lift)
    assert park.version.version == 3
    assert read_part(park.books, LOBBY)["formula"] == "main_delta"
    assert read_part(park.books, LIFT)["grain"] == "day"


def test_what_another_release_changed_is_told_and_taken_over(park: RuledPark) -> None:
    mine, theirs = save(park, formula="main_delta"), save(park, formula="main_delta / 2")
    released(park, theirs)
    look = park.desk.look(SITE, mine.draft)
    assert (look.moved, look.holds) == ((LOBBY,), False)
    with acting(person("lin")):
        with pytest.raises(PartMoved):
            park.desk.hand_in(SITE, mine.draft, mine.revision)
        taken = park.desk.take_over(SITE, mine.draft, mine.revision)
    assert taken.changes[0].before["formula"] == "main_delta / 2"
    released(park, taken)
    assert read_part(park.books, LOBBY)["formula"] == "main_delta"


def test_of_many_who_save_at_once_one_is_kept_and_the_others_are_told(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")

    def attempt(number: int) -> bool:
        try:
            save(park, draft=draft, formula=f"main_delta / {number}")
        except DraftMoved:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        kept = list(pool.map(attempt, range(2, 8)))
    assert kept.count(True) == 1
    with park.database.transaction() as connection:
        assert [one.revision for one in list_drafts(connection, SITE)] == [2]


def test_of_many_who_release_at_once_one_does(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    with acting(person("lin")):
        handed = park.desk.hand_in(SITE, draft.draft, draft.revision)

    def attempt(number: int) -> bool:
        try:
            with acting(person(f"p-{number}")):
                park.desk.release(SITE, handed.draft, handed.revision, {})
        except BooksError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(attempt, range(4))).count(True) == 1
    assert park.version.version == 2


def test_rules_with_faults_are_neither_handed_in_nor_released(park: RuledPark) -> None:
    draft = save(park, formula="main_delta * tmax")
    look = park.desk.look(SITE, draft.draft)
    assert not look.holds
    assert "a temperature in C" in look.faults[0].problem
    with acting(person("lin")), pytest.raises(DocumentError):
        park.desk.hand_in(SITE, draft.draft, draft.revision)


def test_records_that_would_be_missed_hold_a_release_until_they_are_left_out_by_name(park: RuledPark) -> None:
    units = ["a101", "a102", "a201", "a202", "a301", "b101", "b102", "b201", "b202"]
    with acting(person("lin")):
        own = {**read_part(park.books, "pool/own-use"), "units": units}
        parts: dict[str, Any] = {"pool/own-use": own, LIFT: {**read_part(park.books, LIFT), "units": units}}
        parts |= {"pool/lab-purifier": {**read_part(park.books, "pool/lab-purifier"), "unit": "a101"}}
        lobby = read_part(park.books, LOBBY)
        parts |= {LOBBY: {**lobby, "floors": {k: v for k, v in lobby["floors"].items() if k != "b-3"}}}
        draft = park.desk.save(SITE, Entry(parts, "without b301"))
        handed = park.desk.hand_in(SITE, draft.draft, draft.revision)
    found = [one.subject for one in park.desk.look(SITE, draft.draft).findings]
    assert found == ["node/u-b301", "unit/b301"]
    with acting(person("wu")):
        with pytest.raises(RecordsMissed):
            park.desk.release(SITE, handed.draft, handed.revision, {"unit/b301": "moves out"})
        excluded = {"unit/b301": "moves out", "node/u-b301": "no meter any more", "unit/x": "not asked for"}
        park.desk.release(SITE, handed.draft, handed.revision, excluded)
    with park.database.transaction() as connection:
        assert sorted(exclusions_of(connection, SITE, 2)) == found


def test_what_says_nothing_new_is_no_draft(park: RuledPark) -> None:
    with pytest.raises(NothingChanged):
        save(park)
    with acting(person("lin")), pytest.raises(BooksError, match="not written here"):
        park.desk.save(SITE, Entry({"party/t-01": {"id": "t-01"}}, "a person"))
    with pytest.raises(DraftUnknown):
        park.desk.look(SITE, 99)
    draft = save(park, formula="main_delta")
    with pytest.raises(DraftUnknown):
        park.desk.look(SiteId("elsewhere"), draft.draft)


def test_a_withdrawn_draft_stays_readable_and_is_over(park: RuledPark) -> None:
    draft = save(park, formula="main_delta")
    with acting(person("lin")):
        gone = park.desk.withdraw(SITE, draft.draft, draft.revision, "not agreed")
        assert (gone.state, gone.changes) == (DraftState.WITHDRAWN, draft.changes)
        with pytest.raises(DraftMoved):
            park.desk.hand_in(SITE, draft.draft, draft.revision)
    assert park.desk.look(SITE, draft.draft).tried is None


def test_a_draft_is_tried_on_the_newest_run_where_nothing_is_published(park: RuledPark) -> None:
    draft = save(park, formula="main_delta", **{"from": "2026-09-01"})
    look = park.desk.look(SITE, draft.draft)
    (shadow,), is_published = park.desk.try_out(look, 3, Scope())
    assert not is_published
    assert shadow.diff is not None
    assert sum(one.delta_minor for one in shadow.diff.parties) == 0
    assert any(one.delta_minor > 0 for one in shadow.diff.parties)
    (narrow,), _ = park.desk.try_out(look, 3, Scope(None, frozenset({NodeId("bldg-a")})))
    assert narrow.diff is not None
    assert {line.unit for line in narrow.diff.lines} <= {"a101", "a102", "a201", "a202", "a301"}
    assert park.version.version == 1


def test_every_step_stands_in_the_audit_log_and_in_the_history(park: RuledPark) -> None:
    start = len(log_of(park))
    draft = save(park, formula="main_delta")
    released(park, draft)
    gone = save(park, formula="main_delta / 2")
    with acting(person("lin")):
        park.desk.withdraw(SITE, gone.draft, gone.revision, "not agreed")
    log = log_of(park)
    assert list(chain_faults(log)) == []
    told = [(one.verb, one.who, one.subject) for one in log[start:]]
    assert told == [
        ("rules-drafted", "lin", "rule-draft/1"),
        ("rules-handed-in", "lin", "rule-draft/1"),
        ("site-put", "wu", "site/park"),
        ("rules-released", "wu", "rule-draft/1"),
        ("rules-drafted", "lin", "rule-draft/2"),
        ("rules-withdrawn", "lin", "rule-draft/2"),
    ]
    assert log[-1].told["reason"] == "not agreed"
    assert '"main_delta"' in log[start].told["after"]["after"][0]
    with park.database.transaction() as connection:
        newest, first = history_of(connection, SITE)
    assert (newest.version, newest.who, newest.draft, first.changes) == (2, "wu", 1, None)
    change = newest.of(LOBBY)
    assert change is not None
    assert change.after["formula"] == "main_delta"
    assert newest.of(LIFT) is None


def test_a_lease_that_overlaps_another_is_refused(park: RuledPark) -> None:
    lease = read_part(park.books, "lease/l-05")
    span = {"start": "2026-07-16T06:00:00Z", "end": None}
    with acting(person("lin")):
        draft = park.desk.save(SITE, Entry({"lease/l-05": {**lease, "span": span}}, "earlier"))
    look = park.desk.look(SITE, draft.draft)
    assert "lease l-05 overlaps lease l-04 on unit a202" in look.faults[0].problem
